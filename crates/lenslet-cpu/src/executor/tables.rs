//! What a step's kernel needs to know about sizes, worked out when an executor is made; and which kernel that is, where a
//! step of the plan may run in several ways.

use lenslet_graph::Shape;
use lenslet_graph::plan::{Kernel, Operand, Step};

use crate::kernels::{channels, conv2d_weight_grad, conv2d_weight_grad_rows, stretches, winograd};

/// What a kernel needs to know about sizes, worked out beforehand.
pub(super) enum Tables {
    None,
    Correlate(stretches::Geometry),
    WeightGrad(conv2d_weight_grad::Geometry),
    Winograd {
        geometry: winograd::conv2d::Geometry,
        work_len: usize,
    },
    WinogradMaxPool(winograd::conv2d_max_pool::Geometry),
    /// What a tile transforms for work on the whole batch.
    WinogradTiles(winograd::tiles::Cut),
    WholeBatch(winograd::whole_batch::Geometry),
    WholeBatchWeightGrad(winograd::whole_batch_weight_grad::Geometry),
    /// In tiles of one image.
    ChannelsCorrelate(channels::conv2d::Geometry),
    WholeMap(channels::whole_map::Geometry),
    ChannelsInputGrad(channels::conv2d_input_grad::Geometry),
    ChannelsWeightGrad(channels::conv2d_weight_grad::Geometry),
    OneImage(winograd::one_image::Geometry),
    WeightGradRows(conv2d_weight_grad_rows::Geometry),
    WeightGradWinograd(winograd::weight_grad::Geometry),
}

impl Tables {
    /// Numbers that the kernel works in, on each thread.
    pub(super) fn work_len(&self, lanes: usize) -> usize {
        match self {
            Tables::None | Tables::WeightGrad(_) | Tables::WholeMap(_) => 0,
            Tables::Correlate(geometry) => geometry.work_len() * lanes,
            Tables::Winograd { work_len, .. } => *work_len,
            Tables::WinogradMaxPool(geometry) => geometry.work_len() * lanes,
            Tables::WinogradTiles(_) => winograd::tiles::turn_len(lanes),
            Tables::WholeBatch(geometry) => geometry.work_len(lanes),
            Tables::WholeBatchWeightGrad(_) => winograd::whole_batch_weight_grad::Geometry::work_len(),
            Tables::ChannelsCorrelate(geometry) => geometry.work_len(),
            Tables::ChannelsInputGrad(geometry) => geometry.work_len(),
            Tables::ChannelsWeightGrad(geometry) => geometry.work_len(),
            Tables::OneImage(geometry) => geometry.work_len(),
            Tables::WeightGradRows(geometry) => geometry.work_len(),
            Tables::WeightGradWinograd(geometry) => geometry.work_len(),
        }
    }

    pub(super) fn new(step: &Step, lanes: usize) -> Self {
        if lanes == 1 {
            return Self::of_one_image(step);
        }
        let output = step.output.shape;
        match &step.kernel {
            Kernel::Conv2d { layer, .. } => {
                Tables::Correlate(stretches::Geometry::forward(layer, step.inputs[0].shape, output))
            }
            Kernel::Conv2dMaxPool { layer, way, winners, .. } => {
                let (image, pooled) = (step.inputs[0].shape, pooled(output, *winners));
                match way {
                    Some(way) => Tables::WinogradMaxPool(winograd::conv2d_max_pool::Geometry::new(*way, image, pooled)),
                    None => Tables::Correlate(stretches::Geometry::pooled(layer, image, pooled)),
                }
            }
            Kernel::Conv2dInputGrad { layer, .. } => {
                Tables::Correlate(stretches::Geometry::backward(layer, output, step.inputs[0].shape))
            }
            Kernel::Linear { .. } => {
                let width = |operand: &Operand| operand.shape.dim(operand.shape.rank() - 1);
                let (inputs, outputs) = (width(&step.inputs[0]), width(&step.output));
                Tables::Correlate(stretches::Geometry::dense(output.len() / outputs, inputs, outputs))
            }
            Kernel::Winograd { way, .. } => {
                let geometry = winograd::conv2d::Geometry::new(*way, step.inputs[0].shape, output);
                Tables::Winograd { work_len: geometry.work_len(lanes), geometry }
            }
            Kernel::WinogradImage { way, results } => {
                Tables::WinogradTiles(winograd::tiles::Cut::new(step.inputs[0].shape, way.before, *results))
            }
            Kernel::WinogradGradient => {
                let gradient = step.inputs[0].shape;
                Tables::WinogradTiles(winograd::tiles::Cut::new(gradient, [0; 2], gradient))
            }
            Kernel::WinogradBatch { way, .. } => Tables::WholeBatch(winograd::whole_batch::Geometry::new(*way, output)),
            Kernel::WinogradBatchWeightGrad { positions } => {
                Tables::WholeBatchWeightGrad(winograd::whole_batch_weight_grad::Geometry::new(output, *positions))
            }
            Kernel::Conv2dWeightGrad { layer } => {
                let (image, gradient) = (step.inputs[0].shape, step.inputs[1].shape);
                Tables::WeightGrad(conv2d_weight_grad::Geometry::new(layer, image, gradient))
            }
            Kernel::Conv2dWeightGradRows { layer, winograd } => {
                let (image, gradient) = (step.inputs[0].shape, step.inputs[1].shape);
                match winograd {
                    true => {
                        Tables::WeightGradWinograd(winograd::weight_grad::Geometry::new(layer, image, gradient, lanes))
                    }
                    false => {
                        Tables::WeightGradRows(conv2d_weight_grad_rows::Geometry::new(layer, image, gradient, lanes))
                    }
                }
            }
            _ => Tables::None,
        }
    }

    /// The same for tiles of one image.
    fn of_one_image(step: &Step) -> Self {
        let output = step.output.shape;
        match &step.kernel {
            Kernel::Conv2d { layer, .. } => {
                let image = step.inputs[0].shape;
                match channels::whole_map::Geometry::new(layer, image, output) {
                    Some(geometry) => Tables::WholeMap(geometry),
                    None => {
                        let geometry = channels::conv2d::Geometry::forward(layer, image, output);
                        Tables::ChannelsCorrelate(geometry.by_cost())
                    }
                }
            }
            Kernel::Conv2dMaxPool { layer, winners, .. } => {
                let (image, pooled) = (step.inputs[0].shape, pooled(output, *winners));
                Tables::ChannelsCorrelate(channels::conv2d::Geometry::pooled(layer, image, pooled).by_cost())
            }
            Kernel::Conv2dInputGrad { layer, sums_in_lanes: true } => Tables::ChannelsInputGrad(
                channels::conv2d_input_grad::Geometry::new(layer, output, step.inputs[0].shape),
            ),
            Kernel::Conv2dInputGrad { layer, .. } => Tables::ChannelsCorrelate(
                channels::conv2d::Geometry::backward(layer, output, step.inputs[0].shape).by_cost(),
            ),
            Kernel::Conv2dWeightGrad { layer } => {
                let (image, gradient) = (step.inputs[0].shape, step.inputs[1].shape);
                Tables::ChannelsWeightGrad(
                    channels::conv2d_weight_grad::Geometry::new(layer, image, gradient).by_cost(),
                )
            }
            Kernel::Winograd { way, .. } => {
                Tables::OneImage(winograd::one_image::Geometry::new(*way, step.inputs[0].shape, output))
            }
            _ => Tables::None,
        }
    }
}

/// The pooled values alone of what a convolution that pools hands on.
fn pooled(output: Shape, winners: bool) -> Shape {
    Shape::image(output.dim(0) / if winners { 2 } else { 1 }, output.dim(1), output.dim(2))
}
