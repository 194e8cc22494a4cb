//! Optimizers: how a gradient changes the weights.
//!
//! The formulas and their order are those of PyTorch's `torch.optim` (<https://pytorch.org/docs/stable/optim.html>), so ten
//! steps from the same weights end in the same weights. Running statistics are not theirs to change.
//!
//! An update is one pass over weights, gradients and memory, in parts that threads share; each number changes by itself, so
//! neither parts nor threads nor vectors change a bit.

use lenslet_cpu::Pool;
use lenslet_cpu::loops::{self, Loops};
use serde::{Deserialize, Serialize};

use crate::Weights;
use crate::parts::Parts;

/// An optimizer with its settings; the learning rate comes with each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum Optimizer {
    /// Stochastic gradient descent, `torch.optim.SGD`.
    Sgd {
        /// Share of the last step that is taken again.
        momentum: f32,
        /// Nesterov's form: the momentum is looked ahead (Sutskever et al., 2013).
        nesterov: bool,
        /// L2 penalty, added to the gradient.
        weight_decay: f32,
    },
    /// Adam (Kingma and Ba, 2015), `torch.optim.Adam`.
    Adam {
        /// Decay of the means of gradient and squared gradient.
        betas: [f32; 2],
        /// Added to the root of the mean square.
        eps: f32,
        /// L2 penalty, added to the gradient.
        weight_decay: f32,
    },
    /// Adam with the decay apart from the gradient (Loshchilov and Hutter, 2019), `torch.optim.AdamW`.
    AdamW {
        /// Decay of the means of gradient and squared gradient.
        betas: [f32; 2],
        /// Added to the root of the mean square.
        eps: f32,
        /// Share of the weights, times the learning rate, that is taken off in each step.
        weight_decay: f32,
    },
}

impl Optimizer {
    /// SGD with momentum; no Nesterov, no decay.
    pub const fn sgd(momentum: f32) -> Self {
        Optimizer::Sgd { momentum, nesterov: false, weight_decay: 0.0 }
    }

    /// Adam with PyTorch's defaults.
    pub const fn adam() -> Self {
        Optimizer::Adam { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.0 }
    }

    /// AdamW with PyTorch's defaults.
    pub const fn adamw() -> Self {
        Optimizer::AdamW { betas: [0.9, 0.999], eps: 1e-8, weight_decay: 0.01 }
    }

    /// The rate that people begin with: 0.01 for SGD, 0.001 for the others.
    pub const fn usual_rate(&self) -> f32 {
        match self {
            Optimizer::Sgd { .. } => 0.01,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 0.001,
        }
    }
}

/// An optimizer at work: its settings and what it remembers of earlier steps.
#[derive(Clone, Debug)]
pub struct OptimizerState {
    optimizer: Optimizer,
    /// Momentum, or the mean gradient; a number for each weight.
    first: Vec<f32>,
    /// The mean squared gradient; empty for SGD.
    second: Vec<f32>,
    steps: u32,
}

impl OptimizerState {
    /// The state before the first step.
    pub fn new(optimizer: Optimizer, weights: &Weights) -> Self {
        let len = weights.all().len();
        let (first, second) = match optimizer {
            Optimizer::Sgd { momentum: 0.0, .. } => (0, 0),
            Optimizer::Sgd { .. } => (len, 0),
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => (len, len),
        };
        Self { optimizer, first: vec![0.0; first], second: vec![0.0; second], steps: 0 }
    }

    /// Bytes of what it remembers.
    pub fn bytes(&self) -> u64 {
        (self.first.len() + self.second.len()) as u64 * 4
    }

    /// Steps begun so far.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Steps begun so far, from a state.
    pub(crate) fn set_steps(&mut self, steps: u32) {
        self.steps = steps;
    }

    /// What it remembers, a number for each weight; none where it has no need of it.
    pub(crate) fn memory(&self) -> [&[f32]; 2] {
        [&self.first, &self.second]
    }

    /// The same, to be set from a state.
    pub(crate) fn memory_mut(&mut self) -> [&mut [f32]; 2] {
        [&mut self.first, &mut self.second]
    }

    /// Takes a step: changes every parameter that has a gradient by the gradient times `scale` (gradient clipping), at learning
    /// rate `rate`. A parameter that has a new value instead, as running statistics do, takes it.
    pub(crate) fn step<'a>(
        &mut self,
        pool: &mut Pool,
        parts: &Parts,
        weights: &mut Weights,
        change: &(dyn Fn(usize) -> Option<Change<'a>> + Sync),
        [scale, rate]: [f32; 2],
    ) {
        self.steps += 1;
        let rule = self.rule(rate);
        let blocks = [weights.all_mut(), &mut self.first, &mut self.second];
        pool.run_apart(blocks, parts.ranges(), &|part, [values, first, second]| {
            let within = parts.within(part);
            match change(parts.parameter(part)) {
                Some(Change::Gradient(gradient)) => {
                    loops::run(Update { rule, scale, values, gradient: &gradient[within], first, second });
                }
                Some(Change::Value(value)) => values.copy_from_slice(&value[within]),
                None => {}
            }
        });
    }

    /// What the step under way does to each number.
    fn rule(&self, rate: f32) -> Rule {
        match self.optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => Rule::Sgd { momentum, nesterov, weight_decay, rate },
            Optimizer::Adam { betas, eps, weight_decay } => {
                Rule::Adam(Adam::at(self.steps, betas, eps, rate, weight_decay, 1.0))
            }
            Optimizer::AdamW { betas, eps, weight_decay } => {
                Rule::Adam(Adam::at(self.steps, betas, eps, rate, 0.0, 1.0 - rate * weight_decay))
            }
        }
    }
}

/// What a step has found out about a parameter.
pub(crate) enum Change<'a> {
    /// Its gradient.
    Gradient(&'a [f32]),
    /// Its new value.
    Value(&'a [f32]),
}

/// An optimizer's formula with the numbers of one step.
#[derive(Clone, Copy)]
enum Rule {
    Sgd { momentum: f32, nesterov: bool, weight_decay: f32, rate: f32 },
    Adam(Adam),
}

/// A rule applied to a part of the weights.
struct Update<'a> {
    rule: Rule,
    scale: f32,
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

/// Weights that are formed aside before they are written: every core has read them all, so each line must first be taken
/// from the others, and that is three times as fast where no other writes come between.
const ASIDE: usize = 1024;

impl Loops for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rule, scale, values, gradient, first, second } = self;
        let mut aside = [0.0; ASIDE];
        // Memory that a rule does without is empty, and has no pieces.
        let (mut first, mut second) = (first.chunks_mut(ASIDE), second.chunks_mut(ASIDE));
        for (values, gradient) in values.chunks_mut(ASIDE).zip(gradient.chunks(ASIDE)) {
            let (first, second) = (first.next().unwrap_or_default(), second.next().unwrap_or_default());
            let fresh = &mut aside[..values.len()];
            rule.apply(fresh, values, gradient, [first, second], scale);
            values.copy_from_slice(fresh);
        }
    }
}

impl Rule {
    /// Puts what becomes of `values` into `fresh`.
    #[inline(always)]
    fn apply(self, fresh: &mut [f32], values: &[f32], gradient: &[f32], [first, second]: [&mut [f32]; 2], scale: f32) {
        let numbers = fresh.iter_mut().zip(values).zip(gradient);
        match self {
            Rule::Sgd { momentum: 0.0, weight_decay, rate, .. } => {
                for ((fresh, &w), &g) in numbers {
                    *fresh = w - rate * (g * scale + weight_decay * w);
                }
            }
            Rule::Sgd { momentum, nesterov, weight_decay, rate } => {
                // PyTorch begins with the gradient itself: the same, since the memory begins at 0.
                for (((fresh, &w), &g), m) in numbers.zip(first) {
                    let g = g * scale + weight_decay * w;
                    *m = momentum * *m + g;
                    *fresh = w - rate * if nesterov { g + momentum * *m } else { *m };
                }
            }
            Rule::Adam(Adam { betas: [beta1, beta2], eps, rate, second_scale, weight_decay, keep }) => {
                for ((((fresh, &w), &g), m), v) in numbers.zip(first).zip(second) {
                    let g = g * scale + weight_decay * w;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                    *fresh = keep * w - rate * *m / (v.sqrt() * second_scale + eps);
                }
            }
        }
    }
}

/// The numbers of one step of Adam.
#[derive(Clone, Copy)]
struct Adam {
    betas: [f32; 2],
    eps: f32,
    /// The rate, corrected for the mean gradient's beginning at 0.
    rate: f32,
    /// 1/√ of the correction for the mean square's beginning at 0.
    second_scale: f32,
    weight_decay: f32,
    /// What the weights are multiplied with first.
    keep: f32,
}

impl Adam {
    fn at(steps: u32, betas: [f32; 2], eps: f32, rate: f32, weight_decay: f32, keep: f32) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(steps as i32);
        let rate = (f64::from(rate) / correction(betas[0])) as f32;
        let second_scale = (1.0 / correction(betas[1]).sqrt()) as f32;
        Self { betas, eps, rate, second_scale, weight_decay, keep }
    }
}
