//! Where the images of a batch meet: sums over the batch, and the way back.
//!
//! These are the cuts of a plan: everything else treats each image by itself. A mean divides by the number of images in
//! this batch, so a short last batch counts as PyTorch counts it.

use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Shape, ShapeVar, SizeError, Var};

/// Sum or mean over the images: a batched value becomes a whole one of the same sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSum {
    /// Divide by the number of images.
    pub mean: bool,
}

/// A whole value given to every image, divided by their number if `mean`: the derivative of [`BatchSum`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchExpand {
    /// Divide by the number of images.
    pub mean: bool,
}

/// Three numbers about all values of all images: mean, standard deviation (of the population), share of exact zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics;

impl Var {
    /// Mean over the images of the batch, as for a loss: sizes stay, the batch goes.
    #[track_caller]
    pub fn batch_mean(self) -> Var {
        Var::apply(BatchSum { mean: true }, &[self])
    }

    /// Sum over the images of the batch: sizes stay, the batch goes.
    #[track_caller]
    pub fn batch_sum(self) -> Var {
        Var::apply(BatchSum { mean: false }, &[self])
    }

    #[track_caller]
    pub(crate) fn statistics(self) -> Var {
        Var::apply(Statistics, &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::batch_mean`].
    pub const fn batch_mean(self) -> Self {
        self.with_shape(self.shape().with_batch(false))
    }

    /// The twin of [`Var::batch_sum`].
    pub const fn batch_sum(self) -> Self {
        self.with_shape(self.shape().with_batch(false))
    }
}

impl Meaning for BatchSum {
    fn name(&self) -> &'static str {
        if self.mean { "batch_mean" } else { "batch_sum" }
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].batch_sum())
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let x = run.inputs[0];
        let divisor = if self.mean { F::of(x.blocks() as f64) } else { F::one() };
        run.per_image(|_, sum| {
            for image in 0..x.blocks() {
                for (sum, &x) in sum.iter_mut().zip(x.image(image)) {
                    *sum += x / divisor;
                }
            }
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        if d.inputs[0].shape().is_batched() {
            vec![Some(Var::apply(BatchExpand { mean: self.mean }, &[d.gradient]))]
        } else {
            vec![Some(d.gradient)]
        }
    }
}

impl Meaning for BatchExpand {
    fn name(&self) -> &'static str {
        "batch_expand"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(inputs[0].shape().with_batch(true)))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let divisor = if self.mean { F::of(run.batch as f64) } else { F::one() };
        run.per_image(|_, block| {
            for (out, &x) in block.iter_mut().zip(run.inputs[0].image(0)) {
                *out = x / divisor;
            }
        })
    }
}

impl Meaning for Statistics {
    fn name(&self) -> &'static str {
        "statistics"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(Shape::whole(&[3]).expect("three numbers")))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let data = run.inputs[0].data();
        let count = F::of(data.len() as f64);
        let mean = data.iter().copied().sum::<F>() / count;
        let variance = data.iter().map(|&x| (x - mean) * (x - mean)).sum::<F>() / count;
        let zeros = F::of(data.iter().filter(|x| x.is_zero()).count() as f64);
        Tensor::new(run.shape, vec![mean, variance.sqrt(), zeros / count])
    }
}
