//! Kernels for tiles of one image: channels stand in the lanes, or neighbouring columns.
//!
//! Batches that do not fill the lanes are cut into tiles of one image each, where a value is plain C×H×W. Most kernels go
//! over its numbers with one lane, and the compiler makes vectors of their loops. Those that take the time have pages here.
//! In most, channels (for dense layers, features) are in the lanes: a number of the image goes into all lanes, and meets a
//! vector of weights, one for each of 8 or 16 output channels. Between image and lanes stand transpositions of whole planes
//! ([`to_planes`], [`to_pixels`]), a few hundredths of a convolution's time. Convolutions of few channels have neighbouring
//! columns there: a weight goes into all lanes, and meets a vector of a row as it stands.

use crate::simd::{Kernel, Lanes, MAX_LANES};

pub(crate) mod conv2d;
mod conv2d_columns;
mod conv2d_geometry;
pub(crate) mod conv2d_input_grad;
pub(crate) mod conv2d_weight_grad;
mod conv2d_weight_grad_columns;
pub(crate) mod cross_entropy;
pub(crate) mod linear;
pub(crate) mod linear_batch;
pub(crate) mod max_pool;
pub(crate) mod reduce;
pub(crate) mod whole_map;

/// An image's planes with zeros around them, so that each tap of a kernel meets a number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    channels: usize,
    height: Axis,
    width: Axis,
    /// Numbers behind the last plane that may be read, too, and mean nothing.
    behind: usize,
}

/// An axis of a frame: its numbers, and zeros before and behind them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    size: usize,
    before: usize,
    after: usize,
}

impl Axis {
    fn total(&self) -> usize {
        self.before + self.size + self.after
    }
}

impl Frame {
    /// Numbers of a plane.
    fn plane(&self) -> usize {
        self.height.total() * self.width.total()
    }

    /// Whether the image itself is the frame.
    fn is_plain(&self) -> bool {
        self.height.total() == self.height.size && self.width.total() == self.width.size && self.behind == 0
    }

    /// Numbers of memory that it takes beside the image.
    fn work_len(&self) -> usize {
        if self.is_plain() { 0 } else { (self.channels * self.plane() + self.behind).next_multiple_of(MAX_LANES) }
    }

    /// The framed image: copied to `work`, or the image itself where nothing stands around it.
    fn around<'a>(&self, image: &'a [f32], work: &'a mut [f32]) -> &'a [f32] {
        if self.is_plain() {
            return image;
        }
        work.fill(0.0);
        let (size, width) = (self.height.size * self.width.size, self.width.total());
        for (plane, framed) in image.chunks_exact(size).zip(work.chunks_exact_mut(self.plane())) {
            let rows = framed[self.height.before * width..].chunks_exact_mut(width);
            for (row, framed) in plane.chunks_exact(self.width.size).zip(rows) {
                copy_row(row, &mut framed[self.width.before..][..row.len()]);
            }
        }
        work
    }
}

/// [`Frame::around`] as a kernel of its own.
struct Around<'a> {
    frame: &'a Frame,
    image: &'a [f32],
    work: &'a mut [f32],
}

impl<'a> Kernel for Around<'a> {
    type Output = &'a [f32];

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> &'a [f32] {
        self.frame.around(self.image, self.work)
    }
}

/// Copies a row, which is too short for a call of the library's to pay.
#[inline(always)]
fn copy_row(from: &[f32], to: &mut [f32]) {
    const STEP: usize = 8;
    if from.len() < STEP {
        return to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
    }
    for first in blocks(from.len(), STEP) {
        let numbers: [f32; STEP] = from[first..][..STEP].try_into().expect("so many");
        to[first..][..STEP].copy_from_slice(&numbers);
    }
}

/// How many lanes of vectors a row's columns should have, so that few are empty in the last.
pub(crate) fn column_lanes(width: usize) -> usize {
    let [narrow, wide] = [MAX_LANES / 2, MAX_LANES].map(|lanes| width.next_multiple_of(lanes));
    if narrow < wide { MAX_LANES / 2 } else { MAX_LANES }
}

/// Whether columns of rows fill the lanes better than output channels do, where these are no more than a narrow block.
fn columns_are_better(outputs: usize, block: usize, width: usize) -> bool {
    let few = outputs <= MAX_LANES / 2;
    few && outputs * width.next_multiple_of(column_lanes(width)) < outputs.next_multiple_of(block) * width
}

/// Puts `pixels`, `step` numbers each of which the first are channels, into as many planes as `planes` has room for.
#[inline(always)]
pub(super) fn to_planes<S: Lanes>(simd: S, pixels: &[f32], step: usize, planes: &mut [f32]) {
    let count = pixels.len() / step;
    let channels = planes.len() / count;
    assert!(channels <= step);
    for first in (0..channels).step_by(S::N) {
        let some = (channels - first).min(S::N);
        let planes = &mut planes[first * count..][..some * count];
        for pixel in blocks(count, S::N) {
            let from = &pixels[pixel * step + first..][..(S::N - 1) * step + S::N];
            if some == S::N {
                // SAFETY: `from` has N rows, and so have the planes, whose last has N numbers from `pixel` on.
                unsafe { simd.transpose(from.as_ptr(), step, planes.as_mut_ptr().add(pixel), count) };
            } else {
                let mut block = [0.0; MAX_LANES * MAX_LANES];
                // SAFETY: `from` has N rows, and the block N by N numbers.
                unsafe { simd.transpose(from.as_ptr(), step, block.as_mut_ptr(), S::N) };
                for (plane, block) in planes.chunks_exact_mut(count).zip(block.chunks_exact(S::N)) {
                    plane[pixel..][..S::N].copy_from_slice(block);
                }
            }
        }
        if count < S::N {
            for (channel, plane) in planes.chunks_exact_mut(count).enumerate() {
                for (y, pixel) in plane.iter_mut().zip(pixels.chunks_exact(step)) {
                    *y = pixel[first + channel];
                }
            }
        }
    }
}

/// The other way, for up to `N` planes of `count` numbers: channels that are not there become 0.
#[inline(always)]
pub(super) fn to_pixels<S: Lanes>(simd: S, planes: &[f32], count: usize, pixels: &mut [f32]) {
    let channels = planes.len() / count;
    assert!(channels <= S::N && pixels.len() == count * S::N);
    for pixel in blocks(count, S::N) {
        let to = &mut pixels[pixel * S::N..][..S::N * S::N];
        if channels == S::N {
            // SAFETY: there are N planes, each with N numbers from `pixel` on, and `to` has N by N.
            unsafe { simd.transpose(planes.as_ptr().add(pixel), count, to.as_mut_ptr(), S::N) };
        } else {
            let mut block = [0.0; MAX_LANES * MAX_LANES];
            for (block, plane) in block.chunks_exact_mut(S::N).zip(planes.chunks_exact(count)) {
                block.copy_from_slice(&plane[pixel..][..S::N]);
            }
            // SAFETY: both have N by N numbers.
            unsafe { simd.transpose(block.as_ptr(), S::N, to.as_mut_ptr(), S::N) };
        }
    }
    if count < S::N {
        pixels.fill(0.0);
        for (channel, plane) in planes.chunks_exact(count).enumerate() {
            for (&x, pixel) in plane.iter().zip(pixels.chunks_exact_mut(S::N)) {
                pixel[channel] = x;
            }
        }
    }
}

/// Where blocks of `len` begin that together cover `count` numbers; the last may cover some again. None if all are fewer.
#[inline(always)]
fn blocks(count: usize, len: usize) -> impl Iterator<Item = usize> {
    let last = count.checked_sub(len);
    (0..count / len).map(move |block| block * len).chain(last.filter(|last| last % len != 0))
}
