//! Broadcasting: the rule that arithmetic, selection and matrix products share, and the op by itself.
//!
//! As in PyTorch, an axis of size 1 stretches to the other's size
//! (<https://pytorch.org/docs/stable/notes/broadcasting.html>). The batch is no axis: a batched value meets a whole one
//! image by image. Two batched values must have the same number of axes (PyTorch would line up the last ones, and
//! silently pair the batch with a channel); a whole value may have fewer, and lines up with the last.
//!
//! The op is PyTorch's `Tensor.expand` (<https://pytorch.org/docs/stable/generated/torch.Tensor.expand.html>) without its
//! −1. Giving a whole value to every image is [`BatchExpand`](super::batch::BatchExpand), another op.

use super::reduce::{Reduce, ReduceKind, checked};
use super::reshape::Reshape;
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, Shape, ShapeVar, SizeError, Var};

/// Broadcasting to given sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expand {
    /// The sizes; whether the result is batched follows from the input alone.
    pub shape: Shape,
}

impl Expand {
    /// The op that brings `x` to these sizes.
    pub const fn to(x: &ShapeVar, dims: &[usize]) -> Result<Self, SizeError> {
        let mut axis = 0;
        while axis < dims.len() {
            if dims[axis] == 0 {
                return Err(SizeError { op: "expand", mistake: Mistake::Zero { argument: "a size" }, arrived: *x });
            }
            axis += 1;
        }
        match Shape::batched(dims) {
            Some(shape) => Ok(Self { shape: shape.with_batch(x.shape().is_batched()) }),
            None => Err(SizeError { op: "expand", mistake: Mistake::TooLarge, arrived: *x }),
        }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let from = x.shape();
        let to = self.shape.with_batch(from.is_batched());
        let mut fits = from.rank() <= to.rank() && misfit(&from, &to).is_none();
        let mut axis = 0;
        while fits && axis < from.rank() {
            let size = to.dim(axis + to.rank() - from.rank());
            fits = from.dim(axis) == size || from.dim(axis) == 1;
            axis += 1;
        }
        if fits {
            Ok(x.step("expand", to))
        } else {
            Err(SizeError { op: "expand", mistake: Mistake::Expand { to }, arrived: *x })
        }
    }
}

impl Var {
    /// Repeats axes of size 1 until the sizes are `dims`: from 16×1×1, `expand([16, 5, 5])` makes 16×5×5.
    #[track_caller]
    pub fn expand<const N: usize>(self, dims: [usize; N]) -> Var {
        checked(Expand::to(&self.sizes(), &dims), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::expand`].
    #[track_caller]
    pub const fn expand<const N: usize>(self, dims: [usize; N]) -> Self {
        Self::proved(Self::expanded(self, &dims))
    }

    const fn expanded(self, dims: &[usize]) -> Result<Self, SizeError> {
        ok!(Expand::to(&self, dims)).rule(&self)
    }
}

impl Meaning for Expand {
    fn name(&self) -> &'static str {
        "expand"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let x = run.inputs[0];
        let at = positions(run.shape.dims(), &broadcast_strides(x.shape(), run.shape));
        run.per_image(|image, y| {
            for (y, &i) in y.iter_mut().zip(&at) {
                *y = x.image(image)[i];
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![Some(unbroadcast(d.gradient, d.inputs[0]))]
    }
}

/// The rule of broadcasting, for every `op` that does it: the sizes that both values stretch to.
pub const fn broadcast(op: &'static str, a: &ShapeVar, b: &ShapeVar) -> Result<ShapeVar, SizeError> {
    let (left, right) = (a.shape(), b.shape());
    let mistake = match misfit(&left, &right) {
        Some(_) => Mistake::Unlike { other: right },
        None => match stretched(&left, &right) {
            None => Mistake::TooLarge,
            Some(shape) => {
                // Of a batched and a whole value, the batched one has the longer history.
                let story = if right.is_batched() && !left.is_batched() { b } else { a };
                return Ok(story.with_shape(shape));
            }
        },
    };
    Err(SizeError { op, mistake, arrived: *a })
}

/// Why two values do not broadcast.
pub(crate) enum Misfit {
    /// The number of axes.
    Ranks,
    /// A size; the axis is counted in the value that has more of them.
    Axis { axis: usize, left: usize, right: usize },
}

/// The first reason why two values do not broadcast.
pub(crate) const fn misfit(left: &Shape, right: &Shape) -> Option<Misfit> {
    let (l, r) = (left.rank(), right.rank());
    if (left.is_batched() && l < r) || (right.is_batched() && r < l) {
        return Some(Misfit::Ranks);
    }
    let rank = if l > r { l } else { r };
    let mut axis = rank - if l < r { l } else { r };
    while axis < rank {
        let (a, b) = (left.dim(axis + l - rank), right.dim(axis + r - rank));
        if a != b && a != 1 && b != 1 {
            return Some(Misfit::Axis { axis, left: a, right: b });
        }
        axis += 1;
    }
    None
}

/// The sizes that two values which fit together stretch to; `None` where they come to too much.
pub(crate) const fn stretched(left: &Shape, right: &Shape) -> Option<Shape> {
    let (longer, shorter) = if left.rank() >= right.rank() { (left, right) } else { (right, left) };
    let missing = longer.rank() - shorter.rank();
    let mut dims = [1; MAX_RANK];
    let mut axis = 0;
    while axis < longer.rank() {
        dims[axis] = longer.dim(axis);
        if dims[axis] == 1 && axis >= missing {
            dims[axis] = shorter.dim(axis - missing);
        }
        axis += 1;
    }
    match Shape::batched(dims.split_at(longer.rank()).0) {
        Some(shape) => Some(shape.with_batch(left.is_batched() || right.is_batched())),
        None => None,
    }
}

/// The step, in values of `from`, along each axis of the sizes `to` that it stretches to: 0 where it repeats.
pub fn broadcast_strides(from: Shape, to: Shape) -> [usize; MAX_RANK] {
    let missing = to.rank() - from.rank();
    let mut strides = [0; MAX_RANK];
    // Without `Shape::strides`: kernels ask in every step, and a step allocates nothing.
    let mut stride = 1;
    for axis in (0..from.rank()).rev() {
        if from.dim(axis) > 1 {
            strides[missing + axis] = stride;
        }
        stride *= from.dim(axis);
    }
    strides
}

/// For each index within `dims`, in row-major order: where these strides lead.
pub(crate) fn positions(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut positions = vec![0];
    for (&dim, &stride) in dims.iter().zip(strides) {
        positions = positions.into_iter().flat_map(|start| (0..dim).map(move |i| start + i * stride)).collect();
    }
    positions
}

/// The way back of broadcasting: sums the gradient of a stretched value over where it was repeated, axes and batch.
#[track_caller]
pub(crate) fn unbroadcast(gradient: Var, to: Var) -> Var {
    // After a mistake there are no sizes to compare.
    if gradient.id().is_none() {
        return gradient;
    }
    let (from, to) = (gradient.shape(), to.shape());
    let missing = from.rank() - to.rank();
    let mut axes = [false; MAX_RANK];
    for (axis, summed) in axes.iter_mut().enumerate().take(from.rank()) {
        *summed = axis < missing || (to.dim(axis - missing) == 1 && from.dim(axis) > 1);
    }
    let mut sum = gradient;
    if axes.contains(&true) {
        sum = Var::apply(Reduce { kind: ReduceKind::Sum, axes, keep: missing == 0 }, &[sum]);
    }
    if !sum.shape().same_dims(&to) {
        sum = Var::apply(Reshape { shape: to.with_batch(from.is_batched()) }, &[sum]);
    }
    if from.is_batched() && !to.is_batched() { sum.batch_sum() } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, mistake, value, whole};

    #[test]
    fn sizes_stretch_as_in_pytorch() {
        let image = ShapeVar::image([3, 4, 5]);
        let sum = |sizes: Shape| broadcast("add", &image, &ShapeVar::new(sizes)).map(|x| x.shape());
        let whole = |dims: &[usize]| Shape::whole(dims).unwrap();
        for fits in [whole(&[]), whole(&[5]), whole(&[4, 1]), whole(&[3, 1, 1]), Shape::image(1, 4, 1)] {
            assert_eq!(sum(fits).unwrap(), Shape::image(3, 4, 5), "{fits:?}");
        }
        let bias = ShapeVar::new(whole(&[3, 1, 1]));
        assert_eq!(broadcast("add", &bias, &image).unwrap().shape(), Shape::image(3, 4, 5));
        let (column, row) = (ShapeVar::new(whole(&[2, 1])), ShapeVar::new(whole(&[3])));
        assert_eq!(broadcast("mul", &column, &row).unwrap().shape(), whole(&[2, 3]));
    }

    #[test]
    fn repeats_along_axes_of_size_one() {
        let x = batched(&[2, 1], &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(value(&[x], |x| x[0].expand([2, 2])).data(), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        let row = whole(&[2], &[1.0, 2.0]);
        assert_eq!(value(&[row], |x| x[0].expand([2, 2])).data(), [1.0, 2.0, 1.0, 2.0]);
        let twin = ShapeVar::image([16, 1, 1]).expand([16, 5, 5]);
        assert_eq!(twin.shape(), Shape::image(16, 5, 5));
    }

    #[test]
    fn mistakes_are_named() {
        let x = Shape::batched(&[2, 3]).unwrap();
        assert_eq!(
            mistake(&[x], |x| x[0].expand([2, 6])),
            "expand: 2x3 does not stretch to 2x6: only an axis of size 1 does\n  \
             sizes so far:\n    input        2x3\n  \
             mend it: keep every size that is not 1, and the number of axes"
        );
        let first = |text: String| text.lines().next().unwrap().to_owned();
        assert_eq!(
            first(mistake(&[x], |x| x[0].expand([4, 2, 3]))),
            "expand: 2x3 does not stretch to 4x2x3: only an axis of size 1 does"
        );
        assert_eq!(first(mistake(&[x], |x| x[0].expand([2, 0]))), "expand: a size is 0, but must be at least 1");
        assert_eq!(
            first(mistake(&[x], |x| x[0].expand([1 << 20, 1 << 20]))),
            "expand: the result would have more than 2^31 values per image"
        );
    }
}
