//! Ctrl-C: the first one asks for an orderly end, the second one is obeyed at once. While there is nothing to be kept yet,
//! the first one is, too.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::failure::INTERRUPTED;
use crate::output;

/// Whether the user has asked for the end: by Ctrl-C, or by the signal that `kill` sends.
#[derive(Clone, Default)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    /// Whether there is something to be kept.
    orderly: Arc<AtomicBool>,
}

impl Interrupt {
    /// Listens from now on. Until [`Interrupt::orderly`] the program ends at once.
    pub(crate) fn listen() -> Self {
        let interrupt = Self::default();
        let Self { asked, orderly } = interrupt.clone();
        let listening = ctrlc::set_handler(move || {
            let again = asked.swap(true, Ordering::Relaxed);
            let nothing_to_keep = !orderly.load(Ordering::Relaxed);
            if nothing_to_keep {
                output::note("stopped before training began");
            }
            if again || nothing_to_keep {
                std::process::exit(INTERRUPTED.into());
            }
        });
        if let Err(error) = listening {
            output::note(format_args!("note: Ctrl-C will not keep the last steps, since it cannot be caught: {error}"));
        }
        interrupt
    }

    /// From now on an end has to be an orderly one.
    pub(crate) fn orderly(&self) {
        self.orderly.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// The same as the library wants to hear it after each step.
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
