//! Convolution of one image with neighbouring columns of outputs in the lanes: for few channels over long rows.
//!
//! The innermost product is a weight in all lanes times a vector of the image's row as it stands. A register tile holds `C`
//! output channels by `P` vectors of outputs, which may lie in several rows as long as these meet the same rows of taps:
//! each vector that is loaded serves `C` products and each weight `P`. At least 8 sums must be under way; beside their
//! operands 24 fit in 32 registers and 12 in 16.
//!
//! The last vector of a row ends where the row does and so overlaps the one before: those outputs are made twice, the same
//! both times. A row shorter than a vector is written in part; what the vector reads behind it means nothing.

use super::conv2d::{Block, Products};
use super::conv2d_geometry::Tap;
use crate::kernels::conv2d::Bounds;
use crate::kernels::sliding::Run;
use crate::simd::Lanes;

impl Products<'_> {
    /// With columns in the lanes.
    #[inline(always)]
    pub(super) fn by_columns<S: Lanes>(self, simd: S) {
        let rows = Rows { block: self.block, bounds: self.bounds, y: self.sums.as_mut_ptr() };
        // SAFETY: the block's slices have all that the geometry reaches, and there are planes for its channels.
        unsafe { rows.all(simd) }
    }
}

/// A block's rows of outputs.
struct Rows<'a> {
    block: &'a Block<'a>,
    bounds: Option<Bounds>,
    /// The channels' planes.
    y: *mut f32,
}

impl Rows<'_> {
    /// All channels, as many together as fit in the registers, and as even groups as can be.
    ///
    /// # Safety
    /// The block and `y` must have what the geometry reaches.
    #[inline(always)]
    unsafe fn all<S: Lanes>(&self, simd: S) {
        const MOST: usize = 6;
        let channels = self.block.channels;
        let together = channels.div_ceil(channels.div_ceil(MOST));
        let mut channel = 0;
        while channel < channels {
            // SAFETY: the caller's promise; channels stay below `channels`.
            unsafe {
                channel += match (together.min(channels - channel), S::REGISTERS >= 32) {
                    (6.., true) => self.channels::<S, 6, 4>(simd, channel),
                    (5, true) => self.channels::<S, 5, 4>(simd, channel),
                    (4, true) => self.channels::<S, 4, 6>(simd, channel),
                    (3, true) => self.channels::<S, 3, 6>(simd, channel),
                    (6.., false) => self.channels::<S, 6, 2>(simd, channel),
                    (5, false) => self.channels::<S, 5, 2>(simd, channel),
                    (4, false) => self.channels::<S, 4, 2>(simd, channel),
                    (3, false) => self.channels::<S, 3, 3>(simd, channel),
                    (2, _) => self.channels::<S, 2, 6>(simd, channel),
                    _ => self.channels::<S, 1, 8>(simd, channel),
                };
            }
        }
    }

    /// `C` channels from `channel` on: `P` vectors at a time, of a run of rows one after the other, then the rest.
    ///
    /// # Safety
    /// As for [`Rows::all`].
    #[inline(always)]
    unsafe fn channels<S: Lanes, const C: usize, const P: usize>(&self, simd: S, channel: usize) -> usize {
        let in_row = self.block.geometry.y[1].div_ceil(S::N);
        for (rows, taps) in self.block.geometry.rows.iter().zip(&self.block.geometry.columns) {
            let mut at = At { rows, taps, channel, row: 0, vector: 0 };
            let mut left = rows.count * in_row;
            while left > 0 {
                // SAFETY: the caller's promise; there are so many vectors.
                unsafe {
                    left -= match left {
                        left if left >= P => self.tile::<S, C, P>(simd, &mut at),
                        2.. => self.tile::<S, C, 2>(simd, &mut at),
                        _ => self.tile::<S, C, 1>(simd, &mut at),
                    }
                }
            }
        }
        C
    }

    /// One register tile, and on to where the next one begins.
    ///
    /// # Safety
    /// As for [`Rows::all`].
    #[inline(always)]
    unsafe fn tile<S: Lanes, const C: usize, const P: usize>(&self, simd: S, at: &mut At<'_>) -> usize {
        let g = self.block.geometry;
        let (width, plane) = (g.y[1], g.plane());
        // Where each vector begins: in the image, and in a plane of the result.
        let mut places = [(self.block.x.as_ptr(), 0); P];
        for (x, y) in &mut places {
            let column = (at.vector * S::N).min(width.saturating_sub(S::N));
            *x = x.wrapping_add(at.row * at.rows.other_move * g.x.width.total() + column);
            *y = (at.rows.first + at.row * at.rows.step) * width + column;
            at.vector += 1;
            if at.vector * S::N >= width {
                (at.row, at.vector) = (at.row + 1, 0);
            }
        }
        // SAFETY: the caller's promise: a vector that begins in a row of outputs reads no further than the frame and what
        // is behind it; it is written as far as its row goes.
        unsafe {
            let mut sums = self.sums::<S, C, P>(simd, at, &places);
            if let Some(bounds) = self.bounds {
                bounds.hold(simd, &mut sums);
            }
            for (c, sums) in sums.iter().enumerate() {
                let y = self.y.add((at.channel + c) * plane);
                for (&sum, (_, place)) in sums.iter().zip(places) {
                    if width >= S::N {
                        simd.store_to(sum, y.add(place));
                    } else {
                        simd.store_part(sum, y.add(place), width);
                    }
                }
            }
        }
        P
    }

    /// The sums of one register tile.
    ///
    /// # Safety
    /// As for [`Rows::all`].
    #[inline(always)]
    unsafe fn sums<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        at: &At<'_>,
        places: &[(*const f32, usize); P],
    ) -> [[S::V; P]; C] {
        let Block { geometry: g, weight, bias, .. } = self.block;
        let mut sums = [[simd.splat(0.0); P]; C];
        for (sums, &bias) in sums.iter_mut().zip(&bias[at.channel..]) {
            *sums = [simd.splat(bias); P];
        }
        // SAFETY: the caller's promise; weights lie in the block.
        unsafe {
            for inner in 0..g.inner {
                let weight = weight.as_ptr().add(inner * g.kernel[0] * g.kernel[1] * g.block + at.channel);
                for tap in at.taps {
                    let x = inner * g.x.plane() + tap.x;
                    let mut values = [simd.splat(0.0); P];
                    for (value, (place, _)) in values.iter_mut().zip(places) {
                        *value = simd.load_from(place.wrapping_add(x));
                    }
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let weight = simd.splat(*weight.add(tap.weight + c));
                        for (sum, &value) in sums.iter_mut().zip(&values) {
                            *sum = simd.mul_add(weight, value, *sum);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// Where a register tile begins: at an output channel of the block, and in a run of rows at a row's vector.
struct At<'a> {
    rows: &'a Run,
    /// The taps that the run meets.
    taps: &'a [Tap],
    channel: usize,
    row: usize,
    vector: usize,
}
