//! Runs a plan: stage by stage, whole work in waves, then tile work slot by slot.
//!
//! Everything that depends on shapes alone is worked out when the executor is made; a run allocates nothing. Which thread
//! takes which unit is free, what a unit does is not: a whole step's parts are cut by the plan, a slot's tiles go in order.
//! Invariant: a legal plan (checked when the executor is made) is all that memory safety rests on.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lenslet_graph::plan::{CHANNEL_BLOCK, Kernel, Move, Operand, Options, Place, Plan, Step, WEIGHT_BLOCK, check};
use lenslet_graph::{Graph, Role};

use crate::kernels::{self, Call, Input, Tile};
use crate::kernels::{
    channels, conv2d, conv2d_weight_grad, conv2d_weight_grad_rows, linear_weight_grad, pack, stretches, winograd,
};
use crate::memory::{self, At, Memory, Views};
use crate::simd::Isa;
use crate::tiles::Pool;

/// Where a batch comes from.
pub trait Feed: Sync {
    /// Writes the numbers of one image of the batch for one of the graph's inputs: C×H×W pixels, or its label. Called from
    /// the threads that work on the images.
    fn fill(&self, input: usize, image: usize, values: &mut [f32]);
}

/// A name for the values of parameters. Whoever changes values gives them a new name, so equal names mean equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

impl Version {
    /// A name that was never given before.
    #[allow(clippy::new_without_default)] // No two are equal.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A plan with its memory, ready to run again and again.
pub struct Executor {
    plan: Plan,
    isa: Isa,
    memory: Memory,
    stages: Vec<Stage>,
    threads: usize,
    timed: bool,
    /// The plan's outputs, to be found at once.
    outputs: HashMap<Role, Operand>,
    /// The parameters whose packed weights are in memory, and what else depends on them alone.
    prepared: Option<Version>,
    /// Rows of images on their way into lanes, a block per thread.
    rows: Vec<std::sync::Mutex<Vec<f32>>>,
}

/// A stage of the plan with its tables.
struct Stage {
    waves: Vec<Wave>,
    tile: Vec<Task>,
    /// Partial sums that the stage's tiles add to; they begin at 0.
    sums: Vec<Operand>,
}

struct Wave {
    tasks: Vec<Task>,
    /// `(task, part)`: what threads share. First all that depends on parameters alone.
    units: Vec<(usize, usize)>,
    /// How many of them those are.
    constant: usize,
    /// Whether there is so little to do that a thread does it alone in less time than it takes to share.
    small: bool,
}

struct Task {
    step: Step,
    tables: Tables,
    /// Time spent on it, in nanoseconds over all threads, if the executor is timed.
    spent: AtomicU64,
}

/// What a kernel needs to know about sizes, worked out beforehand.
enum Tables {
    None,
    Correlate(stretches::Geometry),
    WeightGrad(conv2d_weight_grad::Geometry),
    Winograd {
        geometry: winograd::conv2d::Geometry,
        work_len: usize,
    },
    /// In tiles of one image.
    ChannelsCorrelate(channels::conv2d::Geometry),
    ChannelsWeightGrad(channels::conv2d_weight_grad::Geometry),
    WeightGradRows(conv2d_weight_grad_rows::Geometry),
    WeightGradWinograd(winograd::weight_grad::Geometry),
}

/// The most inputs of a step whose kernel takes them all at once.
const MOST_INPUTS: usize = 16;

/// Bytes that an [`Executor`] of the plan takes for its numbers, on `threads` threads; nothing is taken to find out.
pub fn bytes(plan: &Plan, threads: usize) -> u64 {
    let tables = plan.steps().map(|step| Tables::new(step, plan.options.lanes));
    let numbers: usize = memory::lens(plan, threads, work_len(tables, plan.options.lanes)).iter().sum();
    (numbers + threads * row_len(plan)) as u64 * 4
}

/// What a plan for batches of this size is usually made with, on this machine.
pub fn options(batch: usize) -> Options {
    Options::new(batch, Isa::for_batch(batch).1)
}

/// Numbers that the step with the greatest need works in, from one cache line to another.
fn work_len(tables: impl Iterator<Item = Tables>, lanes: usize) -> usize {
    tables.map(|tables| tables.work_len(lanes)).max().unwrap_or(0).next_multiple_of(16)
}

/// Numbers of a tile's rows of the plan's largest input; a tile of one image needs no other order.
fn row_len(plan: &Plan) -> usize {
    if plan.options.lanes == 1 {
        return 0;
    }
    plan.inputs.iter().map(|shape| row_step(shape.len())).max().unwrap_or(0) * plan.options.lanes
}

/// From one image's row to the next. Rows that began a power of two apart, as they do for images of 32x32, would take each
/// other's places in the first cache; so they begin a cache line later.
fn row_step(len: usize) -> usize {
    if len == 1 { 1 } else { len.next_multiple_of(16) + 16 }
}

impl Executor {
    /// A graph planned for batches of this size, on this machine.
    pub fn for_batch(graph: &Graph, batch: usize, threads: usize) -> Self {
        Self::planned(graph, options(batch), threads)
    }

    /// The same with options of one's own, but for the lanes: those are the machine's.
    pub fn planned(graph: &Graph, options: Options, threads: usize) -> Self {
        Self::new(Plan::new(graph, options), Isa::for_batch(options.batch).0, threads)
    }

    /// An executor on the best instruction set of this machine, for a pool of `threads`.
    ///
    /// # Panics
    /// If the plan is not legal, or was made for another number of lanes: faults of the planner, not of the user.
    pub fn new(plan: Plan, isa: Isa, threads: usize) -> Self {
        let lanes = plan.options.lanes;
        assert!(lanes == 1 || lanes == isa.lanes(), "a plan is made for the lanes of its instruction set, or for one");
        if let Err(fault) = check::check(&plan) {
            panic!("the planner made an illegal plan: {fault}");
        }
        let work_len = work_len(plan.steps().map(|step| Tables::new(step, lanes)), lanes);
        let memory = Memory::new(&plan, threads, work_len);
        let constants = constants(&plan);
        let stages = plan.stages.iter().map(|stage| Stage::new(stage, &plan, &constants)).collect();
        let row = row_len(&plan);
        let rows = (0..threads).map(|_| std::sync::Mutex::new(vec![0.0; row])).collect();
        let outputs = plan.outputs.iter().cloned().collect();
        Self { plan, isa, memory, stages, threads, timed: false, outputs, prepared: None, rows }
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// From now on each run's time is added up step by step; `false` ends that. It costs a little time itself.
    pub fn set_timed(&mut self, timed: bool) {
        self.timed = timed;
        self.tasks().for_each(|task| task.spent.store(0, Ordering::Relaxed));
    }

    /// The plan's steps in order, each with the time that all threads together have spent on it.
    pub fn times(&self) -> impl Iterator<Item = (&Step, Duration)> {
        self.tasks().map(|task| (&task.step, Duration::from_nanos(task.spent.load(Ordering::Relaxed))))
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.stages.iter().flat_map(|stage| stage.waves.iter().flat_map(|wave| &wave.tasks).chain(&stage.tile))
    }

    /// Runs the plan once: images and labels from `feed`, `parameters` one behind the other as in the plan, and the seed
    /// and step that random ops go by.
    ///
    /// # Panics
    /// If the pool has more threads than the executor was made for, or the parameters are not the plan's.
    pub fn run(&mut self, pool: &mut Pool, parameters: &[f32], feed: &dyn Feed, seed: u64, step: u32) {
        self.run_version(pool, parameters, Version::new(), feed, seed, step);
    }

    /// The same, where parameters come with their name: weights that were packed in the last run under that name are not
    /// packed again.
    ///
    /// # Panics
    /// As for [`Executor::run`].
    pub fn run_version(
        &mut self,
        pool: &mut Pool,
        parameters: &[f32],
        version: Version,
        feed: &dyn Feed,
        seed: u64,
        step: u32,
    ) {
        assert!(pool.threads() <= self.threads, "each thread needs its own scratch memory");
        let run = Run {
            isa: self.isa,
            timed: self.timed,
            plan: &self.plan,
            rows: &self.rows,
            views: self.memory.views(parameters),
            feed,
            seed,
            step,
        };
        // Not before the run has come to its end: it may panic.
        let prepared = self.prepared.take() == Some(version);
        for stage in &self.stages {
            for wave in &stage.waves {
                let units = &wave.units[if prepared { wave.constant } else { 0 }..];
                let work = |unit: usize, _| {
                    let (task, part) = units[unit];
                    let task = &wave.tasks[task];
                    run.timing(task, || run.whole(task, part));
                };
                if wave.small {
                    (0..units.len()).for_each(|unit| work(unit, 0));
                } else {
                    pool.run(units.len(), &work);
                }
            }
            if self.plan.tiles() == 1 && self.plan.options.lanes == 1 {
                run.one_image(stage, pool);
            } else if !stage.tile.is_empty() {
                pool.run(self.plan.slots, &|slot, thread| run.slot(stage, slot, thread));
            }
        }
        self.prepared = Some(version);
    }

    /// The numbers of a whole output after a run, or `None` if the plan has no such output.
    pub fn whole(&self, role: &Role) -> Option<&[f32]> {
        let operand = self.outputs.get(role)?;
        match operand.place {
            Place::Whole(offset) => Some(&self.memory.whole.as_slice()[offset..][..operand.shape.len()]),
            _ => None,
        }
    }

    /// Copies one image's numbers of a batched output after a run; `false` if the plan has no such output.
    pub fn image(&self, role: &Role, image: usize, values: &mut [f32]) -> bool {
        let Some(&Operand { place: Place::Kept(offset), .. }) = self.outputs.get(role) else { return false };
        let lanes = self.plan.options.lanes;
        let start = (image / lanes * self.plan.kept_len + offset) * lanes + image % lanes;
        let kept = self.memory.kept.as_slice();
        for (value, &kept) in values.iter_mut().zip(kept[start..].iter().step_by(lanes)) {
            *value = kept;
        }
        true
    }
}

impl Stage {
    fn new(stage: &lenslet_graph::plan::Stage, plan: &Plan, constants: &[Operand]) -> Self {
        let lanes = plan.options.lanes;
        let wave = |steps: &Vec<Step>| {
            let parts = |(task, step): (usize, &Step)| (0..parts(step)).map(move |part| (task, part));
            let mut units: Vec<_> = steps.iter().enumerate().flat_map(parts).collect();
            let is_constant = |&(task, _): &(usize, usize)| constants.contains(&steps[task].output);
            units.sort_by_key(|unit| !is_constant(unit));
            let constant = units.iter().filter(|unit| is_constant(unit)).count();
            let small = steps.iter().map(|step| whole_work(step, plan)).sum::<usize>() < SMALL_WAVE;
            Wave { units, constant, small, tasks: tasks(steps, lanes) }
        };
        let sums = stage.tile.iter().map(|step| step.output).filter(|output| matches!(output.place, Place::Slot(_)));
        Self { waves: stage.waves.iter().map(wave).collect(), tile: tasks(&stage.tile, lanes), sums: sums.collect() }
    }
}

/// Whole values that depend on parameters alone and keep their place for themselves.
fn constants(plan: &Plan) -> Vec<Operand> {
    let mut constants: Vec<Operand> = vec![];
    for step in plan.stages.iter().flat_map(|stage| stage.waves.iter().flatten()) {
        let known = |input: &Operand| matches!(input.place, Place::Parameter(_)) || constants.contains(input);
        let alone = plan.steps().filter(|other| shares(&other.output, &step.output)).count() == 1;
        // Random numbers depend on the step.
        if alone && step.inputs.iter().all(known) && !matches!(step.kernel, Kernel::Dropout { .. }) {
            constants.push(step.output);
        }
    }
    constants
}

/// Whether two whole values have numbers in common.
fn shares(a: &Operand, b: &Operand) -> bool {
    match (a.place, b.place) {
        (Place::Whole(x), Place::Whole(y)) => x < y + b.shape.len() && y < x + a.shape.len(),
        _ => false,
    }
}

/// Numbers that go through a thread in some microseconds: no more than it takes others to begin and end.
const SMALL_WAVE: usize = 1 << 13;

/// Roughly the numbers that a step on whole values goes through.
fn whole_work(step: &Step, plan: &Plan) -> usize {
    let numbers = step.inputs.iter().chain([&step.output]).map(|operand| operand.shape.len()).max().unwrap_or(0);
    match step.kernel {
        Kernel::SumSlots { .. } => numbers * plan.slots / 4,
        Kernel::BatchStatistics | Kernel::Statistics => numbers * plan.slots,
        Kernel::LinearWeightGrad => numbers.max(step.output.shape.len() * plan.options.batch / 4),
        _ => numbers,
    }
}

fn tasks(steps: &[Step], lanes: usize) -> Vec<Task> {
    steps
        .iter()
        .map(|step| Task { step: step.clone(), tables: Tables::new(step, lanes), spent: AtomicU64::new(0) })
        .collect()
}

/// Numbers of a sum over slots that one part adds up.
const SUM_PART: usize = 1 << 14;

/// Pieces of a whole step that threads can share. They depend on sizes alone.
fn parts(step: &Step) -> usize {
    match &step.kernel {
        Kernel::Pack(pack) => pack::parts(pack),
        Kernel::WinogradWeights(way) => winograd::weights::parts(way),
        Kernel::SumSlots { .. } => step.output.shape.len().div_ceil(SUM_PART),
        Kernel::SumWeightSlots => step.output.shape.dim(0).div_ceil(WEIGHT_BLOCK),
        Kernel::LinearWeightGrad => step.output.shape.dim(0).div_ceil(linear_weight_grad::PART),
        _ => 1,
    }
}

impl Tables {
    /// Numbers that the kernel works in, on each thread.
    fn work_len(&self, lanes: usize) -> usize {
        match self {
            Tables::None | Tables::WeightGrad(_) => 0,
            Tables::Correlate(geometry) => geometry.work_len() * lanes,
            Tables::Winograd { work_len, .. } => *work_len,
            Tables::ChannelsCorrelate(geometry) => geometry.work_len(),
            Tables::ChannelsWeightGrad(geometry) => geometry.work_len(),
            Tables::WeightGradRows(geometry) => geometry.work_len(),
            Tables::WeightGradWinograd(geometry) => geometry.work_len(),
        }
    }

    fn new(step: &Step, lanes: usize) -> Self {
        if lanes == 1 {
            return Self::of_one_image(step);
        }
        let output = step.output.shape;
        match &step.kernel {
            Kernel::Conv2d { layer, .. } => {
                Tables::Correlate(stretches::Geometry::forward(layer, step.inputs[0].shape, output))
            }
            Kernel::Conv2dMaxPool { layer, winners, .. } => {
                let channels = output.dim(0) / if *winners { 2 } else { 1 };
                let pooled = lenslet_graph::Shape::image(channels, output.dim(1), output.dim(2));
                Tables::Correlate(stretches::Geometry::pooled(layer, step.inputs[0].shape, pooled))
            }
            Kernel::Conv2dInputGrad { layer } => {
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
}

impl Tables {
    fn of_one_image(step: &Step) -> Self {
        let output = step.output.shape;
        match &step.kernel {
            Kernel::Conv2d { layer, .. } => {
                Tables::ChannelsCorrelate(channels::conv2d::Geometry::forward(layer, step.inputs[0].shape, output))
            }
            Kernel::Conv2dInputGrad { layer } => {
                Tables::ChannelsCorrelate(channels::conv2d::Geometry::backward(layer, output, step.inputs[0].shape))
            }
            Kernel::Conv2dWeightGrad { layer } => {
                let (image, gradient) = (step.inputs[0].shape, step.inputs[1].shape);
                Tables::ChannelsWeightGrad(channels::conv2d_weight_grad::Geometry::new(layer, image, gradient))
            }
            _ => Tables::None,
        }
    }
}

/// Multiply-adds of a convolution from which on threads share one image: some 10 µs.
const SHARED_WORK: usize = 1 << 19;

/// One run of the plan, shared by the threads.
struct Run<'a> {
    isa: Isa,
    timed: bool,
    plan: &'a Plan,
    rows: &'a [std::sync::Mutex<Vec<f32>>],
    views: Views<'a>,
    feed: &'a dyn Feed,
    seed: u64,
    step: u32,
}

impl Run<'_> {
    /// Does a piece of a task's work, and adds its time to the task's if that is asked for.
    fn timing(&self, task: &Task, work: impl FnOnce()) {
        if !self.timed {
            return work();
        }
        let begin = Instant::now();
        work();
        task.spent.fetch_add(begin.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    /// The stage's tile work for all tiles of one slot.
    fn slot(&self, stage: &Stage, slot: usize, thread: usize) {
        let at = At { tile: 0, slot, thread };
        for sum in &stage.sums {
            // SAFETY: the plan was checked; a slot is one thread's.
            unsafe { self.views.output(sum, at) }.fill(0.0);
        }
        for tile in self.plan.slot_tiles(slot) {
            let at = At { tile, ..at };
            for task in &stage.tile {
                self.timing(task, || self.tile(task, at));
            }
        }
    }

    /// The stage's tile work where all of it is one image: threads share the steps that are long enough.
    fn one_image(&self, stage: &Stage, pool: &mut Pool) {
        let at = At::default();
        for sum in &stage.sums {
            // SAFETY: the plan was checked; there is one slot.
            unsafe { self.views.output(sum, at) }.fill(0.0);
        }
        let threads = pool.threads();
        for task in &stage.tile {
            match &task.tables {
                Tables::ChannelsCorrelate(geometry) if geometry.work() >= SHARED_WORK && threads > 1 => {
                    let blocks = geometry.blocks();
                    let units = blocks.min(2 * threads);
                    let unit = |unit: usize, thread: usize| {
                        let blocks = unit * blocks / units..(unit + 1) * blocks / units;
                        self.timing(task, || self.channels_correlate(&task.step, geometry, blocks, at, thread));
                    };
                    pool.run(units, &unit);
                }
                _ => self.timing(task, || self.tile(task, at)),
            }
        }
    }

    fn tile_of(&self, tile: usize) -> Tile {
        let options = self.plan.options;
        let first = tile * options.lanes;
        Tile { first, images: self.plan.images(tile), batch: options.batch, seed: self.seed, step: self.step }
    }

    /// One step on one tile.
    fn tile(&self, task: &Task, at: At) {
        let step = &task.step;
        // SAFETY: the plan was checked; a tile, its slot and this thread's scratch are this thread's, and the slices end
        // with the step.
        let (inputs, output) = unsafe { (self.inputs(step, at), self.views.output(&step.output, at)) };
        let tile = self.tile_of(at.tile);
        match (&step.kernel, &task.tables) {
            (Kernel::Feed { input }, _) => self.load(*input, tile, at.thread, output),
            (Kernel::ToRows, _) => self.isa.run(kernels::feed::ToRows { lanes: inputs[0].data, rows: output }),
            (kernel, Tables::Correlate(geometry)) => {
                let activation = match kernel {
                    Kernel::Conv2d { activation, .. } | Kernel::Conv2dMaxPool { activation, .. } => *activation,
                    Kernel::Linear { activation } => *activation,
                    _ => None,
                };
                // SAFETY: the thread's own, until the step ends.
                let work = unsafe { self.views.work(at.thread) };
                let bias = if step.inputs.len() > 2 { inputs[2].data } else { &[] };
                let (x, weight) = (inputs[0].data, inputs[1].data);
                let (y, winners) = output.split_at_mut(geometry.y_len() * self.isa.lanes());
                self.isa.run(conv2d::Correlate { geometry, x, weight, bias, activation, y, winners, work });
            }
            (Kernel::Winograd { activation, .. }, Tables::Winograd { geometry, .. }) => {
                let bias = if step.inputs.len() > 2 { inputs[2].data } else { &[] };
                let (x, weight, activation) = (inputs[0].data, inputs[1].data, *activation);
                // SAFETY: the thread's own block, taken once in this step.
                let work = unsafe { self.views.work(at.thread) };
                self.isa.run(winograd::conv2d::Convolve { geometry, x, weight, bias, activation, y: output, work });
            }
            (Kernel::Conv2dWeightGrad { .. }, Tables::WeightGrad(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                self.isa.run(conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: output });
            }
            (Kernel::Conv2d { .. } | Kernel::Conv2dInputGrad { .. }, Tables::ChannelsCorrelate(geometry)) => {
                self.channels_correlate(step, geometry, 0..geometry.blocks(), at, at.thread);
            }
            (Kernel::Conv2dWeightGrad { .. }, Tables::ChannelsWeightGrad(geometry)) => {
                let (x, dy) = (inputs[0].data, inputs[1].data);
                // SAFETY: the thread's own.
                let work = unsafe { self.views.work(at.thread) };
                let kernel = channels::conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: output, work };
                self.isa.at_most(geometry.block).run(kernel);
            }
            (Kernel::Linear { activation }, Tables::None) => {
                let bias = if step.inputs.len() > 2 { inputs[2].data } else { &[] };
                let (x, weight, activation) = (inputs[0].data, inputs[1].data, *activation);
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
            (kernel, _) => {
                let call = Call { inputs: &inputs[..step.inputs.len()], output, shape: step.output.shape, tile };
                with_call(kernel, call, self.on_tiles());
            }
        }
    }

    /// Some blocks of a convolution's output channels, on a tile of one image, by the thread `worker`.
    fn channels_correlate(
        &self,
        step: &Step,
        geometry: &channels::conv2d::Geometry,
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
        let (x, weight) = (inputs[0].data, inputs[1].data);
        let bias = if step.inputs.len() > 2 { inputs[2].data } else { &[] };
        let activation = match step.kernel {
            Kernel::Conv2d { activation, .. } => activation,
            _ => None,
        };
        let kernel = channels::conv2d::Correlate { geometry, x, weight, bias, activation, blocks, y, work };
        self.isa.at_most(geometry.block).run(kernel);
    }

    /// How tiles run.
    fn on_tiles(&self) -> Runner {
        if self.plan.options.lanes == 1 { Runner::OneLane(self.isa) } else { Runner::Vectors(self.isa) }
    }

    /// Copies one input after the other, of which there may be any number.
    fn rearrange(&self, step: &Step, fill: Option<f32>, moves: &[Move], at: At, runner: Runner) {
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

    /// The step's inputs; steps with more are done piece by piece.
    ///
    /// # Safety
    /// As for [`Views::output`].
    unsafe fn inputs(&self, step: &Step, at: At) -> [Input<'_>; MOST_INPUTS] {
        let none = Input { data: &[], shape: lenslet_graph::Shape::scalar(false) };
        let mut inputs = [none; MOST_INPUTS];
        for (input, operand) in inputs.iter_mut().zip(&step.inputs) {
            // SAFETY: the caller's promise.
            *input = unsafe { self.views.input(operand, at) };
        }
        inputs
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

    /// One part of a step on whole values.
    fn whole(&self, task: &Task, part: usize) {
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
                    pack::scale(way.outputs, CHANNEL_BLOCK, part, unsafe { self.views.input(scale, at) }.data, packed);
                }
            }
            Kernel::SumSlots { mean } => {
                let from = part * SUM_PART;
                let len = SUM_PART.min(step.output.shape.len() - from);
                let divisor = if *mean { self.plan.options.batch as f32 } else { 1.0 };
                // SAFETY: the plan was checked; parts write to ranges of their own.
                let (slots, output) = unsafe { (self.views.slots(&step.inputs[0]), self.part(step, from, len, at)) };
                kernels::batch::sum_slots(slots, divisor, from..from + len, output);
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
                let call = Call { inputs: &inputs[..step.inputs.len()], output, shape: step.output.shape, tile };
                with_call(kernel, call, Runner::OneLane(self.isa));
            }
        }
    }

    /// The numbers from `from` of a step's output: a whole value, or one of a tile of one image.
    ///
    /// # Safety
    /// As for [`Views::output`], and parts must not overlap.
    #[allow(clippy::mut_from_ref)] // The views hand out memory by the plan's word, not by borrows.
    unsafe fn part(&self, step: &Step, from: usize, len: usize, at: At) -> &mut [f32] {
        let Operand { place, shape } = step.output;
        assert!(from + len <= shape.len() && (self.plan.options.lanes == 1 || !shape.is_batched()));
        let place = match place {
            Place::Whole(offset) => Place::Whole(offset + from),
            Place::Kept(offset) => Place::Kept(offset + from),
            Place::Scratch(offset) => Place::Scratch(offset + from),
            place => unreachable!("{place:?} is not written in parts"),
        };
        let shape = lenslet_graph::Shape::whole(&[len]).expect("a part is no larger than the whole");
        // SAFETY: the caller's promise.
        unsafe { self.views.output(&Operand { place, shape }, at) }
    }

    fn linear_weight_grad(&self, step: &Step, part: usize) {
        let [outputs, inputs] = [step.output.shape.dim(0), step.output.shape.dim(1)];
        let first = part * linear_weight_grad::PART;
        let last = outputs.min(first + linear_weight_grad::PART);
        let offset = |operand: &Operand| match operand.place {
            Place::Kept(offset) => offset * self.plan.options.lanes,
            place => unreachable!("{place:?} is not there for all tiles"),
        };
        let tile_len = self.plan.kept_len * self.plan.options.lanes;
        // SAFETY: the plan was checked; whole work does not write to tiles, and parts write to rows of their own.
        let (kept, dw) = unsafe {
            (
                self.views.kept(self.plan.tiles() * tile_len),
                self.part(step, first * inputs, (last - first) * inputs, At::default()),
            )
        };
        let batch = linear_weight_grad::Batch {
            kept,
            lanes: self.plan.options.lanes,
            tile_len,
            x: offset(&step.inputs[0]),
            dy: offset(&step.inputs[1]),
            images: self.plan.options.batch,
            rows: step.inputs[0].shape.len() / inputs,
            inputs,
            outputs,
        };
        self.isa.run(linear_weight_grad::WeightGrad { batch, outputs: first..last, dw });
    }
}

/// How a kernel runs: in vectors, or with one lane.
#[derive(Clone, Copy)]
enum Runner {
    Vectors(Isa),
    OneLane(Isa),
}

impl Runner {
    fn run<K: crate::simd::Kernel<Output = ()>>(self, kernel: K) {
        match self {
            Runner::Vectors(isa) => isa.run(kernel),
            Runner::OneLane(isa) => isa.run_one_lane(kernel),
        }
    }
}

/// The kernels that do the same to the values of a tile and to whole values.
fn with_call(kernel: &Kernel, call: Call<'_>, runner: Runner) {
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
        | Kernel::Conv2d { .. }
        | Kernel::Conv2dMaxPool { .. }
        | Kernel::Conv2dInputGrad { .. }
        | Kernel::Conv2dWeightGrad { .. }
        | Kernel::Conv2dWeightGradRows { .. }
        | Kernel::SumWeightSlots
        | Kernel::Linear { .. }
        | Kernel::LinearInputGrad
        | Kernel::ToRows
        | Kernel::LinearWeightGrad => unreachable!("{kernel:?} has its own way, or is no work of this kind"),
    }
}
