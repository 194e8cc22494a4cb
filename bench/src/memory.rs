//! Peak memory of a training step, of Lenslet and of PyTorch, measured in the same way: each in a fresh process that trains
//! some steps and then reads its own high-water mark (`VmHWM`). The mark before the network was made is told beside it.

use std::process::Command;

use crate::lenslet_side::Lenslet;
use crate::peer::{self, Peer};
use crate::works::{Kind, Net, Work};

/// What is trained.
const WORK: Work = Work { net: Net::W2, kind: Kind::Train, batch: 256, goal: None };
const THREADS: &str = "2";
/// The second step takes no more than the first, but an allocator may scatter it.
const STEPS: usize = 3;

/// High-water marks of a process, in KiB.
pub(crate) struct Peak {
    pub(crate) who: String,
    /// When libraries were loaded and nothing else was done.
    pub(crate) baseline: u64,
    /// After some steps.
    pub(crate) peak: u64,
}

/// Lenslet's peak and, where it is there, those of PyTorch's variants.
pub(crate) fn measure(peers: &[Peer]) -> Result<Vec<Peak>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut peaks = vec![read("Lenslet".into(), Command::new(program).args(["memory", "--worker"]))?];
    if peers.contains(&Peer::Pytorch) {
        peer::install(Peer::Pytorch)?;
        for with_tcmalloc in [false, true] {
            for variant in ["eager", "channels_last"] {
                if with_tcmalloc && peer::tcmalloc().is_none() {
                    continue;
                }
                let mut command = peer::pytorch(THREADS, with_tcmalloc)?;
                command.args(["--memory", WORK.net.name(), &WORK.batch.to_string(), variant]);
                let allocator = if with_tcmalloc { " + tcmalloc" } else { "" };
                peaks.push(read(format!("PyTorch {variant}{allocator}"), &mut command)?);
            }
        }
    }
    Ok(peaks)
}

/// In the process of its own: trains, and prints `peak BASELINE PEAK`.
pub(crate) fn work() -> Result<(), String> {
    let baseline = high_water_mark()?;
    let mut lenslet = Lenslet::new(&WORK, THREADS.parse().expect("a number"))?;
    for _ in 0..STEPS {
        lenslet.step()?;
    }
    println!("peak {baseline} {}", high_water_mark()?);
    Ok(())
}

fn high_water_mark() -> Result<u64, String> {
    let status = std::fs::read_to_string("/proc/self/status").map_err(|error| format!("/proc/self/status: {error}"))?;
    let mark = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    mark.ok_or_else(|| "/proc/self/status has no VmHWM".into())
}

fn read(who: String, command: &mut Command) -> Result<Peak, String> {
    let output = command.output().map_err(|error| format!("{who}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut numbers = said.lines().filter_map(|line| line.strip_prefix("peak "));
    let marks: Option<Vec<u64>> = numbers.next().map(|line| line.split(' ').flat_map(str::parse).collect());
    match marks.as_deref() {
        Some(&[baseline, peak]) => {
            println!("{who}: {} MiB, {} MiB of them before the network was made", peak / 1024, baseline / 1024);
            Ok(Peak { who, baseline, peak })
        }
        _ => Err(format!("{who} told no peak of memory: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
