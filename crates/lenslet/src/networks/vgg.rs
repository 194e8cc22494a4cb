//! VGG: 3×3 convolutions and poolings, one behind the other (Simonyan and Zisserman, 2014,
//! <https://arxiv.org/abs/1409.1556>), for ImageNet's images and, with batch normalisation, for small ones.
//!
//! Layers stand in one row and are named by their places in it, as torchvision has them, so that its weights fit:
//! `features.3.weight`.

use crate::prelude::*;

/// What a plan of channels says where it pools.
const POOL: usize = 0;
/// The channels of VGG-11, the paper's configuration A.
const PLAN_11: [usize; 13] = [64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL];
/// The channels of VGG-16, the paper's configuration D.
const PLAN_16: [usize; 18] =
    [64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL];

/// A place in the row.
#[derive(Clone, Copy, Debug)]
enum Layer {
    Conv(Conv2d),
    Norm(BatchNorm2d),
    Relu,
    Pool(MaxPool2d),
}

impl Module for Layer {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        match self {
            Self::Conv(conv) => conv.visit(visitor),
            Self::Norm(norm) => norm.visit(visitor),
            Self::Pool(pool) => pool.visit(visitor),
            Self::Relu => {}
        }
    }
}

#[block]
impl Layer {
    fn forward(&self, x: Var) -> Var {
        match self {
            Self::Conv(conv) => conv.forward(x),
            Self::Norm(norm) => norm.forward(x),
            Self::Relu => x.relu(),
            Self::Pool(pool) => pool.forward(x),
        }
    }
}

/// How many places the row of a plan has.
const fn places(plan: &[usize], normalised: bool) -> usize {
    let mut places = 0;
    let mut i = 0;
    while i < plan.len() {
        places += if plan[i] == POOL { 1 } else { 2 + normalised as usize };
        i += 1;
    }
    places
}

/// The row of a plan: for each number of channels a convolution, perhaps batch normalisation, and ReLU.
const fn features<const N: usize>(channels: usize, plan: &[usize], normalised: bool) -> [Layer; N] {
    let mut layers = [Layer::Relu; N];
    let mut inputs = channels;
    let mut place = 0;
    let mut i = 0;
    while i < plan.len() {
        let outputs = plan[i];
        if outputs == POOL {
            layers[place] = Layer::Pool(MaxPool2d::new(2, 2));
            place += 1;
        } else {
            layers[place] = Layer::Conv(Conv2d::new(inputs, outputs, 3).padding(1));
            if normalised {
                layers[place + 1] = Layer::Norm(BatchNorm2d::new(outputs));
            }
            place += 2 + normalised as usize;
            inputs = outputs;
        }
        i += 1;
    }
    assert!(place == N, "`places` counts what is made here");
    layers
}

/// The plan of the network that has `N` places.
const fn plan(layers: usize) -> &'static [usize] {
    match layers {
        11 => &PLAN_11,
        16 => &PLAN_16,
        _ => panic!("VGG-11 and VGG-16 are here"),
    }
}

/// VGG for small images: batch normalisation behind each convolution, and one dense layer
/// (<https://github.com/kuangliu/pytorch-cifar>).
///
/// `LAYERS` is 11 or 16, and `N` the places of `features`. Five poolings make 512×1×1 of 3×32×32; of larger images the mean
/// is taken, and images of less than 32×32 do not fit.
#[derive(Clone, Debug, Module)]
pub struct Vgg<const LAYERS: usize, const N: usize> {
    features: [Layer; N],
    avgpool: AdaptiveAvgPool2d,
    classifier: Linear,
}

/// VGG-11 for small images: 9,231,114 weights for 3 channels and 10 classes.
pub type Vgg11 = Vgg<11, { places(&PLAN_11, true) }>;
/// VGG-16 for small images: 14,728,266 weights for 3 channels and 10 classes.
pub type Vgg16 = Vgg<16, { places(&PLAN_16, true) }>;

#[network(input = [3, 32, 32])]
impl<const LAYERS: usize, const N: usize> Vgg<LAYERS, N> {
    /// For colour images and 10 classes.
    pub const fn new() -> Self {
        Self::with(3, 10)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            features: features(channels, plan(LAYERS), true),
            avgpool: AdaptiveAvgPool2d::new(1, 1),
            classifier: Linear::new(512, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = x;
        for layer in &self.features {
            x = layer.forward(x);
        }
        self.classifier.forward(self.avgpool.forward(x).flatten())
    }
}

impl<const LAYERS: usize, const N: usize> Default for Vgg<LAYERS, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Three dense layers with dropout between them, at the places `0`, `3` and `6` of their row.
#[derive(Clone, Copy, Debug, Module)]
struct Classifier {
    #[module(name = "0")]
    fc1: Linear,
    #[module(name = "2")]
    dropout1: Dropout,
    #[module(name = "3")]
    fc2: Linear,
    #[module(name = "5")]
    dropout2: Dropout,
    #[module(name = "6")]
    fc3: Linear,
}

#[block]
impl Classifier {
    const fn new(inputs: usize, classes: usize) -> Self {
        Self {
            fc1: Linear::new(inputs, 4096),
            dropout1: Dropout::new(0.5),
            fc2: Linear::new(4096, 4096),
            dropout2: Dropout::new(0.5),
            fc3: Linear::new(4096, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.dropout1.forward(self.fc1.forward(x).relu());
        let x = self.dropout2.forward(self.fc2.forward(x).relu());
        self.fc3.forward(x)
    }
}

/// torchvision's `vgg11` and `vgg16`, for 3×224×224: no batch normalisation, and three dense layers.
///
/// Five poolings make 512×7×7 of 3×224×224; images of other sizes, from 32×32, are brought to 7×7 by the mean. Most weights
/// are those of the first dense layer, 4,096·512·7·7 = 102,760,448.
#[derive(Clone, Debug, Module)]
pub struct VggImageNet<const LAYERS: usize, const N: usize> {
    features: [Layer; N],
    avgpool: AdaptiveAvgPool2d,
    classifier: Classifier,
}

/// torchvision's `vgg11`: 132,863,336 weights for 3 channels and 1,000 classes.
pub type Vgg11ImageNet = VggImageNet<11, { places(&PLAN_11, false) }>;
/// torchvision's `vgg16`: 138,357,544 weights for 3 channels and 1,000 classes.
pub type Vgg16ImageNet = VggImageNet<16, { places(&PLAN_16, false) }>;

#[network(input = [3, 224, 224])]
impl<const LAYERS: usize, const N: usize> VggImageNet<LAYERS, N> {
    /// For colour images and 1,000 classes.
    pub const fn new() -> Self {
        Self::with(3, 1000)
    }

    /// For images of `channels` channels, and `classes` classes.
    pub const fn with(channels: usize, classes: usize) -> Self {
        Self {
            features: features(channels, plan(LAYERS), false),
            avgpool: AdaptiveAvgPool2d::new(7, 7),
            classifier: Classifier::new(512 * 7 * 7, classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = x;
        for layer in &self.features {
            x = layer.forward(x);
        }
        self.classifier.forward(self.avgpool.forward(x).flatten())
    }
}

impl<const LAYERS: usize, const N: usize> Default for VggImageNet<LAYERS, N> {
    fn default() -> Self {
        Self::new()
    }
}
