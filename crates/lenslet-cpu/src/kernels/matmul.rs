//! Matrix products, `[…, m, k] × […, k, n] → […, m, n]`, one per image.
//!
//! Lanes are images, so each image's product is the same few instructions on vectors. A register tile holds 4 rows by 2
//! columns of the product: 6 vectors are read for 8 products, and 8 sums are under way at once, as many as hide the
//! latency of a multiply-add. Either factor may be whole; then its numbers go into all lanes as they are read. The leading
//! axes broadcast, and are the loops of a [`Nest`].

use lenslet_graph::Shape;
use lenslet_graph::ops::binary::broadcast_strides;

use super::nest::Nest;
use super::{Call, Input};
use crate::simd::{Kernel, Lanes};

/// Inputs are the left and the right factor.
pub(crate) struct MatMul<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for MatMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, .. } = self.call;
        let [a, b] = [inputs[0], inputs[1]];
        let [[m, k], [_, n]] = [matrix(a.shape), matrix(b.shape)];
        let stacks = stack(shape);
        let strides = [a, b].map(|x| broadcast_strides(stack(x.shape), stacks));
        let nest = Nest::new(stacks.dims(), [&strides[0], &strides[1]]);
        let (count, [a_step, b_step]) = nest.row();
        let mut products = output.chunks_exact_mut(m * n * S::N);
        for [a_start, b_start] in nest.starts() {
            for (i, y) in products.by_ref().take(count).enumerate() {
                let (at_a, at_b) = ((a_start + i * a_step) * m * k, (b_start + i * b_step) * k * n);
                Product { a, b, at_a, at_b, k, n }.run(simd, y);
            }
        }
    }
}

/// Rows and columns.
fn matrix(shape: Shape) -> [usize; 2] {
    [shape.dim(shape.rank() - 2), shape.dim(shape.rank() - 1)]
}

/// The axes before the matrix.
fn stack(shape: Shape) -> Shape {
    Shape::batched(&shape.dims()[..shape.rank() - 2]).expect("a part of sizes that fit fits")
}

/// The product of two matrices.
struct Product<'a> {
    a: Input<'a>,
    b: Input<'a>,
    /// Where the matrices begin in their values.
    at_a: usize,
    at_b: usize,
    k: usize,
    n: usize,
}

impl Product<'_> {
    #[inline(always)]
    fn run<S: Lanes>(&self, simd: S, y: &mut [f32]) {
        let m = y.len() / (self.n * S::N);
        let wide = m - m % 4;
        for row in (0..wide).step_by(4) {
            self.rows::<S, 4>(simd, row, y);
        }
        for row in wide..m {
            self.rows::<S, 1>(simd, row, y);
        }
    }

    #[inline(always)]
    fn rows<S: Lanes, const R: usize>(&self, simd: S, row: usize, y: &mut [f32]) {
        let wide = self.n - self.n % 2;
        for column in (0..wide).step_by(2) {
            self.tile::<S, R, 2>(simd, row, column, y);
        }
        if wide < self.n {
            self.tile::<S, R, 1>(simd, row, wide, y);
        }
    }

    /// `R` rows and `C` columns of the product.
    #[inline(always)]
    fn tile<S: Lanes, const R: usize, const C: usize>(&self, simd: S, row: usize, column: usize, y: &mut [f32]) {
        let mut sums = [[simd.splat(0.0); C]; R];
        for l in 0..self.k {
            let mut b = [simd.splat(0.0); C];
            for (c, b) in b.iter_mut().enumerate() {
                *b = self.b.get(simd, self.at_b + l * self.n + column + c);
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let a = self.a.get(simd, self.at_a + (row + r) * self.k + l);
                for (sum, &b) in sums.iter_mut().zip(&b) {
                    *sum = simd.mul_add(a, b, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (c, &sum) in sums.iter().enumerate() {
                simd.store(sum, y, (row + r) * self.n + column + c);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::matmul::MatMul as Op;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::binary::tests::operand;
    use crate::kernels::testing::{Check, Random, shape};

    proptest! {
        #[test]
        fn is_the_reference(
            stacks in prop::collection::vec(1usize..4, 0..3),
            [m, k, n] in [1usize..10, 1usize..10, 1usize..6],
            batched in any::<[bool; 2]>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let [a, b] = batched.map(|batched| operand(&mut random, &stacks, batched));
            let factor = |stack: Shape, rows, columns| {
                shape(stack.is_batched(), &[stack.dims(), &[rows, columns]].concat())
            };
            let inputs = [random.tensor(factor(a, m, k), batch), random.tensor(factor(b, k, n), batch)];
            Check::new(Op, inputs).kernel(|machine, call| machine.run(MatMul { call }));
        }
    }
}
