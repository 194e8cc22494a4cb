//! Where values come from: the graph's inputs, its parameters, and constants.

use super::{Derivative, Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Shape, ShapeVar, SizeError, Var};

/// The graph's input of this number. The recorder makes it, and gives it its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// 0 for the images, 1 for the labels.
    pub index: usize,
}

/// The parameter of this number. The recorder makes it, and gives it its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterValue {
    /// Index into the graph's parameters.
    pub index: usize,
}

/// A whole value that is the same number everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constant {
    /// The number.
    pub value: f32,
    /// The sizes.
    pub shape: Shape,
}

impl Meaning for Input {
    fn name(&self) -> &'static str {
        "input"
    }

    fn output(&self, _: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        unreachable!("the recorder adds inputs itself")
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.feeds[self.index].clone()
    }

    fn derivative(&self, _: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![]
    }
}

impl Meaning for ParameterValue {
    fn name(&self) -> &'static str {
        "parameter"
    }

    fn output(&self, _: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        unreachable!("the recorder adds parameters itself")
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.parameters[self.index].clone()
    }

    fn derivative(&self, _: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![]
    }
}

impl Meaning for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn output(&self, _: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(ShapeVar::new(self.shape))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|_, block| block.fill(F::of(self.value.into())))
    }

    fn derivative(&self, _: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![]
    }
}
