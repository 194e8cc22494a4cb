//! Softmax along an axis, `yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)`, and its logarithm.
//!
//! PyTorch's `F.softmax` and `F.log_softmax` (<https://pytorch.org/docs/stable/generated/torch.nn.functional.softmax.html>).
//! The greatest value is subtracted first, so nothing overflows; the logarithm is `xᵢ − max − log Σⱼ exp(xⱼ − max)` and
//! stays exact where the softmax itself is rounded to 0. The axis counts within one image. For training there is
//! [`cross_entropy`](super::cross_entropy), which takes logits and needs no softmax before it.

use super::expand::{broadcast_strides, positions};
use super::reduce::{Reduce, ReduceKind, checked, resolve_axis};
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, ShapeVar, SizeError, Var};

/// Softmax, or its logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// The axis along which the values come to 1.
    pub axis: usize,
    /// Whether the logarithm is wanted.
    pub log: bool,
}

impl Softmax {
    /// The softmax of `x` along an axis as users name it.
    pub const fn along(x: &ShapeVar, axis: isize, log: bool) -> Result<Self, SizeError> {
        let op = Self { axis: 0, log };
        Ok(Self { axis: ok!(resolve_axis(op.torch_name(), x, axis)), log })
    }

    const fn torch_name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    /// The shape rule: sizes stay.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        if self.axis >= x.shape().rank() {
            let mistake = Mistake::Axis { axis: self.axis as isize };
            return Err(SizeError { op: self.torch_name(), mistake, arrived: *x });
        }
        Ok(*x)
    }
}

impl Var {
    /// Softmax along an axis: the values become positive and come to 1.
    #[track_caller]
    pub fn softmax(self, axis: isize) -> Var {
        checked(Softmax::along(&self.sizes(), axis, false), &[self])
    }

    /// The logarithm of the softmax along an axis.
    #[track_caller]
    pub fn log_softmax(self, axis: isize) -> Var {
        checked(Softmax::along(&self.sizes(), axis, true), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::softmax`].
    #[track_caller]
    pub const fn softmax(self, axis: isize) -> Self {
        Self::proved(normalized(&self, axis, false))
    }

    /// The twin of [`Var::log_softmax`].
    #[track_caller]
    pub const fn log_softmax(self, axis: isize) -> Self {
        Self::proved(normalized(&self, axis, true))
    }
}

const fn normalized(x: &ShapeVar, axis: isize, log: bool) -> Result<ShapeVar, SizeError> {
    ok!(Softmax::along(x, axis, log)).rule(x)
}

impl Meaning for Softmax {
    fn name(&self) -> &'static str {
        self.torch_name()
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let rows = run.shape.with_dim(self.axis, 1).expect("fewer values");
        // The row to which each value belongs.
        let row = positions(run.shape.dims(), &broadcast_strides(rows, run.shape));
        run.per_image(|image, y| {
            let x = run.inputs[0].image(image);
            let mut max = vec![F::neg_infinity(); rows.len()];
            for (&x, &row) in x.iter().zip(&row) {
                max[row] = max[row].max(x);
            }
            let mut sum = vec![F::zero(); rows.len()];
            for (&x, &row) in x.iter().zip(&row) {
                sum[row] += (x - max[row]).exp();
            }
            for ((y, &x), &row) in y.iter_mut().zip(x).zip(&row) {
                let x = x - max[row];
                *y = if self.log { x - sum[row].ln() } else { x.exp() / sum[row] };
            }
        })
    }

    /// With `g` for the gradient and the sums along the axis: `y·(g − Σ g·y)`, and for the logarithm `g − exp(y)·Σ g`.
    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let sum = |x: Var| {
            let mut axes = [false; MAX_RANK];
            axes[self.axis] = true;
            Var::apply(Reduce { kind: ReduceKind::Sum, axes, keep: true }, &[x])
        };
        let (y, gradient) = (d.output, d.gradient);
        vec![Some(if self.log { gradient - y.exp() * sum(gradient) } else { y * (gradient - sum(gradient * y)) })]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::interpret::testing::{batched, check_fixtures, mistake, value};

    /// Over classes, channels and rows; values whose exponential would overflow.
    #[test]
    fn values_and_gradients_are_pytorchs() {
        check_fixtures("activations.json", &["softmax", "log_softmax"], &["input"], |case, x| {
            // PyTorch counts the batch as axis 0.
            let axis = case.number("dim") as isize - 1;
            if case.text("op") == "softmax" { x[0].softmax(axis) } else { x[0].log_softmax(axis) }
        });
    }

    /// torch.softmax(torch.tensor([nan, 1.]), 0) and of [-inf, -inf]: NaN throughout.
    #[test]
    fn a_nan_or_nothing_but_minus_infinity_is_nan_throughout() {
        for row in [[f64::NAN, 1.0], [1.0, f64::NAN], [f64::NEG_INFINITY; 2]] {
            let y = value(&[batched(&[2], &row)], |x| x[0].softmax(0));
            assert!(y.data().iter().all(|y| y.is_nan()), "{row:?}");
        }
    }

    #[test]
    fn an_axis_must_be_there() {
        let text = mistake(&[Shape::batched(&[10]).unwrap()], |x| x[0].log_softmax(1));
        assert!(text.starts_with("log_softmax: there is no axis 1 in 10; axes count from 0"), "{text}");
        assert_eq!(ShapeVar::image([3, 4, 5]).softmax(-1).shape(), Shape::image(3, 4, 5));
    }
}
