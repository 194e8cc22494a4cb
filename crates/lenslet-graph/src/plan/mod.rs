//! The plan: a graph made ready to run, for one batch size.
//!
//! Images stand in the SIMD lanes, so the batch is cut into *tiles* of `lanes` images, and a value of `n` numbers per image
//! is `n` vectors in a tile. What images do on their own is *tile work*: a tile goes through all steps up to the next cut
//! on one thread. Cuts are where images meet (batch statistics, the loss, gradients of weights): there, tiles leave
//! partial sums and *whole work* on unbatched values goes on with their total. A [`Stage`] is one such pair: whole work in
//! waves, then tile work.
//!
//! Sums over tiles do not depend on threads: tiles are dealt to *slots* by number, a slot adds up its tiles in order, and
//! slots are added up in order.
//!
//! Building a plan has four steps, a file each: `fusion` finds the ops that one step does together, `lower` turns ops into
//! steps on values (and chooses with `winograd` how convolutions are done), `stages` says when each can run, `memory` gives
//! every value a place. [`check`] proves the result legal. A backend
//! runs a plan and knows nothing about layers; the plan knows nothing about instruction sets but the number of lanes.

use std::fmt;

pub mod check;
pub mod few_images;
mod fusion;
mod input_grad;
mod lower;
mod memory;
mod moves;
mod stages;
mod weight_grad;
mod whole_batch;
mod winograd;

use std::sync::Arc;

use crate::ops::adaptive_avg_pool::AdaptiveAvgPool2d;
use crate::ops::avg_pool::AvgPool2d;
use crate::ops::binary::Binary;
use crate::ops::conv2d::Conv2d;
use crate::ops::custom::CustomOp;
use crate::ops::map::Map;
use crate::ops::max_pool::MaxPool2d;
use crate::ops::reduce::Reduce;
use crate::ops::softmax::Softmax;
use crate::{Graph, MAX_RANK, NodeId, Parameter, Role, Shape};

pub use input_grad::MOST_SUMMED;
pub use winograd::Winograd;

/// The most output channels that a convolution's kernel takes together where images stand in the lanes.
pub const CHANNEL_BLOCK: usize = 8;

/// Channels of a block of packed weights: the blocks are as even as can be, so that the last has work for its registers too.
pub const fn block_width(outputs: usize) -> usize {
    outputs.div_ceil(outputs.div_ceil(CHANNEL_BLOCK))
}

/// The same where channels do: so many of one group's output channels fill a vector.
pub const fn lane_block(outputs: usize) -> usize {
    if outputs <= 8 { 8 } else { 16 }
}

/// Numbers from which on a whole value is shared by threads. Fewer go through one core in less time than it takes others to get
/// them.
pub const FEWEST_TO_SHARE: usize = 1 << 15;

/// Output channels that a weight's gradient is summed for together, where they are many.
pub const WEIGHT_BLOCK: usize = 32;

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Images in the batch.
    pub batch: usize,
    /// Images in a tile: lanes of the backend's vectors, or 1, and then its vectors are filled with channels.
    pub lanes: usize,
    /// Whether convolutions may be done in Winograd's way where that is faster. Its rounding errors are about twice as large:
    /// 4.5e-8 instead of 2.4e-8 of the products' sizes in the mean, 3e-7 instead of 2e-7 at most (64 channels, 3×3).
    pub winograd: bool,
}

impl Options {
    /// The usual ones.
    pub const fn new(batch: usize, lanes: usize) -> Self {
        Self { batch, lanes, winograd: true }
    }
}

/// A graph made ready to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What it was made for.
    pub options: Options,
    /// The work, in order.
    pub stages: Vec<Stage>,
    /// Where results are found.
    pub outputs: Vec<(Role, Operand)>,
    /// The parameters, as in the graph.
    pub parameters: Vec<Parameter>,
    /// The graph's inputs.
    pub inputs: Vec<Shape>,
    /// Partial sums: tiles are dealt to so many slots.
    pub slots: usize,
    /// Numbers of all whole values.
    pub whole_len: usize,
    /// Numbers per image of the values that outlive their stage.
    pub kept_len: usize,
    /// Numbers per image of the values that do not; a thread needs this for one tile.
    pub scratch_len: usize,
    /// Numbers of the partial sums of one slot.
    pub slot_len: usize,
}

/// Whole work, then tile work that needs it.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Work on whole values; the steps of a wave do not depend on each other.
    pub waves: Vec<Vec<Step>>,
    /// Work on each tile, in order.
    pub tile: Vec<Step>,
}

/// One kernel on values that have their places.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to do.
    pub kernel: Kernel,
    /// With what.
    pub inputs: Vec<Operand>,
    /// Where the result goes.
    pub output: Operand,
    /// For which node of the graph.
    pub node: NodeId,
    /// Whether the result is made of parameters alone and keeps its place: while they stay the same, it need be made but once.
    pub constant: bool,
}

/// A value in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Where it stands.
    pub place: Place,
    /// Its sizes.
    pub shape: Shape,
}

/// Where a value stands; offsets count numbers (per image, for batched values).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Among the parameters, by number.
    Parameter(usize),
    /// Among the whole values.
    Whole(usize),
    /// In every tile's own memory, from one stage to another.
    Kept(usize),
    /// In the memory of the thread that works on the tile, within a stage.
    Scratch(usize),
    /// In every slot's own memory: a partial sum over the slot's tiles.
    Slot(usize),
}

/// What a step does. The same words as the ops where nothing is gained by others.
#[derive(Clone, Debug)]
pub enum Kernel {
    /// Loads the graph's input of this number into the lanes.
    Feed {
        /// Which input.
        input: usize,
    },
    /// The same number everywhere.
    Fill(f32),
    /// A function of each number.
    Map(Map),
    /// Its gradient.
    MapGrad(Map),
    /// Arithmetic with broadcasting.
    Binary(Binary),
    /// A function of the sum of two values of equal sizes.
    AddMap(Map),
    /// A function's gradient, given as the sum of two: what the gradient of a [`Kernel::MapGrad`] goes by, and the two.
    AddMapGrad(Map),
    /// One of two by a condition, with broadcasting.
    Select,
    /// Copies blocks from one order to another: slice, permute, expand, pad, concat.
    Rearrange {
        /// What stands where nothing is copied to.
        fill: Option<f32>,
        /// The copies.
        moves: Vec<Move>,
    },
    /// Matrix product.
    MatMul,
    /// Sum, mean, maximum over axes.
    Reduce(Reduce),
    /// Softmax or its logarithm.
    Softmax(Softmax),
    /// A whole value to every image, divided by the number of images if `mean`; empty lanes get 0.
    BatchExpand {
        /// Divide.
        mean: bool,
    },
    /// Adds the images of the tile to the slot's sum.
    SumImages,
    /// Adds up the slots' sums, and divides by the number of images if `mean`.
    SumSlots {
        /// Divide.
        mean: bool,
    },
    /// Merges the tile's count, mean and squared deviations of each channel into the slot's.
    ChannelMoments,
    /// The slots' moments together: mean, variance, unbiased variance of each channel.
    BatchStatistics,
    /// Merges the tile's count, mean, squared deviations and zeros into the slot's.
    Moments,
    /// The slots' moments together: mean, standard deviation, share of zeros.
    Statistics,
    /// The same of a whole value.
    WholeStatistics,
    /// Weights in the order in which a convolution reads them: weight, and what each output channel is multiplied by if that
    /// is not 1.
    Pack(Pack),
    /// A convolution, forward: image, packed weight, bias if there is one.
    Conv2d {
        /// The convolution.
        layer: Conv2d,
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// The same without padding, and max pooling by 2×2 behind it: the pooled values, and if `winners`, for each its
    /// winner's number in the window behind all of them.
    Conv2dMaxPool {
        /// The convolution.
        layer: Conv2d,
        /// In Winograd's way, with transformed weights, if that is faster.
        way: Option<Winograd>,
        /// What is done to each result: ReLU or nothing.
        activation: Option<Map>,
        /// Whether the gradient will ask for winners.
        winners: bool,
    },
    /// Gradient of both max pooling by 2×2 and the activation before it: pooled values with the winners, gradient.
    ToWinners,
    /// A convolution's gradient by the image: gradient, packed weight.
    Conv2dInputGrad {
        /// The convolution.
        layer: Conv2d,
        /// In a tile of one image, whether the output channels stand in the lanes; the weight is then packed as it is forward.
        sums_in_lanes: bool,
    },
    /// Weights transformed for a convolution in Winograd's way.
    WinogradWeights(Winograd),
    /// A convolution in Winograd's way, or its gradient by the image: image or gradient, transformed weights, bias if there
    /// is one.
    Winograd {
        /// The convolution.
        way: Winograd,
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// The tile's map cut into the tiles of a convolution in Winograd's way and transformed, `[place][position][channel]`,
    /// and one vector more behind each place.
    WinogradImage {
        /// The convolution.
        way: Winograd,
        /// Sizes of its results.
        results: Shape,
    },
    /// The same of a gradient that a [`Kernel::WinogradBatchWeightGrad`] reads: `[place][block of channels][position][image]
    /// [channel in block]`, and one vector more.
    WinogradGradient,
    /// A convolution in Winograd's way, or its gradient by the image, of the whole batch: transformed maps of all tiles,
    /// weight as it is, bias if there is one.
    WinogradBatch {
        /// The convolution.
        way: Winograd,
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// Its gradient by the weight, over the whole batch: transformed maps and transformed gradients of all tiles.
    WinogradBatchWeightGrad {
        /// Positions of tiles in a map.
        positions: usize,
    },
    /// Adds the tile's part of a convolution's gradient by the weight to the slot's sum: image, gradient.
    Conv2dWeightGrad {
        /// The convolution.
        layer: Conv2d,
    },
    /// The same where channels are many: the sums stand as `[block of output channels][tap][inner channel][channel in
    /// block]`, and what the last block has too much means nothing.
    Conv2dWeightGradRows {
        /// The convolution.
        layer: Conv2d,
        /// In Winograd's way: sums of transformed tiles.
        winograd: bool,
    },
    /// Adds up the slots' sums of that order, in PyTorch's.
    SumWeightSlots,
    /// A dense layer, forward or its gradient by the input: rows of values, packed weight, bias if there is one. In tiles of
    /// one image it is forward only, and its weight stands as it is.
    Linear {
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// A dense layer's gradient by the input, in tiles of one image: rows of gradients, weight as it is.
    LinearInputGrad,
    /// A dense layer on all of few images at once: rows of values, weight as it is, bias if there is one.
    BatchLinear {
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// Its gradient by the input: rows of gradients, weight as it is. For each image there is a sum for each part of the output
    /// rows ([`few_images::parts`]).
    BatchLinearInputGrad,
    /// The tile's values image after image instead of lane by lane.
    ToRows,
    /// A dense layer's gradient by the weight, over the whole batch: inputs as rows, gradient.
    LinearWeightGrad,
    /// Max pooling.
    MaxPool2d(MaxPool2d),
    /// Its gradient: image, gradient.
    MaxPool2dGrad(MaxPool2d),
    /// Average pooling.
    AvgPool2d(AvgPool2d),
    /// Its gradient.
    AvgPool2dGrad(AvgPool2d),
    /// Average pooling to a size.
    AdaptiveAvgPool2d(AdaptiveAvgPool2d),
    /// Its gradient.
    AdaptiveAvgPool2dGrad(AdaptiveAvgPool2d),
    /// Normalisation: image, statistics, weight, bias, and what is added behind it if there is something.
    BatchNorm {
        /// Added to the variance.
        eps: f32,
        /// What is done to each result.
        activation: Option<Map>,
    },
    /// Adds the tile's part of the two sums of the backward pass to the slot's: image, statistics, gradient; and weight and
    /// bias where the gradient is by an activation of the result.
    BatchNormSums {
        /// Added to the variance.
        eps: f32,
        /// What was done to each result.
        activation: Option<Map>,
    },
    /// Gradient by the image: image, statistics, weight, sums, gradient; and the bias where the gradient is by an activation
    /// of the result. Empty lanes get 0.
    BatchNormGrad {
        /// Added to the variance.
        eps: f32,
        /// Whether the statistics are the batch's own.
        training: bool,
        /// What was done to each result.
        activation: Option<Map>,
    },
    /// What the weights of a convolution are multiplied by so that it normalises, too: statistics, weight.
    FoldedScale {
        /// Added to the variance.
        eps: f32,
    },
    /// The bias of such a convolution: statistics, weight, bias, and the convolution's own bias if there is one.
    FoldedBias {
        /// Added to the variance.
        eps: f32,
    },
    /// Random zeros.
    Dropout {
        /// Their share.
        p: f32,
        /// The layer's number.
        layer: u32,
    },
    /// Cross-entropy of each image: logits, labels.
    CrossEntropy {
        /// Label smoothing.
        label_smoothing: f32,
    },
    /// Its gradient: logits, labels, gradient.
    CrossEntropyGrad {
        /// Label smoothing.
        label_smoothing: f32,
    },
    /// A user's op.
    Custom(Arc<dyn CustomOp>),
    /// Its gradient by one of its inputs: inputs, output, gradient.
    CustomGrad {
        /// The op.
        op: Arc<dyn CustomOp>,
        /// Which input.
        input: usize,
    },
}

/// A copy of a block: element `(a, b, …)` of `sizes` goes from `from + Σ a·from_strides` to `to + Σ a·to_strides`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which of the step's inputs.
    pub input: usize,
    /// Sizes of the block; axes that are not there have size 1.
    pub sizes: [usize; MAX_RANK],
    /// First element read.
    pub from: usize,
    /// Steps of reading.
    pub from_strides: [usize; MAX_RANK],
    /// First element written.
    pub to: usize,
    /// Steps of writing.
    pub to_strides: [usize; MAX_RANK],
}

/// How weights are packed: `[group][block of output channels][inner channel][tap][channel in block]`, where weight
/// `(group, output, inner, tap)` stands at `Σ index·stride` of the source, and missing channels of the last block are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pack {
    /// Groups.
    pub groups: usize,
    /// Output channels in a group.
    pub outputs: usize,
    /// Input channels in a group.
    pub inner: usize,
    /// Taps of the kernel.
    pub taps: usize,
    /// Strides of group, output, inner, tap in the source.
    pub strides: [usize; 4],
    /// Output channels in a block.
    pub block: usize,
}

impl Pack {
    /// Numbers of one group, packed.
    pub const fn group_len(&self) -> usize {
        self.outputs.next_multiple_of(self.block) * self.inner * self.taps
    }
}

impl Kernel {
    /// Whether it is whole work that goes over all tiles: it may read and write what stages keep of them.
    pub const fn is_whole_batch(&self) -> bool {
        matches!(
            self,
            Kernel::LinearWeightGrad
                | Kernel::BatchLinear { .. }
                | Kernel::BatchLinearInputGrad
                | Kernel::WinogradBatch { .. }
                | Kernel::WinogradBatchWeightGrad { .. }
        )
    }

    /// The map that is done in the same step, if there is one.
    pub const fn activation(&self) -> Option<Map> {
        match *self {
            Kernel::Conv2d { activation, .. }
            | Kernel::Conv2dMaxPool { activation, .. }
            | Kernel::Winograd { activation, .. }
            | Kernel::WinogradBatch { activation, .. }
            | Kernel::Linear { activation }
            | Kernel::BatchLinear { activation }
            | Kernel::BatchNorm { activation, .. }
            | Kernel::BatchNormSums { activation, .. }
            | Kernel::BatchNormGrad { activation, .. } => activation,
            Kernel::AddMap(map) | Kernel::AddMapGrad(map) => Some(map),
            _ => None,
        }
    }
}

impl Plan {
    /// Plans a graph for a batch.
    ///
    /// # Panics
    /// If `batch` or `lanes` is 0.
    pub fn new(graph: &Graph, options: Options) -> Self {
        assert!(options.batch > 0 && options.lanes > 0, "a plan needs images and lanes");
        let lowered = lower::lower(graph, options);
        memory::place(graph, lowered, options)
    }

    /// Tiles of the batch; the last may have empty lanes.
    pub const fn tiles(&self) -> usize {
        self.options.batch.div_ceil(self.options.lanes)
    }

    /// The tiles of a slot.
    pub const fn slot_tiles(&self, slot: usize) -> std::ops::Range<usize> {
        slot * self.tiles() / self.slots..(slot + 1) * self.tiles() / self.slots
    }

    /// Images in a tile: all lanes but in the last.
    pub const fn images(&self, tile: usize) -> usize {
        let rest = self.options.batch - tile * self.options.lanes;
        if rest < self.options.lanes { rest } else { self.options.lanes }
    }

    /// The output of this role.
    pub fn output(&self, role: &Role) -> Option<Operand> {
        self.outputs.iter().find(|(r, _)| r == role).map(|&(_, operand)| operand)
    }

    /// All steps, in an order in which they may run.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(|stage| stage.waves.iter().flatten().chain(&stage.tile))
    }
}

impl fmt::Display for Plan {
    /// One line per step, for people and snapshots.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { batch, lanes, .. } = self.options;
        writeln!(f, "{batch} images in {} tiles of {lanes}, {} slots", self.tiles(), self.slots)?;
        writeln!(
            f,
            "whole {}, kept {}, scratch {}, slot {}",
            self.whole_len, self.kept_len, self.scratch_len, self.slot_len
        )?;
        for (number, stage) in self.stages.iter().enumerate() {
            for (wave, steps) in stage.waves.iter().enumerate() {
                for step in steps {
                    writeln!(f, "{number} wave {wave}  {step}")?;
                }
            }
            for step in &stage.tile {
                writeln!(f, "{number} tile    {step}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The kernel's name and activation say enough; its numbers stand in the graph.
        let kernel = format!("{:?}", self.kernel);
        let name: String = kernel.chars().take_while(|c| c.is_alphanumeric()).collect();
        let fused = self.kernel.activation().map_or_else(String::new, |map| format!("+{map:?}"));
        write!(f, "{:<28} {}  <-", name + &fused, self.output)?;
        for input in &self.inputs {
            write!(f, " {input}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}[{}]", self.place, self.shape)
    }
}
