//! Well-known data sets by name: downloaded once, checked, and kept in the user's cache folder.
//!
//! *Invariant:* what [`fetch`] returns is a folder whose pictures and labels are those of the set, pixel by pixel
//! ([`truth`]), whoever sent them: no source is trusted, and none is waited for while another may be better.
//!
//! `sources` is the table of who has what; `download` brings one file from one source, over a `client`, into a `part`;
//! `cache` knows what lies where. A crate of its own, so that programs which use Lenslet as a library need no TLS.
#![forbid(unsafe_code)]

mod cache;
mod client;
mod download;
mod error;
mod part;
mod sources;
mod trouble;
pub mod truth;

pub use error::{Error, Failure, Sources};
pub use sources::{File, SETS, Set, Source, named};

use cache::Place;
use client::Client;
use download::Download;
use lenslet_data::cache_folder;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;
use trouble::Trouble;

/// Where data sets are kept and asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder that holds Lenslet's caches; a set lies in `datasets/NAME` below it.
    pub cache: PathBuf,
    /// A base address that is asked instead of the table's sources, for `BASE/NAME/FILE`.
    pub mirror: Option<String>,
    /// How long a source is waited for.
    pub patience: Patience,
}

/// How long a source is waited for.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Tries in a row that may bring nothing.
    pub tries: u32,
    /// The pause after the first of them; each further one is three times as long.
    pub pause: Duration,
    /// Time without a byte after which a connection counts as broken, and over which the speed is measured.
    pub window: Duration,
    /// Bytes a second below which a source is left, while there is another one. Where it is the user's own line that is
    /// slow, this costs little: all sources are left once, and the first is then gone on with.
    pub slowest: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 4, pause: Duration::from_secs(1), window: Duration::from_secs(20), slowest: 200_000 }
    }
}

impl Options {
    /// As the environment says: [`cache_folder`] and `LENSLET_MIRROR`.
    ///
    /// # Errors
    /// [`Error::NoCache`] if there is no folder for what is downloaded.
    pub fn from_env() -> Result<Self, Error> {
        let cache = cache_folder().ok_or(Error::NoCache)?;
        let mirror = std::env::var_os("LENSLET_MIRROR").filter(|base| !base.is_empty());
        let mirror = mirror.map(|base| base.to_string_lossy().into_owned());
        Ok(Self { cache, mirror, patience: Patience::default() })
    }
}

/// What happens meanwhile.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// Another process is downloading this set, and is waited for.
    Waiting,
    /// The folder holds something else than the set, which will be replaced.
    Replacing {
        /// The folder.
        folder: &'a Path,
        /// What is wrong with it.
        why: &'a str,
    },
    /// A file is asked for.
    File {
        /// Its address.
        address: &'a str,
    },
    /// Some of it has arrived.
    Progress {
        /// Bytes so far, with those of earlier tries.
        done: u64,
        /// Bytes in all, if the source says so.
        total: Option<u64>,
    },
    /// A source is tried again.
    Again {
        /// What went wrong.
        why: &'a str,
        /// The time until then.
        pause: Duration,
    },
    /// A source is left, for another one if there is one.
    Left {
        /// Its address.
        address: &'a str,
        /// What went wrong.
        why: &'a str,
    },
    /// All files are there; their pictures are compared with what they should be.
    Checking,
}

/// The folder with this data set, which is downloaded first if it is not there.
///
/// ```no_run
/// use lenslet_fetch::{Options, fetch, named};
/// let set = named("mnist").expect("a set of the table");
/// let folder = fetch(set, &Options::from_env()?, &mut |report| eprintln!("{report:?}"))?;
/// # Ok::<(), lenslet_fetch::Error>(())
/// ```
pub fn fetch(set: &Set<'_>, options: &Options, report: &mut dyn FnMut(Report<'_>)) -> Result<PathBuf, Error> {
    let place = Place::new(&options.cache, set.name);
    if place.is_verified(set) {
        return Ok(place.data);
    }
    let lock = place.lock(report);
    // Whoever was waited for has downloaded it.
    if place.is_verified(set) {
        return Ok(place.data);
    }
    // Put there by hand, or changed since; it may be used even where nothing can be written.
    if place.data.exists() {
        report(Report::Checking);
        match check(set, &place.data) {
            Ok(()) => {
                place.mark_verified(set);
                return Ok(place.data);
            }
            Err(why) => report(Report::Replacing { folder: &place.data, why: &why }),
        }
    }
    let disk = |trouble| Error::disk(set, trouble);
    let _lock = lock.map_err(disk)?;
    let arrived = from_any_source(set, options, &place, report)?;
    place.accept(&arrived).map_err(disk)?;
    place.mark_verified(set);
    Ok(place.data)
}

/// A source whose turn it is, or will be.
struct Turn<'a> {
    base: String,
    files: &'a [File<'a>],
    /// It was too slow once. The second time there is nothing better, and it is waited for.
    put_off: bool,
}

/// Downloads the set into a folder of the source that has it.
fn from_any_source(
    set: &Set<'_>,
    options: &Options,
    place: &Place,
    report: &mut dyn FnMut(Report<'_>),
) -> Result<PathBuf, Error> {
    let mut turns = turns(set, options);
    let mut failures = Vec::new();
    while let Some(turn) = turns.pop_front() {
        let hurry = !turn.put_off && !turns.is_empty();
        let (address, trouble) = match from_source(set, &turn, options, place, hurry, report) {
            Ok(folder) => return Ok(folder),
            Err(failed) => failed,
        };
        let (why, unreachable) = match trouble {
            Trouble::Disk(..) => return Err(Error::disk(set, trouble)),
            Trouble::Stalled(why) => {
                report(Report::Left { address: &address, why: &why });
                turns.push_back(Turn { put_off: true, ..turn });
                continue;
            }
            Trouble::Unreachable(why) => (why, true),
            Trouble::Broken(why) | Trouble::Refused(why) => (why, false),
        };
        report(Report::Left { address: &address, why: &why });
        failures.push(Failure { address, why, unreachable });
    }
    Err(Error::sources(set, options, &place.data, failures))
}

/// Who is asked, in this order.
fn turns<'a>(set: &Set<'a>, options: &Options) -> VecDeque<Turn<'a>> {
    let turn = |base: String, files| Turn { base, files, put_off: false };
    match &options.mirror {
        Some(base) => {
            let base = format!("{}/{}/", base.trim_end_matches('/'), set.name);
            set.layouts().into_iter().map(|files| turn(base.clone(), files)).collect()
        }
        None => set.sources.iter().map(|source| turn(source.base.to_owned(), source.files)).collect(),
    }
}

/// All files from one source, checked; or the address that failed, and how.
fn from_source(
    set: &Set<'_>,
    turn: &Turn<'_>,
    options: &Options,
    place: &Place,
    hurry: bool,
    report: &mut dyn FnMut(Report<'_>),
) -> Result<PathBuf, (String, Trouble)> {
    let folder = place.incoming(&turn.base, turn.files).map_err(|trouble| (turn.base.clone(), trouble))?;
    let client = Client::new(&turn.base, &options.patience);
    for file in turn.files {
        let whole = folder.join(file.name);
        if whole.exists() {
            continue;
        }
        let address = format!("{}{}", turn.base, file.name);
        report(Report::File { address: &address });
        let most = file.size.saturating_mul(2);
        let (client, address, patience) = (&client, address.as_str(), &options.patience);
        let download = Download { client, address, whole: &whole, most, patience, hurry };
        download.run(report).map_err(|trouble| (address.to_owned(), trouble))?;
    }
    report(Report::Checking);
    check(set, &folder).map_err(|why| {
        // Nothing of it can be of use to a later try.
        let _ = std::fs::remove_dir_all(&folder);
        (turn.base.clone(), Trouble::Refused(format!("what it sent is not {}: {why}", set.name)))
    })?;
    Ok(folder)
}

/// Whether a folder holds the set; if not, what it holds.
fn check(set: &Set<'_>, folder: &Path) -> Result<(), String> {
    let data = lenslet_data::load(&folder.to_string_lossy()).map_err(|error| error.to_string())?;
    set.truth.check(&data)
}
