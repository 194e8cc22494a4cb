//! Where the time of a step goes: each layer's, forward and backward, and what is no layer's own.
//!
//! A [`Bench`] is a network about to be measured on random images, in training or in use. [`Bench::measure`] repeats steps in
//! rounds and keeps the fastest round, the one that other programs disturbed least. *Invariant:* the rows of a [`Profile`] add
//! up to its step: all are of that round, a row's time is the threads' together divided by their number, and what threads spent
//! waiting for each other has a row of its own.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lenslet_cpu::{Executor, Pool, peak};
use lenslet_data::Split;
use lenslet_graph::{Graph, Network, Role, Shape};
use lenslet_rng::{Purpose, Stream};
use serde::{Deserialize, Serialize};

use self::rows::Rows;
use crate::images::Images;
use crate::normalization::Table;
use crate::rehearsal::{Memory, plans};
use crate::training::{Batch, training_graph};
use crate::{Error, Inference, Normalization, Settings, Trainer, Weights};

mod rows;

/// Which way the numbers flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From images to loss.
    Forward,
    /// From loss to gradients.
    Backward,
}

/// A part of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The layer, `layer1.0.conv2`; empty for operations outside of layers and for what is no layer's own.
    pub layer: String,
    /// What it does: an op such as `conv2d`, or work between layers.
    pub op: String,
    /// File and line of the user's source; none for what is no layer's own.
    pub at: Option<(String, u32)>,
    /// None for what is no layer's own.
    pub direction: Option<Direction>,
    /// Time of it in a step.
    pub time: Duration,
    /// Multiply-adds of it in a step, as the op's definition counts them.
    pub macs: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Layers forward, layers backward, then the rest.
    pub rows: Vec<Row>,
    /// Time of a step.
    pub step: Duration,
    /// Images in a step.
    pub batch: usize,
    /// Floating-point operations a second that the machine could do at best, on as many threads.
    pub peak: f64,
    /// Recording, differentiation, planning and taking memory.
    pub planning: Duration,
    /// Bytes that it takes.
    pub memory: u64,
    /// Rounds that were measured.
    pub rounds: usize,
    /// Threads that shared the work.
    pub threads: usize,
    /// The instruction set.
    pub isa: &'static str,
}

impl Profile {
    /// Multiply-adds of a step.
    pub fn macs(&self) -> u64 {
        self.rows.iter().map(|row| row.macs).sum()
    }

    /// Images a second.
    pub fn images_per_second(&self) -> f64 {
        self.batch as f64 / self.step.as_secs_f64()
    }
}

/// Floating-point operations a second: a multiply-add counts as two.
pub fn flops(macs: u64, time: Duration) -> f64 {
    2.0 * macs as f64 / time.as_secs_f64()
}

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// So many rounds.
    Rounds(usize),
    /// So much time, but a few rounds at least.
    Time(Duration),
}

/// Rounds that are measured however long they take.
const FEWEST: usize = 3;

/// A round has as many steps as this takes, one at least.
const ROUND: Duration = Duration::from_millis(10);

/// A network about to be measured.
pub struct Bench {
    work: Work,
    input: Shape,
    batch: usize,
    recording: Duration,
}

enum Work {
    Training(Box<Trainer>),
    Inference(Box<Answering>),
}

/// A network in use. Unlike [`Inference`] it takes a batch of any size as one.
struct Answering {
    inference: Inference,
    weights: Weights,
    pool: Pool,
    executor: Option<Executor>,
    logits: Vec<f32>,
}

impl Bench {
    /// Steps of training, as [`Trainer`] takes them, but at a learning rate of 0.
    ///
    /// # Errors
    /// If `batch` is 0, or sizes do not fit.
    pub fn training(
        network: &dyn Network,
        input: Shape,
        classes: usize,
        batch: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        let trainer = Trainer::new(network, input, classes, Settings { batch, ..Settings::default() }, threads)?;
        let begin = Instant::now();
        training_graph(network, input, classes, 0.0)?;
        Ok(Self { work: Work::Training(Box::new(trainer)), input, batch, recording: begin.elapsed() })
    }

    /// Answers to batches.
    ///
    /// # Errors
    /// If `batch` is 0, or sizes do not fit.
    pub fn inference(
        network: &dyn Network,
        input: Shape,
        classes: usize,
        batch: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        Settings { batch, ..Settings::default() }.check()?;
        let begin = Instant::now();
        let inference = Inference::new(network, input, classes)?;
        let recording = begin.elapsed();
        let weights = Weights::new(inference.graph(), 0);
        let (pool, logits) = (Pool::new(threads), vec![0.0; classes]);
        let answering = Answering { inference, weights, pool, executor: None, logits };
        Ok(Self { work: Work::Inference(Box::new(answering)), input, batch, recording })
    }

    /// Whether convolutions may be done in Winograd's way, as they usually are.
    pub fn winograd(self, winograd: bool) -> Self {
        let work = match self.work {
            Work::Training(trainer) => Work::Training(Box::new(trainer.winograd(winograd))),
            Work::Inference(work) => {
                let inference = work.inference.winograd(winograd);
                Work::Inference(Box::new(Answering { inference, ..*work }))
            }
        };
        Self { work, ..self }
    }

    /// Bytes that measuring takes.
    pub fn memory(&self) -> u64 {
        let images = (RandomImages::different(self.input, self.batch) * self.input.len() + 4 * self.batch) as u64;
        let step = match &self.work {
            Work::Training(trainer) => Memory::new(trainer, self.batch, self.batch, 0).total(),
            Work::Inference(work) => {
                let winograd = work.inference.options(self.batch).winograd;
                let weights = work.weights.all().len() as u64 * 4;
                weights + plans(work.inference.graph(), self.batch, self.batch, winograd, work.pool.threads())
            }
        };
        images + step
    }

    /// Measures. `flow` is told the rounds that are done, and asked before each step whether to go on; if not, there is no
    /// result.
    ///
    /// # Errors
    /// If the first weights give a loss or a gradient that is no number.
    pub fn measure(
        &mut self,
        until: Until,
        mut flow: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Profile>, Error> {
        let memory = self.memory();
        let begin = Instant::now();
        self.work.executor(self.batch);
        let planning = self.recording + begin.elapsed();
        let images = RandomImages::new(self.input, self.work.classes(), self.batch);
        // The first step meets cold memory; the second says how long a round is.
        for _ in 0..2 {
            if flow(0).is_break() {
                return Ok(None);
            }
            self.step(&images)?;
        }
        let begin = Instant::now();
        self.step(&images)?;
        let steps = (ROUND.as_secs_f64() / begin.elapsed().as_secs_f64()).clamp(1.0, 1e5) as u32;
        let (mut best, mut rounds, mut best_peak): (Option<Round>, usize, f64) = (None, 0, 0.0);
        let begin = Instant::now();
        let go_on = |rounds: usize| match until {
            Until::Rounds(wanted) => rounds < wanted.max(1),
            Until::Time(time) => rounds < FEWEST || begin.elapsed() < time,
        };
        while go_on(rounds) {
            let Some(round) = self.round(&images, steps, || flow(rounds))? else { return Ok(None) };
            rounds += 1;
            if best.as_ref().is_none_or(|best| round.step < best.step) {
                best = Some(round);
            }
            // Disturbed as the rounds are, so it is measured a few times as well.
            if rounds.is_power_of_two() {
                best_peak = best_peak.max(peak(self.work.pool()));
            }
        }
        let best = best.expect("there is one round at least");
        let threads = self.work.pool().threads();
        let (rows, isa) = (self.rows(&best, threads), self.work.executor(self.batch).isa().name());
        let (step, batch, peak) = (best.step, self.batch, best_peak);
        Ok(Some(Profile { rows, step, batch, peak, planning, memory, rounds, threads, isa }))
    }

    /// One step; the time of its run, and of what comes behind it.
    fn step(&mut self, images: &RandomImages) -> Result<[Duration; 2], Error> {
        let (batch, feed) = (self.batch, images.feed());
        let begin = Instant::now();
        let run = match &mut self.work {
            Work::Training(trainer) => {
                let batch = Batch::whole(&feed, batch);
                let loss = trainer.gradients(batch);
                let run = begin.elapsed();
                trainer.change_weights(batch, loss, 0.0).map_err(|fault| fault.at(1, 1, 0.0))?;
                run
            }
            Work::Inference(work) => {
                let Answering { weights, pool, executor, logits, .. } = &mut **work;
                let executor = executor.as_mut().expect("it is made before the first step");
                executor.run_version(pool, weights.all(), weights.version(), &feed, 0, 0);
                let run = begin.elapsed();
                for image in 0..batch {
                    executor.image(&Role::Logits, image, std::hint::black_box(logits));
                }
                run
            }
        };
        Ok([run, begin.elapsed() - run])
    }

    fn round(
        &mut self,
        images: &RandomImages,
        steps: u32,
        mut flow: impl FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Round>, Error> {
        self.work.executor(self.batch).set_timed(true);
        let [mut run, mut behind] = [Duration::ZERO; 2];
        for _ in 0..steps {
            if flow().is_break() {
                return Ok(None);
            }
            let times = self.step(images)?;
            run += times[0];
            behind += times[1];
        }
        let spent = self.work.executor(self.batch).times().map(|(_, time)| time / steps).collect();
        let (run, behind) = (run / steps, behind / steps);
        Ok(Some(Round { step: run + behind, run, behind, spent }))
    }

    fn rows(&mut self, round: &Round, threads: usize) -> Vec<Row> {
        let (training, batch) = (matches!(self.work, Work::Training(_)), self.batch);
        // The graph stands beside the executor, which is borrowed to change nothing.
        let graph = self.work.graph().clone();
        let executor = self.work.executor(batch);
        let mut rows = Rows::new(&graph, batch);
        for ((step, _), spent) in executor.times().zip(&round.spent) {
            rows.add(step, *spent / threads as u32);
        }
        let busy: Duration = round.spent.iter().map(|spent| *spent / threads as u32).sum();
        let mut rows = rows.finish();
        let behind = if training { "optimizer" } else { "reading the answers" };
        rows.push(Row::shared(behind, round.behind));
        rows.push(Row::shared("waiting for threads", round.run.saturating_sub(busy)));
        rows
    }
}

/// A batch to measure with: some images, again and again where there are many.
struct RandomImages {
    images: Split,
    table: Table,
    chosen: Vec<u32>,
}

impl RandomImages {
    fn new(input: Shape, classes: usize, batch: usize) -> Self {
        let images = Self::different(input, batch);
        let mut random = Stream::new(0, Purpose::Shapes, 0, 0);
        let pixels: Vec<u8> = (0..images * input.len()).map(|_| random.next_u32() as u8).collect();
        let labels = (0..images).map(|image| (image % classes) as u32).collect();
        let chosen = (0..batch).map(|image| (image % images) as u32).collect();
        let table = Normalization::half(input.dim(0)).table();
        Self { images: Split { images: pixels.into(), labels }, table, chosen }
    }

    /// How many images of a batch differ: as many as fit in some memory.
    fn different(input: Shape, batch: usize) -> usize {
        const BYTES: usize = 4 << 20;
        batch.min(BYTES / input.len()).max(1)
    }

    fn feed(&self) -> Images<'_> {
        Images::plain(&self.images, &self.table, &self.chosen)
    }
}

/// A round's means.
struct Round {
    step: Duration,
    run: Duration,
    behind: Duration,
    /// The plan's steps, all threads together.
    spent: Vec<Duration>,
}

impl Work {
    fn executor(&mut self, batch: usize) -> &mut Executor {
        match self {
            Work::Training(trainer) => trainer.executor(batch),
            Work::Inference(work) => {
                let Answering { inference, pool, executor, .. } = &mut **work;
                let options = inference.options(batch);
                executor.get_or_insert_with(|| Executor::planned(inference.graph(), options, pool.threads()))
            }
        }
    }

    fn classes(&self) -> usize {
        match self {
            Work::Training(trainer) => trainer.classes(),
            Work::Inference(work) => work.inference.classes(),
        }
    }

    fn graph(&self) -> &Graph {
        match self {
            Work::Training(trainer) => trainer.graph(),
            Work::Inference(work) => work.inference.graph(),
        }
    }

    fn pool(&mut self) -> &mut Pool {
        match self {
            Work::Training(trainer) => trainer.pool_and_weights().0,
            Work::Inference(work) => &mut work.pool,
        }
    }
}
