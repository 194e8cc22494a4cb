//! An op of one's own, with its own gradient.
//!
//! What no composition of ops expresses, or none expresses well, is written here by the user as two loops over `f32`: one
//! image at a time, row-major (C×H×W). Sizes are given at the call, by an [`OutputShape`], and not by a method of the
//! trait: so the shape-only twin, where no trait method can run, sees them too. The same idea in PyTorch:
//! `torch.autograd.Function` (<https://pytorch.org/docs/stable/notes/extending.html>).
//!
//! The first input is the value on which the method is called; the others may be whole values (parameters, constants),
//! and the gradients by these are summed over the batch. The loops run on the threads of the backend, one image each, so
//! they must depend on nothing but their arguments.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Mistake, Shape, ShapeVar, SizeError, Var};

/// An op of one's own, for one image at a time.
///
/// ```
/// use lenslet_graph::{CustomOp, OutputShape, Var};
///
/// /// Swish, `x·σ(βx)` (<https://arxiv.org/abs/1710.05941>).
/// #[derive(Clone, Debug)]
/// struct Swish {
///     beta: f32,
/// }
///
/// impl CustomOp for Swish {
///     fn name(&self) -> &'static str {
///         "swish"
///     }
///
///     fn forward(&self, inputs: &[&[f32]], output: &mut [f32]) {
///         for (y, x) in output.iter_mut().zip(inputs[0]) {
///             *y = x / (1.0 + (-self.beta * x).exp());
///         }
///     }
///
///     fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], input_gradients: &mut [Vec<f32>]) {
///         for (i, x) in inputs[0].iter().enumerate() {
///             let sigmoid = 1.0 / (1.0 + (-self.beta * x).exp());
///             input_gradients[0][i] = gradient[i] * (sigmoid + self.beta * output[i] * (1.0 - sigmoid));
///         }
///     }
/// }
///
/// fn forward(x: Var) -> Var {
///     x.custom(&Swish { beta: 1.5 }, OutputShape::Same)
/// }
/// ```
pub trait CustomOp: Send + Sync + Debug + 'static {
    /// The op's name, for summaries and messages.
    fn name(&self) -> &'static str;

    /// Computes all of `output` from one image's block of each input.
    fn forward(&self, inputs: &[&[f32]], output: &mut [f32]);

    /// The loss's gradient by each input, from what `forward` saw and made and the gradient by its output.
    ///
    /// `input_gradients` holds one block per input, of the input's length and filled with zeros. This is called once for
    /// each input whose gradient is needed, and only that input's block is then read.
    fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], input_gradients: &mut [Vec<f32>]);
}

/// The sizes that a custom op gives, per image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputShape {
    /// Those of the first input.
    Same,
    /// These; `None` stands for sizes that are impossible, which the shape rule reports. See [`OutputShape::sizes`].
    Sizes(Option<Shape>),
}

impl OutputShape {
    /// The given sizes: `OutputShape::sizes([4, 8, 8])` is 4 maps of 8×8 per image.
    pub const fn sizes<const N: usize>(sizes: [usize; N]) -> Self {
        Self::Sizes(Shape::batched(&sizes))
    }

    /// The shape rule; the result is batched where one of the inputs is.
    pub const fn rule(&self, x: &ShapeVar, others: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        let mut batched = x.shape().is_batched();
        let mut i = 0;
        while i < others.len() {
            batched |= others[i].shape().is_batched();
            i += 1;
        }
        match self {
            Self::Same => Ok(x.with_shape(x.shape().with_batch(batched))),
            Self::Sizes(Some(shape)) => Ok(x.step("custom", shape.with_batch(batched))),
            Self::Sizes(None) => Err(SizeError { op: "custom", mistake: Mistake::OutputSizes, arrived: *x }),
        }
    }
}

/// A user's op with its sizes.
#[derive(Clone, Debug)]
pub struct Custom {
    /// The op.
    pub op: Arc<dyn CustomOp>,
    /// What sizes it gives.
    pub output: OutputShape,
}

/// The gradient of a user's op by one of its inputs. Inputs: the op's inputs, its output, the gradient by its output.
#[derive(Clone, Debug)]
pub struct CustomGrad {
    /// The op.
    pub op: Arc<dyn CustomOp>,
    /// By which input.
    pub input: usize,
}

/// Two users' ops are the same only if they are one object.
impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.op, &other.op) && self.output == other.output
    }
}

impl PartialEq for CustomGrad {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.op, &other.op) && self.input == other.input
    }
}

impl Var {
    /// An op of one's own on this value; see [`CustomOp`].
    #[track_caller]
    pub fn custom<O: CustomOp + Clone>(self, op: &O, output: OutputShape) -> Var {
        self.custom_with(op, &[], output)
    }

    /// An op of one's own on this value and others; `output` speaks of this value where it says "same".
    #[track_caller]
    pub fn custom_with<O: CustomOp + Clone>(self, op: &O, others: &[Var], output: OutputShape) -> Var {
        let inputs: Vec<Var> = [self].iter().chain(others).copied().collect();
        Var::apply(Custom { op: Arc::new(op.clone()), output }, &inputs)
    }
}

impl ShapeVar {
    /// The twin of [`Var::custom`].
    #[track_caller]
    pub const fn custom<O>(self, _op: &O, output: OutputShape) -> Self {
        ShapeVar::proved(output.rule(&self, &[]))
    }

    /// The twin of [`Var::custom_with`].
    #[track_caller]
    pub const fn custom_with<O>(self, _op: &O, others: &[Self], output: OutputShape) -> Self {
        ShapeVar::proved(output.rule(&self, others))
    }
}

impl Meaning for Custom {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.output.rule(&inputs[0], &inputs[1..])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| {
            let inputs = to_f32(run.inputs, image);
            let mut output = vec![0.0; y.len()];
            self.op.forward(&slices(&inputs), &mut output);
            from_f32(&output, y);
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let inputs: Vec<Var> = d.inputs.iter().copied().chain([d.output, d.gradient]).collect();
        let gradient = |input: usize| {
            let each = Var::apply(CustomGrad { op: self.op.clone(), input }, &inputs);
            let shared = d.gradient.shape().is_batched() && !d.inputs[input].shape().is_batched();
            Some(if shared { each.batch_sum() } else { each })
        };
        (0..d.inputs.len()).map(gradient).collect()
    }
}

impl Meaning for CustomGrad {
    fn name(&self) -> &'static str {
        "custom_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        let input = inputs[self.input];
        let batched = inputs.iter().any(|input| input.shape().is_batched());
        Ok(input.with_shape(input.shape().with_batch(batched)))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, dx| {
            let blocks = to_f32(run.inputs, image);
            let blocks = slices(&blocks);
            let [inputs @ .., output, gradient] = &blocks[..] else { unreachable!("inputs, output, gradient") };
            let mut gradients: Vec<Vec<f32>> = inputs.iter().map(|input| vec![0.0; input.len()]).collect();
            self.op.backward(inputs, output, gradient, &mut gradients);
            from_f32(&gradients[self.input], dx);
        })
    }
}

fn to_f32<F: Real>(tensors: &[&Tensor<F>], image: usize) -> Vec<Vec<f32>> {
    let block = |tensor: &&Tensor<F>| tensor.image(image).iter().map(|x| x.to_f32().unwrap_or(f32::NAN)).collect();
    tensors.iter().map(block).collect()
}

fn from_f32<F: Real>(from: &[f32], to: &mut [F]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = F::of(from.into());
    }
}

fn slices(blocks: &[Vec<f32>]) -> Vec<&[f32]> {
    blocks.iter().map(Vec::as_slice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_RANK;
    use crate::interpret::testing::{batched, gradients, value, whole};

    /// `y[row] = Σ_column x[row, column]² · weight[column]`.
    #[derive(Clone, Debug)]
    struct WeightedSquares;

    impl CustomOp for WeightedSquares {
        fn name(&self) -> &'static str {
            "weighted_squares"
        }

        fn forward(&self, inputs: &[&[f32]], output: &mut [f32]) {
            let [x, weight] = inputs else { panic!("two inputs") };
            for (y, row) in output.iter_mut().zip(x.chunks(weight.len())) {
                *y = row.iter().zip(*weight).map(|(x, w)| x * x * w).sum();
            }
        }

        fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], input_gradients: &mut [Vec<f32>]) {
            let [x, weight] = inputs else { panic!("two inputs") };
            let [dx, dw] = input_gradients else { panic!("a gradient for each input, and no more") };
            let mut again = vec![0.0; output.len()];
            self.forward(inputs, &mut again);
            assert_eq!(output, again, "backward sees what forward made");
            for (row, &dy) in gradient.iter().enumerate() {
                for (column, &w) in weight.iter().enumerate() {
                    let i = row * weight.len() + column;
                    dx[i] = 2.0 * x[i] * w * dy;
                    dw[column] += x[i] * x[i] * dy;
                }
            }
        }
    }

    fn apply(v: &[Var]) -> Var {
        v[0].custom_with(&WeightedSquares, &[v[1]], OutputShape::sizes([2]))
    }

    #[test]
    fn values_and_gradients_by_hand() {
        let inputs = [batched(&[2, 2], &[1.0, 2.0, 3.0, 4.0, 0.0, 1.0, -1.0, 0.0]), whole(&[2], &[10.0, 1.0])];
        assert_eq!(value(&inputs, apply).data(), [14.0, 106.0, 1.0, 10.0]);
        let [dx, dw] = &gradients(&inputs, apply)[..] else { panic!("two gradients") };
        assert_eq!(dx.data(), [20.0, 4.0, 60.0, 8.0, 0.0, 2.0, -20.0, 0.0]);
        assert_eq!(dw.data(), [11.0, 21.0], "the weight is one for all images: its gradient is summed over the batch");
    }

    #[test]
    fn sizes_are_what_the_call_says() {
        const X: ShapeVar = ShapeVar::image([3, 4, 4]);
        const SAME: ShapeVar = X.custom(&WeightedSquares, OutputShape::Same);
        const OTHER: ShapeVar = X.custom_with(&WeightedSquares, &[X], OutputShape::sizes([4, 2]));
        assert_eq!(SAME.shape(), X.shape());
        assert_eq!(OTHER.shape(), Shape::batched(&[4, 2]).unwrap());
        let weight = ShapeVar::new(Shape::whole(&[5]).unwrap());
        let of = |x: ShapeVar, others: &[ShapeVar]| OutputShape::Same.rule(&x, others).unwrap().shape();
        assert_eq!(of(weight, &[]), weight.shape(), "of whole values alone, whole");
        assert_eq!(of(weight, &[X]), Shape::batched(&[5]).unwrap());
    }

    #[test]
    fn impossible_sizes_are_named() {
        let words = "custom: output sizes must be at least 1, at most 6 of them, and come to at most 2^31 values per image\n  \
                     sizes so far:\n    input        3x4x4\n  \
                     mend it: OutputShape::sizes([…]) with such sizes, or OutputShape::Same";
        let x = ShapeVar::image([3, 4, 4]);
        assert_eq!(OutputShape::sizes([4, 0]).rule(&x, &[]).unwrap_err().to_string(), words);
        assert_eq!(OutputShape::sizes([1; MAX_RANK + 1]).rule(&x, &[]).unwrap_err().to_string(), words);
    }
}
