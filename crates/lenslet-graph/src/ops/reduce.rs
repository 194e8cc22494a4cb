//! Sum, mean and maximum over axes.
//!
//! Axes count from 0 within one image, or from −1 at the end, in any order; an empty list stands for all of them, as in
//! PyTorch. The axes go, or with `_keep` stay with size 1 (PyTorch's `keepdim=True`). `max` is PyTorch's `amax`
//! (<https://pytorch.org/docs/stable/generated/torch.amax.html>): equal values share the gradient evenly, and a NaN wins,
//! after which all of its row has gradient NaN. Where only the first of equal values shall have the gradient, there is
//! max pooling. Sums over the images of the batch stand in [`batch`](super::batch).
//!
//! The page also holds what all ops with axes share: [`Axes`] and the rule that resolves them.

use super::expand::{Expand, broadcast_strides, positions};
use super::reshape::Reshape;
use super::{Derivative, Meaning, Op, Run, ok};
use crate::record::{RecordMistake, with_recorder};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, Pair, Shape, ShapeVar, SizeError, Var};

/// What becomes of the values along the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// Their sum.
    Sum,
    /// Their mean.
    Mean,
    /// The greatest of them.
    Max,
}

/// A reduction over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// Sum, mean or maximum.
    pub kind: ReduceKind,
    /// Which axes it goes over.
    pub axes: [bool; MAX_RANK],
    /// Whether these stay, with size 1.
    pub keep: bool,
}

impl Reduce {
    /// The reduction of `x` over axes as users name them.
    pub const fn over(kind: ReduceKind, x: &ShapeVar, axes: &[isize], keep: bool) -> Result<Self, SizeError> {
        let op = Self { kind, axes: [axes.is_empty(); MAX_RANK], keep }.within(x.shape().rank());
        let mut reduce = op;
        let mut i = 0;
        while i < axes.len() {
            let axis = ok!(resolve_axis(op.torch_name(), x, axes[i]));
            if reduce.axes[axis] {
                return Err(SizeError { op: op.torch_name(), mistake: Mistake::AxisTwice { axis }, arrived: *x });
            }
            reduce.axes[axis] = true;
            i += 1;
        }
        Ok(reduce)
    }

    const fn within(mut self, rank: usize) -> Self {
        let mut axis = rank;
        while axis < MAX_RANK {
            self.axes[axis] = false;
            axis += 1;
        }
        self
    }

    const fn torch_name(&self) -> &'static str {
        match self.kind {
            ReduceKind::Sum => "sum",
            ReduceKind::Mean => "mean",
            ReduceKind::Max => "amax",
        }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let from = x.shape();
        let mut dims = [1; MAX_RANK];
        let mut rank = 0;
        let mut axis = 0;
        while axis < MAX_RANK {
            if axis >= from.rank() && self.axes[axis] {
                return Err(SizeError {
                    op: self.torch_name(),
                    mistake: Mistake::Axis { axis: axis as isize },
                    arrived: *x,
                });
            }
            if axis < from.rank() && (self.keep || !self.axes[axis]) {
                dims[rank] = if self.axes[axis] { 1 } else { from.dim(axis) };
                rank += 1;
            }
            axis += 1;
        }
        match Shape::batched(dims.split_at(rank).0) {
            Some(shape) => Ok(x.step(self.torch_name(), shape.with_batch(from.is_batched()))),
            None => panic!("a part of sizes that fit fits"),
        }
    }

    /// The sizes of `from` with 1 for the axes that go.
    fn kept(&self, from: Shape) -> Shape {
        let kept = Self { keep: true, ..*self }.rule(&ShapeVar::new(from));
        kept.expect("the shape rule was asked first").shape()
    }
}

/// Axes as users name them: one, `-1`, or several, `[1, 2]`.
pub trait Axes {
    /// As a slice.
    fn as_slice(&self) -> &[isize];
}

impl Axes for isize {
    fn as_slice(&self) -> &[isize] {
        std::slice::from_ref(self)
    }
}

impl<const N: usize> Axes for [isize; N] {
    fn as_slice(&self) -> &[isize] {
        self
    }
}

/// The axis of `x` that a user means: from 0, or from −1 at the end.
pub(crate) const fn resolve_axis(op: &'static str, x: &ShapeVar, axis: isize) -> Result<usize, SizeError> {
    let rank = x.shape().rank() as isize;
    let index = if axis < 0 { axis + rank } else { axis };
    if index < 0 || index >= rank {
        return Err(SizeError { op, mistake: Mistake::Axis { axis }, arrived: *x });
    }
    Ok(index as usize)
}

/// Records an op whose arguments could be read, or keeps the mistake in them.
#[track_caller]
pub(crate) fn checked(op: Result<impl Into<Op>, SizeError>, inputs: &[Var]) -> Var {
    match op {
        Ok(op) => Var::apply(op, inputs),
        Err(error) => failed(error),
    }
}

/// Keeps a mistake that was found before there was an op to record.
#[track_caller]
pub(crate) fn failed(error: SizeError) -> Var {
    let at = std::panic::Location::caller();
    Var::from_id(with_recorder(|r| r.fail(RecordMistake::Size(Box::new(error)), at)))
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident: $kind:ident, $keep:literal;)*) => {
        impl Var {
            $($(#[$doc])*
            #[track_caller]
            pub fn $method(self, axes: impl Axes) -> Var {
                checked(Reduce::over(ReduceKind::$kind, &self.sizes(), axes.as_slice(), $keep), &[self])
            })*
        }

        impl Pair<ShapeVar, isize> {
            $(#[doc = concat!("The twin of [`Var::", stringify!($method), "`] over one axis.")]
            #[track_caller]
            pub const fn $method(self) -> ShapeVar {
                ShapeVar::proved(reduced(ReduceKind::$kind, &self.0, &[self.1], $keep))
            })*
        }

        impl<const N: usize> Pair<ShapeVar, [isize; N]> {
            $(#[doc = concat!("The twin of [`Var::", stringify!($method), "`].")]
            #[track_caller]
            pub const fn $method(self) -> ShapeVar {
                ShapeVar::proved(reduced(ReduceKind::$kind, &self.0, &self.1, $keep))
            })*
        }
    };
}

methods! {
    /// Sum over axes, which go: from 16×5×5, `sum([1, 2])` makes 16.
    sum: Sum, false;
    /// Mean over axes, which go: from 16×5×5, `mean([1, 2])` makes 16, a global average pooling.
    mean: Mean, false;
    /// Maximum over axes, which go; PyTorch's `amax`. From 16×5×5, `max(0)` makes 5×5.
    max: Max, false;
    /// Sum over axes, which stay with size 1.
    sum_keep: Sum, true;
    /// Mean over axes, which stay with size 1: `x - x.mean_keep([1, 2])`.
    mean_keep: Mean, true;
    /// Maximum over axes, which stay with size 1.
    max_keep: Max, true;
}

const fn reduced(kind: ReduceKind, x: &ShapeVar, axes: &[isize], keep: bool) -> Result<ShapeVar, SizeError> {
    ok!(Reduce::over(kind, x, axes, keep)).rule(x)
}

impl Meaning for Reduce {
    fn name(&self) -> &'static str {
        self.torch_name()
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let x = run.inputs[0];
        let count = F::of((x.shape().len() / run.shape.len()) as f64);
        // Where each value goes.
        let to = positions(x.shape().dims(), &broadcast_strides(self.kept(x.shape()), x.shape()));
        run.per_image(|image, y| {
            if self.kind == ReduceKind::Max {
                y.fill(F::neg_infinity());
            }
            for (&x, &to) in x.image(image).iter().zip(&to) {
                match self.kind {
                    ReduceKind::Sum => y[to] += x,
                    ReduceKind::Mean => y[to] += x / count,
                    ReduceKind::Max => y[to] = if x.is_nan() || x > y[to] { x } else { y[to] },
                }
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let x = d.inputs[0];
        let shape = x.shape();
        let kept = self.kept(shape);
        let keep = |y: Var| if self.keep { y } else { Var::apply(Reshape { shape: kept }, &[y]) };
        let gradient = keep(d.gradient);
        let gradient = match self.kind {
            ReduceKind::Sum => gradient,
            ReduceKind::Mean => gradient * (1.0 / (shape.len() / kept.len()) as f32),
            ReduceKind::Max => {
                let winners = x.eq(keep(d.output));
                let count = Var::apply(Self { kind: ReduceKind::Sum, axes: self.axes, keep: true }, &[winners]);
                return vec![Some(winners * (gradient / count))];
            }
        };
        vec![Some(Var::apply(Expand { shape }, &[gradient]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, check_fixtures, mistake, value};

    #[test]
    fn sizes_with_and_without_keep() {
        let x = ShapeVar::image([16, 4, 5]);
        assert_eq!(Pair(x, [1, 2]).mean().shape().dims(), [16]);
        assert_eq!(Pair(x, [-1, 0]).sum().shape().dims(), [4]);
        assert_eq!(Pair(x, -2).max_keep().shape().dims(), [16, 1, 5]);
        assert_eq!(Pair(x, []).sum_keep().shape().dims(), [1, 1, 1]);
        assert_eq!(Pair(x, []).sum().shape(), Shape::scalar(true));
        const GLOBAL: ShapeVar = Pair(ShapeVar::image([16, 4, 5]), [1, 2]).mean();
        assert_eq!(GLOBAL.shape().dims(), [16]);
    }

    #[test]
    fn mistakes_are_named() {
        let image = [Shape::image(3, 4, 5)];
        assert_eq!(
            mistake(&image, |x| x[0].sum(3)),
            "sum: there is no axis 3 in 3x4x5; axes count from 0 within one image, or from -1 at the end\n  \
             sizes so far:\n    input        3x4x5\n  \
             mend it: an axis from 0 to 2; the batch is not among them"
        );
        assert_eq!(
            mistake(&image, |x| x[0].mean([1, -2])),
            "mean: axis 1 of 3x4x5 is named twice\n  \
             sizes so far:\n    input        3x4x5\n  \
             mend it: name each axis once"
        );
        assert!(
            mistake(&[Shape::scalar(true)], |x| x[0].max(-1)).starts_with("amax: there is no axis -1 in one number")
        );
    }

    #[test]
    fn after_a_mistake_the_rest_runs_on_and_the_first_is_told() {
        let text = mistake(&[Shape::image(3, 4, 5)], |x| {
            let y = x[0].view(7);
            let z = Var::concat(&[y.sum(0), y.max_keep([0, 1])], 1).softmax(3).permute([0, 1]).transpose(2, 4);
            let z = z.slice(2, 0..1).pad2d(1).expand([2, 2]).matmul(y).flatten();
            x[0].relu().where_(z * 2.0, y + x[0]).mse_loss(x[0]).cross_entropy(z, 0.1)
        });
        assert!(text.starts_with("view: the feature map is 3x4x5 = 60 values per image, not 7\n"), "{text}");
    }

    #[test]
    fn sums_and_means_image_by_image() {
        let x = batched(&[2, 2], &[1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(value(std::slice::from_ref(&x), |x| x[0].sum(0)).data(), [4.0, 6.0, 40.0, 60.0]);
        assert_eq!(value(std::slice::from_ref(&x), |x| x[0].mean_keep(-1)).data(), [1.5, 3.5, 15.0, 35.0]);
        assert_eq!(value(&[x], |x| x[0].mean([0, 1])).data(), [2.5, 25.0]);
    }

    /// Ties, NaN, one axis and several.
    #[test]
    fn maximum_is_pytorchs_amax() {
        check_fixtures("reduce.json", &["amax"], &["input"], |case, x| {
            // PyTorch counts the batch as axis 0.
            let axes: Vec<isize> = case.integers("dim").into_iter().map(|axis| axis as isize - 1).collect();
            match (axes[..].try_into(), case.truth("keepdim")) {
                (Ok::<[isize; 2], _>(axes), false) => x[0].max(axes),
                (Ok(axes), true) => x[0].max_keep(axes),
                (Err(_), false) => x[0].max(axes[0]),
                (Err(_), true) => x[0].max_keep(axes[0]),
            }
        });
    }
}
