//! A convolution's gradient by the weight, of one image, with neighbouring columns in the lanes: for few output channels
//! over long rows.
//!
//! For each weight the sum of `x·dy` over pixels. Rows of the gradient are brought into vectors, output channel by output
//! channel, and each meets the row of the image that its tap sees, as it stands. A register tile holds `C` output channels
//! by `T` taps, over all pixels: each vector of gradients serves `T` products and each of the image `C`. The lanes of the
//! sums are added at the end: blocks of taps are transposed for that.
//!
//! The last vector of a row ends where the row does; what the one before has already is 0 in it. A row shorter than a vector
//! has zeros behind it, and what they meet means nothing.

use super::conv2d_weight_grad::{Geometry, WeightGrad};
use crate::simd::{Lanes, MAX_LANES};

impl WeightGrad<'_> {
    #[inline(always)]
    pub(super) fn columns<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let (pixels, weights) = (g.dy[0] * g.dy[1], g.weights());
        let (frame, rest) = self.work.split_at_mut(g.x.work_len());
        let x = g.x.around(self.x, frame);
        let in_row = g.dy[1].div_ceil(S::N);
        let (dy, sums) = rest.split_at_mut(g.dy[0] * in_row * g.outputs * S::N);
        for group in 0..g.groups {
            let first = group * g.outputs;
            gather(simd, g, &self.dy[first * pixels..][..g.outputs * pixels], dy);
            let x = &x[group * g.inner * g.x.plane()..][..g.inner * g.x.plane() + g.x.behind];
            let sums = &mut sums[..(g.outputs * weights + S::N) * S::N];
            Taps { geometry: g, x, dy, sums }.all(simd);
            for (channel, dw) in self.dw[first * weights..][..g.outputs * weights].chunks_exact_mut(weights).enumerate()
            {
                add_lanes(simd, &sums[channel * weights * S::N..], dw);
            }
        }
    }
}

/// Gradients in vectors: `[vector of a row][row][output channel]`.
#[inline(always)]
fn gather<S: Lanes>(simd: S, g: &Geometry, dy: &[f32], vectors: &mut [f32]) {
    let [height, width] = g.dy;
    let (in_row, zero, one) = (width.div_ceil(S::N), simd.splat(0.0), simd.splat(1.0));
    // Where the last vector has what the one before has not.
    let again = (in_row * S::N).saturating_sub(width);
    let new = simd.load(&std::array::from_fn::<f32, MAX_LANES, _>(|i| if i < again { 0.0 } else { 1.0 }), 0);
    for (v, vectors) in vectors.chunks_exact_mut(height * g.outputs * S::N).enumerate() {
        for (i, place) in vectors.chunks_exact_mut(S::N).enumerate() {
            let (row, channel) = (i / g.outputs, i % g.outputs);
            let line = &dy[(channel * height + row) * width..][..width];
            let gradient = if width < S::N {
                // SAFETY: the row has so many numbers.
                unsafe { simd.load_part(line.as_ptr(), width) }
            } else if v + 1 < in_row {
                simd.load(&line[v * S::N..], 0)
            } else {
                simd.if_equal(new, one, simd.load(&line[width - S::N..], 0), zero)
            };
            simd.store(gradient, place, 0);
        }
    }
}

/// Adds up the lanes of each tap's vector, and that to the tap's gradient.
#[inline(always)]
fn add_lanes<S: Lanes>(simd: S, sums: &[f32], dw: &mut [f32]) {
    let mut block = [0.0; MAX_LANES * MAX_LANES];
    for (sums, dw) in sums.chunks(S::N * S::N).zip(dw.chunks_mut(S::N)) {
        let from = &sums[..S::N * S::N];
        // SAFETY: both have N by N numbers.
        unsafe { simd.transpose(from.as_ptr(), S::N, block.as_mut_ptr(), S::N) };
        let mut total = simd.load(&block, 0);
        for lane in 1..S::N {
            total = simd.add(total, simd.load(&block, lane));
        }
        // SAFETY: `dw` has so many numbers, N at most.
        unsafe {
            let sum = simd.add(simd.load_part(dw.as_ptr(), dw.len()), total);
            simd.store_part(sum, dw.as_mut_ptr(), dw.len());
        }
    }
}

/// The taps of a group.
struct Taps<'a> {
    geometry: &'a Geometry,
    /// The group's input channels in their frame, and what may be read behind them.
    x: &'a [f32],
    /// Gradients in vectors.
    dy: &'a [f32],
    /// A vector for each weight; and room for some more, so that blocks of them are whole.
    sums: &'a mut [f32],
}

impl Taps<'_> {
    /// All output channels, as many together as fit in the registers.
    #[inline(always)]
    fn all<S: Lanes>(&mut self, simd: S) {
        let channels = self.geometry.outputs;
        let most = if S::REGISTERS >= 32 { 6 } else { 3 };
        let together = channels.div_ceil(channels.div_ceil(most));
        let mut channel = 0;
        while channel < channels {
            channel += match (together.min(channels - channel), S::REGISTERS >= 32) {
                (6.., true) => self.channels::<S, 6, 4>(simd, channel),
                (5, true) => self.channels::<S, 5, 4>(simd, channel),
                (4, true) => self.channels::<S, 4, 5>(simd, channel),
                (3, true) => self.channels::<S, 3, 6>(simd, channel),
                (3.., false) => self.channels::<S, 3, 3>(simd, channel),
                (2, _) => self.channels::<S, 2, 4>(simd, channel),
                _ => self.channels::<S, 1, 8>(simd, channel),
            };
        }
    }

    /// `C` output channels from `channel` on: `T` taps at a time. The last may do some again.
    #[inline(always)]
    fn channels<S: Lanes, const C: usize, const T: usize>(&mut self, simd: S, channel: usize) -> usize {
        let taps = self.geometry.weights();
        for first in super::blocks(taps, T) {
            self.tile::<S, C, T>(simd, channel, first);
        }
        for first in 0..if taps < T { taps } else { 0 } {
            self.tile::<S, C, 1>(simd, channel, first);
        }
        C
    }

    /// One register tile: `C` channels by `T` taps.
    #[inline(always)]
    fn tile<S: Lanes, const C: usize, const T: usize>(&mut self, simd: S, channel: usize, first: usize) {
        let weights = self.geometry.weights();
        // SAFETY: `channels` stays within the channels and taps of the geometry, and by that the frame and what is behind
        // it are as large as vectors reach, and there are gradients for all pixels.
        let sums = unsafe { self.sums::<S, C, T>(simd, channel, first) };
        for (c, sums) in sums.iter().enumerate() {
            let line = &mut self.sums[((channel + c) * weights + first) * S::N..][..T * S::N];
            for (t, &sum) in sums.iter().enumerate() {
                simd.store(sum, line, t);
            }
        }
    }

    /// Its sums over all pixels.
    ///
    /// # Safety
    /// There must be these taps and channels.
    #[inline(always)]
    unsafe fn sums<S: Lanes, const C: usize, const T: usize>(
        &self,
        simd: S,
        channel: usize,
        first: usize,
    ) -> [[S::V; T]; C] {
        let g = self.geometry;
        let ([height, kernel_width], [rows, width]) = (g.kernel, g.dy);
        let line = g.x.width.total();
        let place = |tap: usize| {
            let (column, row, inner) = (tap % kernel_width, tap / kernel_width % height, tap / (kernel_width * height));
            inner * g.x.plane() + row * g.dilation[0] * line + column * g.dilation[1]
        };
        let mut sums = [[simd.splat(0.0); T]; C];
        // SAFETY: the caller's promise.
        unsafe {
            let taps: [*const f32; T] = std::array::from_fn(|t| self.x.as_ptr().add(place(first + t)));
            let mut dy = self.dy.as_ptr().add(channel * S::N);
            for v in 0..width.div_ceil(S::N) {
                let mut at = (v * S::N).min(width.saturating_sub(S::N));
                for _ in 0..rows {
                    let values: [S::V; T] = std::array::from_fn(|t| simd.load_from(taps[t].add(at)));
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let gradient = simd.load_from(dy.wrapping_add(c * S::N));
                        for (sum, &value) in sums.iter_mut().zip(&values) {
                            *sum = simd.mul_add(gradient, value, *sum);
                        }
                    }
                    at += g.stride[0] * line;
                    dy = dy.wrapping_add(g.outputs * S::N);
                }
            }
        }
        sums
    }
}
