//! The table of a network: what each line of its forward pass does to the sizes, and what it costs.
//!
//! Where sizes do not fit, the table ends at the culprit, and the mistake follows.

use std::sync::Arc;

use lenslet_graph::ops::Meaning;
use lenslet_graph::{Graph, Message, Mode, Network, NodeId, Op, RecordError, Shape, record};
use serde::Serialize;

/// One line of the forward pass.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The layer, `layer1.conv2`; empty for operations outside of layers.
    pub name: String,
    /// What it does, `conv2d`.
    pub op: String,
    /// C×H×W that comes out.
    pub output: String,
    /// How the height (and, where it differs, the width) came about: `(32 - 5)/1 + 1 = 28`.
    pub arithmetic: String,
    /// Numbers that training changes; a layer that is used twice counts at its first use.
    pub parameters: usize,
    /// Multiply-adds per image.
    pub macs: u64,
    /// Bytes of the result per image.
    pub memory: u64,
    /// File of the user's source.
    pub file: String,
    /// Line in it.
    pub line: u32,
}

/// The table.
#[derive(Clone, Debug)]
pub struct Summary {
    /// In order of execution.
    pub rows: Vec<Row>,
    /// The input's sizes.
    pub input: Shape,
    /// Numbers that training changes, in all.
    pub parameters: usize,
    /// The mistake at which the table ends, if there is one.
    pub mistake: Option<RecordError>,
}

impl Summary {
    /// The table of `network` for images of sizes `input`.
    pub fn new(network: &dyn Network, input: Shape) -> Self {
        let recording = record(network, input, Mode::Eval);
        let graph = &recording.graph;
        let mut rows = vec![];
        let mut counted = vec![false; graph.parameters.len()];
        for group in groups(graph) {
            rows.push(row(graph, &group, &mut counted));
        }
        let parameters = graph.parameters.iter().filter(|p| p.trainable).map(|p| p.shape.len()).sum();
        Self { rows, input, parameters, mistake: recording.output.err() }
    }

    /// Multiply-adds per image, in all.
    pub fn macs(&self) -> u64 {
        self.rows.iter().map(|row| row.macs).sum()
    }

    /// Bytes of all results per image, in all.
    pub fn memory(&self) -> u64 {
        self.rows.iter().map(|row| row.memory).sum()
    }
}

/// Nodes that are one line of the user's: a layer's inner steps belong together.
fn groups(graph: &Graph) -> Vec<Vec<NodeId>> {
    let mut groups: Vec<Vec<NodeId>> = vec![];
    let is_step = |id: &NodeId| !matches!(graph.node(*id).op, Op::Input(_) | Op::ParameterValue(_) | Op::Constant(_));
    for id in graph.ids().filter(is_step) {
        let node = graph.node(id);
        let same_line = |other: &NodeId| {
            let other = graph.node(*other);
            !node.module.is_empty() && Arc::ptr_eq(&node.module, &other.module) && std::ptr::eq(node.at, other.at)
        };
        match groups.last_mut().filter(|group| group.last().is_some_and(same_line)) {
            Some(group) => group.push(id),
            None => groups.push(vec![id]),
        }
    }
    groups
}

fn row(graph: &Graph, group: &[NodeId], counted: &mut [bool]) -> Row {
    let last = graph.node(group[group.len() - 1]);
    let mut parameters = 0;
    let mut macs = 0;
    for &id in group {
        let node = graph.node(id);
        let inputs: Vec<Shape> = node.inputs.iter().map(|&input| graph.node(input).shape()).collect();
        macs += node.op.macs(&inputs, node.shape());
        for &input in &node.inputs {
            if let Op::ParameterValue(value) = graph.node(input).op {
                let first = !std::mem::replace(&mut counted[value.index], true);
                let parameter = &graph.parameters[value.index];
                parameters += if first && parameter.trainable { parameter.shape.len() } else { 0 };
            }
        }
    }
    Row {
        name: last.module.to_string(),
        op: last.op.name().to_owned(),
        output: last.shape().to_string(),
        arithmetic: arithmetic(graph, last),
        parameters,
        macs,
        memory: last.shape().len() as u64 * 4,
        file: last.at.file().to_owned(),
        line: last.at.line(),
    }
}

/// The sum behind a size: a window's, or a view's product.
fn arithmetic(graph: &Graph, node: &lenslet_graph::Node) -> String {
    if let (Op::Reshape(_), Some(&input)) = (&node.op, node.inputs.first()) {
        let from = graph.node(input).shape();
        return Message::new().product(&from).text(" = ").number(from.len()).to_string();
    }
    match node.sizes.trail().steps().last() {
        Some(step) if step.op == node.op.name() => match &step.arithmetic {
            Some([height, width]) if height.output == width.output => height.write(Message::new()).to_string(),
            Some([height, width]) => width.write(height.write(Message::new()).text(", ")).to_string(),
            None => String::new(),
        },
        _ => String::new(),
    }
}
