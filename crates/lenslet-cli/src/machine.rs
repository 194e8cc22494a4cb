//! What the machine has to give: memory and disk.

use std::path::Path;

use lenslet::Model;
pub(crate) use lenslet::data::free_memory;

use crate::failure::Failure;
use crate::output::bytes;

/// Refuses to ask `model` about `images` images where there is not enough memory for it.
pub(crate) fn check_memory(model: &Model, images: usize) -> Result<(), Failure> {
    let (needed, free) = (model.memory(images), free_memory().unwrap_or(u64::MAX));
    if needed <= free {
        return Ok(());
    }
    let [channels, height, width] = model.description().input;
    Err(Failure::Mend(format!(
        "asking {} about images of {channels}x{height}x{width} takes {} of memory, but {} are free\n  mend it: a network for \
         smaller images, or a machine with more memory",
        model.description().network,
        bytes(needed),
        bytes(free)
    )))
}

/// Bytes that can still be written to the disk of `folder`, which exists; or why that is not known.
pub(crate) fn free_disk(folder: &Path) -> std::io::Result<u64> {
    fs4::available_space(folder)
}

/// Whether files can be made in `folder`. The file that is made to find out has no name there, or loses it at once.
pub(crate) fn writable(folder: &Path) -> std::io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}
