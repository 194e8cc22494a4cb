//! Winograd's convolution with max pooling by 2×2 behind it: of 5×5 kernels, whose tiles of 2×2 results are the windows.
//!
//! The products are those of [`conv2d`](super::conv2d). Here they also serve layers of few channels, of which transforms
//! take as long as products, so they go another way: a row of windows at a time, whose tiles share the columns that were
//! transformed, and a row of places at a time, whose products become halves of results while they are in registers, so
//! that a third of the numbers is written (measured: 1.5 times as fast as the direct way from 6 to 16 channels at 14×14,
//! 1.7 times from 32 to 32; with AVX2 1.75 and 1.9 times).
//!
//! ```text
//! for each row of windows
//!     down[i][c][column] = Bᵀ x                       each inner channel and column
//!     for each row i of places
//!         v[j][c][t] = down[i] B                      each inner channel and window
//!         halves[i][o][t] = (Σ u[i][j][c][o]·v) A     each output channel and window, in register tiles
//!     y = activation(max(bias + Aᵀ halves))           each output channel and window
//! ```

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK as BLOCK, Winograd as Way};

use super::matrices::Winograd;
use super::transform::{evaluate, interpolate};
use crate::kernels::conv2d::{Bounds, store_greatest};
use crate::simd::{Kernel, Lanes};

/// Results of a tile along each axis: a window.
const TILE: usize = 2;
/// Taps of the kernel along each axis.
const KERNEL: usize = 5;
/// Places of a tile along each axis.
const SIDE: usize = TILE + KERNEL - 1;

type Matrices = Winograd<SIDE, TILE, KERNEL>;

/// A convolution that pools, worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    way: Way,
    /// Rows and columns of the map that is read.
    x: [usize; 2],
    /// Windows along each axis.
    windows: [usize; 2],
}

impl Geometry {
    /// From `x` to `pooled`, both C×H×W, without padding.
    pub(crate) fn new(way: Way, x: Shape, pooled: Shape) -> Self {
        Self { way, x: [x.dim(1), x.dim(2)], windows: [pooled.dim(1), pooled.dim(2)] }
    }

    /// Pooled values.
    pub(crate) fn y_len(&self) -> usize {
        self.way.outputs * self.windows[0] * self.windows[1]
    }

    /// Vectors to work in.
    pub(crate) fn work_len(&self) -> usize {
        self.lens().into_iter().sum()
    }

    /// Vectors of `down`, of `v` and of `halves`.
    fn lens(&self) -> [usize; 3] {
        let inner = self.way.inner;
        [inner * self.columns(), inner * self.windows[1], self.halves_step()].map(|len| SIDE * len)
    }

    /// Columns of the map that the windows see.
    fn columns(&self) -> usize {
        TILE * self.windows[1] + KERNEL - 1
    }

    /// Vectors from one row of places' halves to the next: an odd number, so that they do not all fall on the same few
    /// lines of the cache.
    fn halves_step(&self) -> usize {
        self.way.outputs.next_multiple_of(BLOCK) * self.windows[1] * TILE + 1
    }
}

/// `y[o] = activation(max(bias[o] + Σ w·x))`, the greatest of a window.
pub(crate) struct Convolve<'a> {
    pub(crate) geometry: &'a Geometry,
    /// Values, a vector each.
    pub(crate) x: &'a [f32],
    /// Transformed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    /// ReLU or nothing.
    pub(crate) activation: Option<Map>,
    /// Values, a vector each; every one is written.
    pub(crate) y: &'a mut [f32],
    /// For each pooled value the number of its winner in the window, or
    /// [`NO_WINNER`](crate::kernels::conv2d::NO_WINNER); or nothing.
    pub(crate) winners: &'a mut [f32],
    /// Room for [`Geometry::work_len`] vectors.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let g = self.geometry;
        let Way { tile, kernel, before, inner, outputs, block, .. } = g.way;
        let y_len = g.y_len() * S::N;
        assert!([tile, kernel, block] == [TILE, KERNEL, BLOCK] && before == [0, 0]);
        assert!((0..2).all(|axis| TILE * g.windows[axis] + KERNEL - 1 <= g.x[axis]));
        assert!(self.x.len() == inner * g.x[0] * g.x[1] * S::N && self.weight.len() == g.way.packed_len());
        assert!(self.bias.is_empty() || self.bias.len() == outputs);
        assert!(self.y.len() == y_len && (self.winners.is_empty() || self.winners.len() == y_len));
        let (bounds, late) = Bounds::of(self.activation);
        assert!(late.is_none(), "a pooled convolution has no activation but ReLU");

        let [down_len, v_len, halves_len] = g.lens().map(|len| len * S::N);
        let (down, rest) = self.work.split_at_mut(down_len);
        let (v, rest) = rest.split_at_mut(v_len);
        let halves = &mut rest[..halves_len];
        let mut results = Results { geometry: g, bias: self.bias, bounds, y: self.y, winners: self.winners };
        for row in 0..g.windows[0] {
            transform_down(simd, g, self.x, row, down);
            for (i, down) in down.chunks_exact(down_len / SIDE).enumerate() {
                transform_across(simd, g, down, v);
                let halves = &mut halves[i * g.halves_step() * S::N..][..g.halves_step() * S::N];
                let blocks = self.weight.chunks_exact(SIDE * SIDE * inner * BLOCK);
                for (weight, halves) in blocks.zip(halves.chunks_exact_mut(BLOCK * g.windows[1] * TILE * S::N)) {
                    let weight = &weight[i * SIDE * inner * BLOCK..][..SIDE * inner * BLOCK];
                    multiply(simd, &Row { inner, windows: g.windows[1], weight, v }, halves);
                }
            }
            results.write(simd, row, halves);
        }
    }
}

/// `down[i][c][column]` of a row of windows.
#[inline(always)]
fn transform_down<S: Lanes>(simd: S, g: &Geometry, x: &[f32], row: usize, down: &mut [f32]) {
    let ([height, width], inner, columns) = (g.x, g.way.inner, g.columns());
    assert!(TILE * row + SIDE <= height && columns <= width);
    assert!(x.len() == inner * height * width * S::N && down.len() == SIDE * inner * columns * S::N);
    for c in 0..inner {
        let first = (c * height + TILE * row) * width;
        for column in 0..columns {
            let mut values = [simd.splat(0.0); SIDE];
            // SAFETY: the asserts: SIDE rows from this one on lie in the map, and `down` has as many for each channel.
            unsafe {
                for (i, value) in values.iter_mut().enumerate() {
                    *value = simd.load_from(x.as_ptr().add((first + i * width + column) * S::N));
                }
                for (i, &value) in evaluate(simd, &Matrices::IMAGE, &values).iter().enumerate() {
                    simd.store_to(value, down.as_mut_ptr().add(((i * inner + c) * columns + column) * S::N));
                }
            }
        }
    }
}

/// `v[j][c][t]` of a row of places.
#[inline(always)]
fn transform_across<S: Lanes>(simd: S, g: &Geometry, down: &[f32], v: &mut [f32]) {
    let (inner, columns, windows) = (g.way.inner, g.columns(), g.windows[1]);
    assert!(down.len() == inner * columns * S::N && v.len() == SIDE * inner * windows * S::N);
    for c in 0..inner {
        for t in 0..windows {
            let mut values = [simd.splat(0.0); SIDE];
            // SAFETY: the asserts: a window sees SIDE columns, which overlap; `v` has as many for each channel and window.
            unsafe {
                for (j, value) in values.iter_mut().enumerate() {
                    *value = simd.load_from(down.as_ptr().add((c * columns + TILE * t + j) * S::N));
                }
                for (j, &value) in evaluate(simd, &Matrices::IMAGE, &values).iter().enumerate() {
                    simd.store_to(value, v.as_mut_ptr().add(((j * inner + c) * windows + t) * S::N));
                }
            }
        }
    }
}

/// The factors at a row of places: weights of a block of output channels, and transformed tiles of a row of windows.
struct Row<'a> {
    inner: usize,
    windows: usize,
    /// `[place][inner channel][channel in block]`.
    weight: &'a [f32],
    /// `[place][inner channel][window]`, a vector each.
    v: &'a [f32],
}

/// `halves[o][t]` of a block of output channels, in register tiles.
#[inline(always)]
fn multiply<S: Lanes>(simd: S, row: &Row, halves: &mut [f32]) {
    let mut t = 0;
    while t < row.windows {
        // A tile has three sums for each channel and window: two halves, and a place's.
        t += match row.windows - t {
            3 if S::REGISTERS >= 32 => row.halves::<S, 2, 3>(simd, t, halves),
            2.. if S::REGISTERS >= 32 => row.halves::<S, 4, 2>(simd, t, halves),
            2.. => row.halves::<S, 2, 2>(simd, t, halves),
            _ => row.halves::<S, 4, 1>(simd, t, halves),
        }
    }
}

impl Row<'_> {
    /// All channels of the block at `P` windows, from `t`, in register tiles of `O` channels. Returns `P`.
    #[inline(always)]
    fn halves<S: Lanes, const O: usize, const P: usize>(&self, simd: S, t: usize, halves: &mut [f32]) -> usize {
        let &Self { inner, windows, weight, v } = self;
        assert!(weight.len() == SIDE * inner * BLOCK && v.len() == SIDE * inner * windows * S::N);
        assert!(t + P <= windows && halves.len() == BLOCK * windows * TILE * S::N && BLOCK.is_multiple_of(O));
        for o in (0..BLOCK).step_by(O) {
            // SAFETY: the asserts: at each place a block of weights and a vector per window for each inner channel; a pair
            // of halves for each channel of the block and window.
            unsafe {
                // Of `A`, the first row is 1, 0 and the last 0, 1.
                let mut left = self.place::<S, O, P>(simd, 0, o, t);
                let mut right = self.place::<S, O, P>(simd, SIDE - 1, o, t);
                for j in 1..SIDE - 1 {
                    let products = self.place::<S, O, P>(simd, j, o, t);
                    let point = simd.splat(Matrices::RESULT.rows[j][1]);
                    for i in 0..O {
                        for p in 0..P {
                            left[i][p] = simd.add(left[i][p], products[i][p]);
                            right[i][p] = simd.mul_add(point, products[i][p], right[i][p]);
                        }
                    }
                }
                for i in 0..O {
                    for p in 0..P {
                        let to = halves.as_mut_ptr().add(((o + i) * windows + t + p) * TILE * S::N);
                        simd.store_to(left[i][p], to);
                        simd.store_to(right[i][p], to.add(S::N));
                    }
                }
            }
        }
        P
    }

    /// `Σ u·v` at place `j` of the row, over inner channels.
    #[inline(always)]
    unsafe fn place<S: Lanes, const O: usize, const P: usize>(
        &self,
        simd: S,
        j: usize,
        o: usize,
        t: usize,
    ) -> [[S::V; P]; O] {
        /// Channels between two tests for the end: measured, a tenth faster than one.
        const STEP: usize = 3;
        let mut sums = [[simd.splat(0.0); P]; O];
        let (place, step) = (j * self.inner, self.windows * S::N);
        // SAFETY: the caller's promise.
        unsafe {
            let mut weight = self.weight.as_ptr().add(place * BLOCK + o);
            let mut v = self.v.as_ptr().add(place * step + t * S::N);
            for _ in 0..self.inner / STEP {
                for _ in 0..STEP {
                    add_channel(simd, weight, v, &mut sums);
                    (weight, v) = (weight.wrapping_add(BLOCK), v.wrapping_add(step));
                }
            }
            for _ in 0..self.inner % STEP {
                add_channel(simd, weight, v, &mut sums);
                (weight, v) = (weight.wrapping_add(BLOCK), v.wrapping_add(step));
            }
        }
        sums
    }
}

/// One inner channel's products.
#[inline(always)]
unsafe fn add_channel<S: Lanes, const O: usize, const P: usize>(
    simd: S,
    weight: *const f32,
    v: *const f32,
    sums: &mut [[S::V; P]; O],
) {
    // SAFETY: the caller's promise: `O` weights and `P` vectors.
    unsafe {
        let mut tiles = [simd.splat(0.0); P];
        for (p, tile) in tiles.iter_mut().enumerate() {
            *tile = simd.load_from(v.add(p * S::N));
        }
        for (o, sums) in sums.iter_mut().enumerate() {
            let weight = simd.splat(*weight.add(o));
            for (sum, &tile) in sums.iter_mut().zip(&tiles) {
                *sum = simd.mul_add(weight, tile, *sum);
            }
        }
    }
}

/// Where results go.
struct Results<'a> {
    geometry: &'a Geometry,
    bias: &'a [f32],
    bounds: Option<Bounds>,
    y: &'a mut [f32],
    winners: &'a mut [f32],
}

impl Results<'_> {
    /// A row of windows, all output channels.
    #[inline(always)]
    fn write<S: Lanes>(&mut self, simd: S, row: usize, halves: &[f32]) {
        let ([rows, windows], step) = (self.geometry.windows, self.geometry.halves_step());
        for o in 0..self.geometry.way.outputs {
            let bias = simd.splat(if self.bias.is_empty() { 0.0 } else { self.bias[o] });
            for t in 0..windows {
                let mut window = [bias; TILE * TILE];
                for b in 0..TILE {
                    let mut values = [bias; SIDE];
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = simd.load(halves, i * step + (o * windows + t) * TILE + b);
                    }
                    for (a, &value) in interpolate(simd, &Matrices::RESULT, &values).iter().enumerate() {
                        window[TILE * a + b] = simd.add(bias, value);
                    }
                }
                let at = ((o * rows + row) * windows + t) * S::N;
                let y = self.y[at..][..S::N].as_mut_ptr();
                let winner = if self.winners.is_empty() { None } else { Some(self.winners[at..][..S::N].as_mut_ptr()) };
                // SAFETY: a vector each.
                unsafe { store_greatest(simd, &window, self.bounds, y, winner) }
            }
        }
    }
}
