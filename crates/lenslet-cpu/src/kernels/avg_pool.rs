//! Average pooling, and its gradient.
//!
//! A window is cut to what lies inside of the image, so padding adds nothing; what the sum is divided by is the op's to
//! say. Backward, each gradient is added to every place that its window sees.

use lenslet_graph::Shape;
use lenslet_graph::ops::avg_pool::AvgPool2d;
use lenslet_graph::window::Window;

use super::Call;
use super::max_pool::{Line, Place};
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
        let (window, width) = (self.layer.window(), image.dim(2));
        for (number, y) in output.chunks_exact_mut(shape.dim(2) * S::N).enumerate() {
            let (line, oy) = (Line::new(window, image, shape, number), number % shape.dim(1));
            for (ox, y) in y.chunks_exact_mut(S::N).enumerate() {
                let place = line.place(ox);
                let mut sum = simd.splat(0.0);
                for i in 0..place.rows {
                    for j in 0..place.columns {
                        sum = simd.add(sum, simd.load(x, place.first + i * width + j));
                    }
                }
                let share = share(&self.layer, &window, image, &place, [oy, ox]);
                simd.store(simd.mul(sum, simd.splat(share)), y, 0);
            }
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
        let (window, width, shape) = (self.layer.window(), image.dim(2), inputs[0].shape);
        for (number, dy) in inputs[0].data.chunks_exact(shape.dim(2) * S::N).enumerate() {
            let (line, oy) = (Line::new(window, image, shape, number), number % shape.dim(1));
            for (ox, dy) in dy.chunks_exact(S::N).enumerate() {
                let place = line.place(ox);
                let share = share(&self.layer, &window, image, &place, [oy, ox]);
                let share = simd.mul(simd.load(dy, 0), simd.splat(share));
                for i in 0..place.rows {
                    for j in 0..place.columns {
                        let at = place.first + i * width + j;
                        simd.store(simd.add(simd.load(dx, at), share), dx, at);
                    }
                }
            }
        }
    }
}

/// One over what the sum of a window is divided by: its size where all of it lies inside, and at the edges as the op says.
#[inline(always)]
fn share(layer: &AvgPool2d, window: &Window, image: Shape, place: &Place, [oy, ox]: [usize; 2]) -> f32 {
    let seen = place.rows * place.columns;
    let whole = seen == window.height.kernel * window.width.kernel;
    1.0 / if whole { seen } else { layer.divisor(image, oy, ox) } as f32
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ShapeVar;
    use lenslet_graph::ops::avg_pool::AvgPool2dGrad;
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
