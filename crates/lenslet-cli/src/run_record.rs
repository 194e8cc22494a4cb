//! What a run's folder says about the run, read back: `config.json` and the epochs of `metrics.jsonl`.
//!
//! *Invariant:* reading fails on nothing that a run leaves behind, wherever it was killed: a torn line is passed over, and an
//! epoch that was done again after a kill counts once, as it was done last. A field that is missing is merely not known.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::time::SystemTime;

use lenslet::Settings;
use serde::Deserialize;

/// No file of a run is larger; a foreign one is not read into memory.
const LARGEST: u64 = 256 * 1024 * 1024;

/// An epoch as `metrics.jsonl` has it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EpochRecord {
    pub(crate) epoch: usize,
    train_loss: Option<f64>,
    train_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_accuracy: Option<f64>,
    learning_rate: Option<f64>,
    images_per_second: Option<f64>,
    pub(crate) seconds: Option<f64>,
}

impl EpochRecord {
    /// As a point of the curves; what is not known is no number.
    pub(crate) fn point(&self) -> lenslet_report::Point {
        let known = |value: Option<f64>| value.unwrap_or(f64::NAN);
        lenslet_report::Point {
            epoch: self.epoch,
            train_loss: known(self.train_loss),
            test_loss: known(self.test_loss),
            train_accuracy: known(self.train_accuracy),
            test_accuracy: known(self.test_accuracy),
        }
    }

    /// What TensorBoard gets to see, under its names.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("loss/train", self.train_loss),
            ("loss/test", self.test_loss),
            ("accuracy/train", self.train_accuracy),
            ("accuracy/test", self.test_accuracy),
            ("learning_rate", self.learning_rate),
            ("images_per_second", self.images_per_second),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    pub(crate) fn test_accuracy(&self) -> Option<f64> {
        self.test_accuracy
    }
}

/// What a run was started with, as far as `config.json` says it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ConfigRecord {
    pub(crate) network: Option<String>,
    pub(crate) data: Option<String>,
    #[serde(default)]
    pub(crate) settings: serde_json::Value,
}

impl ConfigRecord {
    /// Epochs that were planned.
    pub(crate) fn epochs(&self) -> Option<usize> {
        self.settings.get("epochs")?.as_u64()?.try_into().ok()
    }

    /// The settings, if this version knows them all.
    pub(crate) fn settings(&self) -> Option<Settings> {
        serde_json::from_value(self.settings.clone()).ok()
    }
}

/// A run, as its folder tells it.
pub(crate) struct RunRecord {
    pub(crate) config: ConfigRecord,
    /// In order, each once.
    pub(crate) epochs: Vec<EpochRecord>,
}

impl RunRecord {
    /// Reads a folder, and when something was last written there; none if no run ever wrote there, and words if what one
    /// wrote cannot be read.
    pub(crate) fn read(folder: &Path) -> Option<(Result<Self, String>, SystemTime)> {
        let [config, metrics] = ["config.json", "metrics.jsonl"].map(|name| folder.join(name));
        let modified = |path: &Path| path.metadata().and_then(|about| about.modified()).ok();
        let latest = modified(&config).max(modified(&metrics))?;
        let read = || {
            let bytes = bytes(&config).map_err(|error| format!("config.json: {error}"))?;
            let config = serde_json::from_slice(&bytes).map_err(|error| format!("config.json: {error}"))?;
            let epochs = epochs(folder).map_err(|error| format!("metrics.jsonl: {error}"))?;
            Ok(Self { config, epochs })
        };
        Some((read(), latest))
    }
}

/// The epochs that a run has written down; none before the first.
pub(crate) fn epochs(folder: &Path) -> io::Result<Vec<EpochRecord>> {
    let bytes = match bytes(&folder.join("metrics.jsonl")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
        bytes => bytes?,
    };
    let mut epochs: Vec<EpochRecord> = vec![];
    for epoch in bytes.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice::<EpochRecord>(line).ok())
    {
        epochs.truncate(epochs.partition_point(|earlier| earlier.epoch < epoch.epoch));
        epochs.push(epoch);
    }
    Ok(epochs)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_wherever_its_run_was_killed() {
        let folder = tempfile::tempdir().expect("there is room");
        let line = |epoch: usize, accuracy: f64| format!("{{\"epoch\":{epoch},\"test_accuracy\":{accuracy}}}\n");
        // Epochs 2 and 3 were done again, a line is torn in the middle and one at the end.
        let lines =
            line(1, 0.1) + &line(2, 0.2) + &line(3, 0.3) + "{\"epoch\":4,\"te\n" + &line(2, 0.25) + &line(3, 0.35);
        std::fs::write(folder.path().join("metrics.jsonl"), lines + "{\"epoch\":4,\"test_acc").expect("there is room");
        let epochs = epochs(folder.path()).expect("it can be read");
        let found: Vec<_> = epochs.iter().map(|epoch| (epoch.epoch, epoch.test_accuracy)).collect();
        assert_eq!(found, [(1, Some(0.1)), (2, Some(0.25)), (3, Some(0.35))]);
        assert!(epochs[0].point().train_loss.is_nan());
        assert_eq!(epochs[2].scalars().collect::<Vec<_>>(), [("accuracy/test", 0.35)]);
        let (record, _) = RunRecord::read(folder.path()).expect("something was written");
        assert!(record.is_err_and(|words| words.starts_with("config.json: ")));
    }

    #[test]
    fn a_folder_of_something_else_is_no_run() {
        let folder = tempfile::tempdir().expect("there is room");
        assert!(RunRecord::read(folder.path()).is_none());
    }
}
