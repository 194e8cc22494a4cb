//! Training against PyTorch: the same weights and batch give the same logits, loss, gradients and, ten steps later, the
//! same weights.
//!
//! The expected values were computed once by `fixtures/make_fixtures.py`. The batch of 11 leaves lanes empty. Tolerance:
//! 1e-4 of a tensor's largest value.

mod formula;

use formula::formula;
use lenslet::cpu::Feed;
use lenslet::networks::{Airbench94, Lesson};
use lenslet::prelude::*;
use lenslet::{Optimizer, Settings, Shape, Trainer};
use safetensors::{Dtype, SafeTensors};

const BATCH: usize = 11;
const TOLERANCE: f32 = 1e-4;

/// The small residual network of the fixtures.
#[derive(Module)]
struct Residual {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    layer1: Block,
    layer2: Block,
    pool: AdaptiveAvgPool2d,
    fc: Linear,
}

#[network(input = [3, 16, 16])]
impl Residual {
    const fn new() -> Self {
        Self {
            conv1: Conv2d::new(3, 8, 3).padding(1).no_bias(),
            bn1: BatchNorm2d::new(8),
            layer1: Block::new(8, 8, 1),
            layer2: Block::new(8, 16, 2),
            pool: AdaptiveAvgPool2d::new(1, 1),
            fc: Linear::new(16, 10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.bn1.forward(self.conv1.forward(x)).relu();
        let x = self.layer2.forward(self.layer1.forward(x));
        self.fc.forward(self.pool.forward(x).flatten())
    }
}

#[derive(Module)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Shortcut>,
}

/// `downsample.0` and `downsample.1`, as a `Sequential` names them.
#[derive(Module)]
struct Shortcut(Conv2d, BatchNorm2d);

#[block]
impl Block {
    const fn new(from: usize, to: usize, stride: usize) -> Self {
        Self {
            conv1: Conv2d::new(from, to, 3).stride(stride).padding(1).no_bias(),
            bn1: BatchNorm2d::new(to),
            conv2: Conv2d::new(to, to, 3).padding(1).no_bias(),
            bn2: BatchNorm2d::new(to),
            downsample: if from == to {
                None
            } else {
                Some(Shortcut(Conv2d::new(from, to, 1).stride(stride).no_bias(), BatchNorm2d::new(to)))
            },
        }
    }

    fn forward(&self, x: Var) -> Var {
        let y = self.bn1.forward(self.conv1.forward(x)).relu();
        let y = self.bn2.forward(self.conv2.forward(y));
        let shortcut = match &self.downsample {
            Some(Shortcut(conv, norm)) => norm.forward(conv.forward(x)),
            None => x,
        };
        (y + shortcut).relu()
    }
}

#[test]
fn the_lessons_network_trains_as_in_pytorch() {
    let fixture = Fixture::read(include_bytes!("fixtures/lesson.safetensors"));
    let trainer = |optimizer| fixture.trainer(&Lesson::new(), optimizer, None);
    fixture.first_step(trainer(Optimizer::sgd(0.9)));
    fixture.ten_steps(trainer(Optimizer::sgd(0.9)), 0.01, "sgd");
    fixture.ten_steps(trainer(Optimizer::adam()), 0.001, "adam");
}

#[test]
fn a_residual_network_trains_as_in_pytorch() {
    let fixture = Fixture::read(include_bytes!("fixtures/residual.safetensors"));
    let trainer = |optimizer, clip| fixture.trainer(&Residual::new(), optimizer, clip);
    fixture.first_step(trainer(Optimizer::sgd(0.9), None));
    fixture.ten_steps(trainer(Optimizer::sgd(0.9), None), 0.01, "sgd");
    fixture.ten_steps(trainer(Optimizer::adam(), None), 0.001, "adam");
    fixture.ten_steps(trainer(Optimizer::adamw(), None), 0.001, "adamw");
    let nesterov = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 };
    fixture.ten_steps(trainer(nesterov, Some(1.0)), 0.01, "sgd_nesterov");
}

/// Groups of parameters, and Muon in its two variants; the biases' own rates and momenta too.
#[test]
fn other_optimizers_end_where_their_formulas_end() {
    let tensors = SafeTensors::deserialize(include_bytes!("fixtures/optimizers.safetensors")).expect("it is whole");
    let fixture = Fixture::read(include_bytes!("fixtures/residual.safetensors"));
    let check = |name: &str, optimizer: Optimizer, rate: f32, groups: &str| {
        let groups = groups.parse().expect("it is well written");
        let settings = Settings { batch: BATCH, optimizer, rate, groups, ..Settings::default() };
        let mut trainer = fixture.trainer_with(&Residual::new(), settings);
        let losses: Vec<f32> =
            (0..10).map(|_| trainer.step(&fixture, BATCH, rate).expect("the loss is a number")).collect();
        compare(&tensors, &format!("{name}_losses"), &losses);
        for (number, parameter) in trainer.weights().parameters().iter().enumerate() {
            compare(&tensors, &format!("{name}.{}", parameter.name), trainer.weights().values(number));
        }
    };
    let groups = "conv1.*: frozen; *.bias: lr 0.05, momentum 0.5; fc.weight: weight-decay 0.1";
    check("groups", Optimizer::sgd(0.9), 0.01, groups);
    let muon = Optimizer::Muon { momentum: 0.95, weight_decay: 0.1, iterations: 5, unit_filters: false };
    check("muon", muon, 0.02, "");
    let unit = Optimizer::Muon { momentum: 0.6, weight_decay: 0.0, iterations: 3, unit_filters: true };
    check(
        "muon_unit",
        unit,
        0.06,
        "*bn*: lr 0.1, momentum 0.85; *downsample.1*: lr 0.1, momentum 0.85; fc*: lr 0.1, momentum 0.85",
    );
}

/// Without batch statistics, pieces of a batch have its gradients: what SGD makes of a batch of 11 at once.
#[test]
fn a_step_of_several_batches_is_that_of_a_large_one() {
    let fixture = Fixture::read(include_bytes!("fixtures/lesson.safetensors"));
    let settings = Settings { batch: 4, accumulate: 3, optimizer: Optimizer::sgd(0.9), ..Settings::default() };
    fixture.ten_steps(fixture.trainer_with(&Lesson::new(), settings), 0.01, "sgd");
}

/// Pictures that are mixed: both labels have a share of the loss, and both are smoothed.
#[test]
fn mixed_labels_have_the_loss_and_gradients_of_pytorch() {
    let plain = Fixture::read(include_bytes!("fixtures/residual.safetensors"));
    let augment = "mixup".parse().expect("the words are right");
    let settings = Settings { batch: BATCH, augment, label_smoothing: 0.1, ..Settings::default() };
    let mut trainer = plain.trainer_with(&Residual::new(), settings);
    let tensors = SafeTensors::deserialize(include_bytes!("fixtures/mixed.safetensors")).expect("it is whole");
    let mixed = ["other", "share"].map(|name| numbers(&tensors, name));
    let fixture = Fixture { mixed, tensors, ..plain };
    fixture.compare("loss", &[trainer.step(&fixture, BATCH, 0.0).expect("the loss is a number")]);
    for (number, parameter) in trainer.weights().parameters().iter().enumerate().filter(|(_, p)| p.trainable) {
        let gradient = trainer.gradient(BATCH, number).expect("every weight has a gradient");
        fixture.compare(&format!("grad.{}", parameter.name), gradient);
    }
}

/// The wide network of airbench94 itself, for its kernels are others than those of small networks. Weights and images come
/// of a formula, and of large gradients every 1009th number is compared: whole, they would be 8 MB.
#[test]
fn airbench94_has_the_gradients_of_pytorch() {
    let tensors = SafeTensors::deserialize(include_bytes!("fixtures/airbench94.safetensors")).expect("it is whole");
    let image = Shape::image(3, 32, 32);
    let input = formula(0).take(BATCH * image.len()).map(|x| 2.0 * x).collect();
    let labels = numbers(&tensors, "labels");
    let fixture = Fixture { input, labels, mixed: Default::default(), image, tensors };
    let settings = Settings { batch: BATCH, ..Settings::default() };
    let mut trainer = Trainer::new(&Airbench94::new(), image, 10, settings, 2).expect("the sizes fit");
    let mut salt = 0;
    for number in 0..trainer.weights().parameters().len() {
        let parameter = &trainer.weights().parameters()[number];
        if parameter.trainable {
            salt += 1;
            let (dims, is_weight) = (parameter.shape.dims().to_vec(), parameter.name.ends_with("weight"));
            let inputs: usize = dims[1..].iter().product();
            // A power of two near one over the root of the inputs, so that the product is exact.
            let scale = (-(inputs as f32).sqrt().log2().round()).exp2();
            let value = |x: f32| match (dims.len(), is_weight) {
                (1, true) => 1.0 + x / 2.0,
                (1, false) => x,
                _ => x * scale,
            };
            let values: Vec<f32> = formula(salt).take(parameter.shape.len()).map(value).collect();
            trainer.set_weights(|weights| weights.values_mut(number).copy_from_slice(&values));
        }
    }
    fixture.compare("loss", &[trainer.step(&fixture, BATCH, 0.0).expect("the loss is a number")]);
    let logits: Vec<f32> = (0..BATCH).flat_map(|image| trainer.logits(BATCH, image).expect("a step")).collect();
    fixture.compare("logits", &logits);
    for (number, parameter) in trainer.weights().parameters().iter().enumerate() {
        if parameter.trainable {
            let gradient = trainer.gradient(BATCH, number).expect("every weight has a gradient");
            let stride = if gradient.len() <= 1024 { 1 } else { 1009 };
            let sampled: Vec<f32> = gradient.iter().copied().step_by(stride).collect();
            fixture.compare(&format!("sampled_grad.{}", parameter.name), &sampled);
        } else {
            fixture.compare(&format!("after_forward.{}", parameter.name), trainer.weights().values(number));
        }
    }
}

/// PyTorch's values, and the batch they belong to.
struct Fixture<'a> {
    tensors: SafeTensors<'a>,
    input: Vec<f32>,
    labels: Vec<f32>,
    /// Labels of the pictures that are mixed in, and the first ones' shares; empty if there are none.
    mixed: [Vec<f32>; 2],
    image: Shape,
}

impl Feed for Fixture<'_> {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        let from = [&self.input, &self.labels, &self.mixed[0], &self.mixed[1]][input];
        values.copy_from_slice(&from[image * values.len()..][..values.len()]);
    }
}

impl<'a> Fixture<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let tensors = SafeTensors::deserialize(bytes).expect("the fixture is whole");
        let input = numbers(&tensors, "input");
        let shape = tensors.tensor("input").expect("the fixture has a batch").shape().to_vec();
        assert_eq!(shape[0], BATCH);
        let image = Shape::image(shape[1], shape[2], shape[3]);
        Self { input, labels: numbers(&tensors, "labels"), mixed: Default::default(), image, tensors }
    }

    /// A network with the fixture's initial weights.
    fn trainer(&self, network: &dyn Network, optimizer: Optimizer, clip: Option<f32>) -> Trainer {
        self.trainer_with(network, Settings { batch: BATCH, optimizer, clip, ..Settings::default() })
    }

    fn trainer_with(&self, network: &dyn Network, settings: Settings) -> Trainer {
        let mut trainer = Trainer::new(network, self.image, 10, settings, 2).expect("the sizes fit");
        for number in 0..trainer.weights().parameters().len() {
            let name = format!("init.{}", trainer.weights().parameters()[number].name);
            trainer.set_weights(|weights| weights.values_mut(number).copy_from_slice(&numbers(&self.tensors, &name)));
        }
        trainer
    }

    /// Logits, loss, gradients and running statistics of one step.
    fn first_step(&self, mut trainer: Trainer) {
        let loss = trainer.step(self, BATCH, 0.0).expect("the loss is a number");
        self.compare("loss", &[loss]);
        let logits: Vec<f32> =
            (0..BATCH).flat_map(|image| trainer.logits(BATCH, image).expect("a step was made")).collect();
        self.compare("logits", &logits);
        for (number, parameter) in trainer.weights().parameters().iter().enumerate() {
            if parameter.trainable {
                let gradient = trainer.gradient(BATCH, number).expect("every weight has a gradient");
                self.compare(&format!("grad.{}", parameter.name), gradient);
            } else {
                self.compare(&format!("after_forward.{}", parameter.name), trainer.weights().values(number));
            }
        }
    }

    /// The weights after ten steps on the same batch, and the losses on the way.
    fn ten_steps(&self, mut trainer: Trainer, rate: f32, name: &str) {
        let losses: Vec<f32> =
            (0..10).map(|_| trainer.step(self, BATCH, rate).expect("the loss is a number")).collect();
        self.compare(&format!("{name}_losses"), &losses);
        for (number, parameter) in trainer.weights().parameters().iter().enumerate() {
            self.compare(&format!("{name}.{}", parameter.name), trainer.weights().values(number));
        }
    }

    fn compare(&self, name: &str, ours: &[f32]) {
        compare(&self.tensors, name, ours);
    }
}

fn compare(tensors: &SafeTensors<'_>, name: &str, ours: &[f32]) {
    let theirs = numbers(tensors, name);
    assert_eq!(ours.len(), theirs.len(), "{name}");
    let largest = theirs.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert!((ours - theirs).abs() <= TOLERANCE * largest.max(1e-3), "{name}[{i}] is {ours}, PyTorch has {theirs}");
    }
}

fn numbers(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let view = tensors.tensor(name).unwrap_or_else(|_| panic!("the fixture has no {name}"));
    match view.dtype() {
        Dtype::F32 => view.data().as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::I64 => view.data().as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes) as f32).collect(),
        other => panic!("{name} holds {other:?}"),
    }
}
