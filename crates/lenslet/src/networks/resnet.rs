//! Residual networks (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", 2015,
//! <https://arxiv.org/abs/1512.03385>), for ImageNet's images and for small ones.
//!
//! Names of layers are torchvision's, so that its weights fit: `layer2.0.downsample.0.weight`. Where a block changes sizes,
//! its shortcut is a 1×1 convolution with batch normalisation, the paper's option B; the stride of a bottleneck stands in its
//! 3×3 convolution, as torchvision has it.

use super::{CIFAR, IMAGENET, classes};
use crate::prelude::*;

/// Blocks of two 3×3 convolutions; the number is how many times wider a block's result is than its 3×3 convolution.
const BASIC: usize = 1;
/// Blocks of a 1×1, a 3×3 and a 1×1 convolution.
const BOTTLENECK: usize = 4;

/// The shortcut of a block that changes sizes: a 1×1 convolution (`0`) and batch normalisation (`1`), without ReLU.
#[derive(Clone, Copy, Debug, Module)]
pub struct Downsample(Conv2d, BatchNorm2d);

#[block]
impl Downsample {
    /// From `inputs` to `outputs` channels, and every `stride`-th pixel: `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub const fn new(inputs: usize, outputs: usize, stride: usize) -> Self {
        Self(Conv2d::new(inputs, outputs, 1).stride(stride).no_bias(), BatchNorm2d::new(outputs))
    }

    /// `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub fn forward(&self, x: Var) -> Var {
        self.1.forward(self.0.forward(x))
    }
}

/// Two or three convolutions and what goes past them: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
///
/// `ResidualBlock::basic(64, 128, 2)` makes 128×16×16 of 64×32×32: `(32 + 2 - 3)/2 + 1 = 16`, rounded down. So does
/// `ResidualBlock::bottleneck(64, 128, 2)`, whose 3×3 convolution has 32 channels.
#[derive(Clone, Copy, Debug, Module)]
pub struct ResidualBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm2d>,
    downsample: Option<Downsample>,
}

#[block]
impl ResidualBlock {
    /// torchvision's `BasicBlock`, from `inputs` to `outputs` channels: two 3×3 convolutions, of which the first has the
    /// stride.
    pub const fn basic(inputs: usize, outputs: usize, stride: usize) -> Self {
        Self {
            conv1: Conv2d::new(inputs, outputs, 3).stride(stride).padding(1).no_bias(),
            bn1: BatchNorm2d::new(outputs),
            conv2: Conv2d::new(outputs, outputs, 3).padding(1).no_bias(),
            bn2: BatchNorm2d::new(outputs),
            conv3: None,
            bn3: None,
            downsample: Self::shortcut(inputs, outputs, stride),
        }
    }

    /// torchvision's `Bottleneck`, from `inputs` to `outputs` channels: a 1×1 convolution to a quarter of `outputs`, a 3×3 one
    /// with the stride, and a 1×1 one to `outputs`.
    pub const fn bottleneck(inputs: usize, outputs: usize, stride: usize) -> Self {
        let width = outputs / BOTTLENECK;
        Self {
            conv1: Conv2d::new(inputs, width, 1).no_bias(),
            bn1: BatchNorm2d::new(width),
            conv2: Conv2d::new(width, width, 3).stride(stride).padding(1).no_bias(),
            bn2: BatchNorm2d::new(width),
            conv3: Some(Conv2d::new(width, outputs, 1).no_bias()),
            bn3: Some(BatchNorm2d::new(outputs)),
            downsample: Self::shortcut(inputs, outputs, stride),
        }
    }

    const fn shortcut(inputs: usize, outputs: usize, stride: usize) -> Option<Downsample> {
        if inputs == outputs && stride == 1 { None } else { Some(Downsample::new(inputs, outputs, stride)) }
    }

    /// `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub fn forward(&self, x: Var) -> Var {
        let y = self.bn1.forward(self.conv1.forward(x)).relu();
        let mut y = self.bn2.forward(self.conv2.forward(y));
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            y = bn3.forward(conv3.forward(y.relu()));
        }
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        (y + shortcut).relu()
    }
}

/// `N` blocks of a kind, of which the first changes the sizes.
const fn stage<const N: usize>(kind: usize, inputs: usize, outputs: usize, stride: usize) -> [ResidualBlock; N] {
    let [first, other] = match kind {
        BASIC => [ResidualBlock::basic(inputs, outputs, stride), ResidualBlock::basic(outputs, outputs, 1)],
        _ => [ResidualBlock::bottleneck(inputs, outputs, stride), ResidualBlock::bottleneck(outputs, outputs, 1)],
    };
    let mut blocks = [other; N];
    blocks[0] = first;
    blocks
}

/// Residual networks of four stages, with `N1` to `N4` blocks of kind `KIND`: [`ResNet18`] and its like.
///
/// For images of `SIDE` 224, 3×224×224 becomes 64×112×112 by a 7×7 convolution with stride 2, and 64×56×56 by pooling. In the
/// form for small images, 3×32×32, a 3×3 convolution that leaves 64×32×32 stands in place of both, as the CIFAR
/// implementations have it (<https://github.com/kuangliu/pytorch-cifar>). Behind that each stage but the first halves the
/// sides, and the mean over the image leaves 512 features, or 2,048 with bottlenecks. Images of other sizes fit.
#[derive(Clone, Debug, Module)]
pub struct ResNet<
    const SIDE: usize,
    const KIND: usize,
    const N1: usize,
    const N2: usize,
    const N3: usize,
    const N4: usize,
> {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    maxpool: Option<MaxPool2d>,
    layer1: [ResidualBlock; N1],
    layer2: [ResidualBlock; N2],
    layer3: [ResidualBlock; N3],
    layer4: [ResidualBlock; N4],
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

/// ResNet-18 for small images: 11,173,962 weights for 3 channels and 10 classes.
///
/// 3×32×32 becomes 64×32×32, then stage by stage 64×32×32, 128×16×16, 256×8×8, 512×4×4; the mean over the image leaves 512.
pub type ResNet18 = ResNet<CIFAR, BASIC, 2, 2, 2, 2>;
/// ResNet-34 for small images: 21,282,122 weights for 3 channels and 10 classes.
pub type ResNet34 = ResNet<CIFAR, BASIC, 3, 4, 6, 3>;
/// ResNet-50 for small images: 23,520,842 weights for 3 channels and 10 classes.
pub type ResNet50 = ResNet<CIFAR, BOTTLENECK, 3, 4, 6, 3>;
/// torchvision's `resnet18`, for 3×224×224: 11,689,512 weights for 3 channels and 1,000 classes.
pub type ResNet18ImageNet = ResNet<IMAGENET, BASIC, 2, 2, 2, 2>;
/// torchvision's `resnet34`, for 3×224×224: 21,797,672 weights for 3 channels and 1,000 classes.
pub type ResNet34ImageNet = ResNet<IMAGENET, BASIC, 3, 4, 6, 3>;
/// torchvision's `resnet50`, for 3×224×224: 25,557,032 weights for 3 channels and 1,000 classes.
pub type ResNet50ImageNet = ResNet<IMAGENET, BOTTLENECK, 3, 4, 6, 3>;

#[network(input = [3, SIDE, SIDE])]
impl<const SIDE: usize, const KIND: usize, const N1: usize, const N2: usize, const N3: usize, const N4: usize>
    ResNet<SIDE, KIND, N1, N2, N3, N4>
{
    /// For colour images, and CIFAR-10's 10 or ImageNet's 1,000 classes.
    pub const fn new() -> Self {
        Self::with(3, classes(SIDE))
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        let (conv1, maxpool) = match SIDE {
            IMAGENET => (Conv2d::new(channels, 64, 7).stride(2).padding(3), Some(MaxPool2d::new(3, 2).padding(1))),
            _ => (Conv2d::new(channels, 64, 3).padding(1), None),
        };
        Self {
            conv1: conv1.no_bias(),
            bn1: BatchNorm2d::new(64),
            maxpool,
            layer1: stage(KIND, 64, 64 * KIND, 1),
            layer2: stage(KIND, 64 * KIND, 128 * KIND, 2),
            layer3: stage(KIND, 128 * KIND, 256 * KIND, 2),
            layer4: stage(KIND, 256 * KIND, 512 * KIND, 2),
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            fc: Linear::new(512 * KIND, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.bn1.forward(self.conv1.forward(x)).relu();
        if let Some(maxpool) = &self.maxpool {
            x = maxpool.forward(x);
        }
        let stages: [&[ResidualBlock]; 4] = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for stage in stages {
            for block in stage {
                x = block.forward(x);
            }
        }
        self.fc.forward(self.avgpool.forward(x).flatten())
    }
}

impl<const SIDE: usize, const KIND: usize, const N1: usize, const N2: usize, const N3: usize, const N4: usize> Default
    for ResNet<SIDE, KIND, N1, N2, N3, N4>
{
    fn default() -> Self {
        Self::new()
    }
}

/// The residual networks of the paper's section 4.2, with 6`N` + 2 layers: three stages of `N` blocks with 16, 32 and 64
/// channels.
///
/// 3×32×32 becomes 16×32×32, then stage by stage 16×32×32, 32×16×16, 64×8×8; the mean over the image leaves 64. The paper's
/// CIFAR networks have shortcuts without weights (option A); this one has projections (option B) where sizes change.
#[derive(Clone, Debug, Module)]
pub struct CifarResNet<const N: usize> {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: [ResidualBlock; N],
    layer2: [ResidualBlock; N],
    layer3: [ResidualBlock; N],
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

/// ResNet-20, the smallest of them: 272,474 weights for 3 channels and 10 classes.
pub type ResNet20 = CifarResNet<3>;
/// ResNet-32: 466,906 weights for 3 channels and 10 classes.
pub type ResNet32 = CifarResNet<5>;
/// ResNet-56: 855,770 weights for 3 channels and 10 classes.
pub type ResNet56 = CifarResNet<9>;

#[network(input = [3, 32, 32])]
impl<const N: usize> CifarResNet<N> {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 16, 3).padding(1).no_bias(),
            bn1: BatchNorm2d::new(16),
            layer1: stage(BASIC, 16, 16, 1),
            layer2: stage(BASIC, 16, 32, 2),
            layer3: stage(BASIC, 32, 64, 2),
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            fc: Linear::new(64, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.bn1.forward(self.conv1.forward(x)).relu();
        for stage in [&self.layer1, &self.layer2, &self.layer3] {
            for block in stage {
                x = block.forward(x);
            }
        }
        self.fc.forward(self.avgpool.forward(x).flatten())
    }
}

impl<const N: usize> Default for CifarResNet<N> {
    fn default() -> Self {
        Self::new()
    }
}
