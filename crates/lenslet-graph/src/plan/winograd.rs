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

/// Multiply-adds in whose time a tile of a channel is transformed, loads and stores included; and those of a vector of
/// kernels.
const TRANSFORM: usize = 200;
const TRANSFORM_KERNELS: usize = 300;

impl Winograd {
    /// The best way for a convolution of an image, or for its gradient by it, if that is better than the direct one.
    /// `tiles` of `lanes` images share the transformed weights.
    pub(super) fn choose(
        layer: &Conv2d,
        image: Shape,
        output: Shape,
        gradient: bool,
        tiles: usize,
        lanes: usize,
    ) -> Option<Self> {
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
            (taps == kernel).then(|| (way.cost(y, tiles, lanes), way))
        };
        let (cost, way) = TILES.into_iter().filter_map(tile).min_by_key(|&(cost, _)| cost)?;
        // Taps in padding are left out by the direct way.
        let met = |axis: usize| {
            let (size, outputs) = (image.dim(1 + axis), output.dim(1 + axis));
            (0..outputs).map(|o| (0..kernel).filter(|&k| axes[axis].input(o, k, size).is_some()).count()).sum::<usize>()
        };
        let direct = met(0) * met(1) * way.inner * way.outputs.next_multiple_of(CHANNEL_BLOCK);
        (cost < direct).then_some(way)
    }

    /// Multiply-adds for a tile of images, the transforms counted as such.
    fn cost(&self, y: Shape, tiles: usize, lanes: usize) -> usize {
        let positions = y.dim(1).div_ceil(self.tile) * y.dim(2).div_ceil(self.tile);
        let outputs = self.outputs.next_multiple_of(CHANNEL_BLOCK);
        let products = positions * self.places() * self.inner * outputs;
        let kernels = (self.inner * outputs).div_ceil(lanes * tiles);
        products + positions * (self.inner + self.outputs) * TRANSFORM + kernels * TRANSFORM_KERNELS
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
