//! The recorded graph: nodes in the order in which they were made, which is an order in which they can be run.
//!
//! Invariant: a node's inputs have smaller numbers than the node. The graph is plain data; it knows ops and shapes, no
//! layers, no kernels and no weights' values.

use std::panic::Location;
use std::sync::Arc;

use crate::{Op, Shape, ShapeVar};

/// A node's number in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// As an index into [`Graph::nodes`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One value: the op that makes it, from which inputs, and where the user wrote it.
#[derive(Clone, Debug)]
pub struct Node {
    /// The op.
    pub op: Op,
    /// The op's inputs.
    pub inputs: Vec<NodeId>,
    /// The value's sizes, and how they came about.
    pub sizes: ShapeVar,
    /// The layer that made it, `layer1.conv2`; empty outside of layers.
    pub module: Arc<str>,
    /// The user's line.
    pub at: &'static Location<'static>,
}

impl Node {
    /// The value's shape.
    pub const fn shape(&self) -> Shape {
        self.sizes.shape()
    }
}

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Uniform in ±bound.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// The same value everywhere.
    Constant(f32),
}

/// A weight or a running statistic, under the name that PyTorch's `state_dict` gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// `conv1.weight`.
    pub name: String,
    /// Its sizes; never batched.
    pub shape: Shape,
    /// How it begins.
    pub init: Init,
    /// Whether the optimizer changes it; running statistics are updated by the forward pass instead.
    pub trainable: bool,
}

/// What a graph's output is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The network's result.
    Logits,
    /// The mean loss of the batch.
    Loss,
    /// The loss's gradient by the parameter of this number.
    Gradient(usize),
    /// What the parameter of this number becomes when the step ends.
    Update(usize),
    /// Statistics that the user asked for, under this name.
    Watch(String),
    /// Any value, kept for a closer look.
    Value(NodeId),
}

/// A recorded computation.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Values, inputs before users.
    pub nodes: Vec<Node>,
    /// Parameters, in order of first use.
    pub parameters: Vec<Parameter>,
    /// Shapes of the inputs: the images, then the labels.
    pub inputs: Vec<Shape>,
    /// What is wanted of it.
    pub outputs: Vec<(Role, NodeId)>,
}

impl Graph {
    /// The node of this number.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The output of this role.
    pub fn output(&self, role: &Role) -> Option<NodeId> {
        self.outputs.iter().find(|(r, _)| r == role).map(|&(_, id)| id)
    }

    /// Whether it makes gradients, or anything else by which its parameters change from run to run.
    pub fn trains(&self) -> bool {
        self.outputs.iter().any(|(role, _)| matches!(role, Role::Gradient(_) | Role::Update(_)))
    }

    /// All node numbers, inputs before users.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Which nodes the outputs need.
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for (_, output) in &self.outputs {
            live[output.index()] = true;
        }
        for id in self.ids().rev() {
            if live[id.index()] {
                for input in &self.node(id).inputs {
                    live[input.index()] = true;
                }
            }
        }
        live
    }
}

/// Numbers of a cache line.
pub(crate) const LINE: usize = 16;

/// Numbers that keep apart what different cores write to: 64 KiB of memory that nobody touches, and a line more, or neighbours
/// would take each other's places in the first cache. Without them cores that share no cache were a fifth slower in training the
/// lesson's network on few images; half of that with 8 KiB. It is supposed, not known, that a core has lines fetched ahead of
/// what it goes through, beyond its end, which others must then get back.
pub const GAP: usize = (1 << 14) + LINE;

/// Numbers that a value takes, so that the next one begins a cache line, and behind a large one a [`GAP`] away.
pub(crate) fn room(len: usize) -> usize {
    len.next_multiple_of(LINE) + if len < GAP { 0 } else { GAP }
}

/// Where each parameter begins when all stand one behind the other, and at the end their length. Each begins a cache line, so
/// that vectors of its rows do not cross from one to the next: that takes twice as long. What lies between is 0.
pub fn offsets(parameters: &[Parameter]) -> Vec<usize> {
    let mut offsets = vec![0];
    for parameter in parameters {
        offsets.push(offsets[offsets.len() - 1] + room(parameter.shape.len()));
    }
    offsets
}
