//! What a run says of an epoch and of its end: a line for people, JSON for programs, a line of `metrics.jsonl`.

use std::time::Duration;

use lenslet::metrics::Evaluation;
use lenslet::training::{Epoch, Watched};
use serde::Serialize;

use crate::output::{count, duration, percent};

/// An epoch, as `--json` prints it.
#[derive(Serialize)]
pub(super) struct EpochLine {
    event: &'static str,
    epoch: usize,
    train_loss: f64,
    train_accuracy: f64,
    test_loss: f64,
    test_accuracy: f64,
    images_per_second: f64,
    /// Since training began.
    seconds: f64,
}

/// The same for `metrics.jsonl`, which says more.
#[derive(Serialize)]
pub(super) struct Metrics<'a> {
    #[serde(flatten)]
    pub(super) line: &'a EpochLine,
    pub(super) learning_rate: f32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) watched: &'a [Watched],
}

impl EpochLine {
    pub(super) fn new(done: &Epoch, test: &Evaluation, since: Duration) -> Self {
        Self {
            event: "epoch",
            epoch: done.epoch,
            train_loss: done.loss,
            train_accuracy: done.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy(),
            images_per_second: done.images_per_second,
            seconds: since.as_secs_f64(),
        }
    }

    /// `epoch  3/20  loss 1.2034  56.1 % right  test loss 1.1872  58.0 % right  31,204 images/s  4.2 s`.
    pub(super) fn text(&self, epochs: usize) -> String {
        let width = epochs.to_string().len();
        format!(
            "epoch {:width$}/{epochs}  loss {:.4}  {:>6} right   test loss {:.4}  {:>6} right   {:>6} images/s  {}",
            self.epoch,
            self.train_loss,
            percent(self.train_accuracy),
            self.test_loss,
            percent(self.test_accuracy),
            count(self.images_per_second as u64),
            duration(Duration::from_secs_f64(self.seconds)),
        )
    }
}

pub(super) fn describe_watched(watched: &Watched) -> String {
    let Watched { name, shape, mean, std, zeros } = watched;
    format!("    {name}: {shape}, mean {mean:.4}, spread {std:.4}, {} zeros", percent(f64::from(*zeros)))
}

/// The end of a run, for `--json`.
#[derive(Serialize)]
pub(super) struct Done<'a> {
    pub(super) event: &'static str,
    pub(super) test_accuracy: f64,
    pub(super) best_test_accuracy: f64,
    pub(super) seconds: f64,
    pub(super) run: &'a str,
}
