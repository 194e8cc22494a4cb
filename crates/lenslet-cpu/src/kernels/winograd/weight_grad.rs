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

use super::tiles::{KERNEL, PLACES, SIDE, TILE, transform_gradients, transform_images};
use super::transform::{Winograd, gather};
pub(crate) use super::weight_grad_geometry::Geometry;
use crate::kernels::weight_tile::{Meetings, add_products};
use crate::simd::{Kernel, Lanes, MAX_LANES};

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
        for output in (0..g.gradient.channels).step_by(g.chunk.outputs) {
            let outputs = [output, g.gradient.channels.min(output + g.chunk.outputs)];
            for (chunk, position) in (0..g.positions()).step_by(g.chunk.positions).enumerate() {
                let positions = [position, g.positions().min(position + g.chunk.positions)];
                let kept = g.kept_x() == g.position_chunks();
                let x = &mut all_x[if kept { chunk * x_len } else { 0 }..][..x_len];
                if output == 0 || !kept {
                    transform_images::<S, false>(simd, &g.image, self.x, positions, x);
                }
                transform_gradients(simd, &g.gradient, self.dy, outputs, positions, d, turn);
                let (first, last) = (position == 0, positions[1] == g.positions());
                for (number, channel) in (0..g.image.channels).step_by(g.chunk.channels).enumerate() {
                    let u = &mut all_u[if first && last { 0 } else { number * u_len }..][..u_len];
                    let channels = [channel, g.image.channels.min(channel + g.chunk.channels)];
                    multiply(simd, g, [outputs, channels, positions], [x, d], u, first);
                    if last {
                        transform_back(simd, g, outputs, channels, u, self.dw);
                    }
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
    let meetings = Meetings { runs: &[[0, 0]], pixels: count, x_step: g.image.channels * S::N };
    let blocks = (outputs[1] - outputs[0]).div_ceil(BLOCK);
    assert!(x.len() >= PLACES * x_len && d.len() >= PLACES * d_len && u.len() >= PLACES * u_len);
    assert!(count <= g.chunk.positions && blocks * BLOCK <= g.chunk.outputs);
    assert!(channels[1] <= g.image.channels && channels[1] - channels[0] <= g.chunk.channels);
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
    assert!(dw.len() >= blocks.end * BLOCK * KERNEL * KERNEL * g.image.channels && channels[1] <= g.image.channels);
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
                    let row = (block * KERNEL * KERNEL + tap) * g.image.channels + channels[0] + c;
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
