//! Where Winograd's convolution reads and writes: the positions of tiles in a map, its edges, and what comes next.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK as BLOCK, Winograd as Way};

use super::conv2d::POSITIONS;
use super::transform::{Sink, Source};
use crate::kernels::map;
use crate::simd::Lanes;

/// A convolution worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) way: Way,
    /// Rows and columns of the map that is read, and of the one that is written.
    pub(super) x: [usize; 2],
    pub(super) y: [usize; 2],
    /// Positions of a row of tiles, and of all.
    columns: usize,
    pub(super) positions: usize,
}

impl Geometry {
    /// From `x` to `y`, both C×H×W.
    pub(crate) fn new(way: Way, x: Shape, y: Shape) -> Self {
        let columns = y.dim(2).div_ceil(way.tile);
        let positions = y.dim(1).div_ceil(way.tile) * columns;
        Self { way, x: [x.dim(1), x.dim(2)], y: [y.dim(1), y.dim(2)], columns, positions }
    }

    /// Row and column of a position's first result.
    pub(super) fn cell(&self, position: usize) -> [usize; 2] {
        [position / self.columns * self.way.tile, position % self.columns * self.way.tile]
    }

    /// Row and column of the first value that the position's results see; negative in padding.
    pub(super) fn corner(&self, position: usize) -> [isize; 2] {
        let [row, column] = self.cell(position);
        let [above, left] = self.way.before;
        [row as isize - above as isize, column as isize - left as isize]
    }
}

/// The places of one tile in a block's memory.
pub(super) struct Places<'a> {
    /// From the tile's first place on.
    pub(super) data: &'a mut [f32],
    pub(super) side: usize,
    /// Vectors from place to place.
    pub(super) step: usize,
}

impl<S: Lanes> Source<S> for Places<'_> {
    #[inline(always)]
    fn get(&self, simd: S, row: usize, column: usize) -> S::V {
        simd.load(self.data, (row * self.side + column) * self.step)
    }
}

impl<S: Lanes> Sink<S> for Places<'_> {
    #[inline(always)]
    fn set(&mut self, simd: S, row: usize, column: usize, value: S::V) {
        simd.store(value, self.data, (row * self.side + column) * self.step);
    }
}

/// N×N values of a map; what lies outside of it is 0.
pub(super) struct Patch<'a, const N: usize> {
    x: &'a [f32],
    /// Where each row begins, and each column's place in it; none outside.
    rows: [Option<usize>; N],
    columns: [Option<usize>; N],
}

impl<'a, const N: usize> Patch<'a, N> {
    #[inline(always)]
    pub(super) fn new(g: &Geometry, x: &'a [f32], [top, left]: [isize; 2]) -> Self {
        let [height, width] = g.x;
        let mut patch = Self { x, rows: [None; N], columns: [None; N] };
        for i in 0..N {
            // What is negative becomes larger than any size.
            let (row, column) = (top.wrapping_add_unsigned(i) as usize, left.wrapping_add_unsigned(i) as usize);
            patch.rows[i] = (row < height).then(|| row * width);
            patch.columns[i] = (column < width).then_some(column);
        }
        patch
    }
}

impl<S: Lanes, const N: usize> Source<S> for Patch<'_, N> {
    #[inline(always)]
    fn get(&self, simd: S, row: usize, column: usize) -> S::V {
        match (self.rows[row], self.columns[column]) {
            (Some(row), Some(column)) => simd.load(self.x, row + column),
            _ => simd.splat(0.0),
        }
    }
}

/// A tile of a channel's results, written as far as it lies within the map.
pub(super) struct Results<'a, V> {
    pub(super) y: &'a mut [f32],
    pub(super) width: usize,
    pub(super) cell: [usize; 2],
    pub(super) bias: V,
    pub(super) activation: Option<Map>,
}

impl<S: Lanes> Sink<S> for Results<'_, S::V> {
    #[inline(always)]
    fn set(&mut self, simd: S, row: usize, column: usize, value: S::V) {
        let at = (self.cell[0] + row) * self.width + self.cell[1] + column;
        if self.cell[1] + column < self.width && at * S::N < self.y.len() {
            let value = simd.add(value, self.bias);
            let value = match self.activation {
                Some(map) => map::apply(simd, map, value),
                None => value,
            };
            simd.store(value, self.y, at);
        }
    }
}

/// Fetches the rows of this number, out of N for each inner channel, under the tiles of a block of positions.
#[inline(always)]
pub(super) fn fetch_x<S: Lanes, const N: usize>(simd: S, g: &Geometry, x: &[f32], first: usize, rows: Range<usize>) {
    if first >= g.positions {
        return;
    }
    let [height, width] = g.x;
    let [top, left] = g.corner(first);
    let vectors = POSITIONS.min(g.positions - first) * g.way.tile + g.way.kernel - 1;
    for row in rows {
        let (channel, at) = (row / N, top + (row % N) as isize);
        if channel < g.way.inner && at >= 0 && (at as usize) < height {
            let at = ((channel * height + at as usize) * width) as isize + left;
            for j in 0..vectors as isize {
                simd.fetch(x.as_ptr().wrapping_offset((at + j) * S::N as isize));
            }
        }
    }
}

/// Fetches, with the place's product, one row of one output channel of the block under each position's results.
#[inline(always)]
pub(super) fn fetch_y<S: Lanes, const M: usize>(
    simd: S,
    g: &Geometry,
    y: &[f32],
    positions: Range<usize>,
    block: usize,
    place: usize,
) {
    let channel = block * BLOCK + place / M;
    if place >= BLOCK * M || channel >= g.way.outputs {
        return;
    }
    let [height, width] = g.y;
    for position in positions {
        let [row, column] = g.cell(position);
        let at = (channel * height + row + place % M) * width + column;
        for j in 0..M {
            simd.fetch(y.as_ptr().wrapping_add((at + j) * S::N));
        }
    }
}
