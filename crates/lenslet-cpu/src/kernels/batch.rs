//! Where the images of a batch meet: partial sums of a tile, their totals, and the way back.
//!
//! A tile adds to its slot; when all tiles are done, plain functions go over the slots in order. Moments are merged by
//! the formula of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing sample variances",
//! 1979), so neither the number of tiles nor a large mean costs accuracy; for the same reason a slot holds a mean as two
//! numbers, itself rounded and what rounding took away. Only filled lanes count. Totals are made in `f64`.

use std::ops::Range;

use super::reduce::totals;
use super::{Call, Slots};
use crate::simd::{Isa, Kernel, Lanes};

/// A whole value to every image, divided by the number of images if `mean`; empty lanes get 0.
pub(crate) struct Expand<'a> {
    pub(crate) mean: bool,
    pub(crate) call: Call<'a>,
}

impl Kernel for Expand<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        let divisor = if self.mean { tile.batch as f32 } else { 1.0 };
        for (y, &x) in output.chunks_exact_mut(S::N).zip(inputs[0].data) {
            simd.store(simd.keep(simd.splat(x / divisor), tile.images), y, 0);
        }
    }
}

/// Adds the images of the tile to the slot's sum, one number per value.
pub(crate) struct SumImages<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for SumImages<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        for (sum, x) in output.iter_mut().zip(inputs[0].data.chunks_exact(S::N)) {
            *sum += simd.sum(simd.keep(simd.load(x, 0), tile.images));
        }
    }
}

/// Merges count, mean (two numbers), squared deviations and zeros of all values of the tile into the slot's five numbers.
pub(crate) struct Moments<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for Moments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        let x = inputs[0].data;
        let moments = Spread::of(simd, x, tile.images);
        let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
        let [zeros] = totals(simd, x.len() / S::N, 1, [x], |[x]| [simd.if_equal(x, zero, one, zero)]);
        Spread::load(output, 1, 0).merge(moments).store(output, 1, 0);
        output[4] += simd.sum(simd.keep(zeros, tile.images));
    }
}

/// Merges count, mean (two numbers) and squared deviations of each channel of the tile into the slot's `[4, C]`.
pub(crate) struct ChannelMoments<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for ChannelMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, tile, .. } = self.call;
        let shape = inputs[0].shape;
        let (channels, pixels) = (shape.dim(0), shape.dim(1) * shape.dim(2));
        for (channel, x) in inputs[0].data.chunks_exact(pixels * S::N).enumerate() {
            let moments = Spread::of(simd, x, tile.images);
            Spread::load(output, channels, channel).merge(moments).store(output, channels, channel);
        }
    }
}

/// Count, mean, and sum of squared deviations from the mean.
#[derive(Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Of the first `images` lanes of all vectors of `x`: a pass for the mean and a pass for the deviations from it. What
    /// rounding left in the mean shows in the deviations' sum, and is taken out.
    #[inline(always)]
    fn of<S: Lanes>(simd: S, x: &[f32], images: usize) -> Self {
        let n = x.len() / S::N;
        let count = (n * images) as f64;
        let sum = |v: S::V| f64::from(simd.sum(simd.keep(v, images)));
        let [total] = totals(simd, n, 1, [x], |[x]| [x]);
        let mean = (sum(total) / count) as f32;
        let center = simd.splat(mean);
        let [rest, squares] = totals(simd, n, 1, [x], |[x]| {
            let deviation = simd.sub(x, center);
            [deviation, simd.mul(deviation, deviation)]
        });
        let rest = sum(rest);
        Self { count, mean: f64::from(mean) + rest / count, squares: (sum(squares) - rest * rest / count).max(0.0) }
    }

    /// Of a slot, whose four rows have `columns` numbers.
    fn load(slot: &[f32], columns: usize, column: usize) -> Self {
        let [count, mean, rest, squares] = [0, 1, 2, 3].map(|row| f64::from(slot[row * columns + column]));
        Self { count, mean: mean + rest, squares }
    }

    fn store(self, slot: &mut [f32], columns: usize, column: usize) {
        let rest = self.mean - f64::from(self.mean as f32);
        for (row, value) in [self.count, self.mean, rest, self.squares].into_iter().enumerate() {
            slot[row * columns + column] = value as f32;
        }
    }

    fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + apart * other.count / count,
            squares: self.squares + other.squares + apart * apart * self.count * other.count / count,
        }
    }

    /// Of all slots.
    fn total(slots: &Slots<'_>, columns: usize, column: usize) -> Self {
        slots.iter().map(|slot| Self::load(slot, columns, column)).fold(Self::default(), Self::merge)
    }
}

/// The part `range` of the sum of all slots, divided by `divisor`.
pub(crate) fn sum_slots(isa: Isa, slots: Slots<'_>, divisor: f32, range: Range<usize>, output: &mut [f32]) {
    isa.run(SumSlots { slots, divisor, range, output });
}

struct SumSlots<'a> {
    slots: Slots<'a>,
    divisor: f32,
    range: Range<usize>,
    output: &'a mut [f32],
}

impl Kernel for SumSlots<'_> {
    type Output = ();

    /// The compiler makes vectors of these loops.
    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        // So many totals are under way, in registers.
        const STRETCH: usize = 32;
        let mut start = self.range.start;
        let mut stretches = self.output.chunks_exact_mut(STRETCH);
        for output in &mut stretches {
            let mut totals = [0.0f64; STRETCH];
            for slot in self.slots.iter() {
                let numbers = &slot[start..start + STRETCH];
                for i in 0..STRETCH {
                    totals[i] += f64::from(numbers[i]);
                }
            }
            for i in 0..STRETCH {
                output[i] = mean(totals[i], self.divisor);
            }
            start += STRETCH;
        }
        for (y, i) in stretches.into_remainder().iter_mut().zip(start..) {
            *y = mean(self.slots.iter().map(|slot| f64::from(slot[i])).sum(), self.divisor);
        }
    }
}

#[inline(always)]
fn mean(total: f64, divisor: f32) -> f32 {
    // Most divisors are 1, and a division takes longer than the sums.
    if divisor == 1.0 { total as f32 } else { (total / f64::from(divisor)) as f32 }
}

/// Mean, standard deviation (of the population) and share of zeros, from the slots' [`Moments`].
pub(crate) fn statistics(slots: Slots<'_>, output: &mut [f32]) {
    let zeros: f64 = slots.iter().map(|slot| f64::from(slot[4])).sum();
    write_statistics(Spread::total(&slots, 1, 0), zeros, output);
}

/// Mean, variance and unbiased variance of each channel, from the slots' [`ChannelMoments`].
pub(crate) fn batch_statistics(slots: Slots<'_>, output: &mut [f32]) {
    let channels = slots.len / 4;
    for channel in 0..channels {
        let Spread { count, mean, squares } = Spread::total(&slots, channels, channel);
        let rows = [mean, squares / count, squares / (count - 1.0).max(1.0)];
        for (row, value) in rows.into_iter().enumerate() {
            output[row * channels + channel] = value as f32;
        }
    }
}

/// Mean, standard deviation and share of zeros of a whole value.
pub(crate) fn whole_statistics(x: &[f32], output: &mut [f32]) {
    let x = || x.iter().map(|&x| f64::from(x));
    let count = x().count() as f64;
    let mean = x().sum::<f64>() / count;
    let squares = x().map(|x| (x - mean) * (x - mean)).sum();
    let zeros = x().filter(|&x| x == 0.0).count() as f64;
    write_statistics(Spread { count, mean, squares }, zeros, output);
}

fn write_statistics(Spread { count, mean, squares }: Spread, zeros: f64, output: &mut [f32]) {
    for (y, value) in output.iter_mut().zip([mean, (squares / count).sqrt(), zeros / count]) {
        *y = value as f32;
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::batch::{BatchExpand, BatchSum, Statistics};
    use lenslet_graph::ops::batch_norm::BatchStatistics;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random, shape};

    proptest! {
        #[test]
        fn expand_is_the_reference(
            dims in prop::collection::vec(1usize..5, 0..4),
            mean in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let x = Random::new(seed).tensor(shape(false, &dims), 1);
            let empty = Check::new(BatchExpand { mean }, [x]).batch(batch).kernel(|machine, call| {
                machine.run(Expand { mean, call });
            });
            prop_assert!(empty.iter().all(|&x| x == 0.0));
        }

        #[test]
        fn sum_is_the_reference(
            dims in prop::collection::vec(1usize..7, 0..4),
            mean in any::<bool>(),
            batch in 1usize..70,
            part in 1usize..200,
            seed in any::<u64>(),
        ) {
            let shape = shape(true, &dims);
            let check = Check::new(BatchSum { mean }, [Random::new(seed).tensor(shape, batch)]);
            let divisor = if mean { batch as f32 } else { 1.0 };
            check.sums(shape, |machine, call| machine.run(SumImages { call }), |slots, output| {
                for (number, output) in output.chunks_mut(part).enumerate() {
                    let first = number * part;
                    sum_slots(Isa::detect(), slots, divisor, first..first + output.len(), output);
                }
            });
        }

        #[test]
        fn statistics_are_the_reference(
            dims in prop::collection::vec(1usize..7, 0..4),
            batch in 1usize..70,
            center in prop::sample::select(&[0.0f32, 0.0, 1.0, 1000.0][..]),
            zeros in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let (mut random, dims) = (Random::new(seed), shape(true, &dims));
            let x = match zeros {
                true => random.choice(dims, batch, &[0.0, 1.0, -2.0, 0.5]),
                false => random.range(dims, batch, center - 1.0, center + 1.0),
            };
            let whole = shape(false, &[x.data().len()]);
            let y = lenslet_graph::tensor::Tensor::new(whole, x.data().to_vec());
            let moments = shape(false, &[5]);
            Check::new(Statistics, [x]).sums(moments, |machine, call| machine.run(Moments { call }), statistics);
            Check::new(Statistics, [y]).kernel(|_, call| whole_statistics(call.inputs[0].data, call.output));
        }

        #[test]
        fn batch_statistics_are_the_reference(
            [channels, height, width] in [1usize..5, 1usize..12, 1usize..12],
            batch in 1usize..70,
            center in prop::sample::select(&[0.0f32, 1.0, 1000.0][..]),
            seed in any::<u64>(),
        ) {
            let image = shape(true, &[channels, height, width]);
            let x = Random::new(seed).range(image, batch, center - 1.0, center + 1.0);
            let moments = shape(false, &[4, channels]);
            let tile = |machine: crate::kernels::testing::Machine, call: Call<'_>| machine.run(ChannelMoments { call });
            Check::new(BatchStatistics, [x]).sums(moments, tile, batch_statistics);
        }
    }
}
