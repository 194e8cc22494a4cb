//! A part of a value: some of the indices along one axis.
//!
//! PyTorch's `narrow`, or `x[:, start:end]` (<https://pytorch.org/docs/stable/generated/torch.narrow.html>). The range is
//! one of Rust's, must lie within the axis, and must not be empty; PyTorch's indexing would cut it silently. Steps other
//! than 1 and single indices are not here: `slice(…, i..i + 1)` keeps the axis, and `view` takes it away.

use std::ops::Range;

use super::expand::positions;
use super::pad::Pad;
use super::reduce::{checked, resolve_axis};
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, ShapeVar, SizeError, Var};

/// Some of the indices along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// The first index.
    pub start: usize,
    /// The index behind the last.
    pub end: usize,
}

impl Slice {
    /// The part of `x` along an axis as users name it.
    pub const fn along(x: &ShapeVar, axis: isize, start: usize, end: usize) -> Result<Self, SizeError> {
        Ok(Self { axis: ok!(resolve_axis("narrow", x, axis)), start, end })
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let Self { axis, start, end } = *self;
        let mistake = if axis >= x.shape().rank() {
            Mistake::Axis { axis: axis as isize }
        } else if start >= end || end > x.shape().dim(axis) {
            Mistake::Slice { axis, start, end }
        } else {
            match x.shape().with_dim(axis, end - start) {
                Some(shape) => return Ok(x.step("narrow", shape)),
                None => panic!("a part of sizes that fit fits"),
            }
        };
        Err(SizeError { op: "narrow", mistake, arrived: *x })
    }
}

impl Var {
    /// The part of the value whose index along `axis` is in `range`: from 16×5×5, `slice(0, 0..8)` makes 8×5×5.
    #[track_caller]
    pub fn slice(self, axis: isize, range: Range<usize>) -> Var {
        checked(Slice::along(&self.sizes(), axis, range.start, range.end), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::slice`].
    #[track_caller]
    pub const fn slice(self, axis: isize, range: Range<usize>) -> Self {
        Self::proved(sliced(&self, axis, range.start, range.end))
    }
}

const fn sliced(x: &ShapeVar, axis: isize, start: usize, end: usize) -> Result<ShapeVar, SizeError> {
    ok!(Slice::along(x, axis, start, end)).rule(x)
}

impl Meaning for Slice {
    fn name(&self) -> &'static str {
        "narrow"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let strides = run.inputs[0].shape().strides();
        let first = self.start * strides[self.axis];
        let part = positions(run.shape.dims(), &strides);
        run.per_image(|image, y| {
            for (y, &place) in y.iter_mut().zip(&part) {
                *y = run.inputs[0].image(image)[first + place];
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let mut pad = Pad { before: [0; MAX_RANK], after: [0; MAX_RANK], value: 0.0 };
        pad.before[self.axis] = self.start;
        pad.after[self.axis] = d.inputs[0].dim(self.axis) - self.end;
        vec![Some(Var::apply(pad, &[d.gradient]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::interpret::testing::{batched, mistake, value};

    #[test]
    fn takes_a_part_of_each_image() {
        let x = batched(&[2, 3], &(0..12).map(f64::from).collect::<Vec<_>>());
        assert_eq!(
            value(std::slice::from_ref(&x), |x| x[0].slice(-1, 1..3)).data(),
            [1., 2., 4., 5., 7., 8., 10., 11.]
        );
        assert_eq!(value(&[x], |x| x[0].slice(0, 1..2)).data(), [3.0, 4.0, 5.0, 9.0, 10.0, 11.0]);
        const HALF: ShapeVar = ShapeVar::image([16, 5, 5]).slice(0, 0..8);
        assert_eq!(HALF.shape(), Shape::image(8, 5, 5));
    }

    #[test]
    fn mistakes_are_named() {
        let image = [Shape::image(16, 5, 5)];
        assert_eq!(
            mistake(&image, |x| x[0].slice(0, 8..17)),
            "narrow: 8..17 is no part of axis 0 of 16x5x5\n  \
             sizes so far:\n    input        16x5x5\n  \
             mend it: a range within 0..16, not empty"
        );
        assert!(mistake(&image, |x| x[0].slice(2, 3..3)).starts_with("narrow: 3..3 is no part of axis 2 of 16x5x5\n"));
        assert!(mistake(&image, |x| x[0].slice(3, 0..1)).starts_with("narrow: there is no axis 3 in 16x5x5"));
    }
}
