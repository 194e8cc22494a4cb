//! From ops to steps.
//!
//! One match says what runs for each op. Most ops are one step under the same name; the others are here: a reshape is no
//! step at all, moves of data are one kernel, a sum over the batch is a step of the tiles and one behind them, weights are
//! packed before they are used, and an activation that alone reads a convolution is done by the convolution.
//!
//! Steps work on *values*, numbered here and given their places in `memory`.

use std::collections::HashMap;

use super::stages::Stages;
use super::{Kernel, Move, Pack};
use crate::ops::binary::broadcast_strides;
use crate::ops::concat::Concat;
use crate::ops::conv2d::{Conv2d, Conv2dInputGrad, Conv2dWeightGrad};
use crate::ops::custom::{Custom, CustomGrad};
use crate::ops::leaf::{Constant, Input, ParameterValue};
use crate::ops::linear::Linear;
use crate::ops::map::{Map, MapGrad};
use crate::ops::{self, Op};
use crate::{Graph, MAX_RANK, NodeId, Shape};

/// A value's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ValueId(pub(super) usize);

/// What kind of memory a value wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Parameter(usize),
    Whole,
    Tile,
    Slot,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) memory: Memory,
    /// Numbers that it takes (per image, where batched).
    pub(super) len: usize,
}

/// An operand whose place is not known yet. Several operands of different shapes may be the same value (reshape).
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle {
    pub(super) value: ValueId,
    pub(super) shape: Shape,
}

/// A step whose operands have no places yet.
#[derive(Clone, Debug)]
pub(super) struct LoweredStep {
    pub(super) stage: usize,
    /// Tile work, or whole work.
    pub(super) tile: bool,
    pub(super) kernel: Kernel,
    pub(super) inputs: Vec<Handle>,
    pub(super) output: Handle,
    pub(super) node: NodeId,
}

/// All steps, in graph order, and the values they work on.
pub(super) struct Lowered {
    pub(super) steps: Vec<LoweredStep>,
    pub(super) values: Vec<Value>,
    /// The value of each live node.
    pub(super) handles: Vec<Option<Handle>>,
}

/// Whether a node's work goes over tiles: one of its values is batched.
pub(super) fn works_on_tiles(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    node.shape().is_batched() || node.inputs.iter().any(|&input| graph.node(input).shape().is_batched())
}

/// Whether an op reads all tiles at once: dense layers' weight gradients, which are one product over the whole batch.
pub(super) fn is_whole_batch(op: &Op) -> bool {
    matches!(op, Op::LinearWeightGrad(_))
}

pub(super) fn lower(graph: &Graph) -> Lowered {
    let live = graph.live();
    let mut lowering = Lowering {
        graph,
        stages: Stages::new(graph),
        fused: fusions(graph, &live),
        packed: HashMap::new(),
        lowered: Lowered { steps: vec![], values: vec![], handles: vec![None; graph.nodes.len()] },
    };
    for id in graph.ids().filter(|id| live[id.index()]) {
        lowering.node(id);
    }
    lowering.lowered
}

/// Convolutions and dense layers whose only reader is an activation: the activation by the node, and its function.
fn fusions(graph: &Graph, live: &[bool]) -> HashMap<NodeId, (NodeId, Map)> {
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
    let fusion = |id: NodeId| match (&graph.node(id).op, readers[id.index()].as_slice()) {
        (Op::Conv2d(_) | Op::Linear(_), &[reader]) if graph.node(id).shape().is_batched() => {
            match graph.node(reader).op {
                Op::Map(map) => Some((id, (reader, map))),
                _ => None,
            }
        }
        _ => None,
    };
    graph.ids().filter_map(fusion).collect()
}

struct Lowering<'a> {
    graph: &'a Graph,
    stages: Stages,
    fused: HashMap<NodeId, (NodeId, Map)>,
    /// Packed weights that exist already, so that a layer that is used twice packs once.
    packed: HashMap<(ValueId, Pack), Handle>,
    lowered: Lowered,
}

impl Lowering<'_> {
    /// The steps of one node.
    fn node(&mut self, id: NodeId) {
        if self.lowered.handles[id.index()].is_some() {
            return; // An activation that its convolution has done.
        }
        let node = self.graph.node(id);
        match &node.op {
            Op::Input(Input { index }) => self.step(id, Kernel::Feed { input: *index }),
            Op::ParameterValue(ParameterValue { index }) => {
                let value = self.value(Memory::Parameter(*index), node.shape().len());
                self.lowered.handles[id.index()] = Some(Handle { value, shape: node.shape() });
            }
            Op::Constant(Constant { value, .. }) => self.step(id, Kernel::Fill(*value)),

            Op::Map(map) => self.step(id, Kernel::Map(*map)),
            Op::MapGrad(MapGrad { map }) => self.step(id, Kernel::MapGrad(*map)),
            Op::Binary(binary) => self.step(id, Kernel::Binary(*binary)),
            Op::Select(_) => self.step(id, Kernel::Select),
            Op::MatMul(_) => self.step(id, Kernel::MatMul),
            Op::Reduce(reduce) => self.step(id, Kernel::Reduce(*reduce)),
            Op::Softmax(softmax) => self.step(id, Kernel::Softmax(*softmax)),

            Op::Reshape(_) => {
                let value = self.handle(node.inputs[0]).value;
                self.lowered.handles[id.index()] = Some(Handle { value, shape: node.shape() });
            }
            Op::Expand(_) | Op::Pad(_) | Op::Slice(_) | Op::Concat(_) | Op::Permute(_) => {
                let (fill, moves) = moves(self.graph, id);
                self.step(id, Kernel::Rearrange { fill, moves });
            }

            Op::BatchSum(sum) => {
                self.over_slots(id, Kernel::SumImages, Kernel::SumSlots { mean: sum.mean }, node.shape())
            }
            Op::BatchExpand(expand) => self.step(id, Kernel::BatchExpand { mean: expand.mean }),
            Op::Statistics(_) if works_on_tiles(self.graph, id) => {
                let partial = Shape::whole(&[4]).expect("four numbers");
                self.over_slots(id, Kernel::Moments, Kernel::Statistics, partial);
            }
            Op::Statistics(_) => self.step(id, Kernel::WholeStatistics),

            Op::Conv2d(layer) => self.conv2d(id, *layer),
            Op::Conv2dInputGrad(Conv2dInputGrad { layer, image }) => {
                let (groups, taps) = (layer.group_count(), layer.kernel_size()[0] * layer.kernel_size()[1]);
                let (inner, outputs) = (layer.out_channels() / groups, image.dim(0) / groups);
                let strides = [inner * outputs * taps, taps, outputs * taps, 1];
                let weight = self.pack(node.inputs[1], Pack { groups, outputs, inner, taps, strides });
                let inputs = vec![self.handle(node.inputs[0]), weight];
                self.step_with(id, Kernel::Conv2dInputGrad { layer: *layer }, inputs);
            }
            Op::Conv2dWeightGrad(Conv2dWeightGrad { layer }) => {
                self.over_slots(
                    id,
                    Kernel::Conv2dWeightGrad { layer: *layer },
                    Kernel::SumSlots { mean: false },
                    node.shape(),
                );
            }
            Op::Linear(layer) => self.linear(id, layer),
            Op::LinearInputGrad(_) => {
                let [taps, outputs] = matrix(self.graph.node(node.inputs[1]).shape());
                let weight =
                    self.pack(node.inputs[1], Pack { groups: 1, outputs, inner: 1, taps, strides: [0, 1, 0, outputs] });
                let inputs = vec![self.handle(node.inputs[0]), weight];
                self.step_with(id, Kernel::Linear { activation: None }, inputs);
            }
            Op::LinearWeightGrad(_) => self.linear_weight_grad(id),

            Op::MaxPool2d(layer) => self.step(id, Kernel::MaxPool2d(*layer)),
            Op::MaxPool2dGrad(grad) => self.step(id, Kernel::MaxPool2dGrad(grad.layer)),
            Op::AvgPool2d(layer) => self.step(id, Kernel::AvgPool2d(*layer)),
            Op::AvgPool2dGrad(grad) => self.step(id, Kernel::AvgPool2dGrad(grad.layer)),
            Op::AdaptiveAvgPool2d(layer) => self.step(id, Kernel::AdaptiveAvgPool2d(*layer)),
            Op::AdaptiveAvgPool2dGrad(grad) => self.step(id, Kernel::AdaptiveAvgPool2dGrad(grad.layer)),

            Op::BatchStatistics(_) => {
                self.over_slots(id, Kernel::ChannelMoments, Kernel::BatchStatistics, node.shape())
            }
            Op::BatchNorm(norm) => self.step(id, Kernel::BatchNorm { eps: norm.eps }),
            Op::BatchNormSums(sums) => {
                self.over_slots(
                    id,
                    Kernel::BatchNormSums { eps: sums.eps },
                    Kernel::SumSlots { mean: false },
                    node.shape(),
                );
            }
            Op::BatchNormGrad(grad) => self.step(id, Kernel::BatchNormGrad { eps: grad.eps, training: grad.training }),
            Op::DropoutMask(mask) => self.step(id, Kernel::Dropout { p: mask.p, layer: mask.layer }),

            Op::CrossEntropy(loss) => self.step(id, Kernel::CrossEntropy { label_smoothing: loss.label_smoothing }),
            Op::CrossEntropyGrad(loss) => {
                self.step(id, Kernel::CrossEntropyGrad { label_smoothing: loss.label_smoothing })
            }

            Op::Custom(Custom { op, .. }) => self.step(id, Kernel::Custom(op.clone())),
            Op::CustomGrad(CustomGrad { op, input, .. }) => {
                self.step(id, Kernel::CustomGrad { op: op.clone(), input: *input })
            }
        }
    }

    /// One step for a node, on the node's inputs.
    fn step(&mut self, id: NodeId, kernel: Kernel) {
        let inputs = self.inputs(id);
        self.step_with(id, kernel, inputs);
    }

    /// One step that makes a node's value.
    fn step_with(&mut self, id: NodeId, kernel: Kernel, inputs: Vec<Handle>) {
        let output = self.new_handle(self.graph.node(id).shape());
        let tile = works_on_tiles(self.graph, id) && !is_whole_batch(&self.graph.node(id).op);
        self.push(id, self.stages.runs(id), tile, kernel, inputs, output);
        self.lowered.handles[id.index()] = Some(output);
    }

    /// A sum over the batch: `tiles` adds to the slot's partial sum, `total` makes the value of all slots' sums.
    fn over_slots(&mut self, id: NodeId, tiles: Kernel, total: Kernel, partial: Shape) {
        let shape = self.graph.node(id).shape();
        if !works_on_tiles(self.graph, id) {
            // The sum of a value that is no image's own is the value itself.
            let value = self.handle(self.graph.node(id).inputs[0]).value;
            self.lowered.handles[id.index()] = Some(Handle { value, shape });
            return;
        }
        let slot = Handle { value: self.value(Memory::Slot, partial.len()), shape: partial };
        let inputs = self.inputs(id);
        self.push(id, self.stages.runs(id), true, tiles, inputs, slot);
        let output = self.new_handle(shape);
        self.push(id, self.stages.available(id), false, total, vec![slot], output);
        self.lowered.handles[id.index()] = Some(output);
    }

    fn conv2d(&mut self, id: NodeId, layer: Conv2d) {
        let node = self.graph.node(id);
        let (groups, taps) = (layer.group_count(), layer.kernel_size()[0] * layer.kernel_size()[1]);
        let inner = self.graph.node(node.inputs[0]).shape().dim(0) / groups;
        let outputs = layer.out_channels() / groups;
        let strides = [outputs * inner * taps, inner * taps, taps, 1];
        let weight = self.pack(node.inputs[1], Pack { groups, outputs, inner, taps, strides });
        self.with_activation(id, weight, |activation| Kernel::Conv2d { layer, activation });
    }

    fn linear(&mut self, id: NodeId, _: &Linear) {
        let weight = self.graph.node(id).inputs[1];
        let [outputs, taps] = matrix(self.graph.node(weight).shape());
        let weight = self.pack(weight, Pack { groups: 1, outputs, inner: 1, taps, strides: [0, taps, 0, 1] });
        self.with_activation(id, weight, |activation| Kernel::Linear { activation });
    }

    /// A convolution or dense layer together with the activation that alone reads it, if there is one.
    fn with_activation(&mut self, id: NodeId, weight: Handle, kernel: impl Fn(Option<Map>) -> Kernel) {
        let mut inputs = self.inputs(id);
        inputs[1] = weight;
        let fused = self.fused.get(&id).copied();
        self.step_with(id, kernel(fused.map(|(_, map)| map)), inputs);
        if let Some((activation, _)) = fused {
            self.lowered.handles[activation.index()] = self.lowered.handles[id.index()];
        }
    }

    /// The product over the whole batch wants its left factor image after image.
    fn linear_weight_grad(&mut self, id: NodeId) {
        let (x, gradient) = (self.graph.node(id).inputs[0], self.graph.node(id).inputs[1]);
        let handle = self.handle(x);
        let rows = self.new_handle(handle.shape);
        self.push(id, self.stages.available(x), true, Kernel::ToRows, vec![handle], rows);
        let inputs = vec![rows, self.handle(gradient)];
        self.step_with(id, Kernel::LinearWeightGrad, inputs);
    }

    fn pack(&mut self, weight: NodeId, pack: Pack) -> Handle {
        let source = self.handle(weight);
        if let Some(&packed) = self.packed.get(&(source.value, pack)) {
            return packed;
        }
        let len = pack.groups * pack.group_len();
        let shape = Shape::whole(&[len]).expect("packed weights are hardly larger than weights");
        let packed = self.new_handle(shape);
        self.push(weight, self.stages.available(weight), false, Kernel::Pack(pack), vec![source], packed);
        self.packed.insert((source.value, pack), packed);
        packed
    }

    fn push(&mut self, node: NodeId, stage: usize, tile: bool, kernel: Kernel, inputs: Vec<Handle>, output: Handle) {
        self.lowered.steps.push(LoweredStep { stage, tile, kernel, inputs, output, node });
    }

    fn inputs(&self, id: NodeId) -> Vec<Handle> {
        self.graph.node(id).inputs.iter().map(|&input| self.handle(input)).collect()
    }

    fn handle(&self, id: NodeId) -> Handle {
        self.lowered.handles[id.index()].expect("inputs come before their users")
    }

    fn new_handle(&mut self, shape: Shape) -> Handle {
        let memory = if shape.is_batched() { Memory::Tile } else { Memory::Whole };
        Handle { value: self.value(memory, shape.len()), shape }
    }

    fn value(&mut self, memory: Memory, len: usize) -> ValueId {
        self.lowered.values.push(Value { memory, len });
        ValueId(self.lowered.values.len() - 1)
    }
}

fn matrix(shape: Shape) -> [usize; 2] {
    [shape.dim(0), shape.dim(1)]
}

/// The copies that make the value of an op that only moves data, and what fills the rest.
fn moves(graph: &Graph, id: NodeId) -> (Option<f32>, Vec<Move>) {
    let node = graph.node(id);
    let input = graph.node(node.inputs[0]).shape();
    let output = node.shape();
    match &node.op {
        Op::Expand(_) => {
            let from_strides = broadcast_strides(input, output);
            (None, vec![Move { from_strides, ..block(0, output, output, output) }])
        }
        Op::Slice(ops::slice::Slice { axis, start, .. }) => {
            let from = start * input.strides()[*axis];
            (None, vec![Move { from, ..block(0, output, input, output) }])
        }
        Op::Pad(pad) => {
            let to = output.strides().iter().zip(pad.before).map(|(stride, before)| stride * before).sum();
            (Some(pad.value), vec![Move { to, ..block(0, input, input, output) }])
        }
        Op::Permute(permute) => {
            let strides = input.strides();
            let mut from_strides = [0; MAX_RANK];
            for (axis, from) in from_strides.iter_mut().enumerate().take(output.rank()) {
                *from = strides[permute.order[axis]];
            }
            (None, vec![Move { from_strides, ..block(0, output, output, output) }])
        }
        Op::Concat(Concat { axis }) => {
            let mut at = 0;
            let part = |(number, &part): (usize, &NodeId)| {
                let shape = graph.node(part).shape();
                let to = at * output.strides()[*axis];
                at += shape.dim(*axis);
                Move { to, ..block(number, shape, shape, output) }
            };
            (None, node.inputs.iter().enumerate().map(part).collect())
        }
        op => unreachable!("{op:?} does more than move data"),
    }
}

/// A copy of all of `sizes`, in the order of `from`'s and `to`'s rows.
fn block(input: usize, sizes: Shape, from: Shape, to: Shape) -> Move {
    let padded = |values: &[usize], rest| {
        let mut all = [rest; MAX_RANK];
        all[..values.len()].copy_from_slice(values);
        all
    };
    Move {
        input,
        sizes: padded(sizes.dims(), 1),
        from: 0,
        from_strides: padded(&from.strides(), 0),
        to: 0,
        to_strides: padded(&to.strides(), 0),
    }
}
