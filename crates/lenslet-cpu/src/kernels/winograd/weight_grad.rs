//! A convolution's gradient by its weight in Winograd's way: products of transformed tiles, added up before they are
//! transformed back.
//!
//! For each *place* of a transformed tile, `U[place][c][o] = Σ X[place][position, image, c]·D[place][position, image, o]`
//! over the positions of tiles in the map and over images, with `X = Bᵀ x B` and `D = A dy Aᵀ`; then `dw = Gᵀ U G`. So
//! there is one product of matrices per place, in the register tiles of `weight_tile`, and one inverse transform per pair
//! of channels. What is worked on at a time stays in the second cache, more or less:
//!
//! ```text
//! for each chunk of outputs
//!     for each chunk of positions
//!         D[place][block][position][image][o]     transformed, then transposed
//!         X[place][position][c][image]            transformed for the first chunk of outputs, and kept if it is small
//!         for each chunk of inputs
//!             U += X·D                            place by place
//!             dw += Gᵀ U G                        behind the last chunk of positions
//! ```
//!
//! The sums stand as `[block][tap][c][o]`, which `conv2d_weight_grad_rows` brings into PyTorch's order.

use lenslet_graph::plan::WEIGHT_BLOCK as BLOCK;

use super::transform::{Winograd, gather, spread};
pub(crate) use super::weight_grad_geometry::Geometry;
use super::weight_grad_geometry::{KERNEL, PLACES, SIDE, TILE};
use crate::kernels::weight_tile::{Meetings, add_products};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Numbers of a page of memory: the processor itself looks ahead within one, but not from one map to the next.
const PAGE: usize = 1024;

/// `dw[tap, c, o] += Σ x·dy` over the tile.
pub(crate) struct WeightGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// The thread's memory to work in.
    pub(crate) work: &'a mut [f32],
    /// `[block][tap][c][o]`.
    pub(crate) dw: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        assert_eq!(S::N, g.lanes);
        assert!(self.work.len() >= g.work_len());
        let [x_len, d_len, u_len, turn_len] = g.lens();
        let (all_x, rest) = self.work.split_at_mut(x_len);
        let (d, rest) = rest.split_at_mut(d_len);
        let (all_u, rest) = rest.split_at_mut(u_len);
        let turn = &mut rest[..turn_len];
        let [x_len, _, u_len] = g.place_lens().map(|len| PLACES * len);
        for output in (0..g.outputs).step_by(g.chunk.outputs) {
            let outputs = [output, g.outputs.min(output + g.chunk.outputs)];
            for (chunk, position) in (0..g.positions()).step_by(g.chunk.positions).enumerate() {
                let positions = [position, g.positions().min(position + g.chunk.positions)];
                let kept = g.kept_x() == g.position_chunks();
                let x = &mut all_x[if kept { chunk * x_len } else { 0 }..][..x_len];
                if output == 0 || !kept {
                    transform_images(simd, g, self.x, positions, x);
                }
                transform_gradients(simd, g, self.dy, outputs, positions, d, turn);
                let (first, last) = (position == 0, positions[1] == g.positions());
                for (number, channel) in (0..g.channels).step_by(g.chunk.channels).enumerate() {
                    let u = &mut all_u[if first && last { 0 } else { number * u_len }..][..u_len];
                    let channels = [channel, g.channels.min(channel + g.chunk.channels)];
                    multiply(simd, g, [outputs, channels, positions], [x, d], u, first);
                    if last {
                        transform_back(simd, g, outputs, channels, u, self.dw);
                    }
                }
            }
        }
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

/// `X` of some positions, all channels.
#[inline(always)]
fn transform_images<S: Lanes>(simd: S, g: &Geometry, x: &[f32], positions: [usize; 2], to: &mut [f32]) {
    let plane = g.image[0] * g.image[1] * S::N;
    let [place_len, ..] = g.place_lens();
    assert!(to.len() >= PLACES * place_len && positions[1] - positions[0] <= g.chunk.positions);
    // Position by position within a channel: neighbours, as a rule, that share pixels.
    for channel in 0..g.channels {
        for (t, position) in (positions[0]..positions[1]).enumerate() {
            let cell = g.cell(position);
            let corner = [0, 1].map(|axis| cell[axis] as isize - g.before[axis] as isize);
            let tile = load_tile::<S, SIDE>(simd, &x[channel * plane..][..plane], g.image, corner);
            if plane >= PAGE {
                fetch_tile(simd, x.as_ptr().wrapping_add((channel + 1) * plane), g.image[1], SIDE, corner);
            }
            let tile = spread(simd, &Winograd::<SIDE, TILE, KERNEL>::IMAGE, &tile);
            let at = (t * g.channels + channel) * S::N;
            for (place, &value) in tile.as_flattened().iter().enumerate() {
                // SAFETY: a place has `positions × channels` vectors, and there are PLACES of them.
                unsafe { simd.store_to(value, to.as_mut_ptr().add(place * place_len + at)) };
            }
        }
    }
}

/// `D` of some positions and outputs; outputs that the last block lacks are 0.
#[inline(always)]
fn transform_gradients<S: Lanes>(
    simd: S,
    g: &Geometry,
    all_dy: &[f32],
    outputs: [usize; 2],
    positions: [usize; 2],
    to: &mut [f32],
    turn: &mut [f32],
) {
    let plane = g.output[0] * g.output[1] * S::N;
    let count = positions[1] - positions[0];
    let [_, place_len, _] = g.place_lens();
    // A vector for each of N outputs, and one that is not used, for the reason of `place_lens`.
    let turn_len = (S::N + 1) * S::N;
    assert!(to.len() >= PLACES * place_len && turn.len() >= PLACES * turn_len && count <= g.chunk.positions);
    assert!(outputs[1] - outputs[0] <= g.chunk.outputs);
    for first in (outputs[0]..outputs[1].next_multiple_of(BLOCK)).step_by(S::N) {
        let (block, part) = ((first - outputs[0]) / BLOCK, (first - outputs[0]) % BLOCK);
        for (t, position) in (positions[0]..positions[1]).enumerate() {
            let corner = g.cell(position).map(|i| i as isize);
            for lane in 0..S::N {
                let mut tile = [[simd.splat(0.0); SIDE]; SIDE];
                if first + lane < outputs[1] {
                    let dy = &all_dy[(first + lane) * plane..][..plane];
                    let dy = load_tile::<S, TILE>(simd, dy, g.output, corner);
                    tile = spread(simd, &Winograd::<SIDE, TILE, KERNEL>::RESULT, &dy);
                    if plane >= PAGE {
                        let later = all_dy.as_ptr().wrapping_add((first + lane + 2) * plane);
                        fetch_tile(simd, later, g.output[1], TILE, corner);
                    }
                }
                for (place, &value) in tile.as_flattened().iter().enumerate() {
                    // SAFETY: PLACES times N vectors and one more.
                    unsafe { simd.store_to(value, turn.as_mut_ptr().add(place * turn_len + lane * S::N)) };
                }
            }
            let at = (block * count + t) * S::N * BLOCK + part;
            for place in 0..PLACES {
                // SAFETY: N vectors of one place; N rows of a block of outputs at a position, within the chunk's.
                unsafe {
                    let (from, to) = (turn.as_ptr().add(place * turn_len), to.as_mut_ptr().add(place * place_len + at));
                    simd.transpose(from, S::N, to, BLOCK);
                }
            }
        }
    }
}

/// `U += X·D`, or `U = X·D` if it is the first.
#[inline(always)]
fn multiply<S: Lanes>(
    simd: S,
    g: &Geometry,
    [outputs, channels, positions]: [[usize; 2]; 3],
    [x, d]: [&[f32]; 2],
    u: &mut [f32],
    first: bool,
) {
    let [x_len, d_len, u_len] = g.place_lens();
    let count = positions[1] - positions[0];
    let meetings = Meetings { runs: &[[0, 0]], pixels: count, x_step: g.channels * S::N };
    let blocks = (outputs[1] - outputs[0]).div_ceil(BLOCK);
    assert!(x.len() >= PLACES * x_len && d.len() >= PLACES * d_len && u.len() >= PLACES * u_len);
    assert!(count <= g.chunk.positions && blocks * BLOCK <= g.chunk.outputs);
    assert!(channels[1] <= g.channels && channels[1] - channels[0] <= g.chunk.channels);
    for place in 0..PLACES {
        for block in 0..blocks {
            let channels = channels[0]..channels[1];
            // SAFETY: the asserts: at each place `X` has a vector for each position and channel, `D` as many rows of a
            // block for each position and block, `U` a row for each channel of the chunk and block.
            unsafe {
                let x = x.as_ptr().add(place * x_len + channels.start * S::N);
                let d = d.as_ptr().add(place * d_len + block * count * S::N * BLOCK);
                let u = u.as_mut_ptr().add(place * u_len + block * channels.len() * BLOCK);
                add_products(simd, &meetings, x, d, u, channels.len(), first);
            }
        }
    }
}

/// `dw += Gᵀ U G` for some channels.
#[inline(always)]
fn transform_back<S: Lanes>(
    simd: S,
    g: &Geometry,
    outputs: [usize; 2],
    channels: [usize; 2],
    u: &[f32],
    dw: &mut [f32],
) {
    let [_, _, place_len] = g.place_lens();
    let count = channels[1] - channels[0];
    let blocks = outputs[0] / BLOCK..outputs[1].div_ceil(BLOCK);
    assert!(u.len() >= PLACES * place_len && blocks.len() * count * BLOCK <= place_len);
    assert!(dw.len() >= blocks.end * BLOCK * KERNEL * KERNEL * g.channels && channels[1] <= g.channels);
    for block in blocks.clone() {
        for c in 0..count {
            for part in (0..BLOCK).step_by(S::N) {
                let mut tile = [[simd.splat(0.0); SIDE]; SIDE];
                let at = ((block - blocks.start) * count + c) * BLOCK + part;
                for (place, value) in tile.as_flattened_mut().iter_mut().enumerate() {
                    // SAFETY: the asserts: a place of `u` has a row for each block and channel.
                    *value = unsafe { simd.load_from(u.as_ptr().add(place * place_len + at)) };
                }
                let taps = gather(simd, &Winograd::<SIDE, TILE, KERNEL>::KERNEL, &tile);
                for (tap, &value) in taps.as_flattened().iter().enumerate() {
                    let row = (block * KERNEL * KERNEL + tap) * g.channels + channels[0] + c;
                    // SAFETY: the asserts: `dw` has a row for each block, tap and channel.
                    unsafe {
                        let to = dw.as_mut_ptr().add(row * BLOCK + part);
                        simd.store_to(simd.add(simd.load_from(to), value), to);
                    }
                }
            }
        }
    }
}

const _: () = assert!(MAX_LANES <= BLOCK);
