//! Without `input`, a network may use all of Rust; the sizes are checked when it is recorded.
#![deny(warnings)]

use lenslet::prelude::*;

#[derive(Module)]
struct Net {
    convs: Vec<Conv2d>,
    fc: Linear,
}

#[network]
impl Net {
    fn new(depth: usize) -> Self {
        let convs = (0..depth).map(|i| Conv2d::infer(8 << i, 3)).collect();
        Self { convs, fc: Linear::infer(10) }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x).relu());
        self.fc.forward(x.flatten())
    }
}

fn main() {
    let network = Net::new(3);
    assert_eq!(Network::input(&network), None);
    let recording = lenslet::record(&network, lenslet::Shape::image(1, 28, 28), lenslet::Mode::Eval);
    let names: Vec<_> = recording.graph.parameters.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names[..2], ["convs.0.weight", "convs.0.bias"]);
    assert_eq!(names[6..], ["fc.weight", "fc.bias"]);
}
