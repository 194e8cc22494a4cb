//! Optimizers: how a gradient changes the weights.
//!
//! The formulas and their order are those of PyTorch's `torch.optim` (<https://pytorch.org/docs/stable/optim.html>), so ten
//! steps from the same weights end in the same weights. Running statistics are not theirs to change.
//!
//! An update is one pass over weights, gradients and memory, in parts that threads share; each number changes by itself, so
//! neither parts nor threads nor vectors change a bit (`rule.rs`). Muon then works on whole matrices (`muon.rs`), and parameters
//! may learn each in its own way (`groups.rs`).

mod groups;
mod muon;
mod rule;

use lenslet_cpu::{Buffer, Pool, loops};
use serde::{Deserialize, Serialize};

pub use groups::{Group, Groups};
use muon::Muon;
use rule::{Rule, Update};

use crate::parts::Parts;
use crate::{Error, Settings, Weights};

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
    /// Muon (Jordan and others, 2024), `torch.optim.Muon`, for convolutions and hidden dense layers; all other parameters learn
    /// by SGD with Nesterov's momentum, whose rates are best given as [`Groups`].
    Muon {
        /// Share of the last step that is taken again, looked ahead.
        momentum: f32,
        /// Share of the weights, times the learning rate, that is taken off in each step.
        weight_decay: f32,
        /// Iterations that make the singular values of a step equal.
        iterations: u32,
        /// Whether before each step a matrix is brought to a mean norm of 1 an output, as airbench94 has it; then decay has
        /// no say, nor is the step scaled by the matrix's sides.
        unit_filters: bool,
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

    /// Muon with its authors' defaults, without decay.
    pub const fn muon() -> Self {
        Optimizer::Muon { momentum: 0.95, weight_decay: 0.0, iterations: 5, unit_filters: false }
    }

    /// The rate that people begin with: 0.01 for SGD, 0.02 for Muon, 0.001 for the others.
    pub const fn usual_rate(&self) -> f32 {
        match self {
            Optimizer::Sgd { .. } => 0.01,
            Optimizer::Muon { .. } => 0.02,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 0.001,
        }
    }
}

/// The optimizer as it is for one group of parameters.
#[derive(Clone, Copy)]
struct Member {
    optimizer: Optimizer,
    /// Its learning rate, in shares of that of the rest.
    share: f32,
    /// Epochs after which it stays as it is.
    epochs: usize,
}

impl Member {
    /// All that no group speaks of.
    fn rest(settings: &Settings) -> Self {
        Self { optimizer: settings.optimizer, share: 1.0, epochs: usize::MAX }
    }

    fn new(group: &Group, settings: &Settings) -> Self {
        let mut optimizer = settings.optimizer;
        match &mut optimizer {
            Optimizer::Sgd { momentum, weight_decay, .. } | Optimizer::Muon { momentum, weight_decay, .. } => {
                *momentum = group.momentum.unwrap_or(*momentum);
                *weight_decay = group.weight_decay.unwrap_or(*weight_decay);
            }
            Optimizer::Adam { weight_decay, .. } | Optimizer::AdamW { weight_decay, .. } => {
                *weight_decay = group.weight_decay.unwrap_or(*weight_decay);
            }
        }
        let share = group.rate.map_or(1.0, |rate| rate / settings.rate);
        Self { optimizer, share, epochs: group.epochs.unwrap_or(usize::MAX) }
    }
}

/// When a step is taken, and how large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// What gradients are multiplied with first: gradient clipping.
    pub(crate) scale: f32,
    /// The learning rate.
    pub(crate) rate: f32,
    /// The epoch, from 1.
    pub(crate) epoch: usize,
}

/// An optimizer at work: its settings and what it remembers of earlier steps.
pub struct OptimizerState {
    /// The rest, then the groups; and which of them each parameter belongs to.
    members: Vec<Member>,
    of: Vec<usize>,
    /// What the step under way does to the numbers of each member; nothing where it has stopped to learn.
    rules: Vec<Option<Rule>>,
    /// Momentum, or the mean gradient; a number for each weight.
    first: Buffer,
    /// The mean squared gradient; Muon's directions; empty for SGD.
    second: Buffer,
    muon: Option<Muon>,
    steps: u32,
}

impl OptimizerState {
    /// The state before the first step.
    ///
    /// # Errors
    /// If a group has no parameter.
    pub fn new(settings: &Settings, weights: &Weights) -> Result<Self, Error> {
        settings.groups.check(weights)?;
        let members: Vec<Member> = std::iter::once(Member::rest(settings))
            .chain(settings.groups.iter().map(|group| Member::new(group, settings)))
            .collect();
        let of = weights.parameters().iter().map(|p| settings.groups.of(&p.name).map_or(0, |group| group + 1));
        let remembers = |member: &Member| !matches!(member.optimizer, Optimizer::Sgd { momentum: 0.0, .. });
        let (len, optimizer) = (weights.all().len(), settings.optimizer);
        let first = if members.iter().any(remembers) { len } else { 0 };
        let second = if matches!(optimizer, Optimizer::Sgd { .. }) { 0 } else { len };
        Ok(Self {
            of: of.collect(),
            rules: Vec::with_capacity(members.len()),
            members,
            first: Buffer::new(first),
            second: Buffer::new(second),
            muon: matches!(optimizer, Optimizer::Muon { .. }).then(|| Muon::new(weights)),
            steps: 0,
        })
    }

    /// Bytes of its memory.
    pub fn bytes(&self) -> u64 {
        let muon = self.muon.as_ref().map_or(0, Muon::bytes);
        (self.first.len() + self.second.len()) as u64 * 4 + muon
    }

    /// Steps begun so far.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Steps begun so far, from a state.
    pub(crate) fn set_steps(&mut self, steps: u32) {
        self.steps = steps;
    }

    /// What it remembers from step to step, a number for each weight; none where it has no need of it.
    pub(crate) fn memory(&self) -> [&[f32]; 2] {
        // Muon's directions belong to one step.
        [&self.first, if self.muon.is_some() { &[] } else { &self.second }]
    }

    /// The same, to be set from a state.
    pub(crate) fn memory_mut(&mut self) -> [&mut [f32]; 2] {
        [&mut self.first, if self.muon.is_some() { &mut [] } else { &mut self.second }]
    }

    /// Takes a step: changes every parameter that has a gradient. A parameter that has a new value instead, as running
    /// statistics do, takes it.
    pub(crate) fn step<'a>(
        &mut self,
        pool: &mut Pool,
        parts: &Parts,
        weights: &mut Weights,
        change: &(dyn Fn(usize) -> Option<Change<'a>> + Sync),
        moment: Moment,
    ) {
        self.steps += 1;
        let Self { members, of, rules, first, second, muon, steps } = self;
        rules.clear();
        let learns = |member: &Member| moment.epoch <= member.epochs;
        let rule = |member: &Member| Rule::new(member.optimizer, *steps, moment.rate * member.share);
        rules.extend(members.iter().map(|member| learns(member).then(|| rule(member))));
        let rule = |parameter: usize| match (&members[of[parameter]].optimizer, &muon) {
            (&Optimizer::Muon { momentum, .. }, Some(muon)) if muon.has(parameter) => {
                rules[of[parameter]].map(|_| Rule::Direction { momentum })
            }
            _ => rules[of[parameter]],
        };
        pool.run_apart([weights.all_mut(), first, second], parts.ranges(), &|part, [values, first, second]| {
            let (parameter, within) = (parts.parameter(part), parts.within(part));
            match (change(parameter), rule(parameter)) {
                (Some(Change::Gradient(gradient)), Some(rule)) => {
                    let gradient = &gradient[within];
                    loops::run(Update { rule, scale: moment.scale, values, gradient, first, second });
                }
                (Some(Change::Value(value)), _) => values.copy_from_slice(&value[within]),
                (Some(Change::Gradient(_)), None) | (None, _) => {}
            }
        });
        if let Some(muon) = muon {
            let step = |parameter: usize| {
                let member = &members[of[parameter]];
                let Optimizer::Muon { weight_decay, iterations, unit_filters, .. } = member.optimizer else {
                    return None;
                };
                let rate = moment.rate * member.share;
                let learnt = matches!(change(parameter), Some(Change::Gradient(_))) && learns(member);
                learnt.then_some(muon::Step { iterations, unit_filters, rate, weight_decay })
            };
            muon.step(pool, weights, second, step);
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
