//! A block that halves the image, and a shortcut that does not.

use lenslet::prelude::*;

#[derive(Module)]
struct Block {
    conv1: Conv2d,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

#[block]
impl Block {
    const fn new(inputs: usize, outputs: usize) -> Self {
        Self {
            conv1: Conv2d::new(inputs, outputs, 3).stride(2).padding(1),
            conv2: Conv2d::new(outputs, outputs, 3).padding(1),
            shortcut: None,
        }
    }

    fn forward(&self, x: Var) -> Var {
        let y = self.conv2.forward(self.conv1.forward(x).relu());
        let x = match &self.shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        };
        (x + y).relu()
    }
}

#[derive(Module)]
struct Net {
    blocks: [Block; 2],
    fc: Linear,
}

#[network(input = [16, 32, 32])]
impl Net {
    const fn new() -> Self {
        Self { blocks: [Block::new(16, 32), Block::new(32, 64)], fc: Linear::infer(10) }
    }

    fn forward(&self, x: Var) -> Var {
        let mut x = x;
        for block in &self.blocks {
            x = block.forward(x);
        }
        self.fc.forward(x.flatten())
    }
}

fn main() {}
