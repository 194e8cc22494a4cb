//! Parts that stand in one row and are named by their places in it, as in PyTorch's `Sequential`.
//!
//! Where all parts are of one type, an array says the same.

use crate::prelude::*;

/// Shows the visitor the parts under the names `0`, `1`, …
pub(super) fn visit<'m>(visitor: &mut Visitor<'_>, parts: impl IntoIterator<Item = &'m dyn Module>) {
    for (place, part) in parts.into_iter().enumerate() {
        visitor.field(&place.to_string(), part);
    }
}
