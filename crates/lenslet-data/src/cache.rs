//! Data sets that took work to decode, kept in the user's cache folder and mapped into memory the next time.
//!
//! *Invariant:* a file of the cache is written under another name, brought to disk and renamed, and never changed: under
//! its own name it is complete. It is used only if it was made by this version of the decoder, from the same path, options
//! and files (names, lengths, times), and if its length and its checksums are what its header says; else it is as if it
//! were not there. A cache that does not work costs time, never data. Whoever writes a file holds a lock on it, so that one
//! that can be locked was left behind by a program that was killed, and is removed.
//!
//! The file: a magic number, the length of the header and its hash (8 bytes each, lowest first), the header as JSON, zeros
//! up to a multiple of [`ALIGN`], the pixels of both splits, the labels of both (4 bytes each, lowest first), the magic number again.
use crate::files::Files;
use crate::load::{Options, Report};
use crate::map::Map;
use crate::pixels::Pixels;
use crate::{Dataset, Split};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::DefaultHasher;
use std::fs::{File, TryLockError};
use std::hash::{Hash, Hasher};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;
use xxhash_rust::xxh3::xxh3_64;

/// The number is to be changed whenever the same files would be decoded to other bytes, or this file's form changes.
const VERSION: &str = concat!("2, of lenslet ", env!("CARGO_PKG_VERSION"));
const MAGIC: &[u8; 8] = b"lenslet\x01";
/// A page of memory on most machines.
const ALIGN: usize = 4096;
/// How files begin that are not complete yet.
const WRITING: &str = ".writing-";
/// Where the header begins.
const START: usize = 24;

/// The folder where decoded data sets are usually kept: what `LENSLET_CACHE` says, none if that is empty, else `lenslet` in
/// the user's cache folder (on Linux `$XDG_CACHE_HOME` or `~/.cache`).
pub fn cache_folder() -> Option<PathBuf> {
    match std::env::var_os("LENSLET_CACHE") {
        Some(folder) => (!folder.is_empty()).then(|| folder.into()),
        None => dirs::cache_dir().map(|folder| folder.join("lenslet")),
    }
}

/// The place in the cache for one data set.
pub(crate) struct Cache {
    file: PathBuf,
    source: Source,
}

/// What the pixels were made from and how; equal means that they would be made the same again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Source {
    version: String,
    path: String,
    options: String,
    stamp: u64,
}

/// What is in a file beside pixels and labels.
#[derive(Serialize, Deserialize)]
struct Header {
    source: Source,
    name: String,
    classes: Vec<String>,
    size: [usize; 3],
    /// Pictures of each split.
    counts: [usize; 2],
    /// Checksums of the pixels of both splits and of all labels.
    sums: [u64; 3],
    report: Report,
}

impl Cache {
    /// Where the data set at `path`, which consists of these files, would be kept.
    pub(crate) fn of(path: &Path, files: &Files, options: &Options) -> Option<Self> {
        let folder = options.cache.as_ref()?;
        let full = path.canonicalize().ok()?;
        let Options { channels, size, filter, skip_bad, cache: _, memory: _ } = options;
        let options = format!("{channels:?} {size:?} {filter:?} {skip_bad}");
        let source =
            Source { version: VERSION.into(), path: full.to_string_lossy().into(), options, stamp: files.stamp() };
        let hash = hash((&source.path, &source.options));
        let name: String =
            crate::name_of(path).chars().filter(|c| c.is_ascii_alphanumeric() || "-_".contains(*c)).collect();
        Some(Self { file: folder.join(format!("{name}-{hash:016x}.pixels")), source })
    }

    /// The data set, if the cache has it.
    pub(crate) fn read(&self) -> Option<(Dataset, Report)> {
        self.file.parent().inspect(|folder| sweep(folder));
        let map = Map::of_finished(File::open(&self.file).ok()?).ok()?;
        let (header, start) = header(&map)?;
        let layout = Layout::new(&header, start)?;
        if header.source != self.source || layout.end != map.len() || !map.ends_with(MAGIC) {
            return None;
        }
        let [train, test] = layout.pixels.clone();
        let parts = [train, test, layout.labels[0].start..layout.labels[1].end];
        if parts.map(|part| sum(&map[part])) != header.sums {
            return None;
        }
        let map = Arc::new(map);
        let split = |part: usize| {
            let (labels, _) = map[layout.labels[part].clone()].as_chunks::<4>();
            let labels: Vec<u32> = labels.iter().map(|label| u32::from_le_bytes(*label)).collect();
            let valid = labels.iter().all(|&label| (label as usize) < header.classes.len());
            valid.then(|| Split { images: Pixels::mapped(&map, layout.pixels[part].clone()), labels })
        };
        let (train, test) = (split(0)?, split(1)?);
        let Header { name, classes, size: [channels, height, width], report, .. } = header;
        Some((Dataset { name, classes, channels, height, width, train, test }, report))
    }

    /// Keeps a data set; the error is a sentence for people.
    pub(crate) fn write(&self, data: &Dataset, report: &Report) -> Result<(), String> {
        let Self { file, source } = self;
        let folder = file.parent().unwrap_or(Path::new("."));
        write(folder, file, source.clone(), data, report).map_err(|error| {
            format!(
                "the decoded pictures could not be kept in {} ({error}): they are decoded anew each time",
                folder.display()
            )
        })
    }
}

fn write(folder: &Path, path: &Path, source: Source, data: &Dataset, report: &Report) -> io::Result<()> {
    let splits = [&data.train, &data.test];
    let labels: Vec<u8> = splits.iter().flat_map(|split| &split.labels).flat_map(|label| label.to_le_bytes()).collect();
    let header = Header {
        source,
        name: data.name.clone(),
        classes: data.classes.clone(),
        size: [data.channels, data.height, data.width],
        counts: [data.train.len(), data.test.len()],
        sums: [&data.train.images, &data.test.images, &labels[..]].map(sum),
        report: Report { skipped: report.skipped.clone(), notes: report.notes.clone() },
    };
    let header = serde_json::to_vec(&header)?;
    std::fs::create_dir_all(folder)?;
    let mut file = locked(folder)?;
    let mut out = BufWriter::new(file.as_file_mut());
    out.write_all(MAGIC)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&hash(&header).to_le_bytes())?;
    out.write_all(&header)?;
    let start = START + header.len();
    out.write_all(&vec![0; start.next_multiple_of(ALIGN) - start])?;
    splits.iter().try_for_each(|split| out.write_all(&split.images))?;
    out.write_all(&labels)?;
    out.write_all(MAGIC)?;
    out.flush()?;
    drop(out);
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// A new file under a name of its own, locked as long as it is open. A program that sweeps may have found it before it was
/// locked; then another one is taken.
fn locked(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(WRITING).tempfile_in(folder)?;
        // Some file systems know no locks.
        if file.as_file().lock().is_err() || file.path().exists() {
            return Ok(file);
        }
    }
}

/// Removes what a program left behind that was killed while it wrote.
fn sweep(folder: &Path) {
    const LONG_AGO: Duration = Duration::from_secs(3600);
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(WRITING) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        let old = || file.metadata().ok()?.modified().ok()?.elapsed().ok();
        let left = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => old().is_some_and(|age| age > LONG_AGO),
        };
        if left {
            // Another program may be faster.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A checksum, made on all cores: that of the checksums of its pieces.
fn sum(bytes: &[u8]) -> u64 {
    const PIECE: usize = 1 << 20;
    let sums: Vec<[u8; 8]> = bytes.par_chunks(PIECE).map(|piece| xxh3_64(piece).to_le_bytes()).collect();
    xxh3_64(sums.as_flattened())
}

/// The header, and where it ends.
fn header(bytes: &[u8]) -> Option<(Header, usize)> {
    let (length, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let (hashed, rest) = rest.split_first_chunk()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    if u64::from_le_bytes(*hashed) != hash(header) {
        return None;
    }
    Some((serde_json::from_slice(header).ok()?, START + header.len()))
}

/// The same in every program of one version of the compiler; with another, data are decoded once more.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Where pixels and labels of both splits lie, and where the file ends.
struct Layout {
    pixels: [Range<usize>; 2],
    labels: [Range<usize>; 2],
    end: usize,
}

impl Layout {
    fn new(header: &Header, start: usize) -> Option<Self> {
        let picture = header.size.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))?;
        let mut at = start.checked_next_multiple_of(ALIGN)?;
        let mut range = |count: usize, bytes: usize| {
            let from = at;
            at = at.checked_add(count.checked_mul(bytes)?)?;
            Some(from..at)
        };
        let [train, test] = header.counts;
        let pixels = [range(train, picture)?, range(test, picture)?];
        let labels = [range(train, 4)?, range(test, 4)?];
        Some(Self { pixels, labels, end: at.checked_add(MAGIC.len())? })
    }
}
