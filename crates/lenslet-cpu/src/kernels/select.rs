//! One of two values by a condition, with broadcasting: `a` where the condition is not 0 (a NaN is not), else `b`.
//!
//! Rows of a [`Nest`] over three operands, each read value by value, since each may be batched or whole.

use lenslet_graph::ops::binary::broadcast_strides;

use super::Call;
use super::nest::Nest;
use crate::simd::{Kernel, Lanes};

/// Inputs are condition, `a`, `b`.
pub(crate) struct Select<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for Select<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, .. } = self.call;
        let [condition, a, b] = [inputs[0], inputs[1], inputs[2]];
        let strides = [condition, a, b].map(|x| broadcast_strides(x.shape, shape));
        let nest = Nest::new(shape.dims(), [&strides[0], &strides[1], &strides[2]]);
        let (count, steps) = nest.row();
        for (starts, y) in nest.starts().zip(output.chunks_exact_mut(count * S::N)) {
            for (i, y) in y.chunks_exact_mut(S::N).enumerate() {
                let condition = condition.get(simd, starts[0] + i * steps[0]);
                let (a, b) = (a.get(simd, starts[1] + i * steps[1]), b.get(simd, starts[2] + i * steps[2]));
                simd.store(simd.if_equal(condition, simd.splat(0.0), b, a), y, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::select::Select as Op;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::binary::tests::operand;
    use crate::kernels::testing::{Check, Random};

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..6, 0..5),
            batched in any::<[bool; 3]>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let [condition, a, b] = batched.map(|batched| operand(&mut random, &dims, batched));
            let condition = random.choice(condition, batch, &[0.0, 0.0, 1.0, -0.5, f32::NAN]);
            let inputs = [condition, random.tensor(a, batch), random.tensor(b, batch)];
            Check::new(Op, inputs).kernel(|machine, call| machine.run(Select { call }));
        }
    }
}
