//! Winograd's convolution, forward and its gradient by the image, which is the same with other weights and padding.
//!
//! In a tile of images, value `(channel, row, column)` is a vector, so each number of a transformed tile of the map is one,
//! and the products of tiles and kernels are products of matrices: at each of the n² *places* of a transformed tile
//! `m[o][t] = Σ u[o][c]·v[c][t]`, for output channels `o`, inner channels `c` and *positions* `t` of tiles in the map.
//!
//! ```text
//! for each block of 4 positions
//!     v[place][c][t] = Bᵀ x B                         each inner channel and position; outside of the map x is 0
//!     for each block of 8 output channels
//!         m[place][o][t] = Σ u[place][c][o]·v         each place, in register tiles
//!         y = activation(bias + Aᵀ m A)               each output channel and position, cropped at the map's edge
//! ```
//!
//! Each block's weights are read once, in order, so that they may come from memory. `v` and `m` of a block stay in the cache for up to 64 channels and
//! are read in order for more. Large maps come from memory and go there, a few vectors from each of many far places, which
//! no processor foresees: what the next transforms will touch is fetched a little at a time between the products (measured:
//! a fifth of the time for 64 channels at 32×32).

use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK as BLOCK, Winograd as Way};

use super::column_products::products;
pub(crate) use super::maps::Geometry;
use super::maps::{Patch, Places, Results, fetch_x, fetch_y};
use super::transform::{Winograd, gather_to, spread_to};
use crate::kernels::map;
use crate::simd::{Kernel, Lanes};

/// Positions that are treated together.
pub(super) const POSITIONS: usize = 4;

impl Geometry {
    /// Numbers to work in: a block's transformed tiles, and the products of a block of output channels.
    pub(crate) fn work_len(&self, lanes: usize) -> usize {
        self.way.places() * (place_len(self.way.inner) + place_len(BLOCK)) * lanes
    }
}

/// Vectors from one place to the next: an odd number, so that a tile's places do not all fall on the same few lines of the
/// cache.
fn place_len(channels: usize) -> usize {
    channels * POSITIONS + 1
}

/// `y[o] = activation(bias[o] + Σ w·x)`.
pub(crate) struct Convolve<'a> {
    pub(crate) geometry: &'a Geometry,
    /// Values, a vector each.
    pub(crate) x: &'a [f32],
    /// Transformed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    /// Values, a vector each; every one is written.
    pub(crate) y: &'a mut [f32],
    /// [`Geometry::work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Way { tile, kernel, inner, outputs, block, .. } = self.geometry.way;
        let [x_len, y_len] = [self.geometry.x, self.geometry.y].map(|[height, width]| height * width * S::N);
        assert!(self.x.len() == inner * x_len && self.y.len() == outputs * y_len);
        assert!(block == BLOCK && self.weight.len() == self.geometry.way.packed_len());
        assert!(self.bias.is_empty() || self.bias.len() == outputs);
        match (tile, kernel) {
            (4, 3) => self.all::<S, 6, 4, 3>(simd),
            (3, 3) => self.all::<S, 5, 3, 3>(simd),
            (2, 5) => self.all::<S, 6, 2, 5>(simd),
            _ => unreachable!("the plan takes the sizes that are here"),
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    fn all<S: Lanes, const N: usize, const M: usize, const R: usize>(self, simd: S) {
        let g = self.geometry;
        let Way { inner, outputs, .. } = g.way;
        // What takes many instructions is done in a pass of its own.
        let (early, late) = match self.activation {
            Some(map) if map::is_cheap(map) => (Some(map), None),
            activation => (None, activation),
        };
        let (v, m) = self.work.split_at_mut(N * N * place_len(inner) * S::N);
        let [x_len, y_len] = [g.x, g.y].map(|[height, width]| height * width * S::N);
        // Rows of the next block's tiles to be fetched with each product.
        let rows = (inner * N).div_ceil(outputs.div_ceil(BLOCK) * N * N);
        for first in (0..g.positions).step_by(POSITIONS) {
            let count = POSITIONS.min(g.positions - first);
            for (channel, x) in self.x.chunks_exact(x_len).enumerate() {
                for t in 0..count {
                    let x = Patch::<N>::new(g, x, g.corner(first + t));
                    let mut v =
                        Places { data: &mut v[(channel * count + t) * S::N..], side: N, step: place_len(inner) };
                    spread_to(simd, &Winograd::<N, M, R>::IMAGE, &x, &mut v);
                }
            }
            for (block, weight) in self.weight.chunks_exact(N * N * inner * BLOCK).enumerate() {
                for (place, weight) in weight.chunks_exact(inner * BLOCK).enumerate() {
                    let from = (block * N * N + place) * rows;
                    fetch_x::<S, N>(simd, g, self.x, first + count, from..from + rows);
                    fetch_y::<S, M>(simd, g, self.y, first..first + count, block, place);
                    let mut columns = [&[][..]; POSITIONS];
                    for (t, column) in columns[..count].iter_mut().enumerate() {
                        *column = &v[(place * place_len(inner) + t) * S::N..];
                    }
                    let m = &mut m[place * place_len(BLOCK) * S::N..][..BLOCK * count * S::N];
                    products(simd, weight, BLOCK, &columns[..count], count * S::N, m);
                }
                for (o, y) in self.y.chunks_exact_mut(y_len).skip(block * BLOCK).take(BLOCK).enumerate() {
                    let bias = simd.splat(if self.bias.is_empty() { 0.0 } else { self.bias[block * BLOCK + o] });
                    for t in 0..count {
                        let m = Places { data: &mut m[(o * count + t) * S::N..], side: N, step: place_len(BLOCK) };
                        let mut y = Results { y, width: g.y[1], cell: g.cell(first + t), bias, activation: early };
                        gather_to(simd, &Winograd::<N, M, R>::RESULT, &m, &mut y);
                    }
                }
            }
        }
        if let Some(map) = late {
            map::in_place(simd, map, self.y);
        }
    }
}
