//! What a convolution of one image reads and writes, forward and backward; and what stands in the lanes.
//!
//! Rows of zeros are not read: which tap rows meet a row of outputs comes from [`sliding`]. Columns have zeros put around
//! them ([`Frame`]), so that all pixels of a row meet the same taps, and edges have no narrow register tiles of their own.
//!
//! Lanes are output channels, or neighbouring columns of outputs where the vectors that columns take leave fewer lanes
//! empty: few channels (3, 6, or 1 in a group) over long rows. Neighbours must read neighbours for that: no stride along.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::lane_block;
use lenslet_graph::window::AxisWindow;

use super::{Axis, Frame, column_lanes, columns_are_better};
use crate::kernels::sliding::{self, Run, Taps};

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
    /// Height and width of the result, before it is pooled.
    pub(super) y: [usize; 2],
    /// Whether of 2×2 results the greatest is handed on.
    pub(super) pooled: bool,
    /// Output channels in a block.
    pub(crate) block: usize,
    /// Where columns are in the lanes, the taps of each run of rows; or nothing.
    pub(super) columns: Vec<Vec<Tap>>,
}

/// A tap that the first row of a run meets: where its number is for the first column, in a plane of the frame, and where its
/// weight is among those of an input channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) x: usize,
    pub(super) weight: usize,
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

    /// The same with max pooling by 2×2 behind it, to `pooled`.
    pub(crate) fn pooled(layer: &Conv2d, image: Shape, pooled: Shape) -> Self {
        let output = Shape::image(pooled.dim(0), 2 * pooled.dim(1), 2 * pooled.dim(2));
        Self { pooled: true, ..Self::forward(layer, image, output) }
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

    /// With channels in the lanes.
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
            x: Frame { channels: x.dim(0), height, width, behind: 0 },
            y: [y.dim(1), y.dim(2)],
            pooled: false,
            block: lane_block(outputs),
            columns: vec![],
        }
    }

    /// With columns in the lanes, if that can be.
    pub(crate) fn by_columns(mut self) -> Option<Self> {
        let whole_row = |run: &Run| run.count == self.y[1] && run.step == 1 && run.other_move == 1;
        let [run] = self.runs.as_slice() else { return None };
        let line = self.x.width.total();
        let tap = |(row, weight): (usize, usize), (column, of_row): (usize, usize)| Tap {
            x: row * line + column,
            weight: (weight * self.kernel[1] + of_row) * self.block,
        };
        let taps = |rows: &Run| places(rows).flat_map(|row| places(run).map(move |column| tap(row, column))).collect();
        self.columns = whole_row(run).then(|| self.rows.iter().map(taps).collect())?;
        // A vector may reach beyond its row, and the last one beyond the image.
        self.x.behind = column_lanes(self.y[1]).saturating_sub(self.y[1]);
        Some(self)
    }

    /// With whichever leaves fewer lanes empty.
    pub(crate) fn by_cost(self) -> Self {
        match columns_are_better(self.outputs, self.block, self.y[1]) {
            true => self.clone().by_columns().unwrap_or(self),
            false => self,
        }
    }

    /// Whether lanes are columns.
    pub(super) fn by_column(&self) -> bool {
        !self.columns.is_empty()
    }

    /// How wide vectors should be at most.
    pub(crate) fn lanes(&self) -> usize {
        if self.by_column() { column_lanes(self.y[1]) } else { self.block }
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

    /// Numbers of a plane of the result.
    pub(super) fn plane(&self) -> usize {
        self.y[0] * self.y[1]
    }

    /// Numbers of a plane that is handed on.
    pub(crate) fn plane_out(&self) -> usize {
        if self.pooled { self.plane() / 4 } else { self.plane() }
    }

    /// Multiply-adds.
    pub(crate) fn work(&self) -> usize {
        self.groups * self.outputs * self.plane() * self.inner * self.kernel[0] * self.kernel[1]
    }

    /// Numbers of a block's results that are not yet as they are handed on; none if they are from the start.
    pub(super) fn sums_len(&self) -> usize {
        if self.by_column() && !self.pooled { 0 } else { self.plane() * self.block }
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        let pooled = if self.pooled && !self.by_column() { 2 * self.plane_out() * self.block } else { 0 };
        self.x.work_len() + self.sums_len() + pooled
    }
}

/// What a run's first position meets: the places of the others, and their taps.
fn places(run: &Run) -> impl Iterator<Item = (usize, usize)> {
    let Taps { count, tap, tap_step, other, other_step } = run.taps;
    (0..count).map(move |j| ((other as isize + j as isize * other_step) as usize, tap + j * tap_step))
}

/// The last place that a run meets.
fn reach(run: &Run) -> usize {
    let first = run.taps.other + (run.count - 1) * run.other_move;
    let last = first as isize + run.taps.count.saturating_sub(1) as isize * run.taps.other_step;
    first.max(last as usize)
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ShapeVar;

    use super::*;

    /// How many channels there are, and how long their rows, says what stands in the lanes.
    #[test]
    fn lanes_are_what_leaves_few_of_them_empty() {
        for (layer, image, forward, backward) in [
            // The lesson's: few channels of 28 columns, 16 channels of 10; backward, 3 of 32 and 6 of 14.
            (Conv2d::new(3, 6, 5), [3, 32, 32], true, true),
            (Conv2d::new(6, 16, 5), [6, 14, 14], false, true),
            (Conv2d::new(16, 16, 3).padding(1), [16, 32, 32], false, false),
            (Conv2d::new(32, 32, 3).padding(1).groups(32), [32, 16, 16], true, true),
            // Neighbours that do not read neighbours.
            (Conv2d::new(3, 6, 5).stride(2), [3, 32, 32], false, false),
        ] {
            let image = ShapeVar::image(image);
            let output = layer.rule(&image).expect("it fits").shape();
            let by_columns = |geometry: Geometry| geometry.by_cost().by_column();
            assert_eq!(by_columns(Geometry::forward(&layer, image.shape(), output)), forward, "{layer:?}");
            assert_eq!(by_columns(Geometry::backward(&layer, image.shape(), output)), backward, "{layer:?}, backward");
        }
    }
}
