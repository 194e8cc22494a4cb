//! Batch normalisation of a feature map.
//!
//! `y = w·x̂ + b` per channel, with `x̂ = (x − mean) / √(variance + eps)`. In training, mean and (biased) variance are those
//! of all pixels of all images of the batch; in evaluation they are running averages, which training moves by
//! `running ← (1 − momentum)·running + momentum·batch`, the variance there divided by n − 1
//! (<https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html>; Ioffe and Szegedy 2015,
//! <https://arxiv.org/abs/1502.03167>). With n = images·H·W values per channel, the gradient in training is
//! `dx = w/σ · (dy − Σdy/n − x̂·Σ(dy·x̂)/n)`: the last two terms are what flows through mean and variance, so these have
//! no derivative of their own here.
//!
//! The work is cut where images meet: [`BatchStatistics`] and [`BatchNormSums`] look at the whole batch, [`BatchNorm`]
//! and [`BatchNormGrad`] at one image and a few numbers per channel. One deviation: where n is 1, PyTorch refuses to
//! train, and here x̂ is 0 and the variance 0.
//!
//! What is not here: rows of features (`BatchNorm1d`; view them as C×1×1), cumulative averages (`momentum=None`), and
//! layers without running averages.

use std::panic::Location;

use super::reshape::INFER;
use super::{Derivative, Meaning, Run};
use crate::record::{RecordMistake, layer, with_recorder};
use crate::tensor::{Real, Tensor};
use crate::var::training;
use crate::{Init, Mistake, Shape, ShapeVar, SizeError, Var};

/// Batch normalisation, `C×H×W` to `C×H×W`: the layer's description.
///
/// `BatchNorm2d::new(64)` has 64 weights and 64 biases that are learned, and 64 running means and variances that are
/// not; a batch of 32 maps of 64×8×8 has n = 32·8·8 = 2,048 values per channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm2d {
    features: usize,
    eps: f32,
    momentum: f32,
    affine: bool,
}

impl BatchNorm2d {
    /// Batch normalisation of `features` channels, with weight and bias, eps 1e-5 and momentum 0.1.
    pub const fn new(features: usize) -> Self {
        Self { features, eps: 1e-5, momentum: 0.1, affine: true }
    }

    /// Batch normalisation of as many channels as arrive.
    pub const fn infer() -> Self {
        Self::new(0)
    }

    /// What is added to the variance, so that a channel that is constant divides by something.
    pub const fn eps(mut self, eps: f32) -> Self {
        self.eps = eps;
        self
    }

    /// The batch's share in the running averages. PyTorch's convention; TensorFlow's is one minus this.
    pub const fn momentum(mut self, momentum: f32) -> Self {
        self.momentum = momentum;
        self
    }

    /// No weight and bias, PyTorch's `affine=False`.
    pub const fn no_affine(mut self) -> Self {
        self.affine = false;
        self
    }

    /// Channels; 0 stands for "as many as arrive".
    pub const fn features(&self) -> usize {
        self.features
    }

    /// The shape rule: nothing changes.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        each_channel("batch_norm", "BatchNorm2d", self.features, x)
    }

    /// `x` must be `C×H×W`; gives the same sizes.
    ///
    /// Weight begins as 1, bias as 0, running mean as 0 and running variance as 1, as PyTorch's do.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        let at = Location::caller();
        layer(self, "batch_norm", true, |scope| {
            if let Err(error) = self.rule(&x.sizes()) {
                return Var::from_id(with_recorder(|r| r.fail(RecordMistake::Size(Box::new(error)), at)));
            }
            let row = whole(&[x.dim(0)]);
            let [weight, bias] = if self.affine {
                [("weight", 1.0), ("bias", 0.0)]
                    .map(|(name, value)| scope.parameter(name, row, Init::Constant(value), true))
            } else {
                [Var::constant(1.0, row), Var::constant(0.0, row)]
            };
            let running_mean = scope.parameter("running_mean", row, Init::Constant(0.0), false);
            let running_var = scope.parameter("running_var", row, Init::Constant(1.0), false);
            let batches = scope.parameter("num_batches_tracked", Shape::scalar(false), Init::Constant(0.0), false);
            let training = training();
            let statistics = if training {
                let statistics = Var::apply(BatchStatistics, &[x]);
                let moved = |running: Var, batch: Var| running * (1.0 - self.momentum) + batch * self.momentum;
                // A layer that is used twice moves its running values twice, one after the other.
                scope.update(running_mean, |running| moved(running, row_of(statistics, 0)));
                scope.update(running_var, |running| moved(running, row_of(statistics, 2)));
                scope.update(batches, |batches| batches + 1.0);
                statistics
            } else {
                Var::concat(&[running_mean, running_var].map(|running| running.view([1, x.dim(0)])), 0)
            };
            Var::apply(BatchNorm { eps: self.eps, training }, &[x, statistics, weight, bias])
        })
    }

    /// The twin of [`BatchNorm2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

/// The shape rule of the layer that is called `layer` in Rust, which has numbers for each of `features` channels, or for as many
/// as arrive if that is 0: nothing changes.
pub(super) const fn each_channel(
    op: &'static str,
    layer: &'static str,
    features: usize,
    x: &ShapeVar,
) -> Result<ShapeVar, SizeError> {
    let mistake = if !x.shape().is_batched() {
        Mistake::Whole
    } else if x.shape().rank() != 3 {
        Mistake::Rank { expected: "a C×H×W feature map" }
    } else if features != 0 && features != x.shape().dim(0) {
        Mistake::NormChannels { layer, expected: features }
    } else {
        return Ok(*x);
    };
    Err(SizeError { op, mistake, arrived: *x })
}

fn whole(dims: &[usize]) -> Shape {
    Shape::whole(dims).expect("a few numbers per channel fit where the feature map does")
}

/// One row of a `[rows, C]` value, as `[C]`.
fn row_of(rows: Var, row: usize) -> Var {
    rows.slice(0, row..row + 1).view(INFER)
}

/// Statistics of each channel over all pixels of all images: `C×H×W` to one `[3, C]` of mean, variance divided by n, and
/// variance divided by n − 1 (by 1 where n is 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchStatistics;

/// Normalisation by given statistics. Inputs: x `C×H×W`, statistics `[2 or more, C]` (mean, variance), weight `[C]`, bias
/// `[C]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    /// What is added to the variance.
    pub eps: f32,
    /// Whether the statistics are the batch's own, and so depend on x.
    pub training: bool,
}

/// What the backward pass needs to know of the whole batch. Inputs: x, statistics, gradient; gives one `[2, C]` of
/// `Σ dy·x̂`, which is the weight's gradient, and `Σ dy`, which is the bias's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormSums {
    /// What is added to the variance.
    pub eps: f32,
}

/// The gradient by x. Inputs: x, statistics, weight, the [`BatchNormSums`], gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormGrad {
    /// What is added to the variance.
    pub eps: f32,
    /// Whether the statistics depend on x; otherwise `dx = w/σ · dy`.
    pub training: bool,
}

/// Mean and `1/√(variance + eps)` of a channel.
fn mean_and_scale<F: Real>(statistics: &Tensor<F>, channel: usize, eps: f32) -> (F, F) {
    let channels = statistics.shape().dim(1);
    let variance = statistics.data()[channels + channel];
    (statistics.data()[channel], (variance + F::of(eps.into())).sqrt().recip())
}

/// All values of one channel, image after image.
fn channel<F: Real>(x: &Tensor<F>, channel: usize) -> impl Iterator<Item = F> {
    let pixels = x.shape().dim(1) * x.shape().dim(2);
    (0..x.blocks()).flat_map(move |image| x.image(image)[channel * pixels..][..pixels].iter().copied())
}

/// Writes `value(channel, index)` to every place of an image.
fn fill<F: Real>(block: &mut [F], shape: Shape, value: impl Fn(usize, usize) -> F) {
    let pixels = shape.dim(1) * shape.dim(2);
    for (i, out) in block.iter_mut().enumerate() {
        *out = value(i / pixels, i);
    }
}

impl Meaning for BatchStatistics {
    fn name(&self) -> &'static str {
        "batch_statistics"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        let x = BatchNorm2d::infer().rule(&inputs[0])?;
        Ok(x.with_shape(whole(&[3, x.shape().dim(0)])))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let x = run.inputs[0];
        let channels = run.shape.dim(1);
        run.per_image(|_, rows| {
            for c in 0..channels {
                let n = channel(x, c).count();
                let mean = channel(x, c).sum::<F>() / F::of(n as f64);
                let squares = channel(x, c).map(|x| (x - mean) * (x - mean)).sum::<F>();
                rows[c] = mean;
                rows[channels + c] = squares / F::of(n as f64);
                rows[2 * channels + c] = squares / F::of((n - 1).max(1) as f64);
            }
        })
    }
}

impl Meaning for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        BatchNorm2d::infer().rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let &[x, statistics, weight, bias] = run.inputs else { unreachable!("batch_norm has four inputs") };
        run.per_image(|image, y| {
            let x = x.image(image);
            fill(y, run.shape, |c, i| {
                let (mean, scale) = mean_and_scale(statistics, c, self.eps);
                weight.data()[c] * (x[i] - mean) * scale + bias.data()[c]
            });
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let &[x, statistics, weight, _] = d.inputs else { unreachable!("batch_norm has four inputs") };
        let sums = Var::apply(BatchNormSums { eps: self.eps }, &[x, statistics, d.gradient]);
        let grad = BatchNormGrad { eps: self.eps, training: self.training };
        let dx = Var::apply(grad, &[x, statistics, weight, sums, d.gradient]);
        vec![Some(dx), None, Some(row_of(sums, 0)), Some(row_of(sums, 1))]
    }
}

impl Meaning for BatchNormSums {
    fn name(&self) -> &'static str {
        "batch_norm_sums"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(whole(&[2, inputs[0].shape().dim(0)])))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let &[x, statistics, gradient] = run.inputs else { unreachable!("batch_norm_sums has three inputs") };
        let channels = run.shape.dim(1);
        run.per_image(|_, rows| {
            for c in 0..channels {
                let (mean, scale) = mean_and_scale(statistics, c, self.eps);
                let pairs = || channel(x, c).zip(channel(gradient, c));
                rows[c] = pairs().map(|(x, dy)| dy * (x - mean) * scale).sum();
                rows[channels + c] = pairs().map(|(_, dy)| dy).sum();
            }
        })
    }
}

impl Meaning for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let &[x, statistics, weight, sums, gradient] = run.inputs else {
            unreachable!("batch_norm_grad has five inputs")
        };
        let channels = run.shape.dim(0);
        let n = F::of((x.data().len() / channels) as f64);
        run.per_image(|image, dx| {
            let (x, dy) = (x.image(image), gradient.image(image));
            fill(dx, run.shape, |c, i| {
                let (mean, scale) = mean_and_scale(statistics, c, self.eps);
                let through_statistics = if self.training {
                    let normal = (x[i] - mean) * scale;
                    (sums.data()[channels + c] + normal * sums.data()[c]) / n
                } else {
                    F::zero()
                };
                weight.data()[c] * scale * (dy[i] - through_statistics)
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, value, whole};
    use crate::{Mode, Module, Network, Op, Recording, Role, Visitor, record};

    struct Net(BatchNorm2d);

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            visitor.field("bn", &self.0);
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            self.0.forward(x)
        }
    }

    fn recorded(layer: BatchNorm2d, mode: Mode) -> Recording {
        record(&Net(layer), Shape::image(2, 4, 4), mode)
    }

    #[test]
    fn parameters_are_pytorchs_in_both_modes() {
        for mode in [Mode::Train, Mode::Eval] {
            let graph = recorded(BatchNorm2d::infer(), mode).graph;
            let found: Vec<_> =
                graph.parameters.iter().map(|p| (p.name.as_str(), p.shape.dims(), p.init, p.trainable)).collect();
            let [zero, one] = [0.0, 1.0].map(Init::Constant);
            let expected: [(&str, &[usize], _, _); 5] = [
                ("bn.weight", &[2], one, true),
                ("bn.bias", &[2], zero, true),
                ("bn.running_mean", &[2], zero, false),
                ("bn.running_var", &[2], one, false),
                ("bn.num_batches_tracked", &[], zero, false),
            ];
            assert_eq!(found, expected, "{mode:?}");
            let plain = recorded(BatchNorm2d::new(2).no_affine(), mode).graph;
            assert_eq!(plain.parameters, graph.parameters[2..], "{mode:?}");
        }
    }

    #[test]
    fn training_moves_the_running_values_and_evaluation_does_not() {
        let roles = |mode| -> Vec<Role> {
            recorded(BatchNorm2d::new(2), mode).graph.outputs.into_iter().map(|o| o.0).collect()
        };
        assert_eq!(roles(Mode::Train), [Role::Update(2), Role::Update(3), Role::Update(4), Role::Logits]);
        assert_eq!(roles(Mode::Eval), [Role::Logits]);
        let batch_statistics = |mode| {
            recorded(BatchNorm2d::new(2), mode).graph.nodes.iter().any(|n| n.op == Op::BatchStatistics(BatchStatistics))
        };
        assert!(batch_statistics(Mode::Train) && !batch_statistics(Mode::Eval));
    }

    #[test]
    fn statistics_by_hand() {
        let statistics = |x| value(&[x], |v| Var::apply(BatchStatistics, &[v[0]])).data().to_vec();
        // Two channels of two pixels, two images.
        let x = batched(&[2, 1, 2], &[1.0, 3.0, 5.0, 5.0, 5.0, 7.0, 5.0, 5.0]);
        assert_eq!(statistics(x), [4.0, 5.0, 5.0, 0.0, 20.0 / 3.0, 0.0]);
        assert_eq!(statistics(batched(&[1, 1, 1], &[3.0])), [3.0, 0.0, 0.0], "one value has no spread, and no NaN");
    }

    #[test]
    fn eps_stands_under_the_root() {
        let inputs =
            [batched(&[1, 1, 2], &[2.0, 6.0]), whole(&[2, 1], &[4.0, 3.0]), whole(&[1], &[10.0]), whole(&[1], &[1.0])];
        let y = value(&inputs, |v| Var::apply(BatchNorm { eps: 1.0, training: false }, v));
        assert_eq!(y.data(), [-9.0, 11.0], "10·(2 − 4)/√(3 + 1) + 1");
    }

    #[test]
    fn mistakes_are_named() {
        let words = |layer: BatchNorm2d, x: Shape| layer.rule(&ShapeVar::new(x)).unwrap_err().to_string();
        assert_eq!(
            words(BatchNorm2d::new(64), Shape::image(32, 8, 8)),
            "batch_norm: the layer takes 64 channels, but 32 arrive (32x8x8)\n  sizes so far:\n    input        32x8x8\n  \
             mend it: BatchNorm2d::new(32)"
        );
        assert_eq!(
            words(BatchNorm2d::infer(), Shape::batched(&[64]).unwrap()),
            "batch_norm: expects a C×H×W feature map, but 64 arrives\n  sizes so far:\n    input        64\n  \
             mend it: view(…) to the axes that it expects, or move the layer"
        );
        let recording = recorded(BatchNorm2d::new(3), Mode::Train);
        let text = recording.output.unwrap_err().to_string();
        assert!(text.contains("takes 3 channels, but 2 arrive") && text.contains("at: bn, "), "{text}");
        assert!(recording.graph.parameters.is_empty(), "a layer that does not fit has no parameters");
    }
}
