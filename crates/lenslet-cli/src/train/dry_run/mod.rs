//! `lenslet train --dry-run`: what a run would meet, in plain sentences and before it begins.
//!
//! *Invariant:* nothing is written and no weights are kept. What is tried is tried on trainers that are thrown away, each
//! part within a time of its own, so that the whole stays below half a minute. What will surely fail (too little memory or
//! disk, a folder that cannot be written to) ends with exit code 2; what only looks bad is said.

use std::time::{Duration, Instant};

use lenslet::data::{Dataset, Survey};
use lenslet::rehearsal::{self, ByHeart, End, Memory, Pace};
use lenslet::training::NotFinite;
use lenslet::warnings::of_network;
use lenslet::{Network, Normalization, Optimizer, Settings, Shape, Summary, Trainer};

use super::Train;
use super::memory;
use super::options::describe_optimizer;
use crate::data_command::Warned;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, bytes, count, duration};
use crate::{data, machine, run_folder};

mod report;
mod words;

use report::{ByHeartFound, DataFound, DiskFound, MemoryFound, NetworkFound, Report, StartFound, TimeFound};
use words::{remark, rushed, several, short, told};

/// Time for all that is tried, when the data has been read; each part has a time of its own, too.
const ALL: Duration = Duration::from_secs(22);

/// Time for measuring steps.
const PACE: Duration = Duration::from_secs(3);

/// Time for measuring tests.
const TESTING: Duration = Duration::from_secs(1);

/// Time for learning a few images by heart, with the user's settings and then with others.
const BY_HEART: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(5)];

/// A first loss this far above that of a guess is remarked on.
const FAR: f64 = 1.0;

/// Checkpoints that a run has at once: the best, the last, and the next one while it is written.
const CHECKPOINTS: u64 = 3;
/// Training states on disk: the latest two, and the next one while it is written.
const STATES: u64 = 3;

/// What a run writes beside checkpoints, generously: its settings, its warnings, and its metrics by the epoch.
const TEXTS: u64 = 2 << 20;
const METRICS: u64 = 1 << 10;

pub(super) fn run(
    options: &Train,
    settings: Settings,
    threads: usize,
    data: Dataset,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let rehearsal = Rehearsal::new(options, settings, threads, data, interrupt)?;
    let report = rehearsal.report()?;
    if options.json {
        output::json(&report)?;
    }
    match report.failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::Mend(failure.clone())),
    }
}

/// A run that will not take place.
struct Rehearsal<'a> {
    options: &'a Train,
    settings: Settings,
    threads: usize,
    network: Box<dyn Network + Send + Sync>,
    input: Shape,
    normalization: Normalization,
    data: Dataset,
    survey: Survey,
    /// What the data was like before it was resized.
    described: String,
    interrupt: Interrupt,
    begun: Instant,
}

impl<'a> Rehearsal<'a> {
    fn new(
        options: &'a Train,
        settings: Settings,
        threads: usize,
        data: Dataset,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let (survey, described) = (Survey::new(&data), data::describe(&data));
        let (network, input) = options.network(&data)?;
        let normalization = settings.normalization(&data.train, data.channels);
        interrupt.orderly();
        let begun = Instant::now();
        Ok(Self {
            options,
            settings,
            threads,
            network,
            input,
            normalization,
            data,
            survey,
            described,
            interrupt,
            begun,
        })
    }

    /// Looks at everything, and says each thing as soon as it is known.
    fn report(&self) -> Result<Report, Failure> {
        let mut report = Report { event: "dry_run", ..Report::default() };
        let mut trainer = self.trainer(self.settings.clone())?;
        self.data(&mut report)?;
        self.network(&mut report, &trainer)?;
        self.memory(&mut report, &trainer)?;
        self.disk(&mut report, &trainer)?;
        // Steps that there is no memory for are better not tried.
        if report.failures.is_empty()
            && let Some(pace) = self.start(&mut report, &mut trainer)?
        {
            self.by_heart(&mut report, pace)?;
            self.time(&mut report, &mut trainer, pace)?;
        }
        report.ok = report.failures.is_empty();
        Ok(report)
    }

    /// Fresh weights.
    fn trainer(&self, settings: Settings) -> Result<Trainer, Failure> {
        let mut trainer = Trainer::new(&*self.network, self.input, self.data.classes.len(), settings, self.threads)?;
        trainer.initialize(&self.data.train, &self.normalization)?;
        Ok(trainer)
    }

    /// As much of `time` as is left of all.
    fn within(&self, time: Duration) -> Duration {
        time.min(ALL.saturating_sub(self.begun.elapsed()))
    }

    /// A sentence for people, under the heading that a run would have it under.
    fn say(&self, about: &str, text: &str) -> Result<(), Failure> {
        if self.options.json { Ok(()) } else { output::result(format_args!("{about:<9} {text}")) }
    }

    fn warn(&self, warning: impl std::fmt::Display) -> Result<(), Failure> {
        if self.options.json { Ok(()) } else { output::result(format_args!("warning:  {warning}")) }
    }

    fn data(&self, report: &mut Report) -> Result<(), Failure> {
        let warnings = &self.survey.warnings;
        report.data = DataFound {
            train: self.data.train.len(),
            test: self.data.test.len(),
            classes: self.data.classes.len(),
            warnings: Warned::all(warnings).iter().map(|warned| serde_json::json!(warned)).collect(),
        };
        let verdict = match warnings.len() {
            0 => "Nothing about it is suspicious.".to_owned(),
            1 => "One thing about it is suspicious:".to_owned(),
            several => format!("{several} things about it are suspicious:"),
        };
        self.say("data", &format!("{}. {verdict}", self.described))?;
        warnings.iter().try_for_each(|warning| self.warn(warning))
    }

    fn network(&self, report: &mut Report, trainer: &Trainer) -> Result<(), Failure> {
        let summary = Summary::new(&*self.network, self.input);
        report.network = NetworkFound {
            name: self.options.model.clone(),
            input: self.input.to_string(),
            parameters: summary.parameters,
            macs: summary.macs(),
            warnings: of_network(trainer.graph(), self.data.train.len(), self.settings.batch),
        };
        let text = format!(
            "{}: all sizes fit, from {} to {} classes; {} parameters, {} multiply-adds per image.",
            self.options.model,
            data::sizes(&self.data),
            self.data.classes.len(),
            count(summary.parameters),
            count(summary.macs())
        );
        self.say("network", &text)?;
        report.network.warnings.iter().try_for_each(|warning| self.warn(warning))
    }

    fn memory(&self, report: &mut Report, trainer: &Trainer) -> Result<(), Failure> {
        let (memory, free) = (memory::needed(trainer, &self.data, self.settings.batch), machine::free_memory());
        let Memory { weights, optimizer, training, testing } = memory;
        report.memory = MemoryFound { weights, optimizer, training, testing, total: memory.total(), free };
        let parts = format!(
            "{} beside the data: weights {}, optimizer {}, steps {}, tests {}",
            bytes(memory.total()),
            bytes(weights),
            bytes(optimizer),
            bytes(training),
            bytes(testing)
        );
        let Some(free) = free else {
            return self.say("memory", &format!("Training takes {parts}. How much is free is not known here."));
        };
        self.say("memory", &format!("Training takes {parts}. {} are free.", bytes(free)))?;
        report.failures.extend(memory::lacking(trainer, &self.data, self.settings.batch, memory.total(), free));
        Ok(())
    }

    fn disk(&self, report: &mut Report, trainer: &Trainer) -> Result<(), Failure> {
        let folder = run_folder::place(self.options.out.as_deref());
        let checkpoint = trainer.weights().numbers() as u64 * 4;
        let checkpoints = CHECKPOINTS + self.options.keep.min(self.settings.epochs) as u64;
        let state = trainer.state_bytes();
        let total = checkpoints * checkpoint + STATES * state + TEXTS + METRICS * self.settings.epochs as u64;
        let free = machine::free_disk(&folder).ok();
        report.disk = DiskFound { checkpoint, state, total, free };
        let has =
            free.map_or("How much is free there is not known".to_owned(), |free| format!("{} are free", bytes(free)));
        let text = format!(
            "The run writes up to {}: {checkpoints} checkpoints of {}, {STATES} training states of {}, settings, metrics and \
             pictures. {has} at {}.",
            bytes(total),
            bytes(checkpoint),
            bytes(state),
            folder.display()
        );
        self.say("disk", &text)?;
        if let Err(error) = machine::writable(&folder) {
            report.failures.push(format!(
                "{}: the run's folder cannot be made there: {error}\n  mend it: give --out a folder that you may write to",
                folder.display()
            ));
        } else if let Some(free) = free.filter(|&free| free < total) {
            report.failures.push(format!(
                "{}: the run writes up to {}, but {} are free\n  mend it: free some space there, or give --out a folder on \
                 another disk",
                folder.display(),
                bytes(total),
                bytes(free)
            ));
        }
        Ok(())
    }

    /// The first loss; none where training ends with it.
    fn start(&self, report: &mut Report, trainer: &mut Trainer) -> Result<Option<Pace>, Failure> {
        let flow = || self.interrupt.flow();
        let pace = match rehearsal::pace(trainer, &self.data.train, &self.normalization, self.within(PACE), flow) {
            Ok(pace) => pace.ok_or(Failure::Interrupted)?,
            Err(NotFinite { what, value, culprit }) => {
                report.failures.push(format!(
                    "the {what} of the weights as they are drawn is {value}, first at {culprit}, so training would end with \
                     its first step\n  mend it: have a look at that operation"
                ));
                return Ok(None);
            }
        };
        let classes = self.data.classes.len();
        let chance = (classes as f64).ln();
        let loss = pace.loss;
        report.start = Some(StartFound { loss, chance });
        let guess = format!("a guess among {classes} classes has ln {classes} = {chance:.4}");
        let text = if loss > chance + FAR {
            format!(
                "The loss begins at {loss:.4}, far above a guess: {guess}. The first weights, or values between the layers, are \
                 too large: think of batch normalisation, or of other first weights for the last layer."
            )
        } else {
            format!("The loss begins at {loss:.4}, near a guess, as it should: {guess}.")
        };
        self.say("start", &text)?;
        Ok(Some(pace))
    }

    /// Whether a few images can be learnt by heart: with the user's settings and, if not, with Adam's.
    fn by_heart(&self, report: &mut Report, pace: Pace) -> Result<(), Failure> {
        let plain = Settings { label_smoothing: 0.0, ..self.settings.clone() };
        let adam = Settings { optimizer: Optimizer::adam(), rate: Optimizer::adam().usual_rate(), ..plain.clone() };
        let number = rehearsal::images_by_heart(pace.image(), self.within(BY_HEART[0]));
        let first = self.learn(report, &plain, number, BY_HEART[0])?;
        let how = describe_optimizer(&plain);
        let told = told(&first);
        if first.end == End::Learnt {
            let text = format!("Yes, it can learn: {told} with {how}.");
            return self.say("learning", &text);
        }
        // Where there was hardly time for the first, there is none for another; and Adam need not be compared with itself.
        if rushed(&first) || (adam.optimizer, adam.rate) == (plain.optimizer, plain.rate) {
            return self.say("learning", &format!("{told} with {how}. {}", remark(&first, None)));
        }
        let second = self.learn(report, &adam, number, BY_HEART[1])?;
        self.say(
            "learning",
            &format!("{told} with {how}. {}", remark(&first, Some((&second, &describe_optimizer(&adam))))),
        )
    }

    fn learn(
        &self,
        report: &mut Report,
        settings: &Settings,
        number: usize,
        time: Duration,
    ) -> Result<ByHeart, Failure> {
        let mut trainer = self.trainer(settings.clone())?;
        let flow = || self.interrupt.flow();
        let images = &self.data.train;
        let learnt = rehearsal::by_heart(&mut trainer, images, &self.normalization, number, self.within(time), flow);
        let learnt = learnt.ok_or(Failure::Interrupted)?;
        let finite = |loss: f64| Some(loss).filter(|loss| loss.is_finite());
        report.by_heart.push(ByHeartFound {
            optimizer: describe_optimizer(settings),
            learnt: learnt.end == End::Learnt,
            images: learnt.images,
            classes: learnt.classes,
            steps: learnt.steps,
            first_loss: finite(learnt.first),
            last_loss: finite(learnt.last),
        });
        Ok(learnt)
    }

    fn time(&self, report: &mut Report, trainer: &mut Trainer, pace: Pace) -> Result<(), Failure> {
        // Testing is the forward pass alone, about a third of a step.
        let (images, guess) = (&self.data.test, pace.image() / 3);
        let test = rehearsal::testing_pace(trainer, images, &self.normalization, guess, TESTING);
        let test = test.mul_f64(images.len() as f64);
        if self.interrupt.asked() {
            return Err(Failure::Interrupted);
        }
        let Settings { epochs, batch, .. } = self.settings;
        let batch = batch.min(self.data.train.len());
        let steps = self.data.train.len().div_ceil(batch);
        let step = pace.image().mul_f64(batch as f64);
        let epoch = pace.image().mul_f64(self.data.train.len() as f64) + test;
        let total = epoch.mul_f64(epochs as f64);
        report.time = Some(TimeFound {
            step_seconds: step.as_secs_f64(),
            steps_per_epoch: steps,
            test_seconds: test.as_secs_f64(),
            epochs,
            total_seconds: total.as_secs_f64(),
        });
        let measured = if pace.batch == batch {
            format!("the median of {}", pace.steps)
        } else {
            format!("reckoned from {} of {} images", pace.steps, pace.batch)
        };
        let text = format!(
            "About {} for {} on {}: {} of {} ({measured}) and {} of testing in each.",
            duration(total),
            several(epochs, "epoch"),
            several(self.threads, "thread"),
            several(steps, "step"),
            short(step),
            duration(test)
        );
        self.say("time", &text)
    }
}
