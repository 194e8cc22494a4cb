//! When a convolution is done in Winograd's way, and with which tiles.
//!
//! A tile of m×m results takes (m + r − 1)² products instead of m²·r², but also the transforms of its values and results,
//! once for each channel, and of the weights, once for each step; and where the map is no multiple of the tile, products
//! are wasted. What comes out is counted and compared, in multiply-adds of a vector.

use super::CHANNEL_BLOCK;
use super::weight_grad::meetings;
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
    /// Output channels in a block of transformed weights.
    pub block: usize,
}

/// Tiles that there are kernels for: results along an axis, and taps.
const TILES: [[usize; 2]; 3] = [[4, 3], [3, 3], [2, 5]];

/// The same for a whole batch at once.
const TILES_OF_BATCH: [[usize; 2]; 1] = [[4, 3]];

/// Output channels in a block there, and what both numbers of channels are multiples of.
const BLOCK_OF_BATCH: usize = 16;
const CHANNELS_OF_BATCH: usize = 64;

/// The same where a tile is a window of max pooling.
const TILES_OF_MAX_POOL: [[usize; 2]; 1] = [[2, 5]];

/// The same for tiles of one image.
const TILES_OF_ONE_IMAGE: [[usize; 2]; 2] = [[4, 3], [2, 3]];

/// Output channels in a block where they stand in the lanes.
const BLOCK_OF_ONE_IMAGE: usize = 16;

/// Multiply-adds of a vector in whose time a tile of a channel is transformed, with what is read and written: measured, from
/// 250 for maps in the cache to 600 for large ones.
const TRANSFORM: usize = 400;

/// The same where a tile is a window of max pooling, by rows of which they are done: measured, from 85 to 110.
const TRANSFORM_WINDOW: usize = 110;

/// The same for a result of a tile of one image, a lane's share: measured, from 25 to 40.
const TRANSFORM_RESULT: usize = 35;

/// The same for a kernel, 16 of which make a vector: measured, from 35 to 85 where the weights go to memory.
const TRANSFORM_KERNEL: usize = 70;

/// Multiply-adds of a vector in whose time a vector of weights comes from memory: measured, 11.8 at 20 GB/s.
const WEIGHT_FROM_MEMORY: usize = 12;

impl Winograd {
    /// The best way for a convolution of an image, or for its gradient by it, if that is better than the direct one.
    /// So many tiles of images share the transformed weights.
    pub(super) fn choose(layer: &Conv2d, image: Shape, output: Shape, gradient: bool, images: usize) -> Option<Self> {
        let fit = Fit::new(layer, image, output, gradient)?;
        let (cost, way) = fit.cheapest(&TILES, CHANNEL_BLOCK, |way| way.cost(fit.y, images, TRANSFORM))?;
        (cost < fit.direct()).then_some(way)
    }

    /// The way for a whole batch at once, if its channels fill blocks and that takes fewer products than the direct way.
    pub(super) fn for_whole_batch(layer: &Conv2d, image: Shape, output: Shape, gradient: bool) -> Option<Self> {
        let fit = Fit::new(layer, image, output, gradient)?;
        let (products, way) = fit.cheapest(&TILES_OF_BATCH, BLOCK_OF_BATCH, |way| way.products(fit.y))?;
        let fills = [way.inner, way.outputs].iter().all(|channels| channels % CHANNELS_OF_BATCH == 0);
        (fills && products * 4 / 3 < fit.direct()).then_some(way)
    }

    /// The same for an image, with max pooling by 2×2 behind it.
    pub(super) fn choose_max_pool(layer: &Conv2d, image: Shape, output: Shape, images: usize) -> Option<Self> {
        // What is in no whole window is not worked out.
        let output = Shape::image(output.dim(0), output.dim(1) / 2 * 2, output.dim(2) / 2 * 2);
        let fit = Fit::new(layer, image, output, false)?;
        let cost = |way: &Self| way.cost(fit.y, images, TRANSFORM_WINDOW);
        let (cost, way) = fit.cheapest(&TILES_OF_MAX_POOL, CHANNEL_BLOCK, cost)?;
        (cost < fit.direct()).then_some(way)
    }

    /// The same where tiles are one image each. So many images use the transformed weights before they are made again.
    pub(super) fn choose_for_one_image(
        layer: &Conv2d,
        image: Shape,
        output: Shape,
        gradient: bool,
        images: usize,
    ) -> Option<Self> {
        let fit = Fit::new(layer, image, output, gradient)?;
        let cost = |way: &Self| way.cost_of_one_image(fit.y, images);
        let (cost, way) = fit.cheapest(&TILES_OF_ONE_IMAGE, BLOCK_OF_ONE_IMAGE, cost)?;
        (cost < fit.direct()).then_some(way)
    }

    /// Multiply-adds for a tile of images, the transforms counted as such: `transform` for a tile of a channel.
    fn cost(&self, y: Shape, images: usize, transform: usize) -> usize {
        let positions = self.positions(y);
        let kernels = self.inner * self.outputs.next_multiple_of(self.block);
        let transforms = positions * (self.inner + self.outputs) * transform;
        positions * self.places() * kernels + transforms + kernels * TRANSFORM_KERNEL / images
    }

    /// The same for one image. Where there are few positions, their products wait for the weights.
    fn cost_of_one_image(&self, y: Shape, images: usize) -> usize {
        let positions = self.positions(y);
        let kernels = self.inner * self.outputs.next_multiple_of(self.block);
        let products = positions.max(WEIGHT_FROM_MEMORY) * self.places() * kernels;
        let results = positions * self.tile * self.tile * (self.inner + self.outputs);
        products + results * TRANSFORM_RESULT + kernels * 16 * TRANSFORM_KERNEL / images
    }

    /// Tiles of one map.
    pub fn positions(&self, y: Shape) -> usize {
        y.dim(1).div_ceil(self.tile) * y.dim(2).div_ceil(self.tile)
    }

    /// Numbers of a transformed tile, each of which belongs to a product of matrices.
    pub const fn places(&self) -> usize {
        let side = self.tile + self.kernel - 1;
        side * side
    }

    /// Multiply-adds for an image, without the transforms.
    pub(super) fn products(&self, y: Shape) -> usize {
        self.positions(y) * self.places() * self.inner * self.outputs
    }

    /// The shape of so many channels' transformed tiles of a map; behind each place there is one number more, so that a tile's
    /// places do not all fall on the same few lines of the cache.
    pub(super) fn transformed(&self, y: Shape, channels: usize) -> Shape {
        Shape::batched(&[self.places(), self.positions(y) * channels + 1]).expect("some times as large as a map")
    }

    /// Numbers of the transformed weights: `[block of output channels][place][inner channel][channel in block]`.
    pub const fn packed_len(&self) -> usize {
        self.outputs.next_multiple_of(self.block) * self.places() * self.inner
    }
}

/// A convolution, or its gradient by the image, that can be done in Winograd's way.
struct Fit {
    kernel: usize,
    before: [usize; 2],
    inner: usize,
    /// Sizes of what is written.
    y: Shape,
    gradient: bool,
    /// Pairs of output and tap that meet an input, along each axis. Taps in padding are left out by the direct way.
    met: [usize; 2],
}

impl Fit {
    fn new(layer: &Conv2d, image: Shape, output: Shape, gradient: bool) -> Option<Self> {
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
        let met = [0, 1].map(|axis| meetings(&axes[axis], image.dim(1 + axis), output.dim(1 + axis)));
        Some(Self { kernel, before, inner: x.dim(0), y, gradient, met })
    }

    /// Multiply-adds of the direct way.
    fn direct(&self) -> usize {
        self.met[0] * self.met[1] * self.inner * self.y.dim(0)
    }

    /// The way with one of these tiles that costs the least.
    fn cheapest(
        &self,
        tiles: &[[usize; 2]],
        block: usize,
        cost: impl Fn(&Winograd) -> usize,
    ) -> Option<(usize, Winograd)> {
        let &Self { kernel, before, inner, y, gradient, .. } = self;
        let tiles = tiles.iter().filter(|[_, taps]| *taps == kernel);
        let ways = tiles.map(|&[tile, _]| Winograd { tile, kernel, before, inner, outputs: y.dim(0), gradient, block });
        ways.map(|way| (cost(&way), way)).min_by_key(|&(cost, _)| cost)
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

    #[test]
    fn it_is_chosen_where_it_takes_less_to_pool() {
        for (about, layer, image, expected) in [
            ("the lesson's first", Conv2d::new(3, 6, 5), [3, 32, 32], None),
            ("the lesson's second", Conv2d::new(6, 16, 5), [6, 14, 14], Some(2)),
            ("more channels", Conv2d::new(32, 32, 5), [32, 14, 14], Some(2)),
            ("a row and a column in no window", Conv2d::new(6, 16, 5), [6, 15, 15], Some(2)),
            ("three taps", Conv2d::new(6, 16, 3), [6, 14, 14], None),
            ("stride", Conv2d::new(6, 16, 5).stride(2), [6, 28, 28], None),
        ] {
            let image = ShapeVar::image(image);
            let output = layer.rule(&image).expect("it fits").shape();
            let way = Winograd::choose_max_pool(&layer, image.shape(), output, 4);
            assert_eq!(way.map(|way| way.tile), expected, "{about}");
        }
    }

    /// What was measured to be the fastest (AVX-512, weights that do not stay in the cache).
    #[test]
    fn it_is_chosen_where_one_image_takes_less() {
        let conv = |channels, outputs| Conv2d::new(channels, outputs, 3).padding(1);
        for (about, layer, image, images, expected) in [
            ("many channels", conv(64, 64), [64, 32, 32], usize::MAX, [Some(4), Some(4)]),
            ("even for a single image", conv(64, 64), [64, 32, 32], 1, [Some(4), Some(4)]),
            ("more outputs", conv(64, 256), [64, 15, 15], usize::MAX, [Some(4), Some(4)]),
            ("few large tiles would wait for weights", conv(256, 256), [256, 8, 8], usize::MAX, [Some(2), Some(2)]),
            ("and transforming those takes time", conv(256, 256), [256, 8, 8], 1, [None, None]),
            ("any tiles would wait for weights", conv(512, 512), [512, 4, 4], usize::MAX, [None, None]),
            ("three channels", conv(3, 64), [3, 32, 32], usize::MAX, [None, None]),
            ("five taps", Conv2d::new(64, 64, 5).same(), [64, 16, 16], usize::MAX, [None, None]),
        ] {
            let image = ShapeVar::image(image);
            let output = layer.rule(&image).expect("it fits").shape();
            let tile = |gradient| {
                let way = Winograd::choose_for_one_image(&layer, image.shape(), output, gradient, images);
                way.map(|way| way.tile)
            };
            assert_eq!([false, true].map(tile), expected, "{about}");
        }
    }
}
