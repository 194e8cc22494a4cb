//! The folder of a training run: `config.json`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`; `warnings.txt` where
//! there was cause.
//!
//! *Invariants:* a run never writes into a folder that already holds something. A line of metrics is on its way to disk
//! before the next epoch begins, and checkpoints replace each other in one go, so a run that was killed can be read.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use lenslet::{Normalization, Settings};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::to_json;

/// Where runs go if nobody says otherwise.
pub(crate) const RUNS: &str = "runs";

const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";

/// A run's folder, open for writing.
pub(crate) struct RunFolder {
    path: PathBuf,
    metrics: File,
}

/// All that a run was started with.
#[derive(Serialize)]
pub(crate) struct Config<'a> {
    /// Version of Lenslet.
    pub(crate) version: &'a str,
    /// The network's name.
    pub(crate) network: &'a str,
    /// The data set, as given.
    pub(crate) data: &'a str,
    /// C×H×W of the images, as the network gets them.
    pub(crate) input: [usize; 3],
    /// Names of the classes.
    pub(crate) classes: &'a [String],
    /// How pixels become numbers.
    pub(crate) normalization: &'a Normalization,
    /// Numbers that training changes.
    pub(crate) parameters: usize,
    /// Everything about the training that decides its result.
    pub(crate) settings: &'a Settings,
    /// Threads, which decide nothing but the time.
    pub(crate) threads: usize,
    /// The processor's instructions that were used.
    pub(crate) instruction_set: &'a str,
}

impl RunFolder {
    /// Makes the folder: `out`, or the first `runs/<network>-<data>-<n>` that is free.
    pub(crate) fn create(out: Option<&Path>, network: &str, data: &str) -> Result<Self, Failure> {
        let path = match out {
            Some(out) => {
                check_free(out)?;
                fs::create_dir_all(out).map_err(|error| cannot_write(out, &error))?;
                out.to_owned()
            }
            None => numbered(&format!("{network}-{}", plain(data)))?,
        };
        let metrics = path.join("metrics.jsonl");
        let metrics = File::create_new(&metrics).map_err(|error| cannot_write(&metrics, &error))?;
        Ok(Self { path, metrics })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The checkpoint with the best test accuracy so far.
    pub(crate) fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The latest checkpoint.
    pub(crate) fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// Writes `config.json`.
    pub(crate) fn write_config(&self, config: &Config<'_>) -> Result<(), Failure> {
        let path = self.path.join("config.json");
        let json = serde_json::to_string_pretty(config).expect("a configuration has string keys and no failing parts");
        fs::write(&path, json + "\n").map_err(|error| cannot_write(&path, &error))
    }

    /// Adds a line to `metrics.jsonl`.
    pub(crate) fn append(&mut self, metrics: &impl Serialize) -> Result<(), Failure> {
        let line = to_json(metrics) + "\n";
        self.metrics.write_all(line.as_bytes()).map_err(|error| cannot_write(&self.path.join("metrics.jsonl"), &error))
    }

    /// Adds a line to `warnings.txt`, which only runs have that gave cause.
    pub(crate) fn warn(&self, line: &str) -> Result<(), Failure> {
        let path = self.path.join("warnings.txt");
        let file = File::options().append(true).create(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| cannot_write(&path, &error))
    }
}

/// Whether a run may go to `out`: there is nothing yet, or an empty folder.
pub(crate) fn check_free(out: &Path) -> Result<(), Failure> {
    match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(out, &error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Failure::Mend(format!(
                "{}: the folder already holds files, and a run never overwrites another\n  \
                 mend it: give --out a new name, or leave it out to get a numbered folder",
                out.display()
            ))),
        },
    }
}

/// The folder that exists and in which a run to `out` would make its own.
pub(crate) fn place(out: Option<&Path>) -> PathBuf {
    let wanted = out.unwrap_or(Path::new(RUNS));
    // The last ancestor of a relative path is empty, and so no folder.
    let existing = wanted.ancestors().find(|folder| folder.is_dir());
    // In full, since "." says little.
    let folder = existing.unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// The checkpoint that a user means: a file itself, or the best one of a run's folder.
pub(crate) fn checkpoint(given: &Path) -> Result<PathBuf, Failure> {
    if given.is_dir() {
        let candidates = [BEST, LAST].map(|name| given.join(name));
        let found = candidates.into_iter().find(|candidate| candidate.is_file());
        return found.ok_or_else(|| {
            Failure::Mend(format!(
                "{}: the folder has no checkpoint, neither {BEST} nor {LAST}\n  mend it: {}",
                given.display(),
                advice()
            ))
        });
    }
    if !given.exists() {
        return Err(Failure::Mend(format!(
            "{}: there is no such file or folder\n  mend it: {}",
            given.display(),
            advice()
        )));
    }
    Ok(given.to_owned())
}

/// What to give instead; names the latest runs, where there are any.
fn advice() -> String {
    const SHOWN: usize = 5;
    let runs = fs::read_dir(RUNS).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = runs.filter(|run| run.join(BEST).is_file() || run.join(LAST).is_file()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(fs::metadata(run).and_then(|m| m.modified()).ok()));
    let names: Vec<String> = runs.iter().take(SHOWN).map(|run| run.display().to_string()).collect();
    match &names[..] {
        [] => "give the folder of a run, or a checkpoint that `lenslet train` wrote".to_owned(),
        names => format!("give the folder of a run, such as {}", names.join(", ")),
    }
}

/// The first `runs/<name>-<n>` that does not exist, made. Two runs that start at once get two folders.
fn numbered(name: &str) -> Result<PathBuf, Failure> {
    let runs = Path::new(RUNS);
    fs::create_dir_all(runs).map_err(|error| cannot_write(runs, &error))?;
    for number in 1_u64.. {
        let path = runs.join(format!("{name}-{number}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(cannot_write(&path, &error)),
        }
    }
    unreachable!("there are not so many folders")
}

/// A data set's name with nothing in it that a folder's name had better not have.
fn plain(name: &str) -> String {
    let allowed = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    name.chars().map(allowed).collect()
}

/// The message for a file or folder that the system does not let us write.
pub(crate) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Mend(format!(
        "{}: cannot be written: {error}\n  mend it: free some space there, or give --out a folder that you may write to",
        path.display()
    ))
}
