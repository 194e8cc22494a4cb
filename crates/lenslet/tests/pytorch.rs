//! Training against PyTorch: the same weights and batch give the same logits, loss, gradients and, ten steps later, the
//! same weights.
//!
//! The expected values were computed once by `fixtures/make_fixtures.py`. The batch of 11 leaves lanes empty. Tolerance:
//! 1e-4 of a tensor's largest value.

use lenslet::cpu::Feed;
use lenslet::networks::Lesson;
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

/// PyTorch's values, and the batch they belong to.
struct Fixture<'a> {
    tensors: SafeTensors<'a>,
    input: Vec<f32>,
    labels: Vec<f32>,
    image: Shape,
}

impl Feed for Fixture<'_> {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        let from = if input == 0 { &self.input } else { &self.labels };
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
        Self { input, labels: numbers(&tensors, "labels"), image, tensors }
    }

    /// A network with the fixture's initial weights.
    fn trainer(&self, network: &dyn Network, optimizer: Optimizer, clip: Option<f32>) -> Trainer {
        let settings = Settings { batch: BATCH, optimizer, clip, ..Settings::default() };
        let mut trainer = Trainer::new(network, self.image, 10, settings, 2).expect("the sizes fit");
        for number in 0..trainer.weights().parameters().len() {
            let name = format!("init.{}", trainer.weights().parameters()[number].name);
            trainer.weights_mut().values_mut(number).copy_from_slice(&numbers(&self.tensors, &name));
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
        let theirs = numbers(&self.tensors, name);
        assert_eq!(ours.len(), theirs.len(), "{name}");
        let largest = theirs.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
        for (i, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert!(
                (ours - theirs).abs() <= TOLERANCE * largest.max(1e-3),
                "{name}[{i}] is {ours}, PyTorch has {theirs}"
            );
        }
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
