//! Which value meets which weight in a convolution, worked out once for a layer and its sizes.
//!
//! Pixels that meet the same taps, each at the same distance from the pixel's own place, are a [`Stretch`]: the inside of
//! the image is one, and each edge and corner another with fewer taps. So kernels do the necessary arithmetic only, and the
//! pixels of a register tile are any of one stretch, in neighbouring rows too.
//!
//! An input that does not fit in the L2 cache, where its rows lie a power of two apart and drive each other out, is worked
//! on in [`Band`]s of rows, which are brought together first: `[row][channel][column]`.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::block_width;

use super::sliding::{self, Run};

/// A sum of products over channels and taps: which value meets which weight.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) groups: usize,
    /// Output channels in a group.
    pub(super) outputs: usize,
    /// Input channels in a group.
    pub(super) inner: usize,
    /// Output channels in a block of packed weights.
    pub(super) width: usize,
    /// Packed weights of one input channel in a block.
    pub(super) weights: usize,
    /// One that is all of the input where it stands, or more that are brought together.
    pub(super) bands: Vec<Band>,
    pub(super) gathered: bool,
    /// Distances between channels, and between the input's rows.
    pub(super) x_channel: usize,
    pub(super) x_row: usize,
    pub(super) y_channel: usize,
    /// Values that the sum reads and writes, per image.
    pub(super) x_len: usize,
    y_len: usize,
    /// Whether four pixels behind each other are a window of which the greatest alone is written.
    pub(super) pooled: bool,
}

/// Rows and columns of the output, and those of the input that they see; pixels count from the first of these.
#[derive(Clone, Debug)]
pub(super) struct Band {
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) stretches: Vec<Stretch>,
}

/// Pixels that meet the same taps.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) taps: Vec<Tap>,
    pub(super) pixels: Vec<Pixel>,
}

/// A tap: where its weights are in those of an input channel, and how far its value is from where the pixel's first is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tap {
    pub(super) weight: usize,
    pub(super) x: isize,
}

/// A pixel of the output: where its first tap's value is in an input channel, and its own place in an output channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pixel {
    pub(super) x: usize,
    pub(super) y: usize,
}

/// The most values of a band: half of an L2 cache of 1 MiB, in vectors of 16.
const BAND: usize = 8192;

/// Products that each value must go into for its copy to be cheap.
const WORTH: usize = 64;

impl Geometry {
    /// A convolution from `image` to `output`, both C×H×W.
    pub(crate) fn forward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let rows = sliding::forward(&window.height, image.dim(1), output.dim(1));
        let columns = sliding::forward(&window.width, image.dim(2), output.dim(2));
        Self::new(layer, [image, output, output], &rows, &columns)
    }

    /// The same, but of each 2×2 window of the output the greatest value alone: `pooled` is what remains. The layer must
    /// have no padding.
    pub(crate) fn pooled(layer: &Conv2d, image: Shape, pooled: Shape) -> Self {
        let window = layer.window();
        let [height, width] = [2 * pooled.dim(1), 2 * pooled.dim(2)];
        let rows = sliding::forward(&window.height, image.dim(1), height);
        let columns = sliding::forward(&window.width, image.dim(2), width);
        let output = Shape::image(pooled.dim(0), height, width);
        Self::new(layer, [image, output, pooled], &rows, &columns)
    }

    /// A convolution's gradient by the image: from `output` to `image`.
    pub(crate) fn backward(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let rows = sliding::backward(&window.height, image.dim(1), output.dim(1));
        let columns = sliding::backward(&window.width, image.dim(2), output.dim(2));
        Self::new(layer, [output, image, image], &rows, &columns)
    }

    /// From `x` to `y`, of which `written` remains.
    fn new(layer: &Conv2d, [x, y, written]: [Shape; 3], rows: &[Run], columns: &[Run]) -> Self {
        let groups = layer.group_count();
        let [kernel_height, kernel_width] = layer.kernel_size();
        let (outputs, inner) = (y.dim(0) / groups, x.dim(0) / groups);
        let width = block_width(outputs);
        let pooled = written != y;
        let plane = Plane { kernel_width, width, inner, x, y, step: if pooled { 2 } else { 1 } };
        let products = outputs * kernel_height * kernel_width * y.dim(1) * y.dim(2) / (x.dim(1) * x.dim(2));
        let bands = if products >= WORTH { plane.bands(rows, columns) } else { None };
        let gathered = bands.is_some();
        let whole = || vec![plane.band(rows, columns, [x.dim(2), 1], [0..x.dim(1), 0..x.dim(2)])];
        Self {
            groups,
            outputs,
            inner,
            width,
            weights: kernel_height * kernel_width * width,
            bands: bands.unwrap_or_else(whole),
            gathered,
            x_channel: x.dim(1) * x.dim(2),
            x_row: x.dim(2),
            y_channel: written.dim(1) * written.dim(2),
            x_len: x.len(),
            y_len: written.len(),
            pooled,
        }
    }

    /// A dense layer on `rows` rows of `inputs` values: each row is a pixel, each input a channel.
    pub(crate) fn dense(rows: usize, inputs: usize, outputs: usize) -> Self {
        let width = block_width(outputs);
        let pixels = (0..rows).map(|row| Pixel { x: row * inputs, y: row * outputs });
        let stretch = Stretch { taps: vec![Tap { weight: 0, x: 0 }], pixels: pixels.collect() };
        Self {
            groups: 1,
            outputs,
            inner: inputs,
            width,
            weights: width,
            bands: vec![Band { rows: 0..rows, columns: 0..inputs, stretches: vec![stretch] }],
            gathered: false,
            x_channel: 1,
            x_row: inputs,
            y_channel: 1,
            x_len: rows * inputs,
            y_len: rows * outputs,
            pooled: false,
        }
    }

    /// Blocks of output channels in a group.
    pub(super) fn blocks(&self) -> usize {
        self.outputs.div_ceil(self.width)
    }

    /// Values that the sum writes, per image.
    pub(crate) fn y_len(&self) -> usize {
        self.y_len
    }

    /// Values that the largest band brings together; none if there is one alone.
    pub(crate) fn work_len(&self) -> usize {
        let band = |band: &Band| self.inner * band.rows.len() * band.columns.len();
        if self.gathered { self.bands.iter().map(band).max().unwrap_or(0) } else { 0 }
    }
}

/// What the places of a stretch are counted by.
struct Plane {
    kernel_width: usize,
    /// Channels in a block.
    width: usize,
    inner: usize,
    x: Shape,
    y: Shape,
    /// Side of the windows of the output of which one value remains.
    step: usize,
}

impl Plane {
    /// The bands in which the input is worked on, or `None` if it is best left where it stands.
    fn bands(&self, rows: &[Run], columns: &[Run]) -> Option<Vec<Band>> {
        if self.inner * self.x.dim(1) * self.x.dim(2) <= BAND {
            return None;
        }
        let x_columns = seen(columns);
        let small = |rows: &Vec<Run>| self.inner * seen(rows).len() * x_columns.len() <= BAND;
        let bands = cuts(rows, self.y.dim(1), self.step, |bands| bands.iter().all(small));
        let band = |rows: Vec<Run>| {
            let x_rows = seen(&rows);
            self.band(&rows, columns, [self.inner * x_columns.len(), 1], [x_rows, x_columns.clone()])
        };
        Some(bands.into_iter().map(band).collect())
    }

    /// The outputs of these runs, on an input whose rows and columns lie `steps` apart.
    fn band(&self, rows: &[Run], columns: &[Run], steps: [usize; 2], seen: [Range<usize>; 2]) -> Band {
        let stretches = rows.iter().flat_map(|rows| columns.iter().map(move |columns| (rows, columns)));
        let first = [seen[0].start, seen[1].start];
        let stretch = |(rows, columns): (&Run, &Run)| Stretch {
            taps: self.taps(rows, columns, steps),
            pixels: self.pixels(rows, columns, steps, first),
        };
        let stretches = stretches.map(stretch).collect();
        let [rows, columns] = seen;
        Band { rows, columns, stretches }
    }

    fn taps(&self, rows: &Run, columns: &Run, steps: [usize; 2]) -> Vec<Tap> {
        let (rows, columns) = (rows.taps, columns.taps);
        let tap = |i: usize, j: usize| Tap {
            weight: ((rows.tap + i * rows.tap_step) * self.kernel_width + columns.tap + j * columns.tap_step)
                * self.width,
            x: i as isize * rows.other_step * steps[0] as isize + j as isize * columns.other_step * steps[1] as isize,
        };
        (0..rows.count).flat_map(|i| (0..columns.count).map(move |j| tap(i, j))).collect()
    }

    /// The pixels row by row, or window by window.
    fn pixels(&self, rows: &Run, columns: &Run, steps: [usize; 2], first: [usize; 2]) -> Vec<Pixel> {
        let step = self.step;
        // Pixels that see nothing of the input are as if they began with the band.
        let x = |run: &Run, number: usize, first| (run.taps.other + number * run.other_move).saturating_sub(first);
        let y = |run: &Run, number: usize| (run.first + number * run.step) / step;
        let pixel = |i: usize, j: usize| Pixel {
            x: x(rows, i, first[0]) * steps[0] + x(columns, j, first[1]) * steps[1],
            y: y(rows, i) * (self.y.dim(2) / step) + y(columns, j),
        };
        let mut pixels = Vec::with_capacity(rows.count * columns.count);
        for i in (0..rows.count).step_by(step) {
            for j in (0..columns.count).step_by(step) {
                pixels.extend((0..step * step).map(|k| pixel(i + k / step, j + k % step)));
            }
        }
        pixels
    }
}

/// The runs over so many positions cut into as few parts of about the same size as are enough, or the smallest there are.
fn cuts(runs: &[Run], positions: usize, step: usize, enough: impl Fn(&[Vec<Run>]) -> bool) -> Vec<Vec<Run>> {
    let mut parts = 1;
    loop {
        let size = positions.div_ceil(parts).next_multiple_of(step);
        let starts = (0..positions).step_by(size);
        let all: Vec<Vec<Run>> = starts.map(|from| cut(runs, from..positions.min(from + size))).collect();
        if size == step || enough(&all) {
            return all;
        }
        parts += 1;
    }
}

/// The part of the runs that lies within these positions.
fn cut(runs: &[Run], positions: Range<usize>) -> Vec<Run> {
    let part = |run: &Run| {
        let number = |position: usize| position.saturating_sub(run.first).div_ceil(run.step).min(run.count);
        let (from, to) = (number(positions.start), number(positions.end));
        let taps = sliding::Taps { other: run.taps.other + from * run.other_move, ..run.taps };
        Run { first: run.first + from * run.step, count: to - from, taps, ..*run }
    };
    runs.iter().map(part).filter(|run| run.count > 0).collect()
}

/// From the first to the last position that the runs meet.
fn seen(runs: &[Run]) -> Range<usize> {
    let ends = runs.iter().filter(|run| run.taps.count > 0).map(|run| {
        let first = run.taps.other as isize;
        let last = first + (run.taps.count as isize - 1) * run.taps.other_step;
        (first.min(last) as usize, first.max(last) as usize + (run.count - 1) * run.other_move + 1)
    });
    ends.fold(None, |all: Option<Range<usize>>, (from, to)| match all {
        Some(all) => Some(all.start.min(from)..all.end.max(to)),
        None => Some(from..to),
    })
    .unwrap_or(0..0)
}
