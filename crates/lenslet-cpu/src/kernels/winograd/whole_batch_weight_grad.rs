//! The gradient by the weight of Winograd's convolution of the whole batch, cut by output channels.
//!
//! As in [`weight_grad`](super::weight_grad), but the tiles of images have transformed all beforehand, `X[place][position][c]`
//! and `D[place][block][position][image][o]`, and the sums go over all of them:
//!
//! ```text
//! for each chunk of inputs
//!     U[place][c][o] = Σ X·D              over tiles, positions and images
//!     dw[o][c][tap] = Gᵀ U G              transformed back, then transposed
//! ```

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::plan::WEIGHT_BLOCK as PART;

use super::tiles::{KERNEL, PLACES, SIDE, TILE};
use super::transform::{Winograd, gather};
use crate::kernels::AllTiles;
use crate::kernels::weight_tile::{Meetings, add_products};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Input channels that are worked on at a time: their taps are a whole number of transpositions.
const CHUNK: usize = 64;
const TAPS: usize = KERNEL * KERNEL;

/// Channels that go through the registers together; before them, what comes next is fetched.
const STEP: usize = 12;

/// Positions of tiles, and at least one tile, whose factors stand in the first cache.
const POSITIONS: usize = 4;

/// Numbers from one place of `U` to the next.
const U_LEN: usize = CHUNK * PART + 16;

/// One layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    channels: usize,
    outputs: usize,
    /// Positions of tiles in a map.
    positions: usize,
}

impl Geometry {
    /// For weights O×C×3×3.
    pub(crate) fn new(weight: Shape, positions: usize) -> Self {
        let geometry = Self { outputs: weight.dim(0), channels: weight.dim(1), positions };
        assert!(
            geometry.outputs.is_multiple_of(PART) && geometry.channels.is_multiple_of(CHUNK),
            "the plan takes whole blocks"
        );
        geometry
    }

    /// Numbers of a part's weights.
    pub(crate) fn part_len(&self) -> usize {
        PART * self.channels * TAPS
    }

    /// Numbers to work in: `U`, and its chunk of `dw` as it is transformed back.
    pub(crate) const fn work_len() -> usize {
        PLACES * U_LEN + CHUNK * TAPS * PART
    }
}

/// A part of the sum.
pub(crate) struct WeightGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) part: usize,
    /// Transformed maps and gradients.
    pub(crate) x: AllTiles<'a>,
    pub(crate) d: AllTiles<'a>,
    /// The part's rows, `[o][c][tap]`.
    pub(crate) dw: &'a mut [f32],
    /// [`Geometry::work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        for first in (0..self.geometry.channels).step_by(CHUNK) {
            self.multiply(simd, first);
            self.transform_back(simd, first);
        }
    }
}

impl WeightGrad<'_> {
    /// `U` of the channels from `first` on.
    #[inline(always)]
    fn multiply<S: Lanes>(&mut self, simd: S, first: usize) {
        let &Geometry { channels, outputs, positions } = self.geometry;
        let [x_len, d_len] = self.place_lens();
        assert!(x_len >= positions * channels * S::N && d_len >= positions * outputs * S::N);
        assert!(self.work.len() >= PLACES * U_LEN && first + CHUNK <= channels);
        assert!(self.part < outputs / PART && self.d.tiles == self.x.tiles);
        let (group, tiles) = ((POSITIONS / positions).max(1), self.x.tiles);
        for place in 0..PLACES {
            for tile in (0..tiles).step_by(group) {
                let mut runs = [[0; 2]; POSITIONS];
                for (i, run) in runs.iter_mut().enumerate() {
                    *run = [&self.x, &self.d].map(|all| i * all.step);
                }
                let runs = &runs[..group.min(tiles - tile)];
                let meetings = Meetings { runs, pixels: positions, x_step: channels * S::N };
                let [x, d] = self.factors::<S>(first, place, tile);
                for channel in (0..CHUNK).step_by(STEP) {
                    let count = STEP.min(CHUNK - channel);
                    let next = if tile + group < tiles { [place, tile + group] } else { [place + 1, 0] };
                    self.fetch(simd, first, next, tiles.min(next[1] + group), channel..channel + count);
                    // SAFETY: the asserts: in each tile `X` has at this place a vector for each position and channel, `D` as
                    // many rows for each block and position; `U` has a row for each channel of the chunk.
                    unsafe {
                        let u = self.work.as_mut_ptr().add(place * U_LEN + channel * PART);
                        add_products(simd, &meetings, x.add(channel * S::N), d, u, count, tile == 0);
                    }
                }
            }
        }
    }

    /// Numbers from one place to the next, of `X` and of `D`.
    #[inline(always)]
    fn place_lens(&self) -> [usize; 2] {
        [self.x.len, self.d.len].map(|len| len / PLACES)
    }

    /// Where a tile's factors stand: of `X` from channel `first` on, of `D` the part's.
    #[inline(always)]
    fn factors<S: Lanes>(&self, first: usize, place: usize, tile: usize) -> [*const f32; 2] {
        let [x_len, d_len] = self.place_lens();
        let x = self.x.tile(tile).as_ptr().wrapping_add(place * x_len + first * S::N);
        let d = self.d.tile(tile).as_ptr().wrapping_add(place * d_len);
        [x, d.wrapping_add(self.part * self.geometry.positions * S::N * PART)]
    }

    /// Asks for the share of the next factors, those of a place in some tiles, that belongs to these channels of the chunk.
    /// They stand in pieces too short for the processor to foresee.
    #[inline(always)]
    fn fetch<S: Lanes>(&self, simd: S, first: usize, [place, tile]: [usize; 2], end: usize, channels: Range<usize>) {
        for tile in tile..end {
            let [x, d] = self.factors::<S>(first, place, tile);
            for position in 0..self.geometry.positions {
                let x = x.wrapping_add(position * self.geometry.channels * S::N);
                channels.clone().for_each(|channel| simd.fetch(x.wrapping_add(channel * S::N)));
                let d = d.wrapping_add(position * S::N * PART);
                let rows = channels.start * PART / CHUNK..channels.end * PART / CHUNK;
                rows.for_each(|row| simd.fetch(d.wrapping_add(row * S::N)));
            }
        }
    }

    /// `dw` of the channels from `first` on.
    #[inline(always)]
    fn transform_back<S: Lanes>(&mut self, simd: S, first: usize) {
        let (u, taps) = self.work.split_at_mut(PLACES * U_LEN);
        let row = self.geometry.channels * TAPS;
        assert!(self.dw.len() >= PART * row && taps.len() >= CHUNK * TAPS * PART);
        assert!(first + CHUNK <= self.geometry.channels);
        for c in 0..CHUNK {
            for part in (0..PART).step_by(S::N) {
                let mut tile = [[simd.splat(0.0); SIDE]; SIDE];
                for (place, value) in tile.as_flattened_mut().iter_mut().enumerate() {
                    *value = simd.load(&u[place * U_LEN + c * PART + part..], 0);
                }
                let tile = gather(simd, &Winograd::<SIDE, TILE, KERNEL>::KERNEL, &tile);
                for (tap, &value) in tile.as_flattened().iter().enumerate() {
                    simd.store(value, &mut taps[(c * TAPS + tap) * PART + part..], 0);
                }
            }
        }
        for from in (0..CHUNK * TAPS).step_by(S::N) {
            for part in (0..PART).step_by(S::N) {
                // SAFETY: the asserts: N rows of taps, a block of outputs each; N rows of `dw`, with all taps of the chunk.
                unsafe {
                    let to = self.dw.as_mut_ptr().add(part * row + first * TAPS + from);
                    simd.transpose(taps.as_ptr().add(from * PART + part), PART, to, row);
                }
            }
        }
    }
}

const _: () = assert!((CHUNK * TAPS).is_multiple_of(MAX_LANES) && PART.is_multiple_of(MAX_LANES));
