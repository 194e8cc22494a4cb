//! Arithmetic on two values, element by element, with broadcasting.
//!
//! As in PyTorch, an axis of size 1 stretches to the other's size, and the batch is no axis: a batched value meets a whole
//! one image by image; the rule stands in [`expand`](super::expand). Comparisons give 1 or 0, and 0 where a NaN takes part.
//! `maximum` and `minimum` are NaN where one side is, and where both sides are equal each has half of the gradient
//! (<https://pytorch.org/docs/stable/torch.html#pointwise-ops>).
//!
//! Arithmetic with a plain number (`2.0 * x`) is a [`Map`]; division by one is a product with its reciprocal.

use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

pub use super::expand::broadcast_strides;
use super::expand::{broadcast, positions, unbroadcast};
use super::map::Map;
use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Pair, Shape, ShapeVar, Single, SizeError, Var};

/// Arithmetic on two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a − b`.
    Sub,
    /// `a · b`.
    Mul,
    /// `a / b`.
    Div,
    /// The greater of both.
    Maximum,
    /// The lesser of both.
    Minimum,
    /// 1 where `a < b`, else 0.
    Less,
    /// 1 where `a ≤ b`, else 0.
    LessEqual,
    /// 1 where `a = b`, else 0.
    Equal,
}

impl Binary {
    /// What becomes of two numbers.
    pub fn apply<F: Real>(self, a: F, b: F) -> F {
        let truth = |holds: bool| if holds { F::one() } else { F::zero() };
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Maximum if a.is_nan() || a > b => a,
            Binary::Maximum => b,
            Binary::Minimum if a.is_nan() || a < b => a,
            Binary::Minimum => b,
            Binary::Less => truth(a < b),
            Binary::LessEqual => truth(a <= b),
            Binary::Equal => truth(a == b),
        }
    }

    const fn torch_name(self) -> &'static str {
        match self {
            Binary::Add => "add",
            Binary::Sub => "sub",
            Binary::Mul => "mul",
            Binary::Div => "div",
            Binary::Maximum => "maximum",
            Binary::Minimum => "minimum",
            Binary::Less => "lt",
            Binary::LessEqual => "le",
            Binary::Equal => "eq",
        }
    }

    /// The shape rule.
    pub const fn rule(self, a: &ShapeVar, b: &ShapeVar) -> Result<ShapeVar, SizeError> {
        broadcast(self.torch_name(), a, b)
    }
}

impl Var {
    /// The greater of both, value by value; NaN where one is. PyTorch's `torch.maximum`.
    #[track_caller]
    pub fn maximum(self, other: Var) -> Var {
        Var::apply(Binary::Maximum, &[self, other])
    }

    /// The lesser of both, value by value; NaN where one is. PyTorch's `torch.minimum`.
    #[track_caller]
    pub fn minimum(self, other: Var) -> Var {
        Var::apply(Binary::Minimum, &[self, other])
    }

    /// 1 where `self < other`, else 0. Comparisons pass no gradient on.
    #[track_caller]
    pub fn lt(self, other: Var) -> Var {
        Var::apply(Binary::Less, &[self, other])
    }

    /// 1 where `self <= other`, else 0.
    #[track_caller]
    pub fn le(self, other: Var) -> Var {
        Var::apply(Binary::LessEqual, &[self, other])
    }

    /// 1 where `self > other`, else 0.
    #[track_caller]
    pub fn gt(self, other: Var) -> Var {
        other.lt(self)
    }

    /// 1 where `self >= other`, else 0.
    #[track_caller]
    pub fn ge(self, other: Var) -> Var {
        other.le(self)
    }

    /// 1 where `self == other`, else 0.
    #[track_caller]
    pub fn eq(self, other: Var) -> Var {
        Var::apply(Binary::Equal, &[self, other])
    }
}

impl ShapeVar {
    /// The twin of [`Var::maximum`].
    #[track_caller]
    pub const fn maximum(self, other: Self) -> Self {
        Self::proved(Binary::Maximum.rule(&self, &other))
    }

    /// The twin of [`Var::minimum`].
    #[track_caller]
    pub const fn minimum(self, other: Self) -> Self {
        Self::proved(Binary::Minimum.rule(&self, &other))
    }

    /// The twin of [`Var::lt`].
    #[track_caller]
    pub const fn lt(self, other: Self) -> Self {
        Self::proved(Binary::Less.rule(&self, &other))
    }

    /// The twin of [`Var::le`].
    #[track_caller]
    pub const fn le(self, other: Self) -> Self {
        Self::proved(Binary::LessEqual.rule(&self, &other))
    }

    /// The twin of [`Var::gt`].
    #[track_caller]
    pub const fn gt(self, other: Self) -> Self {
        other.lt(self)
    }

    /// The twin of [`Var::ge`].
    #[track_caller]
    pub const fn ge(self, other: Self) -> Self {
        other.le(self)
    }

    /// The twin of [`Var::eq`].
    #[track_caller]
    pub const fn eq(self, other: Self) -> Self {
        Self::proved(Binary::Equal.rule(&self, &other))
    }
}

/// `a ∘ b` on values, on a value and a number, and both in the twin.
macro_rules! operators {
    ($($trait:ident $method:ident $sign:tt, |$x:ident, $s:ident| $right:expr, $left:expr;)*) => {$(
        impl $trait<Var> for Var {
            type Output = Var;

            #[track_caller]
            fn $method(self, other: Var) -> Var {
                Var::apply(Binary::$trait, &[self, other])
            }
        }

        impl $trait<f32> for Var {
            type Output = Var;

            #[track_caller]
            fn $method(self, $s: f32) -> Var {
                let $x = self;
                $right
            }
        }

        impl $trait<Var> for f32 {
            type Output = Var;

            #[track_caller]
            fn $method(self, $x: Var) -> Var {
                let $s = self;
                $left
            }
        }

        impl Pair<ShapeVar, ShapeVar> {
            #[doc = concat!("The twin of `a ", stringify!($sign), " b`.")]
            #[track_caller]
            pub const fn $method(self) -> ShapeVar {
                ShapeVar::proved(Binary::$trait.rule(&self.0, &self.1))
            }
        }

        impl Pair<ShapeVar, f32> {
            #[doc = concat!("The twin of `x ", stringify!($sign), " number`.")]
            pub const fn $method(self) -> ShapeVar {
                self.0
            }
        }

        impl Pair<f32, ShapeVar> {
            #[doc = concat!("The twin of `number ", stringify!($sign), " x`.")]
            pub const fn $method(self) -> ShapeVar {
                self.1
            }
        }
    )*};
}

operators! {
    Add add +, |x, s| x.map(Map::AddScalar(s)), x.map(Map::AddScalar(s));
    Sub sub -, |x, s| x.map(Map::AddScalar(-s)), x.map(Map::Neg).map(Map::AddScalar(s));
    Mul mul *, |x, s| x.map(Map::MulScalar(s)), x.map(Map::MulScalar(s));
    Div div /, |x, s| x.map(Map::MulScalar(1.0 / s)), x.map(Map::Recip).map(Map::MulScalar(s));
}

/// `a += b`: the name is given to the result.
macro_rules! assignments {
    ($($trait:ident $method:ident from $operator:ident $sign:tt;)*) => {$(
        impl<T> $trait<T> for Var
        where
            Var: $operator<T, Output = Var>,
        {
            #[track_caller]
            fn $method(&mut self, other: T) {
                *self = *self $sign other;
            }
        }
    )*};
}

assignments! {
    AddAssign add_assign from Add +;
    SubAssign sub_assign from Sub -;
    MulAssign mul_assign from Mul *;
    DivAssign div_assign from Div /;
}

impl Neg for Var {
    type Output = Var;

    #[track_caller]
    fn neg(self) -> Var {
        self.map(Map::Neg)
    }
}

impl Single<ShapeVar> {
    /// The twin of `-x`.
    pub const fn neg(self) -> ShapeVar {
        self.0
    }
}

impl Meaning for Binary {
    fn name(&self) -> &'static str {
        self.torch_name()
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0], &inputs[1])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [a, b] = run.inputs else { unreachable!("two inputs") };
        let at_a = positions(run.shape.dims(), &broadcast_strides(a.shape(), run.shape));
        let at_b = positions(run.shape.dims(), &broadcast_strides(b.shape(), run.shape));
        run.per_image(|image, y| {
            for (y, (&i, &j)) in y.iter_mut().zip(at_a.iter().zip(&at_b)) {
                *y = self.apply(a.image(image)[i], b.image(image)[j]);
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let (a, b, gradient) = (d.inputs[0], d.inputs[1], d.gradient);
        let (by_a, by_b) = match self {
            Binary::Add => (gradient, gradient),
            // The sign is changed behind the sum, where there are fewer values.
            Binary::Sub => return vec![Some(unbroadcast(gradient, a)), Some(-unbroadcast(gradient, b))],
            Binary::Mul => (gradient * b, gradient * a),
            Binary::Div => {
                let by_a = gradient / b;
                (by_a, -(by_a * d.output))
            }
            Binary::Maximum | Binary::Minimum => {
                let zero = Var::constant(0.0, Shape::scalar(false));
                let shared = a.eq(b).where_(gradient * 0.5, gradient);
                let (a_loses, b_loses) = if *self == Binary::Maximum { (a.lt(b), b.lt(a)) } else { (b.lt(a), a.lt(b)) };
                (a_loses.where_(zero, shared), b_loses.where_(zero, shared))
            }
            Binary::Less | Binary::LessEqual | Binary::Equal => return vec![None, None],
        };
        vec![Some(unbroadcast(by_a, a)), Some(unbroadcast(by_b, b))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, mistake, value, whole};

    #[test]
    fn mistakes_are_named() {
        let add = |a: Shape, b: Shape| mistake(&[a, b], |x| x[0] + x[1]);
        let headline = |text: String| text.lines().next().unwrap().to_owned();
        let (image, five) = (Shape::image(16, 28, 28), Shape::whole(&[5]).unwrap());
        assert_eq!(
            add(image, Shape::image(32, 14, 14)),
            "add: 16x28x28 and 32x14x14 do not fit together: axis 0 is 16 and 32\n  \
             sizes so far:\n    input        16x28x28\n  \
             mend it: a 1x1 convolution on the 16x28x28 side: Conv2d::new(16, 32, 1).stride(2)"
        );
        assert_eq!(
            headline(add(image, Shape::batched(&[28]).unwrap())),
            "add: 16x28x28 and 28 do not fit together: one has 3 axes, the other 1"
        );
        assert_eq!(headline(add(image, five)), "add: 16x28x28 and 5 do not fit together: axis 2 is 28 and 5");
        let (tall, wide) = (Shape::whole(&[1 << 20, 1]).unwrap(), Shape::whole(&[1 << 20]).unwrap());
        assert_eq!(headline(add(tall, wide)), "add: the result would have more than 2^31 values per image");
    }

    #[test]
    fn a_batched_value_meets_a_whole_one_image_by_image() {
        let x = batched(&[2, 2], &[1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0]);
        let column = whole(&[2, 1], &[1.0, 2.0]);
        let product = value(&[x.clone(), column], |v| v[0] * v[1]);
        assert_eq!(product.data(), [1.0, 2.0, 6.0, 8.0, 10.0, 20.0, 60.0, 80.0]);
        let row = whole(&[2], &[1.0, 2.0]);
        assert_eq!(value(&[row, x], |v| v[0] - v[1]).data(), [0.0, 0.0, -2.0, -2.0, -9.0, -18.0, -29.0, -38.0]);
    }

    #[test]
    fn numbers_mix_with_values() {
        let x = batched(&[2], &[2.0, 4.0]);
        let run = |f: fn(Var) -> Var| value(std::slice::from_ref(&x), |v| f(v[0])).data().to_vec();
        assert_eq!(run(|x| 1.0 + x * 2.0), [5.0, 9.0]);
        assert_eq!(run(|x| 1.0 - x / 2.0), [0.0, -1.0]);
        assert_eq!(run(|x| 8.0 / (x - 1.0) - 0.0 * x), [8.0, 8.0 / 3.0]);
        assert_eq!(run(|x| -x), [-2.0, -4.0]);
    }

    #[test]
    fn comparisons_give_one_or_zero_and_none_for_nan() {
        let (a, b) = (batched(&[4], &[1.0, 2.0, 3.0, f64::NAN]), batched(&[4], &[2.0, 2.0, 2.0, 2.0]));
        let run = |f: fn(Var, Var) -> Var| value(&[a.clone(), b.clone()], |v| f(v[0], v[1])).data().to_vec();
        assert_eq!(run(Var::lt), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(run(Var::le), [1.0, 1.0, 0.0, 0.0]);
        assert_eq!(run(Var::gt), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(run(Var::ge), [0.0, 1.0, 1.0, 0.0]);
        assert_eq!(run(Var::eq), [0.0, 1.0, 0.0, 0.0]);
    }

    /// torch.maximum and torch.minimum: a NaN wins on either side, and a tie splits the gradient.
    #[test]
    fn maximum_and_minimum_at_nan_and_ties() {
        for binary in [Binary::Maximum, Binary::Minimum] {
            assert!(binary.apply(f64::NAN, 1.0).is_nan() && binary.apply(1.0, f64::NAN).is_nan());
            let inputs = [batched(&[3], &[1.0, 2.0, 3.0]), batched(&[3], &[2.0, 2.0, 2.0])];
            let both = gradients(&inputs, |x| Var::apply(binary, x));
            let (lesser, greater) = if binary == Binary::Maximum { (0, 1) } else { (1, 0) };
            assert_eq!(both[lesser].data(), [0.0, 0.5, 1.0]);
            assert_eq!(both[greater].data(), [1.0, 0.5, 0.0]);
        }
    }
}
