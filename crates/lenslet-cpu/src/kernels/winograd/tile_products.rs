//! The products of Winograd's convolution of one image: at each place of transformed tiles a product of matrices, positions
//! by output channels.
//!
//! A register tile is 2 vectors of output channels by up to 12 positions (6 with 16 registers): a number of `v` goes into
//! all lanes and meets both. Weights stand in blocks of 16 output channels, `[block][place][c][channel in block]`, so they
//! are read in order, and where a map has few tiles only once: they may come from memory.

use std::ops::Range;

use lenslet_graph::plan::Winograd as Way;

use super::one_image::Geometry;
use crate::simd::Lanes;

/// Vectors of output channels in a register tile.
pub(super) const VECTORS: usize = 2;

/// The most positions in one.
pub(super) const POSITIONS: usize = 12;

/// The most for these registers: a quarter of them is left for factors.
pub(super) const fn most_positions<S: Lanes>() -> usize {
    S::REGISTERS / 4 * 3 / VECTORS
}

/// Vectors of `m` from one place to the next.
pub(super) fn m_step(positions: usize) -> usize {
    (positions * VECTORS) | 1
}

/// `m[place][t][o] = Σ v[place][t][c]·weight[place][c][o]` for each place: `V` vectors of output channels from channel
/// `first` on, at these positions.
#[inline(always)]
pub(super) fn products<S: Lanes, const V: usize>(
    simd: S,
    geometry: &Geometry,
    weight: &[f32],
    first: usize,
    v: &[f32],
    positions: Range<usize>,
    m: &mut [f32],
) {
    let way = &geometry.0.way;
    let place_len = way.inner * way.block;
    assert!(positions.end <= geometry.0.positions && m.len() >= way.places() * m_step(POSITIONS) * S::N);
    for (place, m) in m.chunks_exact_mut(m_step(POSITIONS) * S::N).enumerate() {
        let mut weights = [&[][..]; V];
        for (vector, weights) in weights.iter_mut().enumerate() {
            let channel = first + vector * S::N;
            let place = channel / way.block * way.places() + place;
            *weights = &weight[place * place_len..][..place_len][channel % way.block..];
        }
        let v = &v[(place * geometry.v_step() + positions.start) * S::N..];
        let tile = Tile { way, weights, v, chunk: geometry.chunk_len() * S::N };
        macro_rules! sizes {
            ($($count:literal)*) => {
                match positions.len() {
                    // Sizes that do not fit the registers are never asked for.
                    $($count if $count * VECTORS <= S::REGISTERS => tile.products::<S, $count>(simd, m),)*
                    count => unreachable!("no register tile has {count} positions"),
                }
            };
        }
        sizes! { 1 2 3 4 5 6 7 8 9 10 11 12 }
    }
}

/// A register tile's factors at one place.
struct Tile<'a, const V: usize> {
    way: &'a Way,
    /// For each vector of output channels the first inner channel's, and so on every block.
    weights: [&'a [f32]; V],
    /// From the first position on, and so on in every chunk.
    v: &'a [f32],
    /// Numbers from one chunk to the next.
    chunk: usize,
}

impl<const V: usize> Tile<'_, V> {
    #[inline(always)]
    fn products<S: Lanes, const P: usize>(&self, simd: S, m: &mut [f32]) {
        let (inner, block) = (self.way.inner, self.way.block);
        assert!(self.v.len() >= (inner.div_ceil(S::N) - 1) * self.chunk + P * S::N && m.len() >= P * V * S::N);
        let mut weights = [std::ptr::null(); V];
        for (from, weights) in self.weights.iter().zip(&mut weights) {
            assert!(from.len() >= (inner - 1) * block + S::N);
            *weights = from.as_ptr();
        }
        let mut sums = [[simd.splat(0.0); V]; P];
        // SAFETY: the asserts: a vector of weights for each inner channel, `P` vectors of each chunk of these, and as many
        // sums.
        unsafe {
            for chunk in 0..inner.div_ceil(S::N) {
                let mut v = self.v.as_ptr().add(chunk * self.chunk);
                for _ in 0..S::N.min(inner - chunk * S::N) {
                    let mut factors = [simd.splat(0.0); V];
                    for (factor, weights) in factors.iter_mut().zip(&mut weights) {
                        *factor = simd.load_from(*weights);
                        *weights = weights.wrapping_add(block);
                    }
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let v = simd.splat(*v.add(p * S::N));
                        for (sum, &factor) in sums.iter_mut().zip(&factors) {
                            *sum = simd.mul_add(v, factor, *sum);
                        }
                    }
                    v = v.wrapping_add(1);
                }
            }
            for (i, &sum) in sums.as_flattened().iter().enumerate() {
                simd.store_to(sum, m.as_mut_ptr().add(i * S::N));
            }
        }
    }
}
