//! Whole training graphs on the CPU backend against the interpreter in f64: sizes that fill no vector, batches that fill no
//! tile, dense layers on rows, a shared layer, dropout, layers composed of ops, convolutions in Winograd's way.

use std::ops::ControlFlow;

use lenslet::cpu::{Executor, Feed, Pool, options};
use lenslet::graph::interpret::interpret;
use lenslet::graph::plan::{Kernel, Options, Place, Plan, Step};
use lenslet::graph::tensor::Tensor;
use lenslet::graph::{Mode, Role, graph, record};
use lenslet::networks::{Lesson, ResNet20};
use lenslet::prelude::*;
use lenslet::training::training_graph;
use lenslet::{Inference, Shape, Weights};
use proptest::prelude::*;

/// A network with sizes of any kind.
#[derive(Module)]
struct Any {
    conv: Conv2d,
    norm: BatchNorm2d,
    rows: Linear,
    dropout: Dropout,
    hidden: Linear,
    out: Linear,
}

#[network]
impl Any {
    fn new(channels: usize, rows: usize, hidden: usize, classes: usize) -> Self {
        Self {
            conv: Conv2d::infer(channels, 3).padding(1),
            norm: BatchNorm2d::new(channels),
            rows: Linear::infer(rows),
            dropout: Dropout::new(0.3),
            hidden: Linear::infer(hidden),
            out: Linear::infer(classes),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.norm.forward(self.conv.forward(x));
        // The same statistics twice: a layer may be used again.
        let x = self.norm.forward(x).gelu() + x * 0.5;
        let x = self.rows.forward(x).tanh();
        let x = self.hidden.forward(self.dropout.forward(x).flatten()).silu();
        self.out.forward(x)
    }
}

struct Batch {
    images: Vec<f32>,
    labels: Vec<f32>,
}

impl Feed for Batch {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        let from = if input == 0 { &self.images } else { &self.labels };
        values.copy_from_slice(&from[image * values.len()..][..values.len()]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gradients_and_updates_are_the_interpreters(
        [channels, rows, hidden, classes] in [1_usize..10, 1_usize..20, 1_usize..30, 2_usize..12],
        [height, width] in [1_usize..6, 1_usize..6],
        batch in 2_usize..20,
        seed in 0_u64..1000,
    ) {
        check(&Any::new(channels, rows, hidden, classes), Shape::image(2, height, width), classes, batch, seed);
    }
}

/// Batches that fill no tile, and so are cut into tiles of one image, and those next to them.
#[test]
fn the_lesson_trains_on_few_images() {
    for batch in 1..=8 {
        check(&Lesson::new(), Shape::image(3, 32, 32), 10, batch, 3);
    }
}

/// A branch as ConvNeXt has it, with layers that are composed of ops.
#[derive(Module)]
struct Branch {
    conv: Conv2d,
    norm: LayerNorm2d,
    hidden: Linear,
    scale: LayerScale,
    depth: StochasticDepth,
    out: Linear,
}

#[network]
impl Branch {
    fn forward(&self, x: Var) -> Var {
        let x = self.conv.forward(x);
        let y = self.norm.forward(x).permute([1, 2, 0]);
        let y = self.hidden.forward(y).relu6().permute([2, 0, 1]);
        let x = x + self.depth.forward(self.scale.forward(y));
        self.out.forward(x.flatten())
    }
}

/// Batches in tiles of one image, in one tile, and in several of which the last is not full.
#[test]
fn composed_layers_train() {
    let network = Branch {
        conv: Conv2d::new(3, 5, 3).padding(1),
        norm: LayerNorm2d::new(5),
        hidden: Linear::new(5, 5),
        scale: LayerScale::new(5).init(0.5),
        depth: StochasticDepth::new(0.5),
        out: Linear::infer(4),
    };
    for batch in [1, 3, 8, 19, 33] {
        check(&network, Shape::image(3, 4, 6), 4, batch, 5);
    }
}

/// The mean of any number of values.
#[derive(Clone, Debug)]
struct MeanOfAll;

impl CustomOp for MeanOfAll {
    fn name(&self) -> &'static str {
        "mean_of_all"
    }

    fn forward(&self, inputs: &[&[f32]], output: &mut [f32]) {
        for (i, y) in output.iter_mut().enumerate() {
            *y = inputs.iter().map(|input| input[i]).sum::<f32>() / inputs.len() as f32;
        }
    }

    fn backward(&self, inputs: &[&[f32]], _: &[f32], gradient: &[f32], input_gradients: &mut [Vec<f32>]) {
        let share = 1.0 / inputs.len() as f32;
        input_gradients.iter_mut().flatten().zip(gradient.iter().cycle()).for_each(|(dx, &g)| *dx = share * g);
    }
}

/// A step with more inputs than find room without an allocation.
#[derive(Module)]
struct Many {
    conv: Conv2d,
    out: Linear,
}

impl Network for Many {
    fn forward(&self, x: Var) -> Var {
        let x = self.conv.forward(x);
        let others: Vec<Var> = (1..20).map(|i| (x * i as f32).tanh()).collect();
        self.out.forward(x.custom_with(&MeanOfAll, &others, OutputShape::Same).flatten())
    }
}

#[test]
fn a_custom_op_may_have_many_inputs() {
    let network = Many { conv: Conv2d::new(2, 3, 3), out: Linear::infer(4) };
    for batch in [1, 3, 17] {
        check(&network, Shape::image(2, 5, 4), 4, batch, 9);
    }
}

/// Loss, gradients and updates of one step against the interpreter's.
fn check(network: &dyn Network, image: Shape, classes: usize, batch: usize, seed: u64) {
    let graph = training_graph(network, image, classes, 0.1).expect("the sizes fit");
    let weights = Weights::new(&graph, seed);
    let data = batch_of(batch, image, classes, seed);

    let mut pool = Pool::new(2);
    let mut executor = Executor::for_batch(&graph, batch, pool.threads());
    executor.run(&mut pool, weights.all(), &data, seed, 7);

    let values = interpret(&graph, batch, &feeds(&data, image), &parameters(&weights), seed, 7);
    for (role, node) in &graph.outputs {
        if matches!(role, Role::Loss | Role::Gradient(_) | Role::Update(_)) {
            let (ours, theirs) = (executor.whole(role).expect("a whole output"), values[node.index()].data());
            let largest = theirs.iter().fold(1e-2, |max: f64, x| max.max(x.abs()));
            for (ours, theirs) in ours.iter().zip(theirs) {
                let apart = (f64::from(*ours) - theirs).abs();
                assert!(apart < 2e-3 * largest, "batch {batch}, {role:?}: {ours}, reference {theirs}");
            }
        }
    }
}

/// Convolutions with normalisation, as residual networks have them.
#[derive(Module)]
struct Residual {
    conv1: Conv2d,
    norm1: BatchNorm2d,
    conv2: Conv2d,
    norm2: BatchNorm2d,
    shortcut: Conv2d,
    norm3: BatchNorm2d,
    conv3: Conv2d,
    norm4: BatchNorm2d,
    out: Linear,
}

#[network]
impl Residual {
    fn new(channels: usize, groups: usize) -> Self {
        Self {
            conv1: Conv2d::infer(channels, 3).padding(1).no_bias(),
            norm1: BatchNorm2d::new(channels),
            conv2: Conv2d::infer(channels, 3).padding(1).groups(groups),
            norm2: BatchNorm2d::new(channels),
            shortcut: Conv2d::infer(channels, 1),
            norm3: BatchNorm2d::new(channels).no_affine(),
            conv3: Conv2d::infer(channels, 3).padding(1),
            norm4: BatchNorm2d::new(channels),
            out: Linear::infer(3),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let y = self.norm1.forward(self.conv1.forward(x)).gelu();
        let y = self.norm2.forward(self.conv2.forward(y));
        let x = (y + self.norm3.forward(self.shortcut.forward(x))).relu();
        let y = self.norm4.forward(self.conv3.forward(x));
        self.out.forward((x + y).silu().flatten())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn evaluation_with_normalisation_folded_away_is_the_interpreters(
        channels in prop::sample::select(vec![[2, 1], [4, 2], [9, 3], [12, 1]]),
        [height, width] in [1_usize..6, 1_usize..6],
        batch in 1_usize..40,
        seed in 0_u64..1000,
    ) {
        let residual = Residual::new(channels[0], channels[1]);
        evaluation(&residual, 3, Shape::image(2, height, width), batch, seed)?;
    }
}

/// The same where convolutions that fold in a normalisation go over the whole batch.
#[test]
fn evaluation_of_the_whole_batch_is_the_interpreters() {
    evaluation(&Deep::new(), 10, Shape::image(2, 4, 4), 37, 3).expect("it is the interpreter's");
    let graph = record(&Deep::new(), Shape::image(2, 4, 4), Mode::Eval).graph;
    let plan = Plan::new(&graph, options(&graph, 37));
    assert_eq!(plan.steps().filter(|step| matches!(step.kernel, Kernel::WinogradBatch { .. })).count(), 2);
}

fn evaluation(
    network: &dyn Network,
    classes: usize,
    image: Shape,
    batch: usize,
    seed: u64,
) -> Result<(), TestCaseError> {
    let graph = record(network, image, Mode::Eval).graph;
    let mut weights = Weights::new(&graph, seed);
    let mut random = lenslet_rng::Stream::new(seed, lenslet_rng::Purpose::Shapes, 1, 1);
    // Statistics and weights of normalisation begin at 0 and 1.
    for number in 0..weights.parameters().len() {
        if weights.parameters()[number].shape.rank() == 1 {
            weights.values_mut(number).fill_with(|| random.range(0.2, 1.5));
        }
    }
    let data = batch_of(batch, image, classes, seed);
    let mut pool = Pool::new(2);
    let mut executor = Executor::for_batch(&graph, batch, pool.threads());
    executor.run(&mut pool, weights.all(), &data, 0, 0);

    let values = interpret(&graph, batch, &feeds(&data, image)[..1], &parameters(&weights), 0, 0);
    let expected = &values[graph.output(&Role::Logits).expect("it has logits").index()];
    let mut logits = vec![0.0; classes];
    for image in 0..batch {
        prop_assert!(executor.image(&Role::Logits, image, &mut logits));
        for (ours, theirs) in logits.iter().zip(expected.image(image)) {
            prop_assert!((f64::from(*ours) - theirs).abs() < 1e-5 * (1.0 + theirs.abs()), "{ours}, not {theirs}");
        }
    }
    Ok(())
}

/// Packed weights are remembered from one answer to the next, but not longer than the weights stay as they are.
#[test]
fn answers_follow_the_weights() {
    let image = Shape::image(3, 32, 32);
    let mut pool = Pool::new(2);
    for images in [1, 3, 20] {
        let data = batch_of(images, image, 10, 5);
        let mut answers = |inference: &mut Inference, weights: &Weights| {
            let mut all: Vec<f32> = vec![];
            let _ = inference.run(&mut pool, weights, images, &data, |_, logits| {
                all.extend(logits);
                ControlFlow::Continue(())
            });
            all
        };
        let new = || Inference::new(&Lesson::new(), image, 10).expect("the sizes fit");
        let mut inference = new();
        let mut weights = Weights::new(inference.graph(), 1);
        let mut last = answers(&mut inference, &weights);
        assert_eq!(answers(&mut inference, &weights.clone()), last);
        for number in 0..weights.parameters().len() {
            let before = weights.clone();
            weights.values_mut(number).iter_mut().for_each(|w| *w += 0.25);
            let now = answers(&mut inference, &weights);
            assert_ne!(now, last, "parameter {number} of {images} images");
            assert_eq!(now, answers(&mut new(), &weights));
            assert_eq!(answers(&mut inference, &before), last);
            last = now;
        }
    }
}

/// A network with enough channels for Winograd's way.
#[derive(Module)]
struct Wide {
    first: Conv2d,
    second: Conv2d,
    out: Linear,
}

#[network]
impl Wide {
    fn new() -> Self {
        Self {
            first: Conv2d::new(24, 32, 3).padding(1),
            second: Conv2d::new(32, 32, 3).padding(1),
            out: Linear::infer(10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.first.forward(x).relu();
        self.out.forward(self.second.forward(x).gelu().flatten())
    }
}

/// A network with so many channels on small maps that convolutions go over the whole batch at once.
#[derive(Module)]
struct Deep {
    first: Conv2d,
    second: Conv2d,
    norm: BatchNorm2d,
    third: Conv2d,
    out: Linear,
}

#[network]
impl Deep {
    fn new() -> Self {
        Self {
            first: Conv2d::new(2, 128, 3).padding(1),
            second: Conv2d::new(128, 192, 3).padding(1).no_bias(),
            norm: BatchNorm2d::new(192),
            third: Conv2d::new(192, 128, 3).padding(1),
            out: Linear::infer(10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.first.forward(x).tanh();
        let y = self.norm.forward(self.second.forward(x)).relu();
        self.out.forward((self.third.forward(y).gelu() + x).flatten())
    }
}

#[test]
fn winograds_way_is_the_interpreters_and_the_same_on_any_number_of_threads() {
    let is_winograd = |kernel: &Kernel| matches!(kernel, Kernel::Winograd { .. });
    // Tiles of many images, and tiles of one: two forward, and one gradient by the image.
    for (image, batch) in [(Shape::image(24, 8, 7), 20), (Shape::image(24, 16, 14), 3)] {
        winograds_way(&Wide::new(), image, batch, is_winograd, 3);
    }
}

#[test]
fn work_on_the_whole_batch_is_the_interpreters_and_the_same_on_any_number_of_threads() {
    let is_of_batch =
        |kernel: &Kernel| matches!(kernel, Kernel::WinogradBatch { .. } | Kernel::WinogradBatchWeightGrad { .. });
    // Two layers forward, and both gradients of each; tiles with empty lanes.
    for (image, batch) in [(Shape::image(2, 4, 4), 37), (Shape::image(2, 8, 7), 20)] {
        winograds_way(&Deep::new(), image, batch, is_of_batch, 6);
    }
}

fn winograds_way(network: &dyn Network, image: Shape, batch: usize, is_meant: fn(&Kernel) -> bool, count: usize) {
    let graph = training_graph(network, image, 10, 0.0).expect("the sizes fit");
    let weights = Weights::new(&graph, 1);
    let data = batch_of(batch, image, 10, 1);
    let values = interpret(&graph, batch, &feeds(&data, image), &parameters(&weights), 0, 0);
    let run = |threads, winograd| {
        let mut pool = Pool::new(threads);
        let mut executor = Executor::planned(&graph, Options { winograd, ..options(&graph, batch) }, threads);
        executor.run(&mut pool, weights.all(), &data, 0, 0);
        executor
    };
    let (one, two, without) = (run(1, true), run(2, true), run(2, false));
    let convolutions = |executor: &Executor| executor.plan().steps().filter(|step| is_meant(&step.kernel)).count();
    assert_eq!([&one, &without].map(convolutions), [count, 0]);
    for (role, node) in graph.outputs.iter().filter(|(role, _)| matches!(role, Role::Loss | Role::Gradient(_))) {
        assert_eq!(one.whole(role), two.whole(role), "{role:?}");
        let theirs = values[node.index()].data();
        let largest = theirs.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        for (name, executor) in [("Winograd", &one), ("direct", &without)] {
            for (ours, theirs) in executor.whole(role).expect("a whole output").iter().zip(theirs) {
                let error = (f64::from(*ours) - theirs).abs() / largest;
                assert!(error < 2e-5, "{name}, {role:?}: {ours}, reference {theirs}");
            }
        }
    }
}

/// What inference makes of weights alone stays in memory from run to run, for no other value takes its place.
#[test]
fn what_inference_makes_of_weights_keeps_its_place() {
    let inference = Inference::new(&ResNet20::new(), Shape::image(3, 32, 32), 10).expect("the sizes fit");
    for batch in [1, 64] {
        let plan = Plan::new(inference.graph(), options(inference.graph(), batch));
        let whole = |step: &Step| match step.output.place {
            Place::Whole(offset) => Some(offset..offset + step.output.shape.len()),
            _ => None,
        };
        let mut places: Vec<_> = plan.steps().filter_map(whole).collect();
        places.sort_by_key(|place| place.start);
        assert!(places.len() > 19, "weights of 19 convolutions at least");
        assert!(places.windows(2).all(|pair| pair[0].end <= pair[1].start), "{batch} images: {places:?}");
    }
}

fn batch_of(batch: usize, image: Shape, classes: usize, seed: u64) -> Batch {
    let mut random = lenslet_rng::Stream::new(seed, lenslet_rng::Purpose::Shapes, 1, 0);
    let images = (0..batch * image.len()).map(|_| random.normal()).collect();
    Batch { images, labels: (0..batch).map(|_| random.below(classes as u32) as f32).collect() }
}

fn feeds(data: &Batch, image: Shape) -> [Tensor<f64>; 2] {
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
    [Tensor::new(image, wide(&data.images)), Tensor::new(Shape::scalar(true), wide(&data.labels))]
}

fn parameters(weights: &Weights) -> Vec<Tensor<f64>> {
    let tensor = |(number, parameter): (usize, &graph::Parameter)| {
        Tensor::new(parameter.shape, weights.values(number).iter().map(|&x| f64::from(x)).collect())
    };
    weights.parameters().iter().enumerate().map(tensor).collect()
}
