//! The register tile of weight gradients with many channels: sums of outer products.
//!
//! For one kernel tap, `sums[c][o] += Σ x[pixel, image, c] · dy[pixel, image, o]`. Here the lanes are [`BLOCK`] output
//! channels, and a step of the sum is one pixel of one image: `dy` comes in rows `[pixel][image][o]`, one vector load for
//! `N` outputs, and `x` as `[pixel][c][image]`, of which single numbers are read and spread. A tile of `C` input channels by
//! `V` vectors of outputs stays in registers over all pixels: `C + V` loads for `C·V` multiply-adds, and no sum across
//! lanes at the end.

use lenslet_graph::plan::WEIGHT_BLOCK as BLOCK;

use crate::simd::Lanes;

/// Pixels that meet: where the first of each run stands in `x` and `dy`, and how far apart they are in `x`. In `dy` they
/// are neighbours.
pub(crate) struct Meetings<'a> {
    pub(crate) runs: &'a [[usize; 2]],
    /// Pixels of each run.
    pub(crate) pixels: usize,
    /// Numbers from one pixel of `x` to the next.
    pub(crate) x_step: usize,
}

/// Adds the products of all `channels` of `x` with one block of outputs to `sums`, `[c][o]`; `fresh` sums begin at 0,
/// whatever is in them.
///
/// # Safety
/// `x` must be valid for reading `channels` vectors at each pixel that `meetings` names, `dy` for `N` rows of [`BLOCK`]
/// numbers, and `sums` for reading and writing `channels` rows.
#[inline(always)]
pub(crate) unsafe fn add_products<S: Lanes>(
    simd: S,
    meetings: &Meetings<'_>,
    x: *const f32,
    dy: *const f32,
    sums: *mut f32,
    channels: usize,
    fresh: bool,
) {
    // Sums, factors and one number of x: 12·2 + 2 + 1 or 6·4 + 4 + 1 of 32 registers, 6·2 + 2 + 1 of 16.
    // SAFETY: the caller's promise; parts of a block stand side by side.
    unsafe {
        for part in (0..BLOCK).step_by(vectors::<S>() * S::N) {
            let (dy, sums) = (dy.add(part), sums.add(part));
            match vectors::<S>() {
                4 => part_products::<S, 4>(simd, meetings, x, dy, sums, channels, 6, fresh),
                _ if S::REGISTERS >= 32 => part_products::<S, 2>(simd, meetings, x, dy, sums, channels, 12, fresh),
                // The compiler fetches numbers to spread ahead of time, in registers that 6·2 sums leave no room for.
                _ if S::PAIRS => part_products::<S, 2>(simd, meetings, x, dy, sums, channels, 4, fresh),
                _ => part_products::<S, 2>(simd, meetings, x, dy, sums, channels, 6, fresh),
            }
        }
    }
}

/// Vectors of outputs in a tile.
const fn vectors<S: Lanes>() -> usize {
    if S::REGISTERS >= 32 && 4 * S::N <= BLOCK { 4 } else { 2 }
}

/// All channels with `V` vectors of outputs, `most` channels at a time.
///
/// # Safety
/// As for [`add_products`].
#[inline(always)]
unsafe fn part_products<S: Lanes, const V: usize>(
    simd: S,
    meetings: &Meetings<'_>,
    x: *const f32,
    dy: *const f32,
    sums: *mut f32,
    channels: usize,
    most: usize,
    fresh: bool,
) {
    let mut c = 0;
    while c < channels {
        // SAFETY: the caller's promise, for channels from c on.
        unsafe {
            let (x, sums) = (x.add(c * S::N), sums.add(c * BLOCK));
            c += match most.min(channels - c) {
                12.. => tile::<S, 12, V>(simd, meetings, x, dy, sums, fresh),
                8..12 => tile::<S, 8, V>(simd, meetings, x, dy, sums, fresh),
                6..8 => tile::<S, 6, V>(simd, meetings, x, dy, sums, fresh),
                4..6 => tile::<S, 4, V>(simd, meetings, x, dy, sums, fresh),
                3 => tile::<S, 3, V>(simd, meetings, x, dy, sums, fresh),
                2 => tile::<S, 2, V>(simd, meetings, x, dy, sums, fresh),
                _ => tile::<S, 1, V>(simd, meetings, x, dy, sums, fresh),
            }
        }
    }
}

/// One register tile. Returns its channels.
///
/// # Safety
/// As for [`add_products`].
#[inline(always)]
unsafe fn tile<S: Lanes, const C: usize, const V: usize>(
    simd: S,
    meetings: &Meetings<'_>,
    x: *const f32,
    dy: *const f32,
    sums: *mut f32,
    fresh: bool,
) -> usize {
    let mut tile = [[simd.splat(0.0); V]; C];
    for &[x_first, dy_first] in meetings.runs {
        let (mut x, mut dy) = (x.wrapping_add(x_first), dy.wrapping_add(dy_first));
        for _ in 0..meetings.pixels {
            for lane in 0..S::N {
                let mut outputs = [simd.splat(0.0); V];
                for (v, outputs) in outputs.iter_mut().enumerate() {
                    // SAFETY: this pixel's row for the image in this lane.
                    *outputs = unsafe { simd.load_from(dy.add(lane * BLOCK + v * S::N)) };
                }
                for (c, tile) in tile.iter_mut().enumerate() {
                    // SAFETY: this pixel's vector of channel c.
                    let x = simd.splat(unsafe { *x.add(c * S::N + lane) });
                    for (sum, &output) in tile.iter_mut().zip(&outputs) {
                        *sum = simd.mul_add(x, output, *sum);
                    }
                }
            }
            x = x.wrapping_add(meetings.x_step);
            dy = dy.wrapping_add(S::N * BLOCK);
        }
    }
    for (c, tile) in tile.iter().enumerate() {
        for (v, &sum) in tile.iter().enumerate() {
            // SAFETY: row c of the sums.
            unsafe {
                let to = sums.add(c * BLOCK + v * S::N);
                let sum = if fresh { sum } else { simd.add(simd.load_from(to), sum) };
                simd.store_to(sum, to);
            }
        }
    }
    C
}
