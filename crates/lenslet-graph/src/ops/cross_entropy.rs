//! Cross-entropy of logits against class numbers, the usual loss of a classifier.
//!
//! For one image with logits `x₀ … x_{K−1}` and label `c` it is `Σₖ tₖ·(−log pₖ)`, where `p` is the softmax of `x` and the
//! target `t` is 1 at `c` and 0 elsewhere; with label smoothing ε it is `1 − ε` at `c` plus `ε/K` everywhere. That is
//! PyTorch's `F.cross_entropy` (<https://pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html>), without
//! class weights and without its `ignore_index`. The op gives one number per image; [`Var::cross_entropy`] takes their
//! mean. Labels come as numbers beside the images; one that is no class makes the loss NaN here, and is refused when the
//! data is read.

use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Mistake, Shape, ShapeVar, SizeError, Var};

/// Cross-entropy of each image. Inputs: K logits, and a label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropy {
    /// What is taken from the label and given to all classes alike, from 0 to 1.
    pub label_smoothing: f32,
}

/// Its gradient by the logits, `gradient·(softmax − target)`. Inputs: logits, label, the gradient of each image's loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CrossEntropyGrad {
    /// As for [`CrossEntropy`].
    pub label_smoothing: f32,
}

impl CrossEntropy {
    /// The shape rule.
    pub const fn rule(&self, logits: &ShapeVar, labels: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let op = "cross_entropy";
        if logits.shape().rank() != 1 {
            let mistake = Mistake::Rank { expected: "one logit per class" };
            return Err(SizeError { op, mistake, arrived: *logits });
        }
        if labels.shape().rank() != 0 {
            let mistake = Mistake::Rank { expected: "one class number per image" };
            return Err(SizeError { op, mistake, arrived: *labels });
        }
        let batched = logits.shape().is_batched() || labels.shape().is_batched();
        Ok(logits.with_shape(Shape::scalar(batched)))
    }
}

impl Var {
    /// The mean cross-entropy of the batch, one number: `self` are K logits per image, `labels` a class number per image.
    ///
    /// `label_smoothing` is PyTorch's, 0 for none.
    #[track_caller]
    pub fn cross_entropy(self, labels: Var, label_smoothing: f32) -> Var {
        self.cross_entropies(labels, label_smoothing).batch_mean()
    }

    /// The cross-entropy of each image.
    #[track_caller]
    pub(super) fn cross_entropies(self, labels: Var, label_smoothing: f32) -> Var {
        Var::apply(CrossEntropy { label_smoothing }, &[self, labels])
    }
}

impl Meaning for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0], &inputs[1])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [logits, labels] = run.inputs else { unreachable!("two inputs") };
        run.per_image(|image, loss| {
            let x = logits.image(image);
            let target = target(labels.image(image)[0], x.len(), self.label_smoothing);
            let (max, sum) = max_and_sum(x);
            // Not the logarithm of the softmax, which may have been rounded to 0.
            loss[0] = x.iter().zip(target).map(|(&x, t)| t * (sum.ln() - (x - max))).sum();
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let op = CrossEntropyGrad { label_smoothing: self.label_smoothing };
        vec![Some(Var::apply(op, &[d.inputs[0], d.inputs[1], d.gradient])), None]
    }
}

impl Meaning for CrossEntropyGrad {
    fn name(&self) -> &'static str {
        "cross_entropy_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let [logits, labels, gradient] = run.inputs else { unreachable!("three inputs") };
        run.per_image(|image, dx| {
            let x = logits.image(image);
            let target = target(labels.image(image)[0], x.len(), self.label_smoothing);
            let (max, sum) = max_and_sum(x);
            for ((dx, &x), t) in dx.iter_mut().zip(x).zip(target) {
                *dx = gradient.image(image)[0] * ((x - max).exp() / sum - t);
            }
        })
    }
}

/// The target distribution over `classes`; NaN where the label is no class.
fn target<F: Real>(label: F, classes: usize, smoothing: f32) -> Vec<F> {
    let smoothing = F::of(smoothing.into());
    let class = (0..classes).find(|&class| F::of(class as f64) == label);
    let everywhere = if class.is_some() { smoothing / F::of(classes as f64) } else { F::nan() };
    let mut target = vec![everywhere; classes];
    if let Some(class) = class {
        target[class] += F::one() - smoothing;
    }
    target
}

/// The greatest logit, and the sum of `exp(x − max)`.
fn max_and_sum<F: Real>(x: &[F]) -> (F, F) {
    let max = x.iter().copied().fold(F::neg_infinity(), F::max);
    (max, x.iter().map(|&x| (x - max).exp()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, check_fixtures, mistake, value};

    /// One image and several, smoothing from 0 to 1, logits whose exponential would overflow.
    #[test]
    fn losses_and_gradients_are_pytorchs() {
        check_fixtures("losses.json", &["cross_entropy"], &["input", "target"], |case, x| {
            let label_smoothing = case.number("label_smoothing") as f32;
            match case.text("reduction") {
                "mean" => x[0].cross_entropy(x[1], label_smoothing),
                _ => Var::apply(CrossEntropy { label_smoothing }, x).batch_sum(),
            }
        });
    }

    #[test]
    fn a_label_that_is_no_class_is_nan() {
        let logits = batched(&[2], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
        let labels = batched(&[], &[1.0, 2.0, -1.0, 0.5]);
        let op = CrossEntropy { label_smoothing: 0.1 };
        let losses = value(&[logits, labels], |x| Var::apply(op, x));
        let is_nan: Vec<bool> = losses.data().iter().map(|loss| loss.is_nan()).collect();
        assert_eq!(is_nan, [false, true, true, true]);
    }

    #[test]
    fn mistakes_are_named() {
        let (image, label) = (Shape::image(10, 1, 1), Shape::scalar(true));
        let say = |logits, labels| mistake(&[logits, labels], |x| x[0].cross_entropy(x[1], 0.0));
        assert_eq!(
            say(image, label),
            "cross_entropy: expects one logit per class, but 10x1x1 arrives\n  \
             sizes so far:\n    input        10x1x1\n  \
             mend it: view(…) to the axes that it expects, or move the layer"
        );
        let ten = Shape::batched(&[10]).unwrap();
        assert!(say(ten, ten).starts_with("cross_entropy: expects one class number per image, but 10 arrives"));
    }
}
