//! The dense layer.
//!
//! `y[o] = b[o] + Σ_i w[o, i] · x[i]` along the last axis, each place of the axes before it by itself
//! (<https://pytorch.org/docs/stable/generated/torch.nn.Linear.html>). Weight: `out×in`, bias: `out`.
//!
//! What is not here: flattening. A C×H×W feature map is not a row of features, and a layer that took it for one would
//! hide the most common mistake; so the shape rule asks for `flatten()` in words.
//!
//! The three ops (forward, gradient by input, gradient by weight) follow from one function, `each_product`, which names
//! every product of the sum above; so they cannot disagree.

use super::reduce::{Reduce, ReduceKind};
use super::{Derivative, Meaning, Run};
use crate::record::layer;
use crate::tensor::{Real, Tensor};
use crate::{Init, MAX_RANK, Mistake, Shape, ShapeVar, SizeError, Var};

/// A dense layer, `…×in` to `…×out`: the layer's description, and the op.
///
/// `Linear::new(16 * 5 * 5, 120)` takes rows of 400 features and gives rows of 120; its weight has
/// 120 · 400 = 48,000 numbers, and its bias 120.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    in_features: usize,
    out_features: usize,
    bias: bool,
}

impl Linear {
    /// A dense layer with a bias.
    pub const fn new(in_features: usize, out_features: usize) -> Self {
        Self { in_features, out_features, bias: true }
    }

    /// A dense layer that takes as many features as arrive.
    pub const fn infer(out_features: usize) -> Self {
        Self::new(0, out_features)
    }

    /// No bias, PyTorch's `bias=False`.
    pub const fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Size of the last axis that it takes; 0 stands for "as many as arrive".
    pub const fn in_features(&self) -> usize {
        self.in_features
    }

    /// Size of the last axis that it gives.
    pub const fn out_features(&self) -> usize {
        self.out_features
    }

    /// Whether something is added to the products.
    pub const fn has_bias(&self) -> bool {
        self.bias
    }

    /// The shape rule: the last axis changes from `in` to `out`.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let shape = x.shape();
        let mistake = if self.out_features == 0 {
            Mistake::Zero { argument: "out_features" }
        } else if !shape.is_batched() {
            Mistake::Whole
        } else if shape.rank() == 0 {
            Mistake::Rank { expected: "a row of features" }
        } else if self.in_features != 0 && shape.dim(shape.rank() - 1) != self.in_features {
            Mistake::Features { expected: self.in_features, out: self.out_features }
        } else {
            let weight = Shape::whole(&[self.out_features, shape.dim(shape.rank() - 1)]);
            match (shape.with_dim(shape.rank() - 1, self.out_features), weight) {
                (Some(output), Some(_)) => return Ok(x.step("linear", output)),
                _ => Mistake::TooLarge,
            }
        };
        Err(SizeError { op: "linear", mistake, arrived: *x })
    }

    fn weight_shape(&self) -> Shape {
        Shape::whole(&[self.out_features, self.in_features]).expect("the shape rule was asked first")
    }

    /// The layer that belongs to a weight `out×in`, or what is wrong with the weight or the bias.
    const fn of(weight: &ShapeVar, bias: Option<&ShapeVar>) -> Result<Self, SizeError> {
        let w = weight.shape();
        if w.rank() != 2 || w.is_batched() {
            let mistake = Mistake::Rank { expected: "one weight of sizes out x in for all images" };
            return Err(SizeError { op: "linear", mistake, arrived: *weight });
        }
        let layer = Self { in_features: w.dim(1), out_features: w.dim(0), bias: bias.is_some() };
        if let Some(bias) = bias {
            let b = bias.shape();
            if b.rank() != 1 || b.dim(0) != layer.out_features || b.is_batched() {
                let mistake = Mistake::Rank { expected: "one bias, a number for each row of the weight" };
                return Err(SizeError { op: "linear", mistake, arrived: *bias });
            }
        }
        Ok(layer)
    }

    /// `x` must be `…×in`; gives `…×out`.
    ///
    /// Weight and bias begin uniform in ±1/√in, as PyTorch's do.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "linear", true, |scope| {
            // Without fitting sizes there is no weight; the op then reports them.
            if self.rule(&x.sizes()).is_err() {
                return Var::apply(*self, &[x]);
            }
            let known = Self { in_features: last(x.shape()), ..*self };
            let init = Init::Uniform { bound: 1.0 / (known.in_features as f32).sqrt() };
            let mut inputs = vec![x, scope.parameter("weight", known.weight_shape(), init, true)];
            if self.bias {
                let shape = Shape::whole(&[self.out_features]).expect("the weight fits, so does the bias");
                inputs.push(scope.parameter("bias", shape, init, true));
            }
            Var::apply(known, &inputs)
        })
    }

    /// The twin of [`Linear::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

/// The gradient of a dense layer by its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearInputGrad {
    /// The layer.
    pub layer: Linear,
}

/// The gradient of a dense layer by its weight, summed over all rows of all images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearWeightGrad {
    /// The layer.
    pub layer: Linear,
}

impl Var {
    /// Dense layer with a weight that is a value, as PyTorch's `F.linear`: `…×in` to `…×out`, where `weight` is `out×in`
    /// and `bias` is `out`, both one for all images.
    #[track_caller]
    pub fn linear(self, weight: Var, bias: Option<Var>) -> Var {
        let layer = Linear::of(&weight.sizes(), bias.map(Var::sizes).as_ref());
        let inputs: Vec<Var> = [self, weight].into_iter().chain(bias).collect();
        // Where weight or bias do not fit, any layer will do: the op looks at them too, and reports them.
        Var::apply(layer.unwrap_or(Linear::infer(1)), &inputs)
    }
}

impl ShapeVar {
    /// The twin of [`Var::linear`].
    #[track_caller]
    pub const fn linear(self, weight: Self, bias: Option<Self>) -> Self {
        match Linear::of(&weight, bias.as_ref()) {
            Ok(layer) => ShapeVar::proved(layer.rule(&self)),
            Err(error) => ShapeVar::proved(Err(error)),
        }
    }
}

impl Meaning for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        if let Some(weight) = inputs.get(1) {
            Self::of(weight, inputs.get(2))?;
        }
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (x, weight) = (run.inputs[0], run.inputs[1].data());
        run.per_image(|image, y| {
            if let Some(bias) = run.inputs.get(2) {
                for row in y.chunks_exact_mut(self.out_features) {
                    row.copy_from_slice(bias.data());
                }
            }
            let x = x.image(image);
            each_product(self, x.len(), |w, i, o| y[o] += weight[w] * x[i]);
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let by_input = Var::apply(LinearInputGrad { layer: *self }, &[d.gradient, d.inputs[1]]);
        let by_weight = Var::apply(LinearWeightGrad { layer: *self }, &[d.inputs[0], d.gradient]);
        let by_bias = d.inputs.get(2).map(|_| Some(sum_rows(d.gradient).batch_sum()));
        [Some(by_input), Some(by_weight)].into_iter().chain(by_bias).collect()
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        output.len() as u64 * last(inputs[0]) as u64
    }
}

impl Meaning for LinearInputGrad {
    fn name(&self) -> &'static str {
        "linear_input_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        let gradient = inputs[0].shape();
        let image = gradient.with_dim(gradient.rank() - 1, self.layer.in_features).expect("the input had these sizes");
        Ok(inputs[0].with_shape(image))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (gradient, weight) = (run.inputs[0], run.inputs[1].data());
        run.per_image(|image, dx| {
            let dy = gradient.image(image);
            each_product(&self.layer, dx.len(), |w, i, o| dx[i] += weight[w] * dy[o]);
        })
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        self.layer.macs(&[output], inputs[0])
    }
}

impl Meaning for LinearWeightGrad {
    fn name(&self) -> &'static str {
        "linear_weight_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(self.layer.weight_shape()))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (x, gradient) = (run.inputs[0], run.inputs[1]);
        run.per_image(|_, dw| {
            for image in 0..gradient.blocks() {
                let (x, dy) = (x.image(image), gradient.image(image));
                each_product(&self.layer, x.len(), |w, i, o| dw[w] += x[i] * dy[o]);
            }
        })
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        self.layer.macs(&inputs[..1], inputs[1])
    }
}

/// Calls `product(weight, input, output)` for every product `w·x` that belongs to an output, by position in the
/// row-major blocks of weight, input (of `len` values) and output.
fn each_product(layer: &Linear, len: usize, mut product: impl FnMut(usize, usize, usize)) {
    for row in 0..len / layer.in_features {
        for o in 0..layer.out_features {
            for i in 0..layer.in_features {
                product(o * layer.in_features + i, row * layer.in_features + i, row * layer.out_features + o);
            }
        }
    }
}

/// The sum over every axis but the last: `…×out` to `out`.
fn sum_rows(x: Var) -> Var {
    let leading = x.shape().rank().saturating_sub(1);
    if leading == 0 {
        return x;
    }
    let mut axes = [false; MAX_RANK];
    axes[..leading].fill(true);
    Var::apply(Reduce { kind: ReduceKind::Sum, axes, keep: false }, &[x])
}

fn last(x: Shape) -> usize {
    if x.rank() == 0 { 1 } else { x.dim(x.rank() - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, value, whole};
    use crate::{Mode, Module, Network, Recording, Visitor, record};

    struct Net(Linear);

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            visitor.field("fc", &self.0);
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            self.0.forward(x)
        }
    }

    fn recorded(layer: Linear, input: &[usize]) -> Recording {
        record(&Net(layer), Shape::batched(input).unwrap(), Mode::Train)
    }

    fn sizes(dims: &[usize]) -> ShapeVar {
        ShapeVar::new(Shape::batched(dims).unwrap())
    }

    fn error(layer: Linear, dims: &[usize]) -> String {
        layer.rule(&sizes(dims)).unwrap_err().to_string()
    }

    #[test]
    fn only_the_last_axis_changes() {
        const LESSON: ShapeVar =
            Linear::new(16 * 5 * 5, 120).forward_sizes(ShapeVar::new(match Shape::batched(&[400]) {
                Some(row) => row,
                None => unreachable!(),
            }));
        assert_eq!(LESSON.shape(), Shape::batched(&[120]).unwrap());
        assert_eq!(Linear::infer(4).rule(&sizes(&[2, 3, 5])).unwrap().shape(), Shape::image(2, 3, 4));
        assert_eq!(Linear::new(400, 120).macs(&[Shape::batched(&[400]).unwrap()], LESSON.shape()), 48_000);
    }

    #[test]
    fn parameters_are_pytorchs() {
        let recording = recorded(Linear::infer(3), &[4]);
        let [weight, bias] = &recording.graph.parameters[..] else { panic!("weight and bias") };
        assert_eq!((weight.name.as_str(), weight.shape.dims()), ("fc.weight", &[3, 4][..]));
        assert_eq!((bias.name.as_str(), bias.shape.dims()), ("fc.bias", &[3][..]));
        assert_eq!([weight.init, bias.init], [Init::Uniform { bound: 0.5 }; 2]);
        let op = &recording.graph.node(recording.output.unwrap()).op;
        assert_eq!(*op, Linear::new(4, 3).into(), "what was inferred is known from then on");
        assert_eq!(recorded(Linear::new(4, 3).no_bias(), &[4]).graph.parameters.len(), 1);
    }

    #[test]
    fn values_and_gradients_by_hand() {
        // Two images of two rows each; weight 3×2.
        let x = batched(&[2, 2], &[1.0, 10.0, 0.0, 1.0, 2.0, 0.0, -1.0, 1.0]);
        let weight = whole(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let inputs = [x, weight, whole(&[3], &[100.0, 200.0, 300.0])];
        let linear = |v: &[Var]| v[0].linear(v[1], Some(v[2]));
        let y = value(&inputs, linear);
        assert_eq!(y.data(), [121.0, 243.0, 365.0, 102.0, 204.0, 306.0, 102.0, 206.0, 310.0, 101.0, 201.0, 301.0]);
        // The sum of all outputs has gradient 1 everywhere: columns of the weight add up, and so do rows of the input.
        let [dx, dw, db] = &gradients(&inputs, linear)[..] else { panic!("three gradients") };
        assert_eq!(dx.data(), [9.0, 12.0].repeat(4));
        assert_eq!(dw.data(), [2.0, 12.0].repeat(3));
        assert_eq!(db.data(), [4.0; 3]);
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(
            error(Linear::new(576, 120), &[400]),
            "linear: the layer takes 576 features, but 400 arrive (400)\n  sizes so far:\n    input        400\n  \
             mend it: Linear::new(400, 120)"
        );
        assert_eq!(
            error(Linear::new(576, 120), &[16, 5, 5]),
            "linear: the layer takes 576 features, but 5 arrive (16x5x5)\n  sizes so far:\n    input        16x5x5\n  \
             mend it: flatten() and Linear::new(16 * 5 * 5, 120)"
        );
        assert_eq!(
            error(Linear::new(400, 120), &[16, 5, 5]),
            "linear: the layer takes 400 features, but 5 arrive (16x5x5)\n  sizes so far:\n    input        16x5x5\n  \
             mend it: put flatten() before it: 400 values arrive, but not in one row"
        );
        let headline = |text: String| text.lines().next().unwrap().to_owned();
        assert_eq!(headline(error(Linear::infer(0), &[4])), "linear: out_features is 0, but must be at least 1");
        assert_eq!(headline(error(Linear::infer(3), &[])), "linear: expects a row of features, but one number arrives");
        // The weight, too, must be possible.
        let large = 1 << 16;
        assert_eq!(
            headline(error(Linear::infer(large), &[large])),
            "linear: the result would have more than 2^31 values per image"
        );
        assert!(recorded(Linear::infer(large), &[large]).output.is_err());
    }

    #[test]
    fn a_weight_or_bias_that_does_not_fit_is_named() {
        let words = |weight: &[usize], bias: &[usize]| {
            let [weight, bias] = [weight, bias].map(|dims| ShapeVar::new(Shape::whole(dims).unwrap()));
            let inputs = [sizes(&[4]), weight, bias];
            Meaning::output(&Linear::infer(1), &inputs).unwrap_err().headline(crate::Message::new()).to_string()
        };
        assert_eq!(words(&[3], &[3]), "expects one weight of sizes out x in for all images, but 3 arrives");
        assert_eq!(words(&[3, 4], &[4]), "expects one bias, a number for each row of the weight, but 4 arrives");
    }
}
