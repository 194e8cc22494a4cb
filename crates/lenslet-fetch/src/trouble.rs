//! What can go wrong with one file at one source, by what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file did not arrive; the words are for people.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The source cannot be reached at all: the next one, at once.
    Unreachable(String),
    /// Something that may pass: the same source again, after a pause.
    Broken(String),
    /// Nothing arrives, or too slowly: the next source while there is one, else as [`Broken`](Self::Broken).
    Stalled(String),
    /// The source does not have the file, or has another: the next source.
    Refused(String),
    /// This machine's disk: nothing will help but the user.
    Disk(PathBuf, io::Error),
}

impl Trouble {
    /// An error of the disk at this path.
    pub(crate) fn disk(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Disk(path, error)
    }
}
