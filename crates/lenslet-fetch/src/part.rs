//! A file that has arrived in part: `NAME.part`, and beside it `NAME.part.json`, which says where it came from.
//!
//! *Invariant:* `NAME` exists only when all of its bytes have arrived and are on disk. A part is added to only by the
//! address that it began with, and, where that gave a validator, only while the validator holds.

use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file on its way.
pub(crate) struct Part {
    whole: PathBuf,
    part: PathBuf,
    origin_file: PathBuf,
    origin: Origin,
    length: u64,
    file: Option<File>,
}

/// Where a part came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) address: String,
    /// What the source calls this version of the file: a strong ETag, or else the time of its last change.
    pub(crate) validator: Option<String>,
}

impl Part {
    /// What there is of the file `whole` from `address`, if anything.
    pub(crate) fn open(whole: &Path, address: &str) -> Self {
        let beside = |ending: &str| PathBuf::from(format!("{}{ending}", whole.display()));
        let (part, origin_file) = (beside(".part"), beside(".part.json"));
        let known = fs::read(&origin_file).ok().and_then(|bytes| serde_json::from_slice::<Origin>(&bytes).ok());
        let known = known.filter(|origin| origin.address == address);
        let length = if known.is_some() { fs::metadata(&part).map_or(0, |part| part.len()) } else { 0 };
        let origin = known.unwrap_or_default();
        Self { whole: whole.to_path_buf(), part, origin_file, origin, length, file: None }
    }

    /// Bytes that have arrived.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// What a request for the rest must name, if the source gave it.
    pub(crate) fn validator(&self) -> Option<&str> {
        self.origin.validator.as_deref()
    }

    /// Begins anew.
    pub(crate) fn restart(&mut self, origin: Origin) -> Result<(), Trouble> {
        let file = File::create(&self.part).map_err(Trouble::disk(&self.part))?;
        let json = serde_json::to_vec(&origin).expect("two strings");
        fs::write(&self.origin_file, json).map_err(Trouble::disk(&self.origin_file))?;
        (self.origin, self.length, self.file) = (origin, 0, Some(file));
        Ok(())
    }

    /// Adds bytes that have arrived, without a buffer: whatever ends the process, they are kept.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = OpenOptions::new().append(true).open(&self.part).map_err(Trouble::disk(&self.part))?;
                none.insert(file)
            }
        };
        file.write_all(bytes).map_err(Trouble::disk(&self.part))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// All of it has arrived.
    pub(crate) fn finish(mut self) -> Result<(), Trouble> {
        let file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().append(true).open(&self.part).map_err(Trouble::disk(&self.part))?,
        };
        file.sync_all().map_err(Trouble::disk(&self.part))?;
        drop(file);
        fs::rename(&self.part, &self.whole).map_err(Trouble::disk(&self.whole))?;
        let _ = fs::remove_file(&self.origin_file);
        Ok(())
    }

    /// It is of no use.
    pub(crate) fn discard(&mut self) {
        self.file = None;
        self.length = 0;
        let _ = fs::remove_file(&self.part);
        let _ = fs::remove_file(&self.origin_file);
    }
}
