//! Sums and means over the last axes of one image's value, as a bias's gradient is, or over the first, as parts of a sum are:
//! neighbouring numbers in the lanes.

use lenslet_graph::Shape;
use lenslet_graph::ops::reduce::{Reduce as Op, ReduceKind};

use crate::kernels::Call;
use crate::kernels::reduce::totals;
use crate::simd::{Kernel, Lanes};

/// Numbers that fill some vectors.
const MANY: usize = 32;

/// Whether [`Reduce`] can do it: what goes are the last axes, or the first, and numbers that stand together fill some vectors.
pub(crate) fn fits(op: &Op, x: Shape, y: Shape) -> bool {
    let axes = &op.axes[..x.rank()];
    let last = axes.is_sorted() && axes.contains(&true) && x.len() >= MANY * y.len();
    op.kind != ReduceKind::Max && (last || is_first(op, x) && y.len() >= MANY)
}

/// Whether what goes is the first axis, and no other.
fn is_first(op: &Op, x: Shape) -> bool {
    op.axes[0] && !op.axes[1..x.rank()].contains(&true) && x.rank() > 1
}

/// The sum or mean of each row of numbers, or of all rows.
pub(crate) struct Reduce<'a> {
    pub(crate) op: Op,
    pub(crate) call: Call<'a>,
}

impl Kernel for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, .. } = self.call;
        if is_first(&self.op, inputs[0].shape) {
            return rows(simd, self.op.kind, inputs[0].data, output);
        }
        let row = inputs[0].data.len() / output.len();
        let share = if self.op.kind == ReduceKind::Mean { 1.0 / row as f32 } else { 1.0 };
        for (y, x) in output.iter_mut().zip(inputs[0].data.chunks_exact(row)) {
            let (whole, rest) = x.split_at(row - row % S::N);
            let [sum] = totals(simd, whole.len() / S::N, 1, [whole], |[x]| [x]);
            *y = (simd.sum(sum) + rest.iter().sum::<f32>()) * share;
        }
    }
}

/// The sum or mean of all rows, in their order.
#[inline(always)]
fn rows<S: Lanes>(simd: S, kind: ReduceKind, x: &[f32], y: &mut [f32]) {
    let len = y.len();
    let share = simd.splat(if kind == ReduceKind::Mean { len as f32 / x.len() as f32 } else { 1.0 });
    for i in (0..len).step_by(S::N) {
        // The last vector ends where the rows do.
        let first = i.min(len - S::N);
        let mut sum = simd.splat(0.0);
        for row in x.chunks_exact(len) {
            sum = simd.add(sum, simd.load(&row[first..], 0));
        }
        simd.store(simd.mul(sum, share), &mut y[first..], 0);
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::MAX_RANK;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Machine, Random, shape};

    /// The op on every machine, with the kernel where channels are in the lanes.
    fn check(op: Op, dims: &[usize], tolerance: f64, seed: u64) {
        let x = Random::new(seed).tensor(shape(true, dims), 3);
        Check::new(op, [x]).tolerance(tolerance).kernel(|machine, call| match machine {
            Machine::Channels(isa) => {
                assert!(fits(&op, call.inputs[0].shape, call.shape));
                isa.run(Reduce { op, call });
            }
            machine => machine.run(crate::kernels::reduce::Reduce { reduce: op, call }),
        });
    }

    proptest! {
        #[test]
        fn parts_of_a_sum_are_the_reference(
            [parts, rows] in [1usize..9, 1usize..4],
            length in 32usize..80,
            kind in prop::sample::select(&[ReduceKind::Sum, ReduceKind::Mean][..]),
            seed in any::<u64>(),
        ) {
            let op = Op { kind, axes: std::array::from_fn(|axis| axis == 0), keep: false };
            check(op, &[parts, rows, length], 1e-5, seed);
            check(op, &[parts, length], 1e-5, seed);
        }

        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..9, 1..5),
            gone in 1usize..5,
            length in 32usize..80,
            kind in prop::sample::select(&[ReduceKind::Sum, ReduceKind::Mean][..]),
            seed in any::<u64>(),
        ) {
            let dims = [&dims[..], &[length]].concat();
            let first = dims.len().saturating_sub(gone);
            let axes: [bool; MAX_RANK] = std::array::from_fn(|axis| (first..dims.len()).contains(&axis));
            let op = Op { kind, axes, keep: false };
            // Partial sums of n numbers are as large as √n, and each is rounded; one number left out would be 1e-2 and more.
            let rounding = 1e-6 * (dims.iter().product::<usize>() as f64).sqrt();
            check(op, &dims, 1e-5 + rounding, seed);
        }
    }
}
