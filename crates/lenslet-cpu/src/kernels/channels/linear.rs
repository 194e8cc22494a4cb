//! A dense layer on one image, forward and its gradient by the input. The weight stands as PyTorch has it, a row of inputs
//! for each output; neither direction needs it in another order.
//!
//! Forward, lanes are neighbouring inputs, in a few sums for each output, all added at its end. Outputs come one after the
//! other: weights from the second cache come half as fast again in their order as from several rows at once. Backward, lanes
//! are neighbouring inputs too, and each row of weights, times its output's gradient, is added to up to 8 vectors. What is
//! left behind the last full vector is reached by a vector that ends there.

use lenslet_graph::ops::map::Map;

use crate::kernels::map;
use crate::simd::{Kernel, Lanes, MAX_LANES, Scalar};

/// Vectors under way at once backward: a fused multiply-add takes 4 cycles, at 2 a cycle. Forward the next output's are under
/// way, too.
const SUMS: usize = 8;

/// `y[o] = activation(bias[o] + Σ w[o][i]·x[i])` for each row of `x`.
pub(crate) struct Forward<'a> {
    pub(crate) inputs: usize,
    pub(crate) x: &'a [f32],
    pub(crate) weight: &'a [f32],
    /// One number per output, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    pub(crate) y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let outputs = self.weight.len() / self.inputs;
        for (x, y) in self.x.chunks_exact(self.inputs).zip(self.y.chunks_exact_mut(outputs)) {
            if x.len() < S::N {
                for (y, weight) in y.iter_mut().zip(self.weight.chunks_exact(x.len())) {
                    *y = x.iter().zip(weight).map(|(x, w)| x * w).sum();
                }
            } else {
                let row = Row::new(simd, x);
                for (weight, y) in self.weight.chunks_exact(self.inputs).zip(y.iter_mut()) {
                    let [sum] = product::<S, { SUMS / 2 }, 1>(simd, [&row], weight);
                    *y = simd.sum(sum);
                }
            }
            y.iter_mut().zip(self.bias).for_each(|(y, bias)| *y += bias);
        }
        activate(simd, self.activation, self.y);
    }
}

/// A row of inputs.
pub(super) struct Row<'a> {
    x: &'a [f32],
    /// The last vector of them, 0 where a vector before has them already.
    last: [f32; MAX_LANES],
}

impl<'a> Row<'a> {
    #[inline(always)]
    pub(super) fn new<S: Lanes>(_: S, x: &'a [f32]) -> Self {
        let (rest, mut last) = (x.len() % S::N, [0.0; MAX_LANES]);
        last[S::N - rest..S::N].copy_from_slice(&x[x.len() - rest..]);
        Self { x, last }
    }
}

/// The products of `R` rows of inputs, a vector at least, with a row of weights, in `U` sums each: lanes are still to be added.
#[inline(always)]
pub(super) fn product<S: Lanes, const U: usize, const R: usize>(
    simd: S,
    rows: [&Row<'_>; R],
    weight: &[f32],
) -> [S::V; R] {
    let inputs = weight.len();
    assert!(inputs >= S::N && rows.iter().all(|row| row.x.len() == inputs));
    let mut sums = [[simd.splat(0.0); R]; U];
    let add = |sums: &mut [S::V; R], i: usize| {
        // SAFETY: N numbers from `i` on lie within a row.
        let weight = unsafe { simd.load_from(weight.as_ptr().add(i)) };
        for (sum, row) in sums.iter_mut().zip(&rows) {
            // SAFETY: as above, rows are as long.
            let x = unsafe { simd.load_from(row.x.as_ptr().add(i)) };
            *sum = simd.mul_add(x, weight, *sum);
        }
    };
    let (vectors, mut first) = (inputs / S::N, 0);
    while first + U <= vectors {
        for (u, sums) in sums.iter_mut().enumerate() {
            add(sums, (first + u) * S::N);
        }
        first += U;
    }
    for (u, sums) in sums.iter_mut().enumerate() {
        if first + u < vectors {
            add(sums, (first + u) * S::N);
        }
    }
    if !inputs.is_multiple_of(S::N) {
        // SAFETY: a row has N numbers, so N end with it.
        let weight = unsafe { simd.load_from(weight.as_ptr().add(inputs - S::N)) };
        for (sum, row) in sums[0].iter_mut().zip(&rows) {
            *sum = simd.mul_add(simd.load(&row.last, 0), weight, *sum);
        }
    }
    let mut all = sums[0];
    for sums in &sums[1..] {
        for (all, &sum) in all.iter_mut().zip(sums) {
            *all = simd.add(*all, sum);
        }
    }
    all
}

/// The activation of some results.
#[inline(always)]
pub(super) fn activate<S: Lanes>(simd: S, activation: Option<Map>, y: &mut [f32]) {
    if let Some(map) = activation {
        let (whole, rest) = y.split_at_mut(y.len() - y.len() % S::N);
        map::in_place(simd, map, whole);
        map::in_place(Scalar, map, rest);
    }
}

/// `dx[i] = Σ dy[o]·w[o][i]` for each row of `dy`.
pub(crate) struct Backward<'a> {
    pub(crate) inputs: usize,
    pub(crate) dy: &'a [f32],
    pub(crate) weight: &'a [f32],
    pub(crate) dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (inputs, outputs) = (self.inputs, self.weight.len() / self.inputs);
        assert_eq!(self.weight.len(), inputs * outputs);
        for (dy, dx) in self.dy.chunks_exact(outputs).zip(self.dx.chunks_exact_mut(inputs)) {
            if inputs < S::N {
                for (i, dx) in dx.iter_mut().enumerate() {
                    *dx = dy.iter().zip(self.weight.chunks_exact(inputs)).map(|(dy, weight)| dy * weight[i]).sum();
                }
                continue;
            }
            let mut done = 0;
            while done < inputs {
                let first = done.min(inputs - S::N);
                let dx = &mut dx[first..];
                done = first
                    + match dx.len() / S::N {
                        SUMS.. => store(simd, columns::<S, SUMS, 1>(simd, self.weight, inputs, [dy], first), dx),
                        4.. => store(simd, columns::<S, 4, 1>(simd, self.weight, inputs, [dy], first), dx),
                        _ => store(simd, columns::<S, 1, 1>(simd, self.weight, inputs, [dy], first), dx),
                    };
            }
        }
    }
}

/// Writes vectors one behind the other. Returns how many numbers these are.
#[inline(always)]
fn store<S: Lanes, const V: usize>(simd: S, [sums]: [[S::V; V]; 1], dx: &mut [f32]) -> usize {
    sums.iter().enumerate().for_each(|(v, &sum)| simd.store(sum, &mut dx[v * S::N..], 0));
    V * S::N
}

/// `V` vectors of inputs from `first` on, for `R` gradients.
#[inline(always)]
pub(super) fn columns<S: Lanes, const V: usize, const R: usize>(
    simd: S,
    weight: &[f32],
    inputs: usize,
    dy: [&[f32]; R],
    first: usize,
) -> [[S::V; V]; R] {
    let outputs = dy[0].len();
    assert!(first + V * S::N <= inputs && weight.len() >= outputs * inputs);
    assert!(dy.iter().all(|dy| dy.len() == outputs));
    let mut sums = [[simd.splat(0.0); V]; R];
    for o in 0..outputs {
        // SAFETY: the asserts: row `o` has N numbers from there on, and each gradient a number for it.
        unsafe {
            let row = weight.as_ptr().add(o * inputs + first);
            let weights: [S::V; V] = std::array::from_fn(|v| simd.load_from(row.add(v * S::N)));
            for (sums, dy) in sums.iter_mut().zip(&dy) {
                let dy = simd.splat(*dy.as_ptr().add(o));
                for (sum, &weight) in sums.iter_mut().zip(&weights) {
                    *sum = simd.mul_add(dy, weight, *sum);
                }
            }
        }
    }
    sums
}
