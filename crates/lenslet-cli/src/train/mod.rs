//! `lenslet train`: from a data set and the name of a network to a folder with checkpoints.
//!
//! *Invariants:* a checkpoint on disk is always whole and its weights are numbers: it is written after an epoch, at Ctrl-C
//! and when training fails, from weights that the trainer vouches for. In which order files are written, so that a run
//! may be killed at any moment, says `run_folder`; how it goes on then, `resume`.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use lenslet::checkpoint::{Description, save};
use lenslet::data::{Dataset, Survey};
use lenslet::metrics::{Evaluation, Mistakes};
use lenslet::state::{Record, fingerprint};
use lenslet::training::Epoch;
use lenslet::warnings::Watch;
use lenslet::{Error, Normalization, Settings, Trainer};

use crate::data;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::machine;
use crate::output::{self, count};
use crate::pictures::MISTAKES;
use crate::progress::Display;
use crate::recipe::Flags;
use crate::run_folder::{Config, RunFolder, check_free};

mod dry_run;
mod ending;
mod flags;
mod lines;
mod memory;
mod options;
mod pictures;
mod resume;
mod saving;
mod warnings;

pub(crate) use options::{Train, describe};

use ending::{End, spoilt};
pub(crate) use flags::from_flags;
use lines::{EpochLine, Metrics, describe_watched};
use pictures::Pictures;
use resume::Resumed;
use saving::Saving;

/// `flags` are the options as they were typed.
pub(crate) fn run(options: &Train, flags: &ArgMatches) -> Result<(), Failure> {
    let typed = flags::typed(flags);
    if let Some(recipe) = &options.recipe {
        let (flags, options) = flags::of_recipe(recipe, &options.set, &typed)?;
        return train(&options, options.settings()?, Start::New(flags::recorded(&flags)));
    }
    let Some(run) = &options.resume else {
        return train(options, options.settings()?, Start::New(flags::recorded(&typed)));
    };
    let (options, settings, resumed) = Resumed::open(run, &typed)?;
    train(&options, settings, Start::Resumed(Box::new(resumed)))
}

fn train(options: &Train, settings: Settings, start: Start) -> Result<(), Failure> {
    let threads = options.threads()?;
    if let Some(out) = &options.out {
        check_free(out)?;
    }
    let interrupt = Interrupt::listen();
    // A name that does not exist is said before the data is read.
    let wanted = options.wanted()?;
    if options.dry_run {
        let data = data::load(&options.data, &options.reading, &wanted)?;
        return dry_run::run(options, settings, threads, data, interrupt);
    }
    let data = data::introduce(&options.data, &options.reading, &wanted).map_err(|failure| start.elsewhere(failure))?;
    let suspicious = Survey::new(&data).warnings;
    let mut run = Run::new(options, settings, threads, data, start, interrupt)?;
    run.warn_before(&suspicious)?;
    run.train()
}

/// How a run begins.
enum Start {
    /// In a folder of its own, with these flags.
    New(Flags),
    /// Where it was stopped.
    Resumed(Box<Resumed>),
}

impl Start {
    /// Data that cannot be read: where a run goes on, they may have moved.
    fn elsewhere(&self, failure: Failure) -> Failure {
        match (self, failure) {
            (Start::Resumed(_), Failure::Mend(message)) => Failure::Mend(format!(
                "{message}\n  if the data are elsewhere now: give --data their new place beside --resume"
            )),
            (_, failure) => failure,
        }
    }
}

/// A run under way.
struct Run<'a> {
    options: &'a Train,
    settings: Settings,
    data: Dataset,
    normalization: Normalization,
    trainer: Trainer,
    folder: RunFolder,
    interrupt: Interrupt,
    watch: Watch,
    pictures: Pictures,
    saving: Saving,
    /// What the run has come to, as the latest state has it.
    record: Record,
    /// Where that state stands, in words.
    kept: String,
    /// The latest epoch's evaluation.
    latest: Option<(Evaluation, Mistakes)>,
    begun: Instant,
    /// Time that was trained before that.
    before: Duration,
}

impl<'a> Run<'a> {
    /// Makes network and folder; nothing is written before the network is known to fit.
    fn new(
        options: &'a Train,
        settings: Settings,
        threads: usize,
        data: Dataset,
        start: Start,
        interrupt: Interrupt,
    ) -> Result<Self, Failure> {
        let (network, shape) = options.network(&data)?;
        let trainer = Trainer::new(&*network, shape, data.classes.len(), settings.clone(), threads);
        let mut trainer = trainer.map_err(|error| other_network(options, error))?;
        let free = machine::free_memory().unwrap_or(u64::MAX);
        let total = memory::needed(&trainer, &data, settings.batch).total();
        if let Some(lacking) = memory::lacking(&trainer, &data, settings.batch, total, free) {
            return Err(Failure::Mend(lacking));
        }
        let data_hash = fingerprint(&data);
        let normalization = settings.normalization(&data.train, data.channels);
        let (folder, flags, record) = match start {
            Start::New(flags) => {
                trainer.initialize(&data.train, &normalization)?;
                (RunFolder::create(options.out.as_deref(), &options.model, &data.name)?, flags, Record::default())
            }
            Start::Resumed(resumed) => resumed.restore(&mut trainer, &options.data, &data_hash)?,
        };
        let title = format!("{} on {}", options.model, data.name);
        let mut run = Self {
            options,
            pictures: Pictures::new(folder.path(), title, data.classes.len()),
            settings,
            normalization,
            folder,
            interrupt,
            watch: Watch::new(&trainer, &data.train),
            saving: Saving::new(options.checkpoint_every),
            kept: String::new(),
            latest: None,
            begun: Instant::now(),
            before: record.elapsed,
            record,
            trainer,
            data,
        };
        run.interrupt.orderly();
        let config = run.config(threads, data_hash, flags);
        if let Err(failure) = run.open_folder(&config) {
            // A new folder without a state would only be in the way.
            if run.record.number == 0 {
                run.folder.discard();
            }
            return Err(failure);
        }
        run.pictures.begin(run.record.epochs_done + 1, options.tensorboard);
        run.introduce(threads);
        Ok(run)
    }

    fn config(&self, threads: usize, data_hash: String, flags: Flags) -> Config {
        Config {
            version: env!("CARGO_PKG_VERSION").into(),
            network: self.options.model.clone(),
            data: self.options.data.clone(),
            data_hash,
            input: [self.data.channels, self.data.height, self.data.width],
            classes: self.data.classes.clone(),
            normalization: self.normalization.clone(),
            filter: self.options.resize,
            parameters: self.trainer.weights().trainable(),
            settings: self.settings.clone(),
            threads,
            instruction_set: lenslet::cpu::Isa::detect().name().into(),
            flags,
        }
    }

    /// What stands in a run's folder before its first step; a full disk shows here, and not after hours.
    fn open_folder(&mut self, config: &Config) -> Result<(), Failure> {
        self.folder.write_config(config)?;
        if self.record.number == 0 {
            self.save_state(Record::default())?;
        }
        self.kept = self.place();
        Ok(())
    }

    fn introduce(&self, threads: usize) {
        let parameters = count(self.trainer.weights().trainable());
        output::note(format_args!("network   {}, {parameters} parameters", self.options.model));
        output::note(format_args!("training  {}", describe(&self.settings)));
        let plural = if threads == 1 { "" } else { "s" };
        let isa = lenslet::cpu::Isa::detect().name();
        output::note(format_args!("machine   {threads} thread{plural}, {isa}"));
        let goes_on = if self.options.resume.is_some() { format!(", from {}", self.kept) } else { String::new() };
        output::note(format_args!("run       {}{goes_on}", self.folder.path().display()));
    }

    fn train(&mut self) -> Result<(), Failure> {
        match self.epochs()? {
            End::Done => self.finish(),
            End::Interrupted { epoch } => self.interrupted(epoch),
            End::Failed(message) => Err(self.failed(message)),
            End::Unwritten(error) => Err(self.unwritten(&error)),
        }
    }

    /// All epochs, or as many as it comes to.
    fn epochs(&mut self) -> Result<End, Failure> {
        let first = self.record.epochs_done.saturating_add(1);
        let mut display = Display::new(self.settings.epochs, self.record.epochs_done);
        let last = if self.out_of_patience() { self.record.epochs_done } else { self.settings.epochs };
        for epoch in first..=last {
            let trained = match self.train_epoch(epoch, &mut display) {
                Ok(trained) if trained.interrupted => return Ok(End::Interrupted { epoch }),
                Ok(trained) => trained,
                Err(end) => return Ok(end),
            };
            let Some((test, mistakes)) = self.test(&mut display) else { return Ok(End::Interrupted { epoch }) };
            // The last step of the epoch may have spoilt the weights, which no later step has seen yet.
            if !test.loss.is_finite() {
                return Ok(End::Failed(spoilt(&trained, &test)));
            }
            let line = EpochLine::new(&trained, &test, self.elapsed());
            if let Err(error) = self.keep_epoch(&trained, &test, &line) {
                return Ok(End::Unwritten(error));
            }
            display.line(&line.text(self.settings.epochs));
            for watched in &trained.watched {
                display.line(&describe_watched(watched));
            }
            if self.options.json {
                output::json(&line)?;
            }
            self.pictures.epoch(self.trainer.weights());
            self.warn_after(&display, &trained, test.loss)?;
            self.latest = Some((test, mistakes));
            if self.out_of_patience() && epoch < self.settings.epochs {
                display.line("note: no better epoch within the patience; training ends here");
                break;
            }
            if self.interrupt.asked() && epoch < self.settings.epochs {
                return Ok(End::Interrupted { epoch });
            }
        }
        if self.latest.is_none() {
            output::note(format_args!(
                "note: the run is finished, all its {} epochs are done",
                self.record.epochs_done
            ));
            if let Err(error) = self.restore_checkpoints() {
                return Ok(End::Unwritten(error));
            }
            self.latest = Some(self.test(&mut display).ok_or(Failure::Interrupted)?);
        }
        Ok(End::Done)
    }

    /// Whether the best epoch lies as far behind as the user would wait for a better one.
    fn out_of_patience(&self) -> bool {
        let Some((_, best)) = self.record.best else { return false };
        self.settings.patience.is_some_and(|patience| self.record.epochs_done >= best + patience)
    }

    /// An epoch, or what is left of it, and the states that are due on the way.
    fn train_epoch(&mut self, epoch: usize, display: &mut Display) -> Result<Epoch, End> {
        loop {
            let (interrupt, saving) = (&self.interrupt, &mut self.saving);
            let trained = self.trainer.epoch(epoch, &self.data.train, &self.normalization, |progress| {
                display.step(progress);
                if saving.step() { ControlFlow::Break(()) } else { interrupt.flow() }
            });
            let trained = trained.map_err(|error| End::Failed(error.to_string()))?;
            if !trained.interrupted || self.interrupt.asked() {
                return Ok(trained);
            }
            self.save_state(self.record.clone()).map_err(End::Unwritten)?;
        }
    }

    /// How good the weights are, and the surest mistakes; none if the user does not want to wait for it.
    fn test(&mut self, display: &mut Display) -> Option<(Evaluation, Mistakes)> {
        let (test, interrupt) = (&self.data.test, &self.interrupt);
        let (mut mistakes, mut done) = (Mistakes::new(MISTAKES), 0);
        let evaluation = self.trainer.evaluate_while(test, &self.normalization, |image, logits| {
            mistakes.add(image, logits, test.labels[image]);
            done += 1;
            display.testing(done, test.len());
            interrupt.flow()
        });
        Some((evaluation?, mistakes))
    }

    /// Checkpoints, metrics and state of an epoch, in the order that `run_folder` explains.
    fn keep_epoch(&mut self, trained: &Epoch, test: &Evaluation, line: &EpochLine) -> Result<(), Error> {
        let (epoch, accuracy) = (trained.epoch, test.accuracy());
        let mut record = Record { epochs_done: epoch, ..self.record.clone() };
        self.save(&self.folder.last(), epoch, Some(accuracy))?;
        if record.best.is_none_or(|(best, _)| accuracy > best) {
            record.best = Some((accuracy, epoch));
            self.save(&self.folder.best(), epoch, Some(accuracy))?;
        }
        if self.options.keep > 0 {
            self.save(&self.folder.of_epoch(epoch), epoch, Some(accuracy))?;
        }
        self.folder.append(&Metrics { line, learning_rate: trained.rate, watched: &trained.watched })?;
        self.folder.forget_epochs(epoch.saturating_sub(self.options.keep));
        self.save_state(record)
    }

    /// Writes anew what of a finished run is gone, as far as its last weights are what was there.
    fn restore_checkpoints(&self) -> Result<(), Error> {
        let Some((best, best_epoch)) = self.record.best else { return Ok(()) };
        let epoch = self.record.epochs_done;
        let accuracy = if best_epoch == epoch { Some(best) } else { None };
        if !self.folder.last().exists() {
            self.save(&self.folder.last(), epoch, accuracy)?;
        }
        if !self.folder.best().exists() {
            match accuracy {
                Some(_) => self.save(&self.folder.best(), epoch, accuracy)?,
                None => output::note(format_args!(
                    "note: {} is gone, with the weights after epoch {best_epoch}; those after epoch {epoch} are in {}",
                    self.folder.best().display(),
                    self.folder.last().display()
                )),
            }
        }
        Ok(())
    }

    fn save(&self, path: &Path, epoch: usize, test_accuracy: Option<f64>) -> Result<(), Error> {
        let description = Description {
            version: env!("CARGO_PKG_VERSION").into(),
            network: self.options.model.clone(),
            input: [self.data.channels, self.data.height, self.data.width],
            classes: self.data.classes.clone(),
            normalization: self.normalization.clone(),
            data: self.options.data.clone(),
            epoch,
            test_accuracy,
            filter: self.options.resize,
            test_time: self.settings.test_time,
        };
        save(path, &description, self.trainer.weights())
    }

    /// Writes the training state, which stands for what the run has come to.
    fn save_state(&mut self, record: Record) -> Result<(), Error> {
        let record = Record { number: self.record.number.wrapping_add(1), elapsed: self.elapsed(), ..record };
        self.trainer.save_state(&self.folder.state(record.number), &record)?;
        self.record = record;
        self.kept = self.place();
        self.saving.saved();
        Ok(())
    }

    /// Time since training began, pauses not counted.
    fn elapsed(&self) -> Duration {
        self.before.saturating_add(self.begun.elapsed())
    }

    /// Whether steps were done since the last epoch that was finished.
    fn amid_epoch(&self) -> bool {
        let so_far = self.trainer.so_far();
        so_far.epoch > self.record.epochs_done && so_far.steps > 0
    }

    /// Where training stands, in words.
    fn place(&self) -> String {
        let so_far = self.trainer.so_far();
        match self.record.epochs_done {
            _ if self.amid_epoch() => format!("step {} of epoch {}", so_far.steps, so_far.epoch),
            0 => "the beginning".into(),
            done => format!("the end of epoch {done}"),
        }
    }
}

/// What is said where the network does not fit. Who chose the size of the images at the command line cannot change the
/// network's lines, but take another network.
fn other_network(options: &Train, error: Error) -> Failure {
    match error {
        Error::Network(_) if options.input.is_some() => Failure::Mend(format!(
            "{} is made for images of another size than --input says\n{error}\n  or: --model resnet20, which takes images \
             of any size; or no --input",
            options.model
        )),
        error => error.into(),
    }
}
