//! The lesson's network, from its definition to a trained classifier: `cargo run --release --example lesson`.
//!
//! Try `16 * 6 * 6` in the place of `16 * 5 * 5`: it does not compile, and the compiler says why.

use std::ops::ControlFlow;

use lenslet::prelude::*;
use lenslet::{Error, Normalization, Settings, Shape, Trainer, data};

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
            fc1: Linear::new(16 * 5 * 5, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, 10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x).relu());
        let x = self.pool.forward(self.conv2.forward(x).relu().watch("conv2"));
        let x = x.view(16 * 5 * 5);
        let x = self.fc1.forward(x).relu();
        let x = self.fc2.forward(x).relu();
        self.fc3.forward(x)
    }
}

fn main() -> Result<(), Error> {
    let data = data::load("shapes")?;
    let normalization = Normalization::half(3);
    let settings = Settings { epochs: 6, ..Settings::default() };
    let epochs = settings.epochs;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut trainer = Trainer::new(&Cnn::new(), Shape::image(3, 32, 32), data.classes.len(), settings, threads)?;
    for epoch in 1..=epochs {
        let done = trainer.epoch(epoch, &data.train, &normalization, |_| ControlFlow::Continue(()))?;
        let test = trainer.evaluate(&data.test, &normalization);
        println!("epoch {epoch}: loss {:.3}, test accuracy {:.1} %", done.loss, test.accuracy() * 100.0);
        for value in done.watched {
            println!("    {}: {}, mean {:.3}, {:.0} % zeros", value.name, value.shape, value.mean, value.zeros * 100.0);
        }
    }
    Ok(())
}
