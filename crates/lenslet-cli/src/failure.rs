//! How a command can end other than well, and what the shell is told.

use std::panic::PanicHookInfo;
use std::process::ExitCode;

use crate::output;

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something that the user can mend, in one message.
    Mend(String),
    /// The same, and it has been said already.
    Said,
    /// What we claim was found not to be so, and that has been said.
    NotReached,
    /// The user stopped it.
    Interrupted,
    /// Whoever read standard output has seen enough.
    NobodyReads,
}

/// What shells give a command that Ctrl-C ended: 128 and the signal's number.
pub(crate) const INTERRUPTED: u8 = 130;

impl Failure {
    /// Says what there is to say, and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Failure::Mend(message) => {
                output::note(format_args!("error: {message}"));
                ExitCode::from(2)
            }
            Failure::Said => ExitCode::from(2),
            Failure::NotReached => ExitCode::FAILURE,
            Failure::Interrupted => ExitCode::from(INTERRUPTED),
            Failure::NobodyReads => ExitCode::SUCCESS,
        }
    }
}

impl From<lenslet::Error> for Failure {
    fn from(error: lenslet::Error) -> Self {
        Failure::Mend(error.to_string())
    }
}

impl From<lenslet::data::DataError> for Failure {
    fn from(error: lenslet::data::DataError) -> Self {
        Failure::Mend(error.to_string())
    }
}

impl From<lenslet_fetch::Error> for Failure {
    fn from(error: lenslet_fetch::Error) -> Self {
        Failure::Mend(error.to_string())
    }
}

impl From<lenslet::networks::UnknownNetwork> for Failure {
    fn from(error: lenslet::networks::UnknownNetwork) -> Self {
        Failure::Mend(error.to_string())
    }
}

/// What is said of a panic.
pub(crate) fn fault_of_ours(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().unwrap_or("something unexpected happened");
    let place = panic.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "lenslet {version} failed, which is our fault and not yours: {what}{place}\n  \
         please report it to the authors of Lenslet, with this message and the command that you gave"
    )
}
