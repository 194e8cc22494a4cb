//! Batch normalisation by given statistics, and its gradient.
//!
//! A channel's pixels lie side by side, so every kernel works out a few numbers per channel and then goes once over its
//! vectors. The mean is subtracted before anything else, so a channel far from 0 loses no digits. Forward moves 8 bytes
//! per number, the sums 8, backward 12.

use super::reduce::totals;
use super::{Call, Input};
use crate::simd::{Kernel, Lanes};

/// `y = w·(x − mean)/σ + b`. Inputs are x `[C, H, W]`, statistics `[2 or more, C]`, weight `[C]` and bias `[C]`.
pub(crate) struct Forward<'a> {
    pub(crate) eps: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, .. } = self.call;
        let len = shape.dim(1) * shape.dim(2) * S::N;
        let channels = inputs[0].data.chunks_exact(len).zip(output.chunks_exact_mut(len));
        for (channel, (x, y)) in channels.enumerate() {
            let (mean, scale) = mean_and_scale(inputs[1], channel, self.eps);
            let scale = simd.splat(inputs[2].data[channel] * scale);
            let (mean, bias) = (simd.splat(mean), simd.splat(inputs[3].data[channel]));
            for (x, y) in x.chunks_exact(S::N).zip(y.chunks_exact_mut(S::N)) {
                simd.store(simd.mul_add(simd.sub(simd.load(x, 0), mean), scale, bias), y, 0);
            }
        }
    }
}

/// Adds `Σ dy·x̂` and `Σ dy` of each channel to the slot's `[2, C]`. Inputs are x, statistics and gradient.
pub(crate) struct Sums<'a> {
    pub(crate) eps: f32,
    pub(crate) call: Call<'a>,
}

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        let shape = inputs[0].shape;
        let (channels, pixels) = (shape.dim(0), shape.dim(1) * shape.dim(2));
        let values = inputs[0].data.chunks_exact(pixels * S::N).zip(inputs[2].data.chunks_exact(pixels * S::N));
        for (channel, (x, dy)) in values.enumerate() {
            let (mean, scale) = mean_and_scale(inputs[1], channel, self.eps);
            let mean = simd.splat(mean);
            let [by_x, by_one] = totals(simd, pixels, 1, [x, dy], |[x, dy]| [simd.mul(dy, simd.sub(x, mean)), dy]);
            output[channel] += scale * simd.sum(simd.keep(by_x, tile.images));
            output[channels + channel] += simd.sum(simd.keep(by_one, tile.images));
        }
    }
}

/// `dx = w/σ·(dy − (Σdy + x̂·Σdy·x̂)/n)` in training, where the statistics depend on x, and `w/σ·dy` otherwise. Inputs are
/// x, statistics, weight, the sums `[2, C]` and the gradient. Empty lanes get 0.
pub(crate) struct Backward<'a> {
    pub(crate) eps: f32,
    pub(crate) training: bool,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, tile } = self.call;
        let (channels, pixels) = (shape.dim(0), shape.dim(1) * shape.dim(2));
        let n = (pixels * tile.batch) as f32;
        let [x, _, weight, sums, dy] = [0, 1, 2, 3, 4].map(|i| inputs[i].data);
        let len = pixels * S::N;
        let values = x.chunks_exact(len).zip(dy.chunks_exact(len)).zip(output.chunks_exact_mut(len));
        for (channel, ((x, dy), dx)) in values.enumerate() {
            let (mean, scale) = mean_and_scale(inputs[1], channel, self.eps);
            let weight = simd.splat(weight[channel] * scale);
            let (by_x, by_one) = match self.training {
                true => (sums[channel] * scale / n, sums[channels + channel] / n),
                false => (0.0, 0.0),
            };
            let (mean, by_x, by_one) = (simd.splat(mean), simd.splat(-by_x), simd.splat(by_one));
            let values = x.chunks_exact(S::N).zip(dy.chunks_exact(S::N));
            for ((x, dy), dx) in values.zip(dx.chunks_exact_mut(S::N)) {
                let (x, dy) = (simd.sub(simd.load(x, 0), mean), simd.sub(simd.load(dy, 0), by_one));
                simd.store(simd.mul(weight, simd.mul_add(x, by_x, dy)), dx, 0);
            }
        }
        // The sums flow into empty lanes too, where a gradient must be 0.
        if tile.images < S::N {
            output.chunks_exact_mut(S::N).for_each(|lanes| lanes[tile.images..].fill(0.0));
        }
    }
}

/// Mean and `1/√(variance + eps)` of a channel.
fn mean_and_scale(statistics: Input<'_>, channel: usize, eps: f32) -> (f32, f32) {
    let channels = statistics.shape.dim(1);
    (statistics.data[channel], 1.0 / (statistics.data[channels + channel] + eps).sqrt())
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::batch_norm::{BatchNorm, BatchNormGrad, BatchNormSums};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::batch::sum_slots;
    use crate::kernels::testing::{Check, Random, shape};

    proptest! {
        #[test]
        fn all_three_are_the_reference(
            [channels, height, width] in [1usize..5, 1usize..9, 1usize..9],
            rows in 2usize..4,
            training in any::<bool>(),
            batch in 1usize..40,
            seed in any::<u64>(),
        ) {
            let (mut random, eps) = (Random::new(seed), 1e-3);
            let (image, row) = (shape(true, &[channels, height, width]), shape(false, &[channels]));
            // All rows positive, for variances are.
            let statistics = random.range(shape(false, &[rows, channels]), 1, 0.1, 2.0);
            let (x, dy) = (random.tensor(image, batch), random.tensor(image, batch));
            let [weight, bias] = [random.tensor(row, 1), random.tensor(row, 1)];
            let two = shape(false, &[2, channels]);
            let sums = random.tensor(two, 1);

            let inputs = [x.clone(), statistics.clone(), weight.clone(), bias];
            Check::new(BatchNorm { eps, training }, inputs).kernel(|machine, call| machine.run(Forward { eps, call }));

            let inputs = [x.clone(), statistics.clone(), dy.clone()];
            let check = Check::new(BatchNormSums { eps }, inputs).gradient(2).tolerance(3e-5);
            check.sums(two, |machine, call| machine.run(Sums { eps, call }), |slots, output| {
                sum_slots(slots, 1.0, 0..output.len(), output);
            });

            let check = Check::new(BatchNormGrad { eps, training }, [x, statistics, weight, sums, dy]).gradient(4);
            let empty = check.kernel(|machine, call| machine.run(Backward { eps, training, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
