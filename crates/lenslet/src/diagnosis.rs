//! Which op first gave a value that is no number.
//!
//! The step is run again on the same batch with every value kept, and values are looked at in the order in which they are
//! computed. It costs memory and time that nobody minds when training has just failed.

use lenslet_cpu::{Executor, Feed, Pool};
use lenslet_graph::ops::Meaning;
use lenslet_graph::{Graph, NodeId, Role};

use crate::Weights;

/// The first op whose value is not finite, in words: `conv2 (conv2d, at src/net.rs:12)`.
pub(crate) fn first_not_finite(
    graph: &Graph,
    weights: &Weights,
    pool: &mut Pool,
    feed: &dyn Feed,
    batch: usize,
    seed: u64,
    step: u32,
) -> String {
    if let Some(parameter) = weights.first_not_finite() {
        return format!("the parameter {}", parameter.name);
    }
    let live = graph.live();
    let mut graph = graph.clone();
    let kept: Vec<NodeId> = graph.ids().filter(|id| live[id.index()]).collect();
    graph.outputs = kept.iter().map(|&id| (Role::Value(id), id)).collect();
    let mut executor = Executor::for_batch(&graph, batch, pool.threads());
    executor.run(pool, weights.all(), feed, seed, step);
    let culprit = kept.into_iter().find(|&id| !is_finite(&executor, &graph, id, batch));
    culprit.map_or_else(|| "an unknown place".to_owned(), |id| describe(&graph, id))
}

fn is_finite(executor: &Executor, graph: &Graph, id: NodeId, batch: usize) -> bool {
    let role = Role::Value(id);
    if let Some(values) = executor.whole(&role) {
        return values.iter().all(|value| value.is_finite());
    }
    let mut values = vec![0.0; graph.node(id).shape().len()];
    (0..batch).all(|image| !executor.image(&role, image, &mut values) || values.iter().all(|value| value.is_finite()))
}

/// Where a value is made: `conv2 (conv2d, at src/net.rs:12)`, or `softmax (at src/net.rs:20)` outside of layers.
pub(crate) fn describe(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let place = format!("{}:{}", node.at.file(), node.at.line());
    match (&*node.module, node.op.name()) {
        (_, "input") => "the images themselves".to_owned(),
        ("", name) => format!("{name} (at {place})"),
        (module, name) => format!("{module} ({name}, at {place})"),
    }
}
