//! What a recorded network says before it is trained.

use lenslet_graph::ops::batch_norm::BatchNorm;
use lenslet_graph::ops::softmax::Softmax;
use lenslet_graph::{Graph, NodeId, Op};

use super::Warning;
use crate::diagnosis::describe;

/// What a training graph says that is to be trained on `images` images, `batch` a step.
pub fn of_network(graph: &Graph, images: usize, batch: usize) -> Vec<Warning> {
    softmax_before_loss(graph).into_iter().chain(batch_of_one(graph, images, batch)).collect()
}

/// A softmax whose values reach a cross-entropy as they are. A log-softmax does no harm there, since another one leaves it
/// as it is.
fn softmax_before_loss(graph: &Graph) -> Option<Warning> {
    let losses = graph.ids().filter(|&id| matches!(graph.node(id).op, Op::CrossEntropy(_)));
    losses.map(|loss| graph.node(loss).inputs[0]).find_map(|logits| {
        let mut id = logits;
        loop {
            let node = graph.node(id);
            match node.op {
                Op::Softmax(Softmax { log: false, .. }) => {
                    let classes = graph.node(logits).shape().len();
                    return Some(Warning::SoftmaxBeforeCrossEntropy { place: describe(graph, id), classes });
                }
                // What leaves values as they are, or harms as little as dropout does.
                Op::Reshape(_) | Op::DropoutMask(_) | Op::Softmax(Softmax { log: true, .. }) => id = node.inputs[0],
                _ => return None,
            }
        }
    })
}

fn batch_of_one(graph: &Graph, images: usize, batch: usize) -> Option<Warning> {
    let leaves_one = |batch: usize| batch == 1 || images % batch == 1;
    let norm = graph.ids().find(|&id| matches!(graph.node(id).op, Op::BatchNorm(BatchNorm { training: true, .. })))?;
    if !leaves_one(batch) {
        return None;
    }
    // Of two that are equally near, the larger. A batch need not be larger than all images.
    let nearest = (1..=images.max(batch)).flat_map(|by| [Some(batch + by), batch.checked_sub(by)]).flatten();
    let better = nearest.filter(|&size| (2..=images).contains(&size)).find(|&size| !leaves_one(size));
    Some(Warning::BatchOfOne { place: describe(graph, norm), images, batch, better })
}

/// Where a value without a layer of its own stands: `relu behind conv1 (at src/net.rs:12)`.
pub(super) fn describe_behind(graph: &Graph, id: NodeId) -> String {
    let mut before = id;
    while graph.node(before).module.is_empty()
        && let Some(&input) = graph.node(before).inputs.first()
    {
        before = input;
    }
    let node = graph.node(id);
    match (&*node.module, &*graph.node(before).module) {
        ("", "") => describe(graph, id),
        ("", layer) => format!("relu behind {layer} (at {}:{})", node.at.file(), node.at.line()),
        _ => describe(graph, id),
    }
}
