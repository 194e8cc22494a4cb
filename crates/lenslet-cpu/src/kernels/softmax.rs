//! Softmax along an axis, or its logarithm: three passes over each row.
//!
//! The values of a row lie `inner` vectors apart, where `inner` is the size of the axes behind. The greatest is found,
//! then the exponentials of the differences to it are written and added up, then they are divided by their sum. A NaN
//! anywhere, or nothing but −∞, makes the whole row NaN.

use lenslet_graph::ops::softmax::Softmax as Op;

use super::Call;
use crate::simd::{Kernel, Lanes};

/// The input's softmax.
pub(crate) struct Softmax<'a> {
    pub(crate) softmax: Op,
    pub(crate) call: Call<'a>,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: y, shape, .. } = self.call;
        let (x, dims, axis) = (inputs[0].data, shape.dims(), self.softmax.axis);
        let inner: usize = dims[axis + 1..].iter().product();
        for outer in (0..shape.len()).step_by(dims[axis] * inner) {
            for first in outer..outer + inner {
                let row = (first..first + dims[axis] * inner).step_by(inner);
                let mut max = simd.splat(f32::NEG_INFINITY);
                for i in row.clone() {
                    let x = simd.load(x, i);
                    max = simd.if_less(max, x, x, max);
                }
                let mut sum = simd.splat(0.0);
                for i in row.clone() {
                    let x = simd.sub(simd.load(x, i), max);
                    let power = simd.exp(x);
                    sum = simd.add(sum, power);
                    simd.store(if self.softmax.log { x } else { power }, y, i);
                }
                if self.softmax.log {
                    let log = simd.each(sum, |_, sum| sum.ln());
                    for i in row {
                        simd.store(simd.sub(simd.load(y, i), log), y, i);
                    }
                } else {
                    for i in row {
                        simd.store(simd.div(simd.load(y, i), sum), y, i);
                    }
                }
            }
        }
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
            dims in prop::collection::vec(1usize..7, 1..4),
            axis in 0usize..3,
            log in any::<bool>(),
            batched in any::<bool>(),
            batch in 1usize..20,
            scale in prop::sample::select(&[0.5f32, 5.0, 500.0][..]),
            seed in any::<u64>(),
        ) {
            let softmax = Op { axis: axis % dims.len(), log };
            let x = Random::new(seed).range(shape(batched, &dims), batch, -scale, scale);
            Check::new(softmax, [x]).kernel(|machine, call| machine.run(Softmax { softmax, call }));
        }
    }

    #[test]
    fn a_nan_or_nothing_but_minus_infinity_is_nan_throughout() {
        for log in [false, true] {
            let softmax = Op { axis: 0, log };
            let x = Random::new(1).choice(shape(true, &[2]), 40, &[f32::NAN, f32::NEG_INFINITY, 1.0]);
            Check::new(softmax, [x]).kernel(|machine, call| machine.run(Softmax { softmax, call }));
        }
    }
}
