//! Convolution, forward and its gradient by the image: one loop nest for both, and for dense layers.
//!
//! In a tile, value `(channel, row, column)` is a vector of images, so the innermost product is a weight in all lanes times
//! a vector. A register tile holds `C` output channels by `P` pixels: every vector that is loaded serves `C` products and
//! every weight `P`. A fused multiply-add takes 4 cycles, at 1 (16 lanes) or 2 (8 lanes) a cycle, so at least 8 sums must be
//! under way; beside their operands 24 fit in 32 registers and 12 in 16 ([`Block::stretch`] has the table).
//!
//! Which input meets which tap, edges included, is said by the [`Geometry`]. The gradient by the image is the same sum with
//! input and output exchanged. Max pooling by 2×2 may follow at once: a register tile then holds the pixels of a window.
//!
//! Weights are packed `[group][block of output channels][inner channel][tap][channel in block]`
//! ([`Pack`](lenslet_graph::plan::Pack)), so a register tile reads them in order.

use lenslet_graph::ops::map::Map;

use super::map;
use super::max_pool::Best;
use super::stretches::{Band, Geometry, Pixel, Stretch, Tap};
use crate::simd::{Kernel, Lanes};

/// `y[o] = activation(bias[o] + Σ w·x)`, or of four such values the greatest.
pub(crate) struct Correlate<'a> {
    pub(crate) geometry: &'a Geometry,
    /// Values, a vector each.
    pub(crate) x: &'a [f32],
    /// Packed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    /// Values, a vector each; every one is written.
    pub(crate) y: &'a mut [f32],
    /// For each pooled value the number of its winner in the window, or [`NO_WINNER`]; or nothing.
    pub(crate) winners: &'a mut [f32],
    /// Room for [`Geometry::work_len`] vectors.
    pub(crate) work: &'a mut [f32],
}

/// Where no value of the window receives a gradient, since the activation's slope is 0.
pub(crate) const NO_WINNER: f32 = 4.0;

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        assert!(self.x.len() >= g.x_len * S::N && self.y.len() >= g.y_len() * S::N);
        assert!(self.weight.len() >= g.groups * g.blocks() * g.inner * g.weights);
        assert!(self.bias.is_empty() || self.bias.len() == g.groups * g.outputs);
        assert!(self.winners.is_empty() || self.winners.len() >= g.y_len() * S::N && g.pooled);
        let (bounds, late) = Bounds::of(self.activation);
        assert!(late.is_none() || !g.pooled, "a pooled convolution has no activation but ReLU");
        for group in 0..g.groups {
            let x = &self.x[group * g.inner * g.x_channel * S::N..];
            for band in &g.bands {
                let (x, x_channel) = match g.gathered {
                    true => (gather::<S>(x, band, g, self.work), band.columns.len()),
                    false => (x, g.x_channel),
                };
                for block in 0..g.blocks() {
                    let first = block * g.width;
                    let weight = &self.weight[(group * g.blocks() + block) * g.inner * g.weights..];
                    let block = Block {
                        geometry: g,
                        x: x.as_ptr(),
                        x_channel: x_channel * S::N,
                        weight: weight[..g.inner * g.weights].as_ptr(),
                        bias: self.bias,
                        bounds,
                        y: self.y.as_mut_ptr(),
                        winners: if self.winners.is_empty() { None } else { Some(self.winners.as_mut_ptr()) },
                        channel: group * g.outputs + first,
                    };
                    let channels = g.width.min(g.outputs - first);
                    for stretch in &band.stretches {
                        // SAFETY: the asserts above: `geometry` reaches `x_len` and `y_len` values at most, of a band
                        // as many as it has.
                        unsafe { block.stretch(simd, channels, stretch) }
                    }
                }
            }
        }
        if let Some(map) = late {
            map::in_place(simd, map, &mut self.y[..g.y_len() * S::N]);
        }
    }
}

/// Between which numbers results are kept: the activations that are done in registers. Others have a pass of their own.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    min: f32,
    max: f32,
}

impl Bounds {
    /// The activation as bounds, or else itself.
    pub(super) fn of(activation: Option<Map>) -> (Option<Self>, Option<Map>) {
        match activation {
            Some(Map::Relu) => (Some(Self { min: 0.0, max: f32::INFINITY }), None),
            Some(Map::Clamp { min, max }) if min <= max => (Some(Self { min, max }), None),
            other => (None, other),
        }
    }

    /// All sums within the bounds, of which the upper one is seldom there. One test for all: a function that differs from sum
    /// to sum would keep them in memory.
    #[inline(always)]
    pub(super) fn hold<S: Lanes, const C: usize, const P: usize>(self, simd: S, sums: &mut [[S::V; P]; C]) {
        let (min, max) = (simd.splat(self.min), simd.splat(self.max));
        for sums in sums.iter_mut() {
            for sum in sums {
                *sum = simd.if_less(*sum, min, min, *sum);
            }
        }
        if self.max < f32::INFINITY {
            for sums in sums {
                for sum in sums {
                    *sum = simd.if_less(max, *sum, max, *sum);
                }
            }
        }
    }
}

/// The greatest of a window's values within the bounds, and the winner's number if that is asked for.
///
/// # Safety
/// `y` and `winner` must have room for a vector.
#[inline(always)]
pub(super) unsafe fn store_greatest<S: Lanes>(
    simd: S,
    values: &[S::V; 4],
    bounds: Option<Bounds>,
    y: *mut f32,
    winner: Option<*mut f32>,
) {
    let mut best = Best::new(simd, values[0]);
    for (number, &value) in values.iter().enumerate().skip(1) {
        best.meets(simd, number, value);
    }
    // The greatest of bounded values is the greatest value, bounded.
    if let Some(bounds) = bounds {
        let mut value = [[best.value]];
        bounds.hold(simd, &mut value);
        [[best.value]] = value;
    }
    // SAFETY: the caller's promise.
    unsafe {
        simd.store_to(best.value, y);
        if let Some(winner) = winner {
            // The activation is none or ReLU.
            simd.store_to(best.winner(simd, bounds.is_some()), winner);
        }
    }
}

/// The band's values of all channels, brought together.
#[inline(always)]
fn gather<'a, S: Lanes>(x: &[f32], band: &Band, g: &Geometry, work: &'a mut [f32]) -> &'a [f32] {
    let len = band.columns.len() * S::N;
    let work = &mut work[..band.rows.len() * g.inner * len];
    if len > 0 {
        for (place, work) in work.chunks_exact_mut(len).enumerate() {
            let (row, inner) = (band.rows.start + place / g.inner, place % g.inner);
            let from = inner * g.x_channel + row * g.x_row + band.columns.start;
            work.copy_from_slice(&x[from * S::N..][..len]);
        }
    }
    work
}

/// Up to eight output channels: their packed weights, and where their values go.
struct Block<'a> {
    geometry: &'a Geometry,
    /// The group's first input channel, and numbers from one to the next.
    x: *const f32,
    x_channel: usize,
    weight: *const f32,
    bias: &'a [f32],
    bounds: Option<Bounds>,
    y: *mut f32,
    winners: Option<*mut f32>,
    /// The block's first output channel.
    channel: usize,
}

impl Block<'_> {
    /// The block's first `channels` channels of a stretch: as many pixels together as fit in the registers.
    ///
    /// # Safety
    /// `x` and `y` must have the values that the geometry reaches.
    #[inline(always)]
    unsafe fn stretch<S: Lanes>(&self, simd: S, channels: usize, stretch: &Stretch) {
        // SAFETY: the caller's promise; channels stay below `channels`.
        unsafe {
            match (channels, S::REGISTERS >= 32) {
                _ if self.geometry.pooled => self.windows(simd, channels, stretch),
                // Counted by LLVM's models of processors: a tenth to a fifth faster than 4×2.
                (8.., _) if S::PAIRS && stretch.pixels.len() > 2 => {
                    self.tiles::<S, 4, 3>(simd, 0, stretch);
                    self.tiles::<S, 4, 3>(simd, 4, stretch);
                }
                (4, _) if S::PAIRS => self.tiles::<S, 4, 3>(simd, 0, stretch),
                (2, _) if S::PAIRS => self.tiles::<S, 2, 5>(simd, 0, stretch),
                (8.., true) => self.tiles::<S, 8, 3>(simd, 0, stretch),
                (7, true) => self.tiles::<S, 7, 3>(simd, 0, stretch),
                (6, true) => self.tiles::<S, 6, 4>(simd, 0, stretch),
                (5, true) => self.tiles::<S, 5, 4>(simd, 0, stretch),
                (4, true) => self.tiles::<S, 4, 6>(simd, 0, stretch),
                (3, true) => self.tiles::<S, 3, 8>(simd, 0, stretch),
                // Measured: with 4×3 or 3×4 sums, one of them is kept in memory.
                (8.., false) if stretch.pixels.len() > 1 => {
                    self.tiles::<S, 4, 2>(simd, 0, stretch);
                    self.tiles::<S, 4, 2>(simd, 4, stretch);
                }
                (8.., false) => self.tiles::<S, 8, 1>(simd, 0, stretch),
                (7, false) => self.tiles::<S, 7, 1>(simd, 0, stretch),
                (6, false) => self.tiles::<S, 6, 2>(simd, 0, stretch),
                (5, false) => self.tiles::<S, 5, 2>(simd, 0, stretch),
                (4, false) => self.tiles::<S, 4, 2>(simd, 0, stretch),
                (3, false) => self.tiles::<S, 3, 3>(simd, 0, stretch),
                (2, _) => self.tiles::<S, 2, 6>(simd, 0, stretch),
                _ => self.tiles::<S, 1, 8>(simd, 0, stretch),
            }
        }
    }

    /// `C` channels of a stretch: `P` pixels at a time, then the rest one by one.
    ///
    /// # Safety
    /// As for [`Block::stretch`].
    #[inline(always)]
    unsafe fn tiles<S: Lanes, const C: usize, const P: usize>(&self, simd: S, channel: usize, stretch: &Stretch) {
        let (tiles, rest) = stretch.pixels.as_chunks::<P>();
        // SAFETY: the caller's promise.
        unsafe {
            for pixels in tiles {
                self.tile::<S, C, P>(simd, channel, &stretch.taps, pixels);
            }
            for &pixel in rest {
                self.tile::<S, C, 1>(simd, channel, &stretch.taps, &[pixel]);
            }
        }
    }

    /// One register tile: `C` channels from `channel`, `P` pixels.
    #[inline(always)]
    unsafe fn tile<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        channel: usize,
        taps: &[Tap],
        pixels: &[Pixel; P],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = self.sums::<S, C, P>(simd, channel, taps, pixels);
            if let Some(bounds) = self.bounds {
                bounds.hold(simd, &mut sums);
            }
            for (c, sums) in sums.iter().enumerate() {
                let y = self.y.add((self.channel + channel + c) * self.geometry.y_channel * S::N);
                for (pixel, &sum) in pixels.iter().zip(sums) {
                    simd.store_to(sum, y.add(pixel.y * S::N));
                }
            }
        }
    }

    /// The sums of one register tile.
    #[inline(always)]
    unsafe fn sums<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        channel: usize,
        taps: &[Tap],
        pixels: &[Pixel; P],
    ) -> [[S::V; P]; C] {
        // Measured: as a loop over the sums this costs a quarter of the speed.
        let start: [S::V; C] = std::array::from_fn(|c| {
            simd.splat(if self.bias.is_empty() { 0.0 } else { self.bias[self.channel + channel + c] })
        });
        let mut sums = start.map(|sum| [sum; P]);
        let places = pixels.map(|pixel| pixel.x * S::N);
        // SAFETY: every place read is one that the geometry reaches, every weight lies in the block.
        unsafe {
            let mut x = self.x;
            let mut weight = self.weight.add(channel);
            for _ in 0..self.geometry.inner {
                for tap in taps {
                    let x = x.wrapping_offset(tap.x * S::N as isize);
                    let weight = weight.add(tap.weight);
                    let values: [S::V; P] = std::array::from_fn(|p| simd.load_from(x.wrapping_add(places[p])));
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let weight = simd.splat(*weight.add(c));
                        for (sum, &value) in sums.iter_mut().zip(&values) {
                            *sum = simd.mul_add(weight, value, *sum);
                        }
                    }
                }
                x = x.wrapping_add(self.x_channel);
                weight = weight.wrapping_add(self.geometry.weights);
            }
        }
        sums
    }

    /// As [`Block::stretch`], where the pixels are windows of four of which the greatest is kept.
    #[inline(always)]
    unsafe fn windows<S: Lanes>(&self, simd: S, channels: usize, stretch: &Stretch) {
        let most = if S::REGISTERS >= 32 { 6 } else { 2 };
        // Eight channels are four and four.
        let together = channels.div_ceil(channels.div_ceil(most));
        let mut channel = 0;
        while channel < channels {
            // SAFETY: the caller's promise; channels stay below `channels`.
            unsafe {
                channel += match together.min(channels - channel) {
                    6.. if S::REGISTERS >= 32 => self.window::<S, 6>(simd, channel, stretch),
                    5 if S::REGISTERS >= 32 => self.window::<S, 5>(simd, channel, stretch),
                    4 if S::REGISTERS >= 32 => self.window::<S, 4>(simd, channel, stretch),
                    3 if S::REGISTERS >= 32 => self.window::<S, 3>(simd, channel, stretch),
                    2.. => self.window::<S, 2>(simd, channel, stretch),
                    _ => self.window::<S, 1>(simd, channel, stretch),
                }
            }
        }
    }

    /// `C` channels of a stretch of windows.
    #[inline(always)]
    unsafe fn window<S: Lanes, const C: usize>(&self, simd: S, channel: usize, stretch: &Stretch) -> usize {
        for pixels in stretch.pixels.as_chunks::<4>().0 {
            // SAFETY: the caller's promise: `y` and `winners` have a place for each pooled pixel.
            unsafe {
                let sums = self.sums::<S, C, 4>(simd, channel, &stretch.taps, pixels);
                for (c, sums) in sums.iter().enumerate() {
                    let place = ((self.channel + channel + c) * self.geometry.y_channel + pixels[0].y) * S::N;
                    let winner = self.winners.map(|winners| winners.add(place));
                    store_greatest(simd, sums, self.bounds, self.y.add(place), winner);
                }
            }
        }
        C
    }
}
