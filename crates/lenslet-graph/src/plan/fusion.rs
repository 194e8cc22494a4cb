//! Which ops one step does together.
//!
//! A pass over a large value waits for memory, not for arithmetic, so a step does whatever can be done with a number while
//! it is in a register. Forward, that is a [`Chain`]: a convolution or dense layer and the activation behind it; batch
//! normalisation, the sum with a residual, and the activation; such a sum and the activation. In evaluation the
//! normalisation behind a convolution goes into its weights. A convolution whose windows all lie within the image does max
//! pooling by 2×2, too: what the backward pass wants of its own values is one number per window, which of the four had won,
//! or that ReLU's slope was 0 there, and so [`Winners`] stand for both gradients. Backward, the sum of two gradients is taken by the gradient of
//! the activation that reads it; and the gradient of an activation behind batch normalisation is a [`Slope`], which the
//! normalisation's own backward steps work out as they go.
//!
//! Invariant: a node is fused away only if what reads it does its work, so never one that is a result of the graph: that
//! counts as read by more than a step.

use std::collections::HashMap;

use crate::ops::Op;
use crate::ops::binary::Binary;
use crate::ops::conv2d::Conv2d;
use crate::ops::map::{Map, MapGrad};
use crate::window::AxisWindow;
use crate::{Graph, NodeId};

/// Ops of the forward pass in a row, done by one step that stands in the place of the last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// What it begins with.
    pub(super) first: NodeId,
    /// The normalisation that is folded into the convolution.
    pub(super) norm: Option<NodeId>,
    /// What is added behind the normalisation.
    pub(super) residual: Option<NodeId>,
    pub(super) activation: Option<Map>,
    /// Max pooling by 2×2 behind all that.
    pub(super) pooling: Option<Pooling>,
}

/// What a convolution that pools hands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The greatest values alone.
    Alone,
    /// And their numbers in the windows.
    WithWinners,
}

/// The gradient of a pooling, and of a ReLU before it, made from the winners.
#[derive(Clone, Copy, Debug)]
pub(super) struct Winners {
    /// The pooling.
    pub(super) pool: NodeId,
    /// The gradient by its output.
    pub(super) gradient: NodeId,
}

/// The gradient of an activation behind batch normalisation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slope {
    pub(super) map: Map,
    /// The normalisation.
    pub(super) norm: NodeId,
    /// The gradient by the activation's output.
    pub(super) gradient: NodeId,
}

/// All fusions of a graph.
pub(super) struct Fusions {
    /// By the last node of each.
    chains: HashMap<NodeId, Chain>,
    slopes: HashMap<NodeId, Slope>,
    /// The sum of two gradients, by the gradient of an activation that takes it.
    sums: HashMap<NodeId, NodeId>,
    /// By the node whose value is made from them.
    winners: HashMap<NodeId, Winners>,
    /// Nodes without a step of their own.
    away: Vec<bool>,
    /// The steps that read each node's value, by their nodes; what is fused away reads nothing.
    readers: Vec<Vec<NodeId>>,
}

impl Fusions {
    pub(super) fn new(graph: &Graph, live: &[bool]) -> Self {
        let none = vec![false; graph.nodes.len()];
        let readers = readers(graph, live);
        let (chains, slopes, sums, winners) = Default::default();
        let mut all = Self { chains, slopes, sums, winners, away: none, readers };
        let live = || graph.ids().filter(|id| live[id.index()]);
        // First, for what a slope does not read any more may have a single reader left.
        live().for_each(|id| all.find_slope(graph, id));
        live().for_each(|id| all.find_chain(graph, id));
        all
    }

    /// Whether the node has no step of its own.
    pub(super) fn is_away(&self, id: NodeId) -> bool {
        self.away[id.index()]
    }

    /// The chain that ends in this node.
    pub(super) fn chain(&self, id: NodeId) -> Option<Chain> {
        self.chains.get(&id).copied()
    }

    /// What stands for this gradient, if that is an activation's behind batch normalisation.
    pub(super) fn slope(&self, gradient: NodeId) -> Option<Slope> {
        self.slopes.get(&gradient).copied()
    }

    /// The sum that this gradient of an activation takes.
    pub(super) fn sum(&self, id: NodeId) -> Option<NodeId> {
        self.sums.get(&id).copied()
    }

    /// What this node's value is made from, if that is winners.
    pub(super) fn winners(&self, id: NodeId) -> Option<Winners> {
        self.winners.get(&id).copied()
    }

    /// The nodes whose steps read this node's value.
    pub(super) fn readers(&self, id: NodeId) -> &[NodeId] {
        &self.readers[id.index()]
    }

    fn find_slope(&mut self, graph: &Graph, id: NodeId) {
        let node = graph.node(id);
        let Op::MapGrad(MapGrad { map }) = node.op else { return };
        let &[saved, gradient] = node.inputs.as_slice() else { unreachable!("two inputs") };
        let norm = match graph.node(saved).op {
            Op::Map(forward) if forward == map && map.saves_output() => graph.node(saved).inputs[0],
            _ => saved,
        };
        let Op::BatchNorm(op) = graph.node(norm).op else { return };
        if map.saves_output() != (norm != saved) {
            return;
        }
        let [x, statistics, weight] = [0, 1, 2].map(|i| graph.node(norm).inputs[i]);
        let is_backward = |&reader: &NodeId| match (&graph.node(reader).op, graph.node(reader).inputs.as_slice()) {
            (Op::BatchNormSums(sums), inputs) => sums.eps == op.eps && inputs == [x, statistics, id],
            (Op::BatchNormGrad(grad), &[a, b, c, _, dy]) => {
                grad.eps == op.eps && [a, b, c, dy] == [x, statistics, weight, id]
            }
            _ => false,
        };
        if !self.readers(id).iter().all(is_backward) {
            return;
        }
        self.away[id.index()] = true;
        self.slopes.insert(id, Slope { map, norm, gradient });
        self.readers[saved.index()].retain(|&reader| reader != id);
        let readers = std::mem::take(&mut self.readers[id.index()]);
        self.readers[gradient.index()].retain(|&reader| reader != id);
        self.readers[gradient.index()].extend(readers);
    }

    fn find_chain(&mut self, graph: &Graph, id: NodeId) {
        if self.is_away(id) || self.chains.contains_key(&id) || !graph.node(id).shape().is_batched() {
            return;
        }
        let mut nodes = vec![id];
        let mut chain = Chain { first: id, norm: None, residual: None, activation: None, pooling: None };
        match graph.node(id).op {
            Op::Conv2d(_) => {
                chain.norm = self.only_reader(id).filter(|&reader| match &graph.node(reader).op {
                    Op::BatchNorm(norm) => !norm.training && graph.node(reader).inputs[0] == id,
                    _ => false,
                });
                nodes.extend(chain.norm);
            }
            Op::Linear(_) => {}
            Op::BatchNorm(_) => {
                if let Some((sum, other)) = self.only_reader(id).and_then(|sum| self.residual(graph, id, sum)) {
                    chain.residual = Some(other);
                    nodes.push(sum);
                }
            }
            Op::Binary(Binary::Add) if self.residual(graph, graph.node(id).inputs[0], id).is_some() => {
                if let Some(grad) = self.only_reader(id).filter(|&reader| takes_gradient(graph, reader, id)) {
                    self.sums.insert(grad, id);
                    self.away[id.index()] = true;
                    return;
                }
            }
            _ => return,
        }
        if let Some(map) = self.only_reader(*nodes.last().expect("one at least"))
            && let Op::Map(activation) = graph.node(map).op
        {
            chain.activation = Some(activation);
            nodes.push(map);
        }
        if let Op::Conv2d(layer) = &graph.node(id).op
            && suits_pooling(layer, chain.activation)
        {
            let result = *nodes.last().expect("one at least");
            nodes.extend(self.find_pooling(graph, result, &mut chain));
        }
        let last = nodes.pop().expect("one at least");
        if !nodes.is_empty() {
            nodes.iter().for_each(|node| self.away[node.index()] = true);
            self.chains.insert(last, chain);
        }
    }

    /// The pooling that reads `result`, alone or with its gradient.
    fn find_pooling(&mut self, graph: &Graph, result: NodeId, chain: &mut Chain) -> Option<NodeId> {
        let readers = self.readers(result).to_vec();
        let reader = |wanted: fn(&Op) -> bool| readers.iter().copied().find(|&reader| wanted(&graph.node(reader).op));
        let pool = reader(|op| matches!(op, Op::MaxPool2d(_)))?;
        if !are_quarters(graph, pool) {
            return None;
        }
        let gradient = reader(|op| matches!(op, Op::MaxPool2dGrad(_)));
        let last = match (gradient, chain.activation, readers.len()) {
            (None, _, 1) => {
                chain.pooling = Some(Pooling::Alone);
                return Some(pool);
            }
            (Some(gradient), None, 2) => gradient,
            // ReLU's gradient must be all that reads the pooling's.
            (Some(gradient), Some(_), 3) => self.only_reader(gradient).filter(|slope| readers.contains(slope))?,
            _ => return None,
        };
        let gradient = gradient.expect("it was there");
        if last != gradient {
            self.away[gradient.index()] = true;
        }
        chain.pooling = Some(Pooling::WithWinners);
        self.winners.insert(last, Winners { pool, gradient: graph.node(gradient).inputs[1] });
        self.readers[result.index()].retain(|&reader| reader == pool);
        self.readers[pool.index()].push(last);
        Some(pool)
    }

    /// The one step that reads the node's value.
    fn only_reader(&self, id: NodeId) -> Option<NodeId> {
        match self.readers(id) {
            &[reader] if reader != id => Some(reader),
            _ => None,
        }
    }

    /// `sum`, and its other operand, if it adds two values of images number by number and is not yet part of a chain.
    fn residual(&self, graph: &Graph, operand: NodeId, sum: NodeId) -> Option<(NodeId, NodeId)> {
        let node = graph.node(sum);
        let other = match (&node.op, node.inputs.as_slice()) {
            (Op::Binary(Binary::Add), &[a, b]) if a == operand => b,
            (Op::Binary(Binary::Add), &[a, b]) if b == operand => a,
            _ => return None,
        };
        let alike = node.inputs.iter().all(|&input| graph.node(input).shape() == node.shape());
        let free = !self.is_away(sum) && !self.chains.contains_key(&sum);
        (alike && free && node.shape().is_batched()).then_some((sum, other))
    }
}

/// Whether `id` is the gradient of an activation, by `gradient` and something else.
fn takes_gradient(graph: &Graph, id: NodeId, gradient: NodeId) -> bool {
    let node = graph.node(id);
    matches!(node.op, Op::MapGrad(_)) && node.inputs[1] == gradient && node.inputs[0] != gradient
}

/// Whether a convolution may pool: all pixels of a window must meet the same taps, so there is no padding; the activation
/// is ReLU or none; and a wide 3×3 convolution has faster ways than the one that can pool.
fn suits_pooling(layer: &Conv2d, activation: Option<Map>) -> bool {
    let window = layer.window();
    let padded = [window.height, window.width].iter().any(|axis| axis.before + axis.after > 0);
    !padded
        && matches!(activation, None | Some(Map::Relu))
        && (layer.kernel_size() != [3, 3] || layer.in_channels() < 16)
}

/// Whether the windows are 2×2, side by side, and whole.
fn are_quarters(graph: &Graph, pool: NodeId) -> bool {
    let node = graph.node(pool);
    let Op::MaxPool2d(layer) = &node.op else { return false };
    let window = layer.window();
    let halves = |axis: AxisWindow| (axis.kernel, axis.stride, axis.before, axis.dilation) == (2, 2, 0, 1);
    let (from, to) = (graph.node(node.inputs[0]).shape(), node.shape());
    halves(window.height) && halves(window.width) && [1, 2].iter().all(|&axis| 2 * to.dim(axis) <= from.dim(axis))
}

/// The live nodes that read each node.
fn readers(graph: &Graph, live: &[bool]) -> Vec<Vec<NodeId>> {
    let mut readers = vec![vec![]; graph.nodes.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        for input in &graph.node(id).inputs {
            readers[input.index()].push(id);
        }
    }
    for (_, output) in &graph.outputs {
        // A result that the user sees is read by more than a step.
        readers[output.index()].push(*output);
    }
    readers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Options, Plan, check};
    use crate::record::add_cross_entropy;
    use crate::{BatchNorm2d, Conv2d, Mode, Module, Network, Role, Shape, Var, Visitor, differentiate, record};

    /// Convolution, normalisation, ReLU; and then the same, perhaps with what went in added in front of the ReLU.
    struct Net {
        layers: [(Conv2d, BatchNorm2d); 2],
        residual: bool,
    }

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            for (i, (conv, norm)) in self.layers.iter().enumerate() {
                visitor.field(["conv1", "conv2"][i], conv);
                visitor.field(["norm1", "norm2"][i], norm);
            }
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            let [(conv1, norm1), (conv2, norm2)] = &self.layers;
            let x = norm1.forward(conv1.forward(x)).relu();
            let y = norm2.forward(conv2.forward(x));
            let y = if self.residual { (x + y).relu() } else { y.relu() };
            y.mean([1, 2])
        }
    }

    fn graph(residual: bool, mode: Mode) -> Graph {
        let layers = [(Conv2d::new(4, 4, 3).padding(1), BatchNorm2d::new(4)); 2];
        let recording = record(&Net { layers, residual }, Shape::image(4, 5, 5), mode);
        recording.output.expect("the sizes fit");
        let mut graph = recording.graph;
        if mode == Mode::Train {
            add_cross_entropy(&mut graph, 0.0).expect("the sizes fit");
            differentiate::differentiate(&mut graph).expect("the loss is one number");
        }
        graph
    }

    /// How many steps with each name that begins like this the plan has.
    fn count<const N: usize>(graph: &Graph, names: [&str; N]) -> [usize; N] {
        let plan = Plan::new(graph, Options::new(9, 4));
        assert_eq!(check::check(&plan), Ok(()));
        let steps: Vec<String> = plan.stages.iter().flat_map(|stage| &stage.tile).map(|s| s.to_string()).collect();
        names.map(|name| steps.iter().filter(|step| step.split(' ').next() == Some(name)).count())
    }

    fn find(graph: &Graph, is: impl Fn(&Op) -> bool) -> NodeId {
        graph.ids().find(|id| is(&graph.node(*id).op)).expect("there is one")
    }

    #[test]
    fn normalisation_takes_the_activation_forward_and_backward() {
        let names = ["BatchNorm+Relu", "BatchNormSums+Relu", "BatchNormGrad+Relu", "Map", "MapGrad", "BatchNorm"];
        // One of the three is the first layer's result, made again for the second's gradient; the one function by itself is
        // of the loss.
        assert_eq!(count(&graph(false, Mode::Train), names), [3, 2, 2, 1, 0, 0]);
    }

    #[test]
    fn a_residual_is_added_in_the_pass_of_the_normalisation() {
        let names = ["BatchNorm+Relu", "BatchNormSums+Relu", "BatchNormSums", "MapGrad", "Binary", "Map"];
        // The last ReLU's gradient goes past the normalisation, too. Where both meet again there is a sum, and then nothing
        // but normalisation reads the first ReLU's. The function by itself is of the loss.
        assert_eq!(count(&graph(true, Mode::Train), names), [3, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn gradients_that_meet_at_an_activation_are_added_there() {
        let mut graph = graph(true, Mode::Train);
        let relu = find(&graph, |op| matches!(op, Op::Map(Map::Relu)));
        let grad = |id: &NodeId| matches!(graph.node(*id).op, Op::MapGrad(_)) && graph.node(*id).inputs[0] == relu;
        let grad = graph.ids().find(grad).expect("it has a gradient");
        // Looked at, it cannot be worked out by the normalisation behind it.
        graph.outputs.push((Role::Value(grad), grad));
        assert_eq!(count(&graph, ["AddMapGrad+Relu", "Binary", "BatchNormSums"]), [1, 0, 2]);
    }

    #[test]
    fn evaluation_folds_normalisation_into_the_convolution() {
        let names = ["Conv2d+Relu", "Conv2d", "AddMap+Relu", "BatchNorm", "BatchNorm+Relu"];
        assert_eq!(count(&graph(false, Mode::Eval), names), [2, 0, 0, 0, 0]);
        assert_eq!(count(&graph(true, Mode::Eval), names), [1, 1, 1, 0, 0]);
    }

    #[test]
    fn what_is_looked_at_has_a_step_of_its_own() {
        let mut graph = graph(false, Mode::Eval);
        let conv = find(&graph, |op| matches!(op, Op::Conv2d(_)));
        graph.outputs.push((Role::Value(conv), conv));
        let names = ["Conv2d", "BatchNorm+Relu", "BatchNorm", "Map"];
        assert_eq!(count(&graph, names), [1, 1, 0, 0]);
        let norm = find(&graph, |op| matches!(op, Op::BatchNorm(_)));
        graph.outputs.push((Role::Value(norm), norm));
        assert_eq!(count(&graph, names), [1, 0, 1, 1]);
    }
}
