//! Winograd's convolution of one image against the references, in two parts as threads share it.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::{Conv2d, Conv2dInputGrad};
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::Winograd as Way;
use proptest::prelude::*;

use super::conv2d_tests::Case;
use super::one_image::{Geometry, Products, Spread};
use super::weights;
use crate::kernels::Call;
use crate::kernels::testing::{Check, Random, shape};
use crate::simd::Isa;

/// Sums of up to 40·9 products of sizes up to 1; as for tiles of many images.
const TOLERANCE: f64 = 2e-4;

/// Inputs are x, weight and perhaps bias, as for the op.
fn convolve(isa: Isa, way: &Way, image: Shape, activation: Option<Map>, call: Call<'_>) {
    let mut weight = vec![f32::NAN; way.packed_len()];
    for (part, packed) in weight.chunks_exact_mut(weights::part_len(way)).enumerate() {
        isa.run(weights::Transform { way, part, weight: call.inputs[1].data, packed });
    }
    let geometry = &Geometry::new(*way, image, call.shape);
    let plane = |shape: Shape| shape.dim(1) * shape.dim(2);
    let (chunks, chunk_len) = (geometry.chunks(isa.lanes()), geometry.chunk_len() * isa.lanes());
    let mut v = vec![f32::NAN; chunks * chunk_len];
    let (x, x_rest) = call.inputs[0].data.split_at(chunks / 2 * isa.lanes() * plane(image));
    let (first, second) = v.split_at_mut(chunks / 2 * chunk_len);
    for (x, v) in [(x, first), (x_rest, second)] {
        let work = &mut vec![f32::NAN; geometry.spread_work_len()];
        isa.run(Spread { geometry, x, v, work });
    }
    let bias = call.inputs.get(2).map_or(&[][..], |bias| bias.data);
    let (half, all) = (geometry.blocks() / 2, geometry.blocks());
    let (first, second) = call.output.split_at_mut(geometry.channels(0..half).len() * plane(call.shape));
    for (blocks, y) in [(0..half, first), (half..all, second)] {
        let (v, weight, work) = (&v, &weight, &mut vec![f32::NAN; geometry.products_work_len()]);
        isa.run(Products { geometry, v, weight, bias, activation, blocks, y, work });
    }
}

/// Output channels in a block.
const BLOCK: usize = 16;

fn check_forward(case: Case, bias: bool, activation: Option<Map>, seed: u64) {
    let Case { layer, image, .. } = case;
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let mut inputs = vec![tensor(image, 2), tensor(layer.weight_shape(image.dim(0)), 1)];
    if bias {
        inputs.push(tensor(shape(false, &[layer.out_channels()]), 1));
    }
    let check = Check::new(layer, inputs).tolerance(TOLERANCE);
    let mut expected = check.value();
    if let Some(map) = activation {
        expected.data_mut().iter_mut().for_each(|y| *y = map.apply(*y));
    }
    let check = check.expecting(expected);
    check.one_image(|isa, call| convolve(isa, &case.way(false, BLOCK), image, activation, call));
}

fn check_gradient(case: Case, seed: u64) {
    let Case { layer, image, output, .. } = case;
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let inputs = [tensor(output, 2), tensor(layer.weight_shape(image.dim(0)), 1)];
    let check = Check::new(Conv2dInputGrad { layer, image }, inputs).gradient(0).tolerance(TOLERANCE);
    check.one_image(|isa, call| convolve(isa, &case.way(true, BLOCK), output, None, call));
}

/// Any map and padding; channels that fill vectors and blocks, and that do not.
fn cases() -> impl Strategy<Value = Case> {
    let tile = prop::sample::select(vec![4, 2]);
    (tile, [1usize..40, 1usize..40], [1usize..18, 1usize..18], [0usize..3, 0usize..3]).prop_filter_map(
        "the kernel fits",
        |(tile, [inner, outputs], [height, width], [above, left])| {
            let layer = Conv2d::new(inner, outputs, 3).padding_hw(above, left);
            Case::new(tile, layer, [inner, height, width])
        },
    )
}

proptest! {
    #[test]
    fn forward_is_the_reference(
        case in cases(),
        bias in any::<bool>(),
        activation in prop::sample::select(vec![None, Some(Map::Relu), Some(Map::Gelu)]),
        seed in any::<u64>(),
    ) {
        check_forward(case, bias, activation, seed);
    }

    #[test]
    fn gradient_is_the_reference(case in cases(), seed in any::<u64>()) {
        check_gradient(case, seed);
    }
}

/// Sizes at which a loop might run once too often, or not at all.
#[test]
fn edges_are_the_reference() {
    for (about, tile, channels, image, padding) in [
        ("one result", 4, [1, 1], [3, 3], 0),
        ("one pixel in padding", 2, [1, 1], [1, 1], 1),
        ("one tile, one vector", 4, [16, 16], [4, 4], 1),
        ("one vector more than a pair", 4, [8, 33], [4, 4], 1),
        ("a register tile of positions", 2, [3, 17], [4, 12], 1),
        ("one position more", 2, [17, 3], [2, 26], 1),
        ("much padding", 4, [2, 3], [6, 1], 2),
    ] {
        let layer = Conv2d::new(channels[0], channels[1], 3).padding(padding);
        let case = Case::new(tile, layer, [channels[0], image[0], image[1]]);
        let case = case.unwrap_or_else(|| panic!("{about} fits"));
        check_forward(case, true, None, 5);
        check_gradient(case, 6);
    }
}
