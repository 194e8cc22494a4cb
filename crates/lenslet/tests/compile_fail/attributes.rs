//! Attributes that stand in the wrong place or say too little.

use lenslet::prelude::*;

#[derive(Module)]
enum Choice {
    One(Conv2d),
}

#[derive(Module)]
struct Batched(Conv2d);

#[network(input = [4, 3, 32, 32])]
impl Batched {
    fn forward(&self, x: Var) -> Var {
        self.0.forward(x)
    }
}

#[derive(Module)]
struct Built(Conv2d);

#[network(input = [3, 32, 32])]
impl Built {
    fn new() -> Self {
        Self(Conv2d::new(3, 6, 5))
    }

    fn forward(&self, x: Var) -> Var {
        self.0.forward(x)
    }
}

#[derive(Module)]
struct Still(Conv2d);

#[block]
impl Still {}

fn main() {}
