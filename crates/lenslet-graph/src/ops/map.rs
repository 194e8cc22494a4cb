//! Functions of one number, applied to each value by itself.
//!
//! Conventions are PyTorch's: at its kink `relu` has slope 0, `leaky_relu` its negative slope, `abs` slope 0, and `clamp`
//! slope 1 on both borders; a NaN passes through all of them (<https://pytorch.org/docs/stable/nn.functional.html>).
//! What a backward pass must keep is either the input or the output, whichever the slope is simplest in
//! ([`Map::saves_output`]); for a sum, a product with a number, and a change of sign it is neither.
//!
//! Here are the functions themselves and the methods of plain mathematics; the network's activations are methods in
//! [`activation`](super::activation), arithmetic with a number stands in [`binary`](super::binary).

use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{ShapeVar, SizeError, Var};

/// A function of each value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Map {
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope·x`.
    LeakyRelu {
        /// PyTorch's `negative_slope`.
        slope: f32,
    },
    /// `x·Φ(x)` with the distribution function Φ of the normal distribution.
    Gelu,
    /// GELU's approximation by a hyperbolic tangent.
    GeluTanh,
    /// `x·σ(x)`.
    Silu,
    /// `σ(x) = 1 / (1 + e⁻ˣ)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `eˣ`.
    Exp,
    /// Natural logarithm.
    Log,
    /// Square root.
    Sqrt,
    /// `|x|`.
    Abs,
    /// `−x`.
    Neg,
    /// `1/x`.
    Recip,
    /// `min(max(x, min), max)`; where `min` is above `max`, that is `max`.
    Clamp {
        /// The least value.
        min: f32,
        /// The greatest value.
        max: f32,
    },
    /// `x + s`.
    AddScalar(f32),
    /// `x·s`.
    MulScalar(f32),
}

impl Map {
    /// The function.
    pub fn apply<F: Real>(self, x: F) -> F {
        let (zero, one, half) = (F::zero(), F::one(), F::of(0.5));
        match self {
            Map::Relu if x <= zero => zero,
            Map::LeakyRelu { slope } if x <= zero => x * of(slope),
            Map::Relu | Map::LeakyRelu { .. } => x,
            Map::Gelu => x * half * (one + (x * F::of(std::f64::consts::FRAC_1_SQRT_2)).erf()),
            Map::GeluTanh => x * half * (one + gelu_argument(x).tanh()),
            Map::Silu => x / (one + (-x).exp()),
            Map::Sigmoid => one / (one + (-x).exp()),
            Map::Tanh => x.tanh(),
            Map::Exp => x.exp(),
            Map::Log => x.ln(),
            Map::Sqrt => x.sqrt(),
            Map::Abs => x.abs(),
            Map::Neg => -x,
            Map::Recip => one / x,
            Map::Clamp { min, max } => {
                let x = if x < of(min) { of(min) } else { x };
                if x > of(max) { of(max) } else { x }
            }
            Map::AddScalar(s) => x + of(s),
            Map::MulScalar(s) => x * of(s),
        }
    }

    /// Whether [`Map::slope`] is a function of the output; otherwise of the input.
    pub fn saves_output(self) -> bool {
        match self {
            Map::LeakyRelu { slope } => slope > 0.0,
            Map::Relu | Map::Sigmoid | Map::Tanh | Map::Exp | Map::Sqrt | Map::Recip => true,
            Map::Gelu | Map::GeluTanh | Map::Silu | Map::Log | Map::Abs | Map::Clamp { .. } => false,
            Map::Neg | Map::AddScalar(_) | Map::MulScalar(_) => false,
        }
    }

    /// The derivative, given what the backward pass keeps: the output or the input, as [`Map::saves_output`] says.
    pub fn slope<F: Real>(self, saved: F) -> F {
        let (zero, one, half) = (F::zero(), F::one(), F::of(0.5));
        match self {
            Map::Relu if saved <= zero => zero,
            Map::Relu => one,
            Map::LeakyRelu { .. } if saved > zero => one,
            Map::LeakyRelu { slope } => of(slope),
            Map::Gelu => {
                let below = half * (one + (saved * F::of(std::f64::consts::FRAC_1_SQRT_2)).erf());
                let density = (-half * saved * saved).exp() * F::of((0.5 * std::f64::consts::FRAC_1_PI).sqrt());
                below + saved * density
            }
            Map::GeluTanh => {
                let t = gelu_argument(saved).tanh();
                let inner = F::of(GELU_SCALE) * (one + F::of(3.0 * GELU_CUBE) * saved * saved);
                half * (one + t) + half * saved * (one - t * t) * inner
            }
            Map::Silu => {
                let sigmoid = Map::Sigmoid.apply(saved);
                sigmoid * (one + saved * (one - sigmoid))
            }
            Map::Sigmoid => saved * (one - saved),
            Map::Tanh => one - saved * saved,
            Map::Exp => saved,
            Map::Log => one / saved,
            Map::Sqrt => half / saved,
            Map::Abs if saved > zero => one,
            Map::Abs if saved < zero => -one,
            Map::Abs => zero,
            Map::Neg => -one,
            Map::Recip => -saved * saved,
            Map::Clamp { min, max } if saved >= of(min) && saved <= of(max) => one,
            Map::Clamp { .. } => zero,
            Map::AddScalar(_) => one,
            Map::MulScalar(s) => of(s),
        }
    }
}

/// √(2/π), of the tanh approximation of GELU.
const GELU_SCALE: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
/// The weight of the cube in it (Hendrycks and Gimpel, <https://arxiv.org/abs/1606.08415>).
const GELU_CUBE: f64 = 0.044715;

fn gelu_argument<F: Real>(x: F) -> F {
    F::of(GELU_SCALE) * (x + F::of(GELU_CUBE) * x * x * x)
}

fn of<F: Real>(number: f32) -> F {
    F::of(number.into())
}

/// The gradient of a [`Map`]: inputs are what the backward pass keeps, and the gradient by the output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapGrad {
    /// The function.
    pub map: Map,
}

impl Var {
    #[track_caller]
    pub(crate) fn map(self, map: Map) -> Var {
        Var::apply(map, &[self])
    }

    /// `eˣ` of each value.
    #[track_caller]
    pub fn exp(self) -> Var {
        self.map(Map::Exp)
    }

    /// Natural logarithm of each value.
    #[track_caller]
    pub fn log(self) -> Var {
        self.map(Map::Log)
    }

    /// Square root of each value.
    #[track_caller]
    pub fn sqrt(self) -> Var {
        self.map(Map::Sqrt)
    }

    /// `|x|` of each value.
    #[track_caller]
    pub fn abs(self) -> Var {
        self.map(Map::Abs)
    }

    /// Each value, but not below `min` and not above `max`.
    #[track_caller]
    pub fn clamp(self, min: f32, max: f32) -> Var {
        self.map(Map::Clamp { min, max })
    }
}

impl ShapeVar {
    /// The twin of [`Var::exp`].
    pub const fn exp(self) -> Self {
        self
    }

    /// The twin of [`Var::log`].
    pub const fn log(self) -> Self {
        self
    }

    /// The twin of [`Var::sqrt`].
    pub const fn sqrt(self) -> Self {
        self
    }

    /// The twin of [`Var::abs`].
    pub const fn abs(self) -> Self {
        self
    }

    /// The twin of [`Var::clamp`].
    pub const fn clamp(self, _min: f32, _max: f32) -> Self {
        self
    }
}

impl Meaning for Map {
    fn name(&self) -> &'static str {
        match self {
            Map::Relu => "relu",
            Map::LeakyRelu { .. } => "leaky_relu",
            Map::Gelu | Map::GeluTanh => "gelu",
            Map::Silu => "silu",
            Map::Sigmoid => "sigmoid",
            Map::Tanh => "tanh",
            Map::Exp => "exp",
            Map::Log => "log",
            Map::Sqrt => "sqrt",
            Map::Abs => "abs",
            Map::Neg => "neg",
            Map::Recip => "reciprocal",
            Map::Clamp { .. } => "clamp",
            Map::AddScalar(_) => "add",
            Map::MulScalar(_) => "mul",
        }
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| {
            for (y, &x) in y.iter_mut().zip(run.inputs[0].image(image)) {
                *y = self.apply(x);
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let saved = if self.saves_output() { d.output } else { d.inputs[0] };
        vec![Some(match *self {
            Map::AddScalar(_) => d.gradient,
            Map::Neg | Map::MulScalar(_) => d.gradient.map(*self),
            map => Var::apply(MapGrad { map }, &[saved, d.gradient]),
        })]
    }
}

impl Meaning for MapGrad {
    fn name(&self) -> &'static str {
        "map_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [saved, gradient] = run.inputs else { unreachable!("two inputs") };
        run.per_image(|image, dx| {
            let values = saved.image(image).iter().zip(gradient.image(image));
            for (dx, (&saved, &dy)) in dx.iter_mut().zip(values) {
                *dx = dy * self.map.slope(saved);
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch: x = torch.tensor([...], requires_grad=True); f(x).sum().backward(); x.grad
    #[test]
    fn slopes_at_kinks_are_pytorchs() {
        let slope = |map: Map, x: f64| map.slope(if map.saves_output() { map.apply(x) } else { x });
        assert_eq!(slope(Map::Relu, 0.0), 0.0);
        assert_eq!(slope(Map::LeakyRelu { slope: 0.25 }, 0.0), 0.25);
        assert_eq!(slope(Map::Abs, 0.0), 0.0);
        let clamp = Map::Clamp { min: -1.0, max: 2.0 };
        assert_eq!([-1.5, -1.0, 0.0, 2.0, 2.5].map(|x| slope(clamp, x)), [0.0, 1.0, 1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_leaky_relu_that_folds_over_keeps_its_input() {
        assert!(Map::LeakyRelu { slope: 0.01 }.saves_output());
        assert!(!Map::LeakyRelu { slope: -1.0 }.saves_output(), "both 2 and -2 give 2");
    }

    #[test]
    fn nan_passes_through() {
        let maps = [Map::Relu, Map::LeakyRelu { slope: 0.1 }, Map::Gelu, Map::Silu, Map::Abs, Map::Sqrt];
        for map in maps.into_iter().chain([Map::Clamp { min: 0.0, max: 1.0 }]) {
            assert!(map.apply(f64::NAN).is_nan(), "{map:?}");
        }
        // torch: the gradient of relu at NaN is that of a positive value.
        assert_eq!(Map::Relu.slope(f64::NAN), 1.0);
    }

    #[test]
    fn a_clamp_with_crossed_bounds_is_its_upper_bound() {
        let clamp = Map::Clamp { min: 3.0, max: 1.0 };
        assert_eq!([0.0, 2.0, 4.0].map(|x: f64| clamp.apply(x)), [1.0; 3]);
    }

    #[test]
    fn far_out_nothing_overflows() {
        for map in [Map::Gelu, Map::GeluTanh, Map::Silu, Map::Sigmoid, Map::Tanh] {
            for x in [-1e4f32, 1e4] {
                let y = map.apply(x);
                let slope = map.slope(if map.saves_output() { y } else { x });
                assert!(y.is_finite() && slope.is_finite(), "{map:?} at {x}: {y}, slope {slope}");
            }
        }
    }
}
