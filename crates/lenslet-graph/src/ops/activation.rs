//! The activations of networks, as methods: `conv.forward(x).relu()`.
//!
//! The functions, their slopes and the conventions at their kinks stand in [`map`](super::map); values and names are
//! PyTorch's (<https://pytorch.org/docs/stable/nn.functional.html#non-linear-activation-functions>). Sizes stay as they
//! are. Softmax, which looks at several values at once, has a page of its own.

use super::map::Map;
use crate::{ShapeVar, Var};

impl Var {
    /// `max(x, 0)`, PyTorch's `F.relu`.
    #[track_caller]
    pub fn relu(self) -> Var {
        self.map(Map::Relu)
    }

    /// `min(max(x, 0), 6)`, PyTorch's `F.relu6`. At 0 and at 6 themselves the slope is 1, where PyTorch's is 0.
    #[track_caller]
    pub fn relu6(self) -> Var {
        self.clamp(0.0, 6.0)
    }

    /// `x` where positive, else `slope·x`, PyTorch's `F.leaky_relu`; 0.01 is usual.
    #[track_caller]
    pub fn leaky_relu(self, slope: f32) -> Var {
        self.map(Map::LeakyRelu { slope })
    }

    /// `x·Φ(x)` with the normal distribution's Φ, PyTorch's `F.gelu` (<https://arxiv.org/abs/1606.08415>).
    #[track_caller]
    pub fn gelu(self) -> Var {
        self.map(Map::Gelu)
    }

    /// `x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³)))`, PyTorch's `F.gelu(x, approximate='tanh')`.
    #[track_caller]
    pub fn gelu_tanh(self) -> Var {
        self.map(Map::GeluTanh)
    }

    /// `x·σ(x)`, PyTorch's `F.silu`, also called Swish.
    #[track_caller]
    pub fn silu(self) -> Var {
        self.map(Map::Silu)
    }

    /// `σ(x) = 1 / (1 + e⁻ˣ)`, PyTorch's `F.sigmoid`.
    #[track_caller]
    pub fn sigmoid(self) -> Var {
        self.map(Map::Sigmoid)
    }

    /// Hyperbolic tangent, PyTorch's `F.tanh`.
    #[track_caller]
    pub fn tanh(self) -> Var {
        self.map(Map::Tanh)
    }
}

impl ShapeVar {
    /// The twin of [`Var::relu`].
    pub const fn relu(self) -> Self {
        self
    }

    /// The twin of [`Var::relu6`].
    pub const fn relu6(self) -> Self {
        self
    }

    /// The twin of [`Var::leaky_relu`].
    pub const fn leaky_relu(self, _slope: f32) -> Self {
        self
    }

    /// The twin of [`Var::gelu`].
    pub const fn gelu(self) -> Self {
        self
    }

    /// The twin of [`Var::gelu_tanh`].
    pub const fn gelu_tanh(self) -> Self {
        self
    }

    /// The twin of [`Var::silu`].
    pub const fn silu(self) -> Self {
        self
    }

    /// The twin of [`Var::sigmoid`].
    pub const fn sigmoid(self) -> Self {
        self
    }

    /// The twin of [`Var::tanh`].
    pub const fn tanh(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::Var;
    use crate::interpret::testing::{Fixture, check_fixtures};

    /// Values and gradients from far below 0, over 0 itself, to far above.
    #[test]
    fn values_and_gradients_are_pytorchs() {
        let activation = |case: &Fixture, x: Var| match case.text("op") {
            "relu" => x.relu(),
            "leaky_relu" => x.leaky_relu(case.number("negative_slope") as f32),
            "gelu" if case.text("approximate") == "tanh" => x.gelu_tanh(),
            "gelu" => x.gelu(),
            "silu" => x.silu(),
            "sigmoid" => x.sigmoid(),
            "tanh" => x.tanh(),
            other => panic!("no such activation: {other}"),
        };
        let all = ["relu", "leaky_relu", "gelu", "silu", "sigmoid", "tanh"];
        check_fixtures("activations.json", &all, &["input"], |case, x| activation(case, x[0]));
    }

    /// Away from its two kinks, for at these the conventions differ.
    #[test]
    fn relu6_is_pytorchs() {
        check_fixtures("composed.json", &["relu6"], &["input"], |_, x| x[0].relu6());
    }
}
