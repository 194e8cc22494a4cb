//! The ops: one page each.
//!
//! A page says what an op means: its parameters (a plain struct, which *is* the layer where it has no weights), its shape
//! rule (a `const fn`) with the methods on [`Var`] and on the twin [`ShapeVar`], a naive reference that every backend
//! answers to, and its derivative, written in ops. [`Op`] is the closed list of them; the rest of the crate speaks of
//! "an op" through [`Meaning`] and never of this op. To add one: write its page, add its row to the table below, and
//! follow the compiler.

use crate::tensor::{Real, Tensor};
use crate::{Shape, ShapeVar, SizeError, Var};

pub mod activation;
pub mod adaptive_avg_pool;
pub mod avg_pool;
pub mod batch;
pub mod batch_norm;
pub mod binary;
pub mod concat;
pub mod conv2d;
pub mod cross_entropy;
pub mod custom;
pub mod dropout;
pub mod expand;
pub mod layer_norm;
pub mod layer_scale;
pub mod leaf;
pub mod linear;
pub mod loss;
pub mod map;
pub mod matmul;
pub mod max_pool;
pub mod pad;
pub mod permute;
pub mod reduce;
pub mod reshape;
pub mod select;
pub mod slice;
pub mod softmax;
pub mod stochastic_depth;

/// What the page of an op says.
pub trait Meaning {
    /// PyTorch's name of the op.
    fn name(&self) -> &'static str;

    /// The shape rule.
    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError>;

    /// What the op computes, as a student would write it.
    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F>;

    /// The gradient by each input, in ops; `None` where there is none. Ops that only a backward pass makes have no
    /// derivative of their own.
    fn derivative(&self, _: &Derivative<'_>) -> Vec<Option<Var>> {
        unreachable!("{} stands in a backward pass and is not differentiated again", self.name())
    }

    /// Multiply-adds per image, for the summary; element-wise work counts as none.
    fn macs(&self, _inputs: &[Shape], _output: Shape) -> u64 {
        0
    }
}

/// What a reference is given.
pub struct Run<'a, F> {
    /// The op's inputs.
    pub inputs: &'a [&'a Tensor<F>],
    /// The shape that the rule found.
    pub shape: Shape,
    /// Images in the batch.
    pub batch: usize,
    /// The graph's inputs: images, labels.
    pub feeds: &'a [Tensor<F>],
    /// The parameters' values.
    pub parameters: &'a [Tensor<F>],
    /// The seed and the number of the step, for dropout.
    pub seed: u64,
    /// Number of the step.
    pub step: u32,
}

impl<F: Real> Run<'_, F> {
    /// A tensor of the op's output shape; `fill` writes the block of one image.
    pub fn per_image(&self, fill: impl FnMut(usize, &mut [F])) -> Tensor<F> {
        Tensor::per_image(self.shape, self.batch, fill)
    }
}

/// What a derivative is given.
pub struct Derivative<'a> {
    /// The op's inputs.
    pub inputs: &'a [Var],
    /// Its output.
    pub output: Var,
    /// The loss's gradient by the output.
    pub gradient: Var,
}

/// Makes the closed enum, and the matches that hand each question to the op's page.
macro_rules! table {
    ($($(#[$doc:meta])* $op:ident in $page:ident;)*) => {
        /// An op with its parameters.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(#[$doc])* $op($page::$op),)*
        }

        $(impl From<$page::$op> for Op {
            fn from(op: $page::$op) -> Self {
                Op::$op(op)
            }
        })*

        impl Meaning for Op {
            fn name(&self) -> &'static str {
                match self { $(Op::$op(op) => op.name(),)* }
            }

            fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
                match self { $(Op::$op(op) => Meaning::output(op, inputs),)* }
            }

            fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
                match self { $(Op::$op(op) => op.reference(run),)* }
            }

            fn derivative(&self, derivative: &Derivative<'_>) -> Vec<Option<Var>> {
                match self { $(Op::$op(op) => op.derivative(derivative),)* }
            }

            fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
                match self { $(Op::$op(op) => op.macs(inputs, output),)* }
            }
        }
    };
}

table! {
    /// Images or labels.
    Input in leaf;
    /// A weight or running statistic.
    ParameterValue in leaf;
    /// A number.
    Constant in leaf;

    /// A function of each value.
    Map in map;
    /// Its derivative.
    MapGrad in map;
    /// Arithmetic of two values, with broadcasting.
    Binary in binary;
    /// One of two values, by a condition.
    Select in select;
    /// Broadcasting by itself.
    Expand in expand;
    /// Matrix product.
    MatMul in matmul;
    /// Sum, mean, maximum over axes.
    Reduce in reduce;
    /// Softmax or its logarithm.
    Softmax in softmax;

    /// Other sizes, same values in the same order.
    Reshape in reshape;
    /// A border.
    Pad in pad;
    /// A part.
    Slice in slice;
    /// Joined along an axis.
    Concat in concat;
    /// Another order of axes.
    Permute in permute;

    /// Sum or mean over the batch.
    BatchSum in batch;
    /// The same value for every image.
    BatchExpand in batch;
    /// Mean, spread, share of zeros.
    Statistics in batch;

    /// Convolution.
    Conv2d in conv2d;
    /// Its gradient by the image.
    Conv2dInputGrad in conv2d;
    /// Its gradient by the weight.
    Conv2dWeightGrad in conv2d;
    /// Dense layer.
    Linear in linear;
    /// Its gradient by the input.
    LinearInputGrad in linear;
    /// Its gradient by the weight.
    LinearWeightGrad in linear;

    /// Max pooling.
    MaxPool2d in max_pool;
    /// Its gradient.
    MaxPool2dGrad in max_pool;
    /// Average pooling.
    AvgPool2d in avg_pool;
    /// Its gradient.
    AvgPool2dGrad in avg_pool;
    /// Average pooling to a given size.
    AdaptiveAvgPool2d in adaptive_avg_pool;
    /// Its gradient.
    AdaptiveAvgPool2dGrad in adaptive_avg_pool;

    /// Mean and variance of each channel over the batch.
    BatchStatistics in batch_norm;
    /// Normalisation by given statistics.
    BatchNorm in batch_norm;
    /// The two sums of its backward pass.
    BatchNormSums in batch_norm;
    /// Its gradient by the input.
    BatchNormGrad in batch_norm;
    /// Random zeros.
    DropoutMask in dropout;

    /// Cross-entropy of each image.
    CrossEntropy in cross_entropy;
    /// Its gradient.
    CrossEntropyGrad in cross_entropy;

    /// A user's own op.
    Custom in custom;
    /// Its gradient.
    CustomGrad in custom;
}

/// `?` for `const fn`.
macro_rules! ok {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(error) => return Err(error),
        }
    };
}
pub(crate) use ok;
