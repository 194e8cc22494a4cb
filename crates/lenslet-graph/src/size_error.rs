//! Everything that can be wrong with sizes, and the words for it.
//!
//! An error is a value with its numbers; [`SizeError::message`] is the only place that turns it into words, at compile
//! time and at run time alike. Each message has three parts: what is expected against what arrived, the sizes so far
//! with their arithmetic, and the one change that mends it.

use crate::ops::expand::{Misfit, misfit};
use crate::window::{AxisWindow, numerator};
use crate::{Message, Shape, ShapeVar};

/// Sizes that do not fit.
#[derive(Clone, Copy, Debug)]
pub struct SizeError {
    /// The op that found it, `conv2d`.
    pub op: &'static str,
    /// What is wrong.
    pub mistake: Mistake,
    /// What arrived, and how it came about.
    pub arrived: ShapeVar,
}

/// What is wrong with the sizes.
#[derive(Clone, Copy, Debug)]
pub enum Mistake {
    /// `view` to sizes that do not come to the number of values.
    View {
        /// The sizes that were asked for.
        asked: Shape,
    },
    /// `view` with one size to be inferred, which does not come out even.
    ViewInfer {
        /// The product of the sizes that were given.
        known: usize,
    },
    /// `view` with more than one size to be inferred, a size of 0, or too many axes.
    ViewSizes,
    /// A dense layer of the wrong width.
    Features {
        /// What the layer takes.
        expected: usize,
        /// What it gives.
        out: usize,
    },
    /// A convolution with the wrong number of input channels.
    Channels {
        /// What the layer takes.
        expected: usize,
        /// What it gives.
        out: usize,
        /// Kernel height and width.
        kernel: [usize; 2],
    },
    /// A layer with numbers for each channel, and the wrong number of channels.
    NormChannels {
        /// The layer's name in Rust.
        layer: &'static str,
        /// What the layer takes.
        expected: usize,
    },
    /// Wrong number of axes.
    Rank {
        /// The axes that are expected, in words: `a C×H×W feature map`.
        expected: &'static str,
    },
    /// A window that is larger than the image.
    Window {
        /// `height` or `width`.
        axis: &'static str,
        /// The image's size along it.
        size: usize,
        /// The window.
        window: AxisWindow,
    },
    /// Pooling with padding of more than half the kernel.
    PoolPadding {
        /// The window.
        window: AxisWindow,
    },
    /// Channels that the groups do not divide.
    Groups {
        /// Input channels.
        channels: usize,
        /// Output channels.
        out: usize,
        /// Groups.
        groups: usize,
    },
    /// "same" padding with a stride.
    SameStride {
        /// The stride.
        stride: usize,
    },
    /// An argument that must be at least 1.
    Zero {
        /// Its name.
        argument: &'static str,
    },
    /// Arithmetic on values whose sizes neither agree nor broadcast.
    Unlike {
        /// The other value.
        other: Shape,
    },
    /// An axis that was to stretch, but is neither 1 nor the size asked for.
    Expand {
        /// The sizes that were asked for.
        to: Shape,
    },
    /// Values that cannot be joined.
    Concat {
        /// The value that does not fit the first.
        other: Shape,
        /// The axis along which they were to be joined.
        axis: usize,
    },
    /// An axis that is not there.
    Axis {
        /// As it was given.
        axis: isize,
    },
    /// An axis that is named twice.
    AxisTwice {
        /// The axis.
        axis: usize,
    },
    /// A matrix product whose inner sizes differ.
    Inner {
        /// The right factor.
        other: Shape,
    },
    /// A matrix product of stacks that do not broadcast.
    Stacks {
        /// The right factor.
        other: Shape,
    },
    /// A slice that leaves the axis.
    Slice {
        /// The axis.
        axis: usize,
        /// First index.
        start: usize,
        /// Behind the last index.
        end: usize,
    },
    /// An order of axes that is no permutation.
    Permutation,
    /// Other sizes than an argument asks for.
    Sizes {
        /// What is expected.
        expected: Shape,
    },
    /// Dropout with something else than a probability.
    Probability {
        /// As it was given.
        p: f32,
    },
    /// Sizes of an op of the user's own that no value can have.
    OutputSizes,
    /// A loss that is not one number for the whole batch.
    Loss,
    /// A value of the whole batch where one per image is needed.
    Whole,
    /// The value would have more than 2^31 numbers per image.
    TooLarge,
}

impl SizeError {
    /// The error in words; several lines.
    pub const fn message(&self) -> Message {
        let message = self.headline(Message::new().text(self.op).text(": "));
        let message = self.arrived.trail().write(message.text("\n  sizes so far:"));
        self.mend(message.text("\n  mend it: "))
    }

    /// The first line of the message: what was expected and what arrived.
    pub const fn headline(&self, m: Message) -> Message {
        let arrived = self.arrived.shape();
        match &self.mistake {
            Mistake::View { asked } => {
                let m = match arrived.rank() {
                    0 | 1 => m.text("there are "),
                    3 => m.text("the feature map is ").shape(&arrived).text(" = "),
                    _ => m.text("the value is ").shape(&arrived).text(" = "),
                };
                m.number(arrived.len()).text(" values per image, not ").number(asked.len())
            }
            Mistake::ViewInfer { known } => {
                let m = m.number(arrived.len()).text(" values per image (").shape(&arrived).text(") ");
                m.text("cannot be divided by ").number(*known)
            }
            Mistake::ViewSizes => m.text("sizes must be at least 1, and only one of them may be inferred"),
            Mistake::Features { expected, .. } => {
                let m = m.text("the layer takes ").number(*expected).text(" features, but ");
                m.number(last(&arrived)).text(" arrive (").shape(&arrived).text(")")
            }
            Mistake::Channels { expected, .. } | Mistake::NormChannels { expected, .. } => {
                let m = m.text("the layer takes ").number(*expected).text(" channels, but ");
                m.number(first(&arrived)).text(" arrive (").shape(&arrived).text(")")
            }
            Mistake::Rank { expected } => {
                m.text("expects ").text(expected).text(", but ").shape(&arrived).text(" arrives")
            }
            Mistake::Window { axis, size, window } => {
                let m = m.text("the kernel is larger than the image: ").text(axis).text(" ").number(*size);
                numerator(m.text(", "), window, *size).text(" is negative")
            }
            Mistake::PoolPadding { window } => {
                let m = m.text("padding ").number(window.before).text(" is more than half of the kernel ");
                m.number(window.kernel).text(", so a window could lie wholly in the padding")
            }
            Mistake::Groups { channels, out, groups } => {
                let m = m.text("groups ").number(*groups).text(" must divide the input channels ").number(*channels);
                m.text(" and the output channels ").number(*out)
            }
            Mistake::SameStride { stride } => {
                m.text("padding \"same\" keeps the size, so it needs stride 1, not ").number(*stride)
            }
            Mistake::Zero { argument } => m.text(argument).text(" is 0, but must be at least 1"),
            Mistake::Unlike { other } => {
                let m = m.shape(&arrived).text(" and ").shape(other).text(" do not fit together");
                match misfit(&arrived, other) {
                    Some(Misfit::Axis { axis, left, right }) => {
                        m.text(": axis ").number(axis).text(" is ").number(left).text(" and ").number(right)
                    }
                    Some(Misfit::Ranks) | None => {
                        let m = m.text(": one has ").number(arrived.rank()).text(" axes, the other ");
                        m.number(other.rank())
                    }
                }
            }
            Mistake::Expand { to } => {
                let m = m.shape(&arrived).text(" does not stretch to ").shape(to);
                m.text(": only an axis of size 1 does")
            }
            Mistake::Concat { other, axis } => {
                let m = m.shape(&arrived).text(" and ").shape(other).text(" cannot be joined along axis ");
                m.number(*axis).text(": all other sizes must agree")
            }
            Mistake::Axis { axis } => {
                let m = signed(m.text("there is no axis "), *axis).text(" in ").shape(&arrived);
                m.text("; axes count from 0 within one image, or from -1 at the end")
            }
            Mistake::AxisTwice { axis } => {
                m.text("axis ").number(*axis).text(" of ").shape(&arrived).text(" is named twice")
            }
            Mistake::Stacks { other } => {
                let m = m.shape(&arrived).text(" by ").shape(other);
                m.text(": the axes before the matrices must agree, or be 1")
            }
            Mistake::Inner { other } => {
                let m = m.shape(&arrived).text(" by ").shape(other);
                m.text(": the left's last size must be the right's last but one")
            }
            Mistake::Slice { axis, start, end } => {
                let m = m.number(*start).text("..").number(*end).text(" is no part of axis ").number(*axis);
                m.text(" of ").shape(&arrived)
            }
            Mistake::Permutation => m.text("the order must name each axis of ").shape(&arrived).text(" once"),
            Mistake::Sizes { expected } => {
                m.text("expects ").shape(expected).text(", but ").shape(&arrived).text(" arrives")
            }
            Mistake::Probability { p } => decimal(m.text("p is "), *p).text(", but a probability is from 0 to 1"),
            Mistake::OutputSizes => {
                let m = m.text("output sizes must be at least 1, at most ").number(crate::MAX_RANK).text(" of them, ");
                m.text("and come to at most 2^31 values per image")
            }
            Mistake::Loss => {
                let m = m.text("expects one number for the whole batch, but ").shape(&arrived);
                m.text(if arrived.is_batched() { " per image arrives" } else { " arrives" })
            }
            Mistake::Whole => {
                let m = m.text("expects a value of each image, but ").shape(&arrived);
                m.text(" is one of the whole batch, such as a weight or a mean")
            }
            Mistake::TooLarge => m.text("the result would have more than 2^31 values per image"),
        }
    }

    /// The last line: the one change that mends it.
    const fn mend(&self, m: Message) -> Message {
        let arrived = self.arrived.shape();
        match &self.mistake {
            Mistake::View { .. } | Mistake::ViewInfer { .. } if arrived.rank() > 1 => {
                m.text("view(").product(&arrived).text("), or flatten()")
            }
            Mistake::View { .. } | Mistake::ViewInfer { .. } => {
                m.text("sizes that come to ").number(arrived.len()).text(" values")
            }
            Mistake::ViewSizes => {
                m.text("give each size as a number from 1, at most one as INFER, and at most 6 sizes")
            }
            Mistake::Features { out, .. } if arrived.rank() == 1 => {
                m.text("Linear::new(").number(last(&arrived)).text(", ").number(*out).text(")")
            }
            Mistake::Features { expected, out } => {
                if arrived.len() == *expected {
                    m.text("put flatten() before it: ").number(*expected).text(" values arrive, but not in one row")
                } else {
                    let m = m.text("flatten() and Linear::new(").product(&arrived);
                    m.text(", ").number(*out).text(")")
                }
            }
            Mistake::Channels { out, kernel: [height, width], .. } => {
                let m =
                    m.text("Conv2d::new(").number(first(&arrived)).text(", ").number(*out).text(", ").number(*height);
                if *height == *width {
                    m.text(")")
                } else {
                    m.text(").kernel_hw(").number(*height).text(", ").number(*width).text(")")
                }
            }
            Mistake::NormChannels { layer, .. } => m.text(layer).text("::new(").number(first(&arrived)).text(")"),
            Mistake::Rank { .. } => m.text("view(…) to the axes that it expects, or move the layer"),
            Mistake::Window { size, window, .. } => {
                let missing = window.extent().saturating_sub(*size + window.before + window.after);
                let m = m.text("a larger image, a kernel of at most ").number(*size + window.before + window.after);
                m.text(", or padding(").number(window.before + missing.div_ceil(2)).text(")")
            }
            Mistake::PoolPadding { window } => m.text("padding of at most ").number(window.kernel / 2),
            Mistake::Groups { channels, out, groups } => m
                .text("groups(")
                .number(greatest_common_divisor(greatest_common_divisor(*channels, *out), *groups))
                .text(")"),
            Mistake::SameStride { .. } => m.text("stride(1), or padding with a number"),
            Mistake::Zero { argument } => m.text("give ").text(argument).text(" a number from 1"),
            Mistake::Unlike { other } => mend_sum(m, &arrived, other),
            Mistake::Expand { .. } => m.text("keep every size that is not 1, and the number of axes"),
            Mistake::Concat { axis, .. } => m.text("bring both to the same sizes on every axis but ").number(*axis),
            Mistake::AxisTwice { .. } => m.text("name each axis once"),
            Mistake::Axis { .. } if arrived.rank() == 0 => m.text("leave the axis out, one number has none"),
            Mistake::Axis { .. } => {
                let m = m.text("an axis from 0 to ").number(arrived.rank().saturating_sub(1));
                m.text("; the batch is not among them")
            }
            Mistake::Stacks { .. } => {
                m.text("bring both to the same axes before the last two with view(…) or expand(…)")
            }
            Mistake::Inner { .. } => m.text("transpose() one of the two, or view(…) them to fit"),
            Mistake::Slice { axis, .. } => m.text("a range within 0..").number(arrived.dim(*axis)).text(", not empty"),
            Mistake::Permutation => m.text("for C×H×W to H×W×C: permute([1, 2, 0])"),
            Mistake::Sizes { expected } => m.text("bring the value to ").shape(expected),
            Mistake::Probability { .. } => m.text("Dropout::new(0.5) zeroes about half of the values"),
            Mistake::OutputSizes => m.text("OutputShape::sizes([…]) with such sizes, or OutputShape::Same"),
            Mistake::Loss => m.text("mean([]) over its axes, then batch_mean() over the images"),
            Mistake::Whole => m.text("combine it with the images first, as in x + value"),
            Mistake::TooLarge => m.text("smaller sizes"),
        }
    }
}

impl std::fmt::Display for SizeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message().as_str())
    }
}

impl std::error::Error for SizeError {}

/// The change for `x + y`: where a 1×1 convolution brings the larger map to the smaller one, it is spelt out.
const fn mend_sum(m: Message, left: &Shape, right: &Shape) -> Message {
    if left.rank() == 3 && right.rank() == 3 {
        let (large, small) = if left.dim(1) >= right.dim(1) { (left, right) } else { (right, left) };
        let stride = large.dim(1).div_ceil(small.dim(1));
        if large.dim(1).div_ceil(stride) == small.dim(1) && large.dim(2).div_ceil(stride) == small.dim(2) {
            let m = m.text("a 1x1 convolution on the ").shape(large).text(" side: Conv2d::new(").number(large.dim(0));
            let m = m.text(", ").number(small.dim(0)).text(", 1)");
            return if stride == 1 { m } else { m.text(".stride(").number(stride).text(")") };
        }
        return m.text("bring both maps to the same sizes; only axes of size 1 broadcast");
    }
    m.text("bring both to the same sizes with view(…); only axes of size 1 broadcast")
}

const fn first(shape: &Shape) -> usize {
    if shape.rank() == 0 { 1 } else { shape.dim(0) }
}

const fn last(shape: &Shape) -> usize {
    if shape.rank() == 0 { 1 } else { shape.dim(shape.rank() - 1) }
}

const fn signed(m: Message, number: isize) -> Message {
    let m = if number < 0 { m.text("-") } else { m };
    m.number(number.unsigned_abs())
}

/// A number with up to three decimals.
const fn decimal(m: Message, number: f32) -> Message {
    if number.is_nan() {
        return m.text("NaN");
    }
    let m = if number < 0.0 { m.text("-") } else { m };
    // The cast saturates, so infinity becomes a large number; a message may do that.
    let thousandths = (number.abs() as f64 * 1000.0 + 0.5) as usize;
    let m = m.number(thousandths / 1000);
    let (mut digits, mut rest) = (3, thousandths % 1000);
    if rest == 0 {
        return m;
    }
    while rest % 10 == 0 {
        (digits, rest) = (digits - 1, rest / 10);
    }
    let m = m.text(".");
    let m = if digits >= 2 && rest < 10 || digits == 3 && rest < 100 { m.text("0") } else { m };
    let m = if digits == 3 && rest < 10 { m.text("0") } else { m };
    m.number(rest)
}

const fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}
