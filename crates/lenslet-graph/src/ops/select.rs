//! One of two values, element by element: `a` where a condition holds, else `b`.
//!
//! PyTorch's `torch.where(condition, a, b)` (<https://pytorch.org/docs/stable/generated/torch.where.html>). Anything but 0
//! counts as true, a NaN too. All three values broadcast as in [`expand`](super::expand). The condition has no gradient;
//! the value that was not taken has gradient 0, even where the one that was taken is infinite or NaN.

use super::expand::{broadcast, broadcast_strides, positions, unbroadcast};
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{Shape, ShapeVar, SizeError, Var};

/// The op; its inputs are condition, `a`, `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Select;

impl Select {
    /// The shape rule.
    pub const fn rule(&self, condition: &ShapeVar, a: &ShapeVar, b: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let values = ok!(broadcast("where", a, b));
        broadcast("where", &values, condition)
    }
}

impl Var {
    /// `a` where `self` is not 0, else `b`: PyTorch's `torch.where(self, a, b)`.
    #[track_caller]
    pub fn where_(self, a: Var, b: Var) -> Var {
        Var::apply(Select, &[self, a, b])
    }
}

impl ShapeVar {
    /// The twin of [`Var::where_`].
    #[track_caller]
    pub const fn where_(self, a: Self, b: Self) -> Self {
        Self::proved(Select.rule(&self, &a, &b))
    }
}

impl Meaning for Select {
    fn name(&self) -> &'static str {
        "where"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0], &inputs[1], &inputs[2])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [condition, a, b] = run.inputs else { unreachable!("three inputs") };
        let at = |x: &Tensor<F>| positions(run.shape.dims(), &broadcast_strides(x.shape(), run.shape));
        let (at_condition, at_a, at_b) = (at(condition), at(a), at(b));
        run.per_image(|image, y| {
            for (i, y) in y.iter_mut().enumerate() {
                let holds = !condition.image(image)[at_condition[i]].is_zero();
                *y = if holds { a.image(image)[at_a[i]] } else { b.image(image)[at_b[i]] };
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let (condition, a, b) = (d.inputs[0], d.inputs[1], d.inputs[2]);
        let zero = Var::constant(0.0, Shape::scalar(false));
        let by_a = unbroadcast(condition.where_(d.gradient, zero), a);
        let by_b = unbroadcast(condition.where_(zero, d.gradient), b);
        vec![None, Some(by_a), Some(by_b)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, mistake, value, whole};

    #[test]
    fn takes_a_where_the_condition_is_not_zero() {
        let condition = whole(&[3], &[1.0, 0.0, f64::NAN]);
        let (a, b) = (batched(&[3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), whole(&[], &[-1.0]));
        let y = value(&[condition, a, b], |x| x[0].where_(x[1], x[2]));
        assert_eq!(y.data(), [1.0, -1.0, 3.0, 4.0, -1.0, 6.0]);
    }

    #[test]
    fn what_was_not_taken_has_no_gradient() {
        let inputs = [whole(&[3], &[1.0, 0.0, 1.0]), whole(&[3], &[5.0, f64::INFINITY, 5.0]), whole(&[1], &[7.0])];
        let by = gradients(&inputs, |x| x[0].where_(x[1], x[2]));
        assert_eq!([by[0].data(), by[1].data()], [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]);
        assert_eq!(by[2].data(), [1.0]);
    }

    #[test]
    fn three_sizes_must_fit() {
        let shape = |n: usize| Shape::batched(&[n]).unwrap();
        let text = mistake(&[shape(2), shape(3), shape(1)], |x| x[0].where_(x[1], x[2]));
        assert!(text.starts_with("where: 3 and 2 do not fit together: axis 0 is 3 and 2\n"), "{text}");
        let twin = ShapeVar::new(shape(3));
        assert_eq!(twin.where_(twin, ShapeVar::new(Shape::scalar(false))).shape(), shape(3));
    }
}
