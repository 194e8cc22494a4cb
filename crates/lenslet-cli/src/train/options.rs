//! What `lenslet train` can be told.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use lenslet::data::augment::Augmentation;
use lenslet::data::{Dataset, Filter};
use lenslet::networks::find;
use lenslet::{Groups, Initialization, Lookahead, Network, Normalize, Optimizer, Schedule, Settings, Shape, TestTime};

use super::saving::Every;
use crate::augment::augmentation;
use crate::data::{Reading, Wanted};
use crate::failure::Failure;
use crate::output::epochs;
use crate::{download, network, threads};

/// Train a network; checkpoints and metrics go to a folder of the run's own.
#[derive(Args)]
#[command(after_help = download::after_help(EXAMPLES))]
pub(crate) struct Train {
    /// A whole setting with what it reaches, by its name or in a file; flags beside it count more. `lenslet recipes` lists them.
    #[arg(long, value_name = "RECIPE", conflicts_with = "resume")]
    pub(super) recipe: Option<String>,
    /// Change a setting of the recipe; the same as the flag of that name.
    #[arg(long, value_name = "KEY=VALUE", requires = "recipe")]
    pub(super) set: Vec<String>,
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
    /// Batches whose gradients are added up to one step: the step of a larger batch, in the memory of a smaller one.
    #[arg(long, value_name = "BATCHES", default_value_t = 1, allow_negative_numbers = true)]
    accumulate: u32,
    /// How a gradient changes the weights. muon: convolutions and hidden dense layers by Muon, all else by sgd.
    #[arg(long, value_enum, default_value_t = Kind::Sgd)]
    optimizer: Kind,
    /// Learning rate; with a schedule its highest value [default: 0.01 for sgd, 0.02 for muon, 0.001 for adam and adamw].
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    lr: Option<f32>,
    /// Share of the last step that sgd and muon take again [default: 0.9; 0.95 for muon].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    momentum: Option<f32>,
    /// Nesterov's form of sgd's momentum.
    #[arg(long)]
    nesterov: bool,
    /// Weight decay [default: 0; 0.01 for adamw].
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    weight_decay: Option<f32>,
    /// Iterations that make the singular values of muon's steps equal [default: 5].
    #[arg(long, value_name = "ITERATIONS", allow_negative_numbers = true)]
    newton_schulz: Option<u32>,
    /// Before each of muon's steps, bring a matrix to a mean norm of 1 an output, as airbench94 does.
    #[arg(long)]
    unit_filters: bool,
    /// Parameters that learn in another way, as in "conv1.*: frozen; *.bias: lr 0.1, weight-decay 0; fc.weight: epochs 3";
    /// * stands for any letters, and the first pattern that fits counts.
    #[arg(long, value_name = "GROUPS", default_value_t)]
    groups: Groups,
    /// How the learning rate changes: constant, step:EPOCHS:GAMMA, cosine, linear, one-cycle.
    #[arg(long, default_value = "constant")]
    schedule: Schedule,
    /// Epochs in which the learning rate rises from 0, before the schedule begins.
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.0, allow_negative_numbers = true)]
    warmup: f32,
    /// Largest norm of all gradients together; larger ones are scaled down [default: none].
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip: Option<f32>,
    /// How weights begin: default (PyTorch's), dirac (convolutions hand on their inputs), whiten (the first convolution whitens
    /// patches of the images), or both, as in "dirac, whiten".
    #[arg(long, value_name = "WORDS", default_value_t)]
    init: Initialization,
    /// Answer with an exponential moving average of the weights, of which this share stays in each step, as in 0.999.
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    ema: Option<f32>,
    /// Lead the weights back to their average every few steps, which moves a share towards them [5:0.5 in the paper].
    #[arg(long, value_name = "STEPS:SHARE")]
    lookahead: Option<Lookahead>,
    /// What pixels are normalised with: half (mean and spread 0.5), or those of the training data.
    #[arg(long, value_enum, default_value_t = Pixels::Half)]
    normalize: Pixels,
    /// Answer with the mean over views of an image: none, flip, flip-shift (moved by a pixel, too); kept in the checkpoint.
    #[arg(long, value_name = "VIEWS", default_value_t)]
    tta: TestTime,
    /// Epochs without a better test accuracy after which training ends early [default: none].
    #[arg(long, value_name = "EPOCHS", allow_negative_numbers = true)]
    patience: Option<u32>,
    /// Share of each target that is spread over all classes.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, allow_negative_numbers = true)]
    label_smoothing: f32,
    /// How images are changed at random each time they are learnt from, as in "flip, crop 4 reflect, mixup 0.2";
    /// `lenslet augment --help` has the words, and `lenslet augment` shows what becomes of images.
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
  lenslet train --recipe over80             Past 80 % on CIFAR-10, the shortest way; lenslet recipes has more
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
    Muon,
}

/// What pixels are normalised with.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pixels {
    Half,
    Data,
}

impl Train {
    /// The settings, each in its range.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let optimizer = self.optimizer()?;
        let settings = Settings {
            epochs: self.epochs as usize,
            batch: self.batch as usize,
            accumulate: self.accumulate as usize,
            optimizer,
            rate: self.lr.unwrap_or(optimizer.usual_rate()),
            groups: self.groups.clone(),
            schedule: self.schedule,
            warmup: self.warmup,
            clip: self.clip,
            init: self.init,
            ema: self.ema,
            lookahead: self.lookahead,
            normalize: match self.normalize {
                Pixels::Half => Normalize::Half,
                Pixels::Data => Normalize::Data,
            },
            test_time: self.tta,
            patience: self.patience.map(|epochs| epochs as usize),
            augment: self.augment.clone(),
            label_smoothing: self.label_smoothing,
            winograd: !self.no_winograd,
            seed: self.seed,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The data that the network wants.
    pub(crate) fn wanted(&self) -> Result<Wanted, Failure> {
        let [_, height, width] = self.input.unwrap_or(find(&self.model)?.input);
        let channels = self.input.map(|[channels, ..]| channels);
        Ok(Wanted { channels, size: Some((height, width)), filter: self.resize })
    }

    /// The network for these data, and the sizes of its images.
    pub(crate) fn network(&self, data: &Dataset) -> Result<(Box<dyn Network + Send + Sync>, Shape), Failure> {
        let input = [data.channels, data.height, data.width];
        network::with_classes(&self.model, Some(input), data.classes.len())
    }

    /// Threads to train on.
    pub(crate) fn threads(&self) -> Result<usize, Failure> {
        threads::wanted(self.threads)
    }

    fn optimizer(&self) -> Result<Optimizer, Failure> {
        self.check_flags_of_optimizers()?;
        let mut chosen = match self.optimizer {
            Kind::Sgd => Optimizer::sgd(0.9),
            Kind::Adam => Optimizer::adam(),
            Kind::AdamW => Optimizer::adamw(),
            Kind::Muon => Optimizer::muon(),
        };
        match &mut chosen {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => {
                *momentum = self.momentum.unwrap_or(*momentum);
                *nesterov = self.nesterov;
                *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
            }
            Optimizer::Adam { weight_decay, .. } | Optimizer::AdamW { weight_decay, .. } => {
                *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
            }
            Optimizer::Muon { momentum, weight_decay, iterations, unit_filters } => {
                *momentum = self.momentum.unwrap_or(*momentum);
                *weight_decay = self.weight_decay.unwrap_or(*weight_decay);
                *iterations = self.newton_schulz.unwrap_or(*iterations);
                *unit_filters = self.unit_filters;
            }
        }
        Ok(chosen)
    }

    /// Flags that have a say in some optimizers alone.
    fn check_flags_of_optimizers(&self) -> Result<(), Failure> {
        let flags: [(&str, bool, &[Kind]); 4] = [
            ("--momentum", self.momentum.is_some(), &[Kind::Sgd, Kind::Muon]),
            ("--nesterov", self.nesterov, &[Kind::Sgd]),
            ("--newton-schulz", self.newton_schulz.is_some(), &[Kind::Muon]),
            ("--unit-filters", self.unit_filters, &[Kind::Muon]),
        ];
        let foreign = flags.into_iter().find(|(_, given, kinds)| *given && !kinds.contains(&self.optimizer));
        let Some((flag, _, kinds)) = foreign else { return Ok(()) };
        let names: Vec<String> = kinds.iter().map(|&kind| kind.name()).collect();
        Err(Failure::Mend(format!(
            "{flag} belongs to {}, but the optimizer is {}\n  mend it: leave {flag} out, or use --optimizer {}",
            names.join(" and "),
            self.optimizer.name(),
            names[0]
        )))
    }
}

impl Kind {
    /// As it is typed.
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// What stands for the value of a flag that is not given and has no default.
pub(super) const NOT_GIVEN: &str = "not given";

/// The settings, each under the flag that sets it.
pub(super) fn settings_by_flag(settings: &Settings) -> Vec<(&'static str, String)> {
    // No setting is left out: a new one wants a line here.
    let Settings {
        epochs,
        batch,
        accumulate,
        optimizer,
        rate,
        groups,
        schedule,
        warmup,
        clip,
        init,
        ema,
        lookahead,
        normalize,
        test_time,
        patience,
        augment,
        label_smoothing,
        winograd,
        seed,
    } = settings.clone();
    let given = |is_given: bool| if is_given { "given" } else { NOT_GIVEN }.to_owned();
    fn or_not_given(value: Option<impl ToString>) -> String {
        value.map_or_else(|| NOT_GIVEN.to_owned(), |value| value.to_string())
    }
    let (name, momentum, nesterov, decay) = match optimizer {
        Optimizer::Sgd { momentum, nesterov, weight_decay } => ("sgd", momentum, nesterov, weight_decay),
        Optimizer::Adam { weight_decay, .. } => ("adam", 0.0, false, weight_decay),
        Optimizer::AdamW { weight_decay, .. } => ("adamw", 0.0, false, weight_decay),
        Optimizer::Muon { momentum, weight_decay, .. } => ("muon", momentum, false, weight_decay),
    };
    let (iterations, unit_filters) = match optimizer {
        Optimizer::Muon { iterations, unit_filters, .. } => (Some(iterations), unit_filters),
        _ => (None, false),
    };
    vec![
        // First, for others have defaults that depend on it.
        ("optimizer", name.to_owned()),
        ("epochs", epochs.to_string()),
        ("batch", batch.to_string()),
        ("accumulate", accumulate.to_string()),
        ("lr", format!("{rate:?}")),
        ("momentum", momentum.to_string()),
        ("nesterov", given(nesterov)),
        ("weight-decay", decay.to_string()),
        ("newton-schulz", or_not_given(iterations)),
        ("unit-filters", given(unit_filters)),
        ("groups", groups.to_string()),
        ("schedule", schedule.to_string()),
        ("warmup", warmup.to_string()),
        ("clip", or_not_given(clip)),
        ("init", init.to_string()),
        ("ema", or_not_given(ema)),
        ("lookahead", or_not_given(lookahead)),
        ("normalize", if normalize == Normalize::Half { "half" } else { "data" }.to_owned()),
        ("tta", test_time.to_string()),
        ("patience", or_not_given(patience)),
        ("augment", augment.to_string()),
        ("label-smoothing", label_smoothing.to_string()),
        ("no-winograd", given(!winograd)),
        ("seed", seed.to_string()),
    ]
}

/// The settings in a line: `20 epochs, batch 64, sgd 0.01 (momentum 0.9), constant rate, seed 0`.
pub(crate) fn describe(settings: &Settings) -> String {
    let Settings { batch, accumulate, schedule, warmup, clip, label_smoothing, .. } = *settings;
    let when = |given: bool, text: String| given.then_some(text);
    let parts = [
        Some(epochs(settings.epochs)),
        Some(if accumulate > 1 { format!("batch {accumulate} x {batch}") } else { format!("batch {batch}") }),
        Some(describe_optimizer(settings)),
        when(!settings.groups.is_empty(), format!("groups of parameters ({})", settings.groups)),
        Some(if schedule == Schedule::Constant { "constant rate".into() } else { format!("schedule {schedule}") }),
        when(warmup != 0.0, format!("warm-up of epochs: {warmup}")),
        clip.map(|clip| format!("gradients clipped at {clip}")),
        when(settings.init != Initialization::default(), format!("weights begin as {}", settings.init)),
        settings.ema.map(|ema| format!("averaged by {ema}")),
        settings.lookahead.map(|lookahead| format!("lookahead {lookahead}")),
        when(settings.normalize == Normalize::Data, "pixels normalised by the data's".into()),
        when(!settings.test_time.is_none(), format!("tested by {}", settings.test_time)),
        settings.patience.map(|patience| format!("patience {}", epochs(patience))),
        when(label_smoothing != 0.0, format!("label smoothing {label_smoothing}")),
        when(!settings.augment.is_none(), format!("augmented by {}", settings.augment)),
        when(!settings.winograd, "without Winograd".into()),
        Some(format!("seed {}", settings.seed)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
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
        Optimizer::Muon { momentum, weight_decay, iterations, unit_filters } => {
            let unit_filters = unit_filters.then(|| "unit filters".to_owned());
            let details = [format!("momentum {momentum}"), format!("{iterations} iterations")];
            ("muon", details.into_iter().chain(unit_filters).collect(), weight_decay)
        }
    };
    if decay != 0.0 {
        details.push(format!("weight decay {decay}"));
    }
    let details = if details.is_empty() { String::new() } else { format!(" ({})", details.join(", ")) };
    format!("{name} at {:?}{details}", settings.rate)
}
