//! The network whose checkpoints and states are fuzzed: small, with running statistics and a parameter of every kind.
use lenslet::prelude::*;
use lenslet::{Optimizer, Settings, Shape, Trainer};

#[derive(Module)]
pub struct Tiny {
    conv: Conv2d,
    norm: BatchNorm2d,
    fc: Linear,
}

#[network(input = [1, 2, 2])]
impl Tiny {
    pub const fn new() -> Self {
        Self { conv: Conv2d::new(1, 2, 1), norm: BatchNorm2d::new(2), fc: Linear::new(8, 2) }
    }
    fn forward(&self, x: Var) -> Var {
        let x = self.norm.forward(self.conv.forward(x)).relu();
        self.fc.forward(x.flatten())
    }
}

/// The network before its first step.
pub fn trainer() -> Trainer {
    let settings = Settings { optimizer: Optimizer::adam(), ..Settings::default() };
    Trainer::new(&Tiny::new(), Shape::image(1, 2, 2), 2, settings, 1).expect("the network is sound")
}
