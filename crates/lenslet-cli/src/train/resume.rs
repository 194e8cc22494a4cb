//! `lenslet train --resume RUN`: a run that was stopped goes on, and ends with the same bits as one that was not.

use std::path::Path;

use lenslet::state::{Record, Standing};
use lenslet::{Settings, State, Trainer};

use super::flags::{as_typed, go_on};
use super::options::Train;
use crate::failure::Failure;
use crate::output;
use crate::recipe::Flags;
use crate::run_folder::{Config, RunFolder};

/// A run that goes on.
pub(super) struct Resumed {
    folder: RunFolder,
    /// The flags of the run, to be recorded again.
    flags: Flags,
    config: Config,
    state: State,
}

impl Resumed {
    /// Opens the run in `path`, on which no other process may be at work. Its options and settings are those that it was
    /// begun with, with what of `typed` may differ.
    pub(super) fn open(path: &Path, typed: &Flags) -> Result<(Train, Settings, Self), Failure> {
        let (folder, config) = RunFolder::open(path)?;
        let (flags, options, settings) = go_on(&config.flags, &config.settings, typed)?;
        let (state, damaged) = folder.newest_state();
        let Some(state) = state else { return Err(nothing_to_go_on_from(&folder, &config, &damaged)) };
        for error in damaged {
            output::note(format_args!("note: {error}; the one before it is used, {}", state.path().display()));
        }
        note_other_bits(&config, state.standing());
        Ok((options, settings, Self { folder, flags, config, state }))
    }

    /// Puts the trainer where the run stood. The images of `data` must be those that the run was begun with.
    pub(super) fn restore(
        mut self,
        trainer: &mut Trainer,
        data: &str,
        hash: &str,
    ) -> Result<(RunFolder, Flags, Record), Failure> {
        let was = &self.config.data_hash;
        if was != hash {
            return Err(Failure::Mend(format!(
                "{data}: these are not the images that the run was begun with: their hash is {hash}, and was {was}\n  \
                 mend it: give --data the data set as it was, or start a new run without --resume"
            )));
        }
        trainer.restore(&self.state)?;
        let record = self.state.standing().record.clone();
        // There is a line of metrics for each epoch.
        self.folder.cut_metrics(record.epochs_done)?;
        Ok((self.folder, self.flags, record))
    }
}

/// What is said of a run without a state.
fn nothing_to_go_on_from(folder: &RunFolder, config: &Config, damaged: &[lenslet::Error]) -> Failure {
    let run = folder.path().display();
    let why = match damaged {
        [] => "there is no training state; the run was stopped before it could write one".to_owned(),
        damaged => damaged.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "),
    };
    let weights = [folder.best(), folder.last()].into_iter().find(|checkpoint| checkpoint.is_file());
    let weights = weights.map_or_else(String::new, |best| format!("\n  kept: weights, in {}", best.display()));
    Failure::Mend(format!(
        "{run}: the run cannot go on: {why}{weights}\n  mend it: start it again, with the same result: lenslet train{}",
        as_typed(&config.flags)
    ))
}

/// What else than the settings decides the last bits.
fn note_other_bits(config: &Config, standing: &Standing) {
    let isa = lenslet::cpu::Isa::detect().name();
    let pairs = [
        ("version", standing.version.as_str(), env!("CARGO_PKG_VERSION")),
        ("instruction set", &config.instruction_set, isa),
    ];
    for (what, was, now) in pairs.into_iter().filter(|(_, was, now)| was != now) {
        output::note(format_args!(
            "note: the {what} was {was} and is {now} now, so the result may differ in the last bits from an undisturbed run"
        ));
    }
}
