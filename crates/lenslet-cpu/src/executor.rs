//! Runs a plan: stage by stage, whole work in waves, then tile work slot by slot.
//!
//! Everything that depends on shapes alone is worked out when the executor is made; a run allocates nothing. Which thread
//! takes which unit is free, what a unit does is not: a whole step's parts are cut by the plan, a slot's tiles go in order.
//! Invariant: a legal plan (checked when the executor is made) is all that memory safety rests on.

mod calls;
mod one_image;
mod outputs;
mod run;
mod tables;
mod whole;

use std::ops::RangeFrom;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lenslet_graph::plan::{Kernel, Operand, Options, Place, Plan, Step, WEIGHT_BLOCK, check, few_images};
use lenslet_graph::{Graph, Role};

use crate::kernels::{linear_weight_grad, pack, winograd};
use crate::memory::{self, Memory};
use crate::shares;
use crate::simd::Isa;
use crate::tiles::Pool;
use outputs::Outputs;
use run::Run;
use tables::Tables;

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
    /// Nanoseconds that each thread has spent on each task, if the executor is timed; a block per thread, since a line of the
    /// cache that two cores write to would take longer than a short task.
    spent: Option<Vec<Vec<AtomicU64>>>,
    outputs: Outputs,
    /// The parameters whose packed weights are in memory, and what else depends on them alone.
    prepared: Option<Version>,
    /// Rows of images on their way into lanes, a block per thread.
    rows: Vec<std::sync::Mutex<Vec<f32>>>,
}

/// A stage of the plan with its tables.
struct Stage {
    waves: Vec<Wave>,
    tile: Vec<Task>,
    /// Whether one thread does all tiles' work.
    small: bool,
    /// Partial sums that the stage's tiles add to; they begin at 0.
    sums: Vec<Operand>,
}

struct Wave {
    tasks: Vec<Task>,
    /// `(task, part)`: what threads share. First all that depends on parameters alone; then all first halves, so that work on
    /// weights, on their gradients and on their change gives the same half to the same core; gradients in their parameters'
    /// order.
    units: Vec<(usize, usize)>,
    /// How many of them those are.
    constant: usize,
    /// Whether there is so little to do that a thread does it alone in less time than it takes to share.
    small: bool,
}

struct Task {
    step: Step,
    tables: Tables,
    /// Its number among all.
    number: usize,
}

/// Bytes that an [`Executor`] of the plan takes for its numbers, on `threads` threads; nothing is taken to find out.
pub fn bytes(plan: &Plan, threads: usize) -> u64 {
    let tables = plan.steps().map(|step| Tables::new(step, plan.options.lanes));
    let numbers: usize = memory::lens(plan, threads, work_len(tables, plan.options.lanes)).iter().sum();
    (numbers + threads * row_len(plan)) as u64 * 4
}

/// What a plan of a graph for batches of this size is usually made with, on this machine. Threads have no part in it, for
/// results must not depend on them.
pub fn options(graph: &Graph, batch: usize) -> Options {
    let one_image = match graph.trains() {
        false => FEW_IMAGES,
        // The images of a tile share each weight, which is worth the more the more weights there are.
        true => {
            let weights: usize = graph.parameters.iter().map(|parameter| parameter.shape.len()).sum();
            if weights <= FEW_WEIGHTS { FEW_IMAGES_OF_SMALL_NETWORKS } else { FEW_IMAGES_TO_LEARN_FROM }
        }
    };
    Options::new(batch, if batch <= one_image { 1 } else { Isa::detect().tile(batch) })
}

/// Up to so many images, tiles of one image each are faster: most lanes of a tile would be empty, and most threads idle.
const FEW_IMAGES: usize = 16;

/// The same in training, and what networks are small there: their weights fill half of a core's second cache.
const FEW_IMAGES_TO_LEARN_FROM: usize = 6;
const FEW_IMAGES_OF_SMALL_NETWORKS: usize = 8;
const FEW_WEIGHTS: usize = 1 << 17;

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
        Self::planned(graph, options(graph, batch), threads)
    }

    /// The same with options of one's own, but for the lanes: those are the machine's.
    pub fn planned(graph: &Graph, options: Options, threads: usize) -> Self {
        Self::new(Plan::new(graph, options), Isa::detect().for_lanes(options.lanes), threads)
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
        let mut numbers = 0..;
        let stages = plan.stages.iter().map(|stage| Stage::new(stage, &plan, &mut numbers)).collect();
        let row = row_len(&plan);
        let rows = (0..threads).map(|_| std::sync::Mutex::new(vec![0.0; row])).collect();
        let outputs = Outputs::new(&plan);
        Self { plan, isa, memory, stages, threads, spent: None, outputs, prepared: None, rows }
    }

    /// The instruction set that it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// From now on each run's time is added up step by step; `false` ends that. It costs a little time itself.
    pub fn set_timed(&mut self, timed: bool) {
        let tasks = self.tasks().count();
        let of_thread = |_| (0..tasks).map(|_| AtomicU64::new(0)).collect();
        self.spent = timed.then(|| (0..self.threads).map(of_thread).collect());
    }

    /// The plan's steps in order, each with the time that all threads together have spent on it.
    pub fn times(&self) -> impl Iterator<Item = (&Step, Duration)> {
        let threads = || self.spent.iter().flatten();
        let spent = move |task: &Task| threads().map(|of| of[task.number].load(Ordering::Relaxed)).sum();
        self.tasks().map(move |task| (&task.step, Duration::from_nanos(spent(task))))
    }

    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.stages.iter().flat_map(|stage| stage.waves.iter().flat_map(|wave| &wave.tasks).chain(&stage.tile))
    }

    /// Runs the plan once: images and labels from `feed`, parameters as [`offsets`](lenslet_graph::graph::offsets) has them,
    /// and the seed and step that random ops go by.
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
            spent: self.spent.as_deref(),
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
                let work = |unit: usize, thread| {
                    let (task, part) = units[unit];
                    let task = &wave.tasks[task];
                    run.timing(task, thread, || run.whole(task, part, thread));
                };
                if wave.small {
                    (0..units.len()).for_each(|unit| work(unit, 0));
                } else {
                    pool.run(units.len(), &work);
                }
            }
            if self.plan.tiles() == 1 && self.plan.options.lanes == 1 {
                run.one_image(stage, pool);
            } else if stage.small {
                (0..self.plan.slots).for_each(|slot| run.slot(stage, slot, 0));
            } else {
                pool.run(self.plan.slots, &|slot, thread| run.slot(stage, slot, thread));
            }
        }
        self.prepared = Some(version);
    }

    /// The numbers of a whole output after a run, or `None` if the plan has no such output.
    pub fn whole(&self, role: &Role) -> Option<&[f32]> {
        let operand = self.outputs.get(role)?;
        match operand.place {
            Place::Whole(offset) => Some(&self.memory.whole[offset..][..operand.shape.len()]),
            _ => None,
        }
    }

    /// Copies one image's numbers of a batched output after a run; `false` if the plan has no such output.
    pub fn image(&self, role: &Role, image: usize, values: &mut [f32]) -> bool {
        let Some(&Operand { place: Place::Kept(offset), .. }) = self.outputs.get(role) else { return false };
        let lanes = self.plan.options.lanes;
        let kept = &self.memory.kept_of(image / lanes)[offset * lanes + image % lanes..];
        for (value, &kept) in values.iter_mut().zip(kept.iter().step_by(lanes)) {
            *value = kept;
        }
        true
    }
}

impl Stage {
    fn new(stage: &lenslet_graph::plan::Stage, plan: &Plan, numbers: &mut RangeFrom<usize>) -> Self {
        let lanes = plan.options.lanes;
        let mut wave = |steps: &Vec<Step>| {
            let all_parts = |(task, step): (usize, &Step)| (0..parts(step)).map(move |part| (task, part));
            let mut units: Vec<_> = steps.iter().enumerate().flat_map(all_parts).collect();
            let is_constant = |&(task, _): &(usize, usize)| steps[task].constant;
            units.sort_by_key(|unit @ &(task, part)| {
                let parts = parts(&steps[task]);
                let order = shares::order(part, parts, steps[task].output.shape.len());
                (!is_constant(unit), order, gradient_of(&steps[task], plan))
            });
            let constant = units.iter().filter(|unit| is_constant(unit)).count();
            let small = steps.iter().map(|step| whole_work(step, plan)).sum::<usize>() < SMALL_WORK;
            Wave { units, constant, small, tasks: tasks(steps, lanes, numbers) }
        };
        let sums = stage.tile.iter().map(|step| step.output).filter(|output| matches!(output.place, Place::Slot(_)));
        let waves = stage.waves.iter().map(&mut wave).collect();
        let of_a_tile = stage.tile.iter().map(|step| STEP_WORK + most_numbers(step) * lanes).sum::<usize>();
        let small = of_a_tile * plan.tiles() < SMALL_WORK;
        Self { waves, tile: tasks(&stage.tile, lanes, numbers), small, sums: sums.collect() }
    }
}

/// The parameter that a step makes the gradient of, if it does.
fn gradient_of(step: &Step, plan: &Plan) -> Option<usize> {
    plan.outputs.iter().find_map(|(role, operand)| match role {
        Role::Gradient(parameter) if operand.place == step.output.place => Some(*parameter),
        _ => None,
    })
}

/// Numbers that go through a thread in some microseconds: no more than it takes others to begin, to get at them, and to end.
const SMALL_WORK: usize = 1 << 14;

/// What it takes to begin a step, in numbers.
const STEP_WORK: usize = 1 << 8;

/// Numbers of the largest value that a step reads or writes.
fn most_numbers(step: &Step) -> usize {
    step.inputs.iter().chain([&step.output]).map(|operand| operand.shape.len()).max().unwrap_or(0)
}

/// Roughly the numbers that a step on whole values goes through.
fn whole_work(step: &Step, plan: &Plan) -> usize {
    let numbers = most_numbers(step);
    match step.kernel {
        Kernel::SumSlots { .. } => numbers * plan.slots / 4,
        Kernel::BatchStatistics | Kernel::Statistics => numbers * plan.slots,
        Kernel::LinearWeightGrad => numbers.max(step.output.shape.len() * plan.options.batch / 4),
        _ => numbers,
    }
}

fn tasks(steps: &[Step], lanes: usize, numbers: &mut RangeFrom<usize>) -> Vec<Task> {
    let task = |(step, number): (&Step, usize)| Task { step: step.clone(), tables: Tables::new(step, lanes), number };
    steps.iter().zip(numbers).map(task).collect()
}

/// Pieces of a whole step that threads can share. They depend on sizes alone.
fn parts(step: &Step) -> usize {
    match &step.kernel {
        Kernel::Pack(pack) => pack::parts(pack),
        Kernel::WinogradWeights(way) => winograd::weights::parts(way),
        Kernel::SumSlots { .. } => shares::parts(step.output.shape.len()),
        Kernel::WinogradBatch { .. } | Kernel::WinogradBatchWeightGrad { .. } => {
            step.output.shape.dim(0) / WEIGHT_BLOCK
        }
        Kernel::BatchLinear { .. } | Kernel::BatchLinearInputGrad => few_images::parts(step.inputs[1].shape),
        Kernel::SumWeightSlots => step.output.shape.dim(0).div_ceil(WEIGHT_BLOCK),
        Kernel::LinearWeightGrad => {
            let [outputs, inputs] = [0, 1].map(|axis| step.output.shape.dim(axis));
            linear_weight_grad::parts(outputs, inputs)
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::differentiate::differentiate;
    use lenslet_graph::record::add_cross_entropy;
    use lenslet_graph::{Linear, Mode, Module, Network, Shape, Var, Visitor, record};

    use super::*;

    struct Net {
        fc1: Linear,
        fc2: Linear,
    }

    impl Module for Net {
        fn visit(&self, visitor: &mut Visitor<'_>) {
            visitor.field("fc1", &self.fc1);
            visitor.field("fc2", &self.fc2);
        }
    }

    impl Network for Net {
        fn forward(&self, x: Var) -> Var {
            self.fc2.forward(self.fc1.forward(x.view(300)).relu())
        }
    }

    /// Two threads begin with half of the units each.
    #[test]
    fn threads_share_every_gradient() {
        let network = Net { fc1: Linear::new(300, 120), fc2: Linear::new(120, 10) };
        let mut graph = record(&network, Shape::image(3, 10, 10), Mode::Train).graph;
        add_cross_entropy(&mut graph, 0.0).expect("there are logits");
        differentiate(&mut graph).expect("all has a derivative");
        let plan = Plan::new(&graph, Options::new(4, 1));
        let stages: Vec<Stage> = plan.stages.iter().map(|stage| Stage::new(stage, &plan, &mut (0..))).collect();
        let wave = stages.last().and_then(|stage| stage.waves.first()).expect("gradients end the step");
        let of_fc1 = |units: &[(usize, usize)]| -> Vec<usize> {
            let is_fc1 = |task: usize| gradient_of(&wave.tasks[task].step, &plan) == Some(0);
            units.iter().filter(|unit| is_fc1(unit.0)).map(|unit| unit.1).collect()
        };
        let (first, second) = wave.units.split_at(wave.units.len() / 2);
        assert_eq!([of_fc1(first), of_fc1(second)], [[0, 1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14, 15]]);
    }
}
