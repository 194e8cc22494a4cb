//! What the compiler cannot run while it compiles.

use lenslet::prelude::*;

#[derive(Module)]
struct Net {
    convs: [Conv2d; 2],
    fc: Option<Linear>,
}

#[network(input = [3, 32, 32])]
impl Net {
    const fn new() -> Self {
        Self { convs: [Conv2d::new(3, 6, 5), Conv2d::new(6, 16, 5)], fc: None }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x).relu());
        for pair in self.convs.windows(2) {
            println!("{pair:?}");
        }
        self.fc.map_or(x, |fc| fc.forward(x))
    }
}

fn main() {}
