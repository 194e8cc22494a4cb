//! From the steps of a plan to rows: what each step is done for.
//!
//! A step belongs to its node's module and line, as differentiation and planning have left them; the feed, the packing of
//! weights, sums over slots and the loss are no layer's own.

use std::collections::{BTreeMap, HashSet};
use std::panic::Location;
use std::time::Duration;

use lenslet_graph::ops::Meaning;
use lenslet_graph::plan::{Place, Step};
use lenslet_graph::{Graph, NodeId, Op, Role, Shape};

use super::{Direction, Row};

impl Row {
    /// Work that is no layer's own.
    pub(super) fn shared(what: &str, time: Duration) -> Self {
        Self { layer: String::new(), op: what.to_owned(), at: None, direction: None, time, macs: 0 }
    }
}

/// What a step of the plan is done for. Their order is the rows'.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// A layer, or an operation outside of one, by the number of its first node.
    Layer(Direction, NodeId),
    Loss,
    Feed,
    Pack,
    Sums,
}

/// Rows in the making.
pub(super) struct Rows<'a> {
    graph: &'a Graph,
    batch: usize,
    /// The last node of the forward pass, and the network's result; they are the same where there is no loss.
    last: [NodeId; 2],
    /// The first node and the last op of each line of the forward pass.
    lines: BTreeMap<(&'a str, &'static Location<'static>), (NodeId, &'static str)>,
    rows: BTreeMap<Part, Row>,
    /// Nodes whose multiply-adds are counted: some have several steps.
    counted: HashSet<NodeId>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(graph: &'a Graph, batch: usize) -> Self {
        let logits = graph.output(&Role::Logits).expect("a network has a result");
        let loss = graph.output(&Role::Loss).unwrap_or(logits);
        let mut lines = BTreeMap::new();
        for id in graph.ids().take_while(|&id| id <= loss) {
            let node = graph.node(id);
            // A running statistic's update belongs to a layer, but does not say what the layer is.
            let op = node.shape().is_batched().then(|| node.op.name());
            let line = lines.entry((&*node.module, node.at)).or_insert((id, op.unwrap_or("parameter")));
            line.1 = op.unwrap_or(line.1);
        }
        Self { graph, batch, last: [logits, loss], lines, rows: BTreeMap::new(), counted: HashSet::new() }
    }

    /// A step of the plan took some time.
    pub(super) fn add(&mut self, step: &Step, time: Duration) {
        let node = self.graph.node(step.node);
        let part = self.part(step);
        let row = self.rows.entry(part).or_insert_with(|| match part {
            Part::Layer(direction, _) => Row {
                layer: node.module.to_string(),
                op: self.lines[&(&*node.module, node.at)].1.to_owned(),
                at: Some((node.at.file().to_owned(), node.at.line())),
                direction: Some(direction),
                time: Duration::ZERO,
                macs: 0,
            },
            Part::Loss => Row::shared("loss", Duration::ZERO),
            Part::Feed => Row::shared("images into lanes", Duration::ZERO),
            Part::Pack => Row::shared("packing weights", Duration::ZERO),
            Part::Sums => Row::shared("sums over images", Duration::ZERO),
        });
        row.time += time;
        if matches!(part, Part::Layer(..)) && self.counted.insert(step.node) {
            row.macs += macs(self.graph, step.node, self.batch);
        }
    }

    fn part(&self, step: &Step) -> Part {
        let node = self.graph.node(step.node);
        let [logits, loss] = self.last;
        match &node.op {
            Op::Input(_) => return Part::Feed,
            Op::ParameterValue(_) => return Part::Pack,
            _ if step.inputs.iter().any(|input| matches!(input.place, Place::Slot(_))) => return Part::Sums,
            _ => {}
        }
        match self.lines.get(&(&*node.module, node.at)) {
            Some(&(first, _)) if first <= logits => {
                let direction = if step.node <= loss { Direction::Forward } else { Direction::Backward };
                Part::Layer(direction, first)
            }
            _ => Part::Loss,
        }
    }

    /// Layers forward, layers backward, then what is no layer's own.
    pub(super) fn finish(self) -> Vec<Row> {
        self.rows.into_values().collect()
    }
}

/// Multiply-adds of a node in a batch.
fn macs(graph: &Graph, id: NodeId, batch: usize) -> u64 {
    let node = graph.node(id);
    let inputs: Vec<Shape> = node.inputs.iter().map(|&input| graph.node(input).shape()).collect();
    let times = if inputs.iter().chain([&node.shape()]).any(Shape::is_batched) { batch as u64 } else { 1 };
    node.op.macs(&inputs, node.shape()) * times
}
