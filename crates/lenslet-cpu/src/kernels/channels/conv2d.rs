//! Convolution of one image, forward and its gradient by the image: output channels in the lanes.
//!
//! The innermost product is a vector of weights, one per output channel, times a number of the image in all lanes. A
//! register tile holds `R` rows by `Q` pixels of outputs for one block of channels, which is `V` vectors (two where a
//! vector has 8 lanes and the block 16 channels): each vector of weights that is loaded serves all its pixels, and each
//! number of the image `V` products. With 32 registers 24 sums fit; with 16 registers 6 pixels by 2 vectors, or 12 by 1.
//! A row of outputs is cut into tiles of nearly equal width, and narrow rows are taken 2 or 4 together.
//!
//! Weights are packed as for tiles of many images, in blocks of 8 or 16 channels. Which values meet which weights is the
//! [`Geometry`]'s to say. Results stand pixel by pixel until the block is done, and are then transposed into its channels'
//! planes; if the convolution pools, the greatest of each window are. Where columns stand in the lanes, each block is done
//! by [`conv2d_columns`](super::conv2d_columns).
//!
//! What comes before and after the products are kernels of their own. Together in one function, the products took a sixth
//! longer, and the compiler half as long again.

use std::ops::Range;

use lenslet_graph::ops::map::Map;

pub(crate) use super::conv2d_geometry::Geometry;
use super::{Around, max_pool, to_planes};
use crate::kernels::conv2d::Bounds;
use crate::kernels::map;
use crate::kernels::sliding::Run;
use crate::simd::{Isa, Kernel, Lanes, MAX_LANES};

/// `y[o] = activation(bias[o] + Σ w·x)`, or of four such values the greatest.
pub(crate) struct Correlate<'a> {
    pub(crate) geometry: &'a Geometry,
    /// All of the image.
    pub(crate) x: &'a [f32],
    /// All packed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    /// The blocks that are to be made.
    pub(crate) blocks: Range<usize>,
    /// Their channels.
    pub(crate) y: &'a mut [f32],
    /// For each pooled value the number of its winner in the window, or [`NO_WINNER`](crate::kernels::conv2d::NO_WINNER);
    /// or nothing.
    pub(crate) winners: &'a mut [f32],
    pub(crate) work: &'a mut [f32],
}

impl Correlate<'_> {
    /// On vectors of as many lanes as the geometry has use for.
    pub(crate) fn run(self, isa: Isa) {
        let (g, isa) = (self.geometry, isa.at_most(self.geometry.lanes()));
        let (of_group, plane) = (g.outputs.div_ceil(g.block), g.plane_out());
        let block_len = g.inner * g.kernel[0] * g.kernel[1] * g.block;
        assert!(self.x.len() >= g.x.channels * g.x.height.size * g.x.width.size);
        assert!(self.bias.is_empty() || self.bias.len() == g.groups * g.outputs);
        assert!(!g.pooled || matches!(self.activation, None | Some(Map::Relu)), "pooling knows no slope but ReLU's");
        let (frame, work) = self.work.split_at_mut(g.x.work_len());
        let x = isa.run(Around { frame: &g.x, image: self.x, work: frame });
        let (mut y, mut winners) = (self.y, self.winners);
        for number in self.blocks {
            let (group, channels) = (number / of_group, g.channels(number..number + 1));
            let mut bias = [0.0; MAX_LANES];
            if !self.bias.is_empty() {
                bias[..channels.len()].copy_from_slice(&self.bias[channels.clone()]);
            }
            let block = Block {
                geometry: g,
                x: &x[group * g.inner * g.x.plane()..][..g.inner * g.x.plane() + g.x.behind],
                weight: &self.weight[number * block_len..][..block_len],
                bias,
                channels: channels.len(),
            };
            let y = y.split_off_mut(..channels.len() * plane).expect("there is room for all channels");
            let winners = winners.split_off_mut(..winners.len().min(channels.len() * plane)).expect("no more than all");
            block.run(isa, self.activation, y, winners, work);
        }
    }
}

/// A block of output channels.
pub(super) struct Block<'a> {
    pub(super) geometry: &'a Geometry,
    /// The group's input channels in their frame, and what may be read behind them.
    pub(super) x: &'a [f32],
    pub(super) weight: &'a [f32],
    pub(super) bias: [f32; MAX_LANES],
    /// Channels that there are.
    pub(super) channels: usize,
}

impl Block<'_> {
    /// From its products to its channels' planes.
    fn run(&self, isa: Isa, activation: Option<Map>, y: &mut [f32], winners: &mut [f32], work: &mut [f32]) {
        let g = self.geometry;
        let (sums, work) = work.split_at_mut(g.sums_len());
        let (sums, y) = if sums.is_empty() { (y, &mut [][..]) } else { (&mut sums[..self.sums_len()], y) };
        let (bounds, late) = if g.by_column() { Bounds::of(activation) } else { (None, activation) };
        isa.run(Products { block: self, bounds, sums: &mut *sums });
        isa.run(Finish { geometry: g, late, relu: activation.is_some(), sums, y, winners, work });
    }

    /// Numbers of its results, before they are pooled.
    fn sums_len(&self) -> usize {
        self.geometry.plane() * if self.geometry.by_column() { self.channels } else { self.geometry.block }
    }
}

/// `bias + Σ w·x` of a block: in planes, within the bounds, or in pixels, as the lanes are.
pub(super) struct Products<'a> {
    pub(super) block: &'a Block<'a>,
    pub(super) bounds: Option<Bounds>,
    pub(super) sums: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        assert_eq!(self.sums.len(), self.block.sums_len());
        match self.block.geometry.block / S::N {
            _ if self.block.geometry.by_column() => self.by_columns(simd),
            1 => self.by_channels::<S, 1>(simd),
            2 => self.by_channels::<S, 2>(simd),
            vectors => unreachable!("a block is one vector or two, not {vectors}"),
        }
    }
}

impl Products<'_> {
    /// With channels in the lanes, in `V` vectors.
    #[inline(always)]
    fn by_channels<S: Lanes, const V: usize>(self, simd: S) {
        let geometry = self.block.geometry;
        let pixels = Pixels { block: self.block, sums: self.sums.as_mut_ptr() };
        for rows in &geometry.rows {
            for run in &geometry.runs {
                // SAFETY: the block's slices and `sums` have all that the geometry reaches: rows and runs end within the
                // frame, taps within the kernel, and pixels within the result.
                unsafe { pixels.area::<S, V>(simd, rows, run) }
            }
        }
    }
}

/// What follows a block's sums: the activation, as far as it is left, and pooling; on to the channels' planes.
struct Finish<'a> {
    geometry: &'a Geometry,
    late: Option<Map>,
    relu: bool,
    /// In planes that are not pooled the results themselves.
    sums: &'a mut [f32],
    y: &'a mut [f32],
    winners: &'a mut [f32],
    work: &'a mut [f32],
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { geometry: g, late, relu, sums, y, winners, work } = self;
        match late {
            Some(Map::Relu) => map::InPlace { map: Map::Relu, y: &mut *sums }.run(simd),
            Some(map) => map::InPlace { map, y: &mut *sums }.run(simd),
            None => {}
        }
        match (g.by_column(), g.pooled) {
            (true, false) => return,
            (true, true) => return max_pool::Forward { x: sums, width: g.y[1], relu, y, winners }.run(simd),
            (false, false) => return to_planes(simd, sums, g.block, y),
            (false, true) => {}
        }
        let (greatest, rest) = work.split_at_mut(g.plane_out() * g.block);
        let numbers = &mut rest[..if winners.is_empty() { 0 } else { greatest.len() }];
        let row = g.y[1] * g.block;
        max_pool::Pixels { x: sums, row, block: g.block, relu, y: greatest, winners: numbers }.run(simd);
        to_planes(simd, greatest, g.block, y);
        if !numbers.is_empty() {
            to_planes(simd, numbers, g.block, winners);
        }
    }
}

/// Pixels of a block, channels in the lanes.
struct Pixels<'a> {
    block: &'a Block<'a>,
    /// Results, pixel by pixel.
    sums: *mut f32,
}

/// The widest register tile.
const WIDEST: usize = 16;

impl Pixels<'_> {
    /// All outputs of a run of rows and a run of columns.
    ///
    /// # Safety
    /// The block and `sums` must have what the geometry reaches.
    #[inline(always)]
    unsafe fn area<S: Lanes, const V: usize>(&self, simd: S, rows: &Run, run: &Run) {
        // A quarter is left for weights and numbers of the image. (With 28 sums of 32 registers the compiler keeps them
        // in memory.)
        let most = S::REGISTERS / 4 * 3 / V;
        // SAFETY: the caller's promise.
        unsafe {
            match run.other_move {
                1 => self.tiles::<S, V, 1>(simd, rows, run, most),
                2 => self.tiles::<S, V, 2>(simd, rows, run, most),
                _ => self.tiles::<S, V, 0>(simd, rows, run, 1),
            }
        }
    }

    /// The same in register tiles of at most `most` pixels, whose neighbours meet numbers `M` apart (0: any distance).
    ///
    /// # Safety
    /// As for [`Pixels::area`].
    #[inline(always)]
    unsafe fn tiles<S: Lanes, const V: usize, const M: usize>(&self, simd: S, rows: &Run, run: &Run, most: usize) {
        let tiles = run.count.div_ceil(most.min(WIDEST));
        let widest = run.count.div_ceil(tiles);
        let mut row = 0;
        while row < rows.count {
            let fit = (rows.count - row).min(most / widest);
            let tall = match (fit, run.count / tiles, widest) {
                (4.., _, ..=4) => 4,
                (2.., _, ..=8) | (2.., 10, 10) => 2,
                _ => 1,
            };
            for tile in 0..tiles {
                let m = tile * run.count / tiles;
                let width = (tile + 1) * run.count / tiles - m;
                let at = Corner { rows, row, run, m };
                // SAFETY: the caller's promise; the tile lies within both runs.
                unsafe { self.of_size::<S, V, M>(simd, at, tall, width) }
            }
            row += tall;
        }
    }

    /// One register tile of `tall` by `width` pixels.
    ///
    /// # Safety
    /// As for [`Pixels::area`].
    #[inline(always)]
    unsafe fn of_size<S: Lanes, const V: usize, const M: usize>(
        &self,
        simd: S,
        at: Corner<'_>,
        tall: usize,
        width: usize,
    ) {
        macro_rules! sizes {
            ($($rows:literal: $($columns:literal)*;)*) => {
                match (tall, width) {
                    // Sizes that do not fit the registers are never asked for.
                    $($(($rows, $columns) if $rows * $columns * V <= S::REGISTERS =>
                        // SAFETY: the caller's promise.
                        unsafe { self.tile::<S, V, M, $rows, $columns>(simd, at) },)*)*
                    _ => unreachable!("no register tile has {tall} rows of {width} pixels"),
                }
            };
        }
        if M == 0 {
            // SAFETY: the caller's promise.
            return unsafe { self.tile::<S, V, M, 1, 1>(simd, at) };
        }
        sizes! {
            1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16;
            2: 1 2 3 4 5 6 7 8 10;
            4: 1 2 3 4;
        }
    }

    /// `R` rows by `Q` pixels.
    ///
    /// # Safety
    /// As for [`Pixels::area`].
    #[inline(always)]
    unsafe fn tile<S: Lanes, const V: usize, const M: usize, const R: usize, const Q: usize>(
        &self,
        simd: S,
        at: Corner<'_>,
    ) {
        let Block { geometry: g, x, weight, bias, .. } = self.block;
        let Corner { rows, row, run, m } = at;
        let pixel_step = if M == 0 { run.other_move } else { M };
        let row_step = rows.other_move * g.x.width.total();
        let vector = V * S::N;
        // SAFETY: places read are those that the geometry reaches, weights lie in the block, bias has MAX_LANES numbers,
        // and pixels written are those of the runs.
        unsafe {
            let start: [S::V; V] = std::array::from_fn(|v| simd.load_from(bias.as_ptr().add(v * S::N)));
            let mut sums = [[start; Q]; R];
            let first = (rows.taps.other + row * rows.other_move) * g.x.width.total();
            let x = x.as_ptr().add(first + run.taps.other + m * run.other_move);
            let weight = weight.as_ptr().add((rows.taps.tap * g.kernel[1] + run.taps.tap) * vector);
            for inner in 0..g.inner {
                let x = x.add(inner * g.x.plane());
                let weight = weight.add(inner * g.kernel[0] * g.kernel[1] * vector);
                for i in 0..rows.taps.count {
                    let mut x = x.offset(i as isize * rows.taps.other_step * g.x.width.total() as isize);
                    let mut weight = weight.add(i * rows.taps.tap_step * g.kernel[1] * vector);
                    for _ in 0..run.taps.count {
                        let weights: [S::V; V] = std::array::from_fn(|v| simd.load_from(weight.add(v * S::N)));
                        for (r, sums) in sums.iter_mut().enumerate() {
                            for (q, sums) in sums.iter_mut().enumerate() {
                                let x = simd.splat(*x.add(r * row_step + q * pixel_step));
                                for (sum, &weight) in sums.iter_mut().zip(&weights) {
                                    *sum = simd.mul_add(x, weight, *sum);
                                }
                            }
                        }
                        x = x.wrapping_offset(run.taps.other_step);
                        weight = weight.wrapping_add(run.taps.tap_step * vector);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                let line = (rows.first + (row + r) * rows.step) * g.y[1] + run.first;
                for (q, sums) in sums.iter().enumerate() {
                    let pixel = self.sums.add((line + (m + q) * run.step) * vector);
                    for (v, &sum) in sums.iter().enumerate() {
                        simd.store_to(sum, pixel.add(v * S::N));
                    }
                }
            }
        }
    }
}

/// Where a register tile begins: row number `row` of a run of rows, pixel number `m` of a run of columns.
#[derive(Clone, Copy)]
struct Corner<'a> {
    rows: &'a Run,
    row: usize,
    run: &'a Run,
    m: usize,
}
