//! Training: epochs of steps, each one run of a plan and one step of the optimizer.
//!
//! The order of images is a function of their bytes, seed and epoch, whatever files they came from; dropout of seed, step and
//! image; and sums have a fixed order. So a run is the same to the bit on any number of threads, and however often it was
//! stopped. Invariants: a step allocates nothing once its batch size has been seen; the weights are changed only after loss
//! and gradients were found to be numbers; and when an epoch ends or pauses without an error, the weights are numbers, so that
//! they are worth keeping.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lenslet_cpu::{Executor, Feed, Pool, options};
use lenslet_data::Split;
use lenslet_graph::differentiate::differentiate;
use lenslet_graph::plan::Options;
use lenslet_graph::record::{add_cross_entropy, add_mixed_cross_entropy};
use lenslet_graph::{Graph, Mode, Network, Role, Shape, record};

use serde::{Deserialize, Deserializer, Serialize};

use crate::averaging::Averages;
use crate::diagnosis::first_not_finite;
use crate::images::{Augmented, Images};
use crate::inference::{From, check_classes};
use crate::metrics::{Evaluation, answer};
use crate::optimizer::{Change, Moment};
use crate::parts::Parts;
use crate::schedule::Rates;
use crate::{Error, Inference, Normalization, OptimizerState, Settings, Weights};

/// Where training stands, told after each step.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Steps done in this epoch.
    pub step: usize,
    /// Steps of an epoch.
    pub steps: usize,
    /// Images done in this epoch.
    pub images: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Share of the epoch's images so far that were answered right when they were trained on; of a mixed one, the label of the
    /// larger share counts.
    pub accuracy: f64,
    /// Time spent on the epoch so far.
    pub elapsed: Duration,
}

/// How far an epoch has come; it goes on from there. Part of a training state.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SoFar {
    /// The epoch, from 1; 0 before the first.
    pub epoch: usize,
    /// Steps done in it.
    pub steps: usize,
    /// Images done in it.
    pub images: usize,
    /// Sum of their losses.
    pub loss: f64,
    /// How many of them were answered right.
    pub right: usize,
    /// Time of the steps.
    pub elapsed: Duration,
    /// What the network watches, once all steps are done.
    pub watched: Vec<Watched>,
}

impl SoFar {
    /// Whether training can have led here, as far as that can be seen without the images.
    pub(crate) fn is_possible(&self) -> bool {
        self.loss.is_finite() && self.right <= self.images && (self.steps == 0) == (self.images == 0)
    }
}

/// What a watched value was like, over the last step of an epoch. What is no number is `null` in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// The name it was watched under.
    pub name: String,
    /// Its sizes per image.
    pub shape: String,
    /// Mean over all values of all images of the batch.
    #[serde(deserialize_with = "number_or_null")]
    pub mean: f32,
    /// Standard deviation.
    #[serde(deserialize_with = "number_or_null")]
    pub std: f32,
    /// Share of exact zeros.
    #[serde(deserialize_with = "number_or_null")]
    pub zeros: f32,
}

fn number_or_null<'de, D: Deserializer<'de>>(json: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(json)?.unwrap_or(f32::NAN))
}

/// What an epoch came to.
#[derive(Clone, Debug)]
pub struct Epoch {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean loss over the epoch's images, each as it was trained on.
    pub loss: f64,
    /// Share of right answers, likewise.
    pub accuracy: f64,
    /// Images per second.
    pub images_per_second: f64,
    /// Time of the steps.
    pub elapsed: Duration,
    /// The learning rate of the last step.
    pub rate: f32,
    /// Values that the network watches.
    pub watched: Vec<Watched>,
    /// Whether the caller paused it before its end.
    pub interrupted: bool,
}

/// A batch of a step.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// All images of the step.
    feed: &'a dyn Feed,
    /// Where the batch begins among them.
    first: usize,
    /// Its images.
    images: usize,
    /// The batches of the step before it.
    number: u32,
}

impl<'a> Batch<'a> {
    /// The only one of its step.
    pub(crate) fn whole(feed: &'a dyn Feed, images: usize) -> Self {
        Self { feed, first: 0, images, number: 0 }
    }

    fn feed(&self) -> From<'a> {
        From { feed: self.feed, first: self.first }
    }
}

/// What is shown an image's place in a step, and its logits.
type See<'a> = dyn FnMut(usize, &[f32]) + 'a;

/// A network in training.
pub struct Trainer {
    pub(crate) settings: Settings,
    graph: Graph,
    inference: Inference,
    pub(crate) weights: Weights,
    parts: Parts,
    pub(crate) optimizer: OptimizerState,
    pub(crate) averages: Averages,
    /// The gradients of a step that is made of several batches, one after the other; empty where one makes a step.
    sums: Vec<f32>,
    executors: HashMap<usize, Executor>,
    pool: Pool,
    classes: usize,
    /// Steps done since the beginning.
    pub(crate) step: u32,
    /// The epoch under way.
    pub(crate) so_far: SoFar,
    /// The epoch's images in its order, and their numbers in the order that they themselves decide.
    order: Vec<u32>,
    numbers: Vec<u32>,
    logits: Vec<f32>,
    /// Which parameters have had a gradient other than 0.
    pub(crate) learning: Vec<bool>,
}

impl Trainer {
    /// Records the network for images of sizes `input`, and draws its weights.
    ///
    /// # Errors
    /// If a setting is out of its range, or sizes do not fit.
    pub fn new(
        network: &dyn Network,
        input: Shape,
        classes: usize,
        settings: Settings,
        threads: usize,
    ) -> Result<Self, Error> {
        settings.check()?;
        let graph = graph(network, input, classes, &settings)?;
        let weights = Weights::new(&graph, settings.seed);
        let inference = Inference::new(network, input, classes)?;
        Ok(Self {
            inference: inference.winograd(settings.winograd).test_time(settings.test_time),
            optimizer: OptimizerState::new(&settings, &weights)?,
            averages: Averages::new(&settings, &weights),
            sums: vec![0.0; if settings.accumulate > 1 { weights.all().len() } else { 0 }],
            executors: HashMap::new(),
            pool: Pool::new(threads),
            classes,
            step: 0,
            so_far: SoFar::default(),
            order: vec![],
            numbers: vec![],
            logits: vec![0.0; classes],
            learning: vec![false; weights.parameters().len()],
            parts: Parts::new(&weights),
            weights,
            graph,
            settings,
        })
    }

    /// Whether convolutions may be done in Winograd's way.
    pub(crate) fn winograd(self, winograd: bool) -> Self {
        let settings = Settings { winograd, ..self.settings };
        Self { settings, inference: self.inference.winograd(winograd), ..self }
    }

    /// The weights that the network answers with: their average where there is one.
    pub fn weights(&self) -> &Weights {
        self.averages.answering(&self.weights)
    }

    /// Sets the weights from elsewhere; averages begin anew.
    pub fn set_weights(&mut self, set: impl FnOnce(&mut Weights)) {
        set(&mut self.weights);
        self.averages.restart(&self.weights);
    }

    /// What [`Settings::init`] asks for beyond PyTorch's defaults; before the first step.
    ///
    /// # Errors
    /// [`Error::Whiten`] if the network's first layer cannot whiten patches.
    pub fn initialize(&mut self, images: &Split, normalization: &Normalization) -> Result<(), Error> {
        self.settings.init.apply(&self.graph, &mut self.weights, images, normalization)?;
        self.averages.restart(&self.weights);
        Ok(())
    }

    /// How far the epoch under way has come.
    pub fn so_far(&self) -> &SoFar {
        &self.so_far
    }

    /// The training graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// How the network is trained.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Bytes that the optimizer remembers, averages and sums of gradients included.
    pub fn optimizer_bytes(&self) -> u64 {
        self.optimizer.bytes() + self.averages.bytes() + self.sums.len() as u64 * 4
    }

    /// C, H and W of its images.
    pub(crate) fn image_size(&self) -> [usize; 3] {
        let shape = self.graph.inputs[0];
        [0, 1, 2].map(|axis| shape.dim(axis))
    }

    /// How `images` are changed in an epoch, if they are.
    pub(crate) fn augmented<'a>(&self, images: &'a Split, epoch: usize) -> Option<Augmented<'a>> {
        Augmented::new(&self.settings, self.image_size(), images, epoch as u32)
    }

    /// Threads that it works on.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The network as it is used after training.
    pub fn inference(&self) -> &Inference {
        &self.inference
    }

    /// The threads, for other work on the weights between steps.
    pub(crate) fn pool_and_weights(&mut self) -> (&mut Pool, &Weights) {
        (&mut self.pool, self.averages.answering(&self.weights))
    }

    /// One pass over `images` in an order of its own. `progress` is told each step and may pause the epoch: the same call
    /// then does what is left of it, now or, by way of a [`State`](crate::State), in another process.
    ///
    /// # Errors
    /// [`Error::NotFinite`] when the loss or a gradient is no number, with the weights of the step before; or when a step
    /// has made a weight that is none.
    pub fn epoch(
        &mut self,
        epoch: usize,
        images: &Split,
        normalization: &Normalization,
        mut progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Epoch, Error> {
        let begin = Instant::now();
        let step_images = self.step_images();
        let steps = images.len().div_ceil(step_images);
        let rates = self.rates(steps);
        let before = self.enter(epoch, images.len())?;
        self.shuffle(images, epoch);
        let (order, numbers) = (std::mem::take(&mut self.order), std::mem::take(&mut self.numbers));
        let table = normalization.table();
        let augmented = self.augmented(images, epoch);
        let batches = order.chunks(step_images).zip(numbers.chunks(step_images));
        for (chosen, numbers) in batches.skip(self.so_far.steps) {
            let augmented = augmented.as_ref().map(|augmented| (augmented, numbers));
            let feed = Images { images, table: &table, chosen, augmented };
            let (number, rate) = (self.so_far.steps + 1, rates.at(self.step as usize));
            let mut right = 0;
            let mut see = |place: usize, logits: &[f32]| {
                right += usize::from(answer(logits) == feed.main_label(place) as usize);
            };
            let loss = self
                .seen_step(&feed, chosen.len(), rate, Some(&mut see))
                .map_err(|fault| fault.at(epoch, number, rate))?;
            let so_far = &mut self.so_far;
            so_far.loss += f64::from(loss) * chosen.len() as f64;
            so_far.right += right;
            so_far.images += chosen.len();
            so_far.steps = number;
            so_far.elapsed = before.saturating_add(begin.elapsed());
            if number == steps {
                self.so_far.watched = self.watched(chosen.len());
            }
            if progress(self.progress(steps)).is_break() {
                break;
            }
        }
        (self.order, self.numbers) = (order, numbers);
        let rate = rates.at((self.step as usize).saturating_sub(1));
        self.vouch().map_err(|fault| fault.at(epoch, self.so_far.steps, rate))?;
        let Progress { loss, accuracy, images, elapsed, .. } = self.progress(steps);
        let watched = self.so_far.watched.clone();
        let images_per_second = images as f64 / elapsed.as_secs_f64();
        let interrupted = self.so_far.steps < steps;
        Ok(Epoch { epoch, loss, accuracy, images_per_second, elapsed, rate, watched, interrupted })
    }

    /// Begins an epoch, or goes on with it if it is the one under way. Returns the time spent on it so far.
    fn enter(&mut self, epoch: usize, images: usize) -> Result<Duration, Error> {
        if self.so_far.epoch != epoch {
            self.so_far = SoFar { epoch, ..SoFar::default() };
        }
        let (done, batch) = (self.so_far.images, self.step_images());
        if done == self.so_far.steps.saturating_mul(batch).min(images) {
            Ok(self.so_far.elapsed)
        } else {
            Err(Error::OtherImages { epoch, done, batch, images })
        }
    }

    fn progress(&self, steps: usize) -> Progress {
        let SoFar { epoch, steps: step, images, loss, right, elapsed, .. } = self.so_far;
        let (loss, accuracy) = (loss / images as f64, right as f64 / images as f64);
        Progress { epoch, step, steps, images, loss, accuracy, elapsed }
    }

    /// Whether every weight is a number: a finite gradient may still lead beyond them.
    fn vouch(&self) -> Result<(), NotFinite> {
        let Some(parameter) = self.weights.first_not_finite() else { return Ok(()) };
        let number = self.weights.number(&parameter.name).expect("it is one of them");
        let value = self.weights.values(number).iter().copied().find(|value| !value.is_finite());
        Err(NotFinite { what: "parameter", value: value.unwrap_or(f32::NAN), culprit: parameter.name.clone() })
    }

    /// Images of a step of the optimizer.
    pub fn step_images(&self) -> usize {
        self.settings.batch.saturating_mul(self.settings.accumulate)
    }

    /// One step on so many images: forward, backward, optimizer. Returns their mean loss.
    ///
    /// # Errors
    /// [`NotFinite`] when the loss or a gradient is no number; the weights stay as they were.
    pub fn step(&mut self, feed: &dyn Feed, images: usize, rate: f32) -> Result<f32, NotFinite> {
        self.seen_step(feed, images, rate, None)
    }

    /// The same; `see` gets each image's place and logits.
    fn seen_step(
        &mut self,
        feed: &dyn Feed,
        images: usize,
        rate: f32,
        mut see: Option<&mut See<'_>>,
    ) -> Result<f32, NotFinite> {
        let size = if self.settings.accumulate == 1 { images } else { self.settings.batch };
        self.sums.fill(0.0);
        let (mut loss, mut batch) = (0.0, Batch::whole(feed, images));
        for (number, first) in (0..images).step_by(size).enumerate() {
            batch = Batch { first, images: size.min(images - first), number: number as u32, ..batch };
            let of_batch = self.gradients(batch);
            if !of_batch.is_finite() {
                return Err(self.not_finite(batch, "loss", of_batch));
            }
            if let Some(see) = &mut see {
                self.show_logits(batch, *see);
            }
            let share = batch.images as f32 / images as f32;
            loss += share * of_batch;
            if !self.sums.is_empty() {
                self.add_up(batch.images, share);
            }
        }
        self.change_weights(batch, loss, rate)?;
        Ok(loss)
    }

    /// Adds a batch's share to the gradients of the step; running statistics are taken from each batch, as in PyTorch.
    fn add_up(&mut self, batch: usize, share: f32) {
        let Self { executors, weights, parts, pool, sums, .. } = self;
        let executor = &executors[&batch];
        pool.run_apart([weights.all_mut(), sums], parts.ranges(), &|part, [values, sums]| {
            let (number, within) = (parts.parameter(part), parts.within(part));
            if let Some(gradient) = executor.whole(&Role::Gradient(number)) {
                sums.iter_mut().zip(&gradient[within]).for_each(|(sum, g)| *sum += share * g);
            } else if let Some(value) = executor.whole(&Role::Update(number)) {
                values.copy_from_slice(&value[within]);
            }
        });
    }

    /// What runs a batch of this size, planned at its first use.
    pub(crate) fn executor(&mut self, batch: usize) -> &mut Executor {
        let Self { executors, graph, pool, settings, .. } = self;
        executors.entry(batch).or_insert_with(|| {
            let options = Options { winograd: settings.winograd, ..options(graph, batch) };
            Executor::planned(graph, options, pool.threads())
        })
    }

    /// The first half of a step: the loss, and gradients that the batch's executor keeps.
    pub(crate) fn gradients(&mut self, batch: Batch<'_>) -> f32 {
        let number = self.number(batch);
        self.executor(batch.images);
        let Self { executors, pool, weights, settings, .. } = self;
        let executor = executors.get_mut(&batch.images).expect("it was made above");
        executor.run(pool, weights.all(), &batch.feed(), settings.seed, number);
        executor.whole(&Role::Loss).expect("a training graph has a loss")[0]
    }

    /// The second half of a step, on the batch whose gradients were formed last.
    pub(crate) fn change_weights(&mut self, batch: Batch<'_>, loss: f32, rate: f32) -> Result<(), NotFinite> {
        let Self { executors, pool, weights, parts, optimizer, averages, settings, learning, sums, .. } = self;
        let executor = &executors[&batch.images];
        let gradient = |number: usize| {
            let gradient = executor.whole(&Role::Gradient(number))?;
            Some(if sums.is_empty() { gradient } else { &sums[parts.whole(number)] })
        };
        let norm = if loss.is_finite() { parts.norm(pool, &gradient) } else { f64::NAN };
        if !norm.is_finite() {
            let (what, value) = if loss.is_finite() { ("gradient", norm as f32) } else { ("loss", loss) };
            return Err(self.not_finite(batch, what, value));
        }
        let scale = match settings.clip {
            // As PyTorch's clip_grad_norm_, which adds 1e-6 so as not to divide by 0.
            Some(clip) => (f64::from(clip) / (norm + 1e-6)).min(1.0) as f32,
            None => 1.0,
        };
        let change = |number: usize| match gradient(number) {
            Some(gradient) => Some(Change::Gradient(gradient)),
            None => executor.whole(&Role::Update(number)).map(Change::Value),
        };
        let moment = Moment { scale, rate, epoch: self.so_far.epoch };
        optimizer.step(pool, parts, weights, &change, moment);
        self.step += 1;
        averages.follow(pool, parts, weights, self.step);
        // As a rule true from the first step on, so that it costs nothing.
        for (number, learning) in learning.iter_mut().enumerate().filter(|(_, learning)| !**learning) {
            *learning = gradient(number).is_some_and(|gradient| gradient.iter().any(|&g| g != 0.0));
        }
        Ok(())
    }

    /// The number of a batch of the step under way among all since the beginning; dropout is a function of it.
    fn number(&self, batch: Batch<'_>) -> u32 {
        self.step.wrapping_mul(self.settings.accumulate as u32).wrapping_add(batch.number)
    }

    fn not_finite(&mut self, batch: Batch<'_>, what: &'static str, value: f32) -> NotFinite {
        let number = self.number(batch);
        let Self { graph, weights, pool, settings, .. } = self;
        let culprit = first_not_finite(graph, weights, pool, &batch.feed(), batch.images, settings.seed, number);
        NotFinite { what, value, culprit }
    }

    /// Parameters that training should change, but that have had no gradient other than 0 so far.
    pub fn without_gradient(&self) -> Vec<String> {
        let parameters = self.weights.parameters().iter().zip(&self.learning);
        parameters.filter(|(p, learning)| p.trainable && !**learning).map(|(p, _)| p.name.clone()).collect()
    }

    /// The gradient by a parameter in the last step on a batch of this size.
    pub fn gradient(&self, batch: usize, number: usize) -> Option<&[f32]> {
        self.executors.get(&batch)?.whole(&Role::Gradient(number))
    }

    /// The logits of one image in the last step on a batch of this size.
    pub fn logits(&self, batch: usize, image: usize) -> Option<Vec<f32>> {
        let mut logits = vec![0.0; self.classes];
        self.executors.get(&batch)?.image(&Role::Logits, image, &mut logits).then_some(logits)
    }

    /// How good the weights are on `images`.
    pub fn evaluate(&mut self, images: &Split, normalization: &Normalization) -> Evaluation {
        let all = self.evaluate_while(images, normalization, |_, _| ControlFlow::Continue(()));
        all.expect("nothing ends it early")
    }

    /// The same; `see` gets each image's number and logits, in an order of its own, and may end it early, which gives none.
    pub fn evaluate_while(
        &mut self,
        images: &Split,
        normalization: &Normalization,
        see: impl FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Option<Evaluation> {
        let Self { inference, pool, weights, averages, .. } = self;
        evaluate_while(inference, pool, averages.answering(weights), images, normalization, see)
    }

    fn rates(&self, steps_per_epoch: usize) -> Rates {
        let warmup = (f64::from(self.settings.warmup) * steps_per_epoch as f64) as usize;
        let steps = self.settings.epochs * steps_per_epoch;
        Rates { schedule: self.settings.schedule, rate: self.settings.rate, steps, steps_per_epoch, warmup }
    }

    /// Every epoch has an order of its own. It begins from one that the images themselves decide, so that the same images
    /// in another order, out of files of another format, train to the same bits.
    fn shuffle(&mut self, images: &Split, epoch: usize) {
        let by_content = images.by_content();
        self.numbers.resize(images.len(), 0);
        lenslet_rng::shuffle(&mut self.numbers, self.settings.seed, epoch as u64);
        self.order.clear();
        self.order.extend(self.numbers.iter().map(|&number| by_content[number as usize]));
    }

    /// Shows the logits of the batch that was run last, each with its image's place in the step.
    fn show_logits(&mut self, batch: Batch<'_>, see: &mut See<'_>) {
        let executor = &self.executors[&batch.images];
        for image in 0..batch.images {
            executor.image(&Role::Logits, image, &mut self.logits);
            see(batch.first + image, &self.logits);
        }
    }

    /// The watched values of the last batch of a step of `images` images.
    fn watched(&self, images: usize) -> Vec<Watched> {
        let batch = (images - 1) % self.settings.batch + 1;
        let Some(executor) = self.executors.get(&batch) else { return vec![] };
        let roles = self.graph.outputs.iter().filter_map(|(role, node)| match role {
            Role::Watch(name) => {
                let statistics = executor.whole(role)?;
                let watched = self.graph.node(*node).inputs[0];
                let shape = self.graph.node(watched).shape().to_string();
                Some(Watched {
                    name: name.clone(),
                    shape,
                    mean: statistics[0],
                    std: statistics[1],
                    zeros: statistics[2],
                })
            }
            _ => None,
        });
        roles.collect()
    }
}

/// A loss, gradient or parameter that is no number.
#[derive(Clone, Debug, PartialEq)]
pub struct NotFinite {
    /// `loss`, `gradient` or `parameter`.
    pub what: &'static str,
    /// Its value.
    pub value: f32,
    /// The first op whose value was not finite, with layer and line.
    pub culprit: String,
}

impl NotFinite {
    pub(crate) fn at(self, epoch: usize, step: usize, rate: f32) -> Error {
        let Self { what, value, culprit } = self;
        Error::NotFinite { what, value, culprit, epoch, step, rate }
    }
}

/// The forward pass in training mode, its loss, and the gradient by every weight.
///
/// # Errors
/// If sizes do not fit, or the result is not one number per class.
pub fn training_graph(
    network: &dyn Network,
    input: Shape,
    classes: usize,
    label_smoothing: f32,
) -> Result<Graph, Error> {
    graph(network, input, classes, &Settings { label_smoothing, ..Settings::default() })
}

/// The same for these settings: frozen weights have no gradient.
fn graph(network: &dyn Network, input: Shape, classes: usize, settings: &Settings) -> Result<Graph, Error> {
    let recording = record(network, input, Mode::Train);
    let logits = recording.output?;
    let mut graph = recording.graph;
    check_classes(graph.node(logits).shape(), classes)?;
    for parameter in &mut graph.parameters {
        parameter.trainable &= !settings.groups.freeze(&parameter.name);
    }
    let add_loss = if settings.augment.mixes() { add_mixed_cross_entropy } else { add_cross_entropy };
    add_loss(&mut graph, settings.label_smoothing)?;
    differentiate(&mut graph)?;
    Ok(graph)
}

/// How good `weights` are on `images`; none if `see` ends it early.
pub(crate) fn evaluate_while(
    inference: &mut Inference,
    pool: &mut Pool,
    weights: &Weights,
    images: &Split,
    normalization: &Normalization,
    mut see: impl FnMut(usize, &[f32]) -> ControlFlow<()>,
) -> Option<Evaluation> {
    let table = normalization.table();
    // In the order in which they are trained on, too: sums over the same images are the same to the bit.
    let order = images.by_content();
    let feed = Images::plain(images, &table, order);
    let mut evaluation = Evaluation::new(inference.classes());
    let _ = inference.run(pool, weights, images.len(), &feed, |place, logits| {
        let image = order[place] as usize;
        evaluation.add(logits, images.labels[image]);
        see(image, logits)
    });
    (evaluation.images == images.len()).then_some(evaluation)
}
