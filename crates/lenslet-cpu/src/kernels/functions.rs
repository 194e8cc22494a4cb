//! Functions of one vector and their slopes, in their fastest form: what the passes over values are made of.
//!
//! Cheap functions are [`map::apply`]'s. What is made of exponentials is made of vectors of them ([`Lanes::exp`]); the
//! hyperbolic tangent near 0, where that would lose digits, is a polynomial (of Cephes' `tanhf`). GELU's distribution
//! function has the form of Hastings ("Approximations for Digital Computers", 1955; Abramowitz and Stegun, 7.1.26): with
//! `t = 1/(1 + p·z)`, the tail `erfc(z)` is `e^(−z²)` times a polynomial in `t`. Hastings' has five terms and is off by
//! 1.5e-7; the nine here were fitted anew (Chebyshev nodes in `t` from 0.05 to 1, p = 0.38) and leave what rounding does:
//! 2e-7 is tested. A tail keeps its digits, too, and the slope has its exponential from the same place. Only the logarithm
//! goes lane by lane.

use lenslet_graph::ops::map::Map;

use super::map;
use crate::simd::Lanes;

/// The function.
#[inline(always)]
pub(super) fn function<S: Lanes>(simd: S, map: Map, x: S::V) -> S::V {
    match map {
        Map::Exp => simd.exp(x),
        Map::Sigmoid => sigmoid(simd, x),
        Map::Silu => simd.mul(x, sigmoid(simd, x)),
        Map::Tanh => tanh(simd, x),
        Map::Gelu => simd.mul(x, normal(simd, x).0),
        Map::GeluTanh => {
            let half = simd.mul(x, simd.splat(0.5));
            simd.mul_add(half, tanh(simd, gelu_argument(simd, x)), half)
        }
        map => map::apply(simd, map, x),
    }
}

/// The gradient `dy` times the function's slope, which goes by `saved`: `y`, or `x`, as [`Map::saves_output`] says.
#[inline(always)]
pub(super) fn backward<S: Lanes>(simd: S, map: Map, saved: S::V, dy: S::V) -> S::V {
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
        Map::Gelu => {
            // Φ(x) + x·φ(x), where φ is e^(−x²/2)/√(2π).
            const SCALE: f32 = 0.398_942_3;
            let (below, bell) = normal(simd, saved);
            simd.mul(dy, simd.mul_add(simd.mul(saved, simd.splat(SCALE)), bell, below))
        }
        Map::GeluTanh => simd.mul(dy, gelu_tanh_slope(simd, saved)),
        map => simd.mul(dy, simd.each(saved, |_, saved| map.slope(saved))),
    }
}

/// The same, given `x` in any case: for passes that have not kept the output.
#[inline(always)]
pub(super) fn backward_from_input<S: Lanes>(simd: S, map: Map, x: S::V, dy: S::V) -> S::V {
    let saved = if map.saves_output() { function(simd, map, x) } else { x };
    backward(simd, map, saved, dy)
}

#[inline(always)]
fn sigmoid<S: Lanes>(simd: S, x: S::V) -> S::V {
    let (one, minus) = (simd.splat(1.0), simd.splat(-1.0));
    simd.div(one, simd.add(one, simd.exp(simd.mul(x, minus))))
}

/// The normal distribution's Φ(x), and `e^(−x²/2)`.
#[inline(always)]
fn normal<S: Lanes>(simd: S, x: S::V) -> (S::V, S::V) {
    // p/√2, as the error function's argument is x/√2.
    const P: f32 = 0.268_700_58;
    const POLYNOMIAL: [f32; 9] = [
        0.054_182_27,
        -0.239_631_27,
        0.318_785_16,
        -0.112_502_43,
        0.198_521_48,
        0.150_841_25,
        0.201_164_3,
        0.214_243_56,
        0.214_395_69,
    ];
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    let bell = simd.exp(simd.mul(simd.mul(x, x), simd.splat(-0.5)));
    let size = simd.if_less(x, zero, simd.mul(x, simd.splat(-1.0)), x);
    let t = simd.div(one, simd.mul_add(size, simd.splat(P), one));
    let mut sum = zero;
    for c in POLYNOMIAL {
        sum = simd.mul_add(sum, t, simd.splat(c));
    }
    // Half of the polynomial's, which are erfc's, and both tails are equal.
    let tail = simd.mul(simd.mul(simd.mul(sum, t), bell), simd.splat(0.5));
    (simd.if_less(x, zero, tail, simd.sub(one, tail)), bell)
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
    use super::*;
    use crate::kernels::testing::Machine;
    use crate::simd::Kernel;

    /// The function of each number, or its slope.
    struct All<'a> {
        map: Map,
        slope: bool,
        values: &'a mut [f32],
    }

    impl Kernel for All<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            for values in self.values.chunks_exact_mut(S::N) {
                let x = simd.load(values, 0);
                let y = match self.slope {
                    true => backward_from_input(simd, self.map, x, simd.splat(1.0)),
                    false => function(simd, self.map, x),
                };
                simd.store(y, values, 0);
            }
        }
    }

    fn all(machine: Machine, map: Map, slope: bool, x: &[f32]) -> Vec<f32> {
        let mut values = x.to_vec();
        machine.run(All { map, slope, values: &mut values });
        values
    }

    fn evenly(from: f32, to: f32) -> Vec<f32> {
        (0..1 << 18).map(|i| from + i as f32 * ((to - from) / (1 << 18) as f32)).collect()
    }

    #[test]
    fn exponentials_are_off_by_two_units_at_most() {
        for machine in Machine::vectors().chain([Machine::OneLane]) {
            let x = evenly(-86.6, 88.7);
            for (x, y) in x.iter().zip(all(machine, Map::Exp, false, &x)) {
                let exact = f64::from(*x).exp();
                let unit = f64::from(f32::from_bits((exact as f32).to_bits() & 0xff80_0000)) * f64::from(f32::EPSILON);
                let off = (f64::from(y) - exact).abs() / unit;
                assert!(off <= 2.0 || y == exact as f32, "{machine:?}: exp({x}) is {y}, not {exact}: {off} units");
            }
            // Twice, so that they fill every vector.
            let ends = [f32::NEG_INFINITY, -1e30, -87.0, 0.0, -0.0, 88.8, f32::INFINITY, f32::NAN];
            for ends in all(machine, Map::Exp, false, &[ends, ends].concat()).chunks(8) {
                assert_eq!(ends[..7], [0.0, 0.0, 0.0, 1.0, 1.0, f32::INFINITY, f32::INFINITY]);
                assert!(ends[7].is_nan());
            }
        }
    }

    #[test]
    fn activations_made_of_exponentials_are_right_to_the_last_digits() {
        for machine in Machine::vectors().chain([Machine::OneLane]) {
            for map in [Map::Gelu, Map::GeluTanh, Map::Silu, Map::Sigmoid, Map::Tanh] {
                let x = evenly(-15.0, 15.0);
                let values = all(machine, map, false, &x).into_iter().zip(all(machine, map, true, &x));
                for (&x, (y, slope)) in x.iter().zip(values) {
                    let x = f64::from(x);
                    let exact = map.apply(x);
                    let exact_slope = map.slope(if map.saves_output() { exact } else { x });
                    // GELU and SiLU are x times something between 0 and 1, and that is what is approximated.
                    let size = if matches!(map, Map::Sigmoid | Map::Tanh) { 1.0 } else { x.abs().max(1.0) };
                    let off = (f64::from(y) - exact).abs() / size;
                    assert!(off <= 2e-7, "{machine:?}: {map:?} of {x} is {y}, not {exact}");
                    let off = (f64::from(slope) - exact_slope).abs() / size;
                    assert!(off <= 4e-7, "{machine:?}: {map:?}'s slope at {x} is {slope}, not {exact_slope}");
                }
            }
        }
    }

    /// Far out below 0, GELU is a small number that other ways of computing it lose.
    #[test]
    fn gelu_keeps_digits_of_its_tail() {
        for machine in Machine::vectors() {
            let x = evenly(-6.0, -1.0);
            for (&x, y) in x.iter().zip(all(machine, Map::Gelu, false, &x)) {
                let x = f64::from(x);
                let exact = Map::Gelu.apply(x);
                assert!((f64::from(y) / exact - 1.0).abs() < 1e-5, "{machine:?}: {y}, not {exact}, at {x}");
            }
        }
    }
}
