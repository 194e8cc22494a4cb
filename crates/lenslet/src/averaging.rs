//! Averages of weights over the steps of training: what the network answers with, or is led back to.
//!
//! An exponential moving average ([`Settings::ema`](crate::Settings::ema); Polyak and Juditsky, 1992; its warm-up is that of
//! TensorFlow's `ExponentialMovingAverage`) follows the weights and answers in their place. Lookahead (Zhang, Lucas, Hinton,
//! Ba: "Lookahead Optimizer", 2019, <https://arxiv.org/abs/1907.08610>) leads the weights every few steps back to an average of
//! its own. Running statistics are averaged as weights are.

use std::fmt;
use std::str::FromStr;

use lenslet_cpu::Pool;
use lenslet_cpu::loops::{self, Loops};
use serde::{Deserialize, Serialize};

use crate::parts::Parts;
use crate::{Settings, Weights};

/// How often weights are led back, and how far the average then moves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Lookahead {
    /// Steps from one time to the next.
    pub steps: u32,
    /// Share of the way to the weights that the average moves.
    pub share: f32,
}

impl Default for Lookahead {
    /// The paper's: half of the way, every 5 steps.
    fn default() -> Self {
        Self { steps: 5, share: 0.5 }
    }
}

impl fmt::Display for Lookahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.steps, self.share)
    }
}

impl FromStr for Lookahead {
    type Err = String;

    /// `5:0.5`, or `5`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (steps, share) = text.split_once(':').unwrap_or((text, "0.5"));
        let steps = steps.parse().ok().filter(|&steps| steps > 0);
        let share = share.parse().ok().filter(|share| (0.0..=1.0).contains(share) && *share > 0.0);
        match (steps, share) {
            (Some(steps), Some(share)) => Ok(Self { steps, share }),
            _ => Err(format!(
                "\"{text}\" is no lookahead; it is STEPS:SHARE, as in 5:0.5, with a share above 0 and up to 1"
            )),
        }
    }
}

impl From<Lookahead> for String {
    fn from(lookahead: Lookahead) -> Self {
        lookahead.to_string()
    }
}

impl TryFrom<String> for Lookahead {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The averages of a training under way.
pub(crate) struct Averages {
    decay: f32,
    lookahead: Lookahead,
    /// The exponential moving average, if there is one.
    pub(crate) ema: Option<Weights>,
    /// Lookahead's slow weights; empty without it.
    pub(crate) slow: Vec<f32>,
}

impl Averages {
    /// Both begin with the weights.
    pub(crate) fn new(settings: &Settings, weights: &Weights) -> Self {
        Self {
            decay: settings.ema.unwrap_or(0.0),
            lookahead: settings.lookahead.unwrap_or_default(),
            ema: settings.ema.map(|_| weights.clone()),
            slow: settings.lookahead.map_or_else(Vec::new, |_| weights.all().to_vec()),
        }
    }

    /// The weights that the network answers with: their moving average where there is one.
    pub(crate) fn answering<'a>(&'a self, weights: &'a Weights) -> &'a Weights {
        self.ema.as_ref().unwrap_or(weights)
    }

    /// Begins anew, from weights that were set from elsewhere.
    pub(crate) fn restart(&mut self, weights: &Weights) {
        if let Some(ema) = &mut self.ema {
            ema.all_mut().copy_from_slice(weights.all());
        }
        if !self.slow.is_empty() {
            self.slow.copy_from_slice(weights.all());
        }
    }

    /// Bytes of both.
    pub(crate) fn bytes(&self) -> u64 {
        (self.ema.as_ref().map_or(0, |ema| ema.all().len()) + self.slow.len()) as u64 * 4
    }

    /// Follows weights that have taken a step, the one of this number, from 1.
    pub(crate) fn follow(&mut self, pool: &mut Pool, parts: &Parts, weights: &mut Weights, step: u32) {
        if !self.slow.is_empty() && step.is_multiple_of(self.lookahead.steps) {
            let share = self.lookahead.share;
            pool.run_apart([weights.all_mut(), &mut self.slow], parts.ranges(), &|_, [weights, slow]| {
                loops::run(Towards { average: slow, weights, share });
                weights.copy_from_slice(slow);
            });
        }
        if let Some(ema) = &mut self.ema {
            // At first all of the past is worth little.
            let decay = self.decay.min((1.0 + step as f32) / (10.0 + step as f32));
            let weights = weights.all();
            pool.run_apart([ema.all_mut()], parts.ranges(), &|part, [average]| {
                let weights = &weights[parts.ranges()[part].clone()];
                loops::run(Towards { average, weights, share: 1.0 - decay });
            });
        }
    }
}

/// An average that moves a share of the way to the weights.
struct Towards<'a> {
    average: &'a mut [f32],
    weights: &'a [f32],
    share: f32,
}

impl Loops for Towards<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (average, &weight) in self.average.iter_mut().zip(self.weights) {
            *average += self.share * (weight - *average);
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::{Graph, Init, Parameter, Shape};

    use super::*;

    fn weights(values: &[f32]) -> Weights {
        let parameter = Parameter {
            name: "w".into(),
            shape: Shape::whole(&[values.len()]).expect("a possible size"),
            init: Init::Constant(0.0),
            trainable: true,
        };
        let mut weights = Weights::new(&Graph { parameters: vec![parameter], ..Graph::default() }, 0);
        weights.values_mut(0).copy_from_slice(values);
        weights
    }

    /// The two formulas by hand: a weight that grows by 1 a step.
    #[test]
    fn averages_follow_their_formulas() {
        let settings =
            Settings { ema: Some(0.25), lookahead: Some(Lookahead { steps: 2, share: 0.5 }), ..Settings::default() };
        let mut weights = weights(&[0.0; 3]);
        let (mut pool, parts) = (Pool::new(2), Parts::new(&weights));
        let mut averages = Averages::new(&settings, &weights);
        let (mut weight, mut slow, mut ema) = (0.0_f32, 0.0_f32, 0.0_f32);
        for step in 1..=6 {
            weight += 1.0;
            weights.values_mut(0).iter_mut().for_each(|w| *w += 1.0);
            averages.follow(&mut pool, &parts, &mut weights, step);
            if step % 2 == 0 {
                slow = 0.5 * slow + 0.5 * weight;
                weight = slow;
            }
            // (1 + step)/(10 + step) is below 0.25 in the first step alone.
            let decay = if step == 1 { 2.0 / 11.0 } else { 0.25 };
            ema = decay * ema + (1.0 - decay) * weight;
            assert_eq!(weights.values(0), [weight; 3], "step {step}");
            let ours = averages.ema.as_ref().expect("it was asked for").values(0)[0];
            assert!((ours - ema).abs() < 1e-5, "step {step}: {ours} is not {ema}");
        }
        // Halfway from 0 to 2, from 1 to 3, from 2 to 4.
        assert_eq!(slow, 3.0);
    }

    #[test]
    fn a_lookahead_is_written_as_steps_and_share() {
        assert_eq!("5".parse(), Ok(Lookahead::default()));
        assert_eq!(Lookahead { steps: 3, share: 0.25 }.to_string(), "3:0.25");
        for wrong in ["0:0.5", "5:0", "5:2", "a", "5:"] {
            assert!(wrong.parse::<Lookahead>().expect_err("it is none").contains("STEPS:SHARE"), "{wrong}");
        }
    }
}
