//! Weights as [`conv2d`](super::conv2d) reads them: each kernel transformed, `G g Gᵀ`.
//!
//! The order is `[block of output channels][place][inner channel][channel in block]`. Lanes are kernels that stand side by
//! side there, so their transforms are written as vectors; their taps are brought together by transpositions, or one by one
//! where channels do not fill vectors. For the gradient by the
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

/// The most taps of a kernel.
const MAX_TAPS: usize = 25;

/// One block of output channels.
pub(crate) struct Transform<'a> {
    pub(crate) way: &'a Way,
    pub(crate) part: usize,
    /// The layer's weights.
    pub(crate) weight: &'a [f32],
    /// The block's part of the packed weights; there may be more between its places than they take.
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
        let step = self.packed.len() / (N * N);
        assert!(step >= place_len && self.packed.len() == N * N * step);
        let full = (self.part + 1) * self.way.block <= self.way.outputs;
        if full && self.way.block.is_multiple_of(S::N) && self.way.inner.is_multiple_of(S::N) {
            return self.full_blocks::<S, N, M, R>(simd, step);
        }
        for first in (0..place_len).step_by(S::N) {
            let lanes = S::N.min(place_len - first);
            let kernels = self.gather::<S, R>(simd, first, lanes);
            let tile = spread(simd, &Winograd::<N, M, R>::KERNEL, &kernels);
            for (packed, &value) in self.packed.chunks_exact_mut(step).zip(tile.as_flattened()) {
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

    /// The same where the block's channels fill vectors, in transpositions: taps of `N` output channels, which stand far
    /// apart, become vectors.
    #[inline(always)]
    fn full_blocks<S: Lanes, const N: usize, const M: usize, const R: usize>(self, simd: S, step: usize) {
        let Way { inner, block, gradient, .. } = *self.way;
        let mut turned = [0.0; (MAX_TAPS + 1) * MAX_LANES * MAX_LANES];
        for part in (0..block).step_by(S::N) {
            for first in (0..inner).step_by(S::N) {
                self.turn::<S>(simd, part, first, R * R, &mut turned);
                for (c, taps) in turned.chunks_exact(R * R * S::N).take(S::N).enumerate() {
                    let mut kernel = [[simd.splat(0.0); R]; R];
                    for (tap, value) in kernel.as_flattened_mut().iter_mut().enumerate() {
                        let tap = if gradient { R * R - 1 - tap } else { tap };
                        *value = simd.load(taps, tap);
                    }
                    let tile = spread(simd, &Winograd::<N, M, R>::KERNEL, &kernel);
                    let to = &mut self.packed[(first + c) * block + part..];
                    for (place, &value) in tile.as_flattened().iter().enumerate() {
                        simd.store(value, &mut to[place * step..], 0);
                    }
                }
            }
        }
    }

    /// `turned[inner channel][tap][output channel]`, of `N` channels each, from channel `first` of those and `part` of the
    /// block's.
    #[inline(always)]
    fn turn<S: Lanes>(&self, simd: S, part: usize, first: usize, taps: usize, turned: &mut [f32]) {
        let Way { inner, outputs, gradient, block, .. } = *self.way;
        let output = self.part * block + part;
        assert!(turned.len() >= (taps + 1) * S::N * S::N && self.weight.len() == inner * outputs * taps);
        assert!(output + S::N <= outputs && first + S::N <= inner);
        if !gradient {
            // All taps of N inner channels are neighbours: so many squares.
            for square in 0..taps {
                let from = (output * inner + first) * taps + square * S::N;
                // SAFETY: the asserts: rows of N output channels, `inner * taps` numbers each.
                unsafe {
                    let (from, to) = (self.weight.as_ptr().add(from), turned.as_mut_ptr().add(square * S::N * S::N));
                    simd.transpose(from, inner * taps, to, S::N);
                }
            }
            return;
        }
        for c in 0..S::N {
            let kernels = &self.weight[((first + c) * outputs + output) * taps..];
            turn_kernels(simd, kernels, taps, &mut turned[c * taps * S::N..]);
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

/// `turned[tap][kernel]` of the first N kernels, in squares. The last square ends with the taps; where there are fewer taps than
/// lanes, it goes on into the next kernels', and writes rows that mean nothing behind the taps'.
#[inline(always)]
fn turn_kernels<S: Lanes>(simd: S, kernels: &[f32], taps: usize, turned: &mut [f32]) {
    for tap in (0..taps).step_by(S::N) {
        let tap = tap.min(taps.saturating_sub(S::N));
        assert!(turned.len() >= (tap + S::N) * S::N);
        if kernels.len() >= tap + (S::N - 1) * taps + S::N {
            // SAFETY: N rows that begin `taps` numbers apart, and room for as many.
            unsafe { simd.transpose(kernels.as_ptr().add(tap), taps, turned.as_mut_ptr().add(tap * S::N), S::N) };
        } else {
            // The last of all kernels.
            for (i, &number) in kernels[..S::N * taps].iter().enumerate() {
                turned[i % taps * S::N + i / taps] = number;
            }
        }
    }
}
