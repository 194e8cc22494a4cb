//! The formulas, number by number: what a step makes of weights, gradients and memory.

use lenslet_cpu::loops::Loops;

use super::Optimizer;

/// An optimizer's formula with the numbers of one step.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Sgd {
        momentum: f32,
        nesterov: bool,
        weight_decay: f32,
        rate: f32,
    },
    Adam(Adam),
    /// The direction of a step of Muon, which goes into the second memory; the weights stay.
    Direction {
        momentum: f32,
    },
}

/// A rule applied to a part of the weights.
pub(super) struct Update<'a> {
    pub(super) rule: Rule,
    /// What the gradient is multiplied with first.
    pub(super) scale: f32,
    pub(super) values: &'a mut [f32],
    pub(super) gradient: &'a [f32],
    pub(super) first: &'a mut [f32],
    pub(super) second: &'a mut [f32],
}

/// Numbers whose memory is changed before their weights are. Every core has read all weights, so that each line must first be
/// taken from the others: that goes up to twice as fast where no other writes come between.
const PIECE: usize = 1024;

impl Loops for Update<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { rule, scale, values, gradient, first, second } = self;
        // Memory that a rule does without is empty, and has no pieces.
        let (mut first, mut second) = (first.chunks_mut(PIECE), second.chunks_mut(PIECE));
        for (values, gradient) in values.chunks_mut(PIECE).zip(gradient.chunks(PIECE)) {
            let (first, second) = (first.next().unwrap_or_default(), second.next().unwrap_or_default());
            rule.remember(values, gradient, [&mut *first, &mut *second], scale);
            rule.change(values, gradient, [first, second], scale);
        }
    }
}

impl Rule {
    /// What an optimizer does in its step of this number, at a rate.
    pub(super) fn new(optimizer: Optimizer, steps: u32, rate: f32) -> Self {
        match optimizer {
            Optimizer::Sgd { momentum, nesterov, weight_decay } => Rule::Sgd { momentum, nesterov, weight_decay, rate },
            Optimizer::Adam { betas, eps, weight_decay } => {
                Rule::Adam(Adam::at(steps, betas, eps, rate, weight_decay, 1.0))
            }
            Optimizer::AdamW { betas, eps, weight_decay } => {
                Rule::Adam(Adam::at(steps, betas, eps, rate, 0.0, 1.0 - rate * weight_decay))
            }
            // What is no matrix learns by SGD.
            Optimizer::Muon { momentum, weight_decay, .. } => {
                Rule::Sgd { momentum, nesterov: momentum > 0.0, weight_decay, rate }
            }
        }
    }

    /// Brings the memory up to date.
    #[inline(always)]
    fn remember(self, values: &[f32], gradient: &[f32], [first, second]: [&mut [f32]; 2], scale: f32) {
        let numbers = values.iter().zip(gradient);
        match self {
            Rule::Sgd { momentum: 0.0, .. } => {}
            Rule::Sgd { momentum, weight_decay, .. } => {
                // PyTorch begins with the gradient itself: the same, since the memory begins at 0.
                for ((&w, &g), m) in numbers.zip(first) {
                    *m = momentum * *m + (g * scale + weight_decay * w);
                }
            }
            Rule::Adam(Adam { betas: [beta1, beta2], weight_decay, .. }) => {
                for (((&w, &g), m), v) in numbers.zip(first).zip(second) {
                    let g = g * scale + weight_decay * w;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *v = beta2 * *v + (1.0 - beta2) * g * g;
                }
            }
            Rule::Direction { momentum } => {
                for (((_, &g), m), direction) in numbers.zip(first).zip(second) {
                    let g = g * scale;
                    *m = momentum * *m + g;
                    *direction = g + momentum * *m;
                }
            }
        }
    }

    /// Changes the weights by it.
    #[inline(always)]
    fn change(self, values: &mut [f32], gradient: &[f32], [first, second]: [&[f32]; 2], scale: f32) {
        match self {
            Rule::Sgd { momentum: 0.0, weight_decay, rate, .. } => {
                for (w, &g) in values.iter_mut().zip(gradient) {
                    *w -= rate * (g * scale + weight_decay * *w);
                }
            }
            Rule::Sgd { nesterov: false, rate, .. } => {
                for (w, &m) in values.iter_mut().zip(first) {
                    *w -= rate * m;
                }
            }
            Rule::Sgd { momentum, nesterov: true, weight_decay, rate } => {
                for ((w, &g), &m) in values.iter_mut().zip(gradient).zip(first) {
                    *w -= rate * (g * scale + weight_decay * *w + momentum * m);
                }
            }
            Rule::Adam(Adam { eps, rate, second_scale, keep, .. }) => {
                for ((w, &m), &v) in values.iter_mut().zip(first).zip(second) {
                    *w = keep * *w - rate * m / (v.sqrt() * second_scale + eps);
                }
            }
            Rule::Direction { .. } => {}
        }
    }
}

/// The numbers of one step of Adam.
#[derive(Clone, Copy)]
pub(super) struct Adam {
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
