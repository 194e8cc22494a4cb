//! Layer scale: each channel of a residual branch times a number that is learned and begins near 0.
//!
//! `y = s·x` with one s per channel, under torchvision's name `layer_scale` and of its sizes `C×1×1` (Touvron et al. 2021,
//! "Going deeper with Image Transformers", section 2.2, <https://arxiv.org/abs/2103.17239>). With small s a block begins as
//! next to nothing, so that a deep network begins as a shallow one. It is composed of other ops.

use super::batch_norm::each_channel;
use super::reduce::failed;
use crate::record::layer;
use crate::{Init, Shape, ShapeVar, SizeError, Var};

/// Each channel times a number, `C×H×W` to `C×H×W`: the layer's description.
///
/// `LayerScale::new(96)` has 96 weights, all 1e-6 at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerScale {
    features: usize,
    init: f32,
}

impl LayerScale {
    /// A scale for each of `features` channels that begins as 1e-6; 0 stands for "as many as arrive".
    pub const fn new(features: usize) -> Self {
        Self { features, init: 1e-6 }
    }

    /// What the scales begin as.
    pub const fn init(mut self, init: f32) -> Self {
        self.init = init;
        self
    }

    /// The shape rule: nothing changes.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        each_channel("layer_scale", "LayerScale", self.features, x)
    }

    /// `x` must be `C×H×W`; gives the same sizes.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "layer_scale", true, |scope| match self.rule(&x.sizes()) {
            Ok(_) => {
                let shape = Shape::whole(&[x.dim(0), 1, 1]).expect("the channels of a feature map fit");
                x * scope.parameter("layer_scale", shape, Init::Constant(self.init), true)
            }
            Err(error) => failed(error),
        })
    }

    /// The twin of [`LayerScale::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{Bench, batched};

    #[test]
    fn each_channel_has_its_scale() {
        let x = batched(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let mut bench = Bench::new(&LayerScale::new(2), &[x], None, |layer, x| layer.forward(x[0]));
        let scale = bench.parameters.iter_mut().find(|p| p.shape().dims() == [2, 1, 1] && !p.shape().is_batched());
        scale.expect("the layer's parameter").data_mut().copy_from_slice(&[10.0, 100.0]);
        assert_eq!(bench.value().data(), [10.0, 20.0, 300.0, 400.0, 50.0, 60.0, 700.0, 800.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let rule = LayerScale::new(96).rule(&ShapeVar::image([64, 8, 8]));
        let words = rule.unwrap_err().to_string();
        assert!(words.contains("takes 96 channels, but 64 arrive") && words.contains("LayerScale::new(64)"), "{words}");
    }
}
