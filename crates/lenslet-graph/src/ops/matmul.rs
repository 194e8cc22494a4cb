//! Matrix products, `[…, m, k] × […, k, n] → […, m, n]`.
//!
//! PyTorch's `torch.matmul` (<https://pytorch.org/docs/stable/generated/torch.matmul.html>) for values of two or more
//! axes; it has a product for single vectors too, which here is [`Linear`](crate::Linear) or a product and a sum. The axes
//! before the last two broadcast as in [`expand`](super::expand), and so does the batch: each image has a product of its
//! own, with the whole of a value that is not batched.

use super::expand::{broadcast_strides, misfit, positions, stretched, unbroadcast};
use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{MAX_RANK, Mistake, Shape, ShapeVar, SizeError, Var};

/// The op; its inputs are the left and the right factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatMul;

impl MatMul {
    /// The shape rule.
    pub const fn rule(&self, a: &ShapeVar, b: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let (left, right) = (a.shape(), b.shape());
        if left.rank() < 2 || right.rank() < 2 {
            let arrived = if left.rank() < 2 { *a } else { *b };
            return Err(SizeError { op: "matmul", mistake: Mistake::Rank { expected: "two matrices" }, arrived });
        }
        let (m, k, n) = (left.dim(left.rank() - 2), left.dim(left.rank() - 1), right.dim(right.rank() - 1));
        let (left_stack, right_stack) = (stack(&left), stack(&right));
        let mistake = if k != right.dim(right.rank() - 2) {
            Mistake::Inner { other: right }
        } else if misfit(&left_stack, &right_stack).is_some() {
            Mistake::Stacks { other: right }
        } else {
            match product(stretched(&left_stack, &right_stack), m, n) {
                None => Mistake::TooLarge,
                Some(shape) => {
                    let story = if right.is_batched() && !left.is_batched() { b } else { a };
                    return Ok(story.step("matmul", shape));
                }
            }
        };
        Err(SizeError { op: "matmul", mistake, arrived: *a })
    }
}

/// The axes before the matrix.
const fn stack(shape: &Shape) -> Shape {
    match Shape::batched(shape.dims().split_at(shape.rank() - 2).0) {
        Some(stack) => stack.with_batch(shape.is_batched()),
        None => panic!("a part of sizes that fit fits"),
    }
}

/// A stack of `m×n`.
const fn product(stack: Option<Shape>, m: usize, n: usize) -> Option<Shape> {
    let Some(stack) = stack else { return None };
    let mut dims = [1; MAX_RANK];
    let mut axis = 0;
    while axis < stack.rank() {
        dims[axis] = stack.dim(axis);
        axis += 1;
    }
    dims[axis] = m;
    dims[axis + 1] = n;
    match Shape::batched(dims.split_at(axis + 2).0) {
        Some(shape) => Some(shape.with_batch(stack.is_batched())),
        None => None,
    }
}

impl Var {
    /// The matrix product `[…, m, k] × […, k, n] → […, m, n]`, PyTorch's `a @ b`.
    #[track_caller]
    pub fn matmul(self, other: Var) -> Var {
        Var::apply(MatMul, &[self, other])
    }
}

impl ShapeVar {
    /// The twin of [`Var::matmul`].
    #[track_caller]
    pub const fn matmul(self, other: Self) -> Self {
        Self::proved(MatMul.rule(&self, &other))
    }
}

impl Meaning for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0], &inputs[1])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [a, b] = run.inputs else { unreachable!("two inputs") };
        let (m, n) = (run.shape.dim(run.shape.rank() - 2), run.shape.dim(run.shape.rank() - 1));
        let k = a.shape().dim(a.shape().rank() - 1);
        // Which matrix of a factor belongs to each matrix of the product.
        let stacks = stack(&run.shape);
        let at = |x: &Tensor<F>| positions(stacks.dims(), &broadcast_strides(stack(&x.shape()), stacks));
        let (at_a, at_b) = (at(a), at(b));
        run.per_image(|image, y| {
            for (s, y) in y.chunks_exact_mut(m * n).enumerate() {
                let a = &a.image(image)[at_a[s] * m * k..];
                let b = &b.image(image)[at_b[s] * k * n..];
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    y[i * n + j] = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                }
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let (a, b) = (d.inputs[0], d.inputs[1]);
        let by_a = d.gradient.matmul(b.transpose(-2, -1));
        let by_b = a.transpose(-2, -1).matmul(d.gradient);
        vec![Some(unbroadcast(by_a, a)), Some(unbroadcast(by_b, b))]
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        output.len() as u64 * inputs[0].dim(inputs[0].rank() - 1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, mistake, value, whole};

    #[test]
    fn multiplies_matrices_image_by_image() {
        let x = batched(&[1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let w = whole(&[2, 3], &[1.0, 0.0, 10.0, 0.0, 1.0, 100.0]);
        assert_eq!(value(&[x.clone(), w], |v| v[0].matmul(v[1])).data(), [1.0, 2.0, 210.0, 3.0, 4.0, 430.0]);
        let squares = value(&[x], |v| v[0].matmul(v[0].transpose(0, 1)));
        assert_eq!(squares.data(), [5.0, 25.0]);
    }

    #[test]
    fn stacks_broadcast() {
        let sizes = |a: &[usize], b: &[usize]| {
            let (a, b) = (Shape::batched(a).unwrap(), Shape::whole(b).unwrap());
            MatMul.rule(&ShapeVar::new(a), &ShapeVar::new(b)).map(|y| y.shape().dims().to_vec())
        };
        assert_eq!(sizes(&[4, 1, 2, 3], &[5, 3, 7]).unwrap(), [4, 5, 2, 7]);
        assert_eq!(sizes(&[4, 2, 3], &[3, 7]).unwrap(), [4, 2, 7]);
        let stack = whole(&[2, 1, 1], &[1.0, 10.0]);
        assert_eq!(value(&[stack, whole(&[1, 2], &[3.0, 4.0])], |v| v[0].matmul(v[1])).data(), [3.0, 4.0, 30.0, 40.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let say = |a: &[usize], b: &[usize]| {
            let text = mistake(&[Shape::batched(a).unwrap(), Shape::batched(b).unwrap()], |v| v[0].matmul(v[1]));
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(say(&[2, 3], &[2, 3]), "matmul: 2x3 by 2x3: the left's last size must be the right's last but one");
        assert_eq!(say(&[2, 3], &[3]), "matmul: expects two matrices, but 3 arrives");
        assert_eq!(
            say(&[4, 2, 3], &[5, 3, 2]),
            "matmul: 4x2x3 by 5x3x2: the axes before the matrices must agree, or be 1"
        );
        assert_eq!(say(&[1 << 20, 1], &[1, 1 << 20]), "matmul: the result would have more than 2^31 values per image");
    }
}
