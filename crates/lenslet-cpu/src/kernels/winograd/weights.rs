//! Weights as [`conv2d`](super::conv2d) reads them: each kernel transformed, `G g Gᵀ`.
//!
//! The order is `[block of output channels][place][inner channel][channel in block]`. Lanes are kernels that stand side by
//! side there, so their transforms are written as vectors; their taps are gathered one by one. For the gradient by the
//! image, output and inner channels are exchanged and the kernels turned by half a circle.

use lenslet_graph::plan::Winograd as Way;

use super::transform::{Winograd, spread};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Blocks of output channels that can be packed side by side.
pub(crate) fn parts(way: &Way) -> usize {
    way.outputs.div_ceil(way.block)
}

/// Numbers of one block.
pub(crate) fn part_len(way: &Way) -> usize {
    way.packed_len() / parts(way)
}

/// One block of output channels.
pub(crate) struct Transform<'a> {
    pub(crate) way: &'a Way,
    pub(crate) part: usize,
    /// The layer's weights.
    pub(crate) weight: &'a [f32],
    /// The block's part of the packed weights.
    pub(crate) packed: &'a mut [f32],
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match (self.way.tile, self.way.kernel) {
            (4, 3) => self.all::<S, 6, 4, 3>(simd),
            (3, 3) => self.all::<S, 5, 3, 3>(simd),
            (2, 3) => self.all::<S, 4, 2, 3>(simd),
            (2, 5) => self.all::<S, 6, 2, 5>(simd),
            _ => unreachable!("the plan takes the sizes that are here"),
        }
    }
}

impl Transform<'_> {
    #[inline(always)]
    fn all<S: Lanes, const N: usize, const M: usize, const R: usize>(self, simd: S) {
        let place_len = self.way.inner * self.way.block;
        assert_eq!(self.packed.len(), N * N * place_len);
        for first in (0..place_len).step_by(S::N) {
            let lanes = S::N.min(place_len - first);
            let kernels = self.gather::<S, R>(simd, first, lanes);
            let tile = spread(simd, &Winograd::<N, M, R>::KERNEL, &kernels);
            for (packed, &value) in self.packed.chunks_exact_mut(place_len).zip(tile.as_flattened()) {
                if lanes == S::N {
                    simd.store(value, &mut packed[first..], 0);
                } else {
                    let mut rest = [0.0; MAX_LANES];
                    simd.store(value, &mut rest, 0);
                    packed[first..].copy_from_slice(&rest[..lanes]);
                }
            }
        }
    }

    /// The kernels of the first `lanes` numbers from `first` on, `[inner channel][channel in block]`.
    #[inline(always)]
    fn gather<S: Lanes, const R: usize>(&self, simd: S, first: usize, lanes: usize) -> [[S::V; R]; R] {
        let Way { inner, outputs, gradient, block, .. } = *self.way;
        let taps = R * R;
        let mut numbers = [[[0.0; MAX_LANES]; R]; R];
        for lane in 0..lanes {
            let (c, o) = ((first + lane) / block, self.part * block + (first + lane) % block);
            if o >= outputs {
                continue; // Missing channels of the last block are 0.
            }
            let kernel = if gradient { c * outputs + o } else { o * inner + c };
            let kernel = &self.weight[kernel * taps..][..taps];
            for (number, &tap) in numbers.as_flattened_mut().iter_mut().zip(kernel) {
                number[lane] = tap;
            }
        }
        if gradient {
            numbers.as_flattened_mut().reverse();
        }
        let mut kernels = [[simd.splat(0.0); R]; R];
        for (kernel, numbers) in kernels.as_flattened_mut().iter_mut().zip(numbers.as_flattened()) {
            *kernel = simd.load(numbers, 0);
        }
        kernels
    }
}
