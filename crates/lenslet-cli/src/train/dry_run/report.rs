//! What a dry run has found, for programs: the object of `--dry-run --json`. Sizes are bytes, times seconds.

use lenslet::Warning;
use serde::Serialize;

/// What was found, for programs.
#[derive(Default, Serialize)]
pub(super) struct Report {
    pub(super) event: &'static str,
    /// Whether nothing is in the way of the run.
    pub(super) ok: bool,
    /// What is, each in one message.
    pub(super) failures: Vec<String>,
    pub(super) data: DataFound,
    pub(super) network: NetworkFound,
    pub(super) memory: MemoryFound,
    pub(super) disk: DiskFound,
    pub(super) start: Option<StartFound>,
    pub(super) by_heart: Vec<ByHeartFound>,
    pub(super) time: Option<TimeFound>,
}

#[derive(Default, Serialize)]
pub(super) struct DataFound {
    pub(super) train: usize,
    pub(super) test: usize,
    pub(super) classes: usize,
    pub(super) warnings: Vec<serde_json::Value>,
}

#[derive(Default, Serialize)]
pub(super) struct NetworkFound {
    pub(super) name: String,
    pub(super) input: String,
    pub(super) parameters: usize,
    pub(super) macs: u64,
    pub(super) warnings: Vec<Warning>,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct MemoryFound {
    pub(super) weights: u64,
    pub(super) optimizer: u64,
    pub(super) training: u64,
    pub(super) testing: u64,
    pub(super) total: u64,
    pub(super) free: Option<u64>,
}

#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct DiskFound {
    pub(super) checkpoint: u64,
    pub(super) state: u64,
    pub(super) total: u64,
    pub(super) free: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct StartFound {
    pub(super) loss: f64,
    pub(super) chance: f64,
}

#[derive(Serialize)]
pub(super) struct ByHeartFound {
    pub(super) optimizer: String,
    pub(super) learnt: bool,
    pub(super) images: usize,
    pub(super) classes: usize,
    pub(super) steps: usize,
    /// None where there was no number.
    pub(super) first_loss: Option<f64>,
    pub(super) last_loss: Option<f64>,
}

#[derive(Serialize)]
pub(super) struct TimeFound {
    pub(super) step_seconds: f64,
    pub(super) steps_per_epoch: usize,
    pub(super) test_seconds: f64,
    pub(super) epochs: usize,
    pub(super) total_seconds: f64,
}
