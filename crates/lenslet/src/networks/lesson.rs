//! The network that one meets first.

use crate::prelude::*;

/// Two convolutions and three dense layers: the network of PyTorch's tutorial
/// "Training a Classifier" (<https://pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html>), a LeNet-5 (LeCun et
/// al., "Gradient-based learning applied to document recognition", 1998) with ReLU and max pooling.
///
/// For 3×32×32: a 5×5 convolution leaves `(32 - 5)/1 + 1 = 28`, pooling 14, the next convolution 10, pooling 5; so the
/// first dense layer takes 16·5·5 = 400 values. Images of another size do not fit.
#[derive(Clone, Debug, Module)]
pub struct Lesson {
    conv1: Conv2d,
    pool: MaxPool2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

#[network(input = [3, 32, 32])]
impl Lesson {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            conv1: Conv2d::new(channels, 6, 5),
            pool: MaxPool2d::new(2, 2),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(16 * 5 * 5, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x).relu());
        let x = self.pool.forward(self.conv2.forward(x).relu());
        let x = x.view(16 * 5 * 5);
        let x = self.fc1.forward(x).relu();
        let x = self.fc2.forward(x).relu();
        self.fc3.forward(x)
    }
}

impl Default for Lesson {
    fn default() -> Self {
        Self::new()
    }
}
