//! Convolution over height and width, in PyTorch's sense: the kernel is not mirrored.
//!
//! `y[o, i, j] = b[o] + Σ_{c,k,l} w[o, c, k, l] · x[c, i·stride + k·dilation − padding, j·stride + l·dilation − padding]`,
//! where values outside of the image count as 0, and with groups the output channels of a group see the input channels
//! of that group only (<https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html>). Weight: `O×(C/groups)×K×L`,
//! bias: `O`. "same" padding puts the odd pixel behind the image, as PyTorch does.
//!
//! The three ops (forward, gradient by image, gradient by weight) follow from one function, `each_product`, which names
//! every product of the sum above; so they cannot disagree.

use super::{Derivative, Meaning, Run};
use crate::record::layer;
use crate::tensor::{Real, Tensor};
use crate::window::{AxisWindow, Window};
use crate::{Init, Mistake, Shape, ShapeVar, SizeError, Var};

/// A convolution, `C×H×W` to `O×H'×W'`: the layer's description, and the op.
///
/// `Conv2d::new(3, 6, 5)` has a 5×5 kernel; 3×32×32 becomes 6×28×28, since `(32 - 5)/1 + 1 = 28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    in_channels: usize,
    out_channels: usize,
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    dilation: [usize; 2],
    groups: usize,
    bias: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Padding {
    Each([usize; 2]),
    Same,
}

impl Conv2d {
    /// A convolution with a square kernel, stride 1, no padding, and a bias.
    pub const fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel: [kernel_size; 2],
            stride: [1; 2],
            padding: Padding::Each([0; 2]),
            dilation: [1; 2],
            groups: 1,
            bias: true,
        }
    }

    /// A convolution that takes as many channels as arrive.
    pub const fn infer(out_channels: usize, kernel_size: usize) -> Self {
        Self::new(0, out_channels, kernel_size)
    }

    /// Kernel height and width.
    pub const fn kernel_hw(mut self, height: usize, width: usize) -> Self {
        self.kernel = [height, width];
        self
    }

    /// Pixels from one output to the next, down and along.
    pub const fn stride(self, stride: usize) -> Self {
        self.stride_hw(stride, stride)
    }

    /// Stride down and along.
    pub const fn stride_hw(mut self, height: usize, width: usize) -> Self {
        self.stride = [height, width];
        self
    }

    /// Zeros around the image, on each side.
    pub const fn padding(self, padding: usize) -> Self {
        self.padding_hw(padding, padding)
    }

    /// Zeros above and below, and left and right.
    pub const fn padding_hw(mut self, height: usize, width: usize) -> Self {
        self.padding = Padding::Each([height, width]);
        self
    }

    /// Padding that keeps the size, PyTorch's `padding='same'`; needs stride 1.
    pub const fn same(mut self) -> Self {
        self.padding = Padding::Same;
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

    /// Groups of channels that do not see each other; `groups(in_channels)` is a depthwise convolution.
    pub const fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// No bias, PyTorch's `bias=False`.
    pub const fn no_bias(mut self) -> Self {
        self.bias = false;
        self
    }

    /// Input channels; 0 stands for "as many as arrive".
    pub const fn in_channels(&self) -> usize {
        self.in_channels
    }

    /// Output channels.
    pub const fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// Number of groups.
    pub const fn group_count(&self) -> usize {
        self.groups
    }

    /// Kernel height and width.
    pub const fn kernel_size(&self) -> [usize; 2] {
        self.kernel
    }

    /// The window, padding resolved.
    pub const fn window(&self) -> Window {
        Window { height: self.axis(0), width: self.axis(1) }
    }

    const fn axis(&self, axis: usize) -> AxisWindow {
        let [kernel, stride, dilation] = [self.kernel[axis], self.stride[axis], self.dilation[axis]];
        let (before, after) = match self.padding {
            Padding::Each(padding) => (padding[axis], padding[axis]),
            Padding::Same => {
                let total = dilation.saturating_mul(kernel.saturating_sub(1));
                (total / 2, total - total / 2)
            }
        };
        AxisWindow { kernel, stride, before, after, dilation, ceil: false }
    }

    /// The shape rule.
    pub const fn rule(&self, x: &ShapeVar) -> Result<ShapeVar, SizeError> {
        let shape = x.shape();
        let mistake = if !shape.is_batched() {
            Some(Mistake::Whole)
        } else if shape.rank() != 3 {
            Some(Mistake::Rank { expected: "a C×H×W feature map" })
        } else {
            self.mistake(shape.dim(0))
        };
        match mistake {
            Some(mistake) => Err(SizeError { op: "conv2d", mistake, arrived: *x }),
            None => self.window().slide("conv2d", x, self.out_channels),
        }
    }

    /// What is wrong with the layer's numbers for an image of `channels`, the window apart.
    const fn mistake(&self, channels: usize) -> Option<Mistake> {
        let out = self.out_channels;
        if let Some(argument) = self.zero_argument() {
            return Some(Mistake::Zero { argument });
        }
        if self.in_channels != 0 && self.in_channels != channels {
            return Some(Mistake::Channels { expected: self.in_channels, out, kernel: self.kernel });
        }
        if !channels.is_multiple_of(self.groups) || !out.is_multiple_of(self.groups) {
            return Some(Mistake::Groups { channels, out, groups: self.groups });
        }
        let stride = if self.stride[0] == 1 { self.stride[1] } else { self.stride[0] };
        match self.padding {
            Padding::Same if stride != 1 => Some(Mistake::SameStride { stride }),
            _ => None,
        }
    }

    const fn zero_argument(&self) -> Option<&'static str> {
        if self.out_channels == 0 {
            return Some("out_channels");
        }
        if self.groups == 0 {
            return Some("groups");
        }
        self.window().zero_argument()
    }

    /// Weight sizes for an image of `channels`.
    pub fn weight_shape(&self, channels: usize) -> Shape {
        let [height, width] = self.kernel;
        Shape::whole(&[self.out_channels, channels / self.groups, height, width])
            .expect("the shape rule was asked first")
    }

    /// `x` must be `C×H×W`; gives `O×H'×W'`.
    ///
    /// Weight and bias begin uniform in ±1/√fan-in, as PyTorch's do.
    #[track_caller]
    pub fn forward(&self, x: Var) -> Var {
        layer(self, "conv2d", true, |scope| {
            let known = Self { in_channels: if x.shape().rank() == 3 { x.dim(0) } else { 1 }, ..*self };
            // Without fitting sizes there is no weight; the op then reports them.
            if self.rule(&x.sizes()).is_err() {
                return Var::apply(*self, &[x]);
            }
            let weight = known.weight_shape(known.in_channels);
            let fan_in = weight.len() / self.out_channels;
            let init = Init::Uniform { bound: 1.0 / (fan_in as f32).sqrt() };
            let mut inputs = vec![x, scope.parameter("weight", weight, init, true)];
            if self.bias {
                let shape = Shape::whole(&[self.out_channels]).expect("the weight fits, so does the bias");
                inputs.push(scope.parameter("bias", shape, init, true));
            }
            Var::apply(known, &inputs)
        })
    }

    /// The twin of [`Conv2d::forward`].
    #[track_caller]
    pub const fn forward_sizes(&self, x: ShapeVar) -> ShapeVar {
        ShapeVar::proved(self.rule(&x))
    }
}

/// The gradient of a convolution by its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dInputGrad {
    /// The convolution.
    pub layer: Conv2d,
    /// The image's sizes.
    pub image: Shape,
}

/// The gradient of a convolution by its weight, summed over the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dWeightGrad {
    /// The convolution.
    pub layer: Conv2d,
}

impl Var {
    /// Convolution with a weight that is a value, as PyTorch's `F.conv2d`: `layer` gives stride, padding, dilation and
    /// groups; channels and kernel size are the weight's, `O×(C/groups)×K×L`.
    #[track_caller]
    pub fn conv2d(self, weight: Var, bias: Option<Var>, layer: Conv2d) -> Var {
        let w = weight.shape();
        if w.rank() != 4 || w.is_batched() {
            return Var::apply(layer, &[weight]);
        }
        let layer = Conv2d { in_channels: w.dim(1) * layer.groups, out_channels: w.dim(0), ..layer };
        let layer = layer.kernel_hw(w.dim(2), w.dim(3));
        let inputs: Vec<Var> = [self, weight].into_iter().chain(bias).collect();
        Var::apply(layer, &inputs)
    }
}

impl Meaning for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        self.rule(&inputs[0])
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (x, weight) = (run.inputs[0], run.inputs[1].data());
        let pixels = run.shape.dim(1) * run.shape.dim(2);
        run.per_image(|image, y| {
            if let Some(bias) = run.inputs.get(2) {
                for (y, &b) in y.chunks_exact_mut(pixels).zip(bias.data()) {
                    y.fill(b);
                }
            }
            let x = x.image(image);
            each_product(self, run.inputs[0].shape(), run.shape, |w, i, o| y[o] += weight[w] * x[i]);
        })
    }

    fn derivative(&self, d: &Derivative<'_>) -> Vec<Option<Var>> {
        let image = d.inputs[0].shape();
        let by_image = Var::apply(Conv2dInputGrad { layer: *self, image }, &[d.gradient, d.inputs[1]]);
        let by_weight = Var::apply(Conv2dWeightGrad { layer: *self }, &[d.inputs[0], d.gradient]);
        let by_bias = d.inputs.get(2).map(|_| d.gradient.sum([1, 2]).batch_sum());
        vec![Some(by_image), Some(by_weight), by_bias]
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let taps = inputs[0].dim(0) / self.groups * self.kernel[0] * self.kernel[1];
        output.len() as u64 * taps as u64
    }
}

impl Meaning for Conv2dInputGrad {
    fn name(&self) -> &'static str {
        "conv2d_input_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(self.image))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (gradient, weight) = (run.inputs[0], run.inputs[1].data());
        run.per_image(|image, dx| {
            let dy = gradient.image(image);
            each_product(&self.layer, self.image, gradient.shape(), |w, i, o| dx[i] += weight[w] * dy[o]);
        })
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        self.layer.macs(&[self.image], inputs[0])
    }
}

impl Meaning for Conv2dWeightGrad {
    fn name(&self) -> &'static str {
        "conv2d_weight_grad"
    }

    fn output(&self, inputs: &[ShapeVar]) -> Result<ShapeVar, SizeError> {
        Ok(inputs[0].with_shape(self.layer.weight_shape(inputs[0].dim(0))))
    }

    fn reference<F: Real>(&self, run: &Run<'_, F>) -> Tensor<F> {
        let (x, gradient) = (run.inputs[0], run.inputs[1]);
        run.per_image(|_, dw| {
            for image in 0..run.batch {
                let (x_block, dy) = (x.image(image), gradient.image(image));
                each_product(&self.layer, x.shape(), gradient.shape(), |w, i, o| dw[w] += x_block[i] * dy[o]);
            }
        })
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        self.layer.macs(&inputs[..1], inputs[1])
    }
}

/// Calls `product(weight, input, output)` for every product `w·x` that belongs to an output, by position in the
/// row-major blocks of weight, image and output.
fn each_product(layer: &Conv2d, image: Shape, output: Shape, mut product: impl FnMut(usize, usize, usize)) {
    let window = layer.window();
    let (height, width) = (image.dim(1), image.dim(2));
    let group_in = image.dim(0) / layer.groups;
    let group_out = layer.out_channels / layer.groups;
    for o in 0..output.dim(0) {
        for c in 0..group_in {
            let channel = o / group_out * group_in + c;
            for (oy, ox) in pixels(output) {
                for k in 0..layer.kernel[0] {
                    for l in 0..layer.kernel[1] {
                        let (Some(y), Some(x)) = (window.height.input(oy, k, height), window.width.input(ox, l, width))
                        else {
                            continue;
                        };
                        let weight = ((o * group_in + c) * layer.kernel[0] + k) * layer.kernel[1] + l;
                        let input = (channel * height + y) * width + x;
                        product(weight, input, (o * output.dim(1) + oy) * output.dim(2) + ox);
                    }
                }
            }
        }
    }
}

/// The pixels of a map, row by row.
pub(crate) fn pixels(map: Shape) -> impl Iterator<Item = (usize, usize)> {
    (0..map.dim(1)).flat_map(move |y| (0..map.dim(2)).map(move |x| (y, x)))
}
