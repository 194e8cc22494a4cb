//! What lies where in the cache folder, for a set of the name NAME:
//!
//! ```text
//! datasets/NAME/               the files, once all of them have arrived and were found right, or put there by hand
//! datasets/NAME.verified.json  lengths and times of these files when they were last found right
//! datasets/NAME.incoming/      what is arriving, a folder for each source
//! datasets/NAME.lock           held by the process that writes any of these
//! ```
//!
//! *Invariant:* `NAME/` is only ever replaced as a whole, and only by who holds the lock.

use crate::trouble::Trouble;
use crate::{File, Report, Set};
use serde::{Deserialize, Serialize};
use std::fs::{self, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// The places of a set.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    verified: PathBuf,
    incoming: PathBuf,
    lock: PathBuf,
}

/// What was found right.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Verified {
    truth: String,
    files: Vec<Stamp>,
}

/// A file, as far as can be seen without reading it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Stamp {
    name: String,
    length: u64,
    /// Nanoseconds since 1970.
    modified: u64,
}

impl Place {
    pub(crate) fn new(cache: &Path, name: &str) -> Self {
        let datasets = cache.join("datasets");
        let beside = |ending| datasets.join(format!("{name}{ending}"));
        Self {
            data: datasets.join(name),
            verified: beside(".verified.json"),
            incoming: beside(".incoming"),
            lock: beside(".lock"),
        }
    }

    /// Whether the files are still those that were found to be this set.
    pub(crate) fn is_verified(&self, set: &Set<'_>) -> bool {
        let then = fs::read(&self.verified).ok().and_then(|bytes| serde_json::from_slice::<Verified>(&bytes).ok());
        then.is_some_and(|then| !then.files.is_empty() && Some(then) == self.now(set).ok())
    }

    /// Remembers that the files are this set. Where that cannot be written, they are read again next time.
    pub(crate) fn mark_verified(&self, set: &Set<'_>) {
        if let Ok(now) = self.now(set) {
            let json = serde_json::to_vec(&now).expect("text and numbers");
            let _ = fs::write(&self.verified, json);
        }
    }

    fn now(&self, set: &Set<'_>) -> io::Result<Verified> {
        let mut files = Vec::new();
        stamps(&self.data, Path::new(""), &mut files)?;
        files.sort();
        Ok(Verified { truth: set.truth.id(), files })
    }

    /// Keeps other processes from writing here, until it is dropped or this one ends, however that may be.
    pub(crate) fn lock(&self, report: &mut dyn FnMut(Report<'_>)) -> Result<fs::File, Trouble> {
        let folder = self.lock.parent().expect("it has one");
        fs::create_dir_all(folder).map_err(Trouble::disk(folder))?;
        let options = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&self.lock);
        let file = options.map_err(Trouble::disk(&self.lock))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                report(Report::Waiting);
                file.lock().map_err(Trouble::disk(&self.lock))?;
            }
            // Some network disks have no locks. Two processes at once then waste a download, and both check it.
            Err(TryLockError::Error(_)) => {}
        }
        Ok(file)
    }

    /// The folder for what arrives from a source.
    pub(crate) fn incoming(&self, base: &str, files: &[File<'_>]) -> Result<PathBuf, Trouble> {
        let host = base.split_once("://").map_or(base, |(_, host)| host);
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        // A mirror has several layouts under one address.
        let layout = files.first().map_or("", |file| file.name);
        let folder =
            self.incoming.join(host.chars().chain("/".chars()).chain(layout.chars()).map(plain).collect::<String>());
        fs::create_dir_all(&folder).map_err(Trouble::disk(&folder))?;
        Ok(folder)
    }

    /// Takes a folder that has arrived and is right, and removes what arrived from other sources.
    pub(crate) fn accept(&self, arrived: &Path) -> Result<(), Trouble> {
        let _ = fs::remove_file(&self.verified);
        if self.data.exists() {
            fs::remove_dir_all(&self.data).map_err(Trouble::disk(&self.data))?;
        }
        fs::rename(arrived, &self.data).map_err(Trouble::disk(&self.data))?;
        let _ = fs::remove_dir_all(&self.incoming);
        Ok(())
    }
}

/// All files below a folder, with their names from there.
fn stamps(root: &Path, below: &Path, found: &mut Vec<Stamp>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let name = below.join(entry?.file_name());
        let metadata = fs::symlink_metadata(root.join(&name))?;
        if metadata.is_dir() {
            stamps(root, &name, found)?;
            continue;
        }
        // Of a link, what it leads to counts; folders behind links are not walked, which therefore end.
        let metadata = fs::metadata(root.join(&name))?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        found.push(Stamp { name: name.to_string_lossy().into_owned(), length: metadata.len(), modified });
    }
    Ok(())
}
