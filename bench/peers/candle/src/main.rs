//! Candle's side of the benchmark: a worker that trains the lesson's network and airbench94 when told to.
//!
//! Its SGD has no momentum, so a step does a little less than those of the others. The number of threads comes from
//! `RAYON_NUM_THREADS`.

#[path = "../../worker.rs"]
mod worker;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    BatchNorm, BatchNormConfig, Conv2d, Conv2dConfig, Linear, Module, Optimizer, SGD, VarBuilder, VarMap, batch_norm,
    conv2d, conv2d_no_bias, linear, linear_no_bias, loss,
};
use worker::{Pictures, Step, serve};

struct Lesson {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
}

impl Lesson {
    fn new(vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            conv1: conv2d(3, 6, 5, Conv2dConfig::default(), vb.pp("conv1"))?,
            conv2: conv2d(6, 16, 5, Conv2dConfig::default(), vb.pp("conv2"))?,
            fc1: linear(400, 120, vb.pp("fc1"))?,
            fc2: linear(120, 84, vb.pp("fc2"))?,
            fc3: linear(84, 10, vb.pp("fc3"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.conv1.forward(x)?.relu()?.max_pool2d(2)?;
        let x = self.conv2.forward(&x)?.relu()?.max_pool2d(2)?;
        let x = self.fc1.forward(&x.flatten_from(1)?)?.relu()?;
        self.fc3.forward(&self.fc2.forward(&x)?.relu()?)
    }
}

struct ConvGroup {
    conv1: Conv2d,
    norm1: BatchNorm,
    conv2: Conv2d,
    norm2: BatchNorm,
}

impl ConvGroup {
    fn new(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Self> {
        let same = Conv2dConfig { padding: 1, ..Conv2dConfig::default() };
        let norm = BatchNormConfig { eps: 1e-12, momentum: 0.4, ..BatchNormConfig::default() };
        Ok(Self {
            conv1: conv2d_no_bias(inputs, outputs, 3, same, vb.pp("conv1"))?,
            norm1: batch_norm(outputs, norm, vb.pp("norm1"))?,
            conv2: conv2d_no_bias(outputs, outputs, 3, same, vb.pp("conv2"))?,
            norm2: batch_norm(outputs, norm, vb.pp("norm2"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.conv1.forward(x)?;
        // The backward pass of pooling wants even sizes; the pooling itself leaves the odd row and column out.
        let even = x.dim(2)? / 2 * 2;
        let x = x.narrow(2, 0, even)?.narrow(3, 0, even)?.contiguous()?.max_pool2d(2)?;
        let x = self.norm1.forward_train(&x)?.gelu_erf()?;
        self.norm2.forward_train(&self.conv2.forward(&x)?)?.gelu_erf()
    }
}

struct Airbench94 {
    whiten: Conv2d,
    groups: [ConvGroup; 3],
    fc: Linear,
}

impl Airbench94 {
    fn new(vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            whiten: conv2d(3, 24, 2, Conv2dConfig::default(), vb.pp("whiten"))?,
            groups: [
                ConvGroup::new(24, 64, vb.pp("group1"))?,
                ConvGroup::new(64, 256, vb.pp("group2"))?,
                ConvGroup::new(256, 256, vb.pp("group3"))?,
            ],
            fc: linear_no_bias(256, 10, vb.pp("fc"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = self.whiten.forward(x)?.gelu_erf()?;
        for group in &self.groups {
            x = group.forward(&x)?;
        }
        self.fc.forward(&x.contiguous()?.max_pool2d(3)?.flatten_from(1)?)? / 9.0
    }
}

/// The function that does a training step of a network.
fn step_of<N: 'static>(
    new: fn(VarBuilder) -> Result<N>,
    forward: fn(&N, &Tensor) -> Result<Tensor>,
    batch: usize,
) -> Result<Step> {
    let variables = VarMap::new();
    let network = new(VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu))?;
    let mut optimizer = SGD::new(variables.all_vars(), 0.01)?;
    let mut pictures = Pictures::new();
    let mut step = move || {
        let (values, labels) = pictures.next(batch);
        let x = Tensor::from_vec(values, (batch, 3, 32, 32), &Device::Cpu)?;
        let labels: Vec<u32> = labels.into_iter().map(u32::from).collect();
        let labels = Tensor::from_vec(labels, batch, &Device::Cpu)?;
        optimizer.backward_step(&loss::cross_entropy(&forward(&network, &x)?, &labels)?)
    };
    Ok(Box::new(move || step().map_err(|error| error.to_string())))
}

fn main() {
    let variants = |network: &str, kind: &str| match (network, kind) {
        ("w1" | "w2", "train") => vec!["cpu"],
        _ => vec![],
    };
    serve("Candle 0.11.1", variants, |_, network, batch| {
        let step = match network {
            "w1" => step_of(Lesson::new, Lesson::forward, batch),
            _ => step_of(Airbench94::new, Airbench94::forward, batch),
        };
        step.map_err(|error| error.to_string())
    });
}
