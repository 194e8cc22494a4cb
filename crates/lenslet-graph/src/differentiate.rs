//! Differentiation: reverse mode, graph to graph.
//!
//! Nodes are walked from the loss back to the first; each hands the gradient of its output on to its inputs, in the words
//! of [`Meaning::derivative`], and a value that several nodes use has the sum of what they hand it. What comes of it are
//! ordinary nodes behind the forward pass, each under the module and source line of the node that it belongs to, so that
//! a backward pass is checked, planned and drawn as any other.
//!
//! Invariant: the result depends on the graph alone; gradients are outputs in the order of their parameters. A node that
//! no trainable parameter reaches is not differentiated, so there is no gradient by the images. A derivative may record
//! more than is needed (a convolution's, the gradient by its input); [`Graph::live`] tells what is.

use crate::ops::leaf::ParameterValue;
use crate::ops::{Derivative, Meaning};
use crate::record::{RecordError, RecordMistake, extend};
use crate::{Graph, Mistake, Mode, Node, NodeId, Op, Role, Shape, SizeError, Var};

#[cfg(test)]
mod gradients;

/// Adds the backward pass of the output [`Role::Loss`]: an output [`Role::Gradient`] for every trainable parameter on which
/// the loss depends. For a parameter on which it does not there is none; its gradient is zero.
///
/// # Errors
/// If the loss is not one number for the whole batch.
///
/// # Panics
/// If the graph has no output [`Role::Loss`].
pub fn differentiate(graph: &mut Graph) -> Result<(), RecordError> {
    let loss = graph.output(&Role::Loss).expect("a graph to be differentiated has a loss");
    let sizes = graph.node(loss).sizes;
    if sizes.shape() != Shape::scalar(false) {
        let error = SizeError { op: "loss", mistake: Mistake::Loss, arrived: sizes };
        return Err(mistake_at(graph.node(loss), RecordMistake::Size(Box::new(error))));
    }
    let trained = trained(graph);
    let mut gradients: Vec<Option<Var>> = vec![None; graph.nodes.len()];
    let first = graph.nodes.len();
    gradients[loss.index()] = Some(extend(graph, Mode::Train, || Var::constant(1.0, Shape::scalar(false)))?);
    belongs_to(graph, first, loss);
    for id in (0..=loss.0).rev().map(NodeId) {
        let node = graph.node(id).clone();
        let Some(gradient) = gradients[id.index()].filter(|_| trained[id.index()]) else { continue };
        let first = graph.nodes.len();
        let handed_on = extend(graph, Mode::Train, || hand_on(&node, id, gradient, &trained, &mut gradients));
        handed_on.map_err(|error| mistake_at(&node, error.mistake))?;
        belongs_to(graph, first, id);
    }
    let mut outputs = Vec::new();
    for (node, gradient) in graph.nodes.iter().zip(&gradients) {
        if let (Op::ParameterValue(ParameterValue { index }), Some(gradient)) = (&node.op, gradient) {
            let gradient = gradient.id().expect("nothing went wrong");
            outputs.push((Role::Gradient(*index), gradient));
        }
    }
    outputs.sort_by_key(|(role, _)| if let Role::Gradient(index) = role { *index } else { unreachable!() });
    graph.outputs.extend(outputs);
    Ok(())
}

/// Adds to the gradients of the node's inputs.
fn hand_on(node: &Node, id: NodeId, gradient: Var, trained: &[bool], gradients: &mut [Option<Var>]) {
    let inputs: Vec<Var> = node.inputs.iter().map(|&input| Var::from_id(Some(input))).collect();
    let output = Var::from_id(Some(id));
    let contributions = node.op.derivative(&Derivative { inputs: &inputs, output, gradient });
    // An op with optional inputs may answer for one that it was not given.
    assert!(contributions.len() >= inputs.len(), "{} owes an answer for each input", node.op.name());
    for ((input, &id), contribution) in inputs.iter().zip(&node.inputs).zip(contributions) {
        let Some(contribution) = contribution.filter(|_| trained[id.index()]) else { continue };
        // After a mistake there are no sizes; it is reported by the caller.
        if contribution.id().is_some() {
            assert_eq!(contribution.shape(), input.shape(), "gradient by an input of {}", node.op.name());
        }
        let sum = &mut gradients[id.index()];
        *sum = Some(sum.map_or(contribution, |sum| sum + contribution));
    }
}

/// Which nodes a trainable parameter reaches.
fn trained(graph: &Graph) -> Vec<bool> {
    let mut trained = vec![false; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        trained[i] = match &node.op {
            Op::ParameterValue(ParameterValue { index }) => graph.parameters[*index].trainable,
            _ => node.inputs.iter().any(|input| trained[input.index()]),
        };
    }
    trained
}

/// Puts the nodes from `first` on under module and line of the forward node `id`.
fn belongs_to(graph: &mut Graph, first: usize, id: NodeId) {
    let (forward, backward) = graph.nodes.split_at_mut(first);
    let node = &forward[id.index()];
    for new in backward {
        (new.module, new.at) = (node.module.clone(), node.at);
    }
}

fn mistake_at(node: &Node, mistake: RecordMistake) -> RecordError {
    RecordError { mistake, module: node.module.clone(), at: node.at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::interpret;
    use crate::interpret::testing::{parameter, whole};

    fn graph_of(loss: impl FnOnce() -> Var) -> Graph {
        let mut graph = Graph::default();
        extend(&mut graph, Mode::Train, || loss().want(Role::Loss)).unwrap();
        graph
    }

    #[test]
    fn a_value_used_twice_has_the_sum_and_outputs_are_ordered() {
        let mut graph = graph_of(|| {
            let [a, b] = ["a", "b"].map(|name| parameter(name, Shape::scalar(false), true));
            parameter("unused", Shape::scalar(false), true);
            let frozen = parameter("frozen", Shape::scalar(false), false);
            b * a * a + b * frozen
        });
        differentiate(&mut graph).unwrap();
        let roles: Vec<&Role> = graph.outputs.iter().map(|(role, _)| role).collect();
        assert_eq!(roles, [&Role::Loss, &Role::Gradient(0), &Role::Gradient(1)]);
        let parameters = [3.0, 5.0, 0.0, 7.0].map(|value| whole(&[], &[value]));
        let values = interpret::<f64>(&graph, 1, &[], &parameters, 0, 0);
        let of = |index| values[graph.output(&Role::Gradient(index)).unwrap().index()].data()[0];
        assert_eq!([of(0), of(1)], [2.0 * 3.0 * 5.0, 9.0 + 7.0]);
    }

    #[test]
    fn backward_nodes_bear_the_line_of_their_forward_node() {
        let mut line = 0;
        let mut graph = graph_of(|| {
            let x = parameter("x", Shape::scalar(false), true);
            line = line!() + 1;
            x.exp()
        });
        let forward = graph.nodes.len();
        differentiate(&mut graph).unwrap();
        assert!(graph.nodes.len() > forward);
        assert!(graph.nodes[forward..].iter().all(|node| node.at.line() == line));
    }

    #[test]
    fn what_no_parameter_reaches_is_not_differentiated() {
        let mut graph = graph_of(|| {
            let images = Var::input(Shape::scalar(true)).exp();
            (images + parameter("bias", Shape::scalar(false), true)).batch_mean()
        });
        differentiate(&mut graph).unwrap();
        assert!(!graph.nodes.iter().any(|node| node.op.name() == "map_grad"));
    }

    #[test]
    fn the_loss_must_be_one_number() {
        let mut graph = graph_of(|| Var::input(Shape::batched(&[10]).unwrap()) + 1.0);
        let text = differentiate(&mut graph).unwrap_err().to_string();
        let expected = "loss: expects one number for the whole batch, but 10 per image arrives\n  \
                        sizes so far:\n    input        10\n  \
                        mend it: mean([]) over its axes, then batch_mean() over the images\n  at: ";
        assert!(text.starts_with(expected), "{text}");
    }
}
