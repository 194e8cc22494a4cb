//! What a convolution of one image reads and writes, forward and backward.
//!
//! Rows of zeros are not read: which tap rows meet a row of outputs comes from [`sliding`]. Columns have zeros put around
//! them ([`Frame`]), so that all pixels of a row meet the same taps, and edges have no narrow register tiles of their own.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::lane_block;
use lenslet_graph::window::AxisWindow;

use super::{Axis, Frame};
use crate::kernels::sliding::{self, Run};

/// Which value meets which weight, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) groups: usize,
    /// Output channels in a group.
    pub(super) outputs: usize,
    /// Input channels in a group.
    pub(super) inner: usize,
    /// Height and width.
    pub(super) kernel: [usize; 2],
    pub(super) rows: Vec<Run>,
    pub(super) runs: Vec<Run>,
    pub(super) x: Frame,
    /// Height and width of the result.
    pub(super) y: [usize; 2],
    /// Output channels in a block.
    pub(crate) block: usize,
}

impl Geometry {
    /// A convolution from `image` to `output`, both C×H×W.
    pub(crate) fn forward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let AxisWindow { kernel, stride, before, dilation, .. } = layer.window().width;
        let (size, outputs) = (image.dim(2), output.dim(2));
        let seen = (outputs - 1) * stride + (kernel - 1) * dilation + 1;
        let axis = Axis { size, before, after: seen.saturating_sub(before + size) };
        let window = AxisWindow { before: 0, ..layer.window().width };
        let rows = sliding::forward(&layer.window().height, image.dim(1), output.dim(1));
        Self::new(layer, image, output, axis, rows, sliding::forward(&window, axis.total(), outputs))
    }

    /// Its gradient by the image: from `output` to `image`.
    pub(crate) fn backward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let AxisWindow { kernel, stride, before, dilation, .. } = layer.window().width;
        let (size, outputs) = (image.dim(2), output.dim(2));
        // So many columns of zeros that the first pixel meets its last tap, and the last pixel its first.
        let left = ((kernel - 1) * dilation).saturating_sub(before).div_ceil(stride);
        let right = ((size - 1 + before) / stride + 1).saturating_sub(outputs);
        let axis = Axis { size: outputs, before: left, after: right };
        let window = AxisWindow { before: before + left * stride, ..layer.window().width };
        let rows = sliding::backward(&layer.window().height, image.dim(1), output.dim(1));
        Self::new(layer, output, image, axis, rows, sliding::backward(&window, size, axis.total()))
    }

    fn new(layer: &Conv2d, x: Shape, y: Shape, width: Axis, rows: Vec<Run>, runs: Vec<Run>) -> Self {
        let (groups, height) = (layer.group_count(), Axis { size: x.dim(1), before: 0, after: 0 });
        let outputs = y.dim(0) / groups;
        let reach = |runs: &[Run]| runs.iter().map(reach).max().unwrap_or(0);
        assert!(reach(&rows) < height.total() && reach(&runs) < width.total(), "taps meet numbers of the frame");
        Self {
            groups,
            outputs,
            inner: x.dim(0) / groups,
            kernel: layer.kernel_size(),
            rows,
            runs,
            x: Frame { channels: x.dim(0), height, width },
            y: [y.dim(1), y.dim(2)],
            block: lane_block(outputs),
        }
    }

    /// Blocks of output channels in all groups: what threads can share.
    pub(crate) fn blocks(&self) -> usize {
        self.groups * self.outputs.div_ceil(self.block)
    }

    /// The output channels of a range of blocks, of all groups' one behind the other.
    pub(crate) fn channels(&self, blocks: Range<usize>) -> Range<usize> {
        let of_group = self.outputs.div_ceil(self.block);
        let first = |block: usize| block / of_group * self.outputs + (block % of_group * self.block).min(self.outputs);
        first(blocks.start)..first(blocks.end)
    }

    /// Multiply-adds.
    pub(crate) fn work(&self) -> usize {
        self.groups * self.outputs * self.y[0] * self.y[1] * self.inner * self.kernel[0] * self.kernel[1]
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        self.x.work_len() + self.y[0] * self.y[1] * self.block
    }
}

/// The last place that a run meets.
fn reach(run: &Run) -> usize {
    let first = run.taps.other + (run.count - 1) * run.other_move;
    let last = first as isize + run.taps.count.saturating_sub(1) as isize * run.taps.other_step;
    first.max(last as usize)
}
