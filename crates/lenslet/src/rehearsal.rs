//! A rehearsal of a training: what it will take, and whether it is likely to get anywhere.
//!
//! Memory is reckoned from plans, without taking any. The rest is tried, on trainers that are thrown away afterwards:
//! [`pace`] runs steps at a learning rate of 0, so that all of them see the weights as they were drawn, and
//! [`by_heart`] trains on a few images until it knows them, which every sound network, rate and data can do (Karpathy,
//! "A recipe for training neural networks", 2019, <https://karpathy.github.io/2019/04/25/recipe/>). Times are bounded,
//! whatever the size of the network: a step that would take long is measured on fewer images.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use lenslet_cpu::{bytes, options};
use lenslet_data::Split;
use lenslet_graph::Graph;
use lenslet_graph::plan::{Options, Plan};

use crate::images::Images;
use crate::inference::BATCH;
use crate::training::NotFinite;
use crate::{Normalization, Trainer};

/// Bytes that a training takes beside its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Weights and running statistics.
    pub weights: u64,
    /// What the optimizer remembers.
    pub optimizer: u64,
    /// Values and gradients of a step, for each batch size that occurs.
    pub training: u64,
    /// Values of an evaluation, likewise.
    pub testing: u64,
}

impl Memory {
    /// What `trainer` will take for so many images in batches of `batch`.
    pub fn new(trainer: &Trainer, batch: usize, train: usize, test: usize) -> Self {
        let plans = |graph, images, batch| plans(graph, images, batch, trainer.settings().winograd, trainer.threads());
        Self {
            weights: trainer.weights().numbers() as u64 * 4,
            optimizer: trainer.optimizer_bytes(),
            training: plans(trainer.graph(), train, batch),
            testing: plans(trainer.inference().graph(), test, BATCH),
        }
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.optimizer + self.training + self.testing
    }
}

/// Bytes of the plans that so many images in batches of `batch` need: one for the whole batches, and one for the rest. What a
/// batch size needs is kept.
pub(crate) fn plans(graph: &Graph, images: usize, batch: usize, winograd: bool, threads: usize) -> u64 {
    let sizes = BTreeSet::from([batch.min(images), images % batch]);
    let plans = sizes.into_iter().filter(|&size| size > 0);
    plans.map(|batch| bytes(&Plan::new(graph, Options { winograd, ..options(graph, batch) }), threads)).sum()
}

/// Steps as they will go.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Mean loss of the weights as they were drawn.
    pub loss: f64,
    /// Median time of a step.
    pub step: Duration,
    /// Steps that were measured.
    pub steps: usize,
    /// Images in each of them: a step's, or fewer where a step takes long.
    pub batch: usize,
}

impl Pace {
    /// Time of an image within a step.
    pub fn image(&self) -> Duration {
        self.step.div_f64(self.batch as f64)
    }
}

/// The most steps that are measured.
const STEPS: usize = 30;

/// A step that is measured should take no longer.
const LONG: Duration = Duration::from_millis(1500);

/// Images of a first step, by which the others are judged.
const FEW: usize = 8;

/// Measures steps for about `time`, augmentation included. `flow` is asked before each step whether to go on; if not, there
/// is no result.
///
/// # Errors
/// [`NotFinite`] if the first weights give a loss or a gradient that is no number.
pub fn pace(
    trainer: &mut Trainer,
    images: &Split,
    normalization: &Normalization,
    time: Duration,
    mut flow: impl FnMut() -> ControlFlow<()>,
) -> Result<Option<Pace>, NotFinite> {
    let table = normalization.table();
    let order = shuffled(images.len(), trainer.settings().seed);
    let augmented = trainer.augmented(images, 1);
    let whole = trainer.settings().batch.min(images.len());
    let mut first = 0;
    // One step on `batch` images, each time others: its loss and its time.
    let mut step = |batch: usize| -> Result<Option<(f64, Duration)>, NotFinite> {
        if flow().is_break() {
            return Ok(None);
        }
        if first + batch > order.len() {
            first = 0;
        }
        let chosen = &order[first..first + batch];
        let augmented = augmented.as_ref().map(|augmented| (augmented, chosen));
        let feed = Images { images, table: &table, chosen, augmented };
        first += batch;
        let begin = Instant::now();
        let loss = trainer.step(&feed, batch, 0.0)?;
        Ok(Some((f64::from(loss), begin.elapsed())))
    };

    let few = FEW.min(whole);
    let (Some(_), Some((_, time_of_few))) = (step(few)?, step(few)?) else { return Ok(None) };
    let batch = affordable(time_of_few.div_f64(few as f64), few, whole);
    if batch != few && step(batch)?.is_none() {
        return Ok(None);
    }
    let (mut losses, mut times) = (vec![], vec![]);
    let begin = Instant::now();
    while times.is_empty() || (times.len() < STEPS && begin.elapsed() < time) {
        let Some((loss, time)) = step(batch)? else { return Ok(None) };
        losses.push(loss);
        times.push(time);
    }
    times.sort_unstable();
    let loss = losses.iter().sum::<f64>() / losses.len() as f64;
    Ok(Some(Pace { loss, step: times[times.len() / 2], steps: times.len(), batch }))
}

/// The whole batch or, where that would take long, as much of it as a step can be given.
fn affordable(image: Duration, few: usize, whole: usize) -> usize {
    let images = LONG.as_secs_f64() / image.as_secs_f64().max(1e-9);
    if whole as f64 <= images { whole } else { (images as usize / FEW * FEW).clamp(few, whole) }
}

/// Time to test one image, measured on a part of `images` that takes no longer than `time` if an image takes `guess`.
pub fn testing_pace(
    trainer: &mut Trainer,
    images: &Split,
    normalization: &Normalization,
    guess: Duration,
    time: Duration,
) -> Duration {
    let affordable = (time.as_secs_f64() / guess.as_secs_f64().max(1e-9)) as usize;
    let some = affordable.clamp(FEW, BATCH).min(images.len());
    let size = images.images.len() / images.len().max(1);
    let part = Split { images: images.images[..some * size].to_vec().into(), labels: images.labels[..some].to_vec() };
    // As above, the first time is not measured.
    trainer.evaluate(&part, normalization);
    let begin = Instant::now();
    trainer.evaluate(&part, normalization);
    begin.elapsed().div_f64(some.max(1) as f64)
}

/// How it went to learn a few images by heart.
#[derive(Clone, Debug, PartialEq)]
pub struct ByHeart {
    /// How many there were.
    pub images: usize,
    /// Classes among them.
    pub classes: usize,
    /// Steps that were taken.
    pub steps: usize,
    /// Loss at the first of them.
    pub first: f64,
    /// Loss at the last.
    pub last: f64,
    /// Why it ended.
    pub end: End,
}

/// Why learning by heart ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// The loss is near 0.
    Learnt,
    /// After as many steps as should do.
    Steps,
    /// When the time was over.
    Time,
    /// At a loss or gradient that is no number.
    NotFinite(NotFinite),
}

/// The most steps that are taken to learn images by heart.
pub const MOST_STEPS: usize = 400;

/// A loss below this share of the first guess's is near 0.
const NEAR_0: f64 = 0.05;

/// Trains a fresh `trainer` on `number` images of as many classes as there are, at its highest rate. If `flow` ends it,
/// there is no result.
pub fn by_heart(
    trainer: &mut Trainer,
    images: &Split,
    normalization: &Normalization,
    number: usize,
    time: Duration,
    mut flow: impl FnMut() -> ControlFlow<()>,
) -> Option<ByHeart> {
    let table = normalization.table();
    let chosen = of_all_classes(images, trainer.classes(), number, trainer.settings().seed);
    let feed = Images::plain(images, &table, &chosen);
    let rate = trainer.settings().rate;
    let classes: BTreeSet<u32> = chosen.iter().map(|&image| images.labels[image as usize]).collect();
    // With one class, a single number can be learnt, at least.
    let near_0 = NEAR_0 * (classes.len().max(2) as f64).ln();
    let mut result = ByHeart {
        images: chosen.len(),
        classes: classes.len(),
        steps: 0,
        first: f64::NAN,
        last: f64::NAN,
        end: End::Steps,
    };
    let begin = Instant::now();
    while result.steps < MOST_STEPS {
        if flow().is_break() {
            return None;
        }
        match trainer.step(&feed, chosen.len(), rate) {
            Ok(loss) => result.last = f64::from(loss),
            Err(fault) => {
                result.end = End::NotFinite(fault);
                break;
            }
        }
        result.steps += 1;
        if result.steps == 1 {
            result.first = result.last;
        }
        if result.last < near_0 {
            result.end = End::Learnt;
            break;
        }
        if begin.elapsed() > time {
            result.end = End::Time;
            break;
        }
    }
    Some(result)
}

/// How many images can be learnt by heart in `time`, if an image of a step takes `image`: 64, or fewer of a large network.
pub fn images_by_heart(image: Duration, time: Duration) -> usize {
    // By experience, small networks need some 100 steps.
    const STEPS: f64 = 150.0;
    let affordable = |&number: &usize| image.mul_f64(STEPS * number as f64) <= time;
    [64, 32, 16].into_iter().find(affordable).unwrap_or(8)
}

/// As many images of each class as of the others, or nearly so.
fn of_all_classes(images: &Split, classes: usize, number: usize, seed: u64) -> Vec<u32> {
    let mut by_class = vec![vec![]; classes];
    for image in shuffled(images.len(), seed) {
        by_class[images.labels[image as usize] as usize].push(image);
    }
    let rounds = (0..number).flat_map(|round| by_class.iter().filter_map(move |images| images.get(round)));
    rounds.copied().take(number).collect()
}

fn shuffled(images: usize, seed: u64) -> Vec<u32> {
    let mut order = vec![0; images];
    lenslet_rng::shuffle(&mut order, seed, 1);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_classes_are_learnt_by_heart() {
        let labels: Vec<u32> = (0..100).map(|i| u32::from(i >= 90) + u32::from(i >= 97)).collect();
        let images = Split { images: vec![0; 100].into(), labels };
        let chosen = of_all_classes(&images, 3, 12, 0);
        let count = |class| chosen.iter().filter(|&&image| images.labels[image as usize] == class).count();
        assert_eq!([count(0), count(1), count(2)], [5, 4, 3], "there are only three of the last class");
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 12, "no image twice");
        assert_eq!(of_all_classes(&images, 3, 1000, 0).len(), 100);
    }

    #[test]
    fn what_takes_long_is_tried_on_fewer_images() {
        let ms = Duration::from_millis;
        assert_eq!([ms(1), ms(10), ms(30), ms(900)].map(|image| affordable(image, 8, 64)), [64, 64, 48, 8]);
        assert_eq!(affordable(ms(900), 4, 4), 4);
        assert_eq!([ms(0), ms(1), ms(2), ms(5)].map(|image| images_by_heart(image, ms(8000))), [64, 32, 16, 8]);
    }
}
