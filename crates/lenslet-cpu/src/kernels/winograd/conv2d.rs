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
//! A register tile is 8 output channels by up to 3 positions (4 by 2 with 16 registers); each block's weights are read
//! once, in order, so that they may come from memory. `v` and `m` of a block stay in the cache for up to 64 channels and
//! are read in order for more. Large maps come from memory and go there, a few vectors from each of many far places, which
//! no processor foresees: what the next transforms will touch is fetched a little at a time between the products (measured:
//! a fifth of the time for 64 channels at 32×32).

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK as BLOCK, Winograd as Way};

use super::transform::{Winograd, gather, spread};
use crate::kernels::map;
use crate::simd::{Kernel, Lanes};

/// Positions that are treated together.
const POSITIONS: usize = 4;

/// A convolution worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    way: Way,
    /// Rows and columns of the map that is read, and of the one that is written.
    x: [usize; 2],
    y: [usize; 2],
    /// Positions of a row of tiles, and of all.
    columns: usize,
    positions: usize,
}

impl Geometry {
    /// From `x` to `y`, both C×H×W.
    pub(crate) fn new(way: Way, x: Shape, y: Shape) -> Self {
        let columns = y.dim(2).div_ceil(way.tile);
        let positions = y.dim(1).div_ceil(way.tile) * columns;
        Self { way, x: [x.dim(1), x.dim(2)], y: [y.dim(1), y.dim(2)], columns, positions }
    }

    /// Numbers to work in: a block's transformed tiles, and the products of a block of output channels.
    pub(crate) fn work_len(&self, lanes: usize) -> usize {
        self.way.places() * (place_len(self.way.inner) + place_len(BLOCK)) * lanes
    }

    /// Row and column of a position's first result.
    fn cell(&self, position: usize) -> [usize; 2] {
        [position / self.columns * self.way.tile, position % self.columns * self.way.tile]
    }

    /// Row and column of the first value that the position's results see; negative in padding.
    fn corner(&self, position: usize) -> [isize; 2] {
        let [row, column] = self.cell(position);
        let [above, left] = self.way.before;
        [row as isize - above as isize, column as isize - left as isize]
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
        let Way { tile, kernel, inner, outputs, .. } = self.geometry.way;
        let [x_len, y_len] = [self.geometry.x, self.geometry.y].map(|[height, width]| height * width * S::N);
        assert!(self.x.len() == inner * x_len && self.y.len() == outputs * y_len);
        assert_eq!(self.weight.len(), self.geometry.way.packed_len());
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
                    let tile = spread(simd, &Winograd::<N, M, R>::IMAGE, &load(simd, g, x, g.corner(first + t)));
                    for (place, &value) in tile.as_flattened().iter().enumerate() {
                        simd.store(value, v, place * place_len(inner) + channel * count + t);
                    }
                }
            }
            for (block, weight) in self.weight.chunks_exact(N * N * inner * BLOCK).enumerate() {
                for (place, weight) in weight.chunks_exact(inner * BLOCK).enumerate() {
                    let from = (block * N * N + place) * rows;
                    fetch_x::<S, N>(simd, g, self.x, first + count, from..from + rows);
                    fetch_y::<S, M>(simd, g, self.y, first..first + count, block, place);
                    let v = &v[place * place_len(inner) * S::N..][..inner * count * S::N];
                    let m = &mut m[place * place_len(BLOCK) * S::N..][..BLOCK * count * S::N];
                    products(simd, weight, v, m, count);
                }
                for (o, y) in self.y.chunks_exact_mut(y_len).skip(block * BLOCK).take(BLOCK).enumerate() {
                    let bias = simd.splat(if self.bias.is_empty() { 0.0 } else { self.bias[block * BLOCK + o] });
                    for t in 0..count {
                        let mut tile = [[bias; N]; N];
                        for (place, value) in tile.as_flattened_mut().iter_mut().enumerate() {
                            *value = simd.load(m, place * place_len(BLOCK) + o * count + t);
                        }
                        let mut tile = gather(simd, &Winograd::<N, M, R>::RESULT, &tile);
                        for value in tile.as_flattened_mut() {
                            *value = simd.add(*value, bias);
                            if let Some(map) = early {
                                *value = map::apply(simd, map, *value);
                            }
                        }
                        store(simd, g, &tile, y, g.cell(first + t));
                    }
                }
            }
        }
        if let Some(map) = late {
            map::in_place(simd, map, self.y);
        }
    }
}

/// An N×N tile of a map; what lies outside of it is 0.
#[inline(always)]
fn load<S: Lanes, const N: usize>(simd: S, g: &Geometry, x: &[f32], corner: [isize; 2]) -> [[S::V; N]; N] {
    let mut tile = [[simd.splat(0.0); N]; N];
    let [height, width] = g.x;
    for (i, row) in tile.iter_mut().enumerate() {
        let at = corner[0] + i as isize;
        if at < 0 || at as usize >= height {
            continue;
        }
        let x = &x[at as usize * width * S::N..][..width * S::N];
        if corner[1] >= 0 && corner[1] as usize + N <= width {
            let x = &x[corner[1] as usize * S::N..][..N * S::N];
            for (j, value) in row.iter_mut().enumerate() {
                *value = simd.load(x, j);
            }
            continue;
        }
        for (j, value) in row.iter_mut().enumerate() {
            let at = corner[1] + j as isize;
            if at >= 0 && (at as usize) < width {
                *value = simd.load(x, at as usize);
            }
        }
    }
    tile
}

/// Writes an M×M tile of a map, as far as it lies within.
#[inline(always)]
fn store<S: Lanes, const M: usize>(simd: S, g: &Geometry, tile: &[[S::V; M]; M], y: &mut [f32], cell: [usize; 2]) {
    let [height, width] = g.y;
    for (i, row) in tile.iter().enumerate().take(height - cell[0]) {
        let y = &mut y[((cell[0] + i) * width + cell[1]) * S::N..][..M.min(width - cell[1]) * S::N];
        for (j, &value) in row.iter().enumerate() {
            if j * S::N < y.len() {
                simd.store(value, y, j);
            }
        }
    }
}

/// Fetches the rows of this number, out of N for each inner channel, under the tiles of a block of positions.
#[inline(always)]
fn fetch_x<S: Lanes, const N: usize>(simd: S, g: &Geometry, x: &[f32], first: usize, rows: std::ops::Range<usize>) {
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
fn fetch_y<S: Lanes, const M: usize>(
    simd: S,
    g: &Geometry,
    y: &[f32],
    positions: std::ops::Range<usize>,
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

/// `m[o][t] = Σ weight[c][o]·v[c][t]` for a block of output channels and all positions, in register tiles.
#[inline(always)]
fn products<S: Lanes>(simd: S, weight: &[f32], v: &[f32], m: &mut [f32], positions: usize) {
    let mut t = 0;
    while t < positions {
        t += match positions - t {
            3 if S::REGISTERS >= 32 => register_tile::<S, 8, 3>(simd, weight, 0, v, m, t, positions),
            2.. if S::REGISTERS >= 32 => register_tile::<S, 8, 2>(simd, weight, 0, v, m, t, positions),
            2.. => {
                register_tile::<S, 4, 2>(simd, weight, 0, v, m, t, positions);
                register_tile::<S, 4, 2>(simd, weight, 4, v, m, t, positions)
            }
            _ => register_tile::<S, 8, 1>(simd, weight, 0, v, m, t, positions),
        }
    }
}

/// `O` output channels of the block, from `o`, at `P` positions, from `t`. Returns `P`.
#[inline(always)]
fn register_tile<S: Lanes, const O: usize, const P: usize>(
    simd: S,
    weight: &[f32],
    o: usize,
    v: &[f32],
    m: &mut [f32],
    t: usize,
    positions: usize,
) -> usize {
    let inner = weight.len() / BLOCK;
    assert!(o + O <= BLOCK && t + P <= positions);
    assert!(v.len() >= inner * positions * S::N && m.len() >= BLOCK * positions * S::N);
    let mut sums = [[simd.splat(0.0); P]; O];
    // SAFETY: the asserts: a block of weights and a vector per position for each inner channel, and one for each output.
    unsafe {
        let (mut weight, mut v) = (weight.as_ptr().add(o), v.as_ptr().add(t * S::N));
        for _ in 0..inner {
            let mut tiles = [simd.splat(0.0); P];
            for (p, tile) in tiles.iter_mut().enumerate() {
                *tile = simd.load_from(v.add(p * S::N));
            }
            for (o, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat(*weight.add(o));
                for (sum, &tile) in sums.iter_mut().zip(&tiles) {
                    *sum = simd.mul_add(weight, tile, *sum);
                }
            }
            weight = weight.wrapping_add(BLOCK);
            v = v.wrapping_add(positions * S::N);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (p, &sum) in sums.iter().enumerate() {
                simd.store_to(sum, m.as_mut_ptr().add(((o + i) * positions + t + p) * S::N));
            }
        }
    }
    P
}
