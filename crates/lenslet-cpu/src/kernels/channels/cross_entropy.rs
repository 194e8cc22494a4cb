//! Cross-entropy of one image, and its gradient: classes stand in the lanes.
//!
//! The formulas are those of [`cross_entropy`](crate::kernels::cross_entropy). Exponentials take the time, and a vector of them
//! takes no longer than one. A label that is no class makes loss and gradient NaN.

use crate::kernels::Call;
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Inputs are logits `[K]` and the label.
pub(crate) struct Forward<'a> {
    pub(crate) label_smoothing: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (x, label) = (self.call.inputs[0].data, self.call.inputs[1].data[0]);
        let max = greatest(x);
        let mut powers = simd.splat(0.0);
        for x in x.chunks(S::N) {
            powers = simd.add(powers, simd.exp(simd.sub(some(simd, x), simd.splat(max))));
        }
        let picked = class(label, x.len()).map_or(f32::NAN, |class| x[class] - max);
        let mut loss = simd.sum(powers).ln() - (1.0 - self.label_smoothing) * picked;
        // A logit of −∞ is no harm unless it has a share.
        if self.label_smoothing != 0.0 {
            loss -= self.label_smoothing / x.len() as f32 * x.iter().map(|x| x - max).sum::<f32>();
        }
        self.call.output[0] = loss;
    }
}

/// Inputs are logits `[K]`, the label, and the gradient by the loss.
pub(crate) struct Backward<'a> {
    pub(crate) label_smoothing: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: dx, .. } = self.call;
        let [x, label, gradient] = [0, 1, 2].map(|i| inputs[i].data);
        let max = greatest(x);
        let mut sum = simd.splat(0.0);
        for (x, dx) in x.chunks(S::N).zip(dx.chunks_mut(S::N)) {
            let power = simd.exp(simd.sub(some(simd, x), simd.splat(max)));
            sum = simd.add(sum, power);
            let mut powers = [0.0; MAX_LANES];
            simd.store(power, &mut powers, 0);
            dx.iter_mut().zip(powers).for_each(|(dx, power)| *dx = power);
        }
        let (sum, every) = (simd.sum(sum), self.label_smoothing / x.len() as f32);
        let class = class(label[0], x.len());
        let factor = class.map_or(f32::NAN, |_| gradient[0]);
        for (i, dx) in dx.iter_mut().enumerate() {
            let share = if class == Some(i) { 1.0 - self.label_smoothing + every } else { every };
            *dx = factor * (*dx / sum - share);
        }
    }
}

/// Up to a vector of logits; −∞, which adds nothing, in the lanes behind.
#[inline(always)]
fn some<S: Lanes>(simd: S, x: &[f32]) -> S::V {
    let mut lanes = [f32::NEG_INFINITY; MAX_LANES];
    lanes.iter_mut().zip(x).for_each(|(lane, &x)| *lane = x);
    simd.load(&lanes, 0)
}

#[inline(always)]
fn greatest(x: &[f32]) -> f32 {
    x.iter().fold(f32::NEG_INFINITY, |max, &x| if max < x { x } else { max })
}

/// The class that a label names, if it names one.
#[inline(always)]
fn class(label: f32, classes: usize) -> Option<usize> {
    let class = label as usize;
    (class as f32 == label && class < classes).then_some(class)
}
