//! Learning-rate schedules: what part of the learning rate holds at each step.
//!
//! The formulas are PyTorch's (<https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate>), counted in steps
//! rather than epochs, so that the rate moves smoothly. A warm-up rises evenly from 0 before the schedule begins.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Schedule {
    /// The same rate throughout.
    Constant,
    /// Times `gamma` every `epochs`, `StepLR`.
    Step {
        /// Epochs from one drop to the next.
        epochs: usize,
        /// What remains at a drop.
        gamma: f64,
    },
    /// Half a cosine down to 0, `CosineAnnealingLR` (Loshchilov and Hutter, 2017).
    Cosine,
    /// Evenly down to 0, `LinearLR`.
    Linear,
    /// Up from a 25th and down to nearly 0, each by half a cosine, `OneCycleLR` (Smith and Topin, 2018) with its defaults;
    /// the momentum is left alone. The rate given is the highest.
    OneCycle,
}

/// A schedule over the steps of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The schedule.
    pub schedule: Schedule,
    /// The learning rate, of which the schedule gives a part.
    pub rate: f32,
    /// Steps of the whole run.
    pub steps: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: usize,
    /// Steps of warm-up, among them.
    pub warmup: usize,
}

impl Rates {
    /// The learning rate of a step, counted from 0.
    pub fn at(&self, step: usize) -> f32 {
        if step < self.warmup {
            return (f64::from(self.rate) * (step + 1) as f64 / (self.warmup + 1) as f64) as f32;
        }
        let (step, steps) = (step - self.warmup, self.steps.saturating_sub(self.warmup).max(1));
        (f64::from(self.rate) * self.part(step, steps)) as f32
    }

    /// What part of the rate holds at `step` of `steps`.
    fn part(&self, step: usize, steps: usize) -> f64 {
        let progress = step as f64 / steps as f64;
        match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Step { epochs, gamma } => {
                gamma.powi((step / epochs.saturating_mul(self.steps_per_epoch).max(1)) as i32)
            }
            Schedule::Cosine => (1.0 + (PI * progress).cos()) / 2.0,
            Schedule::Linear => 1.0 - progress,
            Schedule::OneCycle => one_cycle(step as f64, steps as f64),
        }
    }
}

/// PyTorch's one-cycle policy: the top is reached after 30 % of the steps.
fn one_cycle(step: f64, steps: f64) -> f64 {
    const START: f64 = 1.0 / 25.0;
    const END: f64 = START / 1e4;
    let between = |from: f64, to: f64, part: f64| to + (from - to) / 2.0 * (1.0 + (PI * part).cos());
    let (top, last) = (0.3 * steps - 1.0, steps - 1.0);
    if top > 0.0 && step <= top {
        between(START, 1.0, step / top)
    } else if last > top {
        between(1.0, END, ((step - top.max(0.0)) / (last - top.max(0.0)).max(1.0)).min(1.0))
    } else {
        1.0
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schedule::Constant => f.write_str("constant"),
            Schedule::Step { epochs, gamma } => write!(f, "step:{epochs}:{gamma}"),
            Schedule::Cosine => f.write_str("cosine"),
            Schedule::Linear => f.write_str("linear"),
            Schedule::OneCycle => f.write_str("one-cycle"),
        }
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        schedule.to_string()
    }
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// `constant`, `cosine`, `linear`, `one-cycle`, or `step:EPOCHS:GAMMA`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "constant" => Ok(Schedule::Constant),
            "cosine" => Ok(Schedule::Cosine),
            "linear" => Ok(Schedule::Linear),
            "one-cycle" => Ok(Schedule::OneCycle),
            _ => step(text).ok_or_else(|| {
                format!("no schedule is named {text}; there are constant, step:EPOCHS:GAMMA, cosine, linear, one-cycle")
            }),
        }
    }
}

/// `step:30:0.1`: every 30 epochs a tenth remains.
fn step(text: &str) -> Option<Schedule> {
    let mut parts = text.split(':');
    if parts.next() != Some("step") {
        return None;
    }
    let epochs = parts.next().map_or(Some(30), |n| n.parse().ok().filter(|&n: &usize| n > 0))?;
    let gamma = parts.next().map_or(Some(0.1), |g| g.parse().ok().filter(|g: &f64| g.is_finite() && *g > 0.0))?;
    parts.next().is_none().then_some(Schedule::Step { epochs, gamma })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PyTorch's rates of 100 steps, from `tests/fixtures/make_schedules.py`.
    #[test]
    fn rates_are_pytorchs() {
        let json: serde_json::Value = serde_json::from_str(include_str!("../tests/fixtures/schedules.json")).unwrap();
        for case in json["schedules"].as_array().unwrap() {
            let schedule = match case["name"].as_str().unwrap() {
                "step" => Schedule::Step { epochs: 30, gamma: 0.1 },
                "cosine" => Schedule::Cosine,
                "linear" => Schedule::Linear,
                "one_cycle" => Schedule::OneCycle,
                "cosine_with_floor" => continue, // A floor above 0 is not offered.
                name => panic!("no schedule {name}"),
            };
            let theirs: Vec<f64> =
                case["rates"].as_array().unwrap().iter().map(|rate| rate.as_f64().unwrap()).collect();
            let rate = theirs.iter().copied().fold(0.0, f64::max) as f32;
            let rates = Rates { schedule, rate, steps: theirs.len(), steps_per_epoch: 1, warmup: 0 };
            for (step, theirs) in theirs.iter().enumerate() {
                let ours = f64::from(rates.at(step));
                assert!(
                    (ours - theirs).abs() <= 1e-6 * f64::from(rate),
                    "{schedule}, step {step}: {ours}, PyTorch {theirs}"
                );
            }
        }
    }

    #[test]
    fn a_warm_up_rises_evenly_and_then_the_schedule_begins() {
        let rates = Rates { schedule: Schedule::Linear, rate: 1.0, steps: 13, steps_per_epoch: 1, warmup: 3 };
        let all: Vec<f32> = (0..5).map(|step| rates.at(step)).collect();
        assert_eq!(all, [0.25, 0.5, 0.75, 1.0, 0.9]);
    }
}
