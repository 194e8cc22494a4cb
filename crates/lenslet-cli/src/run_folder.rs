//! The folder of a training run: `config.json`, `metrics.jsonl`, `best.safetensors`, `last.safetensors`, checkpoints of
//! epochs, and two training states, of which the older is replaced by the next;
//! `warnings.txt` where there was cause.
//!
//! *Invariants:* a run never writes into a folder that already holds something; one process at a time writes into it. All
//! files are replaced in one go, but for `metrics.jsonl`, which grows. The order of writing is such that a kill between
//! any two writes, or within one, leaves a run that goes on to the same bits:
//!
//! 1. at the beginning `config.json`, then the state before the first step;
//! 2. in the middle of an epoch nothing but a state;
//! 3. after an epoch the checkpoints, then the line of metrics, then those checkpoints are removed that are too many, and
//!    the state that counts the epoch as done comes last of all.
//!
//! So a state vouches for everything that was written before it, and for nothing else: what is newer than the state that
//! a run goes on from is done again, with the same result. Lines of metrics beyond it are cut off.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lenslet::data::Filter;
use lenslet::{Error, Normalization, Settings, State, files};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::output::{self, to_json};

/// Where runs go if nobody says otherwise.
pub(crate) const RUNS: &str = "runs";

const BEST: &str = "best.safetensors";
const LAST: &str = "last.safetensors";
const CONFIG: &str = "config.json";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";

/// A run's folder, open for writing.
pub(crate) struct RunFolder {
    path: PathBuf,
    metrics: File,
    /// Held until the process ends, however it ends: the system lets go of it.
    _lock: File,
}

/// All that a run was started with.
#[derive(Serialize, Deserialize)]
pub(crate) struct Config {
    /// Version of Lenslet.
    pub(crate) version: String,
    /// The network's name.
    pub(crate) network: String,
    /// The data set, as given.
    pub(crate) data: String,
    /// A hash of its images, as the network gets them, of labels and names of classes.
    pub(crate) data_hash: String,
    /// C×H×W of the images, as the network gets them.
    pub(crate) input: [usize; 3],
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    /// How pixels become numbers.
    pub(crate) normalization: Normalization,
    /// How images of other sizes are brought to `input`'s.
    #[serde(default)]
    pub(crate) filter: Filter,
    /// Numbers that training changes.
    pub(crate) parameters: usize,
    /// Everything about the training that decides its result.
    pub(crate) settings: Settings,
    /// Threads, which decide nothing but the time.
    pub(crate) threads: usize,
    /// The processor's instructions that were used.
    pub(crate) instruction_set: String,
    /// The flags that were given, with their values.
    pub(crate) flags: BTreeMap<String, Vec<String>>,
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
        let lock = lock(&path)?;
        files::sync_folder(files::folder_of(&path)).map_err(|error| cannot_write(&path, &error))?;
        let metrics = path.join(METRICS);
        let metrics = File::create_new(&metrics).map_err(|error| cannot_write(&metrics, &error))?;
        Ok(Self { path, metrics, _lock: lock })
    }

    /// Opens the folder of a run that is to go on, and tidies up what a killed process left unfinished.
    pub(crate) fn open(path: &Path) -> Result<(Self, Config), Failure> {
        let config = path.join(CONFIG);
        if let Err(error) = fs::read_dir(path) {
            return Err(Failure::Mend(format!(
                "{}: expected the folder of a run, but it cannot be read: {error}\n  mend it: {}",
                path.display(),
                advice("")
            )));
        }
        if !config.is_file() {
            return Err(Failure::Mend(format!(
                "{}: there is no {CONFIG}, so no run that could go on; one that was stopped so early has lost nothing\n  \
                 mend it: {}, or start anew without --resume",
                path.display(),
                advice("")
            )));
        }
        let lock = lock(path)?;
        files::remove_leftovers(path).map_err(|error| cannot_write(path, &error))?;
        let metrics = path.join(METRICS);
        let opened = File::options().create(true).read(true).append(true).open(&metrics);
        let metrics = opened.map_err(|error| cannot_write(&metrics, &error))?;
        let unreadable = |error: String| {
            Failure::Mend(format!(
                "{}: cannot be read: {error}\n  mend it: start anew without --resume",
                config.display()
            ))
        };
        let json = fs::read(&config).map_err(|error| unreadable(error.to_string()))?;
        let config: Config = serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()))?;
        Ok((Self { path: path.to_owned(), metrics, _lock: lock }, config))
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

    /// The checkpoint of an epoch.
    pub(crate) fn of_epoch(&self, epoch: usize) -> PathBuf {
        self.path.join(format!("epoch-{epoch:04}.safetensors"))
    }

    /// Removes the checkpoints of epochs up to `epoch`.
    pub(crate) fn forget_epochs(&self, epoch: usize) {
        let number = |path: &Path| -> Option<usize> {
            path.file_name()?.to_str()?.strip_prefix("epoch-")?.strip_suffix(".safetensors")?.parse().ok()
        };
        let all = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.path());
        for old in all.filter(|path| number(path).is_some_and(|number| number <= epoch)) {
            if let Err(error) = fs::remove_file(&old) {
                output::note(format_args!("note: {} cannot be removed: {error}", old.display()));
            }
        }
    }

    /// Adds a line to `warnings.txt`, which only runs have that gave cause. A run that goes on has said it before.
    pub(crate) fn warn(&self, line: &str) -> Result<(), Failure> {
        let path = self.path.join("warnings.txt");
        if fs::read_to_string(&path).is_ok_and(|text| text.lines().any(|said| said == line)) {
            return Ok(());
        }
        let file = File::options().append(true).create(true).open(&path);
        file.and_then(|mut file| writeln!(file, "{line}")).map_err(|error| cannot_write(&path, &error))
    }

    /// The place of the state of this number: the one that the last but one had.
    pub(crate) fn state(&self, number: u64) -> PathBuf {
        self.path.join(format!("state-{}.safetensors", number % 2))
    }

    /// The newest state that is whole, and what is wrong with the others.
    pub(crate) fn newest_state(&self) -> (Option<State>, Vec<Error>) {
        let places = [0, 1].map(|number| self.state(number)).into_iter().filter(|place| place.exists());
        let (whole, damaged): (Vec<_>, Vec<_>) = places.map(|place| State::open(&place)).partition(Result::is_ok);
        let newest = whole.into_iter().flatten().max_by_key(|state| state.standing().record.number);
        (newest, damaged.into_iter().filter_map(Result::err).collect())
    }

    /// Writes `config.json`.
    pub(crate) fn write_config(&self, config: &Config) -> Result<(), Failure> {
        let path = self.path.join(CONFIG);
        let json = serde_json::to_string_pretty(config).expect("a configuration has string keys and no failing parts");
        files::write(&path, (json + "\n").as_bytes()).map_err(|error| cannot_write(&path, &error))
    }

    /// Adds a line to `metrics.jsonl`, on disk before anything is written that relies on it.
    pub(crate) fn append(&mut self, metrics: &impl Serialize) -> Result<(), Error> {
        let line = to_json(metrics) + "\n";
        let written = self.metrics.write_all(line.as_bytes()).and_then(|()| self.metrics.sync_data());
        written.map_err(|error| Error::File {
            path: self.path.join(METRICS),
            problem: format!("cannot be written: {error}"),
        })
    }

    /// Keeps the first `lines` lines of `metrics.jsonl`: what follows, a torn line perhaps, will be written again.
    pub(crate) fn cut_metrics(&mut self, lines: usize) -> Result<(), Failure> {
        let mut text = vec![];
        let cut = self.metrics.read_to_end(&mut text).and_then(|_| {
            let whole = text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
            let kept: Vec<usize> = whole.take(lines).map(<[u8]>::len).collect();
            if kept.len() < lines {
                let place = self.path.join(METRICS);
                output::note(format_args!("note: {} has lost {} lines", place.display(), lines - kept.len()));
            }
            self.metrics.set_len(kept.iter().sum::<usize>() as u64)?;
            self.metrics.sync_all()
        });
        cut.map_err(|error| cannot_write(&self.path.join(METRICS), &error))
    }

    /// Takes back a run that could not begin.
    pub(crate) fn discard(self) {
        for file in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let _ = fs::remove_file(file.path());
        }
        let _ = fs::remove_dir(&self.path);
    }
}

/// Makes this process the only one that writes into the folder.
fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let options = File::options().read(true).write(true).create(true).truncate(false).clone();
    let mut file = options.open(&path).map_err(|error| cannot_write(&path, &error))?;
    match try_lock(&file) {
        // Whose it is, is for people only; a full disk may keep it.
        Ok(()) => drop(file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()))),
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let known = file.read_to_string(&mut owner).is_ok() && !owner.is_empty();
            let owner = if known { format!(" (process {owner})") } else { String::new() };
            return Err(Failure::Mend(format!(
                "{}: another lenslet is training in this folder{owner}\n  mend it: wait until it is done, or stop it first",
                folder.display()
            )));
        }
        Err(TryLockError::Error(error)) => output::note(format_args!(
            "note: {} cannot be locked ({error}); see that no other lenslet trains in this folder",
            path.display()
        )),
    }
    Ok(file)
}

/// Whether a process is at work in a run's folder at this moment.
pub(crate) fn is_running(folder: &Path) -> bool {
    let lock = File::open(folder.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Tries it for a second: a process that was just killed holds its lock until the system has taken it apart.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..20 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
            done => return done,
        }
    }
    file.try_lock()
}

/// Whether a run may go to `out`: there is nothing yet, or an empty folder.
pub(crate) fn check_free(out: &Path) -> Result<(), Failure> {
    match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(cannot_write(out, &error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => {
                let resume = match out.join(CONFIG).is_file() {
                    true => format!(", or go on with the run there: lenslet train --resume {}", out.display()),
                    false => String::new(),
                };
                Err(Failure::Mend(format!(
                    "{}: the folder already holds files, and a run never overwrites another\n  \
                     mend it: give --out a new name, or leave it out to get a numbered folder{resume}",
                    out.display()
                )))
            }
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
                advice(CHECKPOINT)
            ))
        });
    }
    if !given.exists() {
        return Err(Failure::Mend(format!(
            "{}: there is no such file or folder\n  mend it: {}",
            given.display(),
            advice(CHECKPOINT)
        )));
    }
    Ok(given.to_owned())
}

/// What else may be given where a checkpoint is asked for.
const CHECKPOINT: &str = ", or a checkpoint that `lenslet train` wrote";

/// What to give instead: names the latest runs, where there are any, or else says what they and `others` are.
fn advice(others: &str) -> String {
    const SHOWN: usize = 5;
    let runs = fs::read_dir(RUNS).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut runs: Vec<PathBuf> = runs.filter(|run| run.join(BEST).is_file() || run.join(LAST).is_file()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(fs::metadata(run).and_then(|m| m.modified()).ok()));
    let names: Vec<String> = runs.iter().take(SHOWN).map(|run| run.display().to_string()).collect();
    match &names[..] {
        [] => format!("give the folder of a run{others}"),
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
        "{}: cannot be written: {error}\n  mend it: free some space there, or use a folder that you may write to",
        path.display()
    ))
}
