//! Other sizes for the same values: `view` and `flatten`.
//!
//! Values are taken and put in row-major order, C×H×W for a feature map. The sizes are those of one image, and the batch
//! axis is never among them. In PyTorch it is, and `x.view(-1, 576)` on 36 images of 400 values silently makes 25 rows
//! out of them; here `view(576)` on 400 values is a mistake, whatever the batch. Otherwise as in PyTorch
//! (<https://pytorch.org/docs/stable/generated/torch.Tensor.view.html>), except that a view never fails for the way in
//! which values lie in memory: there is no `contiguous()`.

use super::reduce::checked;
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, Pair, Shape, ShapeVar, SizeError, Var};

/// The size that follows from all others, PyTorch's −1: `view([16, INFER])`.
pub const INFER: usize = usize::MAX;

/// Other sizes, same values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The sizes; whether the result is batched follows from the input alone.
    pub shape: Shape,
}

impl Reshape {
    /// The op that brings `x` to sizes of which one may be [`INFER`].
    pub const fn to(x: &ShapeVar, sizes: &[usize]) -> Result<Self, SizeError> {
        match inferred(x.shape().len(), sizes) {
            Ok(shape) => Ok(Self { shape: shape.with_batch(x.shape().is_batched()) }),
            Err(mistake) => Err(SizeError { op: "view", mistake, arrived: *x }),
        }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        if x.shape().len() != self.shape.len() {
            return Err(SizeError { op: "view", mistake: Mistake::View { asked: self.shape }, arrived: *x });
        }
        Ok(x.step("view", self.shape.with_batch(x.shape().is_batched())))
    }
}

/// The sizes for `len` values.
const fn inferred(len: usize, sizes: &[usize]) -> Result<Shape, Mistake> {
    if sizes.len() > MAX_RANK {
        return Err(Mistake::ViewSizes);
    }
    let mut dims = [1; MAX_RANK];
    let mut known: usize = 1;
    let mut missing = None;
    let mut axis = 0;
    while axis < sizes.len() {
        match (sizes[axis], missing) {
            (0, _) | (INFER, Some(_)) => return Err(Mistake::ViewSizes),
            (INFER, None) => missing = Some(axis),
            (size, _) => {
                dims[axis] = size;
                known = known.saturating_mul(size);
            }
        }
        axis += 1;
    }
    if let Some(axis) = missing {
        if !len.is_multiple_of(known) {
            return Err(Mistake::ViewInfer { known });
        }
        dims[axis] = len / known;
    }
    match Shape::batched(dims.split_at(sizes.len()).0) {
        Some(shape) => Ok(shape),
        None => Err(Mistake::TooLarge),
    }
}

/// Sizes as users name them: one, `16 * 5 * 5`, or several, `[16, INFER]`.
pub trait Sizes {
    /// As a slice.
    fn as_slice(&self) -> &[usize];
}

impl Sizes for usize {
    fn as_slice(&self) -> &[usize] {
        std::slice::from_ref(self)
    }
}

impl<const N: usize> Sizes for [usize; N] {
    fn as_slice(&self) -> &[usize] {
        self
    }
}

impl Var {
    /// The same values in other sizes: from 16×5×5, `view(16 * 5 * 5)` makes 400, and `view([16, INFER])` 16×25.
    #[track_caller]
    pub fn view(self, sizes: impl Sizes) -> Var {
        checked(Reshape::to(&self.sizes(), sizes.as_slice()), &[self])
    }

    /// All values of an image in one row, PyTorch's `x.flatten(1)`: from 16×5×5, 400.
    #[track_caller]
    pub fn flatten(self) -> Var {
        self.view(INFER)
    }
}

impl Pair<ShapeVar, usize> {
    /// The twin of [`Var::view`] to one size.
    #[track_caller]
    pub const fn view(self) -> ShapeVar {
        ShapeVar::proved(viewed(&self.0, &[self.1]))
    }
}

impl<const N: usize> Pair<ShapeVar, [usize; N]> {
    /// The twin of [`Var::view`].
    #[track_caller]
    pub const fn view(self) -> ShapeVar {
        ShapeVar::proved(viewed(&self.0, &self.1))
    }
}

impl ShapeVar {
    /// The twin of [`Var::flatten`].
    #[track_caller]
    pub const fn flatten(self) -> Self {
        Self::proved(viewed(&self, &[INFER]))
    }
}

const fn viewed(x: &ShapeVar, sizes: &[usize]) -> Result<ShapeVar, SizeError> {
    ok!(Reshape::to(x, sizes)).rule(x)
}

impl Meaning for Reshape {
    fn name(&self) -> &'static str {
        "view"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| y.copy_from_slice(run.inputs[0].image(image)))
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![Some(Var::apply(Self { shape: d.inputs[0].shape() }, &[d.gradient]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, mistake, value};

    const MAP: ShapeVar = ShapeVar::image([16, 5, 5]);

    #[test]
    fn sizes_are_taken_or_inferred() {
        const ROW: ShapeVar = Pair(MAP, 16 * 5 * 5).view();
        assert_eq!(ROW.shape().dims(), [400]);
        assert_eq!(Pair(MAP, [16, INFER]).view().shape().dims(), [16, 25]);
        assert_eq!(Pair(MAP, [INFER, 4, 5, 5]).view().shape().dims(), [4, 4, 5, 5]);
        assert_eq!(MAP.flatten().shape(), ROW.shape());
        assert_eq!(ShapeVar::new(Shape::scalar(true)).flatten().shape().dims(), [1]);
        let x = batched(&[2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let y = value(&[x], |x| x[0].view([4, 1]).flatten());
        assert_eq!((y.shape().dims(), y.image(1)), (&[4][..], &[5.0, 6.0, 7.0, 8.0][..]));
    }

    /// PyTorch would make 25 rows of 576 values out of 36 images of 400.
    #[test]
    fn a_wrong_number_of_values_is_a_mistake_whatever_the_batch() {
        assert_eq!(
            mistake(&[MAP.shape()], |x| x[0].view(16 * 6 * 6)),
            "view: the feature map is 16x5x5 = 400 values per image, not 576\n  \
             sizes so far:\n    input        16x5x5\n  \
             mend it: view(16 * 5 * 5), or flatten()"
        );
    }

    #[test]
    fn other_mistakes_are_named() {
        let first = |text: String| text.lines().next().unwrap().to_owned();
        assert_eq!(
            first(mistake(&[MAP.shape()], |x| x[0].view([INFER, 576]))),
            "view: 400 values per image (16x5x5) cannot be divided by 576"
        );
        let sizes = "view: sizes must be at least 1, and only one of them may be inferred";
        assert_eq!(first(mistake(&[MAP.shape()], |x| x[0].view([INFER, INFER]))), sizes);
        assert_eq!(first(mistake(&[MAP.shape()], |x| x[0].view([400, 0]))), sizes);
        assert_eq!(first(mistake(&[MAP.shape()], |x| x[0].view([1, 1, 1, 1, 1, 1, 400]))), sizes);
        assert_eq!(
            first(mistake(&[MAP.shape()], |x| x[0].view([1 << 20, 1 << 20]))),
            "view: the result would have more than 2^31 values per image"
        );
    }

    #[test]
    fn the_trail_keeps_the_step() {
        let text = mistake(&[MAP.shape()], |x| x[0].flatten().view(399));
        assert!(text.contains("input        16x5x5\n    view         400\n"), "{text}");
    }
}
