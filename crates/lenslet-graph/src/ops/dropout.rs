//! Dropout: in training each value becomes 0 with probability p, and the others are divided by 1 − p.
//!
//! `y = x·mask/(1 − p)`, so the expectation stays; in evaluation nothing happens
//! (<https://pytorch.org/docs/stable/generated/torch.nn.Dropout.html>; Srivastava et al. 2014,
//! <https://jmlr.org/papers/v15/srivastava14a.html>). p = 1 gives zeros.
//!
//! Invariant: the mask is a function of seed, layer, step, image and element (`lenslet_rng::dropout_uniform4`), so no
//! thread and no resumed run can change it, and the backward pass makes it again instead of storing it. That is also why
//! the derivative is the same op on the gradient.

use super::{Derivative, Meaning, Run};
use crate::record::{layer, with_recorder};
use crate::tensor::{Real, Tensor};
use crate::var::training;
use crate::{Mistake, ShapeVar, SizeError, Var};

/// Dropout of values of any sizes: the layer's description.
///
/// `Dropout::new(0.5)` makes about 60 zeros of 120 features, and doubles the others, since `1/(1 - 0.5) = 2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
}

impl Dropout {
    /// Dropout with probability `p`, from 0 to 1.
    pub const fn new(p: f32) -> Self {
        Self { p }
    }

    /// The probability of a zero.
    pub const fn probability(&self) -> f32 {
        self.p
    }

    /// The shape rule: nothing changes, and `p` must be a probability.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        if self.p >= 0.0 && self.p <= 1.0 {
            return Ok(*x);
        }
        Err(SizeError { op: "dropout", mistake: Mistake::Probability { p: self.p }, arrived: *x })
    }

    /// Gives the sizes of `x`.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "dropout", false, |_| x.dropout(self.p))
    }

    /// The twin of [`Dropout::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

/// Zeros with probability p, the rest divided by 1 − p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutMask {
    /// The probability of a zero.
    pub p: f32,
    /// Tells the dropouts of a network apart: how many nodes were recorded before this one.
    pub layer: u32,
}

impl Var {
    /// Dropout with probability `p` where the pass is recorded for training, otherwise nothing.
    #[track_caller]
    pub fn dropout(self, p: f32) -> Var {
        if Dropout::new(p).rule(&self.sizes()).is_ok() && (!training() || p == 0.0) {
            return self;
        }
        Var::apply(DropoutMask { p, layer: with_recorder(|r| r.node_count()) }, &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::dropout`].
    #[track_caller]
    pub const fn dropout(self, p: f32) -> Self {
        ShapeVar::proved(Dropout::new(p).rule(&self))
    }
}

impl Meaning for DropoutMask {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Dropout::new(self.p).rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let scale = (F::one() - F::of(self.p.into())).recip();
        run.per_image(|image, y| {
            for (i, (y, &x)) in y.iter_mut().zip(run.inputs[0].image(image)).enumerate() {
                let uniform =
                    lenslet_rng::dropout_uniform4(run.seed, self.layer, run.step, image as u32, i as u32 / 4)[i % 4];
                *y = if uniform >= self.p { x * scale } else { F::zero() };
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![Some(Var::apply(*self, &[d.gradient]))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::extend;
    use crate::{Graph, Message, Mode, Op, Shape};

    fn dropped(mask: DropoutMask, x: &Tensor<f32>, seed: u64, step: u32) -> Tensor<f32> {
        let run = Run { inputs: &[x], shape: x.shape(), batch: x.blocks(), feeds: &[], parameters: &[], seed, step };
        mask.reference(&run)
    }

    fn ops(mode: Mode, p: f32) -> Vec<Op> {
        let mut graph = Graph::default();
        let forward = || Var::input(Shape::image(1, 2, 2)).dropout(p).dropout(p);
        extend(&mut graph, mode, forward).unwrap();
        graph.nodes.into_iter().skip(1).map(|node| node.op).collect()
    }

    #[test]
    fn zeros_come_with_probability_p_and_the_mean_stays() {
        let x = Tensor::new(Shape::image(3, 50, 50), vec![1.0; 4 * 7_500]);
        for p in [0.0, 0.1, 0.5, 0.9] {
            let y = dropped(DropoutMask { p, layer: 1 }, &x, 0, 0);
            let zeros = y.data().iter().filter(|&&y| y == 0.0).count() as f32 / 30_000.0;
            // Five standard deviations of a binomial with n = 30,000.
            assert!((zeros - p).abs() <= 5.0 * (p * (1.0 - p) / 30_000.0).sqrt(), "p {p}: {zeros}");
            assert!(y.data().iter().all(|&y| y == 0.0 || y == 1.0 / (1.0 - p)), "p {p}");
        }
    }

    #[test]
    fn p_of_one_gives_zeros_even_of_infinity() {
        let x = Tensor::new(Shape::image(1, 1, 3), vec![1.0, f32::INFINITY, f32::NAN]);
        assert_eq!(dropped(DropoutMask { p: 1.0, layer: 1 }, &x, 0, 0).data(), [0.0; 3]);
    }

    #[test]
    fn masks_differ_by_seed_step_layer_and_image() {
        let x = Tensor::new(Shape::image(1, 8, 8), vec![1.0; 2 * 64]);
        let mask = DropoutMask { p: 0.5, layer: 1 };
        let base = dropped(mask, &x, 0, 0);
        assert_eq!(base, dropped(mask, &x, 0, 0));
        assert_ne!(base.image(0), base.image(1));
        for other in
            [dropped(mask, &x, 1, 0), dropped(mask, &x, 0, 1), dropped(DropoutMask { p: 0.5, layer: 2 }, &x, 0, 0)]
        {
            assert_ne!(base, other);
        }
        // Element e of image i takes number e % 4 of block e / 4, whatever the backend.
        let keeps = lenslet_rng::dropout_uniform4(0, 1, 0, 1, 13)[2] >= 0.5;
        assert_eq!(base.image(1)[54] != 0.0, keeps);
    }

    #[test]
    fn only_training_drops_and_each_dropout_has_its_own_mask() {
        assert_eq!(ops(Mode::Train, 0.5), [1, 2].map(|layer| DropoutMask { p: 0.5, layer }.into()));
        assert_eq!(ops(Mode::Eval, 0.5), []);
        assert_eq!(ops(Mode::Train, 0.0), []);
    }

    #[test]
    fn something_else_than_a_probability_is_named_in_both_modes() {
        let x = ShapeVar::image([3, 4, 4]);
        assert_eq!(
            Dropout::new(50.0).rule(&x).unwrap_err().to_string(),
            "dropout: p is 50, but a probability is from 0 to 1\n  sizes so far:\n    input        3x4x4\n  \
             mend it: Dropout::new(0.5) zeroes about half of the values"
        );
        let said = |p| Dropout::new(p).rule(&x).unwrap_err().headline(Message::new()).to_string();
        for (p, words) in [
            (-0.25, "p is -0.25,"),
            (1.005, "p is 1.005,"),
            (1.05, "p is 1.05,"),
            (2.2, "p is 2.2,"),
            (f32::NAN, "p is NaN,"),
        ] {
            assert!(said(p).starts_with(words), "{}", said(p));
        }
        for mode in [Mode::Train, Mode::Eval] {
            let mut graph = Graph::default();
            assert!(extend(&mut graph, mode, || Var::input(Shape::image(1, 2, 2)).dropout(1.5)).is_err(), "{mode:?}");
        }
    }
}
