//! Average pooling to a given size, whatever size arrives.
//!
//! Along each axis, output `i` of `out` is the mean of the inputs from `⌊i·size/out⌋` to behind `⌈(i + 1)·size/out⌉ − 1`:
//! PyTorch's bins, which share their edges where `out` does not divide `size`, and repeat values where it is larger
//! (<https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html>). Size 1×1 is global average pooling.

use std::ops::Range;

use super::conv2d::pixels;
use super::{Derivative, Meaning, Run};
use crate::record::layer;
use crate::tensor::{Real, Tensor};
use crate::{Mistake, Shape, ShapeVar, SizeError, Var};

/// Average pooling to a given size, `C×H×W` to `C×h×w`: the layer, and the op.
///
/// `AdaptiveAvgPool2d::new(4, 4)` makes 64×4×4 of 64×10×10; the second of four bins takes rows 2 to 4, since
/// `⌊1·10/4⌋ = 2` and `⌈2·10/4⌉ = 5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2d {
    output: [usize; 2],
}

impl AdaptiveAvgPool2d {
    /// Pooling to `height×width`.
    pub const fn new(height: usize, width: usize) -> Self {
        Self { output: [height, width] }
    }

    /// Height and width of what it gives.
    pub const fn output_size(&self) -> [usize; 2] {
        self.output
    }

    /// The shape rule: channels stay, height and width are the layer's.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let shape = x.shape();
        let [height, width] = self.output;
        let mistake = if shape.rank() != 3 {
            Mistake::Rank { expected: "a C×H×W feature map" }
        } else if height == 0 || width == 0 {
            Mistake::Zero { argument: "output_size" }
        } else {
            match Shape::batched(&[shape.dim(0), height, width]) {
                Some(output) => return Ok(x.step("adaptive_avg_pool2d", output.with_batch(shape.is_batched()))),
                None => Mistake::TooLarge,
            }
        };
        Err(SizeError { op: "adaptive_avg_pool2d", mistake, arrived: *x })
    }

    /// `x` must be `C×H×W`; gives `C×h×w`.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "adaptive_avg_pool2d", false, |_| Var::apply(*self, &[x]))
    }

    /// The twin of [`AdaptiveAvgPool2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }

    /// Calls `seen(input, output, count)` for every value of every bin, by position in the row-major blocks; `count` is
    /// the number of values in that bin.
    fn each_value(&self, image: Shape, mut seen: impl FnMut(usize, usize, usize)) {
        let [out_height, out_width] = self.output;
        let (height, width) = (image.dim(1), image.dim(2));
        let output = Shape::image(image.dim(0), out_height, out_width);
        for channel in 0..image.dim(0) {
            for (oy, ox) in pixels(output) {
                let (rows, columns) = (bin(out_height, oy, height), bin(out_width, ox, width));
                let count = rows.len() * columns.len();
                for y in rows {
                    for x in columns.clone() {
                        let input = (channel * height + y) * width + x;
                        seen(input, (channel * out_height + oy) * out_width + ox, count);
                    }
                }
            }
        }
    }
}

/// The inputs along an axis of `size` whose mean is output `i` of `out`; never empty.
pub fn bin(out: usize, i: usize, size: usize) -> Range<usize> {
    i * size / out..((i + 1) * size).div_ceil(out)
}

/// The gradient of adaptive average pooling: each output's is shared evenly among its bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveAvgPool2dGrad {
    /// The pooling.
    pub layer: AdaptiveAvgPool2d,
    /// The image's sizes.
    pub image: Shape,
}

impl Var {
    /// Average pooling to a given size, `C×H×W` to `C×height×width`.
    #[track_caller]
    pub fn adaptive_avg_pool2d(self, height: usize, width: usize) -> Var {
        Var::apply(AdaptiveAvgPool2d::new(height, width), &[self])
    }

    /// The mean of each channel, `C×H×W` to `C×1×1`.
    #[track_caller]
    pub fn global_avg_pool(self) -> Var {
        self.adaptive_avg_pool2d(1, 1)
    }
}

impl ShapeVar {
    /// The twin of [`Var::adaptive_avg_pool2d`].
    #[track_caller]
    pub const fn adaptive_avg_pool2d(self, height: usize, width: usize) -> Self {
        ShapeVar::proved(AdaptiveAvgPool2d::new(height, width).rule(&self))
    }

    /// The twin of [`Var::global_avg_pool`].
    #[track_caller]
    pub const fn global_avg_pool(self) -> Self {
        self.adaptive_avg_pool2d(1, 1)
    }
}

impl Meaning for AdaptiveAvgPool2d {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| {
            let x = run.inputs[0].image(image);
            self.each_value(run.inputs[0].shape(), |i, o, count| y[o] += x[i] / F::of(count as f64));
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let image = d.inputs[0].shape();
        vec![Some(Var::apply(AdaptiveAvgPool2dGrad { layer: *self, image }, &[d.gradient]))]
    }
}

impl Meaning for AdaptiveAvgPool2dGrad {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool2d_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(self.image))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, dx| {
            let dy = run.inputs[0].image(image);
            self.layer.each_value(self.image, |i, o, count| dx[i] += dy[o] / F::of(count as f64));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, value};

    #[test]
    fn bins_are_pytorchs() {
        let bins = |out, size| (0..out).map(|i| bin(out, i, size)).collect::<Vec<_>>();
        assert_eq!(bin(1, 0, 7), 0..7);
        assert_eq!(bins(3, 6), [0..2, 2..4, 4..6]);
        assert_eq!(bins(4, 10), [0..3, 2..5, 5..8, 7..10], "they share their edges");
        assert_eq!(bins(5, 3), [0..1, 0..2, 1..2, 1..3, 2..3], "more outputs than inputs");
    }

    #[test]
    fn values_and_gradients_by_hand() {
        let x = [batched(&[1, 1, 3], &[1.0, 3.0, 8.0])];
        let pool = |v: &[Var]| v[0].adaptive_avg_pool2d(2, 2);
        assert_eq!(value(&x, pool).data(), [2.0, 5.5, 2.0, 5.5]);
        assert_eq!(gradients(&x, pool)[0].data(), [1.0, 2.0, 1.0]);
        assert_eq!(value(&x, |v| v[0].global_avg_pool()).data(), [4.0]);
        const GLOBAL: ShapeVar = ShapeVar::image([64, 8, 6]).global_avg_pool();
        assert_eq!(GLOBAL.shape(), Shape::image(64, 1, 1));
    }

    #[test]
    fn mistakes_are_named() {
        let words = |layer: AdaptiveAvgPool2d, x: Shape| layer.rule(&ShapeVar::new(x)).unwrap_err().to_string();
        assert_eq!(
            words(AdaptiveAvgPool2d::new(1, 0), Shape::image(3, 4, 4)),
            "adaptive_avg_pool2d: output_size is 0, but must be at least 1\n  sizes so far:\n    input        3x4x4\n  \
             mend it: give output_size a number from 1"
        );
        assert_eq!(
            words(AdaptiveAvgPool2d::new(1, 1), Shape::batched(&[16]).unwrap()),
            "adaptive_avg_pool2d: expects a C×H×W feature map, but 16 arrives\n  sizes so far:\n    input        16\n  \
             mend it: view(…) to the axes that it expects, or move the layer"
        );
        assert_eq!(
            words(AdaptiveAvgPool2d::new(1 << 16, 1 << 16), Shape::image(3, 4, 4)).lines().next().unwrap(),
            "adaptive_avg_pool2d: the result would have more than 2^31 values per image"
        );
    }
}
