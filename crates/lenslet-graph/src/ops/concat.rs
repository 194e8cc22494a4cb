//! Values joined along an axis: PyTorch's `torch.cat` (<https://pytorch.org/docs/stable/generated/torch.cat.html>).
//!
//! All sizes but that of the axis must agree. Where one value is batched and another whole, each image gets the whole one,
//! and the result is batched. The axis counts within one image, so channels are axis 0 (PyTorch's 1); images cannot be
//! joined to a larger batch.

use super::expand::{positions, unbroadcast};
use super::reduce::{checked, resolve_axis};
use super::slice::Slice;
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{Mistake, Shape, ShapeVar, SizeError, Var};

/// Its inputs, one behind the other along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Concat {
    /// The op that joins `parts` along an axis as users name it.
    pub const fn along(parts: &[ShapeVar], axis: isize) -> Result<Self, SizeError> {
        Ok(Self { axis: ok!(resolve_axis("cat", ok!(first(parts)), axis)) })
    }

    /// The shape rule.
    pub const fn rule(&self, parts: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        let axis = self.axis;
        let arrived = *ok!(first(parts));
        let sizes = arrived.shape();
        if axis >= sizes.rank() {
            return Err(SizeError { op: "cat", mistake: Mistake::Axis { axis: axis as isize }, arrived });
        }
        let mut story = arrived;
        let mut joined: usize = 0;
        let mut i = 0;
        while i < parts.len() {
            let other = parts[i].shape();
            if !fit(&sizes, &other, axis) {
                return Err(SizeError { op: "cat", mistake: Mistake::Concat { other, axis }, arrived });
            }
            joined = joined.saturating_add(other.dim(axis));
            if other.is_batched() && !story.shape().is_batched() {
                story = parts[i];
            }
            i += 1;
        }
        match sizes.with_dim(axis, joined) {
            Some(shape) => Ok(story.step("cat", shape.with_batch(story.shape().is_batched()))),
            None => Err(SizeError { op: "cat", mistake: Mistake::TooLarge, arrived }),
        }
    }
}

/// Whether all sizes agree but that of the axis.
const fn fit(sizes: &Shape, other: &Shape, axis: usize) -> bool {
    if sizes.rank() != other.rank() {
        return false;
    }
    match sizes.with_dim(axis, other.dim(axis)) {
        Some(same) => same.same_dims(other),
        None => false,
    }
}

const fn first(parts: &[ShapeVar]) -> Result<&ShapeVar, SizeError> {
    match parts.first() {
        Some(first) => Ok(first),
        None => {
            let arrived = ShapeVar::new(Shape::scalar(false));
            Err(SizeError { op: "cat", mistake: Mistake::Zero { argument: "the number of values" }, arrived })
        }
    }
}

impl Var {
    /// Joins values along an axis: 16×5×5 and 8×5×5 along axis 0 make 24×5×5.
    #[track_caller]
    pub fn concat(parts: &[Var], axis: isize) -> Var {
        let sizes: Vec<ShapeVar> = parts.iter().map(|part| part.sizes()).collect();
        checked(Concat::along(&sizes, axis), parts)
    }
}

impl ShapeVar {
    /// The twin of [`Var::concat`].
    #[track_caller]
    pub const fn concat(parts: &[ShapeVar], axis: isize) -> Self {
        Self::proved(concatenated(parts, axis))
    }
}

const fn concatenated(parts: &[ShapeVar], axis: isize) -> Result<ShapeVar, SizeError> {
    ok!(Concat::along(parts, axis)).rule(parts)
}

impl Meaning for Concat {
    fn name(&self) -> &'static str {
        "cat"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(inputs)
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let strides = run.shape.strides();
        run.per_image(|image, y| {
            let mut start = 0;
            for part in run.inputs {
                let places = positions(part.shape().dims(), &strides);
                for (&x, place) in part.image(image).iter().zip(places) {
                    y[start + place] = x;
                }
                start += part.shape().dim(self.axis) * strides[self.axis];
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let mut start = 0;
        let parts = d.inputs.iter().map(|&part| {
            let end = start + part.dim(self.axis);
            let gradient = Var::apply(Slice { axis: self.axis, start, end }, &[d.gradient]);
            start = end;
            // What every image was given collects the gradients of all images.
            Some(unbroadcast(gradient, part))
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, mistake, value, whole};

    #[test]
    fn parts_stand_behind_each_other() {
        let (a, b) = (batched(&[2, 1], &[1.0, 2.0, 3.0, 4.0]), whole(&[2, 2], &[5.0, 6.0, 7.0, 8.0]));
        let y = value(&[a.clone(), b], |x| Var::concat(&[x[0], x[1]], -1));
        assert_eq!(y.data(), [1.0, 5.0, 6.0, 2.0, 7.0, 8.0, 3.0, 5.0, 6.0, 4.0, 7.0, 8.0]);
        assert_eq!(value(&[a], |x| Var::concat(&[x[0], x[0]], 0)).image(1), [3.0, 4.0, 3.0, 4.0]);
        const JOINED: ShapeVar = ShapeVar::concat(&[ShapeVar::image([16, 5, 5]), ShapeVar::image([8, 5, 5])], 0);
        assert_eq!(JOINED.shape(), Shape::image(24, 5, 5));
        let whole = ShapeVar::new(Shape::whole(&[3]).unwrap());
        assert_eq!(ShapeVar::concat(&[whole, whole], 0).shape(), Shape::whole(&[6]).unwrap());
    }

    #[test]
    fn mistakes_are_named() {
        let shapes = [Shape::image(16, 5, 5), Shape::image(8, 5, 6), Shape::batched(&[8]).unwrap()];
        assert_eq!(
            mistake(&shapes, |x| Var::concat(&[x[0], x[1]], 0)),
            "cat: 16x5x5 and 8x5x6 cannot be joined along axis 0: all other sizes must agree\n  \
             sizes so far:\n    input        16x5x5\n  \
             mend it: bring both to the same sizes on every axis but 0"
        );
        let first = |text: String| text.lines().next().unwrap().to_owned();
        assert_eq!(
            first(mistake(&shapes, |x| Var::concat(&[x[0], x[2]], -1))),
            "cat: 16x5x5 and 8 cannot be joined along axis 2: all other sizes must agree"
        );
        assert!(mistake(&shapes, |x| Var::concat(x, 3)).starts_with("cat: there is no axis 3 in 16x5x5"));
        assert_eq!(
            first(mistake(&shapes, |_| Var::concat(&[], 0))),
            "cat: the number of values is 0, but must be at least 1"
        );
    }
}
