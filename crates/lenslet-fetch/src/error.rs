//! Why there is no data set, said with the ways out to the person who can take one of them.

use crate::trouble::Trouble;
use crate::{Options, Set};
use std::fmt::{self, Display, Formatter};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why a data set could not be fetched.
#[derive(Debug)]
pub enum Error {
    /// The user has no cache folder.
    NoCache,
    /// The disk does not take what has to be written.
    Disk {
        /// The set's name.
        set: String,
        /// The file or folder concerned.
        path: PathBuf,
        /// Bytes needed while downloading.
        space: u64,
        /// What the operating system says.
        source: io::Error,
    },
    /// None of the sources gave the set.
    Sources(Box<Sources>),
}

/// How each source failed, and what can be done without them.
#[derive(Debug)]
pub struct Sources {
    /// The set's name.
    pub set: String,
    /// What went wrong, source by source.
    pub failures: Vec<Failure>,
    /// The files of the official source.
    pub by_hand: Vec<String>,
    /// The folder in which files fetched by hand are found.
    pub folder: PathBuf,
    /// The base address that was asked instead of the sources.
    pub mirror: Option<String>,
}

/// How a source failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The address of the file, or of the source.
    pub address: String,
    /// What went wrong.
    pub why: String,
    /// Whether the source could not be reached at all.
    pub unreachable: bool,
}

impl Error {
    pub(crate) fn disk(set: &Set<'_>, trouble: Trouble) -> Self {
        let (path, source) = match trouble {
            Trouble::Disk(path, error) => (path, error),
            other => (PathBuf::new(), io::Error::other(format!("{other:?}"))),
        };
        Self::Disk { set: set.name.to_owned(), path, space: set.space(), source }
    }

    pub(crate) fn sources(set: &Set<'_>, options: &Options, folder: &Path, failures: Vec<Failure>) -> Self {
        let official = set.sources.first().map(|source| (source.base, source.files));
        let by_hand = official.into_iter().flat_map(|(base, files)| files.iter().map(move |file| (base, file.name)));
        Self::Sources(Box::new(Sources {
            set: set.name.to_owned(),
            failures,
            by_hand: by_hand.map(|(base, name)| format!("{base}{name}")).collect(),
            folder: folder.to_path_buf(),
            mirror: options.mirror.clone(),
        }))
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCache => write!(
                f,
                "there is no folder for downloaded data sets, since LENSLET_CACHE is empty, or neither HOME nor \
                 XDG_CACHE_HOME is set\n  \
                 mend it: LENSLET_CACHE=FOLDER"
            ),
            Self::Disk { set, path, space, source } => {
                let (path, megabytes) = (path.display(), space.div_ceil(1_000_000));
                match source.kind() {
                    ErrorKind::StorageFull | ErrorKind::QuotaExceeded => write!(
                        f,
                        "{path}: the disk is full, and {set} needs {megabytes} MB of it\n  mend it: free so much, or \
                         LENSLET_CACHE=FOLDER for a folder on another disk"
                    ),
                    _ => write!(
                        f,
                        "{path}: cannot be written, where {set} is to be kept: {source}\n  mend it: make the folder \
                         writable, or LENSLET_CACHE=FOLDER for another one ({megabytes} MB)"
                    ),
                }
            }
            Self::Sources(sources) => sources.fmt(f),
        }
    }
}

impl Display for Sources {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { set, failures, by_hand, folder, mirror } = self;
        let offline = failures.iter().all(|failure| failure.unreachable);
        let what = if offline { "can be reached" } else { "gave it" };
        writeln!(f, "{set} is not on this machine yet, and none of its sources {what}:")?;
        for Failure { address, why, .. } in failures {
            writeln!(f, "    {address}: {why}")?;
        }
        writeln!(f, "  mend it, in one of these ways:")?;
        match mirror {
            Some(_) => writeln!(f, "    unset LENSLET_MIRROR, which is asked instead of the set's own sources")?,
            None => writeln!(f, "    connect to the network (a proxy: HTTPS_PROXY=http://HOST:PORT) and try again")?,
        }
        writeln!(f, "    fetch by hand, into {}:", folder.display())?;
        for address in by_hand {
            writeln!(f, "      {address}")?;
        }
        writeln!(f, "    --data FOLDER, where a copy is at hand, or LENSLET_CACHE=FOLDER, where a cache is")?;
        write!(f, "    --data shapes, the embedded set, which needs no network")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk { source, .. } => Some(source),
            Self::NoCache | Self::Sources(_) => None,
        }
    }
}
