//! Whole files from disk, the one way to them for every format.
//!
//! *Invariant:* only regular files are read: a pipe or a device may never answer, or never end. How long a file is gets
//! looked at before its bytes are, and one for which there is no room is refused.
use crate::error::{DataError, Fault, Kind};
use crate::memory::free_memory;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Longer picture files are refused: the largest that is decoded has fewer bytes of pixels than three times this.
pub(crate) const MOST_OF_PICTURE: u64 = 256 << 20;
/// Shorter files are read without asking the system for its free memory.
const SMALL: u64 = 64 << 20;

/// An open file and its length.
pub(crate) fn open(path: &Path) -> Result<(File, u64), DataError> {
    let unreadable = |error| DataError::io(path, error);
    // To open a pipe may take for ever.
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        let found = if metadata.is_dir() { "a folder" } else { "a pipe, a device or a socket" };
        let fix = "copy what it yields into a file, and give that one";
        return Err(Fault::new(Kind::Unreadable, "a regular file", found, fix).in_file(path));
    }
    let file = File::open(path).map_err(unreadable)?;
    let length = file.metadata().map_err(unreadable)?.len();
    Ok((file, length))
}

/// The bytes of a file of data, if there is memory for them.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let (file, length) = open(path)?;
    bytes(path, file, length)
}

/// The bytes of a picture's file.
pub(crate) fn read_picture(path: &Path) -> Result<Vec<u8>, DataError> {
    let (file, length) = open(path)?;
    if length > MOST_OF_PICTURE {
        let expected = format!("a picture's file of at most {} MiB", MOST_OF_PICTURE >> 20);
        return Err(Fault::new(Kind::Unsupported, expected, "one of more", "scale the picture down").in_file(path));
    }
    bytes(path, file, length)
}

fn bytes(path: &Path, file: File, length: u64) -> Result<Vec<u8>, DataError> {
    check_memory(length).map_err(|fault| fault.in_file(path))?;
    let mut bytes = Vec::new();
    let room = bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX));
    room.map_err(|_| no_memory(length, None).in_file(path))?;
    file.take(length).read_to_end(&mut bytes).map_err(|error| DataError::io(path, error))?;
    Ok(bytes)
}

/// Refuses a file of a length for which there is no memory.
pub(crate) fn check_memory(length: u64) -> Result<(), Fault> {
    let free = if length > SMALL { free_memory() } else { None };
    match free.filter(|&free| length > free) {
        Some(free) => Err(no_memory(length, Some(free))),
        None => Ok(()),
    }
}

fn no_memory(length: u64, free: Option<u64>) -> Fault {
    let free = free.map_or(String::new(), |free| format!(", of which {} MiB are free", free >> 20));
    let expected = format!("a file that fits into memory{free}");
    let fix =
        "see that it is the right file; if so, give a smaller part of the data, or use a machine with more memory";
    Fault::new(Kind::Unsupported, expected, format!("one of {} MiB", length >> 20), fix)
}
