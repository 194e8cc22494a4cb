//! A convolution's gradient by the image, of one image with few channels: the channels that are summed over in the lanes.
//!
//! `dx[c, pixel] = Σ w[o, c, tap]·dy[o, other]`: gradients are brought pixel by pixel, with their output channels `o`
//! neighbours, as the weights are packed for the forward direction. A register tile holds all channels `c` by up to 3 pixels
//! that meet the same taps, a vector of partial sums for each; the lanes are added up at the end. So edges, which are half of
//! a small map's gradient, have the necessary products and no others, and no lane is empty.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::{MOST_SUMMED as MOST, lane_block};

use super::{to_pixels, to_planes};
use crate::kernels::sliding::{self, Run};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Which value meets which weight, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Channels of the image, up to [`MOST`].
    channels: usize,
    /// Output channels, and how many of them are packed together.
    outputs: usize,
    block: usize,
    kernel: [usize; 2],
    rows: Vec<Run>,
    columns: Vec<Run>,
    /// Height and width of the image, and of the gradient that is read.
    image: [usize; 2],
    dy: [usize; 2],
}

impl Geometry {
    /// From `output` to `image`, for a layer without groups.
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let outputs = output.dim(0);
        Self {
            channels: image.dim(0),
            outputs,
            block: lane_block(outputs),
            kernel: layer.kernel_size(),
            rows: sliding::backward(&window.height, image.dim(1), output.dim(1)),
            columns: sliding::backward(&window.width, image.dim(2), output.dim(2)),
            image: [image.dim(1), image.dim(2)],
            dy: [output.dim(1), output.dim(2)],
        }
    }

    /// How wide vectors should be at most.
    pub(crate) fn lanes(&self) -> usize {
        self.block
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        let [image, dy] = [self.image, self.dy].map(|[height, width]| height * width);
        self.outputs.next_multiple_of(self.block) * dy + image * self.block
    }
}

/// `dx` from `dy` and the forward direction's packed weights.
pub(crate) struct InputGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) dy: &'a [f32],
    /// `[block of output channels][channel][tap][output channel in block]`.
    pub(crate) weight: &'a [f32],
    pub(crate) dx: &'a mut [f32],
    /// [`Geometry::work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for InputGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let [image, pixels] = [g.image, g.dy].map(|[height, width]| height * width);
        let padded = g.outputs.next_multiple_of(g.block);
        assert!(self.dy.len() == g.outputs * pixels && self.dx.len() == g.channels * image);
        assert!(g.block.is_multiple_of(S::N) && self.weight.len() == padded * g.channels * g.kernel[0] * g.kernel[1]);
        let (dy, sums) = self.work.split_at_mut(padded * pixels);
        for (first, dy) in (0..padded).step_by(S::N).zip(dy.chunks_exact_mut(pixels * S::N)) {
            let last = g.outputs.min(first + S::N);
            to_pixels(simd, &self.dy[first.min(last) * pixels..last * pixels], pixels, dy);
        }
        let sums = &mut sums[..image * S::N];
        let mut tiles = Tiles { geometry: g, dy, weight: self.weight, sums };
        match g.channels {
            1 => tiles.all::<S, 1>(simd),
            2 => tiles.all::<S, 2>(simd),
            3 => tiles.all::<S, 3>(simd),
            4 => tiles.all::<S, 4>(simd),
            5 => tiles.all::<S, 5>(simd),
            6 => tiles.all::<S, 6>(simd),
            channels => unreachable!("up to {MOST} channels are summed so, not {channels}"),
        }
        to_planes(simd, sums, S::N, self.dx);
    }
}

struct Tiles<'a> {
    geometry: &'a Geometry,
    /// `[vector of output channels][pixel][lane]`.
    dy: &'a [f32],
    weight: &'a [f32],
    /// `[pixel][channel]`, a vector each.
    sums: &'a mut [f32],
}

impl Tiles<'_> {
    #[inline(always)]
    fn all<S: Lanes, const C: usize>(&mut self, simd: S) {
        for rows in &self.geometry.rows {
            for columns in &self.geometry.columns {
                let pixels = rows.count * columns.count;
                let mut first = 0;
                while first < pixels {
                    first += match pixels - first {
                        3.. if S::REGISTERS >= 32 => self.tile::<S, C, 3>(simd, [rows, columns], first),
                        2.. => self.tile::<S, C, 2>(simd, [rows, columns], first),
                        _ => self.tile::<S, C, 1>(simd, [rows, columns], first),
                    }
                }
            }
        }
    }

    /// `P` of the pixels that a run of rows and a run of columns have in common, which meet the same taps, from number `first`
    /// on. Returns `P`.
    #[inline(always)]
    fn tile<S: Lanes, const C: usize, const P: usize>(&mut self, simd: S, runs: [&Run; 2], first: usize) -> usize {
        let g = self.geometry;
        let [rows, columns] = runs;
        let mut to = [0; P];
        let mut from = [0; P];
        for p in 0..P {
            let [row, column] = [(first + p) / columns.count, (first + p) % columns.count];
            to[p] = (rows.first + row * rows.step) * g.image[1] + columns.first + column * columns.step;
            let [y, x] = [rows.taps.other + row * rows.other_move, columns.taps.other + column * columns.other_move];
            from[p] = (y * g.dy[1] + x) * S::N;
        }
        let (of_channel, vectors) = (g.kernel[0] * g.kernel[1] * g.block, g.block / S::N);
        let mut sums = [[simd.splat(0.0); P]; C];
        for (vector, dy) in self.dy.chunks_exact(g.dy[0] * g.dy[1] * S::N).enumerate() {
            let weight = &self.weight[vector / vectors * C * of_channel..][..C * of_channel];
            let from = from.map(|from| dy[from..].as_ptr());
            for i in 0..rows.taps.count {
                let row = rows.taps.tap + i * rows.taps.tap_step;
                let tap = row * g.kernel[1] + columns.taps.tap;
                let mut other = i as isize * rows.taps.other_step * g.dy[1] as isize * S::N as isize;
                let mut weight = weight[tap * g.block + vector % vectors * S::N..].as_ptr();
                for _ in 0..columns.taps.count {
                    // SAFETY: the runs name taps of the kernel, and pixels of `dy`, of which there is a vector each.
                    unsafe {
                        let mut values = [simd.splat(0.0); P];
                        for (value, from) in values.iter_mut().zip(&from) {
                            *value = simd.load_from(from.offset(other));
                        }
                        for (c, sums) in sums.iter_mut().enumerate() {
                            let weight = simd.load_from(weight.add(c * of_channel));
                            for (sum, &value) in sums.iter_mut().zip(&values) {
                                *sum = simd.mul_add(weight, value, *sum);
                            }
                        }
                    }
                    weight = weight.wrapping_add(columns.taps.tap_step * g.block);
                    other += columns.taps.other_step * S::N as isize;
                }
            }
        }
        self.store(simd, sums, to);
        P
    }

    /// Adds up the lanes: of as many pixels at once as a vector has room for, 8 channels each.
    #[inline(always)]
    fn store<S: Lanes, const C: usize, const P: usize>(&mut self, simd: S, sums: [[S::V; P]; C], to: [usize; P]) {
        const ROOM: usize = 8;
        for first in (0..P).step_by(S::N / ROOM) {
            let mut vectors = [simd.splat(0.0); MAX_LANES];
            for (p, vectors) in vectors[..S::N].chunks_exact_mut(ROOM).enumerate().take(P - first) {
                for (vector, sums) in vectors.iter_mut().zip(&sums) {
                    *vector = sums[first + p];
                }
            }
            let mut totals = [0.0; MAX_LANES];
            simd.store(simd.sum_each(&vectors), &mut totals, 0);
            for (totals, &to) in totals.chunks_exact(ROOM).zip(&to[first..]) {
                self.sums[to * S::N..][..ROOM].copy_from_slice(totals);
            }
        }
    }
}
