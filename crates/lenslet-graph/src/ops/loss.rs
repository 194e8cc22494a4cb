//! Losses that are composed of other ops, each one number for the whole batch.
//!
//! Nothing here is a row of the table: a loss is a function that records what it needs, and a loss of your own is written
//! the same way. It must end in [`Var::batch_mean`] or [`Var::batch_sum`], since only one number can be differentiated.
//! The loss of classifiers stands in [`cross_entropy`](super::cross_entropy); here it is for images that are mixed.

use super::reduce::failed;
use crate::{Mistake, SizeError, Var};

impl Var {
    /// Mean of `(self − target)²` over all values of all images, PyTorch's `F.mse_loss`
    /// (<https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html>).
    ///
    /// The sizes must agree: where PyTorch broadcasts with a warning, this is a mistake.
    #[track_caller]
    pub fn mse_loss(self, target: Var) -> Var {
        let (expected, arrived) = (self.shape(), target.sizes());
        if !expected.same_dims(&arrived.shape()) {
            return failed(SizeError { op: "mse_loss", mistake: Mistake::Sizes { expected }, arrived });
        }
        let difference = self - target;
        (difference * difference).mean([]).batch_mean()
    }

    /// The mean over the batch of `share·CE(first label) + (1 − share)·CE(second label)`, the loss of images that were mixed.
    ///
    /// It is PyTorch's `F.cross_entropy` with `share` and `1 − share` as the probabilities of the two labels, since
    /// cross-entropy is linear in its target. `self` are K logits per image; labels and share are a number per image.
    #[track_caller]
    pub fn mixed_cross_entropy(self, labels: [Var; 2], share: Var, label_smoothing: f32) -> Var {
        let [first, second] = labels.map(|labels| self.cross_entropies(labels, label_smoothing));
        // In this form a share of 1 gives the first loss to the bit.
        (first * share + second * (1.0 - share)).batch_mean()
    }
}

#[cfg(test)]
mod tests {
    use crate::Shape;
    use crate::interpret::testing::{check_fixtures, mistake};

    #[test]
    fn values_and_gradients_are_pytorchs() {
        check_fixtures("losses.json", &["mse_loss"], &["input", "target"], |case, x| {
            let difference = x[0] - x[1];
            match case.text("reduction") {
                "mean" => x[0].mse_loss(x[1]),
                _ => (difference * difference).sum([]).batch_sum(),
            }
        });
    }

    #[test]
    fn mixed_losses_are_pytorchs_of_two_probabilities() {
        let names = ["input", "target", "other", "share"];
        check_fixtures("losses.json", &["mixed_cross_entropy"], &names, |case, x| {
            x[0].mixed_cross_entropy([x[1], x[2]], x[3], case.number("label_smoothing") as f32)
        });
    }

    #[test]
    fn a_target_of_other_sizes_is_a_mistake() {
        let shape = |n: usize| Shape::batched(&[n]).unwrap();
        assert_eq!(
            mistake(&[shape(4), shape(1)], |x| x[0].mse_loss(x[1])),
            "mse_loss: expects 4, but 1 arrives\n  sizes so far:\n    input        1\n  mend it: bring the value to 4"
        );
    }
}
