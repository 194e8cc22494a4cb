//! The kernels that do the same to the values of a tile and to whole values: from a step of the plan to the call.

use lenslet_graph::plan::Kernel;

use crate::kernels::Call;
use crate::kernels::max_pool::are_quarters;
use crate::simd::Isa;

/// How a kernel runs: in vectors, or with one lane.
#[derive(Clone, Copy)]
pub(super) enum Runner {
    Vectors(Isa),
    OneLane(Isa),
}

impl Runner {
    pub(super) fn run<K: crate::simd::Kernel<Output = ()>>(self, kernel: K) {
        match self {
            Runner::Vectors(isa) => isa.run(kernel),
            Runner::OneLane(isa) => isa.run_one_lane(kernel),
        }
    }
}

/// The same for a tile of one image: some kernels have another way there, with neighbouring numbers in the lanes.
pub(super) fn with_image(kernel: &Kernel, call: Call<'_>, isa: Isa) {
    use crate::kernels::channels::{column_lanes, cross_entropy, max_pool, reduce};
    let x = call.inputs.first().map(|input| input.shape);
    match (kernel, x) {
        (Kernel::ToWinners, _) => {
            isa.at_most(column_lanes(call.inputs[1].shape.dim(2))).run(max_pool::Backward { winners: true, call })
        }
        (Kernel::MaxPool2dGrad(layer), Some(x)) if are_quarters(layer, x, call.inputs[1].shape) => {
            isa.at_most(column_lanes(call.inputs[1].shape.dim(2))).run(max_pool::Backward { winners: false, call });
        }
        (Kernel::Reduce(op), Some(x)) if reduce::fits(op, x, call.shape) => isa.run(reduce::Reduce { op: *op, call }),
        (&Kernel::CrossEntropy { label_smoothing }, _) => isa.run(cross_entropy::Forward { label_smoothing, call }),
        (&Kernel::CrossEntropyGrad { label_smoothing }, _) => {
            isa.run(cross_entropy::Backward { label_smoothing, call });
        }
        _ => with_call(kernel, call, Runner::OneLane(isa)),
    }
}

/// The kernels that do the same to the values of a tile and to whole values.
pub(super) fn with_call(kernel: &Kernel, call: Call<'_>, runner: Runner) {
    use crate::kernels::*;
    match kernel {
        Kernel::Fill(value) => call.output.fill(*value),
        Kernel::Map(map) => runner.run(map::Forward { map: *map, call }),
        Kernel::MapGrad(map) => runner.run(map::Backward { map: *map, call }),
        Kernel::Binary(op) => runner.run(binary::Binary { op: *op, call }),
        Kernel::Select => runner.run(select::Select { call }),
        Kernel::MatMul => runner.run(matmul::MatMul { call }),
        Kernel::Reduce(reduce) => runner.run(reduce::Reduce { reduce: *reduce, call }),
        Kernel::Softmax(softmax) => runner.run(softmax::Softmax { softmax: *softmax, call }),
        Kernel::BatchExpand { mean } => runner.run(batch::Expand { mean: *mean, call }),
        Kernel::SumImages => runner.run(batch::SumImages { call }),
        Kernel::ChannelMoments => runner.run(batch::ChannelMoments { call }),
        Kernel::Moments => runner.run(batch::Moments { call }),
        Kernel::WholeStatistics => batch::whole_statistics(call.inputs[0].data, call.output),
        Kernel::MaxPool2d(layer) => runner.run(max_pool::Forward { layer: *layer, call }),
        Kernel::MaxPool2dGrad(layer) => runner.run(max_pool::Backward { layer: *layer, call }),
        Kernel::ToWinners => runner.run(max_pool::ToWinners { call }),
        Kernel::AvgPool2d(layer) => runner.run(avg_pool::Forward { layer: *layer, call }),
        Kernel::AvgPool2dGrad(layer) => runner.run(avg_pool::Backward { layer: *layer, call }),
        Kernel::AdaptiveAvgPool2d(layer) => runner.run(adaptive_avg_pool::Forward { layer: *layer, call }),
        Kernel::AdaptiveAvgPool2dGrad(layer) => runner.run(adaptive_avg_pool::Backward { layer: *layer, call }),
        Kernel::AddMap(map) => runner.run(sum::Forward { map: *map, call }),
        Kernel::AddMapGrad(map) => runner.run(sum::Backward { map: *map, call }),
        Kernel::BatchNorm { eps, activation } => {
            runner.run(batch_norm::Forward { eps: *eps, activation: *activation, call });
        }
        Kernel::BatchNormSums { eps, activation } => {
            runner.run(batch_norm::Sums { eps: *eps, activation: *activation, call });
        }
        Kernel::BatchNormGrad { eps, training, activation } => {
            runner.run(batch_norm::Backward { eps: *eps, training: *training, activation: *activation, call });
        }
        Kernel::FoldedScale { eps } => batch_norm::folded_scale(*eps, call),
        Kernel::FoldedBias { eps } => batch_norm::folded_bias(*eps, call),
        Kernel::Dropout { p, layer } => runner.run(dropout::Dropout { p: *p, layer: *layer, call }),
        Kernel::CrossEntropy { label_smoothing } => {
            runner.run(cross_entropy::Forward { label_smoothing: *label_smoothing, call });
        }
        Kernel::CrossEntropyGrad { label_smoothing } => {
            runner.run(cross_entropy::Backward { label_smoothing: *label_smoothing, call });
        }
        Kernel::Custom(op) => runner.run(custom::Forward { op: &**op, call }),
        Kernel::CustomGrad { op, input } => runner.run(custom::Backward { op: &**op, input: *input, call }),
        Kernel::Feed { .. }
        | Kernel::Rearrange { .. }
        | Kernel::SumSlots { .. }
        | Kernel::BatchStatistics
        | Kernel::Statistics
        | Kernel::Pack(_)
        | Kernel::WinogradWeights(_)
        | Kernel::Winograd { .. }
        | Kernel::WinogradImage { .. }
        | Kernel::WinogradGradient
        | Kernel::WinogradBatch { .. }
        | Kernel::WinogradBatchWeightGrad { .. }
        | Kernel::Conv2d { .. }
        | Kernel::Conv2dMaxPool { .. }
        | Kernel::Conv2dInputGrad { .. }
        | Kernel::Conv2dWeightGrad { .. }
        | Kernel::Conv2dWeightGradRows { .. }
        | Kernel::SumWeightSlots
        | Kernel::Linear { .. }
        | Kernel::LinearInputGrad
        | Kernel::BatchLinear { .. }
        | Kernel::BatchLinearInputGrad
        | Kernel::ToRows
        | Kernel::LinearWeightGrad => unreachable!("{kernel:?} has its own way, or is no work of this kind"),
    }
}
