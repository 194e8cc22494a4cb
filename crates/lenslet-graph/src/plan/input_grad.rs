//! What stands in the lanes where a convolution's gradient by one image is made: by counted arithmetic.

use super::Options;
use super::weight_grad::meetings;
use crate::Shape;
use crate::ops::conv2d::Conv2d;

/// Channels of an image up to which its gradient may be made with the channels that are summed over in the lanes.
pub const MOST_SUMMED: usize = 6;

/// Numbers of a vector of those, at best.
const LANES: usize = 16;

/// Multiply-adds of a vector in whose time the lanes of one are added up, sixteen together.
const ADD_UP: usize = 3;

/// Whether the output channels, which are summed over, stand in the lanes, in their packed order of the forward direction:
/// where an image has few channels, so that other lanes would be empty, or columns meet many zeros at the edges.
pub(super) fn sums_in_lanes(layer: &Conv2d, image: Shape, output: Shape, options: &Options) -> bool {
    let (channels, outputs) = (image.dim(0), output.dim(0));
    if options.lanes != 1 || layer.group_count() != 1 || channels > MOST_SUMMED || outputs % LANES != 0 {
        return false;
    }
    let window = layer.window();
    let met = [(window.height, 1), (window.width, 2)].map(|(axis, i)| meetings(&axis, image.dim(i), output.dim(i)));
    let (width, kernel) = (image.dim(2), window.width.kernel);
    let summed = (met[0] * met[1] * outputs / LANES + ADD_UP * image.dim(1) * width) * channels;
    // Neighbouring columns meet all taps of a row, zeros as well; where there is a stride, channels stand in the lanes.
    let other = match window.width.stride {
        1 => met[0] * kernel * width.div_ceil(LANES) * outputs * channels,
        _ => met[0] * met[1] * outputs,
    };
    summed < other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShapeVar;

    /// What was measured to be the fastest (AVX-512).
    #[test]
    fn it_is_chosen_where_it_takes_less() {
        let one = Options::new(4, 1);
        for (about, layer, image, options, expected) in [
            ("the lesson's second", Conv2d::new(6, 16, 5), [6, 14, 14], one, true),
            ("more images than one in a tile", Conv2d::new(6, 16, 5), [6, 14, 14], Options::new(64, 16), false),
            ("rows that fill vectors", Conv2d::new(6, 16, 3).padding(1), [6, 32, 32], one, false),
            ("channels that fill no vector", Conv2d::new(6, 12, 5), [6, 14, 14], one, false),
            ("many channels", Conv2d::new(16, 32, 5), [16, 14, 14], one, false),
            ("groups", Conv2d::new(4, 16, 5).groups(2), [4, 14, 14], one, false),
            ("stride", Conv2d::new(3, 16, 3).stride(2), [3, 32, 32], one, true),
        ] {
            let image = ShapeVar::image(image);
            let output = layer.rule(&image).expect("it fits").shape();
            assert_eq!(sums_in_lanes(&layer, image.shape(), output, &options), expected, "{about}");
        }
    }
}
