//! The mean of each window.
//!
//! `y[c, i, j] = Σ_{k,l} x[c, i·stride + k − padding, j·stride + l − padding] / divisor`, and the output size is
//! `⌊(size + 2·padding − kernel) / stride⌋ + 1` (<https://pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html>).
//! PyTorch's conventions: padding counts as zeros, and as places in the divisor unless `exclude_pad`; what a window of
//! ceil mode sees behind the padding counts as nothing at all. Padding is at most half of the kernel.
//!
//! What is not here: dilation, which PyTorch's average pooling has not either, and `divisor_override`.

use super::conv2d::pixels;
use super::max_pool::pool_rule;
use super::{Derivative, Meaning, Run};
use crate::record::layer;
use crate::tensor::{Real, Tensor};
use crate::window::{AxisWindow, Window};
use crate::{Shape, ShapeVar, SizeError, Var};

/// Average pooling, `C×H×W` to `C×H'×W'`: the layer, and the op.
///
/// `AvgPool2d::new(2, 2)` halves a feature map; 6×28×28 becomes 6×14×14, since `(28 - 2)/2 + 1 = 14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    ceil_mode: bool,
    count_include_pad: bool,
}

impl AvgPool2d {
    /// Average pooling over a square window, without padding. PyTorch's `AvgPool2d(k)` is `AvgPool2d::new(k, k)`.
    pub const fn new(kernel_size: usize, stride: usize) -> Self {
        Self {
            kernel: [kernel_size; 2],
            stride: [stride; 2],
            padding: [0; 2],
            ceil_mode: false,
            count_include_pad: true,
        }
    }

    /// Kernel height and width.
    pub const fn kernel_hw(mut self, height: usize, width: usize) -> Self {
        self.kernel = [height, width];
        self
    }

    /// Stride down and along.
    pub const fn stride_hw(mut self, height: usize, width: usize) -> Self {
        self.stride = [height, width];
        self
    }

    /// Zeros around the image, on each side; at most half of the kernel.
    pub const fn padding(self, padding: usize) -> Self {
        self.padding_hw(padding, padding)
    }

    /// Zeros above and below, and left and right.
    pub const fn padding_hw(mut self, height: usize, width: usize) -> Self {
        self.padding = [height, width];
        self
    }

    /// Rounds the output size up: a last window that is only partly inside counts.
    pub const fn ceil_mode(mut self) -> Self {
        self.ceil_mode = true;
        self
    }

    /// Divides by the window's places inside of the image only, PyTorch's `count_include_pad=False`.
    pub const fn exclude_pad(mut self) -> Self {
        self.count_include_pad = false;
        self
    }

    /// The window.
    pub const fn window(&self) -> Window {
        Window { height: self.axis(0), width: self.axis(1) }
    }

    const fn axis(&self, axis: usize) -> AxisWindow {
        AxisWindow {
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            before: self.padding[axis],
            after: self.padding[axis],
            dilation: 1,
            ceil: self.ceil_mode,
        }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        pool_rule("avg_pool2d", &self.window(), x)
    }

    /// `x` must be `C×H×W`; gives `C×H'×W'`.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "avg_pool2d", false, |_| Var::apply(*self, &[x]))
    }

    /// The twin of [`AvgPool2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }

    /// What the sum over the window of output `(oy, ox)` is divided by; `image` is the input's `C×H×W`.
    pub fn divisor(&self, image: Shape, oy: usize, ox: usize) -> usize {
        self.places(0, image.dim(1), oy) * self.places(1, image.dim(2), ox)
    }

    /// How many places count along one axis, in positions of the padded image.
    fn places(&self, axis: usize, size: usize, o: usize) -> usize {
        let padding = self.padding[axis];
        let counted = if self.count_include_pad { 0..size + 2 * padding } else { padding..size + padding };
        let start = o * self.stride[axis];
        let end = start + self.kernel[axis];
        end.min(counted.end) - start.max(counted.start)
    }

    /// Calls `seen(input, output, divisor)` for every value that a window sees, by position in the row-major blocks.
    fn each_value(&self, image: Shape, output: Shape, mut seen: impl FnMut(usize, usize, usize)) {
        let window = self.window();
        let (height, width) = (image.dim(1), image.dim(2));
        for channel in 0..image.dim(0) {
            for (oy, ox) in pixels(output) {
                let divisor = self.divisor(image, oy, ox);
                for k in 0..self.kernel[0] {
                    for l in 0..self.kernel[1] {
                        let (Some(y), Some(x)) = (window.height.input(oy, k, height), window.width.input(ox, l, width))
                        else {
                            continue;
                        };
                        let input = (channel * height + y) * width + x;
                        seen(input, (channel * output.dim(1) + oy) * output.dim(2) + ox, divisor);
                    }
                }
            }
        }
    }
}

/// The gradient of average pooling: each output's is shared evenly among what its window sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dGrad {
    /// The pooling.
    pub layer: AvgPool2d,
    /// The image's sizes.
    pub image: Shape,
}

impl Var {
    /// Average pooling, `C×H×W` to `C×H'×W'`; for padding and more see [`AvgPool2d`].
    #[track_caller]
    pub fn avg_pool2d(self, kernel_size: usize, stride: usize) -> Var {
        Var::apply(AvgPool2d::new(kernel_size, stride), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::avg_pool2d`].
    #[track_caller]
    pub const fn avg_pool2d(self, kernel_size: usize, stride: usize) -> Self {
        ShapeVar::proved(AvgPool2d::new(kernel_size, stride).rule(&self))
    }
}

impl Meaning for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| {
            let x = run.inputs[0].image(image);
            self.each_value(run.inputs[0].shape(), run.shape, |i, o, divisor| y[o] += x[i] / F::of(divisor as f64));
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let image = d.inputs[0].shape();
        vec![Some(Var::apply(AvgPool2dGrad { layer: *self, image }, &[d.gradient]))]
    }
}

impl Meaning for AvgPool2dGrad {
    fn name(&self) -> &'static str {
        "avg_pool2d_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(self.image))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let gradient = run.inputs[0];
        run.per_image(|image, dx| {
            let dy = gradient.image(image);
            self.layer.each_value(self.image, gradient.shape(), |i, o, divisor| dx[i] += dy[o] / F::of(divisor as f64));
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, value};

    fn divisors(layer: AvgPool2d, size: usize) -> Vec<usize> {
        let output = layer.rule(&ShapeVar::image([1, 1, size])).unwrap().shape();
        (0..output.dim(2)).map(|ox| layer.divisor(Shape::image(1, 1, size), 0, ox)).collect()
    }

    /// One axis of a window, the other being 1.
    fn along(kernel: usize, stride: usize, padding: usize) -> AvgPool2d {
        AvgPool2d::new(1, 1).kernel_hw(1, kernel).stride_hw(1, stride).padding_hw(0, padding)
    }

    #[test]
    fn divisors_are_pytorchs() {
        // torch.nn.functional.avg_pool2d(torch.ones(1, 1, 1, size), …), whose values are seen places / divisor.
        assert_eq!(divisors(along(3, 2, 1), 4), [3, 3], "padding counts");
        assert_eq!(divisors(along(3, 2, 1).exclude_pad(), 4), [2, 3], "padding does not count");
        assert_eq!(divisors(along(2, 2, 0).ceil_mode(), 5), [2, 2, 1], "what lies behind the image never counts");
        assert_eq!(divisors(along(4, 3, 1).ceil_mode(), 6), [4, 4, 2], "cut at size + padding");
        assert_eq!(divisors(along(4, 3, 1).ceil_mode().exclude_pad(), 6), [3, 4, 1]);
    }

    #[test]
    fn values_and_gradients_by_hand() {
        let x = batched(&[1, 2, 3], &[1.0, 2.0, 6.0, 3.0, 6.0, 9.0]);
        let pool = |v: &[Var]| v[0].avg_pool2d(2, 1);
        assert_eq!(value(std::slice::from_ref(&x), pool).data(), [3.0, 5.75]);
        assert_eq!(gradients(std::slice::from_ref(&x), pool)[0].data(), [0.25, 0.5, 0.25, 0.25, 0.5, 0.25]);
        // Zeros of the padding make the mean smaller unless they are left out.
        let padded = |layer: AvgPool2d| value(std::slice::from_ref(&x), |v| Var::apply(layer, &[v[0]])).data().to_vec();
        assert_eq!(padded(along(3, 3, 1).ceil_mode()), [1.0, 3.0, 3.0, 4.5]);
        assert_eq!(padded(along(3, 3, 1).ceil_mode().exclude_pad()), [1.5, 6.0, 4.5, 9.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let words = |layer: AvgPool2d, image| layer.rule(&ShapeVar::image(image)).unwrap_err().to_string();
        assert_eq!(
            words(AvgPool2d::new(8, 8), [64, 4, 4]),
            "avg_pool2d: the kernel is larger than the image: height 4, (4 - 8) is negative\n  sizes so far:\n    \
             input        64x4x4\n  mend it: a larger image, a kernel of at most 4, or padding(2)"
        );
        assert_eq!(
            words(AvgPool2d::new(3, 2).padding(2), [1, 8, 8]),
            "avg_pool2d: padding 2 is more than half of the kernel 3, so a window could lie wholly in the padding\n  \
             sizes so far:\n    input        1x8x8\n  mend it: padding of at most 1"
        );
    }
}
