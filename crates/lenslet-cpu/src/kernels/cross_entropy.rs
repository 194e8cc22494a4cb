//! Cross-entropy of each image, and its gradient: two and three passes over the logits.
//!
//! With `z = x − max x` and label smoothing ε, the loss is `log Σ exp z − (1 − ε)·z[label] − ε/K·Σ z`, which never
//! overflows. The label's logit is picked by comparing the label with each class number, in all lanes at once; where it
//! equals none, what is picked stays NaN.

use super::{Call, Input};
use crate::simd::{Kernel, Lanes};

/// Inputs are logits `[K]` and labels (one number per image).
pub(crate) struct Forward<'a> {
    pub(crate) label_smoothing: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (logits, labels) = (self.call.inputs[0], self.call.inputs[1]);
        let classes = logits.shape.len();
        let max = greatest(simd, logits);
        let label = labels.get(simd, 0);
        let mut powers = simd.splat(0.0);
        let mut all = simd.splat(0.0);
        let mut picked = simd.splat(f32::NAN);
        for class in 0..classes {
            let x = simd.sub(logits.get(simd, class), max);
            powers = simd.add(powers, simd.exp(x));
            all = simd.add(all, x);
            picked = simd.if_equal(label, simd.splat(class as f32), x, picked);
        }
        let mut loss = simd.each(powers, |_, sum| sum.ln());
        loss = simd.sub(loss, simd.mul(simd.splat(1.0 - self.label_smoothing), picked));
        // A logit of −∞ is no harm unless it has a share.
        if self.label_smoothing != 0.0 {
            loss = simd.sub(loss, simd.mul(simd.splat(self.label_smoothing / classes as f32), all));
        }
        simd.store(loss, self.call.output, 0);
    }
}

/// `dx = g·(softmax x − (1 − ε)·[class = label] − ε/K)`. Inputs are logits `[K]`, labels, and the gradient `g` by the
/// loss.
pub(crate) struct Backward<'a> {
    pub(crate) label_smoothing: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, .. } = self.call;
        let [logits, labels, gradient] = [inputs[0], inputs[1], inputs[2]];
        let classes = logits.shape.len();
        let max = greatest(simd, logits);
        let (label, gradient) = (labels.get(simd, 0), gradient.get(simd, 0));
        let mut sum = simd.splat(0.0);
        let mut factor = simd.splat(f32::NAN);
        for class in 0..classes {
            let power = simd.exp(simd.sub(logits.get(simd, class), max));
            sum = simd.add(sum, power);
            simd.store(power, output, class);
            factor = simd.if_equal(label, simd.splat(class as f32), gradient, factor);
        }
        let every = self.label_smoothing / classes as f32;
        let (target, other) = (simd.splat(1.0 - self.label_smoothing + every), simd.splat(every));
        for class in 0..classes {
            let share = simd.if_equal(label, simd.splat(class as f32), target, other);
            let slope = simd.sub(simd.div(simd.load(output, class), sum), share);
            simd.store(simd.mul(factor, slope), output, class);
        }
    }
}

#[inline(always)]
fn greatest<S: Lanes>(simd: S, x: Input<'_>) -> S::V {
    let mut max = simd.splat(f32::NEG_INFINITY);
    for i in 0..x.shape.len() {
        let x = x.get(simd, i);
        max = simd.if_less(max, x, x, max);
    }
    max
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::cross_entropy::{CrossEntropy, CrossEntropyGrad};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::channels::cross_entropy;
    use crate::kernels::testing::{Check, Machine, Random, shape};

    proptest! {
        #[test]
        fn both_are_the_reference(
            classes in 1usize..35,
            label_smoothing in prop::sample::select(&[0.0f32, 0.1, 1.0][..]),
            scale in prop::sample::select(&[1.0f32, 10.0, 200.0][..]),
            [batched, no_class] in any::<[bool; 2]>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let logits = random.range(shape(batched, &[classes]), batch, -scale, scale);
            let mut labels: Vec<f32> = (0..classes).map(|class| class as f32).collect();
            if no_class {
                labels.extend([-1.0, classes as f32, 0.5, f32::NAN]);
            }
            let labels = random.choice(shape(batched, &[]), batch, &labels);
            let gradient = random.tensor(shape(batched, &[]), batch);
            let inputs = [logits.clone(), labels.clone()];
            Check::new(CrossEntropy { label_smoothing }, inputs).kernel(|machine, call| match machine {
                Machine::Channels(isa) => isa.run(cross_entropy::Forward { label_smoothing, call }),
                machine => machine.run(Forward { label_smoothing, call }),
            });
            let check = Check::new(CrossEntropyGrad { label_smoothing }, [logits, labels, gradient]).gradient(2);
            let empty = check.kernel(|machine, call| match machine {
                Machine::Channels(isa) => isa.run(cross_entropy::Backward { label_smoothing, call }),
                machine => machine.run(Backward { label_smoothing, call }),
            });
            prop_assert!(no_class || empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
