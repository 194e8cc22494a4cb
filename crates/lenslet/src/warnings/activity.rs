//! Which units of a network's ReLUs are ever anything but 0.
//!
//! A unit is a channel of a feature map, or a value where there is no map. A plan of its own runs the forward pass up to
//! the last ReLU on a sample of images and keeps the maximum of each unit, a number per unit and image; a unit whose
//! maxima are all 0 is dead on that sample. The plan is made at first use.

use lenslet_cpu::{Executor, Feed, Pool};
use lenslet_graph::ops::Meaning;
use lenslet_graph::ops::map::Map;
use lenslet_graph::ops::reduce::{Reduce, ReduceKind};
use lenslet_graph::{Graph, Node, NodeId, Op, Role};

use super::network::describe_behind;
use crate::Weights;

/// The ReLUs of a network, under observation.
pub(super) struct Activity {
    graph: Graph,
    relus: Vec<Relu>,
    executor: Option<Executor>,
}

/// A ReLU of the network.
struct Relu {
    /// `relu behind conv1 (at src/net.rs:12)`.
    place: String,
    /// The maximum of each of its units.
    maxima: NodeId,
    units: usize,
}

/// How many units of a ReLU are dead.
pub(super) struct Dead<'a> {
    pub(super) place: &'a str,
    pub(super) dead: usize,
    pub(super) units: usize,
}

impl Activity {
    /// Of a network that was recorded for use.
    pub(super) fn new(graph: &Graph) -> Self {
        let mut observed = graph.clone();
        let relus = graph.ids().filter(|&id| is_relu(graph.node(id))).map(|id| {
            let maxima = push_maxima(&mut observed, id);
            Relu { place: describe_behind(graph, id), maxima, units: observed.node(maxima).shape().len() }
        });
        let relus: Vec<Relu> = relus.collect();
        observed.outputs = relus.iter().map(|relu| (Role::Value(relu.maxima), relu.maxima)).collect();
        Self { graph: observed, relus, executor: None }
    }

    /// Runs the first `images` images of `feed`, always as many; a line for each ReLU, in the network's order.
    pub(super) fn dead(&mut self, pool: &mut Pool, weights: &Weights, feed: &dyn Feed, images: usize) -> Vec<Dead<'_>> {
        let Self { graph, relus, executor } = self;
        if relus.is_empty() || images == 0 {
            return vec![];
        }
        let executor = executor.get_or_insert_with(|| Executor::for_batch(graph, images, pool.threads()));
        executor.run(pool, weights.all(), feed, 0, 0);
        let count = |relu: &Relu| {
            let role = Role::Value(relu.maxima);
            let (mut alive, mut maxima) = (vec![false; relu.units], vec![0.0; relu.units]);
            for image in 0..images {
                executor.image(&role, image, &mut maxima);
                alive.iter_mut().zip(&maxima).for_each(|(alive, &maximum)| *alive |= maximum != 0.0);
            }
            alive.iter().filter(|&&alive| !alive).count()
        };
        relus.iter().map(|relu| Dead { place: &relu.place, dead: count(relu), units: relu.units }).collect()
    }
}

/// A ReLU over images; ReLU6 and its like are `clamp(0, …)`.
fn is_relu(node: &Node) -> bool {
    let relu = matches!(node.op, Op::Map(Map::Relu) | Op::Map(Map::Clamp { min: 0.0, .. }));
    relu && node.shape().is_batched()
}

/// Adds the maximum over height and width to the graph; other values are units as they are.
fn push_maxima(graph: &mut Graph, id: NodeId) -> NodeId {
    let node = graph.node(id);
    if node.shape().rank() != 3 {
        return id;
    }
    let over_pixels = Reduce::over(ReduceKind::Max, &node.sizes, &[1, 2], false).expect("a feature map has three axes");
    let sizes = over_pixels.output(&[node.sizes]).expect("a part of sizes that fit fits");
    let (module, at) = (node.module.clone(), node.at);
    graph.nodes.push(Node { op: over_pixels.into(), inputs: vec![id], sizes, module, at });
    graph.ids().next_back().expect("a node was added")
}
