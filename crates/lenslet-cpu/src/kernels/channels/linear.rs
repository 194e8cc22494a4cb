//! A dense layer on one image, forward and its gradient by the input. The weight stands as PyTorch has it, a row of inputs
//! for each output; neither direction needs it in another order.
//!
//! Forward, lanes are neighbouring inputs: 8 outputs are summed up side by side, each in a vector, whose lanes are added
//! at the end. Backward, lanes are neighbouring inputs too, and each row of weights, times its output's gradient, is added
//! to up to 8 vectors. So every weight is read once, in order, at the speed of the cache that it lies in. What is left
//! behind the last full vector is reached by a vector that ends there.

use lenslet_graph::ops::map::Map;

use crate::kernels::map;
use crate::simd::{Kernel, Lanes, MAX_LANES, Scalar};

/// Vectors under way at once: a fused multiply-add takes 4 cycles, at 2 a cycle.
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
            let x = Row::new(simd, x);
            let weights = self.weight.chunks(SUMS * self.inputs);
            for (weight, y) in weights.zip(y.chunks_mut(SUMS)) {
                if y.len() == SUMS {
                    x.products::<S, SUMS>(simd, weight, y);
                } else {
                    for (weight, y) in weight.chunks_exact(self.inputs).zip(y.chunks_mut(1)) {
                        x.products::<S, 1>(simd, weight, y);
                    }
                }
            }
            y.iter_mut().zip(self.bias).for_each(|(y, bias)| *y += bias);
        }
        if let Some(map) = self.activation {
            let (whole, rest) = self.y.split_at_mut(self.y.len() - self.y.len() % S::N);
            map::in_place(simd, map, whole);
            map::in_place(Scalar, map, rest);
        }
    }
}

/// A row of inputs.
struct Row<'a> {
    x: &'a [f32],
    /// The last vector of them, 0 where a vector before has them already.
    last: [f32; MAX_LANES],
}

impl<'a> Row<'a> {
    #[inline(always)]
    fn new<S: Lanes>(_: S, x: &'a [f32]) -> Self {
        let (rest, mut last) = (x.len() % S::N, [0.0; MAX_LANES]);
        last[S::N - rest..S::N].copy_from_slice(&x[x.len() - rest..]);
        Self { x, last }
    }

    /// The products with `O` rows of weights.
    #[inline(always)]
    fn products<S: Lanes, const O: usize>(&self, simd: S, weight: &[f32], y: &mut [f32]) {
        let inputs = self.x.len();
        if inputs < S::N {
            for (y, weight) in y.iter_mut().zip(weight.chunks_exact(inputs)) {
                *y = self.x.iter().zip(weight).map(|(x, w)| x * w).sum();
            }
            return;
        }
        let weight = &weight[..O * inputs];
        let mut sums = [simd.splat(0.0); O];
        for i in (0..inputs - inputs % S::N).step_by(S::N) {
            // SAFETY: N numbers from `i` on lie within a row, and there are `O` rows.
            unsafe {
                let x = simd.load_from(self.x.as_ptr().add(i));
                for (o, sum) in sums.iter_mut().enumerate() {
                    *sum = simd.mul_add(x, simd.load_from(weight.as_ptr().add(o * inputs + i)), *sum);
                }
            }
        }
        if !inputs.is_multiple_of(S::N) {
            let x = simd.load(&self.last, 0);
            for (o, sum) in sums.iter_mut().enumerate() {
                // SAFETY: a row has N numbers, so N end with it.
                let weight = unsafe { simd.load_from(weight.as_ptr().add((o + 1) * inputs - S::N)) };
                *sum = simd.mul_add(x, weight, *sum);
            }
        }
        for (y, &sum) in y.iter_mut().zip(&sums) {
            *y = simd.sum(sum);
        }
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
            let mut i = 0;
            while inputs - i >= SUMS * S::N {
                columns::<S, SUMS>(simd, self.weight, dy, dx, i);
                i += SUMS * S::N;
            }
            while inputs - i >= 4 * S::N {
                columns::<S, 4>(simd, self.weight, dy, dx, i);
                i += 4 * S::N;
            }
            while inputs - i >= S::N {
                columns::<S, 1>(simd, self.weight, dy, dx, i);
                i += S::N;
            }
            if i < inputs && inputs >= S::N {
                columns::<S, 1>(simd, self.weight, dy, dx, inputs - S::N);
            } else {
                for (i, dx) in dx.iter_mut().enumerate().skip(i) {
                    *dx = dy.iter().zip(self.weight.chunks_exact(inputs)).map(|(dy, weight)| dy * weight[i]).sum();
                }
            }
        }
    }
}

/// `V` vectors of inputs from `first` on.
#[inline(always)]
fn columns<S: Lanes, const V: usize>(simd: S, weight: &[f32], dy: &[f32], dx: &mut [f32], first: usize) {
    let inputs = dx.len();
    assert!(first + V * S::N <= inputs && weight.len() >= dy.len() * inputs);
    let mut sums = [simd.splat(0.0); V];
    for (o, &dy) in dy.iter().enumerate() {
        let dy = simd.splat(dy);
        for (v, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the assert: row `o` has N numbers from there on.
            let weight = unsafe { simd.load_from(weight.as_ptr().add(o * inputs + first + v * S::N)) };
            *sum = simd.mul_add(dy, weight, *sum);
        }
    }
    for (v, &sum) in sums.iter().enumerate() {
        simd.store(sum, &mut dx[first + v * S::N..], 0);
    }
}
