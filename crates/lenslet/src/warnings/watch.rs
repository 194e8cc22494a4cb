//! What only training can show: looked for after each epoch, and said once.

use std::collections::HashSet;

use lenslet_data::Split;

use super::Warning;
use super::activity::{Activity, Dead};
use crate::images::Images;
use crate::training::Epoch;
use crate::{Normalization, Trainer};

/// Above this share of dead units a ReLU is warned of.
const DEAD: f64 = 0.9;

/// A run under observation.
pub struct Watch {
    activity: Activity,
    /// The training images that ReLUs are looked at with: evenly strewn, since data may be sorted by class.
    sample: Vec<u32>,
    /// The loss of who knows the classes' frequencies only.
    chance: f64,
    classes: usize,
    said: HashSet<String>,
    first: bool,
}

impl Watch {
    /// Of the training of `trainer` on `images`.
    pub fn new(trainer: &Trainer, images: &Split) -> Self {
        let classes = trainer.classes();
        let activity = Activity::new(trainer.inference().graph());
        let sample = sample(images.len());
        Self { activity, sample, chance: entropy(images, classes), classes, said: HashSet::new(), first: true }
    }

    /// What the epoch has shown that was not said before. `test_loss` is the loss over the test images after it.
    pub fn after_epoch(
        &mut self,
        trainer: &mut Trainer,
        images: &Split,
        normalization: &Normalization,
        epoch: &Epoch,
        test_loss: f64,
    ) -> Vec<Warning> {
        let mut warnings = vec![];
        // An epoch's mean holds its bad beginning, too; so both losses must say that nothing was learnt. A single class leaves
        // nothing to learn.
        let something = self.chance > 0.0;
        if something && epoch.loss >= self.chance && test_loss >= self.chance && self.said.insert("chance".to_owned()) {
            let Self { chance, classes, .. } = *self;
            let &Epoch { epoch, loss, rate, .. } = epoch;
            warnings.push(Warning::NotBelowChance { epoch, loss, chance, classes, rate });
        }
        let parameters = if std::mem::take(&mut self.first) { trainer.without_gradient() } else { vec![] };
        if !parameters.is_empty() {
            warnings.push(Warning::NoGradient { parameters });
        }
        warnings.extend(self.dead_relus(trainer, images, normalization, epoch.rate));
        warnings
    }

    fn dead_relus(
        &mut self,
        trainer: &mut Trainer,
        images: &Split,
        normalization: &Normalization,
        rate: f32,
    ) -> Vec<Warning> {
        let Self { activity, sample, said, .. } = self;
        let table = normalization.table();
        let feed = Images::plain(images, &table, sample);
        let (pool, weights) = trainer.pool_and_weights();
        let found = activity.dead(pool, weights, &feed, sample.len()).into_iter().filter_map(|found| {
            let Dead { place, dead, units } = found;
            let many = dead as f64 > DEAD * units as f64;
            (many && said.insert(place.to_owned())).then(|| Warning::DeadRelu {
                place: place.to_owned(),
                dead,
                units,
                images: sample.len(),
                rate,
            })
        });
        found.collect()
    }
}

/// Images to look at ReLUs with: 512 or, since that should cost little beside the epoch itself, fewer of small sets.
fn sample(images: usize) -> Vec<u32> {
    let size = (images / 20).clamp(64, 512).min(images);
    (0..size).map(|place| (place * images / size) as u32).collect()
}

/// Entropy of the labels, in nats: the cross-entropy of the best answer that does not look at the image.
fn entropy(images: &Split, classes: usize) -> f64 {
    let mut counts = vec![0_usize; classes];
    images.labels.iter().for_each(|&label| counts[label as usize] += 1);
    let shares = counts.into_iter().filter(|&count| count > 0).map(|count| count as f64 / images.len() as f64);
    -shares.map(|share| share * share.ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_strewn_and_small() {
        assert_eq!(sample(3), [0, 1, 2]);
        assert_eq!(sample(64), Vec::from_iter(0..64));
        let of_many = sample(50_000);
        assert_eq!((of_many.len(), of_many[1], of_many[511]), (512, 97, 49_902));
        assert_eq!(sample(4_000).len(), 200);
    }

    #[test]
    fn chance_is_the_entropy_of_the_labels() {
        let labels = |labels: &[u32]| Split { images: vec![0; labels.len()].into(), labels: labels.to_vec() };
        assert_eq!(entropy(&labels(&[0, 1, 0, 1]), 2), 2.0_f64.ln());
        // scipy.stats.entropy([0.75, 0.25]) = 0.5623351446188083; a class that does not occur changes nothing.
        assert!((entropy(&labels(&[0, 2, 0, 0]), 3) - 0.562_335_144_618_808_3).abs() < 1e-15);
    }
}
