//! Winograd's convolution against the references: transformed weights, forward, and the gradient by the image.

use lenslet_graph::ops::conv2d::{Conv2d, Conv2dInputGrad};
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK, Winograd as Way};
use lenslet_graph::{Shape, ShapeVar};
use proptest::prelude::*;

use super::{conv2d, weights};
use crate::kernels::Call;
use crate::kernels::testing::{Check, Machine, Random, shape};

/// Sums of up to 20·25 products of sizes up to 1, so up to 125 in the mean; errors reach 4e-6 of that where all numbers are
/// as large. Compared with [`Check`]'s share of 1 + |y|.
const TOLERANCE: f64 = 2e-4;

/// Inputs are x, weight and perhaps bias, as for the op.
fn convolve(machine: Machine, way: &Way, x: Shape, activation: Option<Map>, call: Call<'_>) {
    let mut packed = vec![f32::NAN; way.packed_len()];
    for (part, packed) in packed.chunks_exact_mut(weights::part_len(way)).enumerate() {
        machine.run(weights::Transform { way, part, weight: call.inputs[1].data, packed });
    }
    let geometry = &conv2d::Geometry::new(*way, x, call.shape);
    let bias = call.inputs.get(2).map_or(&[][..], |bias| bias.data);
    let mut work = vec![f32::NAN; geometry.work_len(machine.lanes())];
    let (x, weight, y, work) = (call.inputs[0].data, &packed, call.output, &mut work);
    machine.run(conv2d::Convolve { geometry, x, weight, bias, activation, y, work });
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) layer: Conv2d,
    pub(super) image: Shape,
    pub(super) output: Shape,
    tile: usize,
}

impl Case {
    /// None where the kernel does not fit.
    pub(super) fn new(tile: usize, layer: Conv2d, image: [usize; 3]) -> Option<Self> {
        let output = layer.rule(&ShapeVar::image(image)).ok()?.shape();
        Some(Self { layer, image: ShapeVar::image(image).shape(), output, tile })
    }

    /// In blocks of so many output channels.
    pub(super) fn way(&self, gradient: bool, block: usize) -> Way {
        let window = self.layer.window();
        let kernel = window.height.kernel;
        let before = [window.height.before, window.width.before];
        let before = if gradient { before.map(|before| kernel - 1 - before) } else { before };
        let (x, y) = if gradient { (self.output, self.image) } else { (self.image, self.output) };
        Way { tile: self.tile, kernel, before, inner: x.dim(0), outputs: y.dim(0), gradient, block }
    }
}

/// Any map and padding; channels and batches that fill blocks and lanes, and that do not.
fn cases() -> impl Strategy<Value = Case> {
    let tiles = prop::sample::select(vec![[4, 3], [3, 3], [2, 5]]);
    (tiles, [1usize..20, 1usize..20], [1usize..15, 1usize..15], [0usize..5, 0usize..5]).prop_filter_map(
        "the kernel fits",
        |([tile, kernel], [inner, outputs], [height, width], padding)| {
            let [above, left] = padding.map(|padding| padding.min(kernel - 1));
            let layer = Conv2d::new(inner, outputs, kernel).padding_hw(above, left);
            Case::new(tile, layer, [inner, height, width])
        },
    )
}

fn check_forward(case: Case, bias: bool, batch: usize, seed: u64) {
    let Case { layer, image, .. } = case;
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let mut inputs = vec![tensor(image, batch), tensor(layer.weight_shape(image.dim(0)), 1)];
    if bias {
        inputs.push(tensor(shape(false, &[layer.out_channels()]), 1));
    }
    let check = Check::new(layer, inputs).tolerance(TOLERANCE);
    check.kernel(|machine, call| convolve(machine, &case.way(false, CHANNEL_BLOCK), image, None, call));
}

fn check_gradient(case: Case, batch: usize, seed: u64) {
    let Case { layer, image, output, .. } = case;
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let inputs = [tensor(output, batch), tensor(layer.weight_shape(image.dim(0)), 1)];
    let check = Check::new(Conv2dInputGrad { layer, image }, inputs).gradient(0).tolerance(TOLERANCE);
    let empty = check.kernel(|machine, call| convolve(machine, &case.way(true, CHANNEL_BLOCK), output, None, call));
    assert!(empty.iter().all(|&dx| dx == 0.0));
}

proptest! {
    #[test]
    fn forward_is_the_reference(case in cases(), bias in any::<bool>(), batch in 1usize..20, seed in any::<u64>()) {
        check_forward(case, bias, batch, seed);
    }

    #[test]
    fn gradient_is_the_reference(case in cases(), batch in 1usize..20, seed in any::<u64>()) {
        check_gradient(case, batch, seed);
    }
}

/// Sizes at which a loop might run once too often, or not at all.
#[test]
fn edges_are_the_reference() {
    for (about, tile, layer, image) in [
        ("one result", 4, Conv2d::new(1, 1, 3), [1, 3, 3]),
        ("one pixel in padding", 4, Conv2d::new(1, 1, 3).padding(1), [1, 1, 1]),
        ("one tile", 4, Conv2d::new(8, 8, 3).padding(1), [8, 4, 4]),
        ("one small tile", 3, Conv2d::new(8, 16, 3).padding(1), [8, 3, 3]),
        ("a tile and a rest", 4, Conv2d::new(3, 9, 3).padding(1), [3, 5, 5]),
        ("blocks of positions over the ends of rows", 4, Conv2d::new(2, 3, 3).padding(1), [2, 12, 10]),
        ("much padding", 4, Conv2d::new(2, 3, 3).padding(2), [2, 6, 1]),
        ("the lesson's second", 2, Conv2d::new(6, 16, 5), [6, 14, 14]),
        ("same size", 2, Conv2d::new(3, 4, 5).same(), [3, 7, 8]),
    ] {
        let case = Case::new(tile, layer, image).unwrap_or_else(|| panic!("{about} fits"));
        for batch in [1, 8, 17] {
            check_forward(case, true, batch, 5);
            check_gradient(case, batch, 6);
        }
    }
}

/// Activations are applied to what would have been the result, cheap ones and others.
#[test]
fn activations_are_applied() {
    let case = Case::new(4, Conv2d::new(2, 11, 3).padding(1), [2, 6, 9]).expect("it fits");
    let mut random = Random::new(8);
    let inputs =
        [(case.image, 16), (case.layer.weight_shape(2), 1)].map(|(s, batch)| random.range(s, batch, -1.0, 1.0));
    let plain = Check::new(case.layer, inputs.clone()).tolerance(TOLERANCE);
    plain.kernel(|machine, call| {
        let (x, weight, shape) = (call.inputs[0], call.inputs[1], call.shape);
        let (inputs, tile) = ([x, weight], call.tile);
        convolve(
            machine,
            &case.way(false, CHANNEL_BLOCK),
            case.image,
            None,
            Call { inputs: &inputs, output: call.output, shape, tile },
        );
        for map in [Map::Relu, Map::Tanh] {
            let mut y = vec![f32::NAN; call.output.len()];
            convolve(
                machine,
                &case.way(false, CHANNEL_BLOCK),
                case.image,
                Some(map),
                Call { inputs: &inputs, output: &mut y, shape, tile },
            );
            for (y, &x) in y.iter().zip(&*call.output) {
                assert!((y - map.apply(x)).abs() < 1e-6, "{map:?} of {x} is not {y}");
            }
        }
    });
}
