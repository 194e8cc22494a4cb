//! How much memory there is to take.
use sysinfo::{MemoryRefreshKind, System};

/// Bytes of memory that can still be taken, as far as the system tells: the machine's, or those of the container that the
/// program runs in.
pub fn free_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let machine = Some(system.available_memory()).filter(|&bytes| bytes > 0);
    let container = system.cgroup_limits().map(|limits| limits.free_memory);
    machine.into_iter().chain(container).min()
}
