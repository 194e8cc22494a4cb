//! MobileNetV2: a small network for small machines (Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
//! 2018, <https://arxiv.org/abs/1801.04381>), for ImageNet's images and for small ones.
//!
//! A block widens its few channels sixfold, convolves each of them by itself, and narrows them again; what goes past it joins
//! where channels are few. Names of layers are torchvision's, so that its weights fit: `features.2.conv.0.0.weight`.

use super::{CIFAR, IMAGENET, classes, sequence};
use crate::prelude::*;

/// A convolution (`0`), batch normalisation (`1`) and ReLU6: torchvision's `Conv2dNormActivation`.
#[derive(Clone, Copy, Debug, Module)]
struct ConvNorm(Conv2d, BatchNorm2d);

#[block]
impl ConvNorm {
    const fn new(conv: Conv2d) -> Self {
        Self(conv.no_bias(), BatchNorm2d::new(conv.out_channels()))
    }

    fn forward(&self, x: Var) -> Var {
        self.1.forward(self.0.forward(x)).relu6()
    }
}

/// A block's layers in a row: widening (unless it is by 1), a 3×3 convolution of each channel, narrowing.
#[derive(Clone, Copy, Debug)]
struct Layers {
    expand: Option<ConvNorm>,
    depthwise: ConvNorm,
    project: Conv2d,
    norm: BatchNorm2d,
}

impl Module for Layers {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        let parts: [&dyn Module; 3] = [&self.depthwise, &self.project, &self.norm];
        sequence::visit(visitor, self.expand.iter().map(|expand| expand as &dyn Module).chain(parts));
    }
}

/// A block of MobileNetV2: few channels in, `expansion` times as many within, few out.
///
/// `InvertedResidual::new(24, 32, 2, 6)` makes 144×32×32 of 24×32×32, 144×16×16 by the 3×3 convolution, and 32×16×16. With
/// stride 1 and as many channels out as in, the input is added.
#[derive(Clone, Copy, Debug, Module)]
pub struct InvertedResidual {
    conv: Layers,
    residual: bool,
}

#[block]
impl InvertedResidual {
    /// From `inputs` to `outputs` channels; the 3×3 convolution has the stride.
    pub const fn new(inputs: usize, outputs: usize, stride: usize, expansion: usize) -> Self {
        let width = inputs * expansion;
        let conv = Layers {
            expand: if expansion == 1 { None } else { Some(ConvNorm::new(Conv2d::new(inputs, width, 1))) },
            depthwise: ConvNorm::new(Conv2d::new(width, width, 3).stride(stride).padding(1).groups(width)),
            project: Conv2d::new(width, outputs, 1).no_bias(),
            norm: BatchNorm2d::new(outputs),
        };
        Self { conv, residual: stride == 1 && inputs == outputs }
    }

    /// `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub fn forward(&self, x: Var) -> Var {
        let y = match &self.conv.expand {
            Some(expand) => expand.forward(x),
            None => x,
        };
        let y = self.conv.depthwise.forward(y);
        let y = self.conv.norm.forward(self.conv.project.forward(y));
        if self.residual { x + y } else { y }
    }
}

/// The blocks: widening, channels, how many blocks, stride of the first (the paper's table 2).
const PLAN: [[usize; 4]; 7] =
    [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]];
/// How many blocks that is.
const BLOCKS: usize = 17;

/// All blocks, in order. Small images are not halved before they have 32 channels.
const fn blocks(side: usize) -> [InvertedResidual; BLOCKS] {
    let mut blocks = [InvertedResidual::new(1, 1, 1, 1); BLOCKS];
    let mut inputs = 32;
    let mut block = 0;
    let mut i = 0;
    while i < PLAN.len() {
        let [expansion, outputs, count, stride] = PLAN[i];
        let stride = if side == CIFAR && outputs == 24 { 1 } else { stride };
        let end = block + count;
        blocks[block] = InvertedResidual::new(inputs, outputs, stride, expansion);
        block += 1;
        while block < end {
            blocks[block] = InvertedResidual::new(outputs, outputs, 1, expansion);
            block += 1;
        }
        inputs = outputs;
        i += 1;
    }
    assert!(block == BLOCKS, "the plan has as many blocks");
    blocks
}

/// The row from the image to the last feature map.
#[derive(Clone, Copy, Debug)]
struct Features {
    first: ConvNorm,
    blocks: [InvertedResidual; BLOCKS],
    last: ConvNorm,
}

impl Module for Features {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        let first: [&dyn Module; 1] = [&self.first];
        let blocks = self.blocks.iter().map(|block| block as &dyn Module);
        let last: [&dyn Module; 1] = [&self.last];
        sequence::visit(visitor, first.into_iter().chain(blocks).chain(last));
    }
}

/// Dropout (`0`) and a dense layer (`1`).
#[derive(Clone, Copy, Debug, Module)]
struct Classifier(Dropout, Linear);

/// MobileNetV2 for images of `SIDE`: [`MobileNetV2`] and [`MobileNetV2ImageNet`].
///
/// 3×224×224 becomes 32×112×112 by the first convolution, then 16×112×112, 24×56×56, 32×28×28, 64×14×14, 96×14×14, 160×7×7,
/// 320×7×7 by the blocks, and 1280×7×7 by the last convolution. In the form for small images neither the first convolution
/// nor the blocks of 24 channels have a stride, as the CIFAR implementations have it
/// (<https://github.com/kuangliu/pytorch-cifar>): 3×32×32 comes to 32×32×32 and in the end to 1280×4×4. The mean over the image
/// leaves 1,280; images of other sizes fit.
#[derive(Clone, Debug, Module)]
pub struct MobileNet<const SIDE: usize> {
    features: Features,
    avgpool: AdaptiveAvgPool2d,
    classifier: Classifier,
}

/// MobileNetV2 for small images: 2,236,682 weights for 3 channels and 10 classes.
pub type MobileNetV2 = MobileNet<CIFAR>;
/// torchvision's `mobilenet_v2`, for 3×224×224: 3,504,872 weights for 3 channels and 1,000 classes.
pub type MobileNetV2ImageNet = MobileNet<IMAGENET>;

#[network(input = [3, SIDE, SIDE])]
impl<const SIDE: usize> MobileNet<SIDE> {
    /// For colour images, and CIFAR-10's 10 or ImageNet's 1,000 classes.
    pub const fn new() -> Self {
        Self::with(3, classes(SIDE))
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        let stride = if SIDE == CIFAR { 1 } else { 2 };
        Self {
            features: Features {
                first: ConvNorm::new(Conv2d::new(channels, 32, 3).stride(stride).padding(1)),
                blocks: blocks(SIDE),
                last: ConvNorm::new(Conv2d::new(320, 1280, 1)),
            },
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            classifier: Classifier(Dropout::new(0.2), Linear::new(1280, classes)),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.features.first.forward(x);
        for block in &self.features.blocks {
            x = block.forward(x);
        }
        let x = self.features.last.forward(x);
        let x = self.avgpool.forward(x).flatten();
        self.classifier.1.forward(self.classifier.0.forward(x))
    }
}

impl<const SIDE: usize> Default for MobileNet<SIDE> {
    fn default() -> Self {
        Self::new()
    }
}
