//! The settings of a training, and the range of each.

use lenslet_data::Split;
use lenslet_data::augment::Augmentation;
use serde::{Deserialize, Serialize};

use crate::averaging::Lookahead;
use crate::optimizer::Groups;
use crate::{Error, Initialization, Normalization, Optimizer, Schedule, TestTime};

/// How a network is trained. What an older version did not know yet is read as it usually is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images that are worked on together.
    pub batch: usize,
    /// Batches whose gradients make one step, their mean weighed by images: a larger batch in the memory of a smaller one.
    pub accumulate: usize,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// The learning rate; with a schedule its highest value.
    pub rate: f32,
    /// Parameters that learn in another way.
    pub groups: Groups,
    /// How the rate changes.
    pub schedule: Schedule,
    /// Epochs in which the rate rises from 0.
    pub warmup: f32,
    /// The largest norm that all gradients together may have; larger ones are scaled down.
    pub clip: Option<f32>,
    /// What the weights are before the first step.
    pub init: Initialization,
    /// Share of the average of weights that stays in each step; the average answers in the weights' place.
    pub ema: Option<f32>,
    /// How weights are led back to an average.
    pub lookahead: Option<Lookahead>,
    /// What pixels are normalised with.
    pub normalize: Normalize,
    /// Which views of a test image are looked at.
    pub test_time: TestTime,
    /// Epochs without a better test accuracy after which training ends early.
    pub patience: Option<usize>,
    /// How the images are changed before they are learnt from.
    pub augment: Augmentation,
    /// Share of each target that is spread over all classes.
    pub label_smoothing: f32,
    /// Whether convolutions may be done in Winograd's way, which is faster and rounds a little more.
    pub winograd: bool,
    /// What all randomness follows from.
    pub seed: u64,
}

/// What pixels are normalised with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalize {
    /// Mean 0.5 and spread 0.5: from −1 to 1.
    #[default]
    Half,
    /// Mean and spread of the training images, per channel.
    Data,
}

impl Default for Settings {
    /// The lesson's: 20 epochs of SGD with momentum, 64 images a step.
    fn default() -> Self {
        Self {
            epochs: 20,
            batch: 64,
            accumulate: 1,
            optimizer: Optimizer::sgd(0.9),
            rate: 0.01,
            groups: Groups::default(),
            schedule: Schedule::Constant,
            warmup: 0.0,
            clip: None,
            init: Initialization::default(),
            ema: None,
            lookahead: None,
            normalize: Normalize::Half,
            test_time: TestTime::None,
            patience: None,
            augment: Augmentation::default(),
            label_smoothing: 0.0,
            winograd: true,
            seed: 0,
        }
    }
}

impl Settings {
    /// Whether every setting is in its range.
    ///
    /// # Errors
    /// The first that is not, with what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let number = |setting, value: f32, allowed: bool, expected| {
            if allowed { Ok(()) } else { Err(Error::Setting { setting, value: value.to_string(), expected }) }
        };
        number("--epochs", self.epochs as f32, self.epochs > 0, "at least 1")?;
        number("--batch", self.batch as f32, self.batch > 0, "at least 1")?;
        number("--accumulate", self.accumulate as f32, self.accumulate > 0, "at least 1")?;
        if let Some(patience) = self.patience {
            number("--patience", patience as f32, patience > 0, "at least 1")?;
        }
        let positive = |x: f32| x.is_finite() && x > 0.0;
        let not_negative = |x: f32| x.is_finite() && x >= 0.0;
        let warmup = |x: f32| (0.0..=self.epochs as f32).contains(&x);
        let share = |x: f32| (0.0..1.0).contains(&x);
        number("--lr", self.rate, positive(self.rate), "a finite number above 0")?;
        number("--warmup", self.warmup, warmup(self.warmup), "a number of epochs from 0 to --epochs")?;
        number("--label-smoothing", self.label_smoothing, share(self.label_smoothing), "from 0 to below 1")?;
        if let Some(clip) = self.clip {
            number("--clip", clip, positive(clip), "a finite number above 0")?;
        }
        if let Some(ema) = self.ema {
            number("--ema", ema, share(ema) && ema > 0.0, "above 0 and below 1")?;
        }
        let decay = match self.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                number("--momentum", momentum, share(momentum), "from 0 to below 1")?;
                number("--momentum", momentum, !nesterov || momentum > 0.0, "above 0 with --nesterov")?;
                weight_decay
            }
            Optimizer::Muon { momentum, weight_decay, iterations, .. } => {
                number("--momentum", momentum, share(momentum), "from 0 to below 1")?;
                number("--newton-schulz", iterations as f32, (1..=20).contains(&iterations), "from 1 to 20")?;
                weight_decay
            }
            Optimizer::Adam { weight_decay, .. } | Optimizer::AdamW { weight_decay, .. } => weight_decay,
        };
        number("--weight-decay", decay, not_negative(decay), "a finite number from 0")
    }
}

impl Settings {
    /// What pixels of these training images are normalised with.
    pub fn normalization(&self, images: &Split, channels: usize) -> Normalization {
        match self.normalize {
            Normalize::Half => Normalization::half(channels),
            Normalize::Data => Normalization::of(images, channels),
        }
    }
}
