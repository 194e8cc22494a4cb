#![no_main]
use lenslet::checkpoint::Checkpoint;

libfuzzer_sys::fuzz_target!(init: { std::sync::LazyLock::force(&WEIGHTS); }, |bytes: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::from_bytes(bytes.to_vec(), "checkpoint".as_ref()) {
        let _ = checkpoint.load_into(&mut WEIGHTS.clone());
    }
});

static WEIGHTS: std::sync::LazyLock<lenslet::Weights> =
    std::sync::LazyLock::new(|| lenslet_fuzz::trainer().weights().clone());
