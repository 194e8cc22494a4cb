//! `lenslet train`: from a data set and the name of a network to a folder with checkpoints.
//!
//! *Invariant:* a checkpoint on disk is always whole and its weights are numbers: it is written after an epoch, at Ctrl-C
//! and when training fails, from weights that the trainer vouches for.

use std::path::Path;
use std::time::Instant;

use lenslet::checkpoint::{Description, save};
use lenslet::data::{Dataset, Filter, Survey};
use lenslet::metrics::{Evaluation, Mistakes};
use lenslet::networks::{by_name, find};
use lenslet::training::Epoch;
use lenslet::warnings::Watch;
use lenslet::{Normalization, Settings, Shape, Trainer};

use crate::data::Wanted;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::output::{self, count, duration, percent};
use crate::pictures::{MISTAKES, Tested, list};
use crate::progress::Display;
use crate::run_folder::{Config, RunFolder, check_free};
use crate::{data, report};

mod dry_run;
mod lines;
mod options;
mod pictures;
mod warnings;

pub(crate) use options::{Train, describe};

use lines::{Done, EpochLine, Metrics, describe_watched};
use pictures::Pictures;

pub(crate) fn run(options: &Train) -> Result<(), Failure> {
    let settings = options.settings()?;
    let threads = options.threads()?;
    if let Some(out) = &options.out {
        check_free(out)?;
    }
    // A name that does not exist is said before the data is read.
    let standard = find(&options.model)?.input;
    let [_, height, width] = options.input.unwrap_or(standard);
    let channels = options.input.map(|[channels, ..]| channels);
    let wanted = Wanted { channels, size: Some((height, width)), filter: Filter::default() };
    let data = data::load(&options.data, &options.reading, &wanted)?;
    if options.dry_run {
        return dry_run::run(options, settings, threads, data);
    }
    let suspicious = Survey::new(&data).warnings;
    let mut run = Run::new(options, settings, threads, data)?;
    run.warn_before(&suspicious)?;
    run.train()
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
    /// The best test accuracy so far, and its epoch.
    best: Option<(f64, usize)>,
    /// The latest epoch's evaluation.
    latest: Option<(Evaluation, Mistakes)>,
    pictures: Pictures,
    epochs_done: usize,
    begun: Instant,
}

impl<'a> Run<'a> {
    /// Makes network and folder; nothing is written before the network is known to fit.
    fn new(options: &'a Train, settings: Settings, threads: usize, data: Dataset) -> Result<Self, Failure> {
        let input = [data.channels, data.height, data.width];
        let network = by_name(&options.model, input, data.classes.len())?;
        let shape = Shape::batched(&input).ok_or_else(|| Failure::Mend("the images have no values".into()))?;
        let trainer = Trainer::new(&*network, shape, data.classes.len(), settings.clone(), threads)?;
        let normalization = Normalization::half(data.channels);
        let folder = RunFolder::create(options.out.as_deref(), &options.model, &data.name)?;
        let title = format!("{} on {}", options.model, data.name);
        let mut run = Self {
            options,
            pictures: Pictures::new(folder.path(), title, data.classes.len()),
            settings,
            normalization,
            folder,
            interrupt: Interrupt::listen(),
            watch: Watch::new(&trainer, &data.train),
            best: None,
            latest: None,
            epochs_done: 0,
            begun: Instant::now(),
            trainer,
            data,
        };
        run.write_config(threads)?;
        run.pictures.begin(1, options.tensorboard);
        run.introduce(threads);
        Ok(run)
    }

    fn write_config(&self, threads: usize) -> Result<(), Failure> {
        self.folder.write_config(&Config {
            version: env!("CARGO_PKG_VERSION"),
            network: &self.options.model,
            data: &self.options.data,
            input: [self.data.channels, self.data.height, self.data.width],
            classes: &self.data.classes,
            normalization: &self.normalization,
            parameters: self.trainer.weights().trainable(),
            settings: &self.settings,
            threads,
            instruction_set: lenslet::cpu::Isa::detect().name(),
        })
    }

    fn introduce(&self, threads: usize) {
        let parameters = count(self.trainer.weights().trainable());
        output::note(format_args!("network   {}, {parameters} parameters", self.options.model));
        output::note(format_args!("training  {}", describe(&self.settings)));
        let plural = if threads == 1 { "" } else { "s" };
        let isa = lenslet::cpu::Isa::detect().name();
        output::note(format_args!("machine   {threads} thread{plural}, {isa}"));
        output::note(format_args!("run       {}", self.folder.path().display()));
    }

    fn train(&mut self) -> Result<(), Failure> {
        match self.epochs()? {
            End::Done => self.finish(),
            End::Interrupted { epoch } => self.interrupted(epoch),
            End::Failed(message) => Err(self.failed(message)),
        }
    }

    /// All epochs, or as many as it comes to.
    fn epochs(&mut self) -> Result<End, Failure> {
        let mut display = Display::new(self.settings.epochs);
        for epoch in 1..=self.settings.epochs {
            let interrupt = self.interrupt.clone();
            let trained = self.trainer.epoch(epoch, &self.data.train, &self.normalization, |progress| {
                display.step(progress);
                interrupt.flow()
            });
            let trained = match trained {
                Ok(trained) if trained.interrupted => return Ok(End::Interrupted { epoch }),
                Ok(trained) => trained,
                Err(error) => return Ok(End::Failed(error.to_string())),
            };
            let images = self.data.test.len();
            let mut mistakes = Mistakes::new(MISTAKES);
            let test = self.trainer.evaluate_while(&self.data.test, &self.normalization, |image, logits| {
                mistakes.add(image, logits, self.data.test.labels[image]);
                display.testing(image + 1, images);
                interrupt.flow()
            });
            let Some(test) = test else { return Ok(End::Interrupted { epoch }) };
            // The last step of the epoch may have spoilt the weights, which no later step has seen yet.
            if !test.loss.is_finite() {
                return Ok(End::Failed(self.spoilt(&trained, &test)));
            }
            self.finish_epoch(&display, &trained, test, mistakes)?;
            if interrupt.asked() && epoch < self.settings.epochs {
                return Ok(End::Interrupted { epoch });
            }
        }
        Ok(End::Done)
    }

    /// Metrics and checkpoints of an epoch.
    fn finish_epoch(
        &mut self,
        display: &Display,
        trained: &Epoch,
        test: Evaluation,
        mistakes: Mistakes,
    ) -> Result<(), Failure> {
        self.epochs_done = trained.epoch;
        let accuracy = test.accuracy();
        self.save(&self.folder.last(), Some(accuracy))?;
        if self.best.is_none_or(|(best, _)| accuracy > best) {
            self.best = Some((accuracy, trained.epoch));
            self.save(&self.folder.best(), Some(accuracy))?;
        }
        let line = EpochLine::new(trained, &test, self.begun.elapsed());
        display.line(&line.text(self.settings.epochs));
        for watched in &trained.watched {
            display.line(&describe_watched(watched));
        }
        self.folder.append(&Metrics { line: &line, learning_rate: trained.rate, watched: &trained.watched })?;
        self.pictures.epoch(self.trainer.weights());
        let test_loss = test.loss;
        self.latest = Some((test, mistakes));
        if self.options.json {
            output::json(&line)?;
        }
        self.warn_after(display, trained, test_loss)
    }

    fn save(&self, path: &Path, test_accuracy: Option<f64>) -> Result<(), Failure> {
        let description = Description {
            version: env!("CARGO_PKG_VERSION").into(),
            network: self.options.model.clone(),
            input: [self.data.channels, self.data.height, self.data.width],
            classes: self.data.classes.clone(),
            normalization: self.normalization.clone(),
            data: self.options.data.clone(),
            epoch: self.epochs_done,
            test_accuracy,
            filter: Filter::default(),
        };
        Ok(save(path, &description, self.trainer.weights())?)
    }

    /// The end of a run that nothing stopped.
    fn finish(&mut self) -> Result<(), Failure> {
        let seconds = self.begun.elapsed();
        let drawn = self.draw();
        let (Some((test, _)), Some((best, best_epoch))) = (&self.latest, self.best) else { return Ok(()) };
        let run = self.folder.path().display().to_string();
        if self.options.json {
            return output::json(&Done {
                event: "done",
                test_accuracy: test.accuracy(),
                best_test_accuracy: best,
                seconds: seconds.as_secs_f64(),
                run: &run,
            });
        }
        output::result(format_args!("test images after epoch {}, by class\n", self.epochs_done))?;
        output::result(format_args!("{}\n", report::class_table(test, &self.data.classes)))?;
        output::result(format_args!(
            "test accuracy {} after {} epochs in {}; the best was {} after epoch {best_epoch}",
            percent(test.accuracy()),
            self.epochs_done,
            duration(seconds),
            percent(best)
        ))?;
        output::result(format_args!(
            "the run is in {run}: best.safetensors, last.safetensors, metrics.jsonl, config.json"
        ))?;
        if !drawn.is_empty() {
            output::result(format_args!("beside them: {}", list(&drawn)))?;
        }
        output::result(format_args!("next: lenslet predict {run} IMAGE.png"))
    }

    /// All pictures of the run as it is now, after its latest epoch; gives their names.
    fn draw(&mut self) -> Vec<&'static str> {
        let Some((evaluation, mistakes)) = &self.latest else { return vec![] };
        let what = format!("{} on {}, after epoch {}", self.options.model, self.data.name, self.epochs_done);
        self.pictures.end(self.trainer.weights(), &Tested { what, data: &self.data, evaluation, mistakes })
    }

    /// Ctrl-C: the weights of this moment are kept.
    fn interrupted(&mut self, epoch: usize) -> Result<(), Failure> {
        let last = self.folder.last();
        if self.trainer.weights().first_not_finite().is_none() {
            self.save(&last, None)?;
            output::note(format_args!(
                "stopped in epoch {epoch}; the weights of this moment are kept in {}",
                last.display()
            ));
        }
        if let Some((best, best_epoch)) = self.best {
            let place = self.folder.best();
            let best = percent(best);
            output::note(format_args!("the best so far, {best} after epoch {best_epoch}, is in {}", place.display()));
        }
        self.draw();
        Err(Failure::Interrupted)
    }

    /// What is said where the last step of an epoch made weights that answer with no numbers.
    fn spoilt(&self, trained: &Epoch, test: &Evaluation) -> String {
        let culprit = match self.trainer.weights().first_not_finite() {
            Some(parameter) => format!("the parameter {} is not finite", parameter.name),
            None => "the weights are finite, but too large".to_owned(),
        };
        format!(
            "training stopped: after epoch {}, the test loss became {}: {culprit}\n  mend it: a smaller learning rate \
             (now {:?}), or gradient clipping (--clip 1)",
            trained.epoch, test.loss, trained.rate
        )
    }

    /// A loss that is no number: what was good before is kept.
    fn failed(&self, mut message: String) -> Failure {
        let last = self.folder.last();
        if self.best.is_some() {
            let epoch = self.epochs_done;
            message += &format!("\n  kept: {}, the weights after epoch {epoch}", last.display());
        } else if self.trainer.weights().first_not_finite().is_none() && self.save(&last, None).is_ok() {
            message += &format!("\n  kept: {}, the weights of the last good step", last.display());
        }
        Failure::Mend(message)
    }
}

/// How the epochs ended.
enum End {
    /// All of them are done.
    Done,
    /// The user stopped them.
    Interrupted { epoch: usize },
    /// A value was no number any more; the message says which.
    Failed(String),
}
