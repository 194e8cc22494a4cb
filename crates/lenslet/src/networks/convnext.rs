//! ConvNeXt: a convolutional network with the habits of a transformer (Liu et al., "A ConvNet for the 2020s", 2022,
//! <https://arxiv.org/abs/2201.03545>).
//!
//! Names of layers are torchvision's, so that its weights fit: `features.1.0.block.3.weight`. Weights begin as PyTorch's layers
//! do by themselves, where the paper draws them from a normal distribution with spread 0.02.

use super::{IMAGENET, sequence};
use crate::prelude::*;

/// The layers of a block, a row in which GELU has the place `4` and changes of the axes' order `1` and `6`.
#[derive(Clone, Copy, Debug, Module)]
struct Layers {
    #[module(name = "0")]
    depthwise: Conv2d,
    #[module(name = "2")]
    norm: LayerNorm2d,
    #[module(name = "3")]
    expand: Linear,
    #[module(name = "5")]
    project: Linear,
}

/// A block of ConvNeXt: a 7×7 convolution of each channel by itself, then four times as many channels and back.
///
/// `CnBlock::new(96, 0.0)` makes 96×56×56 of 96×56×56, with 384 channels in between. The branch is scaled by numbers that
/// begin as 1e-6, and in training left out for an image with probability `p`.
#[derive(Clone, Copy, Debug)]
pub struct CnBlock {
    block: Layers,
    scale: LayerScale,
    stochastic_depth: StochasticDepth,
}

impl Module for CnBlock {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        // Its one parameter, `layer_scale`, is the block's own.
        self.scale.visit(visitor);
        visitor.field("block", &self.block);
        visitor.field("stochastic_depth", &self.stochastic_depth);
    }
}

#[block]
impl CnBlock {
    /// For `channels` channels; `p` is the probability of being left out.
    pub const fn new(channels: usize, p: f32) -> Self {
        Self {
            block: Layers {
                depthwise: Conv2d::new(channels, channels, 7).padding(3).groups(channels),
                norm: LayerNorm2d::new(channels).eps(1e-6),
                expand: Linear::new(channels, 4 * channels),
                project: Linear::new(4 * channels, channels),
            },
            scale: LayerScale::new(channels),
            stochastic_depth: StochasticDepth::new(p),
        }
    }

    /// `channels×H×W` to the same.
    pub fn forward(&self, x: Var) -> Var {
        let y = self.block.norm.forward(self.block.depthwise.forward(x));
        // Dense layers take the last axis.
        let y = self.block.expand.forward(y.permute([1, 2, 0])).gelu();
        let y = self.block.project.forward(y).permute([2, 0, 1]);
        x + self.stochastic_depth.forward(self.scale.forward(y))
    }
}

/// What stands before the first stage: a 4×4 convolution with stride 4 (`0`) and layer normalisation (`1`).
#[derive(Clone, Copy, Debug, Module)]
struct Stem(Conv2d, LayerNorm2d);

#[block]
impl Stem {
    fn forward(&self, x: Var) -> Var {
        self.1.forward(self.0.forward(x))
    }
}

/// What stands before the others: layer normalisation (`0`) and a 2×2 convolution with stride 2 (`1`).
#[derive(Clone, Copy, Debug, Module)]
struct Halving(LayerNorm2d, Conv2d);

#[block]
impl Halving {
    const fn new(inputs: usize, outputs: usize) -> Self {
        Self(LayerNorm2d::new(inputs).eps(1e-6), Conv2d::new(inputs, outputs, 2).stride(2))
    }

    fn forward(&self, x: Var) -> Var {
        self.1.forward(self.0.forward(x))
    }
}

/// The row from the image to the last feature map: stages at the odd places.
#[derive(Clone, Copy, Debug)]
struct Features {
    stem: Stem,
    stage1: [CnBlock; 3],
    halving1: Halving,
    stage2: [CnBlock; 3],
    halving2: Halving,
    stage3: [CnBlock; 9],
    halving3: Halving,
    stage4: [CnBlock; 3],
}

impl Module for Features {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        let parts: [&dyn Module; 8] = [
            &self.stem,
            &self.stage1,
            &self.halving1,
            &self.stage2,
            &self.halving2,
            &self.stage3,
            &self.halving3,
            &self.stage4,
        ];
        sequence::visit(visitor, parts);
    }
}

#[block]
impl Features {
    fn forward(&self, x: Var) -> Var {
        let x = Self::all(&self.stage1, self.stem.forward(x));
        let x = Self::all(&self.stage2, self.halving1.forward(x));
        let x = Self::all(&self.stage3, self.halving2.forward(x));
        Self::all(&self.stage4, self.halving3.forward(x))
    }

    fn all(blocks: &[CnBlock], mut x: Var) -> Var {
        for block in blocks {
            x = block.forward(x);
        }
        x
    }
}

/// Blocks in the whole network.
const BLOCKS: usize = 3 + 3 + 9 + 3;
/// The probability with which the last block is left out; it rises evenly from 0 at the first.
const STOCHASTIC_DEPTH: f32 = 0.1;

/// The blocks of a stage before which `before` blocks stand.
const fn stage<const N: usize>(channels: usize, before: usize) -> [CnBlock; N] {
    let mut blocks = [CnBlock::new(channels, 0.0); N];
    let mut i = 0;
    while i < N {
        blocks[i] = CnBlock::new(channels, STOCHASTIC_DEPTH * (before + i) as f32 / (BLOCKS - 1) as f32);
        i += 1;
    }
    blocks
}

/// Layer normalisation (`0`) and a dense layer (`2`) behind flattening (`1`).
#[derive(Clone, Copy, Debug, Module)]
struct Classifier {
    #[module(name = "0")]
    norm: LayerNorm2d,
    #[module(name = "2")]
    fc: Linear,
}

/// torchvision's `convnext_tiny`: 28,589,128 weights for 3 channels and 1,000 classes.
///
/// 3×224×224 becomes 96×56×56 by the first convolution, then stage by stage 96×56×56, 192×28×28, 384×14×14, 768×7×7; the mean
/// over the image leaves 768. Other sizes from 32×32 fit, of which a rest that is no multiple of 32 is dropped on the way.
#[derive(Clone, Debug, Module)]
pub struct ConvNeXtTiny {
    features: Features,
    avgpool: AdaptiveAvgPool2d,
    classifier: Classifier,
}

#[network(input = [3, IMAGENET, IMAGENET])]
impl ConvNeXtTiny {
    /// For colour images and 1,000 classes.
    pub const fn new() -> Self {
        Self::with(3, 1000)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            features: Features {
                stem: Stem(Conv2d::new(channels, 96, 4).stride(4), LayerNorm2d::new(96).eps(1e-6)),
                stage1: stage(96, 0),
                halving1: Halving::new(96, 192),
                stage2: stage(192, 3),
                halving2: Halving::new(192, 384),
                stage3: stage(384, 6),
                halving3: Halving::new(384, 768),
                stage4: stage(768, 15),
            },
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            classifier: Classifier { norm: LayerNorm2d::new(768).eps(1e-6), fc: Linear::new(768, classes) },
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.features.forward(x);
        let x = self.classifier.norm.forward(self.avgpool.forward(x));
        self.classifier.fc.forward(x.flatten())
    }
}

impl Default for ConvNeXtTiny {
    fn default() -> Self {
        Self::new()
    }
}
