//! A convolution's gradient by its weight: for each weight the sum of `x·dy` over pixels and images.
//!
//! A register tile holds `C` output channels by `T` taps of one kernel row: every gradient that is loaded serves `T`
//! products, every input `C`. Each sum is a vector (a lane per image) until all rows and runs are done, and only then
//! added across its lanes. Empty lanes have gradient 0 and so add nothing.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;

use super::sliding::{self, Run};
use crate::simd::{Kernel, Lanes};

/// Taps of a kernel row that are worked on together.
const MOST_TAPS: usize = 5;

/// Which values meet, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    groups: usize,
    outputs: usize,
    inner: usize,
    kernel: [usize; 2],
    dilation: usize,
    stride: [usize; 2],
    /// For each tap row: output rows from, to, and the input row that the first meets.
    rows: Vec<(usize, usize, usize)>,
    runs: Vec<Run>,
    image: [usize; 2],
    output: [usize; 2],
}

impl Geometry {
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape) -> Self {
        let window = layer.window();
        let groups = layer.group_count();
        let rows = (0..window.height.kernel).map(|k| {
            let inside = |o: &usize| window.height.input(*o, k, image.dim(1)).is_some();
            let mut outputs = (0..output.dim(1)).filter(inside);
            let Some(from) = outputs.next() else { return (0, 0, 0) };
            let to = outputs.next_back().unwrap_or(from) + 1;
            (from, to, window.height.input(from, k, image.dim(1)).unwrap_or(0))
        });
        Self {
            groups,
            outputs: output.dim(0) / groups,
            inner: image.dim(0) / groups,
            kernel: layer.kernel_size(),
            dilation: window.width.dilation,
            stride: [window.height.stride, window.width.stride],
            rows: rows.collect(),
            runs: sliding::forward(&window.width, image.dim(2), output.dim(2)),
            image: [image.dim(1), image.dim(2)],
            output: [output.dim(1), output.dim(2)],
        }
    }
}

/// `dw[o, c, k, l] += Σ x·dy` over the tile.
pub(crate) struct WeightGrad<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) x: &'a [f32],
    pub(crate) dy: &'a [f32],
    /// In PyTorch's order: output channel, inner channel, kernel row, kernel column.
    pub(crate) dw: &'a mut [f32],
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let g = self.geometry;
        let [height, width] = g.kernel;
        assert!(self.x.len() >= g.groups * g.inner * g.image[0] * g.image[1] * S::N);
        assert!(self.dy.len() >= g.groups * g.outputs * g.output[0] * g.output[1] * S::N);
        assert!(self.dw.len() >= g.groups * g.outputs * g.inner * height * width);
        for group in 0..g.groups {
            for inner in 0..g.inner {
                for tap_row in 0..height {
                    for tap in (0..width).step_by(MOST_TAPS) {
                        let taps = MOST_TAPS.min(width - tap);
                        let piece = Piece { group, inner, tap_row, tap, taps };
                        self.piece(simd, piece);
                    }
                }
            }
        }
    }
}

/// Neighbouring taps of one kernel row, for one input channel.
#[derive(Clone, Copy)]
struct Piece {
    group: usize,
    inner: usize,
    tap_row: usize,
    tap: usize,
    taps: usize,
}

impl WeightGrad<'_> {
    /// All output channels for one piece; as many together as fit in registers beside the taps.
    #[inline(always)]
    fn piece<S: Lanes>(&mut self, simd: S, piece: Piece) {
        let outputs = self.geometry.outputs;
        let together = match piece.taps {
            1 => 8,
            // 4×3 pairs of sums and their operands are more than there are registers.
            3 if S::PAIRS => 2,
            2 | 3 => 4,
            _ => 2,
        };
        let mut output = 0;
        while output < outputs {
            let left = outputs - output;
            output += match together.min(left) {
                8.. => self.channels::<S, 8>(simd, piece, output),
                4..8 => self.channels::<S, 4>(simd, piece, output),
                2..4 => self.channels::<S, 2>(simd, piece, output),
                _ => self.channels::<S, 1>(simd, piece, output),
            };
        }
    }

    /// `C` output channels for one piece: vector sums over all runs, then across the lanes.
    #[inline(always)]
    fn channels<S: Lanes, const C: usize>(&mut self, simd: S, piece: Piece, output: usize) -> usize {
        let g = self.geometry;
        let mut sums = [[simd.splat(0.0); MOST_TAPS]; C];
        for run in &g.runs {
            // The run's taps that belong to the piece.
            let from = run.taps.tap.max(piece.tap);
            let to = (run.taps.tap + run.taps.count).min(piece.tap + piece.taps);
            let at = from.wrapping_sub(piece.tap);
            // SAFETY: `run` asserted that the values that the geometry reaches are there.
            unsafe {
                match to.saturating_sub(from) {
                    0 => {}
                    1 => self.pixels::<S, C, 1>(simd, piece, output, run, from, at, &mut sums),
                    2 => self.pixels::<S, C, 2>(simd, piece, output, run, from, at, &mut sums),
                    3 => self.pixels::<S, C, 3>(simd, piece, output, run, from, at, &mut sums),
                    4 => self.pixels::<S, C, 4>(simd, piece, output, run, from, at, &mut sums),
                    _ => self.pixels::<S, C, 5>(simd, piece, output, run, from, at, &mut sums),
                }
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            let row = (g.outputs * piece.group + output + c) * g.inner + piece.inner;
            let first = (row * g.kernel[0] + piece.tap_row) * g.kernel[1] + piece.tap;
            for (dw, &sum) in self.dw[first..][..piece.taps].iter_mut().zip(sums) {
                *dw += simd.sum(sum);
            }
        }
        C
    }

    /// One register tile: `C` channels by the `T` taps from `tap`, over all pixels of the run in all rows.
    ///
    /// # Safety
    /// `x` and `dy` must have the values that the geometry reaches.
    #[inline(always)]
    unsafe fn pixels<S: Lanes, const C: usize, const T: usize>(
        &self,
        simd: S,
        piece: Piece,
        output: usize,
        run: &Run,
        tap: usize,
        at: usize,
        sums: &mut [[S::V; MOST_TAPS]; C],
    ) {
        let g = self.geometry;
        let (from, to, input_row) = g.rows[piece.tap_row];
        let [x_plane, dy_plane] = [g.image[0] * g.image[1], g.output[0] * g.output[1]];
        let column = run.taps.other + (tap - run.taps.tap) * g.dilation;
        let mut tile: [[S::V; T]; C] = std::array::from_fn(|c| std::array::from_fn(|t| sums[c][at + t]));
        // SAFETY: rows and columns are those of the geometry.
        unsafe {
            let x = self.x.as_ptr().add((g.group_channel(piece) * x_plane + column) * S::N);
            let dy = self.dy.as_ptr().add(((g.outputs * piece.group + output) * dy_plane + run.first) * S::N);
            for row in from..to {
                let mut x = x.add((input_row + (row - from) * g.stride[0]) * g.image[1] * S::N);
                let mut dy = dy.add(row * g.output[1] * S::N);
                for _ in 0..run.count {
                    let input = |t: usize| simd.load_from(x.add(t * g.dilation * S::N));
                    let gradient = |c: usize| simd.load_from(dy.add(c * dy_plane * S::N));
                    // The inputs stay in registers and there is one gradient at a time; with few gradients the other way
                    // about, where no operand is read from memory.
                    if S::PAIRS && C < T {
                        let gradients: [S::V; C] = std::array::from_fn(gradient);
                        for t in 0..T {
                            let input = input(t);
                            for (tile, &gradient) in tile.iter_mut().zip(&gradients) {
                                tile[t] = simd.mul_add(gradient, input, tile[t]);
                            }
                        }
                    } else {
                        let inputs: [S::V; T] = std::array::from_fn(input);
                        for (c, tile) in tile.iter_mut().enumerate() {
                            let gradient = gradient(c);
                            for (sum, &input) in tile.iter_mut().zip(&inputs) {
                                *sum = simd.mul_add(gradient, input, *sum);
                            }
                        }
                    }
                    x = x.wrapping_add(g.stride[1] * S::N);
                    dy = dy.wrapping_add(S::N);
                }
            }
        }
        for (sums, tile) in sums.iter_mut().zip(&tile) {
            sums[at..][..T].copy_from_slice(tile);
        }
    }
}

impl Geometry {
    /// The piece's input channel.
    fn group_channel(&self, piece: Piece) -> usize {
        piece.group * self.inner + piece.inner
    }
}
