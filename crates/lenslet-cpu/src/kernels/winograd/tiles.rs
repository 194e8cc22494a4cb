//! Maps and gradients cut into tiles and transformed, for weight gradients and for work on the whole batch.
//!
//! A number of a transformed tile goes to another place than its neighbours, each some kilobytes from the next. Where all of a
//! tile of images is transformed at once, that is far from the cache, so places are fetched before they are written.

use lenslet_graph::Shape;
use lenslet_graph::plan::WEIGHT_BLOCK as BLOCK;

use super::transform::{Winograd, spread};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Pixels of a tile of gradients along each axis.
pub(super) const TILE: usize = 4;
/// Taps of the kernel along each axis.
pub(super) const KERNEL: usize = 3;
/// Pixels of a tile of the image along each axis.
pub(super) const SIDE: usize = TILE + KERNEL - 1;
pub(super) const PLACES: usize = SIDE * SIDE;

/// Numbers of a page of memory: the processor itself looks ahead within one, but not from one map to the next.
const PAGE: usize = 1024;

/// Channels from the one that is written to the one whose places are fetched.
const AHEAD: usize = 4;

/// A map, or its gradient, that is cut into tiles.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    pub(super) channels: usize,
    /// Rows and columns.
    size: [usize; 2],
    /// Rows and columns of padding before them, where the first tiles begin.
    before: [usize; 2],
    /// Tiles along each axis.
    tiles: [usize; 2],
}

impl Cut {
    /// For tiles of `results`; a gradient is cut as the result that it is of, without padding.
    pub(crate) fn new(map: Shape, before: [usize; 2], results: Shape) -> Self {
        let tiles = [1, 2].map(|axis| results.dim(axis).div_ceil(TILE));
        Self { channels: map.dim(0), size: [map.dim(1), map.dim(2)], before, tiles }
    }

    pub(super) fn positions(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// The tile at a position: row and column of its first pixel, negative in padding.
    fn corner(&self, position: usize) -> [isize; 2] {
        let cell = [position / self.tiles[1] * TILE, position % self.tiles[1] * TILE];
        [0, 1].map(|axis| cell[axis] as isize - self.before[axis] as isize)
    }
}

/// Numbers that transformed gradients take on their way to `D`.
pub(crate) const fn turn_len(lanes: usize) -> usize {
    PLACES * turn_step(lanes)
}

/// Numbers from place to place there: a vector for each of so many outputs, and one that is not used, so that the same number
/// of all places does not fall on the same few lines of the cache.
const fn turn_step(lanes: usize) -> usize {
    (lanes + 1) * lanes
}

/// All of a tile's map, transformed for work on the whole batch: `[place][position][channel]`, a vector each.
pub(crate) struct TransformImage<'a> {
    pub(crate) cut: &'a Cut,
    pub(crate) x: &'a [f32],
    pub(crate) to: &'a mut [f32],
}

impl Kernel for TransformImage<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        transform_images::<S, true>(simd, self.cut, self.x, [0, self.cut.positions()], self.to);
    }
}

/// All of a tile's gradient, transformed for work on the whole batch: `[place][block][position][image][channel in block]`.
pub(crate) struct TransformGradient<'a> {
    pub(crate) cut: &'a Cut,
    pub(crate) dy: &'a [f32],
    pub(crate) to: &'a mut [f32],
    /// [`turn_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for TransformGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { cut, dy, to, work } = self;
        transform_gradients(simd, cut, dy, [0, cut.channels], [0, cut.positions()], to, work);
    }
}

/// A tile of a map that begins at `corner`; what lies outside of the map is 0.
#[inline(always)]
fn load_tile<S: Lanes, const T: usize>(simd: S, map: &[f32], size: [usize; 2], corner: [isize; 2]) -> [[S::V; T]; T] {
    const ZEROS: [f32; MAX_LANES] = [0.0; MAX_LANES];
    let mut tile = [[simd.splat(0.0); T]; T];
    let [height, width] = size;
    assert!(map.len() >= height * width * S::N);
    let first = corner[0].wrapping_mul(width as isize).wrapping_add(corner[1]).wrapping_mul(S::N as isize);
    let mut from = map.as_ptr().wrapping_offset(first);
    // Negative numbers are large ones here.
    let inside = |i: isize, len: usize| (i as usize) < len;
    if corner[0] >= 0 && corner[1] >= 0 && corner[0] as usize + T <= height && corner[1] as usize + T <= width {
        for row in &mut tile {
            for (j, value) in row.iter_mut().enumerate() {
                // SAFETY: the whole tile lies within the map.
                *value = unsafe { simd.load_from(from.wrapping_add(j * S::N)) };
            }
            from = from.wrapping_add(width * S::N);
        }
        return tile;
    }
    for (i, row) in tile.iter_mut().enumerate() {
        for (j, value) in row.iter_mut().enumerate() {
            let within = inside(corner[0] + i as isize, height) & inside(corner[1] + j as isize, width);
            // Zeros are read rather than jumped to: edges come too irregularly to be foreseen.
            let from = if within { from.wrapping_add(j * S::N) } else { ZEROS.as_ptr() };
            // SAFETY: a pixel within the map, or zeros.
            *value = unsafe { simd.load_from(from) };
        }
        from = from.wrapping_add(width * S::N);
    }
    tile
}

/// Asks for what a tile will read of a map: `rows` rows of the columns that its right neighbour does not ask for.
#[inline(always)]
fn fetch_tile<S: Lanes>(simd: S, map: *const f32, width: usize, rows: usize, corner: [isize; 2]) {
    let first = corner[0] * width as isize + corner[1];
    for row in 0..rows {
        for column in 0..TILE {
            simd.fetch(map.wrapping_offset((first + (row * width + column) as isize) * S::N as isize));
        }
    }
}

/// `X` of some positions, all channels; to places, the same part of `to` each, that are `FAR` from the cache.
#[inline(always)]
pub(super) fn transform_images<S: Lanes, const FAR: bool>(
    simd: S,
    cut: &Cut,
    x: &[f32],
    positions: [usize; 2],
    to: &mut [f32],
) {
    let plane = cut.size[0] * cut.size[1] * S::N;
    let place_len = to.len() / PLACES;
    assert!(place_len >= (positions[1] - positions[0]) * cut.channels * S::N);
    // Position by position within a channel: neighbours, as a rule, that share pixels.
    for channel in 0..cut.channels {
        for (t, position) in (positions[0]..positions[1]).enumerate() {
            let corner = cut.corner(position);
            let tile = load_tile::<S, SIDE>(simd, &x[channel * plane..][..plane], cut.size, corner);
            if plane >= PAGE {
                fetch_tile(simd, x.as_ptr().wrapping_add((channel + 1) * plane), cut.size[1], SIDE, corner);
            }
            let tile = spread(simd, &Winograd::<SIDE, TILE, KERNEL>::IMAGE, &tile);
            let at = (t * cut.channels + channel) * S::N;
            for (place, &value) in tile.as_flattened().iter().enumerate() {
                // SAFETY: a place has `positions × channels` vectors, and there are PLACES of them.
                unsafe { simd.store_to(value, to.as_mut_ptr().add(place * place_len + at)) };
                if FAR {
                    simd.fetch(to.as_ptr().wrapping_add(place * place_len + at + AHEAD * S::N));
                }
            }
        }
    }
}

/// `D` of some positions and outputs, to places that are the same part of `to` each; outputs that the last block lacks are 0.
#[inline(always)]
pub(super) fn transform_gradients<S: Lanes>(
    simd: S,
    cut: &Cut,
    all_dy: &[f32],
    outputs: [usize; 2],
    positions: [usize; 2],
    to: &mut [f32],
    turn: &mut [f32],
) {
    let plane = cut.size[0] * cut.size[1] * S::N;
    let count = positions[1] - positions[0];
    let (place_len, turn_step) = (to.len() / PLACES, turn_step(S::N));
    let blocks = (outputs[1] - outputs[0]).div_ceil(BLOCK);
    assert!(place_len >= blocks * count * S::N * BLOCK && turn.len() >= PLACES * turn_step);
    for first in (outputs[0]..outputs[1].next_multiple_of(BLOCK)).step_by(S::N) {
        let (block, part) = ((first - outputs[0]) / BLOCK, (first - outputs[0]) % BLOCK);
        for (t, position) in (positions[0]..positions[1]).enumerate() {
            let corner = cut.corner(position);
            for lane in 0..S::N {
                let mut tile = [[simd.splat(0.0); SIDE]; SIDE];
                if first + lane < outputs[1] {
                    let dy = &all_dy[(first + lane) * plane..][..plane];
                    let dy = load_tile::<S, TILE>(simd, dy, cut.size, corner);
                    tile = spread(simd, &Winograd::<SIDE, TILE, KERNEL>::RESULT, &dy);
                    if plane >= PAGE {
                        let later = all_dy.as_ptr().wrapping_add((first + lane + 2) * plane);
                        fetch_tile(simd, later, cut.size[1], TILE, corner);
                    }
                }
                for (place, &value) in tile.as_flattened().iter().enumerate() {
                    // SAFETY: PLACES times N vectors and one more.
                    unsafe { simd.store_to(value, turn.as_mut_ptr().add(place * turn_step + lane * S::N)) };
                }
            }
            let at = (block * count + t) * S::N * BLOCK + part;
            for place in 0..PLACES {
                // SAFETY: N vectors of one place; N rows of a block of outputs at a position, within the chunk's.
                unsafe {
                    let (from, to) =
                        (turn.as_ptr().add(place * turn_step), to.as_mut_ptr().add(place * place_len + at));
                    simd.transpose(from, S::N, to, BLOCK);
                }
            }
        }
    }
}
