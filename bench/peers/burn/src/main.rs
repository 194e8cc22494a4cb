//! Burn's side of the benchmark: a worker that trains the lesson's network and airbench94 when told to.
//!
//! Its backend is `flex`. The number of threads comes from `RAYON_NUM_THREADS`.

#[path = "../../worker.rs"]
mod worker;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::optim::{GradientsParams, ModuleOptimizer, SgdConfig, momentum::MomentumConfig};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use worker::{Pictures, Step, serve};

#[derive(Module, Debug)]
struct Lesson {
    conv1: Conv2d,
    pool: MaxPool2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Lesson {
    fn new(device: &Device) -> Self {
        Self {
            conv1: Conv2dConfig::new([3, 6], [5, 5]).init(device),
            pool: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            conv2: Conv2dConfig::new([6, 16], [5, 5]).init(device),
            fc1: LinearConfig::new(400, 120).init(device),
            fc2: LinearConfig::new(120, 84).init(device),
            fc3: LinearConfig::new(84, 10).init(device),
        }
    }
}

#[derive(Module, Debug)]
struct ConvGroup {
    conv1: Conv2d,
    pool: MaxPool2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
}

impl ConvGroup {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let conv = |inputs| {
            let same = PaddingConfig2d::Explicit(1, 1, 1, 1);
            Conv2dConfig::new([inputs, outputs], [3, 3]).with_padding(same).with_bias(false).init(device)
        };
        let norm = || BatchNormConfig::new(outputs).with_epsilon(1e-12).with_momentum(0.4).init(device);
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        Self { conv1: conv(inputs), pool, norm1: norm(), conv2: conv(outputs), norm2: norm() }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let x = gelu(self.norm1.forward(self.pool.forward(self.conv1.forward(x))));
        gelu(self.norm2.forward(self.conv2.forward(x)))
    }
}

#[derive(Module, Debug)]
struct Airbench94 {
    whiten: Conv2d,
    group1: ConvGroup,
    group2: ConvGroup,
    group3: ConvGroup,
    pool: MaxPool2d,
    fc: Linear,
}

impl Airbench94 {
    fn new(device: &Device) -> Self {
        Self {
            whiten: Conv2dConfig::new([3, 24], [2, 2]).init(device),
            group1: ConvGroup::new(24, 64, device),
            group2: ConvGroup::new(64, 256, device),
            group3: ConvGroup::new(256, 256, device),
            pool: MaxPool2dConfig::new([3, 3]).with_strides([3, 3]).init(),
            fc: LinearConfig::new(256, 10).with_bias(false).init(device),
        }
    }
}

trait Network: Module + 'static {
    fn forward(&self, x: Tensor<4>) -> Tensor<2>;
}

impl Network for Lesson {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(relu(self.conv1.forward(x)));
        let x = self.pool.forward(relu(self.conv2.forward(x)));
        let x = relu(self.fc1.forward(x.flatten(1, 3)));
        let x = relu(self.fc2.forward(x));
        self.fc3.forward(x)
    }
}

impl Network for Airbench94 {
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = self.group1.forward(gelu(self.whiten.forward(x)));
        let x = self.group3.forward(self.group2.forward(x));
        self.fc.forward(self.pool.forward(x).flatten(1, 3)) / 9.0
    }
}

struct Training<N> {
    /// Taken out during a step.
    network: Option<N>,
    optimizer: ModuleOptimizer,
    loss: CrossEntropyLoss,
    pictures: Pictures,
    device: Device,
    batch: usize,
}

impl<N: Network> Training<N> {
    fn step_of(network: impl Fn(&Device) -> N, device: Device, batch: usize) -> Step {
        // Dampening 0 is PyTorch's momentum.
        let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
        let mut training = Self {
            network: Some(network(&device)),
            optimizer: SgdConfig::new().with_momentum(Some(momentum)).init(),
            loss: CrossEntropyLossConfig::new().init(&device),
            pictures: Pictures::new(),
            device,
            batch,
        };
        Box::new(move || {
            training.step();
            Ok(())
        })
    }

    fn step(&mut self) {
        let (values, labels) = self.pictures.next(self.batch);
        let x = Tensor::<4>::from_data(TensorData::new(values, [self.batch, 3, 32, 32]), &self.device);
        let labels: Vec<i32> = labels.into_iter().map(i32::from).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [self.batch]), &self.device);
        let network = self.network.take().expect("put back after each step");
        let gradients = self.loss.forward(network.forward(x), labels).backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        self.network = Some(self.optimizer.step(0.01, network, gradients));
    }
}

fn main() {
    let variants = |network: &str, kind: &str| match (network, kind) {
        ("w1" | "w2", "train") => vec!["flex"],
        _ => vec![],
    };
    serve("Burn 0.22.1", variants, |_, network, batch| {
        let device = Device::flex().autodiff();
        Ok(match network {
            "w1" => Training::step_of(Lesson::new, device, batch),
            _ => Training::step_of(Airbench94::new, device, batch),
        })
    });
}
