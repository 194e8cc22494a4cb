//! Max pooling by 2×2 on one image: neighbouring windows in the lanes.
//!
//! Two rows of an image give a row of windows. Their numbers at even columns and at odd ones are brought apart into
//! vectors, so that each lane has a window's four; backward, the four gradients are brought together again. The rules for
//! equals and NaN are those of [`Best`]. The end of a row that fills no vector is read and written in part.

use crate::kernels::Call;
use crate::kernels::max_pool::Best;
use crate::simd::{Kernel, Lanes};

/// The greatest of each window of planes, and for its gradient the number of the winner.
pub(super) struct Forward<'a> {
    pub(super) x: &'a [f32],
    /// Width of a plane; it is even, as its height is.
    pub(super) width: usize,
    /// Whether `x` went through ReLU, whose gradient the winners are to stand for, too.
    pub(super) relu: bool,
    pub(super) y: &'a mut [f32],
    /// As long as `y`, or empty.
    pub(super) winners: &'a mut [f32],
}

impl Forward<'_> {
    #[inline(always)]
    pub(super) fn run<S: Lanes>(self, simd: S) {
        let windows = self.width / 2;
        assert!(self.x.len() == 4 * self.y.len() && (self.winners.is_empty() || self.winners.len() == self.y.len()));
        let lines = self.x.chunks_exact(4 * windows).zip(self.y.chunks_exact_mut(windows));
        for (line, (x, y)) in lines.enumerate() {
            for first in (0..windows).step_by(S::N) {
                let count = S::N.min(windows - first);
                let best = best(simd, x, first, count);
                store(simd, best.value, &mut y[first..][..count]);
                if !self.winners.is_empty() {
                    let number = best.winner(simd, self.relu);
                    store(simd, number, &mut self.winners[line * windows + first..][..count]);
                }
            }
        }
    }
}

/// The same of pixels with channels in the lanes, `block` numbers each.
pub(super) struct Pixels<'a> {
    pub(super) x: &'a [f32],
    /// Numbers of a row of pixels.
    pub(super) row: usize,
    pub(super) block: usize,
    pub(super) relu: bool,
    pub(super) y: &'a mut [f32],
    /// As long as `y`, or empty.
    pub(super) winners: &'a mut [f32],
}

impl Pixels<'_> {
    #[inline(always)]
    pub(super) fn run<S: Lanes>(self, simd: S) {
        let (row, block, vectors) = (self.row, self.block, self.block / S::N);
        assert!(self.winners.is_empty() || self.winners.len() == self.y.len());
        for (line, (rows, y)) in self.x.chunks_exact(2 * row).zip(self.y.chunks_exact_mut(row / 2)).enumerate() {
            let (upper, lower) = rows.split_at(row);
            let pairs = upper.chunks_exact(2 * block).zip(lower.chunks_exact(2 * block));
            for (window, (upper, lower)) in pairs.enumerate() {
                for v in 0..vectors {
                    let top = [simd.load(upper, v), simd.load(upper, vectors + v)];
                    let bottom = [simd.load(lower, v), simd.load(lower, vectors + v)];
                    let best = of_four(simd, top, bottom);
                    let place = window * vectors + v;
                    simd.store(best.value, y, place);
                    if !self.winners.is_empty() {
                        let number = best.winner(simd, self.relu);
                        simd.store(number, &mut self.winners[line * row / 2..], place);
                    }
                }
            }
        }
    }
}

/// The winner of each window, from its rows' numbers.
#[inline(always)]
fn of_four<S: Lanes>(simd: S, top: [S::V; 2], bottom: [S::V; 2]) -> Best<S::V> {
    let mut best = Best::new(simd, top[0]);
    best.meets(simd, 1, top[1]);
    best.meets(simd, 2, bottom[0]);
    best.meets(simd, 3, bottom[1]);
    best
}

/// Each gradient to the winner of its window: of the image itself, or where a convolution kept the winners' numbers, of
/// those. Inputs are the image, or the pooled values with the winners behind them, and the gradient.
pub(crate) struct Backward<'a> {
    pub(crate) winners: bool,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape: image, .. } = self.call;
        let (dy, pooled) = (inputs[1].data, inputs[1].shape);
        let winners = if self.winners { &inputs[0].data[pooled.len()..] } else { &[] };
        let (windows, width) = (pooled.dim(2), image.dim(2));
        for channel in 0..image.dim(0) {
            let plane = image.dim(1) * width;
            let dx = &mut output[channel * plane..][..plane];
            for row in 0..pooled.dim(1) {
                let line = (channel * pooled.dim(1) + row) * windows;
                let (upper, lower) = dx[2 * row * width..][..2 * width].split_at_mut(width);
                for first in (0..windows).step_by(S::N) {
                    let count = S::N.min(windows - first);
                    let number = match self.winners {
                        true => load(simd, &winners[line + first..][..count]),
                        false => {
                            let rows = &inputs[0].data[channel * plane + 2 * row * width..][..2 * width];
                            best(simd, rows, first, count).number
                        }
                    };
                    let dy = load(simd, &dy[line + first..][..count]);
                    let best = Best { value: dy, number };
                    for (rows, numbers) in [(&mut *upper, [0, 1]), (&mut *lower, [2, 3])] {
                        let [even, odd] = numbers;
                        let [near, far] = simd.zip(best.share(simd, even, dy), best.share(simd, odd, dy));
                        let places = &mut rows[2 * first..][..2 * count];
                        let (low, high) = places.split_at_mut(S::N.min(2 * count));
                        store(simd, near, low);
                        store(simd, far, high);
                    }
                }
                upper[2 * windows..].fill(0.0);
                lower[2 * windows..].fill(0.0);
            }
            dx[2 * pooled.dim(1) * width..].fill(0.0);
        }
    }
}

/// The winners of `count` windows, from number `first` on, of two rows.
#[inline(always)]
fn best<S: Lanes>(simd: S, rows: &[f32], first: usize, count: usize) -> Best<S::V> {
    let (upper, lower) = rows.split_at(rows.len() / 2);
    of_four(simd, pairs(simd, upper, first, count), pairs(simd, lower, first, count))
}

/// A row's numbers at even places, and those at odd ones, of `count` windows.
#[inline(always)]
fn pairs<S: Lanes>(simd: S, row: &[f32], first: usize, count: usize) -> [S::V; 2] {
    let (low, high) = row[2 * first..][..2 * count].split_at(S::N.min(2 * count));
    simd.unzip(load(simd, low), load(simd, high))
}

/// Up to a vector of numbers.
#[inline(always)]
fn load<S: Lanes>(simd: S, from: &[f32]) -> S::V {
    assert!(from.len() <= S::N);
    // SAFETY: the slice has so many numbers.
    unsafe { simd.load_part(from.as_ptr(), from.len()) }
}

/// Writes the first lanes, as many as there is room for.
#[inline(always)]
fn store<S: Lanes>(simd: S, v: S::V, to: &mut [f32]) {
    assert!(to.len() <= S::N);
    // SAFETY: the slice has so many numbers.
    unsafe { simd.store_part(v, to.as_mut_ptr(), to.len()) }
}
