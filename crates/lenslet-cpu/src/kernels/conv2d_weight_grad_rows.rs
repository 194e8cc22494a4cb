//! A convolution's gradient by its weight where channels are many: matrix products with output channels in the lanes.
//!
//! `dw[tap][c][o] = Σ x[pixel at the tap, c] · dy[pixel, o]` over pixels and images, in blocks of [`BLOCK`] outputs: the
//! register tile is `weight_tile`'s. Both factors are copied to the thread's work memory first, each value once, in the
//! orders that the tile reads: the output rows of one group as `[block][pixel][image][o]`, which is a transposition, and the
//! input rows that they meet as `[row][column][c][image]`. Those stand in a ring (row r at r modulo its length), so that
//! rows met by several groups are copied once too.
//!
//! A group is one output row, or several short ones; it is cut into pieces of some [`PIECE`] pixels and images, whose
//! `dy` (16 KB a block) stays in the first cache while all taps and channels pass. So each sum goes through registers
//! once per piece, in the slot's own memory, one behind the other: sums keep the order `[block][tap][c][o]` until
//! [`sum_slots`] brings them into PyTorch's.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::WEIGHT_BLOCK as BLOCK;
use lenslet_graph::window::AxisWindow;

use super::Slots;
use super::weight_tile::{Meetings, add_products};
use crate::simd::{Kernel, Lanes};

/// Pixels times images of a piece.
const PIECE: usize = 128;

/// The most output rows in a group.
const MOST_ROWS: usize = 8;

/// Which values meet, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    channels: usize,
    outputs: usize,
    /// Along rows, then along columns.
    axes: [Axis; 2],
    /// Output rows of a group, and columns of a piece.
    piece: [usize; 2],
    /// Input rows in the ring.
    ring: usize,
    lanes: usize,
}

/// One axis.
#[derive(Clone, Debug)]
struct Axis {
    window: AxisWindow,
    input: usize,
    output: usize,
    /// For each tap: outputs that meet an input, from and to, and the input that the first meets.
    taps: Vec<[usize; 3]>,
    /// For each input, whether a tap meets it.
    met: Vec<bool>,
}

impl Axis {
    fn new(window: AxisWindow, input: usize, output: usize) -> Self {
        let mut met = vec![false; input];
        let taps = (0..window.kernel).map(|k| {
            let mut inside = (0..output).filter_map(|o| Some((o, window.input(o, k, input)?)));
            let Some((from, first)) = inside.next() else { return [0; 3] };
            let to = inside.next_back().map_or(from, |(o, _)| o) + 1;
            (0..to - from).for_each(|i| met[first + i * window.stride] = true);
            [from, to, first]
        });
        let taps = taps.collect();
        Self { window, input, output, taps, met }
    }

    /// Outputs from `from` to `to` that meet an input at this tap, and the input that the first of them meets.
    fn meet(&self, tap: usize, from: usize, to: usize) -> (std::ops::Range<usize>, usize) {
        let [first, last, input] = self.taps[tap];
        let (from, to) = (from.max(first), to.min(last));
        (from..to, input + from.saturating_sub(first) * self.window.stride)
    }

    /// One behind the last input that outputs below `output` meet.
    fn reach(&self, output: usize) -> usize {
        let last = (output - 1) * self.window.stride + (self.window.kernel - 1) * self.window.dilation + 1;
        last.saturating_sub(self.window.before).min(self.input)
    }
}

impl Geometry {
    /// For a layer without groups.
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape, lanes: usize) -> Self {
        let window = layer.window();
        let axes = [
            Axis::new(window.height, image.dim(1), output.dim(1)),
            Axis::new(window.width, image.dim(2), output.dim(2)),
        ];
        let [rows, columns] = [output.dim(1), output.dim(2)];
        let pixels = (PIECE / lanes).max(1);
        // Pieces of even size, of which none is larger than half as much again.
        let pieces = ((columns + pixels / 2) / pixels).max(1);
        let piece = [(pixels / columns).clamp(1, MOST_ROWS).min(rows), columns.div_ceil(pieces)];
        let AxisWindow { kernel, stride, dilation, .. } = window.height;
        let ring = ((piece[0] - 1) * stride + (kernel - 1) * dilation + 1).min(image.dim(1));
        Self { channels: image.dim(0), outputs: output.dim(0), axes, piece, ring, lanes }
    }

    /// Numbers of the sums.
    pub(crate) fn len(&self) -> usize {
        let [height, width] = [0, 1].map(|axis| self.axes[axis].window.kernel);
        self.outputs.next_multiple_of(BLOCK) * self.channels * height * width
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        self.x_len() + self.outputs.div_ceil(BLOCK) * self.dy_len()
    }

    /// Numbers of the ring.
    fn x_len(&self) -> usize {
        self.ring * self.axes[1].input * self.channels * self.lanes
    }

    /// Numbers of a group's output rows, for one block of outputs.
    fn dy_len(&self) -> usize {
        self.piece[0] * self.axes[1].output * self.lanes * BLOCK
    }
}

/// `dw[tap, c, o] += Σ x·dy` over the tile.
pub(crate) struct WeightGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// The thread's memory to work in.
    pub(crate) work: &'a mut [f32],
    /// `[block][tap][c][o]`.
    pub(crate) dw: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let [rows, columns] = &g.axes;
        assert_eq!(S::N, g.lanes);
        assert!(self.x.len() >= g.channels * rows.input * columns.input * S::N);
        assert!(self.dy.len() >= g.outputs * rows.output * columns.output * S::N);
        assert!(self.work.len() >= g.work_len() && self.dw.len() >= g.len());
        let (x_rows, dy_rows) = self.work.split_at_mut(g.x_len());
        let mut loaded = 0;
        for first in (0..rows.output).step_by(g.piece[0]) {
            let last = rows.output.min(first + g.piece[0]);
            let reach = rows.reach(last);
            for row in loaded..reach.max(loaded) {
                if rows.met[row] {
                    load_row(simd, g, self.x, row, x_rows);
                }
            }
            loaded = reach.max(loaded);
            load_gradients(simd, g, self.dy, first..last, dy_rows);
            for column in (0..columns.output).step_by(g.piece[1]) {
                let piece = Piece { rows: [first, last], columns: [column, columns.output.min(column + g.piece[1])] };
                multiply(simd, g, piece, x_rows, dy_rows, self.dw);
            }
        }
    }
}

/// Copies an input row to its place in the ring.
#[inline(always)]
fn load_row<S: Lanes>(simd: S, g: &Geometry, x: &[f32], row: usize, ring: &mut [f32]) {
    let [height, width] = [g.axes[0].input, g.axes[1].input];
    let at = row % g.ring * width;
    // Read in order, so that the next values are on their way before they are wanted.
    for c in 0..g.channels {
        for (column, _) in g.axes[1].met.iter().enumerate().filter(|&(_, &met)| met) {
            let v = simd.load(x, (c * height + row) * width + column);
            simd.store(v, ring, (at + column) * g.channels + c);
        }
    }
}

/// Transposes a group's output rows; outputs that the last block lacks are 0.
#[inline(always)]
fn load_gradients<S: Lanes>(simd: S, g: &Geometry, dy: &[f32], rows: std::ops::Range<usize>, to: &mut [f32]) {
    let width = g.axes[1].output;
    let plane = g.axes[0].output * width;
    for (block, to) in to.chunks_exact_mut(g.dy_len()).enumerate().take(g.outputs.div_ceil(BLOCK)) {
        for part in (0..BLOCK).step_by(S::N) {
            let output = block * BLOCK + part;
            for (pixel, to) in (rows.start * width..rows.end * width).zip(to.chunks_exact_mut(S::N * BLOCK)) {
                let from = &dy[(output.min(g.outputs - 1) * plane + pixel) * S::N..];
                if output + S::N <= g.outputs {
                    // SAFETY: N outputs from this one on, a plane apart; N rows of a block.
                    unsafe { simd.transpose(from.as_ptr(), plane * S::N, to.as_mut_ptr().add(part), BLOCK) };
                    continue;
                }
                for (lane, to) in to.chunks_exact_mut(BLOCK).enumerate() {
                    for (o, to) in to[part..][..S::N].iter_mut().enumerate() {
                        *to = if output + o < g.outputs { from[o * plane * S::N + lane] } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Outputs that are worked on together: rows and columns, from and to. The rows are those of a group.
#[derive(Clone, Copy)]
struct Piece {
    rows: [usize; 2],
    columns: [usize; 2],
}

/// All taps, channels and outputs of one piece.
#[inline(always)]
fn multiply<S: Lanes>(simd: S, g: &Geometry, piece: Piece, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let [rows, columns] = &g.axes;
    let pixel = g.channels * S::N;
    let mut sums = dw.chunks_exact_mut(g.channels * BLOCK);
    for dy in dy.chunks_exact(g.dy_len()).take(g.outputs.div_ceil(BLOCK)) {
        for tap_row in 0..rows.window.kernel {
            let (met_rows, input_row) = rows.meet(tap_row, piece.rows[0], piece.rows[1]);
            for tap in 0..columns.window.kernel {
                let sums = sums.next().expect("a row of sums for each tap and block");
                let (met, input) = columns.meet(tap, piece.columns[0], piece.columns[1]);
                let mut runs = [[0; 2]; MOST_ROWS];
                for (run, row) in runs.iter_mut().zip(met_rows.clone()) {
                    let ring_row = (input_row + (row - met_rows.start) * rows.window.stride) % g.ring;
                    let dy_row = (row - piece.rows[0]) * columns.output;
                    *run = [(ring_row * columns.input + input) * pixel, (dy_row + met.start) * S::N * BLOCK];
                }
                let meetings = Meetings {
                    runs: &runs[..met_rows.len()],
                    pixels: met.len(),
                    x_step: columns.window.stride * pixel,
                };
                // SAFETY: the piece's outputs stand in `dy`, the inputs that they meet in the ring, for `reach` is behind
                // the last of them and the ring holds all that a group can meet; there is a row of sums per channel.
                unsafe { add_products(simd, &meetings, x.as_ptr(), dy.as_ptr(), sums.as_mut_ptr(), g.channels, false) };
            }
        }
    }
}

/// Rows of sums that are turned into PyTorch's order at a time (72 KB): all nine taps of 64 channels.
const TURN: usize = 576;

/// Adds up the slots' sums of one block of outputs and brings them into PyTorch's order, `[o][c][tap]`.
pub(crate) fn sum_slots(slots: Slots<'_>, block: usize, channels: usize, taps: usize, dw: &mut [f32]) {
    let mut turn = [[0.0f32; BLOCK]; TURN];
    let some_taps = taps.min(TURN);
    let some_channels = TURN / some_taps;
    for first in (0..channels).step_by(some_channels) {
        let count = some_channels.min(channels - first);
        for tap in (0..taps).step_by(some_taps) {
            let tap_count = some_taps.min(taps - tap);
            for t in 0..tap_count {
                for c in 0..count {
                    let row = (block * taps + tap + t) * channels + first + c;
                    turn[c * tap_count + t] = sum_row(&slots, row);
                }
            }
            for (o, dw) in dw.chunks_exact_mut(channels * taps).enumerate() {
                for (c, turn) in turn.chunks_exact(tap_count).enumerate().take(count) {
                    for (dw, turn) in dw[(first + c) * taps + tap..].iter_mut().zip(turn) {
                        *dw = turn[o];
                    }
                }
            }
        }
    }
}

/// The sum of a row of all slots.
fn sum_row(slots: &Slots<'_>, row: usize) -> [f32; BLOCK] {
    let mut totals = [0.0f64; BLOCK];
    for slot in slots.iter() {
        for (total, &x) in totals.iter_mut().zip(&slot[row * BLOCK..][..BLOCK]) {
            *total += f64::from(x);
        }
    }
    totals.map(|total| total as f32)
}
