//! A file of the cache, mapped into memory: the one place of this crate with unsafe code.
//!
//! *Invariant:* only files of the cache are mapped, which nobody changes in place (see `cache`).
#![allow(unsafe_code)] // Mapping a file is unsafe, since someone might change it.
use std::fs::File;
use std::io;
use std::ops::Deref;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) struct Map(memmap2::Mmap);

impl Map {
    /// Maps a file that was written under another name and renamed.
    pub(crate) fn of_cache(file: &File) -> io::Result<Self> {
        // SAFETY: the bytes of a mapping must not change while it is there. The file is ours: `Cache::write` writes it
        // under another name and renames it when it is complete, a newer version is a new file under the old name, and
        // nothing opens it for writing again.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(map))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
