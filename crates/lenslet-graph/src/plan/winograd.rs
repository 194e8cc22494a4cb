//! When a convolution is done in Winograd's way, and with which tiles.
//!
//! A tile of m×m results takes (m + r − 1)² products instead of m²·r², but also the transforms of its values and results,
//! once for each channel, and of the weights, once for each step; and where the map is no multiple of the tile, products
//! are wasted. What comes out is counted and compared, in multiply-adds of a vector.

use super::CHANNEL_BLOCK;
use crate::Shape;
use crate::ops::conv2d::Conv2d;
use crate::window::AxisWindow;

/// A convolution in Winograd's way, forward or its gradient by the image: at stride 1, in one group, each tile of
/// `tile`×`tile` results from tile + kernel − 1 values a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Winograd {
    /// Results of a tile along each axis.
    pub tile: usize,
    /// Taps of the kernel along each axis.
    pub kernel: usize,
    /// Zeros before the first row and column that the results see.
    pub before: [usize; 2],
    /// Channels read.
    pub inner: usize,
    /// Channels written.
    pub outputs: usize,
    /// Whether it is the gradient: weights then change the roles of their channels, and turn.
    pub gradient: bool,
}

/// Tiles that there are kernels for: results along an axis, and taps.
const TILES: [[usize; 2]; 3] = [[4, 3], [3, 3], [2, 5]];

/// Multiply-adds of a vector in whose time a tile of a channel is transformed, with what is read and written: measured, from
/// 250 for maps in the cache to 600 for large ones.
const TRANSFORM: usize = 400;

/// The same for a kernel, 16 of which make a vector: measured, from 35 to 85 where the weights go to memory.
const TRANSFORM_KERNEL: usize = 70;

impl Winograd {
    /// The best way for a convolution of an image, or for its gradient by it, if that is better than the direct one.
    /// So many tiles of images share the transformed weights.
    pub(super) fn choose(layer: &Conv2d, image: Shape, output: Shape, gradient: bool, images: usize) -> Option<Self> {
        let window = layer.window();
        let axes = [window.height, window.width];
        let kernel = axes[0].kernel;
        let fits = |axis: &AxisWindow| {
            axis.kernel == kernel
                && axis.stride == 1
                && axis.dilation == 1
                && axis.before < kernel
                && axis.after < kernel
        };
        if layer.group_count() != 1 || !axes.iter().all(fits) {
            return None;
        }
        let before = axes.map(|axis| if gradient { kernel - 1 - axis.before } else { axis.before });
        let (x, y) = if gradient { (output, image) } else { (image, output) };
        let tile = |[tile, taps]: [usize; 2]| {
            let way = Self { tile, kernel, before, inner: x.dim(0), outputs: y.dim(0), gradient };
            (taps == kernel).then(|| (way.cost(y, images), way))
        };
        let (cost, way) = TILES.into_iter().filter_map(tile).min_by_key(|&(cost, _)| cost)?;
        // Taps in padding are left out by the direct way.
        let met = |axis: usize| {
            let (size, outputs) = (image.dim(1 + axis), output.dim(1 + axis));
            (0..outputs).map(|o| (0..kernel).filter(|&k| axes[axis].input(o, k, size).is_some()).count()).sum::<usize>()
        };
        let direct = met(0) * met(1) * way.inner * way.outputs;
        (cost < direct).then_some(way)
    }

    /// Multiply-adds for a tile of images, the transforms counted as such.
    fn cost(&self, y: Shape, images: usize) -> usize {
        let positions = y.dim(1).div_ceil(self.tile) * y.dim(2).div_ceil(self.tile);
        let kernels = self.inner * self.outputs.next_multiple_of(CHANNEL_BLOCK);
        let transforms = positions * (self.inner + self.outputs) * TRANSFORM;
        positions * self.places() * kernels + transforms + kernels * TRANSFORM_KERNEL / images
    }

    /// Numbers of a transformed tile, each of which belongs to a product of matrices.
    pub const fn places(&self) -> usize {
        let side = self.tile + self.kernel - 1;
        side * side
    }

    /// Numbers of the transformed weights: `[block of output channels][place][inner channel][channel in block]`.
    pub const fn packed_len(&self) -> usize {
        self.outputs.next_multiple_of(CHANNEL_BLOCK) * self.places() * self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShapeVar;

    #[test]
    fn it_is_chosen_where_it_takes_less() {
        for (about, layer, image, images, expected) in [
            ("many channels", Conv2d::new(64, 64, 3).padding(1), [64, 32, 32], 4, [Some(4), Some(4)]),
            (
                "maps that tiles of 4 would fill badly",
                Conv2d::new(256, 256, 3).padding(1),
                [256, 3, 3],
                4,
                [Some(3), Some(3)],
            ),
            ("five taps", Conv2d::new(64, 64, 5).same(), [64, 16, 16], 4, [Some(2), Some(2)]),
            ("three channels", Conv2d::new(3, 64, 3).padding(1), [3, 32, 32], 4, [None, None]),
            ("the lesson's second", Conv2d::new(6, 16, 5), [6, 14, 14], 4, [None, None]),
            (
                "weights that a single tile of images uses",
                Conv2d::new(512, 512, 3).padding(1),
                [512, 4, 4],
                1,
                [None, None],
            ),
            ("stride", Conv2d::new(64, 64, 3).padding(1).stride(2), [64, 32, 32], 4, [None, None]),
            ("dilation", Conv2d::new(64, 64, 3).padding(1).dilation(2), [64, 32, 32], 4, [None, None]),
            ("groups", Conv2d::new(64, 64, 3).padding(1).groups(2), [64, 32, 32], 4, [None, None]),
            ("a kernel that is no square", Conv2d::new(64, 64, 3).kernel_hw(3, 5), [64, 32, 32], 4, [None, None]),
            ("one tap", Conv2d::new(64, 64, 1), [64, 32, 32], 4, [None, None]),
            (
                "more padding than the gradient can mirror",
                Conv2d::new(64, 64, 3).padding(3),
                [64, 32, 32],
                4,
                [None, None],
            ),
        ] {
            let image = ShapeVar::image(image);
            let output = layer.rule(&image).expect("it fits").shape();
            let tile = |gradient| Winograd::choose(&layer, image.shape(), output, gradient, images).map(|way| way.tile);
            assert_eq!([false, true].map(tile), expected, "{about}");
        }
    }
}
