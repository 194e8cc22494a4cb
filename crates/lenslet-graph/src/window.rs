//! The geometry of a sliding window: what convolution and pooling share.
//!
//! Along one axis, an output `o` and a kernel tap `k` meet at input `o·stride + k·dilation − before`. The output size is
//! PyTorch's, `⌊(size + before + after − dilation·(kernel − 1) − 1) / stride⌋ + 1`, or with the ceiling instead of the
//! floor in ceil mode, where a window that would begin in the padding behind the image is dropped
//! (<https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html>). It is written once, here.

use crate::{Message, Mistake, Shape, ShapeVar, SizeError};

/// The window along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AxisWindow {
    /// Taps.
    pub kernel: usize,
    /// Input positions from one output to the next.
    pub stride: usize,
    /// Padding before the first input.
    pub before: usize,
    /// Padding behind the last input.
    pub after: usize,
    /// Input positions from one tap to the next.
    pub dilation: usize,
    /// Whether a window that is only partly inside counts.
    pub ceil: bool,
}

impl AxisWindow {
    /// From the first to behind the last tap, `dilation·(kernel − 1) + 1`; saturates rather than overflows.
    pub const fn extent(&self) -> usize {
        self.dilation.saturating_mul(self.kernel.saturating_sub(1)).saturating_add(1)
    }

    /// The output size for an input of `size`, or `None` where the window does not fit.
    pub const fn output(&self, size: usize) -> Option<usize> {
        let padded = size.saturating_add(self.before).saturating_add(self.after);
        if self.kernel == 0 || self.stride == 0 || self.dilation == 0 {
            return None;
        }
        // In ceil mode a window may reach behind the padding, by less than a stride.
        let room = if self.ceil { padded.saturating_add(self.stride - 1) } else { padded };
        if self.extent() > room {
            return None;
        }
        let output = (room - self.extent()) / self.stride + 1;
        // But it must begin inside the image or the padding before it.
        if self.ceil && (output - 1) * self.stride >= size + self.before { Some(output - 1) } else { Some(output) }
    }

    /// The input that output `o` sees through tap `k`, or `None` in the padding.
    pub const fn input(&self, o: usize, k: usize, size: usize) -> Option<usize> {
        let padded = o * self.stride + k * self.dilation;
        if padded < self.before || padded - self.before >= size { None } else { Some(padded - self.before) }
    }
}

/// The window along height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Down the rows.
    pub height: AxisWindow,
    /// Along a row.
    pub width: AxisWindow,
}

impl Window {
    /// The shape rule of whatever slides this window over `x`, C×H×W: `channels` maps of the output size.
    pub const fn slide(&self, op: &'static str, x: &ShapeVar, channels: usize) -> Result<ShapeVar, SizeError> {
        let (height, width) = (x.shape().dim(1), x.shape().dim(2));
        let mistake = match (self.height.output(height), self.width.output(width)) {
            (None, _) => Mistake::Window { axis: "height", size: height, window: self.height },
            (_, None) => Mistake::Window { axis: "width", size: width, window: self.width },
            (Some(h), Some(w)) => match Shape::batched(&[channels, h, w]) {
                None => Mistake::TooLarge,
                Some(shape) => {
                    let height = Arithmetic { window: self.height, size: height, output: h };
                    let width = Arithmetic { window: self.width, size: width, output: w };
                    return Ok(x.window_step(op, shape.with_batch(x.shape().is_batched()), [height, width]));
                }
            },
        };
        Err(SizeError { op, mistake, arrived: *x })
    }

    /// The argument that is 0, if one is.
    pub const fn zero_argument(&self) -> Option<&'static str> {
        if self.height.kernel == 0 || self.width.kernel == 0 {
            Some("kernel_size")
        } else if self.height.stride == 0 || self.width.stride == 0 {
            Some("stride")
        } else if self.height.dilation == 0 || self.width.dilation == 0 {
            Some("dilation")
        } else {
            None
        }
    }
}

/// How one size came about, for the trail of an error and the summary: `(32 - 5)/1 + 1 = 28`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arithmetic {
    /// The window.
    pub window: AxisWindow,
    /// What it slid over.
    pub size: usize,
    /// What came out.
    pub output: usize,
}

impl Arithmetic {
    /// Writes the sum as a person would, leaving out what is zero: `(32 + 2*1 - 3)/1 + 1 = 32`.
    pub const fn write(&self, message: Message) -> Message {
        let w = &self.window;
        let message = numerator(message, w, self.size).text("/").number(w.stride);
        message.text(if w.ceil { " rounded up + 1 = " } else { " + 1 = " }).number(self.output)
    }
}

/// `(32 + 2*1 - 3)`: the room that the window has to slide.
pub(crate) const fn numerator(message: Message, w: &AxisWindow, size: usize) -> Message {
    let message = message.text("(").number(size);
    let message = match (w.before, w.after) {
        (0, 0) => message,
        (before, after) if before == after => message.text(" + 2*").number(before),
        (before, after) => message.text(" + ").number(before).text(" + ").number(after),
    };
    if w.dilation == 1 {
        message.text(" - ").number(w.kernel).text(")")
    } else {
        message.text(" - ").number(w.dilation).text("*(").number(w.kernel).text(" - 1) - 1)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: AxisWindow = AxisWindow { kernel: 5, stride: 1, before: 0, after: 0, dilation: 1, ceil: false };

    #[test]
    fn arithmetic_reads_as_on_paper() {
        let say = |window: AxisWindow, size| {
            let output = window.output(size).unwrap();
            Arithmetic { window, size, output }.write(Message::new()).to_string()
        };
        assert_eq!(say(PLAIN, 32), "(32 - 5)/1 + 1 = 28");
        assert_eq!(
            say(AxisWindow { kernel: 3, before: 1, after: 1, stride: 2, ..PLAIN }, 32),
            "(32 + 2*1 - 3)/2 + 1 = 16"
        );
        assert_eq!(say(AxisWindow { kernel: 3, dilation: 2, ..PLAIN }, 9), "(9 - 2*(3 - 1) - 1)/1 + 1 = 5");
        assert_eq!(say(AxisWindow { kernel: 2, stride: 2, ceil: true, ..PLAIN }, 5), "(5 - 2)/2 rounded up + 1 = 3");
    }

    #[test]
    fn a_window_larger_than_the_image_has_no_output() {
        assert_eq!(PLAIN.output(4), None);
        assert_eq!(PLAIN.output(5), Some(1));
        assert_eq!(AxisWindow { dilation: usize::MAX, ..PLAIN }.output(5), None);
    }
}
