//! Residual networks for small images (He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", 2015,
//! <https://arxiv.org/abs/1512.03385>).
//!
//! Names of layers are torchvision's, so that its weights fit: `layer2.0.downsample.0.weight`. Where a block changes sizes,
//! its shortcut is a 1×1 convolution with batch normalisation, the paper's option B.

use crate::prelude::*;

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

/// Two 3×3 convolutions and what goes past them: `relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))`.
///
/// `BasicBlock::new(64, 128, 2)` makes 128×16×16 of 64×32×32: `(32 + 2 - 3)/2 + 1 = 16`, rounded down.
#[derive(Clone, Copy, Debug, Module)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Downsample>,
}

#[block]
impl BasicBlock {
    /// From `inputs` to `outputs` channels; the first convolution has the stride.
    pub const fn new(inputs: usize, outputs: usize, stride: usize) -> Self {
        let same = inputs == outputs && stride == 1;
        Self {
            conv1: Conv2d::new(inputs, outputs, 3).stride(stride).padding(1).no_bias(),
            bn1: BatchNorm2d::new(outputs),
            conv2: Conv2d::new(outputs, outputs, 3).padding(1).no_bias(),
            bn2: BatchNorm2d::new(outputs),
            downsample: if same { None } else { Some(Downsample::new(inputs, outputs, stride)) },
        }
    }

    /// `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub fn forward(&self, x: Var) -> Var {
        let y = self.bn1.forward(self.conv1.forward(x)).relu();
        let y = self.bn2.forward(self.conv2.forward(y));
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        };
        (y + shortcut).relu()
    }
}

/// `N` blocks, of which the first changes the sizes.
const fn stage<const N: usize>(inputs: usize, outputs: usize, stride: usize) -> [BasicBlock; N] {
    let mut blocks = [BasicBlock::new(outputs, outputs, 1); N];
    blocks[0] = BasicBlock::new(inputs, outputs, stride);
    blocks
}

/// ResNet-18 in its form for small images: a 3×3 convolution in place of the 7×7 one with stride 2 and the pooling behind
/// it, as the CIFAR implementations have it (<https://github.com/kuangliu/pytorch-cifar>). 11,173,962 weights for 3
/// channels and 10 classes.
///
/// 3×32×32 becomes 64×32×32, then stage by stage 64×32×32, 128×16×16, 256×8×8, 512×4×4; the mean over the image leaves 512.
#[derive(Clone, Debug, Module)]
pub struct ResNet18 {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: [BasicBlock; 2],
    layer2: [BasicBlock; 2],
    layer3: [BasicBlock; 2],
    layer4: [BasicBlock; 2],
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

#[network(input = [3, 32, 32])]
impl ResNet18 {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 64, 3).padding(1).no_bias(),
            bn1: BatchNorm2d::new(64),
            layer1: stage(64, 64, 1),
            layer2: stage(64, 128, 2),
            layer3: stage(128, 256, 2),
            layer4: stage(256, 512, 2),
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            fc: Linear::new(512, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.bn1.forward(self.conv1.forward(x)).relu();
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            for block in stage {
                x = block.forward(x);
            }
        }
        self.fc.forward(self.avgpool.forward(x).flatten())
    }
}

impl Default for ResNet18 {
    fn default() -> Self {
        Self::new()
    }
}

/// ResNet-20, the smallest network of the paper's section 4.2: three stages of three blocks with 16, 32 and 64 channels.
///
/// 3×32×32 becomes 16×32×32, then stage by stage 16×32×32, 32×16×16, 64×8×8; the mean over the image leaves 64. The paper's
/// CIFAR networks have shortcuts without weights (option A); this one has projections (option B) where sizes change.
#[derive(Clone, Debug, Module)]
pub struct ResNet20 {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: [BasicBlock; 3],
    layer2: [BasicBlock; 3],
    layer3: [BasicBlock; 3],
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

#[network(input = [3, 32, 32])]
impl ResNet20 {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 16, 3).padding(1).no_bias(),
            bn1: BatchNorm2d::new(16),
            layer1: stage(16, 16, 1),
            layer2: stage(16, 32, 2),
            layer3: stage(32, 64, 2),
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

impl Default for ResNet20 {
    fn default() -> Self {
        Self::new()
    }
}
