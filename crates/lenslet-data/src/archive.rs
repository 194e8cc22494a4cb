//! Archives: tar, tar.gz and zip to files in memory, and gzip alone.
//!
//! *Invariant:* what unfolds is counted as it comes; neither a member's size nor a gzip trailer is believed. What unfolds to
//! more than [`ALWAYS`] and more than [`MAX_RATIO`] times its length, which pictures never do, is a bomb, in every format
//! ([`most_of`]), and refused as soon as that shows: before the memory is taken. Members are plain files
//! inside the archive: links, devices, sparse files and paths that lead out of it are refused. Nothing is written to disk.
use crate::error::{DataError, Fault, Kind, Place};
use crate::files::{Files, Members, hidden};
use crate::whole;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

/// How many times its length a compressed file may unfold to; deflate itself gets to 1,032.
const MAX_RATIO: u64 = 100;
/// What any file may unfold to, however short.
const ALWAYS: u64 = 64 << 20;

const GZIP: [u8; 2] = [0x1F, 0x8B];

/// How many bytes a compressed file of a length may unfold to.
pub(crate) fn most_of(length: u64) -> u64 {
    length.saturating_mul(MAX_RATIO).max(ALWAYS)
}

/// Whether a file of this name is taken for an archive.
pub(crate) fn is_archive(name: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".zip"].iter().any(|end| name.ends_with(end))
}

/// The members of an archive on disk.
pub(crate) fn open(path: &Path) -> Result<Files, DataError> {
    let (file, length) = whole::open(path)?;
    whole::check_memory(length).map_err(|fault| fault.in_file(path))?;
    unpack(path, BufReader::new(file), length).map_err(|fault| fault.in_file(path))
}

/// The members of an archive in memory.
pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Files, Fault> {
    unpack(path, Cursor::new(bytes), bytes.len() as u64)
}

fn unpack(path: &Path, mut file: impl BufRead + Seek, length: u64) -> Result<Files, Fault> {
    let start = file.fill_buf().unwrap_or_default();
    let (packed, zipped) = (start.starts_with(&GZIP), start.starts_with(b"PK"));
    let (members, folders) = if packed {
        members(Unfolding::gzip(file))?
    } else if zipped {
        zip_members(file, length)?
    } else {
        members(Unfolding::plain(file))?
    };
    Ok(Files::in_memory(path, members, folders))
}

/// A gzip file's content.
pub(crate) fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let (mut unfolding, mut unfolded) = (Unfolding::gzip(bytes), Vec::new());
    let read = unfolding.read_to_end(&mut unfolded);
    match (unfolding.bomb(), read) {
        (Some(bomb), _) => Err(bomb),
        (None, read) => read.map(|_| unfolded).map_err(|error| Fault::damaged("a gzip file", format!("\"{error}\""))),
    }
}

/// What a decompressor yields, until it is too much for what was read so far.
struct Unfolding<R> {
    reader: R,
    /// How many packed bytes were read.
    packed: fn(&R) -> u64,
    unfolded: u64,
}

/// A reader, and how many bytes came from it.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Unfolding<MultiGzDecoder<Counted<R>>> {
    fn gzip(reader: R) -> Self {
        let reader = MultiGzDecoder::new(Counted { reader, count: 0 });
        Self { reader, packed: |decoder| decoder.get_ref().count, unfolded: 0 }
    }
}

impl<R: Read> Unfolding<R> {
    fn plain(reader: R) -> Self {
        Self { reader, packed: |_| u64::MAX, unfolded: 0 }
    }

    /// The refusal, if too much was read.
    fn bomb(&self) -> Option<Fault> {
        let packed = (self.packed)(&self.reader);
        (self.unfolded > most_of(packed)).then(|| bomb(packed))
    }
}

impl<R: Read> Read for Unfolding<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bomb().is_some() {
            return Err(io::Error::other("more than a file of its length can hold"));
        }
        let count = self.reader.read(buffer)?;
        self.unfolded += count as u64;
        Ok(count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// The content of a member of a zip file, of which `left` bytes may come.
pub(crate) fn unzip(member: ZipFile<impl Read>, left: u64, length: u64) -> Result<Vec<u8>, Fault> {
    let claimed = member.size();
    // The member ends where its claim does, so that a lie costs no memory either.
    if claimed > left || claimed > most_of(member.compressed_size().min(length)) {
        return Err(bomb(member.compressed_size().min(length)));
    }
    let mut bytes = Vec::new();
    let damaged = |found: String| Fault::damaged(format!("{claimed} bytes"), found);
    let read = member.take(claimed + 1).read_to_end(&mut bytes);
    read.map_err(|error| damaged(format!("\"{error}\"")))?;
    if bytes.len() as u64 == claimed { Ok(bytes) } else { Err(damaged(bytes.len().to_string())) }
}

/// The refusal of a file that unfolds without end.
pub(crate) fn bomb(length: u64) -> Fault {
    let expected = format!("{length} packed bytes that unfold to at most {} MiB", most_of(length) >> 20);
    let fix = "the file is damaged or made to fill memory: fetch it again, or give the data unpacked";
    Fault::new(Kind::Unsupported, expected, "more", fix)
}

fn members(file: Unfolding<impl Read>) -> Result<(Members, BTreeSet<String>), Fault> {
    let mut archive = tar::Archive::new(file);
    let read = each_member(&mut archive);
    let mut rest = archive.into_inner();
    // A gzip file's checksum stands behind the archive's end.
    let drained = io::copy(&mut rest, &mut io::sink());
    if let Some(bomb) = rest.bomb() {
        return Err(bomb);
    }
    let members = read?;
    drained.map_err(|error| Fault::damaged("a tar archive", format!("\"{error}\"")))?;
    Ok(members)
}

fn each_member(archive: &mut tar::Archive<impl Read>) -> Result<(Members, BTreeSet<String>), Fault> {
    let damaged = |error: io::Error| Fault::damaged("a tar archive", format!("\"{error}\""));
    let (mut members, mut folders) = (Members::new(), BTreeSet::new());
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let place = Place::Byte(usize::try_from(entry.raw_header_position()).unwrap_or(usize::MAX));
        let name = name(&entry.path_bytes()).map_err(|fault| fault.at(place))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            let visible = !name.is_empty() && !name.split('/').any(hidden);
            folders.extend(visible.then_some(name));
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).map_err(|error| damaged(error).at(place))?;
            if bytes.len() as u64 != entry.size() {
                let expected = format!("{} bytes of `{name}`", entry.size());
                return Err(Fault::damaged(expected, bytes.len().to_string()).at(place));
            }
            members.insert(name, bytes);
        } else if !kind.is_pax_global_extensions() {
            let fix = "pack the files themselves: tar --dereference --hard-dereference, without --sparse";
            let found = format!("`{name}`, which is a {kind:?}");
            return Err(Fault::new(Kind::Unsupported, "an archive of files and folders", found, fix).at(place));
        }
    }
    Ok((members, folders))
}

fn zip_members(file: impl Read + Seek, length: u64) -> Result<(Members, BTreeSet<String>), Fault> {
    let damaged = |error: ZipError| Fault::damaged("a zip archive", format!("\"{error}\""));
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let (mut members, mut folders) = (Members::new(), BTreeSet::new());
    let mut left = most_of(length);
    for i in 0..archive.len() {
        let entry = archive.by_index(i).map_err(damaged)?;
        let text = entry.name().map_err(damaged)?.into_owned();
        let name = name(text.as_bytes())?;
        if entry.is_symlink() {
            let fix = "pack the files themselves";
            let found = format!("the link `{name}`");
            return Err(Fault::new(Kind::Unsupported, "an archive of files and folders", found, fix));
        }
        let visible = !name.is_empty() && !name.split('/').any(hidden);
        if entry.is_dir() {
            folders.extend(visible.then_some(name));
        } else if visible {
            let bytes = unzip(entry, left, length).map_err(|fault| within(&name, fault))?;
            left -= bytes.len() as u64;
            members.insert(name, bytes);
        }
    }
    Ok((members, folders))
}

/// A member's name without `./`; or why it may not be read.
fn name(path: &[u8]) -> Result<String, Fault> {
    let text = String::from_utf8_lossy(path);
    if text.starts_with('/') || text.split('/').any(|part| part == "..") {
        let fix = "do not use this archive unless you trust its author: unpacking it would write elsewhere";
        let expected = "an archive whose files lie within it";
        return Err(Fault::new(Kind::Unsupported, expected, format!("the path `{text}`"), fix));
    }
    let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    Ok(parts.join("/"))
}

/// A fault in a part of a file that has a name.
pub(crate) fn within(name: &str, fault: Fault) -> Fault {
    Fault { expected: format!("{} in `{name}`", fault.expected), ..fault }
}
