//! What a forward pass may hold and still be proved.
#![deny(warnings)]

use lenslet::prelude::*;

const WIDTH: usize = 16;

/// A residual block whose shortcut is there or not.
#[derive(Clone, Copy, Module)]
struct Block {
    conv1: Conv2d,
    norm: BatchNorm2d,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

#[block]
impl Block {
    const fn new(inputs: usize, outputs: usize) -> Self {
        let shortcut = if inputs == outputs { None } else { Some(Conv2d::new(inputs, outputs, 1)) };
        Self {
            conv1: Conv2d::new(inputs, outputs, 3).padding(1),
            norm: BatchNorm2d::new(outputs),
            conv2: Conv2d::new(outputs, outputs, 3).same(),
            shortcut,
        }
    }

    fn forward(&self, x: Var) -> Var {
        let y = self.norm.forward(self.conv1.forward(x)).relu();
        let y = self.conv2.forward(y);
        let x = match &self.shortcut {
            Some(conv) => conv.forward(x),
            None => x,
        };
        (x + y).relu()
    }
}

/// Blocks in blocks.
#[derive(Module)]
struct Stage<const N: usize> {
    blocks: [Block; N],
    #[module(name = "0")]
    pool: MaxPool2d,
    #[module(skip)]
    _note: std::cell::Cell<u8>,
}

#[block]
impl<const N: usize> Stage<N> {
    const fn new(channels: usize) -> Self {
        Self { blocks: [Block::new(channels, channels); N], pool: MaxPool2d::new(2, 2), _note: std::cell::Cell::new(0) }
    }

    fn forward(&self, mut x: Var) -> Var {
        for block in &self.blocks {
            x = block.forward(x);
        }
        self.pool.forward(x)
    }

    fn forward_twice(&self, x: Var) -> Var {
        self.forward(self.forward(x))
    }
}

#[derive(Module)]
struct Net {
    stem: Block,
    stages: [Stage<2>; 2],
    one: Stage<1>,
    squeeze: Linear,
    excite: Linear,
    fc: Linear,
    scales: [f32; 2],
    deep: bool,
    name: String,
}

#[network(input = [3, 32, 32])]
impl Net {
    const fn new() -> Self {
        Self {
            stem: Block::new(3, WIDTH),
            stages: [Stage::new(WIDTH), Stage::new(WIDTH)],
            one: Stage::new(WIDTH),
            squeeze: Linear::new(WIDTH, 4),
            excite: Linear::infer(WIDTH),
            fc: Linear::infer(10),
            scales: [0.5, 2.0],
            deep: true,
            name: String::new(),
        }
    }

    /// A helper of the same block.
    fn attend(&self, x: Var) -> Var {
        let weights = self.squeeze.forward(x.mean([1, 2])).relu();
        let weights = self.excite.forward(weights).sigmoid();
        x * weights.view([x.dim(0), 1, 1])
    }

    /// A helper that needs no `self`.
    fn centred(x: Var) -> Var {
        x - x.mean_keep(-1)
    }

    const fn side(&self) -> usize {
        2
    }

    fn forward(&self, x: Var) -> Var {
        println!("{} {:?}", self.name, x.shape());
        let mut x = self.stem.forward(x * 2.0 - 1.0).watch("stem");
        for (i, stage) in self.stages.iter().enumerate() {
            if i > 3 {
                continue;
            }
            x = stage.forward(x);
            x = x.watch(&format!("stage{i}"));
        }
        for (stage, scale) in [&self.one].into_iter().zip(self.scales) {
            let _ = (stage, scale);
        }
        for i in (0..2).rev() {
            x = x * self.scales[i];
        }
        for &scale in self.scales.iter().skip(1) {
            x *= scale;
        }
        'deep: for depth in 1..=2 {
            for _ in 0..depth {
                if !self.deep || depth == 2 {
                    break 'deep;
                }
                x += self.attend(x);
            }
        }
        let Some(conv) = &self.stem.shortcut else { return x };
        let _ = conv;
        let x = Self::centred(-x);
        let halves = Var::concat(&[x, x], 0);
        let k = 3;
        let x = if halves.dim(0) == k * 10 + 2 { self.one.forward_twice(x) } else { x };
        assert_eq!(x.dim(0), WIDTH, "as many as {WIDTH}");
        let side = self.side();
        self.fc.forward(x.view(16 * side * side))
    }
}

#[derive(Module)]
struct Sized<const N: usize>(Linear);

#[network(input = [1, 4, 4], new = Sized::<10>::with(10))]
impl<const N: usize> Sized<N> {
    const fn with(classes: usize) -> Self {
        Self(Linear::new(16, classes))
    }

    fn forward(&self, x: Var) -> Var {
        self.0.forward(x.flatten())
    }
}

fn main() {
    for network in [&Net::new() as &dyn Network, &Sized::<10>::with(10)] {
        let [channels, height, width] = network.input().expect("it was proved");
        let recording = lenslet::record(network, lenslet::Shape::image(channels, height, width), lenslet::Mode::Train);
        let output = recording.output.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(recording.graph.node(output).shape().dims(), [10]);
    }
}
