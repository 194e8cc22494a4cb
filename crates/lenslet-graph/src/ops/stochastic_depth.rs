//! Stochastic depth: in training the branch of a residual block is left out at random, image by image.
//!
//! `y = x·m/(1 − p)` with one m per image that is 0 with probability p, else 1; in evaluation nothing happens. It is
//! torchvision's `StochasticDepth` with `mode="row"` (Huang et al. 2016, <https://arxiv.org/abs/1603.09382>;
//! <https://pytorch.org/vision/stable/generated/torchvision.ops.stochastic_depth.html>). It is dropout of one number per
//! image, which is then multiplied with the whole branch; so it is composed of other ops, and what is drawn is
//! [`dropout`](super::dropout)'s.

use super::batch::BatchExpand;
use super::dropout::Dropout;
use crate::record::layer;
use crate::var::training;
use crate::{MAX_RANK, Shape, ShapeVar, Var};

/// Stochastic depth of a branch of any sizes: the layer's description.
///
/// `StochasticDepth::new(0.1)` gives zeros for about one image in ten, and the other nine times `1/(1 - 0.1) = 1.11`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StochasticDepth {
    dropout: Dropout,
}

impl StochasticDepth {
    /// Leaves an image's branch out with probability `p`, from 0 to 1.
    pub const fn new(p: f32) -> Self {
        Self { dropout: Dropout::new(p) }
    }

    /// Gives the sizes of `x`.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "stochastic_depth", false, |_| {
            let p = self.dropout.probability();
            // Where p is no probability, dropout says so in either mode.
            if self.dropout.rule(&x.sizes()).is_err() {
                return x.dropout(p);
            }
            if !training() || p == 0.0 {
                return x;
            }
            let one = Shape::whole(&[1; MAX_RANK][..x.shape().rank()]).expect("one value fits");
            let one = Var::apply(BatchExpand { mean: false }, &[Var::constant(1.0, one)]);
            x * one.dropout(p)
        })
    }

    /// The twin of [`StochasticDepth::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.dropout.rule(&x))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, mistake, value};
    use crate::record::extend;
    use crate::{Graph, Mode};

    #[test]
    fn an_image_is_kept_or_left_out_as_a_whole() {
        let images = 2000;
        let x = batched(&[2, 1, 2], &vec![1.0; 4 * images]);
        let forward = |x: &[Var]| StochasticDepth::new(0.25).forward(x[0]);
        let y = value(&[x], forward);
        let left_out = y.data().chunks(4).filter(|image| **image == [0.0; 4]).count();
        let kept = y.data().chunks(4).filter(|image| image.iter().all(|y| (y - 4.0 / 3.0).abs() < 1e-6)).count();
        assert_eq!(left_out + kept, images);
        // Five standard deviations of a binomial.
        let share = left_out as f64 / images as f64;
        assert!((share - 0.25).abs() < 5.0 * (0.25 * 0.75 / images as f64).sqrt(), "{share}");
    }

    #[test]
    fn what_is_left_out_has_no_gradient() {
        let x = batched(&[3], &[2.0; 3 * 16]);
        let forward = |x: &[Var]| StochasticDepth::new(0.5).forward(x[0]);
        let (y, by_x) = (value(std::slice::from_ref(&x), forward), gradients(&[x], forward));
        let doubled: Vec<f64> = by_x[0].data().iter().map(|gradient| 2.0 * gradient).collect();
        assert_eq!(y.data(), doubled, "y is linear in x, and x is 2");
        assert!(y.data().contains(&0.0) && y.data().contains(&4.0));
    }

    #[test]
    fn evaluation_and_p_of_zero_leave_all_in() {
        for (mode, p) in [(Mode::Eval, 0.5), (Mode::Train, 0.0)] {
            let mut graph = Graph::default();
            extend(&mut graph, mode, || StochasticDepth::new(p).forward(Var::input(Shape::image(1, 2, 2)))).unwrap();
            assert_eq!(graph.nodes.len(), 1, "{mode:?}");
        }
        let words = mistake(&[Shape::image(1, 2, 2)], |x| StochasticDepth::new(1.5).forward(x[0]));
        assert!(words.contains("p is 1.5"), "{words}");
    }
}
