//! A border of one value around another: PyTorch's `F.pad` in its mode `constant`
//! (<https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html>).
//!
//! Convolution and pooling pad by themselves; this is for padding that is part of the network. Axes are named one at a
//! time and count within one image (PyTorch lists them from the last). Negative padding is a [`slice`](super::slice);
//! borders that mirror or repeat the image are not here.

use super::expand::positions;
use super::reduce::{checked, resolve_axis};
use super::slice::Slice;
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, ShapeVar, SizeError, Var};

/// A border along each axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// How many values come before the first, per axis.
    pub before: [usize; MAX_RANK],
    /// How many values come behind the last, per axis.
    pub after: [usize; MAX_RANK],
    /// The value.
    pub value: f32,
}

impl Pad {
    const NONE: Self = Self { before: [0; MAX_RANK], after: [0; MAX_RANK], value: 0.0 };

    /// The op that pads `x` along one axis, as users name it.
    pub const fn along(x: &ShapeVar, axis: isize, before: usize, after: usize, value: f32) -> Result<Self, SizeError> {
        let axis = ok!(resolve_axis("pad", x, axis));
        let mut pad = Self { value, ..Self::NONE };
        pad.before[axis] = before;
        pad.after[axis] = after;
        Ok(pad)
    }

    /// The op that pads the last two axes of `x`, height and width, on all sides.
    pub const fn around(x: &ShapeVar, padding: usize) -> Result<Self, SizeError> {
        let rank = x.shape().rank();
        if rank < 2 {
            return Err(SizeError { op: "pad", mistake: Mistake::Rank { expected: "height and width" }, arrived: *x });
        }
        let mut pad = Self::NONE;
        (pad.before[rank - 2], pad.before[rank - 1]) = (padding, padding);
        pad.after = pad.before;
        Ok(pad)
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let mut shape = x.shape();
        let mut axis = 0;
        while axis < shape.rank() {
            let size = shape.dim(axis).saturating_add(self.before[axis]).saturating_add(self.after[axis]);
            shape = match shape.with_dim(axis, size) {
                Some(shape) => shape,
                None => return Err(SizeError { op: "pad", mistake: Mistake::TooLarge, arrived: *x }),
            };
            axis += 1;
        }
        Ok(x.step("pad", shape))
    }
}

impl Var {
    /// Zeros along one axis, `before` the first value and `after` the last.
    #[track_caller]
    pub fn pad(self, axis: isize, before: usize, after: usize) -> Var {
        self.pad_with(axis, before, after, 0.0)
    }

    /// As [`Var::pad`], with `value` instead of zeros.
    #[track_caller]
    pub fn pad_with(self, axis: isize, before: usize, after: usize, value: f32) -> Var {
        checked(Pad::along(&self.sizes(), axis, before, after, value), &[self])
    }

    /// Zeros on all four sides, PyTorch's `F.pad(x, [p, p, p, p])`: from 3×32×32, `pad2d(4)` makes 3×40×40.
    #[track_caller]
    pub fn pad2d(self, padding: usize) -> Var {
        checked(Pad::around(&self.sizes(), padding), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::pad`].
    #[track_caller]
    pub const fn pad(self, axis: isize, before: usize, after: usize) -> Self {
        Self::proved(padded(&self, Pad::along(&self, axis, before, after, 0.0)))
    }

    /// The twin of [`Var::pad_with`].
    #[track_caller]
    pub const fn pad_with(self, axis: isize, before: usize, after: usize, _value: f32) -> Self {
        self.pad(axis, before, after)
    }

    /// The twin of [`Var::pad2d`].
    #[track_caller]
    pub const fn pad2d(self, padding: usize) -> Self {
        Self::proved(padded(&self, Pad::around(&self, padding)))
    }
}

const fn padded(x: &ShapeVar, pad: Result<Pad, SizeError>) -> Result<ShapeVar, SizeError> {
    ok!(pad).rule(x)
}

impl Meaning for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let x = run.inputs[0];
        let strides = run.shape.strides();
        let first: usize = strides.iter().zip(self.before).map(|(stride, before)| stride * before).sum();
        let inside = positions(x.shape().dims(), &strides);
        run.per_image(|image, y| {
            y.fill(F::of(self.value.into()));
            for (&x, &place) in x.image(image).iter().zip(&inside) {
                y[first + place] = x;
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let image = d.inputs[0].shape();
        let mut gradient = d.gradient;
        for (axis, &size) in image.dims().iter().enumerate() {
            let start = self.before[axis];
            if start + self.after[axis] > 0 {
                gradient = Var::apply(Slice { axis, start, end: start + size }, &[gradient]);
            }
        }
        vec![Some(gradient)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::interpret::testing::{batched, mistake, value};

    #[test]
    fn a_border_lies_around_the_values() {
        let x = batched(&[1, 2], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(
            value(std::slice::from_ref(&x), |x| x[0].pad2d(1)).image(1),
            [0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        );
        let y = value(&[x], |x| x[0].pad_with(-1, 2, 1, f32::NEG_INFINITY));
        assert_eq!(y.image(0), [f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0, 2.0, f64::NEG_INFINITY]);
        const PADDED: ShapeVar = ShapeVar::image([3, 32, 32]).pad2d(4).pad(0, 0, 1);
        assert_eq!(PADDED.shape(), Shape::image(4, 40, 40));
    }

    #[test]
    fn mistakes_are_named() {
        let first = |text: String| text.lines().next().unwrap().to_owned();
        let row = [Shape::batched(&[10]).unwrap()];
        assert_eq!(first(mistake(&row, |x| x[0].pad2d(1))), "pad: expects height and width, but 10 arrives");
        let text = first(mistake(&row, |x| x[0].pad(-2, 1, 1)));
        assert!(text.starts_with("pad: there is no axis -2 in 10"), "{text}");
        assert_eq!(
            first(mistake(&row, |x| x[0].pad(0, usize::MAX, 1))),
            "pad: the result would have more than 2^31 values per image"
        );
    }
}
