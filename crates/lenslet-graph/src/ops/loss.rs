//! Losses that are composed of other ops, each one number for the whole batch.
//!
//! Nothing here is a row of the table: a loss is a function that records what it needs, and a loss of your own is written
//! the same way. It must end in [`Var::batch_mean`] or [`Var::batch_sum`], since only one number can be differentiated.
//! The loss of classifiers stands in [`cross_entropy`](super::cross_entropy).

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
    fn a_target_of_other_sizes_is_a_mistake() {
        let shape = |n: usize| Shape::batched(&[n]).unwrap();
        assert_eq!(
            mistake(&[shape(4), shape(1)], |x| x[0].mse_loss(x[1])),
            "mse_loss: expects 4, but 1 arrives\n  sizes so far:\n    input        1\n  mend it: bring the value to 4"
        );
    }
}
