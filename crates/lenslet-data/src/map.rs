//! A file mapped into memory: the one place of this crate with unsafe code.
//!
//! *Invariant:* only files are mapped that nobody changes in place any more: those of the cache (see `cache`) and those
//! without a name that hold what memory does not (see `store`).
#![allow(unsafe_code)] // Mapping a file is unsafe, since someone might change it.
use std::fs::File;
use std::io;
use std::ops::Deref;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct Map {
    bytes: memmap2::Mmap,
    /// Some systems remove a file without a name when it is closed, mapped or not; so it is closed last.
    _file: File,
}

impl Map {
    /// Maps a file that is complete.
    pub(crate) fn of_finished(file: File) -> io::Result<Self> {
        // SAFETY: the bytes of a mapping must not change while it is there. The file is ours. One of the cache is
        // written under another name by `Cache::write` and renamed when it is complete, a newer version is a new file
        // under the old name, and nothing opens it for writing again. One of a `Store` has no name under which others
        // could open it, and its only writer gave it away with `file`, which nothing writes to from here on.
        let bytes = unsafe { memmap2::Mmap::map(&file) }?;
        Ok(Self { bytes, _file: file })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
