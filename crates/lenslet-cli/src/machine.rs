//! What the machine has to give: memory and disk.

use std::path::Path;

use lenslet::Model;
use sysinfo::{MemoryRefreshKind, System};

use crate::failure::Failure;
use crate::output::bytes;

/// Bytes of memory that can still be taken, as far as the system tells: the machine's, or those of the container that the
/// program runs in.
pub(crate) fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    let container = system.cgroup_limits().map(|limits| limits.free_memory);
    machine.into_iter().chain(container).min()
}

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
