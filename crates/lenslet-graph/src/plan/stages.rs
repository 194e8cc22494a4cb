//! When each node can run.
//!
//! A stage has whole work before tile work. A value is available from a stage on; a node runs in the first stage in which
//! all its inputs are. A sum over the batch is begun by the tiles of one stage and complete in the next; what is done for the
//! whole batch at once is whole work of the stage behind its inputs'.

use super::fusion::Fusions;
use super::lower::works_on_tiles;
use super::whole_batch::WholeBatch;
use super::{Options, few_images};
use crate::ops::Op;
use crate::{Graph, NodeId};

/// The stage in which each node's own work runs (for a sum over the batch: its tiles' part), and from which on its value
/// is there.
pub(super) struct Stages {
    runs: Vec<usize>,
    available: Vec<usize>,
}

impl Stages {
    pub(super) fn new(graph: &Graph, whole_batch: &WholeBatch, fusions: &Fusions, options: Options) -> Self {
        let mut stages = Self { runs: vec![0; graph.nodes.len()], available: vec![0; graph.nodes.len()] };
        for id in graph.ids() {
            let node = graph.node(id);
            let inputs = node.inputs.iter().map(|input| stages.available[input.index()]).max().unwrap_or(0);
            let on_tiles = works_on_tiles(graph, id);
            let (runs, available) = if whole_batch.holds(id) {
                (inputs + 1, inputs + 1)
            } else if on_tiles && !node.shape().is_batched() {
                (inputs, inputs + 1)
            } else {
                (inputs, inputs)
            };
            stages.runs[id.index()] = runs;
            stages.available[id.index()] = available;
        }
        if few_images::are_few(options) {
            stages.put_off_weight_grads(graph, fusions);
        }
        stages
    }

    /// Dense layers' gradients by their weights to the last stage, where no other node waits for them.
    fn put_off_weight_grads(&mut self, graph: &Graph, fusions: &Fusions) {
        let last = self.available.iter().copied().max().unwrap_or(0);
        // A result is among its own readers.
        let is_result_alone = |id: &NodeId| fusions.readers(*id) == [*id];
        for id in graph.ids().filter(is_result_alone) {
            if matches!(graph.node(id).op, Op::LinearWeightGrad(_)) {
                (self.runs[id.index()], self.available[id.index()]) = (last, last);
            }
        }
    }

    pub(super) fn runs(&self, id: NodeId) -> usize {
        self.runs[id.index()]
    }

    pub(super) fn available(&self, id: NodeId) -> usize {
        self.available[id.index()]
    }
}
