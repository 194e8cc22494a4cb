//! How many threads a command may use.

use crate::failure::Failure;

/// The most that may be asked for; each has memory of its own.
const MOST: i64 = 1024;

/// What `--threads` says, or as many as the machine has.
pub(crate) fn wanted(given: Option<i64>) -> Result<usize, Failure> {
    match given {
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
        Some(threads) if (1..=MOST).contains(&threads) => Ok(threads as usize),
        Some(threads) => Err(Failure::Mend(format!("--threads is {threads}, but must be from 1 to {MOST}"))),
    }
}
