//! Average pooling to a given size, and its gradient.
//!
//! A bin is a rectangle of the image, read row by row; 1×1 is the mean of all of a channel. Bins may share their edges, so
//! gradients are added up, unless the output's sizes divide the image's: then each place belongs to one bin and is written
//! once.

use lenslet_graph::Shape;
use lenslet_graph::ops::adaptive_avg_pool::{AdaptiveAvgPool2d, bin};

use super::Call;
use super::reduce::totals;
use crate::simd::{Kernel, Lanes};

/// The mean of each bin.
pub(crate) struct Forward<'a> {
    pub(crate) layer: AdaptiveAvgPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, .. } = self.call;
        let (x, image) = (inputs[0].data, inputs[0].shape);
        for (bin, y) in bins(&self.layer, image).zip(output.chunks_exact_mut(S::N)) {
            let mut sum = simd.splat(0.0);
            for row in 0..bin.rows {
                let row = &x[(bin.first + row * image.dim(2)) * S::N..];
                let [more] = totals(simd, bin.columns, 1, [row], |[x]| [x]);
                sum = simd.add(sum, more);
            }
            simd.store(simd.mul(sum, simd.splat(bin.share())), y, 0);
        }
    }
}

/// Each gradient to all of its bin, in even shares. The input is the gradient.
pub(crate) struct Backward<'a> {
    pub(crate) layer: AdaptiveAvgPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: dx, shape: image, .. } = self.call;
        let [height, width] = self.layer.output_size();
        let apart = image.dim(1).is_multiple_of(height) && image.dim(2).is_multiple_of(width);
        if !apart {
            dx.fill(0.0);
        }
        for (bin, dy) in bins(&self.layer, image).zip(inputs[0].data.chunks_exact(S::N)) {
            let share = simd.mul(simd.load(dy, 0), simd.splat(bin.share()));
            for row in 0..bin.rows {
                let row = &mut dx[(bin.first + row * image.dim(2)) * S::N..][..bin.columns * S::N];
                for dx in row.chunks_exact_mut(S::N) {
                    simd.store(if apart { share } else { simd.add(simd.load(dx, 0), share) }, dx, 0);
                }
            }
        }
    }
}

/// A rectangle of the feature map.
struct Bin {
    /// Its first value, in all of the feature map.
    first: usize,
    rows: usize,
    columns: usize,
}

impl Bin {
    fn share(&self) -> f32 {
        1.0 / (self.rows * self.columns) as f32
    }
}

/// The bins of all outputs, in order.
#[inline(always)]
fn bins(layer: &AdaptiveAvgPool2d, image: Shape) -> impl Iterator<Item = Bin> {
    let ([out_height, out_width], [height, width]) = (layer.output_size(), [image.dim(1), image.dim(2)]);
    let lines = (0..image.dim(0)).flat_map(move |channel| (0..out_height).map(move |oy| (channel, oy)));
    lines.flat_map(move |(channel, oy)| {
        let rows = bin(out_height, oy, height);
        let line = (channel * height + rows.start) * width;
        (0..out_width).map(move |ox| {
            let columns = bin(out_width, ox, width);
            Bin { first: line + columns.start, rows: rows.len(), columns: columns.len() }
        })
    })
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::adaptive_avg_pool::AdaptiveAvgPool2dGrad;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random};

    proptest! {
        #[test]
        fn is_the_reference(
            [channels, height, width] in [1usize..4, 1usize..10, 1usize..10],
            output in [1usize..7, 1usize..7],
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let layer = AdaptiveAvgPool2d::new(output[0], output[1]);
            let image = Shape::image(channels, height, width).with_batch(batched);
            let output = Shape::image(channels, output[0], output[1]).with_batch(batched);
            let mut random = Random::new(seed);
            let (x, dy) = (random.tensor(image, batch), random.tensor(output, batch));
            Check::new(layer, [x]).kernel(|machine, call| machine.run(Forward { layer, call }));
            let back = Check::new(AdaptiveAvgPool2dGrad { layer, image }, [dy]).gradient(0);
            let empty = back.kernel(|machine, call| machine.run(Backward { layer, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
