//! How a run ends: well, by Ctrl-C, by a loss that is no number, or by a file that cannot be written. What is kept is said,
//! and how to go on.

use lenslet::Error;
use lenslet::checkpoint::{Checkpoint, Description};
use lenslet::metrics::Evaluation;
use lenslet::training::Epoch;

use super::Run;
use super::lines::Done;
use crate::failure::Failure;
use crate::output::{self, duration, epochs, percent};
use crate::pictures::{Tested, list};
use crate::report;

/// How the epochs ended.
pub(super) enum End {
    /// All of them are done.
    Done,
    /// The user stopped them.
    Interrupted { epoch: usize },
    /// A value was no number any more; the message says which.
    Failed(String),
    /// A file of the run could not be written.
    Unwritten(Error),
}

/// What is said where the last step of an epoch made weights that answer with no numbers.
pub(super) fn spoilt(trained: &Epoch, test: &Evaluation) -> String {
    format!(
        "training stopped: after epoch {}, the test loss became {}: the weights are numbers, but too large\n  \
         mend it: a smaller learning rate (now {:?}), or gradient clipping (--clip 1)",
        trained.epoch, test.loss, trained.rate
    )
}

impl Run<'_> {
    /// The end of a run that nothing stopped.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let seconds = self.elapsed();
        let drawn = self.draw();
        let (Some((test, _)), Some((best, best_epoch))) = (&self.latest, self.record.best) else { return Ok(()) };
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
        output::result(format_args!("test images after epoch {}, by class\n", self.record.epochs_done))?;
        output::result(format_args!("{}\n", report::class_table(test, &self.data.classes)))?;
        output::result(format_args!(
            "test accuracy {} after {} in {}; the best was {} after epoch {best_epoch}",
            percent(test.accuracy()),
            epochs(self.record.epochs_done),
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
        let what = format!("{} on {}, after epoch {}", self.options.model, self.data.name, self.record.epochs_done);
        self.pictures.end(self.trainer.weights(), &Tested { what, data: &self.data, evaluation, mistakes })
    }

    /// Ctrl-C: the weights of this moment are kept, and all that is needed to go on from it.
    pub(super) fn interrupted(&mut self, epoch: usize) -> Result<(), Failure> {
        let (run, last) = (self.folder.path().display().to_string(), self.folder.last());
        if self.amid_epoch() {
            let saved = self.save_state(self.record.clone());
            if let Err(error) = saved.and_then(|()| self.save(&last, self.record.epochs_done, None)) {
                return Err(self.unwritten(&error));
            }
        }
        output::note(format_args!(
            "stopped in epoch {epoch}; the weights of this moment are kept in {}",
            last.display()
        ));
        if let Some((best, best_epoch)) = self.record.best {
            let (best, place) = (percent(best), self.folder.best());
            output::note(format_args!("the best so far, {best} after epoch {best_epoch}, is in {}", place.display()));
        }
        self.draw();
        output::note(format_args!("go on from here: lenslet train --resume {run}"));
        Err(Failure::Interrupted)
    }

    /// A loss that is no number: what was good before is kept.
    pub(super) fn failed(&self, mut message: String) -> Failure {
        let (last, epoch) = (self.folder.last(), self.record.epochs_done);
        if let Ok(checkpoint) = Checkpoint::open(&last) {
            let Description { epoch, test_accuracy, .. } = checkpoint.description();
            let when = if test_accuracy.is_some() { "after" } else { "at Ctrl-C after" };
            message += &format!("\n  kept: {}, the weights {when} epoch {epoch}", last.display());
        } else if self.trainer.weights().first_not_finite().is_none() && self.save(&last, epoch, None).is_ok() {
            message += &format!("\n  kept: {}, the weights of the last good step", last.display());
        }
        Failure::Mend(message)
    }

    /// A file that cannot be written: hours of training that could not be kept would be worth nothing, so it ends here.
    pub(super) fn unwritten(&mut self, error: &Error) -> Failure {
        // Where there was no room for a checkpoint or one more line, there may be some for the state.
        let lost = if self.save_state(self.record.clone()).is_ok() { "" } else { "; later steps are lost" };
        let (run, kept) = (self.folder.path().display(), &self.kept);
        let best = match self.record.best {
            Some((_, epoch)) => format!(", and {}, the weights after epoch {epoch}", self.folder.best().display()),
            None => String::new(),
        };
        Failure::Mend(format!(
            "training stopped: {error}\n  kept: the training state of {kept}{best}{lost}\n  \
             mend it: free some space there, or see that the folder can be written to; then go on: lenslet train --resume {run}"
        ))
    }
}
