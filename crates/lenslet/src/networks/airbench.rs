//! The network that airbench94 trains to 94 % on CIFAR-10 (Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single
//! GPU", 2024, <https://arxiv.org/abs/2404.00498>, <https://github.com/KellerJordan/cifar10-airbench>).
//!
//! It is small and wide: few layers, most of their arithmetic in 3×3 convolutions of 64 and 256 channels. What is not
//! here: the recipe, which sets the first layer to the eigenvectors of image patches and keeps it, and the weights of
//! batch normalisation at 1.

use crate::prelude::*;

/// Two 3×3 convolutions, the first followed by pooling, each by batch normalisation and GELU.
///
/// `ConvGroup::new(24, 64)` makes 64×15×15 of 24×31×31: `(31 - 2)/2 + 1 = 15`, rounded down.
#[derive(Clone, Copy, Debug, Module)]
pub struct ConvGroup {
    conv1: Conv2d,
    pool: MaxPool2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
}

#[block]
impl ConvGroup {
    /// From `inputs` to `outputs` channels.
    pub const fn new(inputs: usize, outputs: usize) -> Self {
        // The published network's batch normalisation: a running average that forgets fast, and next to no eps.
        let norm = BatchNorm2d::new(outputs).eps(1e-12).momentum(0.4);
        Self {
            conv1: Conv2d::new(inputs, outputs, 3).padding(1).no_bias(),
            pool: MaxPool2d::new(2, 2),
            norm1: norm,
            conv2: Conv2d::new(outputs, outputs, 3).padding(1).no_bias(),
            norm2: norm,
        }
    }

    /// `inputs×H×W` to `outputs×⌊H/2⌋×⌊W/2⌋`.
    pub fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x));
        let x = self.norm1.forward(x).gelu();
        self.norm2.forward(self.conv2.forward(x)).gelu()
    }
}

/// airbench94's network; 1,972,792 weights for 3 channels and 10 classes.
///
/// 3×32×32 becomes 24×31×31 by a 2×2 convolution, then group by group 64×15×15, 256×7×7, 256×3×3; pooling leaves 256.
/// Logits are divided by 9, which stands for a smaller learning rate of the last layer. Images of another size than 32×32
/// do not fit.
#[derive(Clone, Debug, Module)]
pub struct Airbench94 {
    whiten: Conv2d,
    group1: ConvGroup,
    group2: ConvGroup,
    group3: ConvGroup,
    pool: MaxPool2d,
    fc: Linear,
}

#[network(input = [3, 32, 32])]
impl Airbench94 {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self::with_widths(channels, classes, [64, 256, 256])
    }

    /// The same with other numbers of channels in its three groups.
    pub const fn with_widths(channels: usize, classes: usize, widths: [usize; 3]) -> Self {
        let [first, second, third] = widths;
        Self {
            // Twice the values of a patch: each of its directions with both signs, since GELU cuts one off.
            whiten: Conv2d::new(channels, 2 * channels * 2 * 2, 2),
            group1: ConvGroup::new(2 * channels * 2 * 2, first),
            group2: ConvGroup::new(first, second),
            group3: ConvGroup::new(second, third),
            pool: MaxPool2d::new(3, 3),
            fc: Linear::new(third, classes).no_bias(),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.whiten.forward(x).gelu();
        let x = self.group1.forward(x);
        let x = self.group2.forward(x);
        let x = self.group3.forward(x);
        let x = self.pool.forward(x).flatten();
        self.fc.forward(x) / 9.0
    }
}

impl Default for Airbench94 {
    fn default() -> Self {
        Self::new()
    }
}
