#![no_main]
use lenslet::{State, Trainer, state::seal};
use std::cell::RefCell;

thread_local!(static TRAINER: RefCell<Trainer> = RefCell::new(lenslet_fuzz::trainer()));

// With its checksum made to fit: a fuzzer would not find one.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = State::from_bytes(bytes.to_vec(), "state".as_ref());
    let mut sealed = bytes.to_vec();
    seal(&mut sealed);
    if let Ok(state) = State::from_bytes(sealed, "state".as_ref()) {
        let _ = TRAINER.with_borrow_mut(|trainer| trainer.restore(&state));
    }
});
