//! Average pooling, and its gradient.
//!
//! A window is cut to what lies inside of the image, so padding adds nothing; what the sum is divided by is the op's to
//! say. Backward, each gradient is added to every place that its window sees.

use lenslet_graph::Shape;
use lenslet_graph::ops::avg_pool::AvgPool2d;

use super::Call;
use super::max_pool::inside;
use crate::simd::{Kernel, Lanes};

/// The mean of each window.
pub(crate) struct Forward<'a> {
    pub(crate) layer: AvgPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output, shape, .. } = self.call;
        let (x, image) = (inputs[0].data, inputs[0].shape);
        let places = windows(&self.layer, image, shape);
        for (place, y) in places.zip(output.chunks_exact_mut(S::N)) {
            let mut sum = simd.splat(0.0);
            for row in 0..place.rows {
                let row = &x[(place.first + row * image.dim(2)) * S::N..][..place.columns * S::N];
                for x in row.chunks_exact(S::N) {
                    sum = simd.add(sum, simd.load(x, 0));
                }
            }
            simd.store(simd.mul(sum, simd.splat(place.share)), y, 0);
        }
    }
}

/// Each gradient to all that its window sees, in even shares. The input is the gradient.
pub(crate) struct Backward<'a> {
    pub(crate) layer: AvgPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: dx, shape: image, .. } = self.call;
        dx.fill(0.0);
        let places = windows(&self.layer, image, inputs[0].shape);
        for (place, dy) in places.zip(inputs[0].data.chunks_exact(S::N)) {
            let share = simd.mul(simd.load(dy, 0), simd.splat(place.share));
            for row in 0..place.rows {
                let row = &mut dx[(place.first + row * image.dim(2)) * S::N..][..place.columns * S::N];
                for dx in row.chunks_exact_mut(S::N) {
                    simd.store(simd.add(simd.load(dx, 0), share), dx, 0);
                }
            }
        }
    }
}

/// The part of a window that lies inside of the image.
struct Place {
    /// Its first value, in all of the feature map.
    first: usize,
    /// Places down and along.
    rows: usize,
    columns: usize,
    /// One over what the sum is divided by.
    share: f32,
}

/// The windows of all outputs, in order.
#[inline(always)]
fn windows(layer: &AvgPool2d, image: Shape, output: Shape) -> impl Iterator<Item = Place> {
    let (layer, window, [height, width]) = (*layer, layer.window(), [image.dim(1), image.dim(2)]);
    let lines = (0..image.dim(0)).flat_map(move |channel| (0..output.dim(1)).map(move |oy| (channel, oy)));
    lines.flat_map(move |(channel, oy)| {
        let (row, rows) = inside(&window.height, oy, height);
        let line = (channel * height + row) * width;
        (0..output.dim(2)).map(move |ox| {
            let (column, columns) = inside(&window.width, ox, width);
            Place { first: line + column, rows, columns, share: 1.0 / layer.divisor(image, oy, ox) as f32 }
        })
    })
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::avg_pool::AvgPool2dGrad;
    use lenslet_graph::{Shape, ShapeVar};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random};

    proptest! {
        #[test]
        fn windows_of_all_kinds_are_the_reference(
            [channels, height, width] in [1usize..4, 1usize..10, 1usize..10],
            kernel in [1usize..5, 1usize..5],
            stride in [1usize..5, 1usize..5],
            padding in [0usize..3, 0usize..3],
            [ceil, exclude_pad, batched] in any::<[bool; 3]>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let layer = AvgPool2d::new(1, 1).kernel_hw(kernel[0], kernel[1]).stride_hw(stride[0], stride[1]);
            let layer = layer.padding_hw(padding[0].min(kernel[0] / 2), padding[1].min(kernel[1] / 2));
            let layer = if ceil { layer.ceil_mode() } else { layer };
            let layer = if exclude_pad { layer.exclude_pad() } else { layer };
            let image = Shape::image(channels, height, width).with_batch(batched);
            let Ok(output) = layer.rule(&ShapeVar::new(image)) else { return Ok(()) };
            let mut random = Random::new(seed);
            let (x, dy) = (random.tensor(image, batch), random.tensor(output.shape(), batch));
            Check::new(layer, [x]).kernel(|machine, call| machine.run(Forward { layer, call }));
            let back = Check::new(AvgPool2dGrad { layer, image }, [dy]).gradient(0);
            let empty = back.kernel(|machine, call| machine.run(Backward { layer, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
