//! The interpreter: runs a graph by the references of its ops, node after node.
//!
//! This is the definition of right. It is slow on purpose: no fusion, no threads, every value kept. Backends, the planner
//! and the derivatives answer to it, in `f64` where differences are taken.

use crate::ops::{Meaning, Run};
use crate::tensor::{Real, Tensor};
use crate::{Graph, Shape};

#[cfg(test)]
pub(crate) mod testing;

/// The value of every node, in the order of [`Graph::nodes`].
///
/// `feeds` are the graph's inputs and `parameters` its parameters, each in the graph's order; `batch` is the number of
/// images, and `seed` and `step` fix what dropout draws.
///
/// # Panics
/// If feeds or parameters are too few or of other shapes than the graph says.
pub fn interpret<F: Real>(
    graph: &Graph,
    batch: usize,
    feeds: &[Tensor<F>],
    parameters: &[Tensor<F>],
    seed: u64,
    step: u32,
) -> Vec<Tensor<F>> {
    fitting("feeds", feeds, graph.inputs.iter().copied(), batch);
    fitting("parameters", parameters, graph.parameters.iter().map(|p| p.shape), batch);
    let mut values: Vec<Tensor<F>> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let inputs: Vec<&Tensor<F>> = node.inputs.iter().map(|id| &values[id.index()]).collect();
        let run = Run { inputs: &inputs, shape: node.shape(), batch, feeds, parameters, seed, step };
        let value = node.op.reference(&run);
        assert_eq!(value.shape(), node.shape(), "the reference of {} and its shape rule differ", node.op.name());
        values.push(value);
    }
    values
}

fn fitting<F: Real>(what: &str, given: &[Tensor<F>], expected: impl ExactSizeIterator<Item = Shape>, batch: usize) {
    assert_eq!(given.len(), expected.len(), "number of {what}");
    for (i, (given, shape)) in given.iter().zip(expected).enumerate() {
        let blocks = if shape.is_batched() { batch } else { 1 };
        assert_eq!((given.shape(), given.blocks()), (shape, blocks), "{what}: shape and blocks of number {i}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::extend;
    use crate::{Mode, Var};

    #[test]
    fn every_node_has_its_value() {
        let mut graph = Graph::default();
        let run = || (Var::input(Shape::batched(&[2]).unwrap()) * 2.0).sum(0).batch_mean();
        extend(&mut graph, Mode::Eval, run).unwrap();
        let feed = testing::batched(&[2], &[1.0, 2.0, 3.0, 4.0]);
        let values = interpret(&graph, 2, &[feed], &[], 0, 0);
        let data: Vec<&[f64]> = values.iter().map(|value| value.data()).collect();
        assert_eq!(data, [&[1.0, 2.0, 3.0, 4.0][..], &[2.0, 4.0, 6.0, 8.0], &[6.0, 14.0], &[10.0]]);
    }

    #[test]
    #[should_panic(expected = "feeds: shape and blocks of number 0")]
    fn a_feed_of_another_batch_is_refused() {
        let mut graph = Graph::default();
        extend(&mut graph, Mode::Eval, || Var::input(Shape::scalar(true))).unwrap();
        interpret(&graph, 2, &[testing::batched(&[], &[1.0])], &[], 0, 0);
    }
}
