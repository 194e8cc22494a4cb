//! When a training state is written in the middle of an epoch: `--checkpoint-every`.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// Steps or time from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Every {
    Steps(u32),
    Time(Duration),
}

impl FromStr for Every {
    type Err = String;

    /// `500`, `30s`, `5min`, `2h`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let every = number.parse().ok().filter(|&number: &u32| number > 0).and_then(|number| {
            let seconds = |each: u64| Some(Every::Time(Duration::from_secs(u64::from(number) * each)));
            match unit.trim() {
                "" => Some(Every::Steps(number)),
                "s" => seconds(1),
                "min" => seconds(60),
                "h" => seconds(3600),
                _ => None,
            }
        });
        every.ok_or_else(|| "expected a number of steps, or a time, as in 500, 30s, 5min, 2h".into())
    }
}

/// Steps and time since the last state.
pub(super) struct Saving {
    every: Option<Every>,
    steps: u32,
    since: Instant,
}

impl Saving {
    /// A state has just been written.
    pub(super) fn new(every: Option<Every>) -> Self {
        Self { every, steps: 0, since: Instant::now() }
    }

    /// A step is done. Whether it is time for a state.
    pub(super) fn step(&mut self) -> bool {
        self.steps += 1;
        match self.every {
            None => false,
            Some(Every::Steps(steps)) => self.steps >= steps,
            Some(Every::Time(time)) => self.since.elapsed() >= time,
        }
    }

    /// A state has been written.
    pub(super) fn saved(&mut self) {
        *self = Self::new(self.every);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_times_are_read_as_people_write_them() {
        let seconds = |seconds| Every::Time(Duration::from_secs(seconds));
        let cases = [("1", Every::Steps(1)), ("500", Every::Steps(500)), ("30s", seconds(30)), ("5 min", seconds(300))];
        for (text, every) in cases.into_iter().chain([("2h", seconds(7200))]) {
            assert_eq!(text.parse(), Ok(every), "{text}");
        }
        for text in ["", "0", "0s", "-5", "5 days", "s", "1.5h", "99999999999"] {
            assert!(text.parse::<Every>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_state_is_due_after_so_many_steps() {
        let mut saving = Saving::new(Some(Every::Steps(2)));
        assert_eq!([saving.step(), saving.step(), saving.step()], [false, true, true]);
        saving.saved();
        assert!(!saving.step());
        assert!(!Saving::new(None).step());
    }
}
