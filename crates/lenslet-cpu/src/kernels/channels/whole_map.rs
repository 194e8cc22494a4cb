//! Convolution of one image whose result fits the registers: 3×3 taps, one row of padding, maps of 4×4 results and fewer.
//!
//! Deep layers have small maps and very many weights, which come from memory. Here a register tile is the whole map for a
//! vector of output channels, so each weight is read once, in order; and taps in padding are left out, whose number is
//! large in small maps: of 144 products of a 4×4 map 100 remain. Which those are the compiler works out from the sizes,
//! which are const: it unrolls a channel's taps into a straight line of multiply-adds, each with a number of the image in
//! all lanes. With 16 registers a map of 4×4 is done in halves.
//!
//! Weights are packed as for [`conv2d`](super::conv2d), in blocks of 16 output channels.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::lane_block;

use super::to_planes;
use crate::kernels::map;
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Sides of the image and of the result that there is code for. Where the image has twice the side, the stride is 2.
const SIDES: [[usize; 2]; 4] = [[2, 2], [3, 3], [4, 4], [8, 4]];

/// The most results of a channel.
const MOST_PIXELS: usize = 16;

/// Output channels in a block.
const BLOCK: usize = 16;

/// A convolution worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    /// Sides of the image and of the result.
    sides: [usize; 2],
    inner: usize,
    outputs: usize,
}

impl Geometry {
    /// A convolution from `image` to `output`, both C×H×W, if this kernel is for it.
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape) -> Option<Self> {
        let (inner, outputs, sides) = (image.dim(0), output.dim(0), [image.dim(1), output.dim(1)]);
        let is_square = image.dim(1) == image.dim(2) && output.dim(1) == output.dim(2);
        let window = layer.window();
        let fits = [window.height, window.width]
            .iter()
            .all(|axis| [axis.kernel, axis.dilation, axis.before] == [3, 1, 1] && axis.stride == sides[0] / sides[1]);
        let is_here = is_square && fits && SIDES.contains(&sides);
        (is_here && layer.group_count() == 1 && lane_block(outputs) == BLOCK).then_some(Self { sides, inner, outputs })
    }

    /// Blocks of output channels: what threads can share.
    pub(crate) fn blocks(&self) -> usize {
        self.outputs.div_ceil(BLOCK)
    }

    /// The output channels of a range of blocks.
    pub(crate) fn channels(&self, blocks: Range<usize>) -> Range<usize> {
        (blocks.start * BLOCK).min(self.outputs)..(blocks.end * BLOCK).min(self.outputs)
    }

    /// Multiply-adds, those in padding included.
    pub(crate) fn work(&self) -> usize {
        self.inner * self.outputs * self.sides[1] * self.sides[1] * 9
    }
}

/// `y[o] = activation(bias[o] + Σ w·x)` for some blocks of output channels.
pub(crate) struct Convolve<'a> {
    pub(crate) geometry: &'a Geometry,
    /// All of the image.
    pub(crate) x: &'a [f32],
    /// All packed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    pub(crate) blocks: Range<usize>,
    /// Their channels.
    pub(crate) y: &'a mut [f32],
}

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.geometry.sides {
            [2, 2] => self.all::<S, 2, 2>(simd),
            [3, 3] => self.all::<S, 3, 3>(simd),
            [4, 4] => self.all::<S, 4, 4>(simd),
            [8, 4] => self.all::<S, 8, 4>(simd),
            sides => unreachable!("a geometry has no sides {sides:?}"),
        }
    }
}

impl Convolve<'_> {
    /// From X×X to Y×Y.
    #[inline(always)]
    fn all<S: Lanes, const X: usize, const Y: usize>(self, simd: S) {
        let Geometry { inner, outputs, .. } = *self.geometry;
        let block_len = inner * 9 * BLOCK;
        assert!(self.x.len() >= inner * X * X && self.weight.len() == outputs.div_ceil(BLOCK) * block_len);
        assert!(self.bias.is_empty() || self.bias.len() == outputs);
        let channels = self.geometry.channels(self.blocks);
        assert_eq!(self.y.len(), channels.len() * Y * Y);
        for (first, planes) in channels.step_by(S::N).zip(self.y.chunks_mut(Y * Y * S::N)) {
            let mut bias = [0.0; MAX_LANES];
            if !self.bias.is_empty() {
                let of_planes = &self.bias[first..][..planes.len() / (Y * Y)];
                bias[..of_planes.len()].copy_from_slice(of_planes);
            }
            let bias = simd.load(&bias, 0);
            let weight = &self.weight[first / BLOCK * block_len..][..block_len][first % BLOCK..];
            let mut pixels = [0.0; MOST_PIXELS * MAX_LANES];
            let pixels = &mut pixels[..Y * Y * S::N];
            // SAFETY: the asserts: X·X numbers of the image and 9 rows of a block for each inner channel; a vector of
            // `weight` ends with a row, for `first` is a multiple of the lanes. `pixels` has a vector for each result.
            unsafe {
                let (x, weight, pixels) = (self.x.as_ptr(), weight.as_ptr(), pixels.as_mut_ptr());
                if Y * Y <= S::REGISTERS / 4 * 3 {
                    rows::<S, X, Y, 0, Y>(simd, inner, x, weight, bias, pixels);
                } else {
                    rows::<S, X, Y, 0, 2>(simd, inner, x, weight, bias, pixels);
                    rows::<S, X, Y, 2, 2>(simd, inner, x, weight, bias, pixels);
                }
            }
            if let Some(map) = self.activation {
                map::in_place(simd, map, pixels);
            }
            to_planes(simd, pixels, S::N, planes);
        }
    }
}

/// `R` rows of results, from row `FIRST` on, for a vector of output channels.
///
/// # Safety
/// `x` must be valid for reading `inner` planes of X×X, `weight` a vector at every 16th number of `inner`·9, and `pixels`
/// for writing Y·Y vectors.
#[inline(always)]
unsafe fn rows<S: Lanes, const X: usize, const Y: usize, const FIRST: usize, const R: usize>(
    simd: S,
    inner: usize,
    x: *const f32,
    weight: *const f32,
    bias: S::V,
    pixels: *mut f32,
) {
    let mut sums = [[bias; Y]; R];
    // SAFETY: the caller's promise; a row of results that is not there is none of R.
    unsafe {
        for c in 0..inner {
            let (x, weight) = (x.add(c * X * X), weight.add(c * 9 * BLOCK));
            tap::<S, X, Y, FIRST, R, 0, 0>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 0, 1>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 0, 2>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 1, 0>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 1, 1>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 1, 2>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 2, 0>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 2, 1>(simd, x, weight, &mut sums);
            tap::<S, X, Y, FIRST, R, 2, 2>(simd, x, weight, &mut sums);
        }
        for (row, sums) in sums.iter().enumerate() {
            for (column, &sum) in sums.iter().enumerate() {
                simd.store_to(sum, pixels.add(((FIRST + row) * Y + column) * S::N));
            }
        }
    }
}

/// The products of the tap in row `I` and column `J` of a kernel, where they meet the image.
///
/// # Safety
/// `x` must be valid for reading X×X numbers, `weight` a vector at every 16th of 9·16.
#[inline(always)]
unsafe fn tap<
    S: Lanes,
    const X: usize,
    const Y: usize,
    const FIRST: usize,
    const R: usize,
    const I: usize,
    const J: usize,
>(
    simd: S,
    x: *const f32,
    weight: *const f32,
    sums: &mut [[S::V; Y]; R],
) {
    let stride = X / Y;
    // SAFETY: the caller's promise; places within the image.
    unsafe {
        let weight = simd.load_from(weight.add((I * 3 + J) * BLOCK));
        for (row, sums) in sums.iter_mut().enumerate() {
            for (column, sum) in sums.iter_mut().enumerate() {
                // Counted from the padding on.
                let (row, column) = ((FIRST + row) * stride + I, column * stride + J);
                if row >= 1 && row <= X && column >= 1 && column <= X {
                    *sum = simd.mul_add(simd.splat(*x.add((row - 1) * X + column - 1)), weight, *sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ShapeVar;
    use lenslet_graph::plan::Pack;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::pack;
    use crate::kernels::testing::{Check, Random, shape};

    /// Any side, and channels that fill vectors and blocks, and that do not.
    fn cases() -> impl Strategy<Value = (Conv2d, Shape, Shape)> {
        (prop::sample::select(&SIDES[..]), 1usize..20, 9usize..40).prop_map(|([side, result], inner, outputs)| {
            let layer = Conv2d::new(inner, outputs, 3).padding(1).stride(side / result);
            let image = ShapeVar::image([inner, side, side]);
            (layer, image.shape(), layer.rule(&image).expect("it fits").shape())
        })
    }

    proptest! {
        #[test]
        fn is_the_reference(
            (layer, image, output) in cases(),
            bias in any::<bool>(),
            relu in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let geometry = &Geometry::new(&layer, image, output).expect("it is for these");
            let (inner, outputs) = (image.dim(0), output.dim(0));
            let mut random = Random::new(seed);
            let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
            let mut inputs = vec![tensor(image, 2), tensor(layer.weight_shape(inner), 1)];
            if bias {
                inputs.push(tensor(shape(false, &[outputs]), 1));
            }
            let check = Check::new(layer, inputs).tolerance(2e-5);
            let mut expected = check.value();
            if relu {
                expected.data_mut().iter_mut().for_each(|y| *y = y.max(0.0));
            }
            let activation = relu.then_some(Map::Relu);
            check.expecting(expected).one_image(|isa, call| {
                let strides = [0, inner * 9, 9, 1];
                let pack = &Pack { groups: 1, outputs, inner, taps: 9, strides, block: BLOCK };
                let mut weight = vec![f32::NAN; pack.group_len()];
                for (part, packed) in weight.chunks_exact_mut(pack::block_len(pack)).enumerate() {
                    isa.run(pack::Block { pack, part, weight: call.inputs[1].data, packed });
                }
                let (x, weight) = (call.inputs[0].data, &weight);
                let bias = call.inputs.get(2).map_or(&[][..], |bias| bias.data);
                // In two parts, as threads share it.
                let (half, all) = (geometry.blocks() / 2, geometry.blocks());
                let plane = output.dim(1) * output.dim(2);
                let (first, second) = call.output.split_at_mut(geometry.channels(0..half).len() * plane);
                for (blocks, y) in [(0..half, first), (half..all, second)] {
                    isa.run(Convolve { geometry, x, weight, bias, activation, blocks, y });
                }
            });
        }
    }

    #[test]
    fn other_convolutions_are_not_its() {
        let conv = |channels| Conv2d::new(channels, channels, 3).padding(1);
        for (about, layer, side, expected) in [
            ("a map that fits", conv(16), 4, true),
            ("half as large a map", conv(16).stride(2), 8, true),
            ("the same of an odd side", conv(16).stride(2), 7, false),
            ("a larger map", conv(16), 5, false),
            ("no padding", Conv2d::new(16, 16, 3), 4, false),
            ("groups", conv(32).groups(2), 4, false),
            ("few channels", conv(8), 4, false),
            ("five taps", Conv2d::new(16, 16, 5).padding(2), 4, false),
        ] {
            let image = ShapeVar::image([layer.in_channels(), side, side]);
            let output = layer.rule(&image).expect("it fits").shape();
            assert_eq!(Geometry::new(&layer, image.shape(), output).is_some(), expected, "{about}");
        }
    }
}
