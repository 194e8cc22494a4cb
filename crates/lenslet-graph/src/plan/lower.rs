//! From ops to steps.
//!
//! One match says what runs for each op. Most ops are one step under the same name; the others are here: a reshape is no
//! step at all, moves of data are one kernel, a sum over the batch is a step of the tiles and one behind them, weights are
//! packed in the stage that first needs them, and what `fusion` has put together is one step.
//!
//! What is normalised or an activation's result, and is wanted once more in the backward pass as a convolution's input, is
//! made anew there from what is kept anyway: a pass costs less than the memory, and hardly more time than reading it.
//!
//! Steps work on *values*, numbered here and given their places in `memory`.

use std::collections::HashMap;

use super::few_images;
use super::fusion::{Chain, Fusions, Pooling, Slope, Winners};
use super::input_grad::sums_in_lanes;
use super::moves::moves;
use super::stages::Stages;
use super::weight_grad::Way;
use super::whole_batch::WholeBatch;
use super::{Kernel, Options, Pack, WEIGHT_BLOCK, Winograd, block_width, lane_block};
use crate::ops::Op;
use crate::ops::binary::Binary;
use crate::ops::conv2d::{Conv2d, Conv2dInputGrad, Conv2dWeightGrad};
use crate::ops::custom::{Custom, CustomGrad};
use crate::ops::leaf::{Constant, Input, ParameterValue};
use crate::ops::map::{Map, MapGrad};
use crate::ops::reduce::{Reduce, ReduceKind};
use crate::{Graph, NodeId, Shape};

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

pub(super) fn lower(graph: &Graph, options: Options) -> Lowered {
    let live = graph.live();
    let whole_batch = WholeBatch::new(graph, options);
    let fusions = Fusions::new(graph, &live);
    let mut lowering = Lowering {
        graph,
        options,
        stages: Stages::new(graph, &whole_batch, &fusions, options),
        whole_batch,
        fusions,
        pooled: HashMap::new(),
        ready: HashMap::new(),
        recipes: HashMap::new(),
        made_again: HashMap::new(),
        lowered: Lowered { steps: vec![], values: vec![], handles: vec![None; graph.nodes.len()] },
    };
    for id in graph.ids().filter(|id| live[id.index()]) {
        lowering.node(id);
    }
    lowering.lowered
}

/// What a convolution's or dense layer's weights are made into before they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ready {
    /// Nothing but what they are multiplied by.
    AsIs,
    Packed(Pack),
    Winograd(Winograd),
}

struct Lowering<'a> {
    graph: &'a Graph,
    options: Options,
    stages: Stages,
    /// The nodes that are done for all tiles at once.
    whole_batch: WholeBatch,
    fusions: Fusions,
    /// Pooled values with their winners.
    pooled: HashMap<NodeId, Handle>,
    /// Weights that were made ready already, by weight and scale, so that a layer that is used twice does it once; and the
    /// numbers of their steps.
    ready: HashMap<(ValueId, Option<ValueId>, Ready), (Handle, usize)>,
    /// How values can be made again.
    recipes: HashMap<NodeId, Recipe>,
    /// Those that were, in this stage.
    made_again: HashMap<(NodeId, usize), Handle>,
    lowered: Lowered,
}

/// A step that makes a value out of another.
#[derive(Clone, Debug)]
struct Recipe {
    /// The node of the other value.
    source: NodeId,
    kernel: Kernel,
    inputs: Vec<Handle>,
}

impl Lowering<'_> {
    /// The steps of one node.
    fn node(&mut self, id: NodeId) {
        if self.fusions.is_away(id) {
            return;
        }
        match self.fusions.chain(id) {
            Some(chain) => self.chain(id, chain),
            None => self.op(id),
        }
    }

    /// The steps of one node's op.
    fn op(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        match &node.op {
            Op::Input(Input { index }) => self.step(id, Kernel::Feed { input: *index }),
            Op::ParameterValue(ParameterValue { index }) => {
                let value = self.value(Memory::Parameter(*index), node.shape().len());
                self.lowered.handles[id.index()] = Some(Handle { value, shape: node.shape() });
            }
            Op::Constant(Constant { value, .. }) => self.step(id, Kernel::Fill(*value)),

            Op::Map(map) => {
                self.step(id, Kernel::Map(*map));
                self.keep_recipe(id, node.inputs[0], Kernel::Map(*map), self.inputs(id));
            }
            Op::MapGrad(_) | Op::MaxPool2dGrad(_) if self.fusions.winners(id).is_some() => {
                let Winners { pool, gradient } = self.fusions.winners(id).expect("asked before");
                let inputs = vec![self.pooled[&pool], self.handle(gradient)];
                self.step_with(id, Kernel::ToWinners, inputs);
            }
            Op::MapGrad(MapGrad { map }) => match self.fusions.sum(id) {
                Some(sum) => {
                    let inputs = [&[self.handle(node.inputs[0])], self.inputs(sum).as_slice()].concat();
                    self.step_with(id, Kernel::AddMapGrad(*map), inputs);
                }
                None => self.step(id, Kernel::MapGrad(*map)),
            },
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
                let partial = Shape::whole(&[5]).expect("five numbers");
                self.over_slots(id, Kernel::Moments, Kernel::Statistics, partial);
            }
            Op::Statistics(_) => self.step(id, Kernel::WholeStatistics),

            Op::Conv2d(_) | Op::Linear(_) | Op::BatchNorm(_) => {
                self.chain(id, Chain { first: id, norm: None, residual: None, activation: None, pooling: None })
            }
            Op::Conv2dInputGrad(Conv2dInputGrad { layer, image }) => {
                let output = self.graph.node(node.inputs[0]).shape();
                if let Some(way) = self.whole_batch.way(id) {
                    let kernel = Kernel::WinogradBatch { way, activation: None };
                    return self.winograd_batch(id, id, kernel, self.inputs(id));
                }
                if let Some(way) = self.winograd(layer, *image, output, true) {
                    let weight = self.ready(id, node.inputs[1], None, Ready::Winograd(way));
                    let inputs = vec![self.handle(node.inputs[0]), weight];
                    return self.step_with(id, Kernel::Winograd { way, activation: None }, inputs);
                }
                let (groups, taps) = (layer.group_count(), layer.kernel_size()[0] * layer.kernel_size()[1]);
                let (inner, outputs) = (layer.out_channels() / groups, image.dim(0) / groups);
                let strides = [inner * outputs * taps, taps, outputs * taps, 1];
                let block = self.block(outputs);
                let sums_in_lanes = sums_in_lanes(layer, *image, output, &self.options);
                let pack = match sums_in_lanes {
                    true => self.forward_pack(layer, *image),
                    false => Pack { groups, outputs, inner, taps, strides, block },
                };
                let weight = self.ready(id, node.inputs[1], None, Ready::Packed(pack));
                let inputs = vec![self.handle(node.inputs[0]), weight];
                self.step_with(id, Kernel::Conv2dInputGrad { layer: *layer, sums_in_lanes }, inputs);
            }
            Op::Conv2dWeightGrad(Conv2dWeightGrad { layer }) => self.conv2d_weight_grad(id, *layer),
            Op::LinearInputGrad(_) if self.whole_batch.holds(id) => self.batch_linear_input_grad(id),
            Op::LinearInputGrad(_) if self.options.lanes == 1 => self.step(id, Kernel::LinearInputGrad),
            Op::LinearInputGrad(_) => {
                let [taps, outputs] = matrix(self.graph.node(node.inputs[1]).shape());
                let (strides, block) = ([0, 1, 0, outputs], self.block(outputs));
                let pack = Pack { groups: 1, outputs, inner: 1, taps, strides, block };
                let weight = self.ready(id, node.inputs[1], None, Ready::Packed(pack));
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
                let partial = Shape::whole(&[4, node.shape().dim(1)]).expect("hardly more than the statistics");
                self.over_slots(id, Kernel::ChannelMoments, Kernel::BatchStatistics, partial);
            }
            Op::BatchNormSums(sums) => {
                let (gradient, activation, norm) = self.through_activation(node.inputs[2]);
                let mut inputs = vec![self.handle(node.inputs[0]), self.handle(node.inputs[1]), gradient];
                inputs
                    .extend(norm.iter().flat_map(|&norm| [2, 3].map(|i| self.handle(self.graph.node(norm).inputs[i]))));
                let kernel = Kernel::BatchNormSums { eps: sums.eps, activation };
                self.over_slots_with(id, kernel, Kernel::SumSlots { mean: false }, node.shape(), inputs);
            }
            Op::BatchNormGrad(grad) => {
                let (gradient, activation, norm) = self.through_activation(node.inputs[4]);
                let mut inputs: Vec<Handle> = node.inputs[..4].iter().map(|&input| self.handle(input)).collect();
                inputs.push(gradient);
                inputs.extend(norm.iter().map(|&norm| self.handle(self.graph.node(norm).inputs[3])));
                self.step_with(
                    id,
                    Kernel::BatchNormGrad { eps: grad.eps, training: grad.training, activation },
                    inputs,
                );
            }
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
        let tile = works_on_tiles(self.graph, id) && !kernel.is_whole_batch();
        self.push(id, self.stages.runs(id), tile, kernel, inputs, output);
        self.lowered.handles[id.index()] = Some(output);
    }

    /// A sum over the batch: `tiles` adds to the slot's partial sum, `total` makes the value of all slots' sums.
    fn over_slots(&mut self, id: NodeId, tiles: Kernel, total: Kernel, partial: Shape) {
        let inputs = self.inputs(id);
        if works_on_tiles(self.graph, id) {
            self.over_slots_with(id, tiles, total, partial, inputs);
        } else {
            // The sum of a value that is no image's own is the value itself.
            let handle = Handle { value: inputs[0].value, shape: self.graph.node(id).shape() };
            self.lowered.handles[id.index()] = Some(handle);
        }
    }

    /// The same, of these values.
    fn over_slots_with(&mut self, id: NodeId, tiles: Kernel, total: Kernel, partial: Shape, inputs: Vec<Handle>) {
        let shape = self.graph.node(id).shape();
        let slot = Handle { value: self.value(Memory::Slot, partial.len()), shape: partial };
        self.push(id, self.stages.runs(id), true, tiles, inputs, slot);
        let output = self.new_handle(shape);
        self.push(id, self.stages.available(id), false, total, vec![slot], output);
        self.lowered.handles[id.index()] = Some(output);
    }

    /// The step of the ops that end in `id`. It goes by the name of the first.
    fn chain(&mut self, id: NodeId, chain: Chain) {
        let Chain { first, norm, residual, activation, pooling } = chain;
        let mut inputs = self.inputs(first);
        let kernel = match &self.graph.node(first).op {
            Op::Conv2d(layer) => {
                if let Some(way) = self.whole_batch.way(first) {
                    let inputs = self.conv2d_inputs(id, first, Ready::AsIs, norm);
                    return self.winograd_batch(id, first, Kernel::WinogradBatch { way, activation }, inputs);
                }
                let ready = self.conv2d_weight(first, layer, pooling.is_some());
                inputs = self.conv2d_inputs(id, first, ready, norm);
                let way = match ready {
                    Ready::AsIs | Ready::Packed(_) => None,
                    Ready::Winograd(way) => Some(way),
                };
                if let Some(pooling) = pooling {
                    let winners = pooling == Pooling::WithWinners;
                    let kernel = Kernel::Conv2dMaxPool { layer: *layer, way, activation, winners };
                    return self.pooled(id, first, kernel, inputs);
                }
                match way {
                    Some(way) => Kernel::Winograd { way, activation },
                    None => Kernel::Conv2d { layer: *layer, activation },
                }
            }
            Op::Linear(_) => {
                let weight = self.graph.node(first).inputs[1];
                if self.options.lanes != 1 {
                    let [outputs, taps] = matrix(self.graph.node(weight).shape());
                    let (strides, block) = ([0, taps, 0, 1], self.block(outputs));
                    let pack = Pack { groups: 1, outputs, inner: 1, taps, strides, block };
                    inputs[1] = self.ready(id, weight, None, Ready::Packed(pack));
                }
                match self.whole_batch.holds(first) {
                    true => Kernel::BatchLinear { activation },
                    false => Kernel::Linear { activation },
                }
            }
            Op::BatchNorm(norm) => {
                inputs.extend(residual.map(|residual| self.handle(residual)));
                Kernel::BatchNorm { eps: norm.eps, activation }
            }
            Op::Binary(_) => Kernel::AddMap(activation.expect("a sum alone is no chain")),
            op => unreachable!("no chain begins with {op:?}"),
        };
        if matches!(kernel, Kernel::BatchNorm { .. }) && residual.is_none() {
            self.keep_recipe(id, self.graph.node(first).inputs[0], kernel.clone(), inputs.clone());
        }
        self.step_with(id, kernel, inputs);
        self.lowered.steps.last_mut().expect("it was just made").node = first;
    }

    /// A convolution's step that hands on pooled values, and perhaps their winners behind them.
    fn pooled(&mut self, id: NodeId, first: NodeId, kernel: Kernel, inputs: Vec<Handle>) {
        let shape = self.graph.node(id).shape();
        let maps = if matches!(kernel, Kernel::Conv2dMaxPool { winners: true, .. }) { 2 } else { 1 };
        let output = self.new_handle(Shape::image(maps * shape.dim(0), shape.dim(1), shape.dim(2)));
        self.push(first, self.stages.runs(id), true, kernel, inputs, output);
        self.pooled.insert(id, output);
        self.lowered.handles[id.index()] = Some(Handle { shape, ..output });
    }

    /// A convolution of the whole batch, whose tiles transform their maps in the stage before it; it goes by the name of
    /// `first`.
    fn winograd_batch(&mut self, id: NodeId, first: NodeId, kernel: Kernel, mut inputs: Vec<Handle>) {
        let Kernel::WinogradBatch { way, .. } = kernel else { unreachable!("it is one") };
        inputs[0] = self.winograd_image(first, way, self.graph.node(first).shape(), inputs[0]);
        self.step_with(id, kernel, inputs);
        self.lowered.steps.last_mut().expect("it was just made").node = first;
    }

    /// A map transformed for work on the whole batch.
    fn winograd_image(&mut self, reader: NodeId, way: Winograd, results: Shape, image: Handle) -> Handle {
        let output = self.new_handle(way.transformed(results, way.inner));
        let stage = self.stages.runs(reader) - 1;
        self.push(reader, stage, true, Kernel::WinogradImage { way, results }, vec![image], output);
        output
    }

    /// How a convolution's weights are to be made ready.
    fn conv2d_weight(&self, id: NodeId, layer: &Conv2d, pools: bool) -> Ready {
        let node = self.graph.node(id);
        let (image, output) = (self.graph.node(node.inputs[0]).shape(), node.shape());
        let way = match pools {
            true => self.winograd_max_pool(layer, image, output),
            false => self.winograd(layer, image, output, false),
        };
        if let Some(way) = way {
            return Ready::Winograd(way);
        }
        Ready::Packed(self.forward_pack(layer, image))
    }

    /// A convolution's weights as the forward direction reads them.
    fn forward_pack(&self, layer: &Conv2d, image: Shape) -> Pack {
        let (groups, taps) = (layer.group_count(), layer.kernel_size()[0] * layer.kernel_size()[1]);
        let (inner, outputs) = (image.dim(0) / groups, layer.out_channels() / groups);
        let strides = [outputs * inner * taps, inner * taps, taps, 1];
        Pack { groups, outputs, inner, taps, strides, block: self.block(outputs) }
    }

    /// A convolution's image, weight, and bias if it has one, with the normalisation in them if it does that, too.
    fn conv2d_inputs(&mut self, id: NodeId, first: NodeId, ready: Ready, norm: Option<NodeId>) -> Vec<Handle> {
        let node = self.graph.node(first);
        let mut inputs = self.inputs(first);
        let Some(norm) = norm else {
            inputs[1] = self.ready(id, node.inputs[1], None, ready);
            return inputs;
        };
        let Op::BatchNorm(op) = &self.graph.node(norm).op else {
            unreachable!("a convolution folds in a normalisation")
        };
        let (eps, of_norm) = (op.eps, &self.graph.node(norm).inputs);
        let [statistics, weight, bias] = [1, 2, 3].map(|i| self.handle(of_norm[i]));
        let [scale, shift] = [(); 2].map(|()| self.new_handle(weight.shape));
        let stage = self.stages.runs(id);
        self.push(norm, stage, false, Kernel::FoldedScale { eps }, vec![statistics, weight], scale);
        let before = [&[statistics, weight, bias], &inputs[2..]].concat();
        self.push(norm, stage, false, Kernel::FoldedBias { eps }, before, shift);
        vec![inputs[0], self.ready(id, node.inputs[1], Some(scale), ready), shift]
    }

    fn conv2d_weight_grad(&mut self, id: NodeId, layer: Conv2d) {
        let node = self.graph.node(id);
        let [image, output] = [0, 1].map(|input| self.graph.node(node.inputs[input]).shape());
        if let Some(way) = self.whole_batch.way(id) {
            return self.winograd_batch_weight_grad(id, way);
        }
        let inputs = vec![self.again(node.inputs[0], id, self.stages.runs(id)), self.handle(node.inputs[1])];
        let winograd = match Way::new(&layer, image, output, &self.options) {
            Way::Images => {
                let (tiles, total) = (Kernel::Conv2dWeightGrad { layer }, Kernel::SumSlots { mean: false });
                return self.over_slots_with(id, tiles, total, node.shape(), inputs);
            }
            Way::Rows => false,
            Way::Winograd => true,
        };
        let outputs = output.dim(0);
        let len = outputs.next_multiple_of(WEIGHT_BLOCK) * (node.shape().len() / outputs);
        let partial = Shape::whole(&[len]).expect("blocks are hardly larger than weights");
        let tiles = Kernel::Conv2dWeightGradRows { layer, winograd };
        self.over_slots_with(id, tiles, Kernel::SumWeightSlots, partial, inputs);
    }

    fn winograd_batch_weight_grad(&mut self, id: NodeId, way: Winograd) {
        let node = self.graph.node(id);
        let (stage, results) = (self.stages.runs(id) - 1, self.graph.node(node.inputs[1]).shape());
        let image = self.again(node.inputs[0], id, stage);
        let images = self.winograd_image(id, way, results, image);
        let gradients = self.new_handle(way.transformed(results, way.outputs));
        self.push(id, stage, true, Kernel::WinogradGradient, vec![self.handle(node.inputs[1])], gradients);
        let positions = way.positions(results);
        self.step_with(id, Kernel::WinogradBatchWeightGrad { positions }, vec![images, gradients]);
    }

    /// The gradient that batch normalisation's backward steps read, and the activation whose slope they work out, with the
    /// node of the normalisation.
    fn through_activation(&self, gradient: NodeId) -> (Handle, Option<Map>, Option<NodeId>) {
        match self.fusions.slope(gradient) {
            Some(Slope { map, norm, gradient }) => (self.handle(gradient), Some(map), Some(norm)),
            None => (self.handle(gradient), None, None),
        }
    }

    /// Remembers how `id`'s value is made from `source`'s.
    fn keep_recipe(&mut self, id: NodeId, source: NodeId, kernel: Kernel, inputs: Vec<Handle>) {
        if self.graph.node(id).shape().is_batched() {
            self.recipes.insert(id, Recipe { source, kernel, inputs });
        }
    }

    /// A node's value for `reader` in the backward pass, in this stage: made again, if otherwise it alone would have to be
    /// kept so long.
    fn again(&mut self, id: NodeId, reader: NodeId, stage: usize) -> Handle {
        if let Some(&again) = self.made_again.get(&(id, stage)) {
            return again;
        }
        let handle = self.handle(id);
        let Some(Recipe { source, kernel, inputs }) = self.recipes.get(&id).cloned() else { return handle };
        let is_weight_grad = |reader: &NodeId| matches!(self.graph.node(*reader).op, Op::Conv2dWeightGrad(_));
        let mut others = self.fusions.readers(id).iter().filter(|reader| !is_weight_grad(reader));
        let source_is_kept = self.fusions.readers(source).iter().any(|&later| later > reader);
        if stage == self.stages.runs(id) || others.any(|&other| self.stages.runs(other) >= stage) || !source_is_kept {
            return handle;
        }
        let again = self.new_handle(handle.shape);
        self.push(id, stage, true, kernel, inputs, again);
        self.made_again.insert((id, stage), again);
        again
    }

    /// Each part of the output rows leaves a sum for every image, which the image's tile adds up in their order.
    fn batch_linear_input_grad(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let parts = few_images::parts(self.graph.node(node.inputs[1]).shape());
        if parts == 1 {
            return self.step(id, Kernel::BatchLinearInputGrad);
        }
        let partial = self.new_handle(Shape::batched(&[parts, node.shape().len()]).expect("less than the weight"));
        self.push(id, self.stages.runs(id), false, Kernel::BatchLinearInputGrad, self.inputs(id), partial);
        let sum = Reduce { kind: ReduceKind::Sum, axes: std::array::from_fn(|axis| axis == 0), keep: false };
        let output = self.new_handle(node.shape());
        self.push(id, self.stages.available(id), true, Kernel::Reduce(sum), vec![partial], output);
        self.lowered.handles[id.index()] = Some(output);
    }

    /// The product over the whole batch wants its left factor image after image.
    fn linear_weight_grad(&mut self, id: NodeId) {
        let (x, gradient) = (self.graph.node(id).inputs[0], self.graph.node(id).inputs[1]);
        let handle = self.handle(x);
        let rows = if self.options.lanes == 1 {
            handle // A tile of one image is that already.
        } else {
            let rows = self.new_handle(handle.shape);
            self.push(id, self.stages.available(x), true, Kernel::ToRows, vec![handle], rows);
            rows
        };
        let inputs = vec![rows, self.handle(gradient)];
        self.step_with(id, Kernel::LinearWeightGrad, inputs);
    }

    /// Output channels of a group that are packed together.
    fn block(&self, outputs: usize) -> usize {
        if self.options.lanes == 1 { lane_block(outputs) } else { block_width(outputs) }
    }

    /// A weight made ready for `reader`, in the stage that first wants it.
    fn ready(&mut self, reader: NodeId, weight: NodeId, scale: Option<Handle>, ready: Ready) -> Handle {
        let source = self.handle(weight);
        let key = (source.value, scale.map(|scale| scale.value), ready);
        let stage = self.stages.runs(reader);
        if let Some(&(made, step)) = self.ready.get(&key) {
            let step = &mut self.lowered.steps[step];
            step.stage = step.stage.min(stage);
            return made;
        }
        let packed = |len| Shape::whole(&[len]).expect("weights made ready are some times as large as weights");
        let (kernel, shape, scale) = match (ready, scale) {
            (Ready::AsIs, None) => return source,
            (Ready::AsIs, Some(scale)) => {
                let shape = per_output(scale.shape, source.shape);
                (Kernel::Binary(Binary::Mul), source.shape, Some(Handle { shape, ..scale }))
            }
            (Ready::Packed(pack), scale) => (Kernel::Pack(pack), packed(pack.groups * pack.group_len()), scale),
            (Ready::Winograd(way), scale) => (Kernel::WinogradWeights(way), packed(way.packed_len()), scale),
        };
        let made = self.new_handle(shape);
        let inputs = [source].into_iter().chain(scale).collect();
        self.ready.insert(key, (made, self.lowered.steps.len()));
        self.push(weight, stage, false, kernel, inputs, made);
        made
    }

    fn winograd(&self, layer: &Conv2d, image: Shape, output: Shape, gradient: bool) -> Option<Winograd> {
        let Options { batch, lanes, winograd } = self.options;
        // Where the graph trains, its weights are new in every run.
        let images = if self.graph.trains() { batch } else { usize::MAX };
        let way = || match lanes {
            1 => Winograd::choose_for_one_image(layer, image, output, gradient, images),
            lanes => Winograd::choose(layer, image, output, gradient, batch.div_ceil(lanes)),
        };
        winograd.then(way).flatten()
    }

    /// The same with max pooling behind it.
    fn winograd_max_pool(&self, layer: &Conv2d, image: Shape, output: Shape) -> Option<Winograd> {
        let Options { batch, lanes, winograd } = self.options;
        let way = || Winograd::choose_max_pool(layer, image, output, batch.div_ceil(lanes));
        (winograd && lanes > 1).then(way).flatten()
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

/// The shape of a number per output channel, to be multiplied with weights of this shape.
fn per_output(scale: Shape, weight: Shape) -> Shape {
    let mut dims = [1; crate::MAX_RANK];
    dims[0] = scale.dim(0);
    Shape::whole(&dims[..weight.rank()]).expect("as many numbers as before")
}

fn matrix(shape: Shape) -> [usize; 2] {
    [shape.dim(0), shape.dim(1)]
}
