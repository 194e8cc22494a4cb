//! What a run is warned of, by its data, its network and its epochs.
//!
//! A warning is said on standard error and kept in the run's `warnings.txt`; with `--json` it is an object on standard
//! output, too. What is worth a warning, and its words, is the library's affair.

use std::fmt::Display as Words;

use lenslet::data::DataWarning;
use lenslet::training::Epoch;
use lenslet::warnings::of_network;
use serde::Serialize;

use super::Run;
use crate::failure::Failure;
use crate::output;
use crate::progress::Display;

/// A warning for programs.
#[derive(Serialize)]
struct Line<'a, W> {
    event: &'static str,
    /// The epoch that showed it; none before training.
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<usize>,
    message: String,
    #[serde(flatten)]
    warning: &'a W,
}

impl Run<'_> {
    /// What is known before the first step: the faults of the data, and what the recorded network says.
    pub(super) fn warn_before(&self, data: &[DataWarning]) -> Result<(), Failure> {
        let network = of_network(self.trainer.graph(), self.data.train.len(), self.settings.batch);
        data.iter().try_for_each(|warning| self.warn(warning, None, |text| output::note(text)))?;
        network.iter().try_for_each(|warning| self.warn(warning, None, |text| output::note(text)))
    }

    /// What an epoch has shown.
    pub(super) fn warn_after(&mut self, display: &Display, epoch: &Epoch, test_loss: f64) -> Result<(), Failure> {
        let Self { watch, trainer, data, normalization, .. } = self;
        let found = watch.after_epoch(trainer, &data.train, normalization, epoch, test_loss);
        found.iter().try_for_each(|warning| self.warn(warning, Some(epoch.epoch), |text| display.line(text)))
    }

    fn warn<W: Words + Serialize>(
        &self,
        warning: &W,
        epoch: Option<usize>,
        say: impl FnOnce(&str),
    ) -> Result<(), Failure> {
        let message = warning.to_string();
        say(&format!("warning: {message}"));
        let when = epoch.map_or_else(|| "before training".to_owned(), |epoch| format!("after epoch {epoch}"));
        self.folder.warn(&format!("{when}: {message}"))?;
        if self.options.json { output::json(&Line { event: "warning", epoch, message, warning }) } else { Ok(()) }
    }
}
