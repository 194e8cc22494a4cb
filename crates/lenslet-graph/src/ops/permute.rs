//! Another order of axes: PyTorch's `permute` and `transpose`
//! (<https://pytorch.org/docs/stable/generated/torch.permute.html>).
//!
//! `permute([1, 2, 0])` makes H×W×C of C×H×W: the new axis `i` is the old axis `order[i]`. Axes count within one image,
//! from −1 at the end, and the batch stays where it is. Values move, so a `view` behind it sees the new order.

use super::expand::positions;
use super::reduce::{checked, resolve_axis};
use super::{Derivative, Meaning, Run, ok};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, Pair, Shape, ShapeVar, SizeError, Var};

/// Another order of axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permute {
    /// For each new axis the old one; entries behind the value's last axis name themselves.
    pub order: [usize; MAX_RANK],
}

impl Permute {
    const STAY: Self = Self { order: [0, 1, 2, 3, 4, 5] };

    /// The op that puts the axes of `x` in an order as users name it.
    pub const fn to(x: &ShapeVar, order: &[isize]) -> Result<Self, SizeError> {
        if order.len() != x.shape().rank() {
            return Err(SizeError { op: "permute", mistake: Mistake::Permutation, arrived: *x });
        }
        let mut permute = Self::STAY;
        let mut axis = 0;
        while axis < order.len() {
            permute.order[axis] = ok!(resolve_axis("permute", x, order[axis]));
            axis += 1;
        }
        Ok(permute)
    }

    /// The op that exchanges two axes of `x`.
    pub const fn exchange(x: &ShapeVar, a: isize, b: isize) -> Result<Self, SizeError> {
        let (a, b) = (ok!(resolve_axis("transpose", x, a)), ok!(resolve_axis("transpose", x, b)));
        let mut permute = Self::STAY;
        (permute.order[a], permute.order[b]) = (b, a);
        Ok(permute)
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let from = x.shape();
        let mut dims = [0; MAX_RANK];
        let mut axis = 0;
        while axis < from.rank() {
            let mut before = 0;
            while before < axis {
                if self.order[before] == self.order[axis] {
                    return Err(SizeError { op: "permute", mistake: Mistake::Permutation, arrived: *x });
                }
                before += 1;
            }
            dims[axis] = from.dim(self.order[axis]);
            axis += 1;
        }
        match Shape::batched(dims.split_at(from.rank()).0) {
            Some(shape) => Ok(x.step("permute", shape.with_batch(from.is_batched()))),
            None => panic!("sizes that fit fit in any order"),
        }
    }

    /// The order that leads back.
    fn inverse(&self) -> Self {
        let mut inverse = Self::STAY;
        for (new, &old) in self.order.iter().enumerate() {
            inverse.order[old] = new;
        }
        inverse
    }
}

impl Var {
    /// The axes in another order: from C×H×W, `permute([1, 2, 0])` makes H×W×C.
    #[track_caller]
    pub fn permute<const N: usize>(self, order: [isize; N]) -> Var {
        checked(Permute::to(&self.sizes(), &order), &[self])
    }

    /// Two axes exchanged: `transpose(-2, -1)` transposes matrices.
    #[track_caller]
    pub fn transpose(self, a: isize, b: isize) -> Var {
        checked(Permute::exchange(&self.sizes(), a, b), &[self])
    }
}

impl<const N: usize> Pair<ShapeVar, [isize; N]> {
    /// The twin of [`Var::permute`].
    #[track_caller]
    pub const fn permute(self) -> ShapeVar {
        ShapeVar::proved(permuted(&self.0, Permute::to(&self.0, &self.1)))
    }
}

impl ShapeVar {
    /// The twin of [`Var::transpose`].
    #[track_caller]
    pub const fn transpose(self, a: isize, b: isize) -> Self {
        Self::proved(permuted(&self, Permute::exchange(&self, a, b)))
    }
}

const fn permuted(x: &ShapeVar, permute: Result<Permute, SizeError>) -> Result<ShapeVar, SizeError> {
    ok!(permute).rule(x)
}

impl Meaning for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let old = run.inputs[0].shape().strides();
        let strides: Vec<usize> = self.order[..old.len()].iter().map(|&axis| old[axis]).collect();
        let from = positions(run.shape.dims(), &strides);
        run.per_image(|image, y| {
            for (y, &place) in y.iter_mut().zip(&from) {
                *y = run.inputs[0].image(image)[place];
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![Some(Var::apply(self.inverse(), &[d.gradient]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, mistake, value};

    #[test]
    fn values_move_with_their_axes() {
        let x = batched(&[2, 3], &(0..12).map(f64::from).collect::<Vec<_>>());
        let y = value(&[x], |x| x[0].transpose(0, -1));
        assert_eq!((y.shape().dims(), y.image(1)), (&[3, 2][..], &[6.0, 9.0, 7.0, 10.0, 8.0, 11.0][..]));
        const LAST: ShapeVar = Pair(ShapeVar::image([3, 4, 5]), [1, 2, 0]).permute();
        assert_eq!(LAST.shape(), Shape::image(4, 5, 3));
    }

    #[test]
    fn the_inverse_leads_back() {
        let there = Permute { order: [2, 0, 1, 3, 4, 5] };
        let x = ShapeVar::image([3, 4, 5]);
        let y = there.rule(&x).unwrap();
        assert_eq!(y.shape(), Shape::image(5, 3, 4));
        assert_eq!(there.inverse().rule(&y).unwrap().shape(), x.shape());
    }

    #[test]
    fn mistakes_are_named() {
        let image = [Shape::image(3, 4, 5)];
        assert_eq!(
            mistake(&image, |x| x[0].permute([1, 2, 1])),
            "permute: the order must name each axis of 3x4x5 once\n  \
             sizes so far:\n    input        3x4x5\n  \
             mend it: for C×H×W to H×W×C: permute([1, 2, 0])"
        );
        assert!(mistake(&image, |x| x[0].permute([1, 0])).starts_with("permute: the order must name each axis"));
        assert!(mistake(&image, |x| x[0].permute([0, 1, 3])).starts_with("permute: there is no axis 3 in 3x4x5"));
        assert!(mistake(&image, |x| x[0].transpose(0, -4)).starts_with("transpose: there is no axis -4 in 3x4x5"));
    }
}
