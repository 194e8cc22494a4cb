//! Ctrl-C: the first one asks for an orderly end, the second one is obeyed at once.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::INTERRUPTED;
use crate::output;

/// Whether the user has asked for the end: by Ctrl-C, or by the signal that `kill` sends.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Listens from now on.
    pub(crate) fn listen() -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let flag = asked.clone();
        let listening = ctrlc::set_handler(move || {
            if flag.swap(true, Ordering::Relaxed) {
                std::process::exit(INTERRUPTED.into());
            }
        });
        if let Err(error) = listening {
            output::note(format_args!("note: Ctrl-C will not keep the last steps, since it cannot be caught: {error}"));
        }
        Self(asked)
    }

    /// Whether the end was asked for.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The same as the library wants to hear it after each step.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
