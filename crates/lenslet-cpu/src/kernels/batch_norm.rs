//! Batch normalisation by given statistics, and its gradient, each together with what stands behind it.
//!
//! A channel's pixels lie side by side, so every kernel works out a few numbers per channel and then goes once over its
//! vectors. The mean is subtracted before anything else, so a channel far from 0 loses no digits.
//!
//! Wide networks wait for memory here, so a pass does all that can be done with a number while it is in a register: the
//! forward pass adds the residual and applies the activation, and the backward passes work out the activation's slope from
//! x once more, in the same operations and so to the same bits, instead of reading what was kept of it. Forward moves 8
//! bytes per number (12 with a residual), the sums 8, backward 12, whatever the activation.

use lenslet_graph::ops::map::Map;

use super::functions::{backward_from_input, function};
use super::reduce::totals;
use super::{Call, Input};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// `y = f(w·(x − mean)/σ + b + r)`, where f may be missing. Inputs are x `[C, H, W]`, statistics `[2 or more, C]`, weight
/// `[C]` and bias `[C]`, and the residual r `[C, H, W]` if there is one.
pub(crate) struct Forward<'a> {
    pub(crate) eps: f32,
    pub(crate) activation: Option<Map>,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        // Once more, known to the compiler where it is usual.
        match (self.activation, self.call.inputs.len() > 4) {
            (None, false) => self.all(simd, None, false),
            (Some(Map::Relu), false) => self.all(simd, Some(Map::Relu), false),
            (Some(Map::Relu), true) => self.all(simd, Some(Map::Relu), true),
            (Some(Map::Gelu), false) => self.all(simd, Some(Map::Gelu), false),
            (activation, residual) => self.all(simd, activation, residual),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, activation: Option<Map>, residual: bool) {
        let Call { inputs, output, shape, .. } = self.call;
        let len = shape.dim(1) * shape.dim(2) * S::N;
        let added = if residual { inputs[4].data } else { inputs[0].data };
        let channels = inputs[0].data.chunks_exact(len).zip(added.chunks_exact(len));
        for (channel, ((x, added), y)) in channels.zip(output.chunks_exact_mut(len)).enumerate() {
            let norm = Norm::new(simd, inputs[1], inputs[2], inputs[3], channel, self.eps);
            let values = x.chunks_exact(S::N).zip(added.chunks_exact(S::N));
            for ((x, added), y) in values.zip(y.chunks_exact_mut(S::N)) {
                let mut value = norm.of(simd, simd.load(x, 0));
                if residual {
                    value = simd.add(value, simd.load(added, 0));
                }
                if let Some(map) = activation {
                    value = function(simd, map, value);
                }
                simd.store(value, y, 0);
            }
        }
    }
}

/// Adds `Σ dy·x̂` and `Σ dy` of each channel to the slot's `[2, C]`. Inputs are x, statistics and gradient; with an
/// activation the gradient is by its output, and weight and bias follow.
pub(crate) struct Sums<'a> {
    pub(crate) eps: f32,
    pub(crate) activation: Option<Map>,
    pub(crate) call: Call<'a>,
}

impl Kernel for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.activation {
            None => self.all(simd, None),
            Some(Map::Relu) => self.all(simd, Some(Map::Relu)),
            Some(Map::Gelu) => self.all(simd, Some(Map::Gelu)),
            activation => self.all(simd, activation),
        }
    }
}

impl Sums<'_> {
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, activation: Option<Map>) {
        let Call { inputs, output, tile, .. } = self.call;
        let shape = inputs[0].shape;
        let (channels, pixels) = (shape.dim(0), shape.dim(1) * shape.dim(2));
        let values = inputs[0].data.chunks_exact(pixels * S::N).zip(inputs[2].data.chunks_exact(pixels * S::N));
        for (channel, (x, dy)) in values.enumerate() {
            let (mean, scale) = mean_and_scale(inputs[1], channel, self.eps);
            let mean = simd.splat(mean);
            let [mut by_x, mut by_one] = [simd.splat(0.0); 2];
            if let Some(map) = activation {
                let norm = Norm::new(simd, inputs[1], inputs[3], inputs[4], channel, self.eps);
                let mut gradients = [0.0; BLOCK * MAX_LANES];
                for (x, dy) in x.chunks(BLOCK * S::N).zip(dy.chunks(BLOCK * S::N)) {
                    let gradients = &mut gradients[..x.len()];
                    for (i, gradient) in gradients.chunks_exact_mut(S::N).enumerate() {
                        let dy = backward_from_input(simd, map, norm.of(simd, simd.load(x, i)), simd.load(dy, i));
                        simd.store(dy, gradient, 0);
                    }
                    let [block_by_x, block_by_one] = sums(simd, x, gradients, mean);
                    (by_x, by_one) = (simd.add(by_x, block_by_x), simd.add(by_one, block_by_one));
                }
            } else {
                [by_x, by_one] = sums(simd, x, dy, mean);
            }
            output[channel] += scale * simd.sum(simd.keep(by_x, tile.images));
            output[channels + channel] += simd.sum(simd.keep(by_one, tile.images));
        }
    }
}

/// Vectors whose gradients through an activation are worked out before they are summed: few enough for the innermost
/// cache.
const BLOCK: usize = 64;

/// `Σ dy·(x − mean)` and `Σ dy`.
#[inline(always)]
fn sums<S: Lanes>(simd: S, x: &[f32], dy: &[f32], mean: S::V) -> [S::V; 2] {
    totals(simd, x.len() / S::N, 1, [x, dy], |[x, dy]| [simd.mul(dy, simd.sub(x, mean)), dy])
}

/// `dx = w/σ · (dy − (Σ dy + x̂·Σ dy·x̂)/n)`, or `w/σ · dy` where the statistics do not depend on x. Inputs are x, statistics,
/// weight, the [`Sums`] `[2, C]` and the gradient; with an activation the gradient is by its output, and the bias follows.
/// Empty lanes become 0.
pub(crate) struct Backward<'a> {
    pub(crate) eps: f32,
    pub(crate) training: bool,
    pub(crate) activation: Option<Map>,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.activation {
            None => self.all(simd, None),
            Some(Map::Relu) => self.all(simd, Some(Map::Relu)),
            Some(Map::Gelu) => self.all(simd, Some(Map::Gelu)),
            activation => self.all(simd, activation),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, activation: Option<Map>) {
        let Call { inputs, output, shape, tile } = self.call;
        let (channels, pixels) = (shape.dim(0), shape.dim(1) * shape.dim(2));
        let n = (pixels * tile.batch) as f32;
        let [x, _, _, sums, dy] = [0, 1, 2, 3, 4].map(|i| inputs[i].data);
        let len = pixels * S::N;
        let values = x.chunks_exact(len).zip(dy.chunks_exact(len)).zip(output.chunks_exact_mut(len));
        for (channel, ((x, dy), dx)) in values.enumerate() {
            let bias = if activation.is_some() { inputs[5] } else { inputs[2] };
            let norm = Norm::new(simd, inputs[1], inputs[2], bias, channel, self.eps);
            let (_, scale) = mean_and_scale(inputs[1], channel, self.eps);
            let (by_x, by_one) = match self.training {
                true => (sums[channel] * scale / n, sums[channels + channel] / n),
                false => (0.0, 0.0),
            };
            let (by_x, by_one) = (simd.splat(-by_x), simd.splat(by_one));
            let values = x.chunks_exact(S::N).zip(dy.chunks_exact(S::N));
            for ((x, dy), dx) in values.zip(dx.chunks_exact_mut(S::N)) {
                let (x, mut dy) = (simd.load(x, 0), simd.load(dy, 0));
                if let Some(map) = activation {
                    dy = backward_from_input(simd, map, norm.of(simd, x), dy);
                }
                let rest = simd.mul_add(simd.sub(x, norm.mean), by_x, simd.sub(dy, by_one));
                simd.store(simd.mul(norm.scale, rest), dx, 0);
            }
        }
        // The sums flow into empty lanes too, where a gradient must be 0.
        if tile.images < S::N {
            output.chunks_exact_mut(S::N).for_each(|lanes| lanes[tile.images..].fill(0.0));
        }
    }
}

/// What normalisation does to a channel's numbers.
struct Norm<V> {
    mean: V,
    scale: V,
    bias: V,
}

impl<V: Copy> Norm<V> {
    #[inline(always)]
    fn new<S: Lanes<V = V>>(
        simd: S,
        statistics: Input<'_>,
        weight: Input<'_>,
        bias: Input<'_>,
        channel: usize,
        eps: f32,
    ) -> Self {
        let (mean, scale) = mean_and_scale(statistics, channel, eps);
        let scale = simd.splat(weight.data[channel] * scale);
        Self { mean: simd.splat(mean), scale, bias: simd.splat(bias.data[channel]) }
    }

    #[inline(always)]
    fn of<S: Lanes<V = V>>(&self, simd: S, x: V) -> V {
        simd.mul_add(simd.sub(x, self.mean), self.scale, self.bias)
    }
}

/// What a convolution's weights are to be multiplied by, output channel by output channel, so that with [`folded_bias`] it
/// does the work of the normalisation behind it. Inputs are the statistics and the normalisation's weight.
pub(crate) fn folded_scale(eps: f32, call: Call<'_>) {
    let Call { inputs, output, .. } = call;
    for (channel, y) in output.iter_mut().enumerate() {
        *y = inputs[1].data[channel] * mean_and_scale(inputs[0], channel, eps).1;
    }
}

/// The bias to go with [`folded_scale`]. Inputs are the statistics, the normalisation's weight and bias, and the
/// convolution's bias if it has one.
pub(crate) fn folded_bias(eps: f32, call: Call<'_>) {
    let Call { inputs, output, .. } = call;
    for (channel, y) in output.iter_mut().enumerate() {
        let (mean, scale) = mean_and_scale(inputs[0], channel, eps);
        let before = inputs.get(3).map_or(0.0, |bias| bias.data[channel]);
        *y = (before - mean) * (inputs[1].data[channel] * scale) + inputs[2].data[channel];
    }
}

/// Mean and `1/√(variance + eps)` of a channel.
fn mean_and_scale(statistics: Input<'_>, channel: usize, eps: f32) -> (f32, f32) {
    let channels = statistics.shape.dim(1);
    (statistics.data[channel], 1.0 / (statistics.data[channels + channel] + eps).sqrt())
}
