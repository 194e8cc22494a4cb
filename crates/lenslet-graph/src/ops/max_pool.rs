//! The maximum of each window.
//!
//! `y[c, i, j] = max_{k,l} x[c, i·stride + k·dilation − padding, j·stride + l·dilation − padding]`, and the output size is
//! `⌊(size + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1`
//! (<https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html>). Libraries differ in the conventions; these are
//! PyTorch's. Padding counts as −∞ and is at most half of the kernel. Of equal values the first in row order wins, and
//! alone receives the gradient. A NaN wins over all numbers, of several the last. A window that sees padding only, which
//! takes a dilation on a tiny image, gives −∞ and receives no gradient.
//!
//! Forward and backward follow from one function, [`MaxPool2d::winner`]; so they cannot disagree. The backward pass finds
//! the winner again instead of storing it: the image is there anyway, a block of indices would not be.
//!
//! What is not here: global max pooling, which is `amax` over height and width.

use super::conv2d::pixels;
use super::{Derivative, Meaning, Run};
use crate::record::layer;
use crate::tensor::{Real, Tensor};
use crate::window::{AxisWindow, Window};
use crate::{Mistake, Shape, ShapeVar, SizeError, Var};

/// Max pooling, `C×H×W` to `C×H'×W'`: the layer, and the op.
///
/// `MaxPool2d::new(2, 2)` halves a feature map; 6×28×28 becomes 6×14×14, since `(28 - 2)/2 + 1 = 14`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    ceil_mode: bool,
}

impl MaxPool2d {
    /// Max pooling over a square window, without padding. PyTorch's `MaxPool2d(k)` is `MaxPool2d::new(k, k)`.
    pub const fn new(kernel_size: usize, stride: usize) -> Self {
        Self { kernel: [kernel_size; 2], stride: [stride; 2], padding: [0; 2], dilation: [1; 2], ceil_mode: false }
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

    /// −∞ around the image, on each side; at most half of the kernel.
    pub const fn padding(self, padding: usize) -> Self {
        self.padding_hw(padding, padding)
    }

    /// −∞ above and below, and left and right.
    pub const fn padding_hw(mut self, height: usize, width: usize) -> Self {
        self.padding = [height, width];
        self
    }

    /// Pixels from one kernel tap to the next.
    pub const fn dilation(self, dilation: usize) -> Self {
        self.dilation_hw(dilation, dilation)
    }

    /// Dilation down and along.
    pub const fn dilation_hw(mut self, height: usize, width: usize) -> Self {
        self.dilation = [height, width];
        self
    }

    /// Rounds the output size up: a last window that is only partly inside counts.
    pub const fn ceil_mode(mut self) -> Self {
        self.ceil_mode = true;
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
            dilation: self.dilation[axis],
            ceil: self.ceil_mode,
        }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        pool_rule("max_pool2d", &self.window(), x)
    }

    /// `x` must be `C×H×W`; gives `C×H'×W'`.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "max_pool2d", false, |_| Var::apply(*self, &[x]))
    }

    /// The twin of [`MaxPool2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }

    /// Which value of a `height×width` map wins the window of output `(oy, ox)`; `None` where all of it is padding.
    pub fn winner<F: Real>(&self, map: &[F], [height, width]: [usize; 2], oy: usize, ox: usize) -> Option<usize> {
        let window = self.window();
        let mut winner: Option<usize> = None;
        for k in 0..self.kernel[0] {
            for l in 0..self.kernel[1] {
                let (Some(y), Some(x)) = (window.height.input(oy, k, height), window.width.input(ox, l, width)) else {
                    continue;
                };
                let here = y * width + x;
                if winner.is_none_or(|best| map[here] > map[best] || map[here].is_nan()) {
                    winner = Some(here);
                }
            }
        }
        winner
    }

    /// Calls `found(input, output)` for the winner of each window, by position in the row-major blocks of an image.
    fn each_winner<F: Real>(&self, x: &[F], image: Shape, output: Shape, mut found: impl FnMut(usize, usize)) {
        let map = image.dim(1) * image.dim(2);
        for (channel, x) in x.chunks_exact(map).enumerate() {
            for (oy, ox) in pixels(output) {
                if let Some(winner) = self.winner(x, [image.dim(1), image.dim(2)], oy, ox) {
                    found(channel * map + winner, (channel * output.dim(1) + oy) * output.dim(2) + ox);
                }
            }
        }
    }
}

/// The shape rule of pooling with a window.
pub(super) const fn pool_rule(op: &'static str, window: &Window, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
    let mistake = if x.shape().rank() != 3 {
        Mistake::Rank { expected: "a C×H×W feature map" }
    } else if let Some(argument) = window.zero_argument() {
        Mistake::Zero { argument }
    } else if window.height.before > window.height.kernel / 2 {
        Mistake::PoolPadding { window: window.height }
    } else if window.width.before > window.width.kernel / 2 {
        Mistake::PoolPadding { window: window.width }
    } else {
        return window.slide(op, x, x.shape().dim(0));
    };
    Err(SizeError { op, mistake, arrived: *x })
}

/// The gradient of max pooling: each output's goes to the winner of its window, and adds up where one wins several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dGrad {
    /// The pooling.
    pub layer: MaxPool2d,
}

impl Var {
    /// Max pooling, `C×H×W` to `C×H'×W'`; for padding and more see [`MaxPool2d`].
    #[track_caller]
    pub fn max_pool2d(self, kernel_size: usize, stride: usize) -> Var {
        Var::apply(MaxPool2d::new(kernel_size, stride), &[self])
    }
}

impl ShapeVar {
    /// The twin of [`Var::max_pool2d`].
    #[track_caller]
    pub const fn max_pool2d(self, kernel_size: usize, stride: usize) -> Self {
        ShapeVar::proved(MaxPool2d::new(kernel_size, stride).rule(&self))
    }
}

impl Meaning for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        run.per_image(|image, y| {
            let x = run.inputs[0].image(image);
            y.fill(F::neg_infinity());
            self.each_winner(x, run.inputs[0].shape(), run.shape, |winner, o| y[o] = x[winner]);
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        vec![Some(Var::apply(MaxPool2dGrad { layer: *self }, &[d.inputs[0], d.gradient]))]
    }
}

impl Meaning for MaxPool2dGrad {
    fn name(&self) -> &'static str {
        "max_pool2d_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (x, gradient) = (run.inputs[0], run.inputs[1]);
        run.per_image(|image, dx| {
            let dy = gradient.image(image);
            self.layer.each_winner(x.image(image), x.shape(), gradient.shape(), |winner, o| dx[winner] += dy[o]);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::testing::{batched, gradients, value};

    fn sizes(layer: MaxPool2d, image: [usize; 3]) -> String {
        layer.rule(&ShapeVar::image(image)).map_or_else(|error| error.to_string(), |x| x.shape().to_string())
    }

    /// Values, and what a gradient of 1, 2, 3, … by the outputs becomes, for one map of `size`.
    fn pooled(layer: MaxPool2d, size: [usize; 2], x: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let x = [batched(&[1, size[0], size[1]], x)];
        let y = value(&x, |v| Var::apply(layer, &[v[0]]));
        let seed = Tensor::new(y.shape(), (1..=y.data().len()).map(|i| i as f64).collect());
        let dx = gradients(&[x[0].clone(), seed], |v| Var::apply(layer, &[v[0]]) * v[1]).remove(0);
        (y.data().to_vec(), dx.data().to_vec())
    }

    #[test]
    fn sizes_follow_the_formula() {
        const LESSON: ShapeVar = MaxPool2d::new(2, 2).forward_sizes(ShapeVar::image([6, 28, 28]));
        assert_eq!(LESSON.shape(), Shape::image(6, 14, 14));
        let tall = MaxPool2d::new(3, 1).kernel_hw(3, 5).stride_hw(1, 2).padding_hw(0, 2).dilation_hw(2, 1);
        for (about, layer, image, output) in [
            ("overlap", MaxPool2d::new(3, 2).padding(1), [64, 112, 112], "64x56x56"),
            ("a rest is dropped", MaxPool2d::new(2, 2), [1, 7, 7], "1x3x3"),
            ("a rest is kept", MaxPool2d::new(2, 2).ceil_mode(), [1, 7, 7], "1x4x4"),
            (
                "a window that would begin in the padding is dropped",
                MaxPool2d::new(2, 2).padding(1).ceil_mode(),
                [1, 4, 4],
                "1x3x3",
            ),
            ("stride larger than the kernel", MaxPool2d::new(2, 5), [1, 10, 10], "1x2x2"),
            ("one pixel", MaxPool2d::new(1, 1), [1, 1, 1], "1x1x1"),
            ("height and width apart", tall, [2, 32, 17], "2x28x9"),
        ] {
            assert_eq!(sizes(layer, image), output, "{about}");
        }
    }

    #[test]
    fn the_first_of_equals_takes_all() {
        let x = [1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 0.0, 2.0, 2.0];
        let (y, dx) = pooled(MaxPool2d::new(2, 1), [3, 3], &x);
        assert_eq!(y, [2.0; 4]);
        assert_eq!(dx, [0.0, 3.0, 0.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0], "windows 1 and 2 share a winner, 3 and 4 do not");
    }

    #[test]
    fn a_nan_wins_and_of_several_the_last() {
        let nan = f64::NAN;
        let x = [1.0, nan, 3.0, 4.0, nan, 6.0, 7.0, f64::INFINITY];
        let (y, dx) = pooled(MaxPool2d::new(2, 2), [2, 4], &x);
        assert!(y[0].is_nan() && y[1] == f64::INFINITY);
        assert_eq!(dx, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn padding_never_wins() {
        let (y, dx) = pooled(MaxPool2d::new(2, 2).padding(1), [2, 2], &[-1.0, -2.0, -3.0, -4.0]);
        assert_eq!(y, [-1.0, -2.0, -3.0, -4.0]);
        assert_eq!(dx, [1.0, 2.0, 3.0, 4.0]);
        let (y, dx) = pooled(MaxPool2d::new(2, 2), [2, 2], &[f64::NEG_INFINITY; 4]);
        assert_eq!((y[0], dx), (f64::NEG_INFINITY, vec![1.0, 0.0, 0.0, 0.0]), "a pixel of −∞ wins over nothing");
    }

    #[test]
    fn a_window_of_padding_alone_is_minus_infinity() {
        // Rows −1 and 2 of an image that has rows 0 and 1.
        let layer = MaxPool2d::new(1, 1).kernel_hw(2, 1).padding_hw(1, 0).dilation_hw(3, 1);
        let (y, dx) = pooled(layer, [2, 1], &[5.0, 6.0]);
        assert_eq!((y, dx), (vec![f64::NEG_INFINITY], vec![0.0, 0.0]));
    }

    #[test]
    fn mistakes_are_named() {
        let conv = crate::Conv2d::new(3, 6, 5).forward_sizes(ShapeVar::image([3, 8, 9]));
        assert_eq!(
            MaxPool2d::new(5, 5).rule(&conv).unwrap_err().to_string(),
            "max_pool2d: the kernel is larger than the image: height 4, (4 - 5) is negative\n  sizes so far:\n    \
             input        3x8x9\n    conv2d       6x4x5       (8 - 5)/1 + 1 = 4, (9 - 5)/1 + 1 = 5\n  \
             mend it: a larger image, a kernel of at most 4, or padding(1)"
        );
        let padding = "max_pool2d: padding 2 is more than half of the kernel 3, so a window could lie wholly in the padding\n  \
                       sizes so far:\n    input        1x8x8\n  mend it: padding of at most 1";
        assert_eq!(sizes(MaxPool2d::new(3, 2).padding(2), [1, 8, 8]), padding);
        assert_eq!(sizes(MaxPool2d::new(3, 2).padding_hw(1, 2), [1, 8, 8]), padding);
        assert_eq!(sizes(MaxPool2d::new(3, 2).padding(2).dilation(2), [1, 8, 8]), padding, "dilation does not count");
        assert_eq!(sizes(MaxPool2d::new(3, 2).padding_hw(1, 2).dilation(2), [1, 8, 8]), padding);
        for (layer, argument) in [
            (MaxPool2d::new(0, 1), "kernel_size"),
            (MaxPool2d::new(2, 0), "stride"),
            (MaxPool2d::new(2, 1).dilation(0), "dilation"),
        ] {
            let text = sizes(layer, [1, 8, 8]);
            assert!(text.starts_with(&format!("max_pool2d: {argument} is 0, but must be at least 1\n")), "{text}");
        }
        let row = ShapeVar::new(Shape::batched(&[120]).unwrap());
        let text = MaxPool2d::new(2, 2).rule(&row).unwrap_err().to_string();
        assert!(text.starts_with("max_pool2d: expects a C×H×W feature map, but 120 arrives\n"), "{text}");
    }
}
