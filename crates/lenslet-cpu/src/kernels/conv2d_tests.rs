//! Convolutions and dense layers against their references: packing, forward, and both gradients.

use lenslet_graph::ops::conv2d::{Conv2d, Conv2dInputGrad, Conv2dWeightGrad};
use lenslet_graph::ops::linear::{Linear, LinearInputGrad};
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{MOST_SUMMED, Pack, WEIGHT_BLOCK, block_width, lane_block};
use lenslet_graph::tensor::Tensor;
use lenslet_graph::{Shape, ShapeVar};
use proptest::prelude::*;

use super::batch::sum_slots;
use super::stretches::Geometry;
use super::testing::{Check, Machine, Random, shape};
use super::{Call, Input, Slots, Tile};
use super::{channels, conv2d, conv2d_weight_grad, conv2d_weight_grad_rows, max_pool, pack, winograd};
use crate::simd::Isa;

/// Weights in the order in which a convolution reads them.
fn packed(machine: Machine, pack: &Pack, weight: &[f32]) -> Vec<f32> {
    let mut packed = vec![f32::NAN; pack.groups * pack.group_len()];
    for (part, packed) in packed.chunks_exact_mut(pack::block_len(pack)).enumerate() {
        let block = pack::Block { pack, part, weight, packed };
        match machine {
            Machine::Channels(isa) => isa.at_most(pack.block).run(block),
            machine => machine.run(block),
        }
    }
    assert_eq!(packed.len(), pack::parts(pack) * pack::block_len(pack));
    packed
}

/// A convolution with images or channels in the lanes.
struct Correlation {
    images: Geometry,
    channels: channels::conv2d::Geometry,
    /// But for its block.
    order: Pack,
}

impl Correlation {
    /// Inputs are x, weight and perhaps bias, as for the op.
    fn run(&self, machine: Machine, activation: Option<Map>, call: Call<'_>) {
        let (x, y) = (call.inputs[0].data, call.output);
        let bias = call.inputs.get(2).map_or(&[][..], |bias| bias.data);
        let Machine::Channels(isa) = machine else {
            let weight = packed(machine, &self.order, call.inputs[1].data);
            let work = &mut vec![f32::NAN; self.images.work_len() * machine.lanes()];
            let (geometry, weight, winners) = (&self.images, &weight, &mut []);
            return machine.run(conv2d::Correlate { geometry, x, weight, bias, activation, y, winners, work });
        };
        let geometry = &self.channels;
        let weight = &packed(machine, &Pack { block: geometry.block, ..self.order }, call.inputs[1].data);
        // In two parts, as threads share it.
        let (half, all) = (geometry.blocks() / 2, geometry.blocks());
        let plane = call.shape.dim(1) * call.shape.dim(2);
        let (first, second) = y.split_at_mut(geometry.channels(0..half).len() * plane);
        for (blocks, y) in [(0..half, first), (half..all, second)] {
            let (winners, work) = (&mut [], &mut vec![f32::NAN; geometry.work_len()]);
            let kernel =
                channels::conv2d::Correlate { geometry, x, weight, bias, activation, blocks, y, winners, work };
            kernel.run(isa);
        }
    }
}

/// A layer and what it is tried on.
#[derive(Clone, Copy, Debug)]
struct Case {
    layer: Conv2d,
    image: Shape,
    output: Shape,
}

/// Any convolution that fits its image.
fn cases() -> impl Strategy<Value = Case> {
    let sizes = ([1usize..4, 1usize..4, 1usize..6], [1usize..20, 1usize..20]);
    let window = ([1usize..8, 1usize..8], [1usize..4, 1usize..4], [0usize..4, 0usize..4], [1usize..4, 1usize..4]);
    // Groups of several channels, or (a third of the cases) one group with up to 19.
    let all = (sizes, window, any::<bool>(), 0usize..3, [1usize..13, 1usize..13], 1usize..20);
    all.prop_filter_map("the kernel fits", |(sizes, window, same, one_group, [height, width], outputs)| {
        let ([groups, inner, outer], _) = sizes;
        let (kernel, stride, padding, dilation) = window;
        let (groups, outputs) = if one_group > 0 { (1, outputs) } else { (groups, groups * outer) };
        let layer = Conv2d::new(groups * inner, outputs, 1).groups(groups).kernel_hw(kernel[0], kernel[1]);
        let layer = layer.dilation_hw(dilation[0], dilation[1]);
        let layer =
            if same { layer.same() } else { layer.stride_hw(stride[0], stride[1]).padding_hw(padding[0], padding[1]) };
        case(layer, [groups * inner, height, width])
    })
}

fn case(layer: Conv2d, image: [usize; 3]) -> Option<Case> {
    let output = layer.rule(&ShapeVar::image(image)).ok()?.shape();
    Some(Case { layer, image: ShapeVar::image(image).shape(), output })
}

/// Values small enough that sums of hundreds of products stay near 1.
fn tensor(random: &mut Random, shape: Shape, batch: usize) -> Tensor<f64> {
    random.range(shape, batch, -1.0, 1.0)
}

fn check_forward(Case { layer, image, output }: Case, bias: bool, batch: usize, seed: u64) {
    let mut random = Random::new(seed);
    let weight = layer.weight_shape(image.dim(0));
    let mut inputs = vec![tensor(&mut random, image, batch), tensor(&mut random, weight, 1)];
    if bias {
        inputs.push(tensor(&mut random, shape(false, &[layer.out_channels()]), 1));
    }
    let (groups, taps) = (layer.group_count(), weight.dim(2) * weight.dim(3));
    let (inner, outputs) = (weight.dim(1), layer.out_channels() / groups);
    let strides = [outputs * inner * taps, inner * taps, taps, 1];
    let check = Check::new(layer, inputs).tolerance(2e-5);
    let by_channels = channels::conv2d::Geometry::forward(&layer, image, output);
    for channels in [by_channels.clone().by_columns(), Some(by_channels)].into_iter().flatten() {
        let images = Geometry::forward(&layer, image, output);
        let order = Pack { groups, outputs, inner, taps, strides, block: block_width(outputs) };
        let correlation = Correlation { images, channels, order };
        check.kernel(|machine, call| correlation.run(machine, None, call));
    }
}

fn check_backward(Case { layer, image, output }: Case, batch: usize, seed: u64) {
    let mut random = Random::new(seed);
    let weight = layer.weight_shape(image.dim(0));
    let dy = tensor(&mut random, output, batch);
    let x = tensor(&mut random, image, batch);
    let (groups, taps) = (layer.group_count(), weight.dim(2) * weight.dim(3));
    let (inner, outputs) = (layer.out_channels() / groups, weight.dim(1));
    let strides = [inner * outputs * taps, taps, outputs * taps, 1];
    let inputs = [dy.clone(), tensor(&mut random, weight, 1)];
    let check = Check::new(Conv2dInputGrad { layer, image }, inputs).gradient(0).tolerance(2e-5);
    let by_channels = channels::conv2d::Geometry::backward(&layer, image, output);
    for channels in [by_channels.clone().by_columns(), Some(by_channels)].into_iter().flatten() {
        let images = Geometry::backward(&layer, image, output);
        let order = Pack { groups, outputs, inner, taps, strides, block: block_width(outputs) };
        let correlation = Correlation { images, channels, order };
        let empty = check.kernel(|machine, call| correlation.run(machine, None, call));
        assert!(empty.iter().all(|&dx| dx == 0.0));
    }
    if groups == 1 && image.dim(0) <= MOST_SUMMED {
        check_sums_in_lanes(&check, Case { layer, image, output });
    }

    let geometry = &conv2d_weight_grad::Geometry::new(&layer, image, output);
    let by_channels = channels::conv2d_weight_grad::Geometry::new(&layer, image, output);
    let check = Check::new(Conv2dWeightGrad { layer }, [x, dy]).gradient(1).tolerance(5e-5);
    for of_image in [by_channels.clone().by_columns(), Some(by_channels)].into_iter().flatten() {
        let tile = |machine: Machine, call: Call<'_>| {
            let [x, dy] = [0, 1].map(|i| call.inputs[i].data);
            let Machine::Channels(isa) = machine else {
                return machine.run(conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: call.output });
            };
            let (geometry, work) = (&of_image, &mut vec![f32::NAN; of_image.work_len()]);
            let kernel = channels::conv2d_weight_grad::WeightGrad { geometry, x, dy, dw: call.output, work };
            isa.at_most(geometry.lanes()).run(kernel);
        };
        check.sums(weight, tile, |slots, output| sum_slots(Isa::detect(), slots, 1.0, 0..output.len(), output));
    }
    if layer.group_count() == 1 {
        check_rows(&check, Case { layer, image, output });
    }
}

/// The gradient by an image of few channels, with the channels that are summed over in the lanes.
fn check_sums_in_lanes(check: &Check, Case { layer, image, output }: Case) {
    let (inner, taps) = (image.dim(0), layer.kernel_size()[0] * layer.kernel_size()[1]);
    let (outputs, strides) = (layer.out_channels(), [0, inner * taps, taps, 1]);
    let order = Pack { groups: 1, outputs, inner, taps, strides, block: lane_block(outputs) };
    let geometry = &channels::conv2d_input_grad::Geometry::new(&layer, image, output);
    check.one_image(|isa, call| {
        let (weight, work) = (packed(Machine::Channels(isa), &order, call.inputs[1].data), geometry.work_len());
        let (dy, weight, dx, work) = (call.inputs[0].data, &weight, call.output, &mut vec![f32::NAN; work]);
        isa.at_most(geometry.lanes()).run(channels::conv2d_input_grad::InputGrad { geometry, dy, weight, dx, work });
    });
}

/// The gradient by the weight with output channels in the lanes.
fn check_rows(check: &Check, Case { layer, image, output }: Case) {
    let weight = layer.weight_shape(image.dim(0));
    let partial = conv2d_weight_grad_rows::Geometry::new(&layer, image, output, 1).len();
    let tile = |machine: Machine, call: Call<'_>| {
        let geometry = &conv2d_weight_grad_rows::Geometry::new(&layer, image, output, machine.lanes());
        let mut work = vec![f32::NAN; geometry.work_len()];
        let [x, dy] = [0, 1].map(|i| call.inputs[i].data);
        machine.run(conv2d_weight_grad_rows::WeightGrad { geometry, x, dy, work: &mut work, dw: call.output });
    };
    check.sums(shape(false, &[partial]), tile, |slots, output| sum_weight_slots(slots, weight, output));
}

/// The gradient by the weight in Winograd's way.
fn check_winograd(Case { layer, image, output }: Case, batch: usize, seed: u64) {
    let mut random = Random::new(seed);
    let (x, dy) = (tensor(&mut random, image, batch), tensor(&mut random, output, batch));
    let check = Check::new(Conv2dWeightGrad { layer }, [x, dy]).gradient(1).tolerance(1e-3);
    let weight = layer.weight_shape(image.dim(0));
    let tile = |machine: Machine, call: Call<'_>| {
        let geometry = &winograd::weight_grad::Geometry::new(&layer, image, output, machine.lanes());
        let mut work = vec![f32::NAN; geometry.work_len()];
        let [x, dy] = [0, 1].map(|i| call.inputs[i].data);
        machine.run(winograd::weight_grad::WeightGrad { geometry, x, dy, work: &mut work, dw: call.output });
    };
    let partial = weight.len() / weight.dim(0) * weight.dim(0).next_multiple_of(WEIGHT_BLOCK);
    check.sums(shape(false, &[partial]), tile, |slots, output| sum_weight_slots(slots, weight, output));
}

/// All blocks of a weight's gradient.
fn sum_weight_slots(slots: Slots<'_>, weight: Shape, output: &mut [f32]) {
    let [channels, taps] = [weight.dim(1), weight.dim(2) * weight.dim(3)];
    for (block, dw) in output.chunks_mut(WEIGHT_BLOCK * channels * taps).enumerate() {
        conv2d_weight_grad_rows::sum_slots(slots, block, channels, taps, dw);
    }
}

proptest! {
    #[test]
    fn forward_is_the_reference(case in cases(), bias in any::<bool>(), batch in 1usize..20, seed in any::<u64>()) {
        check_forward(case, bias, batch, seed);
    }

    #[test]
    fn gradients_are_the_reference(case in cases(), batch in 1usize..20, seed in any::<u64>()) {
        check_backward(case, batch, seed);
    }

    #[test]
    fn weight_gradients_of_many_channels_are_the_reference(
        [channels, outputs] in [1usize..40, 1usize..80],
        [height, width] in [1usize..9, 1usize..24],
        [kernel, stride, padding, dilation] in [1usize..4, 1usize..4, 0usize..3, 1usize..3],
        batch in 1usize..36,
        seed in any::<u64>(),
    ) {
        let layer = Conv2d::new(channels, outputs, kernel).stride(stride).padding(padding).dilation(dilation);
        if let Some(case) = case(layer, [channels, height, width]) {
            let mut random = Random::new(seed);
            let (x, dy) = (tensor(&mut random, case.image, batch), tensor(&mut random, case.output, batch));
            check_rows(&Check::new(Conv2dWeightGrad { layer }, [x, dy]).gradient(1).tolerance(2e-4), case);
        }
    }

    /// Errors of the transforms grow with the products' sizes, of which a tile of 16 images has thousands.
    #[test]
    fn weight_gradients_in_winograds_way_are_the_reference(
        [channels, outputs] in [1usize..20, 1usize..70],
        [height, width, padding] in [1usize..10, 1usize..14, 0usize..4],
        batch in 1usize..20,
        seed in any::<u64>(),
    ) {
        let layer = Conv2d::new(channels, outputs, 3).padding(padding);
        if let Some(case) = case(layer, [channels, height, width]) {
            check_winograd(case, batch, seed);
        }
    }

    #[test]
    fn dense_layers_are_the_reference(
        rows in prop::collection::vec(1usize..4, 0..3),
        [inputs, outputs] in [1usize..200, 1usize..30],
        bias in any::<bool>(),
        batch in 1usize..20,
        seed in any::<u64>(),
    ) {
        let mut random = Random::new(seed);
        let sizes = |features: usize| shape(true, &[&rows[..], &[features]].concat());
        let weight = tensor(&mut random, shape(false, &[outputs, inputs]), 1);
        let mut all = vec![tensor(&mut random, sizes(inputs), batch), weight.clone()];
        if bias {
            all.push(tensor(&mut random, shape(false, &[outputs]), 1));
        }
        let layer = Linear::new(inputs, outputs);
        let places = rows.iter().product();
        let strides = [0, inputs, 0, 1];
        let order = Pack { groups: 1, outputs, inner: 1, taps: inputs, strides, block: block_width(outputs) };
        let geometry = &Geometry::dense(places, inputs, outputs);
        let check = Check::new(layer, all).tolerance(2e-5);
        check.kernel(|machine, call| {
            let (x, weight) = (call.inputs[0].data, call.inputs[1].data);
            let (bias, y) = (call.inputs.get(2).map_or(&[][..], |bias| bias.data), call.output);
            if let Machine::Channels(isa) = machine {
                return isa.run(channels::linear::Forward { inputs, x, weight, bias, activation: None, y });
            }
            let weight = &packed(machine, &order, weight);
            let (activation, winners, work) = (None, &mut [], &mut []);
            machine.run(conv2d::Correlate { geometry, x, weight, bias, activation, y, winners, work });
        });

        let dy = tensor(&mut random, sizes(outputs), batch);
        let strides = [0, 1, 0, inputs];
        let order = Pack { groups: 1, outputs: inputs, inner: 1, taps: outputs, strides, block: block_width(inputs) };
        let geometry = &Geometry::dense(places, outputs, inputs);
        let check = Check::new(LinearInputGrad { layer }, [dy, weight]).gradient(0).tolerance(2e-5);
        check.kernel(|machine, call| {
            let (dy, weight, dx) = (call.inputs[0].data, call.inputs[1].data, call.output);
            if let Machine::Channels(isa) = machine {
                return isa.run(channels::linear::Backward { inputs, dy, weight, dx });
            }
            let weight = &packed(machine, &order, weight);
            let (x, bias, activation, winners, work) = (dy, &[], None, &mut [], &mut []);
            machine.run(conv2d::Correlate { geometry, x, weight, bias, activation, y: dx, winners, work });
        });
    }
}

/// Sizes at which a loop might run once too often, or not at all.
#[test]
fn edges_are_the_reference() {
    for (about, layer, image) in [
        ("one pixel", Conv2d::new(1, 1, 1), [1, 1, 1]),
        ("a kernel as large as the image", Conv2d::new(2, 3, 5), [2, 5, 5]),
        ("the lesson's first", Conv2d::new(3, 6, 5), [3, 14, 14]),
        ("the lesson's second", Conv2d::new(6, 16, 5), [6, 14, 14]),
        ("padding wider than the image", Conv2d::new(2, 9, 3).padding(3), [2, 1, 2]),
        ("rows of padding alone", Conv2d::new(1, 2, 1).padding(2), [1, 2, 2]),
        ("one pixel in much padding", Conv2d::new(1, 2, 1).padding(3), [1, 1, 1]),
        ("neighbouring pixels that no tap meets", Conv2d::new(1, 1, 4).stride(2).dilation(2), [1, 7, 7]),
        ("taps that never meet the image", Conv2d::new(1, 2, 3).padding(3).dilation(3), [1, 1, 1]),
        ("stride larger than the kernel", Conv2d::new(2, 8, 1).stride(3), [2, 8, 7]),
        (
            "stride, dilation and padding without a common divisor",
            Conv2d::new(2, 7, 3).stride(2).dilation(3).padding(1),
            [2, 9, 8],
        ),
        ("depthwise", Conv2d::new(9, 9, 3).groups(9).padding(1), [9, 6, 6]),
        ("depthwise with a multiplier", Conv2d::new(3, 6, 3).groups(3), [3, 6, 6]),
        ("even kernel, same size", Conv2d::new(2, 3, 4).same(), [2, 6, 5]),
        ("rows wider than a register tile", Conv2d::new(1, 17, 3).padding(1), [1, 2, 35]),
        ("narrow rows", Conv2d::new(3, 16, 3).padding(1), [3, 11, 3]),
        ("rows of ten", Conv2d::new(2, 20, 3).padding(1), [2, 7, 10]),
        ("seven taps", Conv2d::new(2, 5, 7).padding(3).stride(2), [2, 12, 11]),
    ] {
        let case = case(layer, image).unwrap_or_else(|| panic!("{about} fits"));
        for batch in [1, 8, 11] {
            check_forward(case, true, batch, 5);
            check_backward(case, batch, 6);
        }
    }
}

/// More of everything than Winograd's gradient takes at a time, and a map too large to keep what was transformed.
#[test]
fn chunks_of_winograds_way_are_the_reference() {
    for (channels, outputs, image) in [(70, 70, [9, 18]), (130, 33, [4, 4]), (3, 130, [17, 5]), (80, 65, [40, 40])] {
        let layer = Conv2d::new(channels, outputs, 3).padding(1);
        check_winograd(case(layer, [channels, image[0], image[1]]).expect("it fits"), 2, 9);
    }
}

/// Inputs too large for the cache, or of rows that collide there, are brought together in bands.
#[test]
fn bands_are_the_reference() {
    for (layer, image) in [
        (Conv2d::new(12, 9, 3).padding(1), [12, 40, 40]),
        (Conv2d::new(12, 30, 3).padding(1).stride(2), [12, 48, 32]),
        (Conv2d::new(6, 7, 5).padding(4), [6, 60, 32]),
        (Conv2d::new(70, 640, 1).stride(3), [70, 31, 7]),
    ] {
        let case = case(layer, image).expect("it fits");
        let forward = Geometry::forward(&layer, case.image, case.output);
        let backward = Geometry::backward(&layer, case.image, case.output);
        assert!(forward.work_len() + backward.work_len() > 0, "{layer:?} has bands");
        check_forward(case, true, 2, 9);
        check_backward(case, 2, 10);
    }
}

/// A convolution that pools.
#[derive(Clone, Copy, Debug)]
struct Pooling {
    layer: Conv2d,
    image: Shape,
    output: Shape,
    pooled: Shape,
    activation: Option<Map>,
}

proptest! {
    /// A convolution that pools hands on the greatest value of each window, and its number; the gradient goes there.
    #[test]
    fn pooled_values_are_the_greatest(
        [inner, outputs] in [1usize..4, 1usize..20],
        [kernel, stride] in [1usize..6, 1usize..3],
        [height, width] in [2usize..9, 2usize..17],
        relu in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let layer = Conv2d::new(inner, outputs, kernel).stride(stride);
        let side = |outputs: usize| (outputs - 1) * stride + kernel;
        let Case { image, output, .. } = case(layer, [inner, side(height), side(width)]).expect("it fits");
        let pooled = Shape::image(outputs, height / 2, width / 2);
        let case = Pooling { layer, image, output, pooled, activation: relu.then_some(Map::Relu) };
        Machine::vectors().for_each(|machine| check_pooling(machine, case, &mut Random::new(seed)));
    }
}

/// An input that is pooled in bands.
#[test]
fn pooling_goes_band_by_band() {
    let (layer, pooled) = (Conv2d::new(6, 20, 2), Shape::image(20, 19, 20));
    let Case { image, output, .. } = case(layer, [6, 40, 41]).expect("it fits");
    assert!(Geometry::pooled(&layer, image, pooled).work_len() > 0);
    let case = Pooling { layer, image, output, pooled, activation: Some(Map::Relu) };
    Machine::vectors().for_each(|machine| check_pooling(machine, case, &mut Random::new(4)));
}

fn check_pooling(machine: Machine, case: Pooling, random: &mut Random) {
    let Pooling { layer, image, output, pooled, activation } = case;
    let lanes = machine.lanes();
    // Whole numbers: some are equal, and sums are the same in any order.
    let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| random.below(5) as f32 - 2.0).collect() };
    let [height, width] = layer.kernel_size();
    let (outputs, inner, taps) = (output.dim(0), image.dim(0), height * width);
    let order =
        Pack { groups: 1, outputs, inner, taps, strides: [0, inner * taps, taps, 1], block: block_width(outputs) };
    let weights = numbers(outputs * inner * taps);
    let weight = packed(machine, &order, &weights);
    let [x, dy] = [image, pooled].map(|shape| numbers(shape.len() * lanes));
    let bias = numbers(outputs);
    let run = |geometry: &Geometry, y: &mut [f32], winners: &mut [f32]| {
        let work = &mut vec![f32::NAN; geometry.work_len() * lanes];
        let (x, weight, bias) = (&x, &weight, &bias);
        machine.run(conv2d::Correlate { geometry, x, weight, bias, activation, y, winners, work });
    };
    let mut all = vec![f32::NAN; output.len() * lanes];
    run(&Geometry::forward(&layer, image, output), &mut all, &mut []);
    let sizes = Shape::image(2 * outputs, pooled.dim(1), pooled.dim(2));
    let tile = Tile { first: 0, images: lanes, batch: lanes, seed: 0, step: 0 };
    let by_channels = channels::conv2d::Geometry::pooled(&layer, image, pooled);
    for of_image in [by_channels.clone().by_columns(), Some(by_channels)].into_iter().flatten() {
        let mut both = vec![f32::NAN; 2 * pooled.len() * lanes];
        let mut dx = vec![f32::NAN; all.len()];
        let (y, winners) = both.split_at_mut(pooled.len() * lanes);
        if let Machine::Channels(isa) = machine {
            let (geometry, weight) = (&of_image, &packed(machine, &Pack { block: of_image.block, ..order }, &weights));
            let (x, bias, blocks, work) = (&x, &bias, 0..geometry.blocks(), &mut vec![f32::NAN; geometry.work_len()]);
            let kernel =
                channels::conv2d::Correlate { geometry, x, weight, bias, activation, blocks, y, winners, work };
            kernel.run(isa);
        } else {
            run(&Geometry::pooled(&layer, image, pooled), y, winners);
        }
        let inputs = [Input { data: &both, shape: sizes }, Input { data: &dy, shape: pooled }];
        let call = Call { inputs: &inputs, output: &mut dx, shape: output, tile };
        match machine {
            Machine::Channels(isa) => isa.run(channels::max_pool::Backward { winners: true, call }),
            machine => machine.run(max_pool::ToWinners { call }),
        }
        check_winners(machine, case, &all, [&both, &dy, &dx]);
    }
}

/// Whether `both` has the winners' values and `dx` their gradients, where `all` would have been pooled.
fn check_winners(machine: Machine, case: Pooling, all: &[f32], [both, dy, dx]: [&[f32]; 3]) {
    let (Pooling { output, pooled, activation, .. }, lanes) = (case, machine.lanes());
    let mut expected = vec![0.0; all.len()];
    for (i, &dy) in dy.iter().enumerate() {
        let (lane, window) = (i % lanes, i / lanes);
        let (column, line) = (window % pooled.dim(2), window / pooled.dim(2));
        let (row, channel) = (line % pooled.dim(1), line / pooled.dim(1));
        let first = (channel * output.dim(1) + 2 * row) * output.dim(2) + 2 * column;
        let place = |k: usize| (first + k / 2 * output.dim(2) + k % 2) * lanes + lane;
        let later = |winner: usize, k: usize| if all[place(k)] > all[place(winner)] { k } else { winner };
        let winner = place((1..4).fold(0, later));
        assert_eq!(both[i], all[winner], "{machine:?}, {case:?}: value {i}");
        expected[winner] = if activation.is_none() || all[winner] > 0.0 { dy } else { 0.0 };
    }
    assert_eq!(dx, expected, "{machine:?}, {case:?}");
}

/// The activation is applied to what would have been the result, in every register tile.
#[test]
fn activations_are_applied() {
    let layer = Conv2d::new(2, 15, 3);
    let case = case(layer, [2, 6, 9]).expect("it fits");
    let by_channels = channels::conv2d::Geometry::forward(&layer, case.image, case.output);
    for channels in [by_channels.clone().by_columns(), Some(by_channels)].into_iter().flatten() {
        let images = Geometry::forward(&layer, case.image, case.output);
        let order = Pack { groups: 1, outputs: 15, inner: 2, taps: 9, strides: [0, 18, 9, 1], block: block_width(15) };
        check_activations(&Correlation { images, channels, order }, case);
    }
}

fn check_activations(correlation: &Correlation, case: Case) {
    let mut random = Random::new(8);
    let (x, weight) = (tensor(&mut random, case.image, 16), tensor(&mut random, case.layer.weight_shape(2), 1));
    let [x, weight]: [Vec<f32>; 2] = [x, weight].map(|x| x.data().iter().map(|&x| x as f32).collect());
    for machine in Machine::vectors() {
        let run = |activation| {
            let mut y = vec![f32::NAN; case.output.len() * machine.lanes()];
            let x = Input { data: &x[..case.image.len() * machine.lanes()], shape: case.image };
            let weight = Input { data: &weight, shape: case.layer.weight_shape(2) };
            let tile = Tile { first: 0, images: machine.lanes(), batch: machine.lanes(), seed: 0, step: 0 };
            correlation.run(
                machine,
                activation,
                Call { inputs: &[x, weight], output: &mut y, shape: case.output, tile },
            );
            y
        };
        let plain = run(None);
        for map in [Map::Relu, Map::Tanh, Map::Clamp { min: 0.0, max: 0.5 }] {
            for (y, &x) in run(Some(map)).iter().zip(&plain) {
                assert!((y - map.apply(x)).abs() < 1e-6, "{machine:?}: {map:?} of {x} is not {y}");
            }
        }
    }
}
