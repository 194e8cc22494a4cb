//! Max pooling, and its gradient.
//!
//! Values are vectors of images, so each lane has a winner of its own: the greatest value is kept by comparison, and the
//! backward pass keeps the winner's number in its window beside it, then offers the gradient to every place of the window.
//! A later value wins only if it is greater, so the first of equals in row order does; a NaN wins over all. Padding is
//! never looked at: a window is cut to what lies [`inside`] of the image. Windows of 2×2 that lie side by side, nearly
//! all there are, have their own loops: forward they read 4 vectors and write 1, backward they write each place once.

use lenslet_graph::Shape;
use lenslet_graph::ops::max_pool::MaxPool2d;
use lenslet_graph::window::{AxisWindow, Window};

use super::Call;
use super::conv2d::NO_WINNER;
use super::reduce::greater;
use crate::simd::{Kernel, Lanes};

/// The greatest value of each window; −∞ for a window of padding alone.
pub(crate) struct Forward<'a> {
    pub(crate) layer: MaxPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: y, shape, .. } = self.call;
        let (x, image) = (inputs[0].data, inputs[0].shape);
        if are_quarters(&self.layer, image, shape) {
            return forward_quarters(simd, x, image, y, shape);
        }
        let window = self.layer.window();
        let (down, along) = (window.height.dilation * image.dim(2), window.width.dilation);
        for (line, y) in y.chunks_exact_mut(shape.dim(2) * S::N).enumerate() {
            let line = Line::new(window, image, shape, line);
            for (ox, y) in y.chunks_exact_mut(S::N).enumerate() {
                let place = line.place(ox);
                let mut max = simd.splat(f32::NEG_INFINITY);
                for i in 0..place.rows {
                    for j in 0..place.columns {
                        max = greater(simd, max, simd.load(x, place.first + i * down + j * along));
                    }
                }
                simd.store(max, y, 0);
            }
        }
    }
}

/// Each gradient to the winner of its window. Inputs are the image and the gradient.
pub(crate) struct Backward<'a> {
    pub(crate) layer: MaxPool2d,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: dx, shape: image, .. } = self.call;
        let (x, dy, shape) = (inputs[0].data, inputs[1].data, inputs[1].shape);
        if are_quarters(&self.layer, image, shape) {
            return backward_quarters(simd, x, dy, shape, dx, image);
        }
        dx.fill(0.0);
        let window = self.layer.window();
        let (down, along) = (window.height.dilation * image.dim(2), window.width.dilation);
        for (line, dy) in dy.chunks_exact(shape.dim(2) * S::N).enumerate() {
            let line = Line::new(window, image, shape, line);
            for (ox, dy) in dy.chunks_exact(S::N).enumerate() {
                let place = line.place(ox);
                if place.rows * place.columns == 0 {
                    continue;
                }
                let mut best = Best::new(simd, simd.load(x, place.first));
                for i in 0..place.rows {
                    for j in 0..place.columns {
                        // The first meets itself, and stays.
                        let here = simd.load(x, place.first + i * down + j * along);
                        best.meets(simd, i * place.columns + j, here);
                    }
                }
                let dy = simd.load(dy, 0);
                for i in 0..place.rows {
                    for j in 0..place.columns {
                        let at = place.first + i * down + j * along;
                        let share = best.share(simd, i * place.columns + j, dy);
                        simd.store(simd.add(simd.load(dx, at), share), dx, at);
                    }
                }
            }
        }
    }
}

/// In every lane the winner so far and its number in the window.
pub(super) struct Best<V> {
    pub(super) value: V,
    pub(super) number: V,
}

impl<V: Copy> Best<V> {
    /// The first value of the window, number 0.
    #[inline(always)]
    pub(super) fn new<S: Lanes<V = V>>(simd: S, value: V) -> Self {
        Self { value, number: simd.splat(0.0) }
    }

    /// The next value.
    #[inline(always)]
    pub(super) fn meets<S: Lanes<V = V>>(&mut self, simd: S, number: usize, x: V) {
        let this = simd.splat(number as f32);
        self.number = simd.if_less(self.value, x, this, simd.if_equal(x, x, self.number, this));
        self.value = greater(simd, self.value, x);
    }

    /// The winner's number, or [`NO_WINNER`] where none receives a gradient: with ReLU, where the greatest value is 0.
    #[inline(always)]
    pub(super) fn winner<S: Lanes<V = V>>(&self, simd: S, relu: bool) -> V {
        match relu {
            true => simd.if_equal(self.value, simd.splat(0.0), simd.splat(NO_WINNER), self.number),
            false => self.number,
        }
    }

    /// The gradient where this number has won, and 0 elsewhere.
    #[inline(always)]
    pub(super) fn share<S: Lanes<V = V>>(&self, simd: S, number: usize, dy: V) -> V {
        simd.if_equal(self.number, simd.splat(number as f32), dy, simd.splat(0.0))
    }
}

/// The windows of one row of outputs, cut to the image; average pooling uses them too.
pub(super) struct Line {
    window: Window,
    width: usize,
    /// Where the first row that they see begins, in all of the feature map, and how many they see.
    first: usize,
    rows: usize,
}

/// The part of a window that lies inside of the image.
pub(super) struct Place {
    /// Its first value, in all of the feature map.
    pub(super) first: usize,
    /// Taps down and along.
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Line {
    /// Row number `line`, counted through all channels of `output`.
    #[inline(always)]
    pub(super) fn new(window: Window, image: Shape, output: Shape, line: usize) -> Self {
        let (channel, oy) = (line / output.dim(1), line % output.dim(1));
        let (row, rows) = inside(&window.height, oy, image.dim(1));
        let width = image.dim(2);
        Self { window, width, first: (channel * image.dim(1) + row) * width, rows }
    }

    /// The window of the row's output `ox`.
    #[inline(always)]
    pub(super) fn place(&self, ox: usize) -> Place {
        let (column, columns) = inside(&self.window.width, ox, self.width);
        Place { first: self.first + column, rows: self.rows, columns }
    }
}

/// The taps of output `o` that lie inside of the image: the input that the first of them sees, and how many there are.
#[inline(always)]
fn inside(window: &AxisWindow, o: usize, size: usize) -> (usize, usize) {
    let AxisWindow { kernel, stride, before, dilation, .. } = *window;
    let start = o * stride;
    if start >= before && start + dilation * (kernel - 1) < size + before {
        return (start - before, kernel);
    }
    let first = before.saturating_sub(start).div_ceil(dilation);
    let behind = (size + before).saturating_sub(start).div_ceil(dilation).min(kernel);
    (start + first * dilation - before, behind.saturating_sub(first))
}

/// Whether windows are 2×2, side by side, and whole.
pub(crate) fn are_quarters(layer: &MaxPool2d, image: Shape, output: Shape) -> bool {
    let window = layer.window();
    let halves = |axis: AxisWindow| (axis.kernel, axis.stride, axis.before, axis.dilation) == (2, 2, 0, 1);
    let fits = |axis| 2 * output.dim(axis) <= image.dim(axis);
    halves(window.height) && halves(window.width) && fits(1) && fits(2)
}

#[inline(always)]
fn forward_quarters<S: Lanes>(simd: S, x: &[f32], image: Shape, y: &mut [f32], output: Shape) {
    let line = image.dim(2) * S::N;
    let maps = x.chunks_exact(image.dim(1) * line);
    let y_maps = y.chunks_exact_mut(output.dim(1) * output.dim(2) * S::N);
    for (x, y) in maps.zip(y_maps) {
        for (lines, y) in x.chunks_exact(2 * line).zip(y.chunks_exact_mut(output.dim(2) * S::N)) {
            let (upper, lower) = lines.split_at(line);
            let pairs = upper.chunks_exact(2 * S::N).zip(lower.chunks_exact(2 * S::N));
            for (y, (upper, lower)) in y.chunks_exact_mut(S::N).zip(pairs) {
                let top = greater(simd, simd.load(upper, 0), simd.load(upper, 1));
                let bottom = greater(simd, simd.load(lower, 0), simd.load(lower, 1));
                simd.store(greater(simd, top, bottom), y, 0);
            }
        }
    }
}

#[inline(always)]
fn backward_quarters<S: Lanes>(simd: S, x: &[f32], dy: &[f32], output: Shape, dx: &mut [f32], image: Shape) {
    let line = image.dim(2) * S::N;
    let maps = x.chunks_exact(image.dim(1) * line).zip(dx.chunks_exact_mut(image.dim(1) * line));
    for ((x, dx), dy) in maps.zip(dy.chunks_exact(output.dim(1) * output.dim(2) * S::N)) {
        let mut dx_lines = dx.chunks_exact_mut(2 * line);
        let lines = x.chunks_exact(2 * line).zip(&mut dx_lines);
        for ((x, dx), dy) in lines.zip(dy.chunks_exact(output.dim(2) * S::N)) {
            let (upper, lower) = x.split_at(line);
            let (dx_upper, dx_lower) = dx.split_at_mut(line);
            let mut dx_upper = dx_upper.chunks_exact_mut(2 * S::N);
            let mut dx_lower = dx_lower.chunks_exact_mut(2 * S::N);
            let pairs = upper.chunks_exact(2 * S::N).zip(lower.chunks_exact(2 * S::N));
            let dx_pairs = (&mut dx_upper).zip(&mut dx_lower);
            for ((dy, (upper, lower)), (dx_upper, dx_lower)) in dy.chunks_exact(S::N).zip(pairs).zip(dx_pairs) {
                let dy = simd.load(dy, 0);
                let mut best = Best::new(simd, simd.load(upper, 0));
                best.meets(simd, 1, simd.load(upper, 1));
                best.meets(simd, 2, simd.load(lower, 0));
                best.meets(simd, 3, simd.load(lower, 1));
                simd.store(best.share(simd, 0, dy), dx_upper, 0);
                simd.store(best.share(simd, 1, dy), dx_upper, 1);
                simd.store(best.share(simd, 2, dy), dx_lower, 0);
                simd.store(best.share(simd, 3, dy), dx_lower, 1);
            }
            // What no window sees: the last column and row of odd sizes.
            dx_upper.into_remainder().fill(0.0);
            dx_lower.into_remainder().fill(0.0);
        }
        dx_lines.into_remainder().fill(0.0);
    }
}

/// Each gradient to the winner of its 2×2 window, where the convolution before it has kept the winners' numbers: inputs are
/// the pooled values with the numbers behind them, and the gradient.
pub(crate) struct ToWinners<'a> {
    pub(crate) call: Call<'a>,
}

impl Kernel for ToWinners<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Call { inputs, output: dx, shape: image, .. } = self.call;
        let (dy, shape) = (inputs[1].data, inputs[1].shape);
        let winners = &inputs[0].data[shape.len() * S::N..];
        let [line, plane] = [image.dim(2) * S::N, shape.dim(1) * shape.dim(2) * S::N];
        let maps = winners.chunks_exact(plane).zip(dy.chunks_exact(plane));
        for ((winners, dy), dx) in maps.zip(dx.chunks_exact_mut(image.dim(1) * line)) {
            let lines = winners.chunks_exact(shape.dim(2) * S::N).zip(dy.chunks_exact(shape.dim(2) * S::N));
            let mut dx_lines = dx.chunks_exact_mut(2 * line);
            for ((winners, dy), dx) in lines.zip(&mut dx_lines) {
                let (upper, lower) = dx.split_at_mut(line);
                for i in 0..shape.dim(2) {
                    let best = Best { value: simd.splat(0.0), number: simd.load(winners, i) };
                    let dy = simd.load(dy, i);
                    simd.store(best.share(simd, 0, dy), upper, 2 * i);
                    simd.store(best.share(simd, 1, dy), upper, 2 * i + 1);
                    simd.store(best.share(simd, 2, dy), lower, 2 * i);
                    simd.store(best.share(simd, 3, dy), lower, 2 * i + 1);
                }
                upper[2 * shape.dim(2) * S::N..].fill(0.0);
                lower[2 * shape.dim(2) * S::N..].fill(0.0);
            }
            dx_lines.into_remainder().fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::max_pool::MaxPool2dGrad;
    use lenslet_graph::{Shape, ShapeVar};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::channels;
    use crate::kernels::testing::{Check, Machine, Random};

    /// Whether the window fits; if so, it is checked both ways.
    fn check(layer: MaxPool2d, image: Shape, batch: usize, seed: u64) -> bool {
        let Ok(output) = layer.rule(&ShapeVar::new(image)) else { return false };
        let mut random = Random::new(seed);
        // Equal values often, NaN and −∞ now and then.
        let x = match random.below(3) {
            0 => random.tensor(image, batch),
            1 => random.choice(image, batch, &[0.0, 1.0, 2.0]),
            _ => random.choice(image, batch, &[0.0, 1.0, f32::NAN, f32::NEG_INFINITY, f32::NEG_INFINITY]),
        };
        let dy = random.tensor(output.shape(), batch);
        Check::new(layer, [x.clone()]).kernel(|machine, call| machine.run(Forward { layer, call }));
        let quarters = are_quarters(&layer, image, output.shape());
        let empty = Check::new(MaxPool2dGrad { layer }, [x, dy]).gradient(1).kernel(|machine, call| match machine {
            Machine::Channels(isa) if quarters => isa.run(channels::max_pool::Backward { winners: false, call }),
            machine => machine.run(Backward { layer, call }),
        });
        assert!(empty.iter().all(|&dx| dx == 0.0));
        true
    }

    proptest! {
        #[test]
        fn windows_of_all_kinds_are_the_reference(
            [channels, height, width] in [1usize..4, 1usize..10, 1usize..10],
            kernel in [1usize..5, 1usize..5],
            stride in [1usize..5, 1usize..5],
            padding in [0usize..3, 0usize..3],
            dilation in [1usize..4, 1usize..4],
            ceil in any::<bool>(),
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let layer = MaxPool2d::new(1, 1).kernel_hw(kernel[0], kernel[1]).stride_hw(stride[0], stride[1]);
            let layer = layer.padding_hw(padding[0].min(kernel[0] / 2), padding[1].min(kernel[1] / 2));
            let layer = layer.dilation_hw(dilation[0], dilation[1]);
            let layer = if ceil { layer.ceil_mode() } else { layer };
            check(layer, Shape::image(channels, height, width).with_batch(batched), batch, seed);
        }

        #[test]
        fn quarters_are_the_reference(
            [channels, height, width] in [1usize..4, 2usize..10, 2usize..10],
            ceil in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let layer = MaxPool2d::new(2, 2);
            let layer = if ceil { layer.ceil_mode() } else { layer };
            prop_assert!(check(layer, Shape::image(channels, height, width), batch, seed));
        }
    }

    #[test]
    fn a_window_of_padding_alone_is_minus_infinity() {
        let layer = MaxPool2d::new(1, 1).kernel_hw(2, 1).padding_hw(1, 0).dilation_hw(3, 1);
        assert!(check(layer, Shape::image(2, 2, 1), 9, 0));
    }
}
