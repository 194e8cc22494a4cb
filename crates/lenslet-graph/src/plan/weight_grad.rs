//! How a convolution's gradient by its weight is summed: which of the backend's kernels, by counted arithmetic.

use super::{Options, WEIGHT_BLOCK};
use crate::Shape;
use crate::ops::conv2d::Conv2d;
use crate::window::AxisWindow;

/// A way to sum it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A sum per weight with a lane per image: few channels, groups.
    Images,
    /// Products of matrices with output channels in the lanes.
    Rows,
    /// The same on transformed tiles.
    Winograd,
}

/// Input channels that make it worth to bring output channels into the lanes.
const FEWEST_CHANNELS: usize = 8;

impl Way {
    /// For a layer from `image` to `output`.
    pub(super) fn new(layer: &Conv2d, image: Shape, output: Shape, options: &Options) -> Self {
        let (channels, outputs) = (image.dim(0), output.dim(0));
        let padded = outputs.next_multiple_of(WEIGHT_BLOCK);
        // Blocks that are a quarter empty lose what they gain.
        let one_image = options.lanes == 1;
        if one_image || layer.group_count() > 1 || channels < FEWEST_CHANNELS || 4 * outputs < 3 * padded {
            return Way::Images;
        }
        let window = layer.window();
        let axes = [window.height, window.width];
        let winograd =
            options.winograd && axes.iter().all(|axis| [axis.kernel, axis.stride, axis.dilation] == [3, 1, 1]);
        let sizes = [1, 2].map(|axis| [image.dim(axis), output.dim(axis)]);
        let direct: usize =
            axes.iter().zip(sizes).map(|(axis, [input, output])| meetings(axis, input, output)).product();
        match winograd && winograd_cost(sizes, channels, padded) < channels * padded * direct * 11 / 10 {
            true => Way::Winograd,
            false => Way::Rows,
        }
    }
}

/// Pairs of output and tap that meet an input.
pub(super) fn meetings(axis: &AxisWindow, input: usize, output: usize) -> usize {
    (0..axis.kernel).map(|k| (0..output).filter(|&o| axis.input(o, k, input).is_some()).count()).sum()
}

/// Multiply-adds per image with tiles of 4×4 gradients, and what takes as long: products at three quarters of the direct
/// kernel's speed, 450 for the transform of a channel's tile, 13 for each pair of channels to transform back.
fn winograd_cost(sizes: [[usize; 2]; 2], channels: usize, outputs: usize) -> usize {
    let positions: usize = sizes.iter().map(|[_, output]| output.div_ceil(4)).product();
    let products = positions * 36 * 4 / 3;
    (products + 13) * channels * outputs + 450 * positions * (channels + outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShapeVar;

    /// The way that was measured to be the fastest (AVX-512, 16 images).
    #[test]
    fn the_fastest_way_is_taken() {
        let conv = |channels, outputs| Conv2d::new(channels, outputs, 3).padding(1);
        for (layer, image, way) in [
            (Conv2d::new(3, 6, 5), [3, 32, 32], Way::Images),
            (conv(3, 64), [3, 32, 32], Way::Images),
            (conv(64, 64).groups(4), [64, 32, 32], Way::Images),
            (conv(64, 64), [64, 32, 32], Way::Winograd),
            (conv(24, 64), [24, 31, 31], Way::Winograd),
            (conv(512, 512), [512, 4, 4], Way::Winograd),
            (conv(256, 256), [256, 3, 3], Way::Rows),
            (conv(64, 128).stride(2), [64, 32, 32], Way::Rows),
            (Conv2d::new(64, 128, 1).stride(2), [64, 32, 32], Way::Rows),
        ] {
            let shape = ShapeVar::image(image);
            let output = layer.rule(&shape).expect("it fits").shape();
            let options = Options::new(64, 16);
            assert_eq!(Way::new(&layer, shape.shape(), output, &options), way, "{layer:?} of {image:?}");
            let direct = Way::new(&layer, shape.shape(), output, &Options { winograd: false, ..options });
            assert_eq!(direct, if way == Way::Winograd { Way::Rows } else { way });
        }
    }
}
