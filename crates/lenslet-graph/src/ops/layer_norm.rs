//! Layer normalisation of a feature map, over its channels.
//!
//! `y = w·(x − mean) / √(variance + eps) + b`, where mean and (biased) variance are those of one pixel's channels, so that an
//! image does not depend on others, and training and evaluation are the same (Ba, Kiros, Hinton 2016,
//! <https://arxiv.org/abs/1607.06450>). Values and names are PyTorch's `F.layer_norm` over the last axis of H×W×C, which
//! torchvision calls `LayerNorm2d` (<https://pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html>).
//!
//! It is composed of other ops, so it has neither reference, derivative nor kernel of its own. What is not here: statistics
//! over several axes.

use super::batch_norm::each_channel;
use super::reduce::failed;
use crate::record::layer;
use crate::{Init, Shape, ShapeVar, SizeError, Var};

/// Layer normalisation over the channels, `C×H×W` to `C×H×W`: the layer's description.
///
/// `LayerNorm2d::new(96)` has 96 weights and 96 biases; in a map of 96×8×8 each of the 64 pixels has a mean and a variance of
/// its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm2d {
    features: usize,
    eps: f32,
}

impl LayerNorm2d {
    /// Layer normalisation of `features` channels, with weight and bias, and eps 1e-5.
    pub const fn new(features: usize) -> Self {
        Self { features, eps: 1e-5 }
    }

    /// Layer normalisation of as many channels as arrive.
    pub const fn infer() -> Self {
        Self::new(0)
    }

    /// What is added to the variance, so that a pixel whose channels are alike divides by something.
    pub const fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// Channels; 0 stands for "as many as arrive".
    pub const fn features(&self) -> usize {
        self.features
    }

    /// The shape rule: nothing changes.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        each_channel("layer_norm", "LayerNorm2d", self.features, x)
    }

    /// `x` must be `C×H×W`; gives the same sizes.
    ///
    /// Weight begins as 1 and bias as 0, as PyTorch's do.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "layer_norm", true, |scope| {
            if let Err(error) = self.rule(&x.sizes()) {
                return failed(error);
            }
            let row = Shape::whole(&[x.dim(0)]).expect("the channels of a feature map fit");
            let [weight, bias] = [("weight", 1.0), ("bias", 0.0)]
                .map(|(name, value)| scope.parameter(name, row, Init::Constant(value), true));
            normalised(x, weight, bias, self.eps)
        })
    }

    /// The twin of [`LayerNorm2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

/// `C×H×W`, with a weight and a bias for each channel.
#[track_caller]
fn normalised(x: Var, weight: Var, bias: Var, eps: f32) -> Var {
    let channels = [x.dim(0), 1, 1];
    let centred = x - x.mean_keep(0);
    let variance = (centred * centred).mean_keep(0);
    let scale = 1.0 / (variance + eps).sqrt();
    centred * scale * weight.view(channels) + bias.view(channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::check_fixtures;

    #[test]
    fn values_and_gradients_are_pytorchs() {
        check_fixtures("composed.json", &["layer_norm"], &["input", "weight", "bias"], |case, x| {
            normalised(x[0], x[1], x[2], case.number("eps") as f32)
        });
    }

    #[test]
    fn mistakes_are_named() {
        let rule = |x: Shape| LayerNorm2d::new(96).rule(&ShapeVar::new(x));
        assert_eq!(
            rule(Shape::image(64, 8, 8)).unwrap_err().to_string(),
            "layer_norm: the layer takes 96 channels, but 64 arrive (64x8x8)\n  sizes so far:\n    input        64x8x8\n  \
             mend it: LayerNorm2d::new(64)"
        );
        let row = LayerNorm2d::infer().rule(&ShapeVar::new(Shape::batched(&[96]).unwrap()));
        assert!(row.unwrap_err().to_string().contains("expects a C×H×W feature map"));
    }
}
