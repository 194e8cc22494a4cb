//! A convolution's gradient by its weight, of one image: output channels in the lanes.
//!
//! For each weight the sum of `x·dy` over pixels. The gradient of a vector of output channels is brought pixel by pixel,
//! the image has zeros put around it ([`Frame`]), and so every tap meets every pixel. A register tile is `B` lines by `T`
//! taps of them, where a line is one kernel row of one input channel: each vector of gradients that is loaded serves `B·T`
//! products with numbers of the image. With 32 registers that is a whole 5×5 kernel, or 8 lines of 3. The sums of a vector
//! of channels stand tap by tap until all are there, and are then transposed and added.
//!
//! Few channels over long rows go another way: [`conv2d_weight_grad_columns`](super::conv2d_weight_grad_columns).

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::lane_block;
use lenslet_graph::window::AxisWindow;

use super::{Axis, Frame, column_lanes, columns_are_better, to_pixels, to_planes};
use crate::simd::{Kernel, Lanes};

/// Taps of a line that are worked on together.
const MOST_TAPS: usize = 5;

/// Which values meet, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) groups: usize,
    pub(super) outputs: usize,
    pub(super) inner: usize,
    pub(super) kernel: [usize; 2],
    pub(super) dilation: [usize; 2],
    pub(super) stride: [usize; 2],
    pub(super) x: Frame,
    /// Height and width of the gradient.
    pub(super) dy: [usize; 2],
    /// Output channels that fill a vector.
    block: usize,
    /// Whether lanes are columns.
    columns: bool,
}

impl Geometry {
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let (groups, window) = (layer.group_count(), layer.window());
        let outputs = output.dim(0) / groups;
        let axis = |window: &AxisWindow, size: usize, outputs: usize| {
            let seen = (outputs - 1) * window.stride + (window.kernel - 1) * window.dilation + 1;
            Axis { size, before: window.before, after: seen.saturating_sub(window.before + size) }
        };
        let height = axis(&window.height, image.dim(1), output.dim(1));
        let width = axis(&window.width, image.dim(2), output.dim(2));
        Self {
            groups,
            outputs,
            inner: image.dim(0) / groups,
            kernel: layer.kernel_size(),
            dilation: [window.height.dilation, window.width.dilation],
            stride: [window.height.stride, window.width.stride],
            x: Frame { channels: image.dim(0), height, width, behind: 0 },
            dy: [output.dim(1), output.dim(2)],
            block: lane_block(outputs),
            columns: false,
        }
    }

    /// With columns in the lanes, if that can be: neighbours must meet neighbours.
    pub(crate) fn by_columns(mut self) -> Option<Self> {
        self.columns = self.stride[1] == 1;
        // A vector may reach beyond its row, and the last one beyond the image.
        self.x.behind = column_lanes(self.dy[1]).saturating_sub(self.dy[1]);
        self.columns.then_some(self)
    }

    /// With whichever leaves fewer lanes empty.
    pub(crate) fn by_cost(self) -> Self {
        match columns_are_better(self.outputs, self.block, self.dy[1]) {
            true => self.clone().by_columns().unwrap_or(self),
            false => self,
        }
    }

    /// How wide vectors should be at most.
    pub(crate) fn lanes(&self) -> usize {
        if self.columns { column_lanes(self.dy[1]) } else { self.block }
    }

    /// Weights of one output channel.
    pub(super) fn weights(&self) -> usize {
        self.inner * self.kernel[0] * self.kernel[1]
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        self.x.work_len()
            + match self.columns {
                true => {
                    self.outputs * self.dy[0] * self.dy[1].next_multiple_of(self.lanes())
                        + (self.outputs * self.weights() + self.lanes()) * self.lanes()
                }
                false => (self.dy[0] * self.dy[1] + 2 * self.weights()) * self.block,
            }
    }
}

/// `dw[o, c, k, l] += Σ x·dy` over the image.
pub(crate) struct WeightGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// In PyTorch's order: output channel, inner channel, kernel row, kernel column.
    pub(crate) dw: &'a mut [f32],
    pub(crate) work: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let (pixels, weights) = (g.dy[0] * g.dy[1], g.weights());
        assert!(self.x.len() >= g.x.channels * g.x.height.size * g.x.width.size);
        assert!(self.dy.len() >= g.groups * g.outputs * pixels && self.dw.len() >= g.groups * g.outputs * weights);
        if g.columns {
            return self.columns(simd);
        }
        let (frame, rest) = self.work.split_at_mut(g.x.work_len());
        let (dy, rest) = rest.split_at_mut(pixels * S::N);
        let (sums, rest) = rest.split_at_mut(weights * S::N);
        let x = g.x.around(self.x, frame);
        for group in 0..g.groups {
            let x = &x[group * g.inner * g.x.plane()..][..g.inner * g.x.plane()];
            for first in (0..g.outputs).step_by(S::N) {
                let channels = S::N.min(g.outputs - first);
                let channel = group * g.outputs + first;
                to_pixels(simd, &self.dy[channel * pixels..][..channels * pixels], pixels, dy);
                Block { geometry: g, x, dy, sums }.run(simd);
                let planes = &mut rest[..channels * weights];
                to_planes(simd, sums, S::N, planes);
                for (dw, &sum) in self.dw[channel * weights..].iter_mut().zip(&*planes) {
                    *dw += sum;
                }
            }
        }
    }
}

/// A vector of output channels.
struct Block<'a> {
    geometry: &'a Geometry,
    /// The group's channels in their frame.
    x: &'a [f32],
    /// Gradients, pixel by pixel.
    dy: &'a [f32],
    /// Results, tap by tap.
    sums: &'a mut [f32],
}

impl Block<'_> {
    /// All lines, as many together as fit in registers.
    #[inline(always)]
    fn run<S: Lanes>(&mut self, simd: S) {
        let g = self.geometry;
        let lines = g.inner * g.kernel[0];
        // Taps that are not side by side are taken one by one.
        let most = if g.dilation[1] == 1 { MOST_TAPS } else { 1 };
        for tap in (0..g.kernel[1]).step_by(most) {
            let taps = most.min(g.kernel[1] - tap);
            let together = (S::REGISTERS - 4) / taps;
            let mut line = 0;
            while line < lines {
                // SAFETY: the line and its taps are the geometry's.
                line += unsafe { self.of_size(simd, line, tap, together.min(lines - line), taps) };
            }
        }
    }

    /// One register tile of up to `lines` lines; returns how many.
    ///
    /// # Safety
    /// There must be as many lines from `line` on, and taps from `tap` on.
    #[inline(always)]
    unsafe fn of_size<S: Lanes>(&mut self, simd: S, line: usize, tap: usize, lines: usize, taps: usize) -> usize {
        macro_rules! sizes {
            ($($taps:literal: $($lines:literal)*;)*) => {
                match (taps, lines) {
                    $($(($taps, $lines..) if $taps * $lines <= S::REGISTERS => {
                        // SAFETY: the caller's promise.
                        unsafe { self.tile::<S, $lines, $taps>(simd, line, tap) }
                        $lines
                    })*)*
                    _ => unreachable!("no register tile has {lines} lines of {taps} taps"),
                }
            };
        }
        sizes! {
            1: 8 4 2 1;
            2: 8 4 2 1;
            3: 8 6 4 3 2 1;
            4: 6 4 2 1;
            5: 5 2 1;
        }
    }

    /// `B` lines by `T` taps, over all pixels.
    ///
    /// # Safety
    /// As for [`Block::of_size`].
    #[inline(always)]
    unsafe fn tile<S: Lanes, const B: usize, const T: usize>(&mut self, simd: S, line: usize, tap: usize) {
        let g = self.geometry;
        let (height, width) = (g.kernel[0], g.x.width.total());
        // SAFETY: the frame is as large as the taps of all pixels reach; there are sums for all lines and taps.
        unsafe {
            let start = |line: usize| {
                let (channel, row) = (line / height, line % height);
                self.x.as_ptr().add(channel * g.x.plane() + row * g.dilation[0] * width + tap * g.dilation[1])
            };
            let lines: [*const f32; B] = std::array::from_fn(|b| start(line + b));
            let mut sums = [[simd.splat(0.0); T]; B];
            let mut dy = self.dy.as_ptr();
            for row in 0..g.dy[0] {
                let mut at = row * g.stride[0] * width;
                for _ in 0..g.dy[1] {
                    let gradient = simd.load_from(dy);
                    for (line, sums) in lines.iter().zip(&mut sums) {
                        for (t, sum) in sums.iter_mut().enumerate() {
                            *sum = simd.mul_add(simd.splat(*line.add(at + t)), gradient, *sum);
                        }
                    }
                    at += g.stride[1];
                    dy = dy.add(S::N);
                }
            }
            for (b, sums) in sums.iter().enumerate() {
                for (t, &sum) in sums.iter().enumerate() {
                    simd.store(sum, self.sums, (line + b) * g.kernel[1] + tap + t);
                }
            }
        }
    }
}
