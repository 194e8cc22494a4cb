//! One run of a plan: what a thread does for a slot's tiles. Parts of whole steps are in `whole`.

use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use lenslet_graph::plan::{Kernel, Move, Plan, Step};
use smallvec::SmallVec;

use super::calls::{Runner, with_call, with_image};
use super::one_image::is_by_channel;
use super::tables::Tables;
use super::{Feed, Stage, Task, row_step};
use crate::kernels::{self, Call, Input, Tile};
use crate::kernels::{channels, conv2d, conv2d_weight_grad, conv2d_weight_grad_rows, winograd};
use crate::memory::{At, Views};
use crate::simd::Isa;

/// Inputs of a step whose kernel takes them all at once: only a user's op may have more than find room without an allocation.
pub(super) struct Inputs<'a>(SmallVec<[Input<'a>; 6]>);

impl<'a> Inputs<'a> {
    /// The numbers of input `i`; none where the step has no such input, as a layer without a bias.
    pub(super) fn data(&self, i: usize) -> &'a [f32] {
        self.0.get(i).map_or(&[], |input| input.data)
    }
}

impl<'a> Deref for Inputs<'a> {
    type Target = [Input<'a>];

    fn deref(&self) -> &[Input<'a>] {
        &self.0
    }
}

impl DerefMut for Inputs<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// One run of the plan, shared by the threads.
pub(super) struct Run<'a> {
    pub(super) isa: Isa,
    /// Where times are added up, if that is asked for.
    pub(super) spent: Option<&'a [Vec<AtomicU64>]>,
    pub(super) plan: &'a Plan,
    pub(super) rows: &'a [std::sync::Mutex<Vec<f32>>],
    pub(super) views: Views<'a>,
    pub(super) feed: &'a dyn Feed,
    pub(super) seed: u64,
    pub(super) step: u32,
}

impl Run<'_> {
    /// Does a piece of a task's work, and adds its time to the task's if that is asked for.
    pub(super) fn timing(&self, task: &Task, thread: usize, work: impl FnOnce()) {
        let Some(spent) = self.spent else { return work() };
        let begin = Instant::now();
        work();
        spent[thread][task.number].fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// The stage's tile work for all tiles of one slot.
    pub(super) fn slot(&self, stage: &Stage, slot: usize, thread: usize) {
        let at = At { tile: 0, slot, thread };
        for sum in &stage.sums {
            // SAFETY: the plan was checked; a slot is one thread's.
            unsafe { self.views.output(sum, at) }.fill(0.0);
        }
        for tile in self.plan.slot_tiles(slot) {
            let at = At { tile, ..at };
            for task in &stage.tile {
                self.timing(task, thread, || self.tile(task, at));
            }
        }
    }

    pub(super) fn tile_of(&self, tile: usize) -> Tile {
        let options = self.plan.options;
        let first = tile * options.lanes;
        Tile { first, images: self.plan.images(tile), batch: options.batch, seed: self.seed, step: self.step }
    }

    /// One step on one tile.
    pub(super) fn tile(&self, task: &Task, at: At) {
        let step = &task.step;
        // SAFETY: the plan was checked; a tile, its slot and this thread's scratch are this thread's, and the slices end
        // with the step.
        let (inputs, output) = unsafe { (self.inputs(step, at), self.views.output(&step.output, at)) };
        let tile = self.tile_of(at.tile);
        match (&step.kernel, &task.tables) {
            (Kernel::Feed { input }, _) => self.load(*input, tile, at.thread, output),
            (Kernel::ToRows, _) => self.isa.run(kernels::feed::ToRows { lanes: inputs[0].data, rows: output }),
            (kernel, Tables::Correlate(geometry)) => {
                let activation = kernel.activation();
                // SAFETY: the thread's own, until the step ends.
                let work = unsafe { self.views.work(at.thread) };
                let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
                let (y, winners) = output.split_at_mut(geometry.y_len() * self.isa.lanes());
                self.isa.run(conv2d::Correlate { geometry, x, weight, bias, activation, y, winners, work });
            }
            (kernel, Tables::Winograd { geometry, .. }) => {
                let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
                let activation = kernel.activation();
                // SAFETY: the thread's own block, taken once in this step.
                let work = unsafe { self.views.work(at.thread) };
                self.isa.run(winograd::conv2d::Convolve { geometry, x, weight, bias, activation, y: output, work });
            }
            (kernel, Tables::WinogradMaxPool(geometry)) => {
                let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
                let activation = kernel.activation();
                // SAFETY: the thread's own, until the step ends.
                let work = unsafe { self.views.work(at.thread) };
                let (y, winners) = output.split_at_mut(geometry.y_len() * self.isa.lanes());
                let kernel =
                    winograd::conv2d_max_pool::Convolve { geometry, x, weight, bias, activation, y, winners, work };
                self.isa.run(kernel);
            }
            (Kernel::WinogradImage { .. }, Tables::WinogradTiles(cut)) => {
                self.isa.run(winograd::tiles::TransformImage { cut, x: inputs[0].data, to: output });
            }
            (Kernel::WinogradGradient, Tables::WinogradTiles(cut)) => {
                // SAFETY: the thread's own, until the step ends.
                let work = unsafe { self.views.work(at.thread) };
                self.isa.run(winograd::tiles::TransformGradient { cut, dy: inputs[0].data, to: output, work });
            }
            (Kernel::Conv2dWeightGrad { .. }, Tables::WeightGrad(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                self.isa.run(conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: output });
            }
            (_, Tables::ChannelsCorrelate(geometry)) => {
                self.channels_correlate(step, geometry, 0..geometry.blocks(), at, at.thread);
            }
            (_, Tables::WholeMap(geometry)) => self.whole_map(step, geometry, 0..geometry.blocks(), at),
            (_, Tables::OneImage(geometry)) => self.winograd(step, geometry, 0..geometry.blocks(), at, at.thread),
            (_, Tables::ChannelsInputGrad(geometry)) => {
                let (dy, weight) = (inputs[0].data, inputs[1].data);
                // SAFETY: the thread's own.
                let work = unsafe { self.views.work(at.thread) };
                let kernel = channels::conv2d_input_grad::InputGrad { geometry, dy, weight, dx: output, work };
                self.isa.at_most(geometry.lanes()).run(kernel);
            }
            (Kernel::Conv2dWeightGrad { .. }, Tables::ChannelsWeightGrad(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                // SAFETY: the thread's own.
                let work = unsafe { self.views.work(at.thread) };
                let kernel = channels::conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: output, work };
                self.isa.at_most(geometry.lanes()).run(kernel);
            }
            (kernel @ Kernel::Linear { .. }, Tables::None) => {
                let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
                let activation = kernel.activation();
                let inputs = step.inputs[1].shape.dim(1);
                self.isa.run(channels::linear::Forward { inputs, x, weight, bias, activation, y: output });
            }
            (Kernel::LinearInputGrad, _) => {
                let (dy, weight, inputs) = (inputs[0].data, inputs[1].data, step.inputs[1].shape.dim(1));
                self.isa.run(channels::linear::Backward { inputs, dy, weight, dx: output });
            }
            (Kernel::Rearrange { fill, moves }, _) => self.rearrange(step, *fill, moves, at, self.on_tiles()),
            (Kernel::Conv2dWeightGradRows { .. }, Tables::WeightGradRows(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                // SAFETY: this thread's own, for this step.
                let work = unsafe { self.views.work(at.thread) };
                self.isa.run(conv2d_weight_grad_rows::WeightGrad { geometry, x, dy, work, dw: output });
            }
            (Kernel::Conv2dWeightGradRows { .. }, Tables::WeightGradWinograd(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                // SAFETY: this thread's own, for this step.
                let work = unsafe { self.views.work(at.thread) };
                self.isa.run(winograd::weight_grad::WeightGrad { geometry, x, dy, work, dw: output });
            }
            (_, Tables::None) if self.plan.options.lanes == 1 && is_by_channel(step) => {
                self.by_channel(step, 0..step.output.shape.dim(0), at);
            }
            (kernel, _) => {
                let call = Call { inputs: &inputs, output, shape: step.output.shape, tile };
                match self.plan.options.lanes {
                    1 => with_image(kernel, call, self.isa),
                    _ => with_call(kernel, call, self.on_tiles()),
                }
            }
        }
    }

    /// Some blocks of a convolution's output channels, on a tile of one image, by the thread `worker`.
    pub(super) fn channels_correlate(
        &self,
        step: &Step,
        geometry: &channels::conv2d::Geometry,
        blocks: Range<usize>,
        at: At,
        worker: usize,
    ) {
        let channels = geometry.channels(blocks.clone());
        let activation = step.kernel.activation();
        let winners = matches!(step.kernel, Kernel::Conv2dMaxPool { winners: true, .. });
        let plane = geometry.plane_out();
        let [first, len, all] = [channels.start, channels.len(), geometry.channels(0..geometry.blocks()).len()];
        // SAFETY: the plan was checked; blocks write to channels of their own, whose winners stand behind all channels, and
        // the worker works in its own block.
        let (inputs, y, winners, work) = unsafe {
            let y = self.part(step, first * plane, len * plane, at);
            let winners = if winners { self.part(step, (all + first) * plane, len * plane, at) } else { &mut [] };
            (self.inputs(step, at), y, winners, self.views.work(worker))
        };
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
        let kernel = channels::conv2d::Correlate { geometry, x, weight, bias, activation, blocks, y, winners, work };
        kernel.run(self.isa);
    }

    /// How tiles run.
    pub(super) fn on_tiles(&self) -> Runner {
        if self.plan.options.lanes == 1 { Runner::OneLane(self.isa) } else { Runner::Vectors(self.isa) }
    }

    /// Copies one input after the other, of which there may be any number.
    pub(super) fn rearrange(&self, step: &Step, fill: Option<f32>, moves: &[Move], at: At, runner: Runner) {
        // SAFETY: the plan was checked, and `at` is the caller's own.
        let output = unsafe { self.views.output(&step.output, at) };
        if let Some(value) = fill {
            output.fill(value);
        }
        for copy in moves {
            // SAFETY: as above.
            let input = unsafe { self.views.input(&step.inputs[copy.input], at) };
            runner.run(kernels::rearrange::Rearrange { copy, input, output });
        }
    }

    /// The step's inputs.
    ///
    /// # Safety
    /// As for [`Views::output`].
    pub(super) unsafe fn inputs(&self, step: &Step, at: At) -> Inputs<'_> {
        // SAFETY: the caller's promise.
        Inputs(step.inputs.iter().map(|operand| unsafe { self.views.input(operand, at) }).collect())
    }

    /// Images or labels into the lanes; empty lanes repeat the last image, so that nothing in them is out of the ordinary.
    fn load(&self, input: usize, tile: Tile, thread: usize, lanes: &mut [f32]) {
        if self.plan.options.lanes == 1 {
            return self.feed.fill(input, tile.first, lanes);
        }
        let len = self.plan.inputs[input].len();
        // Never contended: a thread locks its own.
        let mut rows = self.rows[thread].lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let step = row_step(len);
        for lane in 0..tile.images {
            self.feed.fill(input, tile.first + lane, &mut rows[lane * step..][..len]);
        }
        let last = (tile.images - 1) * step;
        for lane in tile.images..self.plan.options.lanes {
            rows.copy_within(last..last + len, lane * step);
        }
        self.isa.run(kernels::feed::FromRows { rows: &rows, step, lanes });
    }
}
