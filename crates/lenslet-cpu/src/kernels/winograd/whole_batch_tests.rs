//! Winograd's convolution of the whole batch against the references: forward, and the gradients by image and by weight.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::{Conv2d, Conv2dInputGrad, Conv2dWeightGrad};
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{WEIGHT_BLOCK, Winograd as Way};
use proptest::prelude::*;

use super::conv2d_tests::Case;
use super::{tiles, whole_batch, whole_batch_weight_grad};
use crate::kernels::testing::{Check, Random, shape};
use crate::kernels::{AllTiles, AllTilesMut};
use crate::simd::Isa;

/// Compared with [`Check`]'s share of 1 + |y|: sums of up to 128·9 products of sizes up to 1.
const TOLERANCE: f64 = 5e-4;

/// The memory of all tiles, with something else behind each tile's numbers.
struct Memory {
    data: Vec<f32>,
    len: usize,
    tiles: usize,
}

const GAP: usize = 48;

impl Memory {
    fn new(len: usize, tiles: usize) -> Self {
        Self { data: vec![f32::NAN; (len + GAP) * tiles], len, tiles }
    }

    fn tile(&mut self, tile: usize) -> &mut [f32] {
        &mut self.data[tile * (self.len + GAP)..][..self.len]
    }

    fn all(&self) -> AllTiles<'_> {
        // SAFETY: `new` made room for so many stretches.
        unsafe { AllTiles::new(self.data.as_ptr(), self.len + GAP, self.len, self.tiles) }
    }

    fn part(&mut self, from: usize, len: usize) -> AllTilesMut<'_> {
        assert!(from + len <= self.len);
        // SAFETY: the same, and the memory is borrowed for as long.
        unsafe { AllTilesMut::new(self.data.as_mut_ptr().add(from), self.len + GAP, len, self.tiles) }
    }
}

/// All tiles' maps, which are input number `input`, transformed.
fn transformed(isa: Isa, way: &Way, [x, y]: [Shape; 2], inputs: &[Vec<Vec<f32>>], input: usize) -> Memory {
    let cut = &tiles::Cut::new(x, way.before, y);
    let len = way.places() * (way.positions(y) * way.inner + 1);
    let mut memory = Memory::new(len * isa.lanes(), inputs.len());
    for (tile, inputs) in inputs.iter().enumerate() {
        isa.run(tiles::TransformImage { cut, x: &inputs[input], to: memory.tile(tile) });
    }
    memory
}

/// Inputs are x, weight and perhaps bias.
fn convolve(
    isa: Isa,
    way: &Way,
    [x, y]: [Shape; 2],
    activation: Option<Map>,
    inputs: &[Vec<Vec<f32>>],
    outputs: &mut [Vec<f32>],
) {
    let geometry = &whole_batch::Geometry::new(*way, y);
    let v = transformed(isa, way, [x, y], inputs, 0);
    let mut results = Memory::new(y.len() * isa.lanes(), inputs.len());
    let mut work = vec![f32::NAN; geometry.work_len(isa.lanes())];
    let len = geometry.part_len() * isa.lanes();
    for part in 0..way.outputs / WEIGHT_BLOCK {
        let (v, weight, work, y) = (v.all(), &inputs[0][1], &mut work, results.part(part * len, len));
        let bias = inputs[0].get(2).map_or(&[][..], |bias| bias);
        isa.run(whole_batch::Convolve { geometry, part, v, weight, bias, activation, y, work });
    }
    for (tile, output) in outputs.iter_mut().enumerate() {
        output.copy_from_slice(results.tile(tile));
    }
}

fn check(case: Case, bias: bool, batch: usize, seed: u64) {
    let Case { layer, image, output, .. } = case;
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let (x, dy) = (tensor(image, batch), tensor(output, batch));
    let weight = tensor(layer.weight_shape(image.dim(0)), 1);
    let mut inputs = vec![x.clone(), weight.clone()];
    if bias {
        inputs.push(tensor(shape(false, &[layer.out_channels()]), 1));
    }
    let way = case.way(false, 16);
    let forward = Check::new(layer, inputs).tolerance(TOLERANCE);
    forward.all_tiles(|isa, inputs, outputs| convolve(isa, &way, [image, output], None, inputs, outputs));

    let by_image = Check::new(Conv2dInputGrad { layer, image }, [dy.clone(), weight]).gradient(0).tolerance(TOLERANCE);
    let gradient = case.way(true, 16);
    by_image.all_tiles(|isa, inputs, outputs| convolve(isa, &gradient, [output, image], None, inputs, outputs));

    let by_weight = Check::new(Conv2dWeightGrad { layer }, [x, dy]).gradient(1).tolerance(TOLERANCE);
    by_weight.all_tiles(|isa, inputs, outputs| {
        let lanes = isa.lanes();
        let x = transformed(isa, &way, [image, output], inputs, 0);
        let cut = &tiles::Cut::new(output, [0; 2], output);
        let positions = way.positions(output);
        let mut d = Memory::new(way.places() * (positions * way.outputs + 1) * lanes, inputs.len());
        let mut work = vec![f32::NAN; tiles::turn_len(lanes).max(whole_batch_weight_grad::Geometry::work_len())];
        for (tile, inputs) in inputs.iter().enumerate() {
            isa.run(tiles::TransformGradient { cut, dy: &inputs[1], to: d.tile(tile), work: &mut work });
        }
        let geometry = &whole_batch_weight_grad::Geometry::new(layer.weight_shape(image.dim(0)), positions);
        for (part, dw) in outputs[0].chunks_exact_mut(geometry.part_len()).enumerate() {
            let (x, d, work) = (x.all(), d.all(), &mut work);
            isa.run(whole_batch_weight_grad::WeightGrad { geometry, part, x, d, dw, work });
        }
    });
}

/// Any small map and padding; batches that fill tiles, and that do not.
fn cases() -> impl Strategy<Value = Case> {
    let channels = || prop::sample::select(vec![64usize, 128]);
    ([channels(), channels()], [1usize..9, 1usize..9], [0usize..3, 0usize..3]).prop_filter_map(
        "the kernel fits",
        |([inner, outputs], [height, width], [above, left])| {
            let layer = Conv2d::new(inner, outputs, 3).padding_hw(above, left);
            Case::new(4, layer, [inner, height, width])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_three_are_the_references(case in cases(), bias in any::<bool>(), batch in 1usize..40, seed in any::<u64>()) {
        check(case, bias, batch, seed);
    }
}

/// One position to more than are treated together, of one tile of images and of many.
#[test]
fn edges_are_the_references() {
    for (about, image) in [
        ("one position", [64, 4, 4]),
        ("a position and a rest", [64, 5, 4]),
        ("four positions", [128, 8, 8]),
        ("more positions than are treated together", [64, 13, 8]),
        ("one pixel", [64, 1, 1]),
    ] {
        let case = Case::new(4, Conv2d::new(image[0], 64, 3).padding(1), image).expect(about);
        for batch in [1, 16, 70] {
            check(case, true, batch, 5);
        }
    }
}

/// Activations are applied to what would have been the result, cheap ones and others.
#[test]
fn activations_are_applied() {
    let case = Case::new(4, Conv2d::new(64, 64, 3).padding(1), [64, 6, 3]).expect("it fits");
    let (way, sizes) = (case.way(false, 16), [case.image, case.output]);
    let mut random = Random::new(8);
    let inputs =
        [(case.image, 20), (case.layer.weight_shape(64), 1)].map(|(s, batch)| random.range(s, batch, -1.0, 1.0));
    Check::new(case.layer, inputs).tolerance(TOLERANCE).all_tiles(|isa, inputs, outputs| {
        convolve(isa, &way, sizes, None, inputs, outputs);
        for map in [Map::Relu, Map::Tanh] {
            let mut mapped: Vec<Vec<f32>> = outputs.to_vec();
            convolve(isa, &way, sizes, Some(map), inputs, &mut mapped);
            for (y, &x) in mapped.iter().flatten().zip(outputs.iter().flatten()) {
                assert!((y - map.apply(x)).abs() < 1e-6, "{map:?} of {x} is not {y}");
            }
        }
    });
}
