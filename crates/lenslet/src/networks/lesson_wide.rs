//! The lesson's network with more channels, and with batch normalisation: what one tries next.

use crate::prelude::*;

/// [`Lesson`](super::Lesson) with 16 and 48 channels in place of 6 and 16, and if `NORM` batch normalisation (Ioffe and Szegedy,
/// 2015) behind each convolution; 176 thousand weights for 10 classes.
///
/// 3×32×32 becomes 16×28×28 by a 5×5 convolution, 16×14×14, 48×10×10, 48×5×5; so the first dense layer takes 48·5·5 = 1200
/// values. Images of another size do not fit.
#[derive(Clone, Debug, Module)]
pub struct LessonWide<const NORM: bool> {
    conv1: Conv2d,
    bn1: Option<BatchNorm2d>,
    pool: MaxPool2d,
    conv2: Conv2d,
    bn2: Option<BatchNorm2d>,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

/// Without batch normalisation.
pub type LessonWidePlain = LessonWide<false>;
/// With it.
pub type LessonWideBn = LessonWide<true>;

#[network(input = [3, 32, 32])]
impl<const NORM: bool> LessonWide<NORM> {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 16, 5),
            bn1: if NORM { Some(BatchNorm2d::new(16)) } else { None },
            pool: MaxPool2d::new(2, 2),
            conv2: Conv2d::new(16, 48, 5),
            bn2: if NORM { Some(BatchNorm2d::new(48)) } else { None },
            fc1: Linear::new(48 * 5 * 5, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = self.conv1.forward(x);
        if let Some(norm) = &self.bn1 {
            x = norm.forward(x);
        }
        x = self.conv2.forward(self.pool.forward(x.relu()));
        if let Some(norm) = &self.bn2 {
            x = norm.forward(x);
        }
        x = self.pool.forward(x.relu()).view(48 * 5 * 5);
        x = self.fc1.forward(x).relu();
        x = self.fc2.forward(x).relu();
        self.fc3.forward(x)
    }
}

impl<const NORM: bool> Default for LessonWide<NORM> {
    fn default() -> Self {
        Self::new()
    }
}
