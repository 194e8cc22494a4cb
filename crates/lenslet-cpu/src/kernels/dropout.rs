//! Dropout: random zeros, the same ones forward and backward.
//!
//! Whether a value stays is a function of seed, layer, step, image and element, so neither the tile nor the lane in which
//! an image happens to stand matters. The generator gives four elements at a time, image by image.

use lenslet_rng::dropout_uniform4;

use super::Call;
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Zeros with probability `p`, the rest divided by `1 − p`.
pub(crate) struct Dropout<'a> {
    pub(crate) p: f32,
    pub(crate) layer: u32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Dropout<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        let (p, scale) = (simd.splat(self.p), simd.splat(1.0 / (1.0 - self.p)));
        let blocks = inputs[0].data.chunks(4 * S::N).zip(output.chunks_mut(4 * S::N));
        for (block, (x, y)) in blocks.enumerate() {
            let mut uniform = [[0.0; MAX_LANES]; 4];
            for lane in 0..S::N {
                let image = (tile.first + lane) as u32;
                let numbers = dropout_uniform4(tile.seed, self.layer, tile.step, image, block as u32);
                for (uniform, number) in uniform.iter_mut().zip(numbers) {
                    uniform[lane] = number;
                }
            }
            for ((x, y), uniform) in x.chunks_exact(S::N).zip(y.chunks_exact_mut(S::N)).zip(&uniform) {
                let scaled = simd.mul(simd.load(x, 0), scale);
                simd.store(simd.if_less(simd.load(uniform, 0), p, simd.splat(0.0), scaled), y, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::dropout::DropoutMask;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random, shape};

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..7, 0..4),
            p in prop::sample::select(&[0.1f32, 0.5, 0.9, 1.0][..]),
            layer in 0u32..1000,
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let x = Random::new(seed).tensor(shape(batched, &dims), batch);
            let check = Check::new(DropoutMask { p, layer }, [x]).gradient(0);
            let empty = check.kernel(|machine, call| machine.run(Dropout { p, layer, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
