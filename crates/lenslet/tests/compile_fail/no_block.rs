//! A part of a proved network whose own `impl` block has no attribute.

use lenslet::prelude::*;

#[derive(Module)]
struct Part(Conv2d);

impl Part {
    fn forward(&self, x: Var) -> Var {
        self.0.forward(x)
    }
}

#[derive(Module)]
struct Net(Part);

#[network(input = [3, 32, 32])]
impl Net {
    const fn new() -> Self {
        Self(Part(Conv2d::new(3, 6, 5)))
    }

    fn forward(&self, x: Var) -> Var {
        self.0.forward(x)
    }
}

fn main() {}
