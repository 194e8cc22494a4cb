//! Winograd's convolution of the whole batch, forward and its gradient by the image, cut by output channels.
//!
//! The tiles of images have transformed their maps: `v[place][position][c]` in each, a vector per number. A *column* is one
//! position of one tile of images. A part of the work is a block of 32 output channels:
//!
//! ```text
//! u[place][c][o]                                      the part's weights, transformed
//! for some columns
//!     m[place][o][column] = Σ u[place][c][o]·v        each place, in register tiles
//!     y = activation(bias + Aᵀ m A)                   each output channel and column, cropped at the map's edge
//! ```
//!
//! So a weight is read from memory and transformed once a step, and each transformed number meets several vectors of images.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{WEIGHT_BLOCK as PART, Winograd as Way};

use super::column_products::products;
use super::maps::{Places, Results};
use super::transform::{Winograd, gather_to};
use super::weights;
use crate::kernels::{AllTiles, AllTilesMut, map};
use crate::simd::{Kernel, Lanes};

/// Columns that are treated together.
const COLUMNS: usize = 6;

/// A convolution of the whole batch worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    way: Way,
    /// Rows and columns of the results.
    y: [usize; 2],
    /// Positions of tiles in a map.
    positions: usize,
}

impl Geometry {
    /// For results of these sizes.
    pub(crate) fn new(way: Way, y: Shape) -> Self {
        Self { way, y: [y.dim(1), y.dim(2)], positions: way.positions(y) }
    }

    /// Numbers of a part's results, per image.
    pub(crate) fn part_len(&self) -> usize {
        PART * self.y[0] * self.y[1]
    }

    /// Numbers to work in: a part's transformed weights, and the products of some columns.
    pub(crate) fn work_len(&self, lanes: usize) -> usize {
        self.way.places() * (PART / self.way.block * self.place_len() + M_LEN * lanes)
    }

    /// Numbers from one place of a block of transformed weights to the next: a line of the cache more than they are,
    /// so that the same number of all places does not fall on the same few lines.
    fn place_len(&self) -> usize {
        self.way.inner * self.way.block + 16
    }

    fn tile_and_position(&self, column: usize) -> [usize; 2] {
        [column / self.positions, column % self.positions]
    }

    /// Row and column of a position's first result.
    fn cell(&self, position: usize) -> [usize; 2] {
        let columns = self.y[1].div_ceil(self.way.tile);
        [position / columns * self.way.tile, position % columns * self.way.tile]
    }
}

/// Vectors of products from one place to the next.
const M_LEN: usize = PART * COLUMNS + 1;

/// A part of `y[o] = activation(bias[o] + Σ w·x)`.
pub(crate) struct Convolve<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) part: usize,
    /// Transformed maps.
    pub(crate) v: AllTiles<'a>,
    /// The layer's weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    /// The part's channels; every value is written.
    pub(crate) y: AllTilesMut<'a>,
    /// [`Geometry::work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match (self.geometry.way.tile, self.geometry.way.kernel) {
            (4, 3) => self.all::<S, 6, 4, 3>(simd),
            _ => unreachable!("the plan takes the sizes that are here"),
        }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    fn all<S: Lanes, const N: usize, const M: usize, const R: usize>(mut self, simd: S) {
        let g = self.geometry;
        let (blocks, block_len) = (PART / g.way.block, N * N * g.place_len());
        let (weights, m) = std::mem::take(&mut self.work).split_at_mut(blocks * block_len);
        for (block, packed) in weights.chunks_exact_mut(block_len).enumerate() {
            let part = self.part * blocks + block;
            weights::Transform { way: &g.way, part, weight: self.weight, packed }.run(simd);
        }
        let columns = self.v.tiles * g.positions;
        for first in (0..columns).step_by(COLUMNS) {
            let columns = first..columns.min(first + COLUMNS);
            self.multiply(simd, weights, columns.clone(), m);
            self.transform_back::<S, N, M, R>(simd, columns, m);
        }
        if let Some(map) = self.activation.filter(|&map| !map::is_cheap(map)) {
            (0..self.v.tiles).for_each(|tile| map::in_place(simd, map, self.y.tile(tile)));
        }
    }

    /// The products of some columns at all places.
    #[inline(always)]
    fn multiply<S: Lanes>(&self, simd: S, weights: &[f32], columns: Range<usize>, m: &mut [f32]) {
        let g = self.geometry;
        let Way { inner, block, .. } = g.way;
        let v_len = self.v.len / g.way.places();
        let mut starts = [&[][..]; COLUMNS];
        for (start, column) in starts.iter_mut().zip(columns.clone()) {
            let [tile, position] = g.tile_and_position(column);
            *start = &self.v.tile(tile)[position * inner * S::N..];
        }
        for (place, m) in m.chunks_exact_mut(M_LEN * S::N).take(g.way.places()).enumerate() {
            let v = starts.map(|v| v.get(place * v_len..).unwrap_or(&[]));
            for (i, m) in m.chunks_exact_mut(block * columns.len() * S::N).take(PART / block).enumerate() {
                let weight = &weights[(i * g.way.places() + place) * g.place_len()..][..inner * block];
                products(simd, weight, block, &v[..columns.len()], S::N, m);
            }
        }
    }

    /// The results of some columns, but for activations that take many instructions: those have a pass of their own.
    #[inline(always)]
    fn transform_back<S: Lanes, const N: usize, const M: usize, const R: usize>(
        &mut self,
        simd: S,
        columns: Range<usize>,
        m: &mut [f32],
    ) {
        let (g, activation) = (self.geometry, self.activation.filter(|&map| map::is_cheap(map)));
        let plane = g.y[0] * g.y[1] * S::N;
        for o in 0..PART {
            let bias = simd.splat(self.bias.get(self.part * PART + o).copied().unwrap_or(0.0));
            for (i, column) in columns.clone().enumerate() {
                let [tile, position] = g.tile_and_position(column);
                let m = Places { data: &mut m[(o * columns.len() + i) * S::N..], side: N, step: M_LEN };
                let y = &mut self.y.tile(tile)[o * plane..][..plane];
                let mut y = Results { y, width: g.y[1], cell: g.cell(position), bias, activation };
                gather_to(simd, &Winograd::<N, M, R>::RESULT, &m, &mut y);
            }
        }
    }
}
