//! The bytes of all pictures of a split: owned, or a part of a file that is mapped into memory.
//!
//! *Invariant:* to whoever reads them there is no difference, and they never change.
use crate::map::Map;
use std::fmt;
use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

/// The bytes of pictures, which read as a slice.
///
/// ```
/// use lenslet_data::Pixels;
///
/// let pixels = Pixels::from(vec![1, 2, 3]);
/// assert_eq!(pixels[1..], [2, 3]);
/// assert_eq!(pixels, Pixels::from(vec![1, 2, 3]));
/// ```
#[derive(Clone)]
pub struct Pixels {
    place: Place,
    /// See [`Split::by_content`](crate::Split::by_content).
    order: OnceLock<Vec<u32>>,
    /// See [`Split::mean_colour`](crate::Split::mean_colour).
    mean: OnceLock<Vec<u8>>,
}

#[derive(Clone)]
enum Place {
    Owned(Vec<u8>),
    /// Within the file.
    Mapped(Arc<Map>, Range<usize>),
}

impl Pixels {
    /// A part of a mapped file, which must lie within it.
    pub(crate) fn mapped(map: &Arc<Map>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= map.len(), "{range:?} of {} bytes", map.len());
        Place::Mapped(map.clone(), range).into()
    }

    /// Whether they lie in a file.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.place, Place::Mapped(..))
    }

    /// The order of the pictures that `find` finds, which is asked once.
    pub(crate) fn order(&self, find: impl FnOnce() -> Vec<u32>) -> &[u32] {
        self.order.get_or_init(find)
    }

    /// The mean colour that `find` finds, which is asked once.
    pub(crate) fn mean(&self, find: impl FnOnce() -> Vec<u8>) -> &[u8] {
        self.mean.get_or_init(find)
    }
}

impl Deref for Pixels {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Owned(bytes) => bytes,
            Place::Mapped(map, range) => &map[range.clone()],
        }
    }
}

impl From<Place> for Pixels {
    fn from(place: Place) -> Self {
        Self { place, order: OnceLock::new(), mean: OnceLock::new() }
    }
}

impl From<Vec<u8>> for Pixels {
    fn from(bytes: Vec<u8>) -> Self {
        Place::Owned(bytes).into()
    }
}

impl Default for Pixels {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Pixels {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Pixels {}

impl PartialEq<Vec<u8>> for Pixels {
    fn eq(&self, other: &Vec<u8>) -> bool {
        **self == **other
    }
}
