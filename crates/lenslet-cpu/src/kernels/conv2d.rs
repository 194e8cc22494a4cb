//! Convolution, forward and its gradient by the image: one loop nest for both, and for dense layers.
//!
//! In a tile, value `(channel, row, column)` is a vector of images, so the innermost product is a weight in all lanes times
//! a vector. A register tile holds `C` output channels by `P` pixels of a row; every vector that is loaded serves `C`
//! products and every weight `P`. With 16 registers and a fused multiply-add that takes 4 cycles at 2 a cycle, at least 8
//! sums must be under way, and at most 12 fit beside their operands: 6×2, 2×6, 4×2 (with 4×3 the compiler
//! leaves one sum in memory), and 8×1 for single pixels
//! (9 loads for 8 products, where 2 of each fit in a cycle).
//!
//! Weights are packed `[group][block of 8 output channels][inner channel][tap][channel in block]`
//! ([`Pack`](lenslet_graph::plan::Pack)), so a register tile reads them in order. Which inputs meet which taps, edges
//! included, comes from [`sliding`]. The gradient by the image is the same sum with input and output exchanged.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::CHANNEL_BLOCK as BLOCK;

use super::map;
use super::sliding::{self, Run, Taps};
use crate::simd::{Kernel, Lanes};

/// A sum of products over channels and taps, worked out for one layer and size: which value meets which weight.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    groups: usize,
    /// Output channels in a group.
    outputs: usize,
    /// Input channels in a group.
    inner: usize,
    kernel_height: usize,
    kernel_width: usize,
    rows: Vec<Taps>,
    runs: Vec<Run>,
    x: Strides,
    y: Strides,
}

/// Distances between values of neighbouring channels, rows and pixels.
#[derive(Clone, Copy, Debug)]
struct Strides {
    channel: usize,
    row: usize,
    pixel: usize,
}

impl Strides {
    fn of_map(shape: Shape) -> Self {
        Self { channel: shape.dim(1) * shape.dim(2), row: shape.dim(2), pixel: 1 }
    }
}

impl Geometry {
    /// A convolution from `image` to `output`, both C×H×W.
    pub(crate) fn forward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let rows = sliding::forward(&window.height, image.dim(1), output.dim(1));
        let runs = sliding::forward(&window.width, image.dim(2), output.dim(2));
        Self::new(layer, image, output, rows, runs)
    }

    /// Its gradient by the image: from `output` to `image`.
    pub(crate) fn backward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let rows = sliding::backward(&window.height, image.dim(1), output.dim(1));
        let runs = sliding::backward(&window.width, image.dim(2), output.dim(2));
        Self::new(layer, output, image, rows, runs)
    }

    fn new(layer: &Conv2d, x: Shape, y: Shape, rows: Vec<Run>, runs: Vec<Run>) -> Self {
        let groups = layer.group_count();
        let [kernel_height, kernel_width] = layer.kernel_size();
        Self {
            groups,
            outputs: y.dim(0) / groups,
            inner: x.dim(0) / groups,
            kernel_height,
            kernel_width,
            rows: sliding::rows(&rows, y.dim(1)),
            runs,
            x: Strides::of_map(x),
            y: Strides::of_map(y),
        }
    }

    /// A dense layer on `rows` rows of `inputs` values: the inputs are the taps of a kernel as wide as the row.
    pub(crate) fn dense(rows: usize, inputs: usize, outputs: usize) -> Self {
        let taps = Taps { count: inputs, tap: 0, tap_step: 1, other: 0, other_step: 1 };
        let row = |other| Taps { count: 1, tap: 0, tap_step: 1, other, other_step: 0 };
        Self {
            groups: 1,
            outputs,
            inner: 1,
            kernel_height: 1,
            kernel_width: inputs,
            rows: (0..rows).map(row).collect(),
            runs: vec![Run { first: 0, step: 1, count: 1, taps, other_move: 0 }],
            x: Strides { channel: 0, row: inputs, pixel: 1 },
            y: Strides { channel: 1, row: outputs, pixel: 1 },
        }
    }

    /// Numbers of a group's packed weights.
    fn group_len(&self) -> usize {
        self.outputs.next_multiple_of(BLOCK) * self.inner * self.kernel_height * self.kernel_width
    }

    /// Values that the sum reads and writes, per image.
    fn lens(&self) -> (usize, usize) {
        // The last value that any row and run touches, and one more.
        let reach = |taps: &Taps, moves: usize| {
            let first = taps.other + moves;
            let last = first as isize + taps.count.saturating_sub(1) as isize * taps.other_step;
            first.max(last as usize)
        };
        let row = self.rows.iter().map(|row| reach(row, 0)).max().unwrap_or(0);
        let pixel = self.runs.iter().map(|run| reach(&run.taps, (run.count - 1) * run.other_move)).max().unwrap_or(0);
        let x = (self.groups * self.inner - 1) * self.x.channel + row * self.x.row + pixel * self.x.pixel + 1;
        let last = self.runs.iter().map(|run| run.first + (run.count - 1) * run.step).max().unwrap_or(0);
        let channels = self.groups * self.outputs;
        let y = (channels - 1) * self.y.channel + (self.rows.len() - 1) * self.y.row + last * self.y.pixel + 1;
        (x, y)
    }
}

/// `y[o] = activation(bias[o] + Σ w·x)`.
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
}

impl Kernel for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let (x_len, y_len) = g.lens();
        assert!(self.x.len() >= x_len * S::N && self.y.len() >= y_len * S::N);
        assert!(self.weight.len() >= g.groups * g.group_len());
        assert!(self.bias.is_empty() || self.bias.len() == g.groups * g.outputs);
        // What takes many instructions is done in a pass of its own instead of in every register tile.
        let (early, late) = match self.activation {
            Some(map) if map::is_cheap(map) => (Some(map), None),
            activation => (None, activation),
        };
        let block_len = g.inner * g.kernel_height * g.kernel_width * BLOCK;
        for group in 0..g.groups {
            for (number, first) in (0..g.outputs).step_by(BLOCK).enumerate() {
                let block = Block {
                    geometry: g,
                    x: self.x[group * g.inner * g.x.channel * S::N..].as_ptr(),
                    weight: self.weight[group * g.group_len() + number * block_len..][..block_len].as_ptr(),
                    bias: self.bias,
                    activation: early,
                    y: self.y.as_mut_ptr(),
                    channel: group * g.outputs + first,
                };
                let channels = BLOCK.min(g.outputs - first);
                for row in 0..g.rows.len() {
                    for run in &g.runs {
                        // SAFETY: the asserts above: `geometry` reaches `lens` values of `x` and `y` at most.
                        unsafe { block.run(simd, channels, row, run) }
                    }
                }
            }
        }
        if let Some(map) = late {
            map::in_place(simd, map, &mut self.y[..y_len * S::N]);
        }
    }
}

/// Up to eight output channels: their packed weights, and where their values go.
struct Block<'a> {
    geometry: &'a Geometry,
    /// The group's first input channel.
    x: *const f32,
    weight: *const f32,
    bias: &'a [f32],
    activation: Option<Map>,
    y: *mut f32,
    /// The block's first output channel.
    channel: usize,
}

impl Block<'_> {
    /// One row's run of pixels, for the block's first `channels` channels, in register tiles.
    ///
    /// # Safety
    /// `x` and `y` must have the values that the geometry reaches.
    #[inline(always)]
    unsafe fn run<S: Lanes>(&self, simd: S, channels: usize, row: usize, run: &Run) {
        let mut channel = 0;
        // SAFETY: the caller's promise; channels stay below `channels`.
        unsafe {
            if channels == BLOCK {
                let wide = run.count - run.count % 2;
                self.pixels::<S, 4, 2>(simd, 0, row, run, 0, wide);
                self.pixels::<S, 4, 2>(simd, 4, row, run, 0, wide);
                self.pixels::<S, 8, 1>(simd, 0, row, run, wide, run.count);
                return;
            }
            if channels - channel >= 6 {
                channel += self.channels::<S, 6, 2>(simd, channel, row, run);
            }
            if channels - channel >= 4 {
                channel += self.channels::<S, 4, 2>(simd, channel, row, run);
            }
            if channels - channel >= 2 {
                channel += self.channels::<S, 2, 6>(simd, channel, row, run);
            }
            if channels > channel {
                self.channels::<S, 1, 8>(simd, channel, row, run);
            }
        }
    }

    /// `C` channels of the run: `P` pixels at a time, then the rest one by one.
    ///
    /// # Safety
    /// As for [`Block::run`].
    #[inline(always)]
    unsafe fn channels<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        channel: usize,
        row: usize,
        run: &Run,
    ) -> usize {
        let wide = run.count - run.count % P;
        // SAFETY: the caller's promise.
        unsafe {
            self.pixels::<S, C, P>(simd, channel, row, run, 0, wide);
            self.pixels::<S, C, 1>(simd, channel, row, run, wide, run.count);
        }
        C
    }

    /// The run's pixels from number `from` to before `to`, `P` at a time.
    #[inline(always)]
    unsafe fn pixels<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        channel: usize,
        row: usize,
        run: &Run,
        from: usize,
        to: usize,
    ) {
        for m in (from..to).step_by(P) {
            // SAFETY: the caller's promise; pixels stay within the run.
            unsafe { self.tile::<S, C, P>(simd, channel, row, run, m) }
        }
    }

    /// One register tile: `C` channels from `channel`, `P` pixels of the run from its pixel `m`.
    #[inline(always)]
    unsafe fn tile<S: Lanes, const C: usize, const P: usize>(
        &self,
        simd: S,
        channel: usize,
        row: usize,
        run: &Run,
        m: usize,
    ) {
        let g = self.geometry;
        let rows = &g.rows[row];
        let step = |values: usize| values * S::N;
        let tap_step = run.taps.other_step * step(g.x.pixel) as isize;
        let pixel_step = step(run.other_move * g.x.pixel);
        // Measured: as a loop over the sums this costs a quarter of the speed.
        let start: [S::V; C] = std::array::from_fn(|c| {
            simd.splat(if self.bias.is_empty() { 0.0 } else { self.bias[self.channel + channel + c] })
        });
        let mut sums = start.map(|sum| [sum; P]);
        // SAFETY: every place read is one that the geometry reaches, every weight lies in the block.
        unsafe {
            let x = self.x.add(step(rows.other * g.x.row + (run.taps.other + m * run.other_move) * g.x.pixel));
            let weight = self.weight.add((rows.tap * g.kernel_width + run.taps.tap) * BLOCK + channel);
            for inner in 0..g.inner {
                let x = x.add(step(inner * g.x.channel));
                let weight = weight.add(inner * g.kernel_height * g.kernel_width * BLOCK);
                for i in 0..rows.count {
                    let mut x = x.offset(i as isize * rows.other_step * step(g.x.row) as isize);
                    let mut weight = weight.add(i * rows.tap_step * g.kernel_width * BLOCK);
                    for _ in 0..run.taps.count {
                        let pixels: [S::V; P] = std::array::from_fn(|p| simd.load_from(x.add(p * pixel_step)));
                        for (c, sums) in sums.iter_mut().enumerate() {
                            let weight = simd.splat(*weight.add(c));
                            for (sum, &pixel) in sums.iter_mut().zip(&pixels) {
                                *sum = simd.mul_add(weight, pixel, *sum);
                            }
                        }
                        x = x.wrapping_offset(tap_step);
                        weight = weight.wrapping_add(run.taps.tap_step * BLOCK);
                    }
                }
            }
            for (c, sums) in sums.iter().enumerate() {
                let row = self.y.add(step((self.channel + channel + c) * g.y.channel + row * g.y.row));
                for (p, &sum) in sums.iter().enumerate() {
                    let sum = match self.activation {
                        Some(map) => map::apply(simd, map, sum),
                        None => sum,
                    };
                    simd.store_to(sum, row.add(step((run.first + (m + p) * run.step) * g.y.pixel)));
                }
            }
        }
    }
}
