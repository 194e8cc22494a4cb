//! A function of each value, and its gradient: one pass, read and write.
//!
//! Cheap functions have loops of their own. What is made of exponentials is made of vectors of them
//! ([`Lanes::exp`]); the hyperbolic tangent near 0, where that would lose digits, is a polynomial (of Cephes' `tanhf`).
//! Logarithm and error function have no vector form and go lane by lane.

use lenslet_graph::ops::map::Map;

use super::Call;
use crate::simd::{Kernel, Lanes};

/// `y = map(x)`.
pub(crate) struct Forward<'a> {
    pub(crate) map: Map,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.map {
            Map::Relu => self.all(simd, Map::Relu),
            Map::LeakyRelu { slope } => self.all(simd, Map::LeakyRelu { slope }),
            Map::AddScalar(c) => self.all(simd, Map::AddScalar(c)),
            Map::MulScalar(c) => self.all(simd, Map::MulScalar(c)),
            map => self.all(simd, map),
        }
    }
}

impl Forward<'_> {
    /// All values; `map` is the function once more, where it is cheap known to the compiler.
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, map: Map) {
        let x = self.call.inputs[0].data.chunks_exact(S::N);
        for (y, x) in self.call.output.chunks_exact_mut(S::N).zip(x) {
            simd.store(function(simd, map, simd.load(x, 0)), y, 0);
        }
    }
}

/// `dx = dy · map'(x)`: inputs are `x`, or `y` where [`Map::saves_output`] says so, and `dy`.
pub(crate) struct Backward<'a> {
    pub(crate) map: Map,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.map {
            Map::Relu => self.all(simd, Map::Relu),
            Map::LeakyRelu { slope } => self.all(simd, Map::LeakyRelu { slope }),
            map => self.all(simd, map),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, map: Map) {
        let [saved, dy] = [0, 1].map(|i| self.call.inputs[i].data.chunks_exact(S::N));
        for (dx, (saved, dy)) in self.call.output.chunks_exact_mut(S::N).zip(saved.zip(dy)) {
            simd.store(backward(simd, map, simd.load(saved, 0), simd.load(dy, 0)), dx, 0);
        }
    }
}

/// Whether [`apply`] has a short form of the function, fit for a register tile.
pub(crate) fn is_cheap(map: Map) -> bool {
    match map {
        Map::Relu | Map::LeakyRelu { .. } | Map::AddScalar(_) | Map::MulScalar(_) | Map::Clamp { .. } => true,
        Map::Neg | Map::Abs | Map::Sqrt | Map::Recip => true,
        Map::Gelu | Map::GeluTanh | Map::Silu | Map::Sigmoid | Map::Tanh | Map::Exp | Map::Log => false,
    }
}

/// `y = map(y)` in place: for kernels whose results are not in registers any more.
#[inline(always)]
pub(crate) fn in_place<S: Lanes>(simd: S, map: Map, y: &mut [f32]) {
    for y in y.chunks_exact_mut(S::N) {
        simd.store(function(simd, map, simd.load(y, 0)), y, 0);
    }
}

/// The function of a vector that a kernel has in a register. Short code, for it is inlined many times: functions that are
/// not cheap go lane by lane.
#[inline(always)]
pub(crate) fn apply<S: Lanes>(simd: S, map: Map, x: S::V) -> S::V {
    let zero = simd.splat(0.0);
    match map {
        // Written so that a NaN stays one.
        Map::Relu => simd.if_less(x, zero, zero, x),
        Map::LeakyRelu { slope } => simd.if_less(zero, x, x, simd.mul(x, simd.splat(slope))),
        Map::AddScalar(c) => simd.add(x, simd.splat(c)),
        Map::MulScalar(c) => simd.mul(x, simd.splat(c)),
        Map::Neg => simd.mul(x, simd.splat(-1.0)),
        Map::Abs => simd.if_less(x, zero, simd.mul(x, simd.splat(-1.0)), x),
        Map::Sqrt => simd.sqrt(x),
        Map::Recip => simd.div(simd.splat(1.0), x),
        Map::Clamp { min, max } => {
            let (min, max) = (simd.splat(min), simd.splat(max));
            let x = simd.if_less(x, min, min, x);
            simd.if_less(max, x, max, x)
        }
        map => simd.each(x, |_, x| map.apply(x)),
    }
}

/// The function in its fastest form.
#[inline(always)]
fn function<S: Lanes>(simd: S, map: Map, x: S::V) -> S::V {
    match map {
        Map::Exp => simd.exp(x),
        Map::Sigmoid => sigmoid(simd, x),
        Map::Silu => simd.mul(x, sigmoid(simd, x)),
        Map::Tanh => tanh(simd, x),
        Map::GeluTanh => {
            let half = simd.mul(x, simd.splat(0.5));
            simd.mul_add(half, tanh(simd, gelu_argument(simd, x)), half)
        }
        map => apply(simd, map, x),
    }
}

#[inline(always)]
fn backward<S: Lanes>(simd: S, map: Map, saved: S::V, dy: S::V) -> S::V {
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    match map {
        // The output is never negative, and 0 where the slope is.
        Map::Relu => simd.if_equal(saved, zero, zero, dy),
        Map::LeakyRelu { slope } => simd.if_less(zero, saved, dy, simd.mul(dy, simd.splat(slope))),
        Map::AddScalar(_) => dy,
        Map::MulScalar(c) => simd.mul(dy, simd.splat(c)),
        Map::Neg => simd.mul(dy, simd.splat(-1.0)),
        Map::Exp => simd.mul(dy, saved),
        Map::Sigmoid => simd.mul(dy, simd.mul(saved, simd.sub(one, saved))),
        Map::Tanh => simd.mul(dy, simd.sub(one, simd.mul(saved, saved))),
        Map::Silu => {
            // σ·(1 + x·(1 − σ))
            let sigmoid = sigmoid(simd, saved);
            let inner = simd.mul_add(saved, simd.sub(one, sigmoid), one);
            simd.mul(dy, simd.mul(sigmoid, inner))
        }
        Map::GeluTanh => simd.mul(dy, gelu_tanh_slope(simd, saved)),
        map => simd.mul(dy, simd.each(saved, |_, saved| map.slope(saved))),
    }
}

#[inline(always)]
fn sigmoid<S: Lanes>(simd: S, x: S::V) -> S::V {
    let (one, minus) = (simd.splat(1.0), simd.splat(-1.0));
    simd.div(one, simd.add(one, simd.exp(simd.mul(x, minus))))
}

/// `1 − 2/(e²ˣ + 1)`, and near 0 `x + x³·P(x²)`.
#[inline(always)]
fn tanh<S: Lanes>(simd: S, x: S::V) -> S::V {
    const POLYNOMIAL: [f32; 5] = [-5.704_988_7e-3, 2.063_908_8e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1];
    let (one, two) = (simd.splat(1.0), simd.splat(2.0));
    let far = simd.sub(one, simd.div(two, simd.add(simd.exp(simd.mul(x, two)), one)));
    let square = simd.mul(x, x);
    let mut tail = simd.splat(0.0);
    for c in POLYNOMIAL {
        tail = simd.mul_add(tail, square, simd.splat(c));
    }
    let near = simd.mul_add(simd.mul(tail, square), x, x);
    simd.if_less(square, simd.splat(0.625 * 0.625), near, far)
}

/// √(2/π), and the weight of the cube in the approximation.
const GELU_TANH: [f32; 2] = [0.797_884_6, 0.044_715];

/// `√(2/π)·(x + 0.044715·x³)`.
#[inline(always)]
fn gelu_argument<S: Lanes>(simd: S, x: S::V) -> S::V {
    let (scale, cube) = (simd.splat(GELU_TANH[0]), simd.splat(GELU_TANH[1]));
    simd.mul(scale, simd.mul_add(simd.mul(cube, simd.mul(x, x)), x, x))
}

/// With `t` for the tangent of the argument `u`: `(1 + t)/2 + x/2·(1 − t²)·u'`.
#[inline(always)]
fn gelu_tanh_slope<S: Lanes>(simd: S, x: S::V) -> S::V {
    let (half, one) = (simd.splat(0.5), simd.splat(1.0));
    let t = tanh(simd, gelu_argument(simd, x));
    let (scale, cube) = (simd.splat(GELU_TANH[0]), simd.splat(3.0 * GELU_TANH[0] * GELU_TANH[1]));
    let inner = simd.mul_add(cube, simd.mul(x, x), scale);
    let outer = simd.mul(simd.mul(half, x), simd.mul(simd.sub(one, simd.mul(t, t)), inner));
    simd.mul_add(half, t, simd.add(half, outer))
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::map::MapGrad;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Machine, Random, shape};

    const MAPS: [Map; 17] = [
        Map::Relu,
        Map::LeakyRelu { slope: 0.1 },
        Map::LeakyRelu { slope: -0.5 },
        Map::Gelu,
        Map::GeluTanh,
        Map::Silu,
        Map::Sigmoid,
        Map::Tanh,
        Map::Exp,
        Map::Log,
        Map::Sqrt,
        Map::Abs,
        Map::Neg,
        Map::Recip,
        Map::Clamp { min: -0.5, max: 1.0 },
        Map::AddScalar(1.5),
        Map::MulScalar(-0.3),
    ];

    /// Lets the kernel's last step be taken by itself.
    struct InPlace<'a> {
        map: Map,
        call: Call<'a>,
    }

    impl Kernel for InPlace<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            let x = self.call.inputs[0].data;
            for (i, y) in self.call.output.chunks_exact_mut(S::N).enumerate() {
                simd.store(apply(simd, self.map, simd.load(x, i)), y, 0);
            }
            if !is_cheap(self.map) {
                self.call.output.copy_from_slice(x);
                in_place(simd, self.map, self.call.output);
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..7, 0..4),
            map in prop::sample::select(&MAPS[..]),
            scale in prop::sample::select(&[0.1f32, 2.0, 10.0, 80.0][..]),
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let (mut random, shape) = (Random::new(seed), shape(batched, &dims));
            // Where the function is defined, and its slope not so steep that rounding shows.
            let low = match map {
                Map::Log | Map::Sqrt | Map::Recip => 0.01,
                _ => -scale,
            };
            let x = match random.below(4) {
                0 if low < 0.0 => random.choice(shape, batch, &[-1.0, -0.5, 0.0, 0.5, 1.0]),
                _ => random.range(shape, batch, low, scale),
            };
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(Forward { map, call }));
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(InPlace { map, call }));

            let mut saved = x;
            if map.saves_output() {
                saved.data_mut().iter_mut().for_each(|x| *x = f64::from(map.apply(*x) as f32));
            }
            let dy = random.tensor(shape, batch);
            let check = Check::new(MapGrad { map }, [saved, dy]).gradient(1);
            let empty = check.kernel(|machine, call| machine.run(Backward { map, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }

    #[test]
    fn nan_passes_through() {
        let x = Random::new(0).choice(shape(true, &[3]), 16, &[f32::NAN]);
        for map in MAPS {
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(Forward { map, call }));
        }
        // torch: the gradient of relu at NaN is that of a positive value.
        let dy = Random::new(1).tensor(shape(true, &[3]), 16);
        let map = Map::Relu;
        Check::new(MapGrad { map }, [x, dy]).kernel(|machine, call| machine.run(Backward { map, call }));
    }

    struct Exp<'a>(&'a mut [f32]);

    impl Kernel for Exp<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            in_place(simd, Map::Exp, self.0);
        }
    }

    #[test]
    fn exponentials_are_off_by_two_units_at_most() {
        for machine in Machine::vectors().chain([Machine::OneLane]) {
            let x: Vec<f32> = (0..1 << 20).map(|i| -86.6 + i as f32 * (175.3 / (1 << 20) as f32)).collect();
            let mut y = x.clone();
            machine.run(Exp(&mut y));
            for (x, y) in x.into_iter().zip(y) {
                let exact = f64::from(x).exp();
                let unit = f64::from(f32::from_bits((exact as f32).to_bits() & 0xff80_0000)) * f64::from(f32::EPSILON);
                let off = (f64::from(y) - exact).abs() / unit;
                assert!(off <= 2.0 || y == exact as f32, "{machine:?}: exp({x}) is {y}, not {exact}: {off} units");
            }
            // Twice, so that they fill every vector.
            let ends = [f32::NEG_INFINITY, -1e30, -87.0, 0.0, -0.0, 88.8, f32::INFINITY, f32::NAN];
            let mut twice = [ends, ends].concat();
            machine.run(Exp(&mut twice));
            for ends in twice.chunks(8) {
                assert_eq!(ends[..7], [0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY]);
                assert!(ends[7].is_nan());
            }
        }
    }
}
