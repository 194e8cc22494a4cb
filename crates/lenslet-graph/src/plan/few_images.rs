//! Dense layers of few images, whose weights are most of what a step reads.
//!
//! Tiles of one image each would read a weight once for every image, on whichever thread has the image; and where training
//! changes it, the line that it stands in goes from one core's cache to another's and back in every step. Whole work on all
//! images reads a weight once. It is cut by output rows into parts that the gradient by the weight and the optimizer are cut
//! into as well, so that a row stays with one core. What has too few weights for two parts is one thread's work, as the
//! optimizer's on them is. Small layers stay tile work.
//!
//! Gradients by weights, which nothing of a step waits for, are made at its end, all in one piece of work.

use super::{FEWEST_TO_SHARE, Options};
use crate::Shape;

/// The most images that are worked on at once.
pub const MOST_IMAGES: usize = 8;

/// Weights from which on that pays.
const FEWEST_WEIGHTS: usize = 1 << 13;

/// Inputs that fill some vectors.
const FEWEST_INPUTS: usize = 64;

/// Weights of a part, at least: each part leaves a sum of its own for every gradient by the input.
const PART: usize = FEWEST_TO_SHARE / 2;

/// The most parts, which are as many threads as can be of use.
const MOST_PARTS: usize = 8;

/// Whether a dense layer's work on `x`, or on a gradient, is whole work: one row of each image meets many weights.
pub(super) fn pays(x: Shape, weight: Shape, options: Options) -> bool {
    let row = x.is_batched() && x.rank() == 1 && !weight.is_batched();
    are_few(options)
        && row
        && weight.len() >= FEWEST_WEIGHTS
        && weight.dim(0) >= MOST_PARTS
        && weight.dim(1) >= FEWEST_INPUTS
}

/// Whether images are worked on one by one, and are few.
pub(super) fn are_few(options: Options) -> bool {
    options.lanes == 1 && (2..=MOST_IMAGES).contains(&options.batch)
}

/// Parts that a layer's output rows are cut into: one, or an even number, so that two threads have equal shares.
pub fn parts(weight: Shape) -> usize {
    match weight.len() / PART {
        0 | 1 => 1,
        parts => parts.min(MOST_PARTS) / 2 * 2,
    }
}

/// The output rows of one part.
pub fn part(weight: Shape, part: usize) -> std::ops::Range<usize> {
    let (outputs, parts) = (weight.dim(0), parts(weight));
    part * outputs / parts..(part + 1) * outputs / parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Kernel, Plan, check};
    use crate::record::add_cross_entropy;
    use crate::{Linear, Mode, Module, Network, Var, Visitor, differentiate, record};

    struct Net {
        hidden: Linear,
        wide: Linear,
        out: Linear,
    }

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            visitor.field("hidden", &self.hidden);
            visitor.field("wide", &self.wide);
            visitor.field("out", &self.out);
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            self.out.forward(self.wide.forward(self.hidden.forward(x.flatten()).relu()).relu())
        }
    }

    #[test]
    fn it_is_chosen_for_many_weights_of_few_images() {
        for (about, [inputs, outputs], options, expected) in [
            ("the lesson's first", [400, 120], Options::new(4, 1), 2),
            ("two images", [400, 120], Options::new(2, 1), 2),
            ("one image, which no other shares a weight with", [400, 120], Options::new(1, 1), 0),
            ("images in the lanes", [400, 120], Options::new(8, 8), 0),
            ("what one thread does", [400, 80], Options::new(4, 1), 2),
            ("few weights", [80, 96], Options::new(4, 1), 0),
            ("few outputs", [8000, 7], Options::new(4, 1), 0),
        ] {
            let (hidden, wide) = (Linear::new(3, inputs), Linear::new(inputs, outputs));
            let network = Net { hidden, wide, out: Linear::infer(10) };
            let mut graph = record(&network, Shape::image(3, 1, 1), Mode::Train).graph;
            add_cross_entropy(&mut graph, 0.0).expect("there are logits");
            differentiate::differentiate(&mut graph).expect("all has a derivative");
            let plan = Plan::new(&graph, options);
            assert_eq!(check::check(&plan), Ok(()), "{about}");
            let is_of_all =
                |kernel: &Kernel| matches!(kernel, Kernel::BatchLinear { .. } | Kernel::BatchLinearInputGrad);
            assert_eq!(plan.steps().filter(|step| is_of_all(&step.kernel)).count(), expected, "{about}");
        }
    }

    /// Gradients by weights come last, together.
    #[test]
    fn gradients_by_weights_are_put_off() {
        let network = Net { hidden: Linear::new(3, 400), wide: Linear::new(400, 120), out: Linear::new(120, 10) };
        let mut graph = record(&network, Shape::image(3, 1, 1), Mode::Train).graph;
        add_cross_entropy(&mut graph, 0.0).expect("there are logits");
        differentiate::differentiate(&mut graph).expect("all has a derivative");
        let stages_of_grads = |options| {
            let plan = Plan::new(&graph, options);
            let is_grad = |step: &&crate::plan::Step| matches!(step.kernel, Kernel::LinearWeightGrad);
            plan.stages.iter().map(|stage| stage.waves.iter().flatten().filter(is_grad).count()).collect::<Vec<_>>()
        };
        let few = stages_of_grads(Options::new(4, 1));
        assert_eq!((few.last(), few.iter().sum::<usize>()), (Some(&3), 3), "{few:?}");
    }

    #[test]
    fn parts_cover_all_rows() {
        for (weight, expected) in
            [([84, 120], 1), ([120, 400], 2), ([84, 400], 2), ([1000, 512], 8), ([9, 1 << 16], 8), ([100, 700], 4)]
        {
            let weight = Shape::whole(&weight).expect("a possible size");
            assert_eq!(parts(weight), expected);
            let rows: Vec<usize> = (0..parts(weight)).flat_map(|i| part(weight, i)).collect();
            assert_eq!(rows, (0..weight.dim(0)).collect::<Vec<_>>());
        }
    }
}
