//! The networks that airbench94 and airbench96 train to 94 and 96 % on CIFAR-10 (Keller Jordan, "94% on CIFAR-10 in 3.29
//! Seconds on a Single GPU", 2024, <https://arxiv.org/abs/2404.00498>, <https://github.com/KellerJordan/cifar10-airbench>).
//!
//! They are small and wide: few layers, most of their arithmetic in 3×3 convolutions of many channels. What is not here: the
//! recipe, which sets the first layer to the eigenvectors of image patches and keeps it, and the weights of batch
//! normalisation at 1, and begins 3×3 convolutions with copies of their input channels.

use crate::prelude::*;

/// Two or three 3×3 convolutions, the first followed by pooling, each by batch normalisation and GELU.
///
/// `ConvGroup::new(24, 64)` makes 64×15×15 of 24×31×31: `(31 - 2)/2 + 1 = 15`, rounded down. In a group of three
/// convolutions, `ConvGroup::residual(24, 64)`, the last GELU is that of the sum of the last two's result and the first's.
#[derive(Clone, Copy, Debug, Module)]
pub struct ConvGroup {
    conv1: Conv2d,
    pool: MaxPool2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    conv3: Option<Conv2d>,
    norm3: Option<BatchNorm2d>,
}

#[block]
impl ConvGroup {
    /// Two convolutions, from `inputs` to `outputs` channels. The running averages of their normalisation forget fast.
    pub const fn new(inputs: usize, outputs: usize) -> Self {
        let norm = Self::norm(outputs).momentum(0.4);
        Self {
            conv1: Self::conv(inputs, outputs),
            pool: MaxPool2d::new(2, 2),
            norm1: norm,
            conv2: Self::conv(outputs, outputs),
            norm2: norm,
            conv3: None,
            norm3: None,
        }
    }

    /// Three convolutions, from `inputs` to `outputs` channels.
    pub const fn residual(inputs: usize, outputs: usize) -> Self {
        let norm = Self::norm(outputs);
        Self {
            norm1: norm,
            norm2: norm,
            conv3: Some(Self::conv(outputs, outputs)),
            norm3: Some(norm),
            ..Self::new(inputs, outputs)
        }
    }

    const fn conv(inputs: usize, outputs: usize) -> Conv2d {
        Conv2d::new(inputs, outputs, 3).padding(1).no_bias()
    }

    /// The published networks' normalisation: next to no eps.
    const fn norm(channels: usize) -> BatchNorm2d {
        BatchNorm2d::new(channels).eps(1e-12)
    }

    /// `inputs×H×W` to `outputs×⌊H/2⌋×⌊W/2⌋`.
    pub fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x));
        let x = self.norm1.forward(x).gelu();
        let mut y = self.norm2.forward(self.conv2.forward(x)).gelu();
        if let (Some(conv3), Some(norm3)) = (&self.conv3, &self.norm3) {
            y = (norm3.forward(conv3.forward(y)) + x).gelu();
        }
        y
    }
}

/// The networks of airbench: [`Airbench94`] and [`Airbench96`], with groups of `DEPTH` convolutions, `FIRST` channels in the
/// first group and `OTHERS` in the other two.
///
/// For 64 and 256, 3×32×32 becomes 24×31×31 by a 2×2 convolution, then group by group 64×15×15, 256×7×7, 256×3×3; pooling
/// leaves 256. Logits are divided by 9, which stands for a smaller learning rate of the last layer. Images of another size
/// than 32×32 do not fit.
#[derive(Clone, Debug, Module)]
pub struct Airbench<const DEPTH: usize, const FIRST: usize, const OTHERS: usize> {
    whiten: Conv2d,
    group1: ConvGroup,
    group2: ConvGroup,
    group3: ConvGroup,
    pool: MaxPool2d,
    fc: Linear,
}

/// airbench94's network: 1,972,792 weights for 3 channels and 10 classes.
pub type Airbench94 = Airbench<2, 64, 256>;
/// The same, half as wide: 0.5 million weights.
pub type Airbench94Half = Airbench<2, 32, 128>;
/// The same, a quarter as wide: 0.13 million weights.
pub type Airbench94Quarter = Airbench<2, 16, 64>;
/// airbench96's network: 12,721,208 weights for 3 channels and 10 classes.
pub type Airbench96 = Airbench<3, 128, 512>;

#[network(input = [3, 32, 32])]
impl<const DEPTH: usize, const FIRST: usize, const OTHERS: usize> Airbench<DEPTH, FIRST, OTHERS> {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        // Twice the values of a patch: each of its directions with both signs, since GELU cuts one off.
        let directions = 2 * channels * 2 * 2;
        Self {
            whiten: Conv2d::new(channels, directions, 2),
            group1: Self::group(directions, FIRST),
            group2: Self::group(FIRST, OTHERS),
            group3: Self::group(OTHERS, OTHERS),
            pool: MaxPool2d::new(3, 3),
            fc: Linear::new(OTHERS, classes).no_bias(),
        }
    }

    const fn group(inputs: usize, outputs: usize) -> ConvGroup {
        match DEPTH {
            2 => ConvGroup::new(inputs, outputs),
            3 => ConvGroup::residual(inputs, outputs),
            _ => panic!("groups have two or three convolutions"),
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

impl<const DEPTH: usize, const FIRST: usize, const OTHERS: usize> Default for Airbench<DEPTH, FIRST, OTHERS> {
    fn default() -> Self {
        Self::new()
    }
}
