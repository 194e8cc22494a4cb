//! What `lenslet train` can be told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lenslet::data::Filter;
use lenslet::data::augment::Augmentation;
use lenslet::{Optimizer, Schedule, Settings};

use super::saving::Every;
use crate::augment::augmentation;
use crate::data::Reading;
use crate::failure::Failure;
use crate::output::epochs;
use crate::{download, network, threads};

/// Train a network; checkpoints and metrics go to a folder of the run's own.
#[derive(Args)]
#[command(after_help = download::after_help(EXAMPLES))]
pub(crate) struct Train {
    #[arg(long, default_value = "lesson", help = network::help("Network"))]
    pub(crate) model: String,
    #[arg(long, default_value = "shapes", help = download::help())]
    pub(crate) data: String,
    /// Size of the images that the network gets, as 3x64x64; those of another size are resized [default: the network's
    /// own height and width, the channels of the data].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    pub(crate) input: Option<network::Input>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// How images of another size are brought to the network's, as Pillow does it: nearest, box, bilinear, hamming, bicubic,
    /// lanczos; kept in the checkpoint, so that `eval` and `predict` do the same.
    #[arg(long, value_name = "FILTER", default_value_t)]
    pub(crate) resize: Filter,
    /// Passes over the training images.
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true)]
    epochs: u32,
    /// Images in a step.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true)]
    batch: u32,
    /// How a gradient changes the weights.
    #[arg(long, value_enum, default_value_t = Kind::Sgd)]
    optimizer: Kind,
    /// Learning rate; with a schedule its highest value [default: 0.01 for sgd, 0.001 for adam and adamw].
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f32>,
    /// Share of the last step that sgd takes again [default: 0.9].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    momentum: Option<f32>,
    /// Nesterov's form of sgd's momentum.
    #[arg(long)]
    nesterov: bool,
    /// Weight decay [default: 0; 0.01 for adamw].
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// How the learning rate changes: constant, step:EPOCHS:GAMMA, cosine, linear, one-cycle.
    #[arg(long, default_value = "constant")]
    schedule: Schedule,
    /// Epochs in which the learning rate rises from 0, before the schedule begins.
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.0, allow_negative_numbers = true)]
    warmup: f32,
    /// Largest norm of all gradients together; larger ones are scaled down [default: none].
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip: Option<f32>,
    /// Share of each target that is spread over all classes.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    label_smoothing: f32,
    /// How images are changed at random each time they are learnt from, as in "flip, crop 4 reflect"; `lenslet augment --help`
    /// has the words, and `lenslet augment` shows what becomes of images.
    #[arg(long, value_name = "OPS", default_value_t, value_parser = augmentation)]
    augment: Augmentation,
    /// Convolutions by sums of products alone, not in Winograd's way: slower, with smaller rounding errors.
    #[arg(long)]
    no_winograd: bool,
    /// Number that all chance follows from: the same seed gives the same weights, on any number of threads.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads [default: as many as the machine has].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<i64>,
    /// Folder of the run; it must be new or empty [default: runs/MODEL-DATA-NUMBER].
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Train nothing: look at data, network, memory and disk, try a few steps, and say how long the run will take.
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,
    /// Write event files for TensorBoard into the run's folder, too.
    #[arg(long)]
    pub(crate) tensorboard: bool,
    /// Go on with the run in this folder, which was stopped or killed; its settings are kept, --epochs may be larger.
    #[arg(long, value_name = "RUN", conflicts_with = "out")]
    pub(crate) resume: Option<PathBuf>,
    /// Steps or time after which the training state is written, as in 500, 30s, 5min [default: after each epoch].
    #[arg(long, value_name = "STEPS|TIME")]
    pub(super) checkpoint_every: Option<Every>,
    /// Epochs whose checkpoints are kept, the latest ones, as epoch-0007.safetensors; beside the best and the last.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) keep: usize,
    /// Print one JSON object a line: one after each epoch, and one at the end.
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Ctrl-C ends the run after the current step (exit code 130), from which --resume goes on; a second one ends it at once.
A run that was killed goes on too, from the end of its last epoch or its last --checkpoint-every.

Examples:
  lenslet train
  lenslet train --data cifar10 --dry-run    Is this going to work, and how long will it take?
  lenslet train --model resnet20 --data cifar10 --epochs 40 --lr 0.1 --schedule one-cycle
  lenslet train --model resnet20 --data photos --input 3x64x64
  lenslet train --optimizer adamw --batch 128 --label-smoothing 0.1 --seed 7 --out runs/smooth
  lenslet train --resume runs/smooth";

/// An optimizer's name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sgd,
    Adam,
    #[value(name = "adamw")]
    AdamW,
}

impl Train {
    /// The settings, each in its range.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let optimizer = self.optimizer()?;
        let settings = Settings {
            epochs: self.epochs as usize,
            batch: self.batch as usize,
            optimizer,
            rate: self.lr.unwrap_or(optimizer.usual_rate()),
            schedule: self.schedule,
            warmup: self.warmup,
            clip: self.clip,
            augment: self.augment.clone(),
            label_smoothing: self.label_smoothing,
            winograd: !self.no_winograd,
            seed: self.seed,
        };
        settings.check()?;
        Ok(settings)
    }

    /// Threads to train on.
    pub(crate) fn threads(&self) -> Result<usize, Failure> {
        threads::wanted(self.threads)
    }

    fn optimizer(&self) -> Result<Optimizer, Failure> {
        let name = match self.optimizer {
            Kind::Sgd => "sgd",
            Kind::Adam => "adam",
            Kind::AdamW => "adamw",
        };
        let foreign = [("--momentum", self.momentum.is_some()), ("--nesterov", self.nesterov)];
        if let (false, Some((flag, _))) = (self.optimizer == Kind::Sgd, foreign.iter().find(|(_, given)| *given)) {
            return Err(Failure::Mend(format!(
                "{flag} belongs to sgd, but the optimizer is {name}\n  mend it: leave {flag} out, or use --optimizer sgd"
            )));
        }
        let decay = self.weight_decay;
        Ok(match self.optimizer {
            Kind::Sgd => Optimizer::Sgd {
                momentum: self.momentum.unwrap_or(0.9),
                nesterov: self.nesterov,
                weight_decay: decay.unwrap_or(0.0),
            },
            Kind::Adam => with_decay(Optimizer::adam(), decay),
            Kind::AdamW => with_decay(Optimizer::adamw(), decay),
        })
    }
}

/// The optimizer with the user's weight decay instead of its usual one.
fn with_decay(mut optimizer: Optimizer, decay: Option<f32>) -> Optimizer {
    let (Optimizer::Sgd { weight_decay, .. }
    | Optimizer::Adam { weight_decay, .. }
    | Optimizer::AdamW { weight_decay, .. }) = &mut optimizer;
    *weight_decay = decay.unwrap_or(*weight_decay);
    optimizer
}

/// What stands for the value of a flag that is not given and has no default.
pub(super) const NOT_GIVEN: &str = "not given";

/// The settings, each under the flag that sets it.
pub(super) fn settings_by_flag(settings: &Settings) -> Vec<(&'static str, String)> {
    // No setting is left out: a new one wants a line here.
    let Settings { epochs, batch, optimizer, rate, schedule, warmup, clip, augment, label_smoothing, winograd, seed } =
        settings.clone();
    let given = |is_given: bool| if is_given { "given" } else { NOT_GIVEN }.to_owned();
    let (optimizer, momentum, nesterov, decay) = match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => ("sgd", momentum, nesterov, weight_decay),
        Optimizer::Adam { weight_decay, .. } => ("adam", 0.0, false, weight_decay),
        Optimizer::AdamW { weight_decay, .. } => ("adamw", 0.0, false, weight_decay),
    };
    vec![
        // First, for others have defaults that depend on it.
        ("optimizer", optimizer.to_owned()),
        ("epochs", epochs.to_string()),
        ("batch", batch.to_string()),
        ("lr", format!("{rate:?}")),
        ("momentum", momentum.to_string()),
        ("nesterov", given(nesterov)),
        ("weight-decay", decay.to_string()),
        ("schedule", schedule.to_string()),
        ("warmup", warmup.to_string()),
        ("clip", clip.map_or_else(|| NOT_GIVEN.to_owned(), |clip| clip.to_string())),
        ("augment", augment.to_string()),
        ("label-smoothing", label_smoothing.to_string()),
        ("no-winograd", given(!winograd)),
        ("seed", seed.to_string()),
    ]
}

/// The settings in a line: `20 epochs, batch 64, sgd 0.01 (momentum 0.9), constant rate, seed 0`.
pub(crate) fn describe(settings: &Settings) -> String {
    let mut parts = vec![
        epochs(settings.epochs),
        format!("batch {}", settings.batch),
        describe_optimizer(settings),
        match settings.schedule {
            Schedule::Constant => "constant rate".to_owned(),
            schedule => format!("schedule {schedule}"),
        },
    ];
    let mut optional = |value: f32, what: &str| {
        if value != 0.0 {
            parts.push(format!("{what} {value}"));
        }
    };
    optional(settings.warmup, "warm-up of epochs:");
    optional(settings.clip.unwrap_or(0.0), "gradients clipped at");
    optional(settings.label_smoothing, "label smoothing");
    if !settings.augment.is_none() {
        parts.push(format!("augmented by {}", settings.augment));
    }
    if !settings.winograd {
        parts.push("without Winograd".to_owned());
    }
    parts.push(format!("seed {}", settings.seed));
    parts.join(", ")
}

/// `sgd 0.01 (momentum 0.9, nesterov)`.
pub(super) fn describe_optimizer(settings: &Settings) -> String {
    let (name, mut details, decay) = match settings.optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => {
            let nesterov = nesterov.then(|| "nesterov".to_owned());
            ("sgd", [format!("momentum {momentum}")].into_iter().chain(nesterov).collect(), weight_decay)
        }
        Optimizer::Adam { weight_decay, .. } => ("adam", vec![], weight_decay),
        Optimizer::AdamW { weight_decay, .. } => ("adamw", vec![], weight_decay),
    };
    if decay != 0.0 {
        details.push(format!("weight decay {decay}"));
    }
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    format!("{name} at {:?}{details}", settings.rate)
}
