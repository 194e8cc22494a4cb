//! Wide residual networks (Zagoruyko and Komodakis, 2016, <https://arxiv.org/abs/1605.07146>): fewer layers than a
//! [`CifarResNet`](super::CifarResNet), and many times as many channels.
//!
//! Their blocks normalise first and convolve then, so that nothing stands between a block's sum and the next block. The
//! dropout between the convolutions, which the paper leaves out as a rule, is not here. Names of layers are torchvision's
//! where its networks have the layer: `layer2.0.conv1.weight`, `layer2.0.downsample.weight`.

use crate::prelude::*;

/// Two 3×3 convolutions, each behind batch normalisation and ReLU: `x + conv2(relu(bn2(conv1(relu(bn1(x))))))`.
///
/// Where it changes the channels, what goes past is a 1×1 convolution of `relu(bn1(x))`. `WideBlock::new(160, 320, 2)` makes
/// 320×16×16 of 160×32×32: `(32 + 2 - 3)/2 + 1 = 16`, rounded down.
#[derive(Clone, Copy, Debug, Module)]
pub struct WideBlock {
    bn1: BatchNorm2d,
    conv1: Conv2d,
    bn2: BatchNorm2d,
    conv2: Conv2d,
    downsample: Option<Conv2d>,
}

#[block]
impl WideBlock {
    /// From `inputs` to `outputs` channels; the first convolution has the stride.
    pub const fn new(inputs: usize, outputs: usize, stride: usize) -> Self {
        let same = inputs == outputs && stride == 1;
        Self {
            bn1: BatchNorm2d::new(inputs),
            conv1: Conv2d::new(inputs, outputs, 3).stride(stride).padding(1).no_bias(),
            bn2: BatchNorm2d::new(outputs),
            conv2: Conv2d::new(outputs, outputs, 3).padding(1).no_bias(),
            downsample: if same { None } else { Some(Conv2d::new(inputs, outputs, 1).stride(stride).no_bias()) },
        }
    }

    /// `inputs×H×W` to `outputs×⌈H/stride⌉×⌈W/stride⌉`.
    pub fn forward(&self, x: Var) -> Var {
        let y = self.bn1.forward(x).relu();
        let shortcut = match &self.downsample {
            Some(downsample) => downsample.forward(y),
            None => x,
        };
        let y = self.bn2.forward(self.conv1.forward(y)).relu();
        self.conv2.forward(y) + shortcut
    }
}

/// `N` blocks, of which the first changes the sizes.
const fn stage<const N: usize>(inputs: usize, outputs: usize, stride: usize) -> [WideBlock; N] {
    let mut blocks = [WideBlock::new(outputs, outputs, 1); N];
    blocks[0] = WideBlock::new(inputs, outputs, stride);
    blocks
}

/// The wide residual network WRN-n-`WIDTH` with n = 6`N` + 4 layers: three stages of `N` blocks with 16, 32 and 64 times
/// `WIDTH` channels.
///
/// With `WIDTH` 10, 3×32×32 becomes 16×32×32, then stage by stage 160×32×32, 320×16×16, 640×8×8; the mean over the image
/// leaves 640. Images of other sizes fit.
#[derive(Clone, Debug, Module)]
pub struct WideResNet<const N: usize, const WIDTH: usize> {
    conv1: Conv2d,
    layer1: [WideBlock; N],
    layer2: [WideBlock; N],
    layer3: [WideBlock; N],
    bn1: BatchNorm2d,
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

/// WRN-28-10: 36,479,194 weights for 3 channels and 10 classes.
pub type WideResNet28x10 = WideResNet<4, 10>;
/// WRN-16-4: 2,748,890 weights for 3 channels and 10 classes.
pub type WideResNet16x4 = WideResNet<2, 4>;

#[network(input = [3, 32, 32])]
impl<const N: usize, const WIDTH: usize> WideResNet<N, WIDTH> {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 16, 3).padding(1).no_bias(),
            layer1: stage(16, 16 * WIDTH, 1),
            layer2: stage(16 * WIDTH, 32 * WIDTH, 2),
            layer3: stage(32 * WIDTH, 64 * WIDTH, 2),
            bn1: BatchNorm2d::new(64 * WIDTH),
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            fc: Linear::new(64 * WIDTH, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.conv1.forward(x);
        for stage in [&self.layer1, &self.layer2, &self.layer3] {
            for block in stage {
                x = block.forward(x);
            }
        }
        let x = self.bn1.forward(x).relu();
        self.fc.forward(self.avgpool.forward(x).flatten())
    }
}

impl<const N: usize, const WIDTH: usize> Default for WideResNet<N, WIDTH> {
    fn default() -> Self {
        Self::new()
    }
}
