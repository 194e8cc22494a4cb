//! What the twin of a forward pass says to a part that has none.
//!
//! In a proved network `self.block.forward(x)` becomes `self.block.forward_sizes(x)`, an inherent `const fn` that
//! `#[block]` makes. Where it is missing, the compiler finds the trait's method instead, which nothing implements, and
//! answers in the words below.

/// Implemented by nothing.
#[diagnostic::on_unimplemented(
    message = "the forward pass of `{Self}` cannot be proved: its `impl` block has no `#[block]`",
    label = "put `#[block]` on the `impl {Self}` that holds `forward`, or leave `input = …` out of `#[network]`"
)]
pub trait HasTwin {}

/// The method that is found where there is no twin.
pub trait NoTwin {
    /// Never called.
    fn forward_sizes(&self, x: crate::ShapeVar) -> crate::ShapeVar;
}

impl<M: HasTwin> NoTwin for M {
    fn forward_sizes(&self, x: crate::ShapeVar) -> crate::ShapeVar {
        x
    }
}
