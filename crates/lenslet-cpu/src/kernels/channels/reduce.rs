//! Sums and means over the last axes of one image's value, as a bias's gradient is: neighbouring numbers in the lanes.

use lenslet_graph::Shape;
use lenslet_graph::ops::reduce::{Reduce as Op, ReduceKind};

use crate::kernels::Call;
use crate::kernels::reduce::totals;
use crate::simd::{Kernel, Lanes};

/// Whether [`Reduce`] can do it: what goes are the last axes, and they fill some vectors.
pub(crate) fn fits(op: &Op, x: Shape, y: Shape) -> bool {
    let axes = &op.axes[..x.rank()];
    let last = axes.is_sorted() && axes.contains(&true);
    last && op.kind != ReduceKind::Max && x.len() >= 32 * y.len()
}

/// The sum or mean of each row of numbers.
pub(crate) struct Reduce<'a> {
    pub(crate) op: Op,
    pub(crate) call: Call<'a>,
}

impl Kernel for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, .. } = self.call;
        let row = inputs[0].data.len() / output.len();
        let share = if self.op.kind == ReduceKind::Mean { 1.0 / row as f32 } else { 1.0 };
        for (y, x) in output.iter_mut().zip(inputs[0].data.chunks_exact(row)) {
            let (whole, rest) = x.split_at(row - row % S::N);
            let [sum] = totals(simd, whole.len() / S::N, 1, [whole], |[x]| [x]);
            *y = (simd.sum(sum) + rest.iter().sum::<f32>()) * share;
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::MAX_RANK;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Machine, Random, shape};

    proptest! {
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
            let x = Random::new(seed).tensor(shape(true, &dims), 3);
            // Partial sums of n numbers are as large as √n, and each is rounded; one number left out would be 1e-2 and more.
            let rounding = 1e-6 * (dims.iter().product::<usize>() as f64).sqrt();
            Check::new(op, [x]).tolerance(1e-5 + rounding).kernel(|machine, call| match machine {
                Machine::Channels(isa) => {
                    assert!(fits(&op, call.inputs[0].shape, call.shape));
                    isa.run(Reduce { op, call });
                }
                machine => machine.run(crate::kernels::reduce::Reduce { reduce: op, call }),
            });
        }
    }
}
