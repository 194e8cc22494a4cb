//! Tiles of one image: the steps that threads share where it is the whole batch, and those with channels in the lanes.
//!
//! Threads share a step by its output channels, if it is long enough; the others one of them does. A piece of a step does
//! the same whoever has it, so the number of threads changes no bit. There is one piece for each thread, so that most of what
//! it reads it has written itself: cores may take long to read from each other.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::plan::{Kernel, Step};

use super::Stage;
use super::calls::with_call;
use super::run::Run;
use super::tables::Tables;
use crate::kernels::{self, Call, channels, winograd};
use crate::memory::At;
use crate::tiles::Pool;

/// Multiply-adds of a convolution from which on threads share one image: some 5 µs.
const SHARED_WORK: usize = 1 << 18;

/// The same for numbers that a step goes through: some 3 µs.
const SHARED_NUMBERS: usize = 1 << 13;

impl Run<'_> {
    /// The stage's tile work where all of it is one image: threads share the steps that are long enough.
    pub(super) fn one_image(&self, stage: &Stage, pool: &mut Pool) {
        let at = At::default();
        for sum in &stage.sums {
            // SAFETY: the plan was checked; there is one slot.
            unsafe { self.views.output(sum, at) }.fill(0.0);
        }
        let threads = pool.threads();
        for task in &stage.tile {
            let numbers = task.step.inputs.first().map_or(0, |input| input.shape.len());
            // Pieces that there are, how many threads can have a part of them, and what is done to a part.
            type Work<'a> = &'a (dyn Fn(Range<usize>, usize) + Sync);
            let mut share = |pieces: usize, most: usize, work: Work<'_>| {
                let units = most.min(threads);
                let unit = |unit: usize, thread: usize| {
                    let some = unit * pieces / units..(unit + 1) * pieces / units;
                    self.timing(task, thread, || work(some, thread));
                };
                pool.run(units, &unit);
            };
            let step = &task.step;
            match &task.tables {
                Tables::ChannelsCorrelate(geometry) if geometry.work() >= SHARED_WORK => {
                    let blocks = geometry.blocks();
                    share(blocks, blocks, &|blocks, thread| {
                        self.channels_correlate(step, geometry, blocks, at, thread);
                    });
                }
                Tables::WholeMap(geometry) if geometry.work() >= SHARED_WORK => {
                    let blocks = geometry.blocks();
                    share(blocks, blocks, &|blocks, _| self.whole_map(step, geometry, blocks, at));
                }
                Tables::OneImage(geometry) if geometry.work() >= SHARED_WORK => {
                    let blocks = geometry.blocks();
                    share(blocks, geometry.register_blocks(self.isa.lanes()), &|blocks, thread| {
                        self.winograd(step, geometry, blocks, at, thread);
                    });
                }
                Tables::None if numbers >= SHARED_NUMBERS && is_by_channel(step) => {
                    let channels = step.output.shape.dim(0);
                    share(channels, channels, &|channels, _| self.by_channel(step, channels, at));
                }
                _ => self.timing(task, at.thread, || self.tile(task, at)),
            }
        }
    }

    /// Some blocks of a convolution's output channels whose whole map the registers hold.
    pub(super) fn whole_map(
        &self,
        step: &Step,
        geometry: &channels::whole_map::Geometry,
        blocks: Range<usize>,
        at: At,
    ) {
        let channels = geometry.channels(blocks.clone());
        let plane = step.output.shape.dim(1) * step.output.shape.dim(2);
        // SAFETY: the plan was checked; blocks write to channels of their own.
        let (inputs, y) = unsafe {
            let y = self.part(step, channels.start * plane, channels.len() * plane, at);
            (self.inputs(step, at), y)
        };
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
        let activation = step.kernel.activation();
        self.isa.run(channels::whole_map::Convolve { geometry, x, weight, bias, activation, blocks, y });
    }

    /// Some blocks of output channels of a convolution in Winograd's way, by the thread `worker`. Each transforms all of the
    /// image for itself: that is less than it takes to read what another core has written.
    pub(super) fn winograd(
        &self,
        step: &Step,
        geometry: &winograd::one_image::Geometry,
        blocks: Range<usize>,
        at: At,
        worker: usize,
    ) {
        let channels = geometry.channels(blocks.clone());
        let plane = step.output.shape.dim(1) * step.output.shape.dim(2);
        // SAFETY: the plan was checked; blocks write to channels of their own, and the worker works in its own block.
        let (inputs, y, work) = unsafe {
            let y = self.part(step, channels.start * plane, channels.len() * plane, at);
            (self.inputs(step, at), y, self.views.work(worker))
        };
        let [x, weight, bias] = [0, 1, 2].map(|i| inputs.data(i));
        let activation = step.kernel.activation();
        let lanes = self.isa.lanes();
        let (v, work) = work.split_at_mut(geometry.chunks(lanes) * geometry.chunk_len() * lanes);
        self.isa.run(winograd::one_image::Spread { geometry, x, v: &mut *v, work: &mut *work });
        self.isa.run(winograd::one_image::Products { geometry, v, weight, bias, activation, blocks, y, work });
    }

    /// Some channels of a step that does the same to each, on a tile of one image.
    pub(super) fn by_channel(&self, step: &Step, channels: Range<usize>, at: At) {
        let numbers = |shape: Shape| shape.len() / shape.dim(0);
        let (first, count) = (channels.start, channels.len());
        // SAFETY: the plan was checked; channels are written to places of their own.
        let (mut inputs, output) = unsafe {
            let plane = numbers(step.output.shape);
            (self.inputs(step, at), self.part(step, first * plane, count * plane, at))
        };
        for input in &mut *inputs {
            // Whole values have a number for each channel, in rows.
            if !input.shape.is_batched() {
                input.data = &input.data[first..];
                continue;
            }
            let plane = numbers(input.shape);
            input.data = &input.data[first * plane..][..count * plane];
            input.shape = some_channels(input.shape, count);
        }
        let (shape, tile) = (some_channels(step.output.shape, count), self.tile_of(at.tile));
        let call = Call { inputs: &inputs, output: &mut *output, shape, tile };
        match step.kernel {
            // Planes of a few pixels would leave most of each vector to the loops' ends.
            Kernel::BatchNorm { eps, activation: Some(map) } if !kernels::map::is_cheap(map) => {
                self.isa.run_one_lane(kernels::batch_norm::Forward { eps, activation: None, call });
                self.isa.run(kernels::map::InPlace { map, y: output });
            }
            ref kernel => with_call(kernel, call, self.on_tiles()),
        }
    }
}

/// Whether a step does the same to each channel of C×H×W: threads may share them.
pub(super) fn is_by_channel(step: &Step) -> bool {
    let kernel = matches!(
        step.kernel,
        Kernel::BatchNorm { .. }
            | Kernel::AddMap(_)
            | Kernel::MaxPool2d(_)
            | Kernel::AvgPool2d(_)
            | Kernel::AdaptiveAvgPool2d(_)
    );
    kernel && step.output.shape.rank() == 3
}

/// C×H×W of so many channels.
fn some_channels(shape: Shape, channels: usize) -> Shape {
    shape.with_dim(0, channels).expect("no more than there are")
}
