//! One run of a plan: what a thread does for a part of a whole step.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{Kernel, Operand, Place, Step, WEIGHT_BLOCK, few_images};

use super::Task;
use super::calls::{Runner, with_call};
use super::run::Run;
use super::tables::Tables;
use crate::kernels::{self, Call, Tile, channels, conv2d_weight_grad_rows, linear_weight_grad, pack, winograd};
use crate::memory::At;
use crate::shares;

impl Run<'_> {
    /// One part of a step on whole values.
    pub(super) fn whole(&self, task: &Task, part: usize, thread: usize) {
        let step = &task.step;
        let at = At::default();
        match &step.kernel {
            Kernel::Pack(pack) => {
                let len = pack::block_len(pack);
                // SAFETY: the plan was checked; parts write to blocks of their own.
                let (weight, packed) =
                    unsafe { (self.views.input(&step.inputs[0], at), self.part(step, part * len, len, at)) };
                let block = pack::Block { pack, part, weight: weight.data, packed: &mut *packed };
                self.isa.at_most(pack.block).run(block);
                if let Some(scale) = step.inputs.get(1) {
                    // SAFETY: the plan was checked.
                    pack::scale(pack.outputs, pack.block, part, unsafe { self.views.input(scale, at) }.data, packed);
                }
            }
            Kernel::WinogradWeights(way) => {
                let len = winograd::weights::part_len(way);
                // SAFETY: as for packed weights.
                let (weight, packed) =
                    unsafe { (self.views.input(&step.inputs[0], at), self.part(step, part * len, len, at)) };
                self.isa.run(winograd::weights::Transform { way, part, weight: weight.data, packed: &mut *packed });
                if let Some(scale) = step.inputs.get(1) {
                    // SAFETY: the plan was checked.
                    pack::scale(way.outputs, way.block, part, unsafe { self.views.input(scale, at) }.data, packed);
                }
            }
            Kernel::SumSlots { mean } => {
                let range = shares::part(step.output.shape.len(), part);
                let divisor = if *mean { self.plan.options.batch as f32 } else { 1.0 };
                // SAFETY: the plan was checked; parts write to ranges of their own.
                let (slots, output) =
                    unsafe { (self.views.slots(&step.inputs[0]), self.part(step, range.start, range.len(), at)) };
                kernels::batch::sum_slots(self.isa, slots, divisor, range, output);
            }
            Kernel::SumWeightSlots => {
                let [outputs, channels] = [step.output.shape.dim(0), step.output.shape.dim(1)];
                let row = step.output.shape.len() / outputs;
                let from = part * WEIGHT_BLOCK;
                let len = WEIGHT_BLOCK.min(outputs - from) * row;
                // SAFETY: the plan was checked; parts write to rows of their own.
                let (slots, dw) = unsafe { (self.views.slots(&step.inputs[0]), self.part(step, from * row, len, at)) };
                conv2d_weight_grad_rows::sum_slots(slots, part, channels, row / channels, dw);
            }
            Kernel::LinearWeightGrad => self.linear_weight_grad(step, part),
            Kernel::BatchLinear { activation } => self.batch_linear(step, *activation, part),
            Kernel::BatchLinearInputGrad => self.batch_linear_input_grad(step, part),
            Kernel::WinogradBatch { .. } | Kernel::WinogradBatchWeightGrad { .. } => {
                self.winograd_batch(task, part, thread);
            }
            Kernel::BatchStatistics | Kernel::Statistics => {
                // SAFETY: the plan was checked.
                let (slots, output) =
                    unsafe { (self.views.slots(&step.inputs[0]), self.views.output(&step.output, at)) };
                match step.kernel {
                    Kernel::Statistics => kernels::batch::statistics(slots, output),
                    _ => kernels::batch::batch_statistics(slots, output),
                }
            }
            Kernel::Rearrange { fill, moves } => self.rearrange(step, *fill, moves, at, Runner::OneLane(self.isa)),
            kernel => {
                // SAFETY: the plan was checked.
                let (inputs, output) = unsafe { (self.inputs(step, at), self.views.output(&step.output, at)) };
                let tile = Tile { images: 1, ..self.tile_of(0) };
                let call = Call { inputs: &inputs, output, shape: step.output.shape, tile };
                with_call(kernel, call, Runner::OneLane(self.isa));
            }
        }
    }

    /// A block of output channels of a convolution of the whole batch, or of its gradient by the weight.
    fn winograd_batch(&self, task: &Task, part: usize, thread: usize) {
        let step = &task.step;
        // SAFETY: the plan was checked: whole work may read what all tiles keep; parts write to channels, or rows, of their
        // own, and work in this thread's block.
        unsafe {
            let work = self.views.work(thread);
            let first = self.views.all_tiles(&step.inputs[0]);
            match (&step.kernel, &task.tables) {
                (&Kernel::WinogradBatch { activation, .. }, Tables::WholeBatch(geometry)) => {
                    let weight = self.views.input(&step.inputs[1], At::default()).data;
                    let bias = step.inputs.get(2).map_or(&[][..], |bias| self.views.input(bias, At::default()).data);
                    let len = geometry.part_len();
                    let y = self.views.part_of_all_tiles(&step.output, part * len, len);
                    let v = first;
                    let kernel =
                        winograd::whole_batch::Convolve { geometry, part, v, weight, bias, activation, y, work };
                    self.isa.run(kernel);
                }
                (_, Tables::WholeBatchWeightGrad(geometry)) => {
                    let (x, d) = (first, self.views.all_tiles(&step.inputs[1]));
                    let len = geometry.part_len();
                    let dw = self.part(step, part * len, len, At::default());
                    self.isa.run(winograd::whole_batch_weight_grad::WeightGrad { geometry, part, x, d, dw, work });
                }
                (kernel, _) => unreachable!("{kernel:?} is no work on the whole batch"),
            }
        }
    }

    /// The numbers from `from` of a step's output: a whole value, or one of a tile of one image.
    ///
    /// # Safety
    /// As for [`Views::output`], and parts must not overlap.
    #[allow(clippy::mut_from_ref)] // The views hand out memory by the plan's word, not by borrows.
    pub(super) unsafe fn part(&self, step: &Step, from: usize, len: usize, at: At) -> &mut [f32] {
        let Operand { place, shape } = step.output;
        assert!(from + len <= shape.len() && (self.plan.options.lanes == 1 || !shape.is_batched()));
        let place = match place {
            Place::Whole(offset) => Place::Whole(offset + from),
            Place::Kept(offset) => Place::Kept(offset + from),
            Place::Scratch(offset) => Place::Scratch(offset + from),
            place => unreachable!("{place:?} is not written in parts"),
        };
        let shape = Shape::whole(&[len]).expect("a part is no larger than the whole");
        // SAFETY: the caller's promise.
        unsafe { self.views.output(&Operand { place, shape }, at) }
    }

    /// A dense layer on all images, some output rows of it.
    fn batch_linear(&self, step: &Step, activation: Option<Map>, part: usize) {
        // SAFETY: the plan was checked: whole work may read and write what stages keep of all tiles; parts write to outputs of
        // their own.
        unsafe {
            let (rows, weight) = self.rows_of_weight(step, part);
            let x = self.views.all_tiles(&step.inputs[0]);
            let y = self.views.part_of_all_tiles(&step.output, rows.start, rows.len());
            let bias = step.inputs.get(2).map_or(&[][..], |bias| &self.views.input(bias, At::default()).data[rows]);
            self.isa.run(channels::linear_batch::Forward { x, weight, bias, activation, y });
        }
    }

    /// A part's output rows, and the weights in them.
    ///
    /// # Safety
    /// As for [`Views::output`](crate::memory::Views::output).
    unsafe fn rows_of_weight(&self, step: &Step, part: usize) -> (Range<usize>, &[f32]) {
        let (rows, inputs) = (few_images::part(step.inputs[1].shape, part), step.inputs[1].shape.dim(1));
        // SAFETY: the caller's promise.
        let weight = unsafe { self.views.input(&step.inputs[1], At::default()) }.data;
        (rows.clone(), &weight[rows.start * inputs..rows.end * inputs])
    }

    /// Its gradient by the input, as far as it comes from some output rows.
    fn batch_linear_input_grad(&self, step: &Step, part: usize) {
        let inputs = step.inputs[1].shape.dim(1);
        // SAFETY: as above; parts write to sums of their own.
        unsafe {
            let (rows, weight) = self.rows_of_weight(step, part);
            let dy = self.views.all_tiles(&step.inputs[0]).part(rows);
            let dx = self.views.part_of_all_tiles(&step.output, part * inputs, inputs);
            self.isa.run(channels::linear_batch::Backward { dy, weight, dx });
        }
    }

    fn linear_weight_grad(&self, step: &Step, part: usize) {
        let [outputs, inputs] = [step.output.shape.dim(0), step.output.shape.dim(1)];
        let rows = linear_weight_grad::part(outputs, inputs, part);
        // SAFETY: the plan was checked: whole work may read what all tiles keep; parts write to rows of their own.
        let ([x, dy], dw) = unsafe {
            let factors = [0, 1].map(|i| self.views.all_tiles(&step.inputs[i]));
            (factors, self.part(step, rows.start * inputs, rows.len() * inputs, At::default()))
        };
        let batch = linear_weight_grad::Batch {
            x,
            dy,
            lanes: self.plan.options.lanes,
            images: self.plan.options.batch,
            rows: step.inputs[0].shape.len() / inputs,
            inputs,
            outputs,
        };
        self.isa.run(linear_weight_grad::WeightGrad { batch, outputs: rows, dw });
    }
}
