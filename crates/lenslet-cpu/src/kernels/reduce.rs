//! Sum, mean and maximum over axes.
//!
//! Two nests of loops: one over the axes that stay, and for each result one over the axes that go; neighbouring axes of a
//! kind are one loop. Sums are made in [`totals`], which other kernels use too.

use lenslet_graph::MAX_RANK;
use lenslet_graph::ops::reduce::{Reduce as Op, ReduceKind};

use super::Call;
use super::nest::Nest;
use crate::simd::{Kernel, Lanes};

/// The result of the input over the op's axes.
pub(crate) struct Reduce<'a> {
    pub(crate) reduce: Op,
    pub(crate) call: Call<'a>,
}

impl Kernel for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, .. } = self.call;
        let (x, from) = (inputs[0].data, inputs[0].shape);
        let [stay, go] = nests(from.dims(), &self.reduce.axes);
        let (count, [step]) = stay.row();
        let (part_len, [part_step]) = go.row();
        let share = simd.splat(shape.len() as f32 / from.len() as f32);
        let mut results = output.chunks_exact_mut(S::N);
        for [start] in stay.starts() {
            for (i, y) in results.by_ref().take(count).enumerate() {
                let is_max = self.reduce.kind == ReduceKind::Max;
                let mut result = simd.splat(if is_max { f32::NEG_INFINITY } else { 0.0 });
                for [part] in go.starts() {
                    let x = &x[(start + i * step + part) * S::N..];
                    if is_max {
                        for j in 0..part_len {
                            result = greater(simd, result, simd.load(x, j * part_step));
                        }
                    } else {
                        let [sum] = totals(simd, part_len, part_step, [x], |[x]| [x]);
                        result = simd.add(result, sum);
                    }
                }
                let is_mean = self.reduce.kind == ReduceKind::Mean;
                simd.store(if is_mean { simd.mul(result, share) } else { result }, y, 0);
            }
        }
    }
}

/// Loops over the axes that stay, and over those that go.
fn nests(dims: &[usize], gone: &[bool; MAX_RANK]) -> [Nest<1>; 2] {
    let mut strides = [1; MAX_RANK];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    [false, true].map(|goes| {
        let axes = dims.iter().zip(strides).zip(gone).filter(|&(_, &gone)| gone == goes);
        Nest::of(axes.map(|((&dim, stride), _)| (dim, [stride])))
    })
}

/// The greater of both, or NaN where one is.
#[inline(always)]
pub(super) fn greater<S: Lanes>(simd: S, a: S::V, b: S::V) -> S::V {
    simd.if_less(a, b, b, simd.if_equal(b, b, a, b))
}

/// Values that are at least added up by themselves before their sum joins the total. There are about as many in a block as
/// there are blocks, so that rounding grows with the root of their number.
const BLOCK: usize = 64;

/// Sums under way at once: an addition takes 3 or 4 cycles.
const CHAINS: usize = 4;

/// The sums of `K` functions of `n` values of each input, which lie `step` vectors apart.
#[inline(always)]
pub(super) fn totals<S: Lanes, const A: usize, const K: usize>(
    simd: S,
    n: usize,
    step: usize,
    inputs: [&[f32]; A],
    f: impl Fn([S::V; A]) -> [S::V; K],
) -> [S::V; K] {
    let zero = [simd.splat(0.0); K];
    let mut total = zero;
    let block = n.isqrt().max(BLOCK);
    for first in (0..n).step_by(block) {
        let mut chains = [zero; CHAINS];
        let len = block.min(n - first);
        let even = len - len % CHAINS;
        for i in (first..first + even).step_by(CHAINS) {
            for (c, chain) in chains.iter_mut().enumerate() {
                add(simd, chain, f(load(simd, inputs, (i + c) * step)));
            }
        }
        for i in first + even..first + len {
            add(simd, &mut chains[0], f(load(simd, inputs, i * step)));
        }
        for chain in chains {
            add(simd, &mut total, chain);
        }
    }
    total
}

#[inline(always)]
fn load<S: Lanes, const A: usize>(simd: S, inputs: [&[f32]; A], i: usize) -> [S::V; A] {
    let mut values = [simd.splat(0.0); A];
    for (value, input) in values.iter_mut().zip(inputs) {
        *value = simd.load(input, i);
    }
    values
}

#[inline(always)]
fn add<S: Lanes, const K: usize>(simd: S, sums: &mut [S::V; K], terms: [S::V; K]) {
    for (sum, term) in sums.iter_mut().zip(terms) {
        *sum = simd.add(*sum, term);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random, shape};

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..9, 0..5),
            axes in any::<[bool; MAX_RANK]>(),
            kind in prop::sample::select(&[ReduceKind::Sum, ReduceKind::Mean, ReduceKind::Max][..]),
            keep in any::<bool>(),
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let axes = std::array::from_fn(|axis| axes[axis] && axis < dims.len());
            let reduce = Op { kind, axes, keep };
            let shape = shape(batched, &dims);
            let x = match random.below(3) {
                0 => random.choice(shape, batch, &[0.0, 1.0, -1.0, 2.0, 3.0, f32::NEG_INFINITY, f32::NAN]),
                _ => random.tensor(shape, batch),
            };
            Check::new(reduce, [x]).kernel(|machine, call| machine.run(Reduce { reduce, call }));
        }
    }

    /// One sum of as many numbers as a large weight has; added up one by one, they would be off by 1e-5.
    #[test]
    fn long_sums_keep_their_digits() {
        let x = Random::new(0).range(shape(false, &[1 << 20]), 1, 0.0, 1.0);
        let reduce = Op { kind: ReduceKind::Sum, axes: [true, false, false, false, false, false], keep: false };
        Check::new(reduce, [x]).tolerance(1e-6).kernel(|machine, call| machine.run(Reduce { reduce, call }));
    }
}
