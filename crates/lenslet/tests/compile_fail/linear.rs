//! A dense layer whose width was counted from a larger map.

use lenslet::prelude::*;

#[derive(Module)]
struct Cnn {
    conv1: Conv2d,
    pool: MaxPool2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

#[network(input = [3, 32, 32])]
impl Cnn {
    const fn new() -> Self {
        Self {
            conv1: Conv2d::new(3, 6, 5),
            pool: MaxPool2d::new(2, 2),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(16 * 6 * 6, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, 10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x).relu());
        let x = self.pool.forward(self.conv2.forward(x).relu());
        let x = x.flatten();
        let x = self.fc1.forward(x).relu();
        let x = self.fc2.forward(x).relu();
        self.fc3.forward(x)
    }
}

fn main() {}
