//! The two streams, and how numbers are written.
//!
//! *Invariant:* writing never panics. Standard error that cannot be written to is nobody's loss; standard output whose
//! reader has left (`lenslet summary lesson | head -1`) ends the command quietly.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::time::Duration;

use serde::Serialize;

use crate::failure::Failure;

/// A line of standard error: progress, remarks, errors.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// A line of standard output: a result.
pub(crate) fn result(text: impl Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::NobodyReads,
        _ => Failure::Mend(format!("standard output cannot be written: {error}")),
    })
}

/// A line of standard output for programs.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    result(to_json(value))
}

/// A value as one line of JSON.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("these values have string keys and no failing parts")
}

/// `62,006`.
pub(crate) fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `20 epochs`.
pub(crate) fn epochs(number: usize) -> String {
    if number == 1 { "1 epoch".to_owned() } else { format!("{} epochs", count(number)) }
}

/// A share from 0 to 1 as `93.4 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `18.4 KiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    // What would be rounded to 1024.0 is shown in the next unit.
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// `0.3 s`, `42 s`, `3 min 05 s`, `2 h 07 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 9.95 => format!("{seconds:.1} s"),
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!([0_u64, 999, 1_000, 62_006, 11_173_962].map(count), ["0", "999", "1,000", "62,006", "11,173,962"]);
        assert_eq!([0.0, 0.0999, 1.0].map(percent), ["0.0 %", "10.0 %", "100.0 %"]);
        assert_eq!(
            [0, 1023, 1024, 18_816, 1 << 20, (1 << 20) - 1].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "18.4 KiB", "1.0 MiB", "1.0 MiB"]
        );
        let seconds = [0.34, 9.96, 59.4, 59.6, 185.0, 3_600.0, 7_640.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(seconds, ["0.3 s", "10 s", "59 s", "1 min 00 s", "3 min 05 s", "1 h 00 min", "2 h 07 min"]);
    }
}
