//! What the kernels' tests share: random values, tiles of them, and the comparison with an op's reference.
//!
//! A [`Check`] holds an op with its inputs. It runs a kernel on every instruction set of this machine, or with one lane
//! where all values are whole, and compares with the reference in `f64`. Lanes behind the last image repeat it, or hold 0
//! in a gradient, as the executor leaves them; outputs begin as NaN, so a value that is not written is found.

use lenslet_graph::ops::{Meaning, Op, Run};
use lenslet_graph::tensor::Tensor;
use lenslet_graph::{Shape, ShapeVar};
use lenslet_rng::{Purpose, Stream};

use super::{Call, Input, Slots, Tile};
use crate::simd::{Isa, Kernel, Scalar};

/// What a kernel runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Machine {
    Vectors(Isa),
    /// Tiles of one image.
    Channels(Isa),
    OneLane,
}

impl Machine {
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Machine::Vectors(isa) => isa.run(kernel),
            Machine::Channels(isa) => isa.run_one_lane(kernel),
            Machine::OneLane => kernel.run(Scalar),
        }
    }

    pub(crate) fn lanes(self) -> usize {
        match self {
            Machine::Vectors(isa) => isa.lanes(),
            Machine::Channels(_) | Machine::OneLane => 1,
        }
    }

    /// All that batched values run on.
    pub(crate) fn vectors() -> impl Iterator<Item = Self> {
        Isa::available().into_iter().flat_map(|isa| [Machine::Vectors(isa), Machine::Channels(isa)])
    }
}

/// Random tensors, by a seed.
pub(crate) struct Random(Stream);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Stream::new(seed, Purpose::Init, 0, 0))
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u32) as usize
    }

    /// Values from −2 to 2.
    pub(crate) fn tensor(&mut self, shape: Shape, batch: usize) -> Tensor<f64> {
        self.range(shape, batch, -2.0, 2.0)
    }

    /// Values within bounds.
    pub(crate) fn range(&mut self, shape: Shape, batch: usize, low: f32, high: f32) -> Tensor<f64> {
        Tensor::per_image(shape, batch, |_, block| block.fill_with(|| self.0.range(low, high).into()))
    }

    /// Values out of a few, so that there are equal ones.
    pub(crate) fn choice(&mut self, shape: Shape, batch: usize, values: &[f32]) -> Tensor<f64> {
        Tensor::per_image(shape, batch, |_, block| block.fill_with(|| values[self.below(values.len())].into()))
    }
}

/// An op with its inputs.
pub(crate) struct Check {
    op: Op,
    inputs: Vec<Tensor<f64>>,
    /// What the kernel is to make, if not what the op makes.
    expected: Option<Tensor<f64>>,
    batch: usize,
    /// Inputs that are gradients.
    gradients: Vec<usize>,
    tolerance: f64,
}

/// Seed and step of every check.
const SEED: u64 = 7;
const STEP: u32 = 3;

impl Check {
    pub(crate) fn new(op: impl Into<Op>, inputs: impl Into<Vec<Tensor<f64>>>) -> Self {
        let inputs = inputs.into();
        let batch = inputs.iter().map(Tensor::blocks).max().unwrap_or(1);
        Self { op: op.into(), inputs, expected: None, batch, gradients: vec![], tolerance: 1e-5 }
    }

    /// The kernel does more than the op, and on more inputs: this is what it is to make.
    pub(crate) fn expecting(self, expected: Tensor<f64>) -> Self {
        Self { expected: Some(expected), ..self }
    }

    /// Images in the batch, where the inputs do not tell.
    pub(crate) fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// The input of this number is a gradient: 0 in empty lanes.
    pub(crate) fn gradient(mut self, input: usize) -> Self {
        self.gradients.push(input);
        self
    }

    /// Difference allowed to a value of 1 (and to larger ones in proportion), 1e-5 if nothing is said.
    pub(crate) fn tolerance(self, tolerance: f64) -> Self {
        Self { tolerance, ..self }
    }

    /// The output's shape.
    fn shape(&self) -> Shape {
        if let Some(expected) = &self.expected {
            return expected.shape();
        }
        let inputs: Vec<ShapeVar> = self.inputs.iter().map(|x| ShapeVar::new(x.shape())).collect();
        self.op.output(&inputs).expect("a test's sizes fit").shape()
    }

    /// What a kernel is compared with: the reference's value.
    pub(crate) fn value(&self) -> Tensor<f64> {
        if let Some(expected) = &self.expected {
            return expected.clone();
        }
        let inputs: Vec<&Tensor<f64>> = self.inputs.iter().collect();
        let (shape, batch) = (self.shape(), self.batch);
        self.op.reference(&Run { inputs: &inputs, shape, batch, feeds: &[], parameters: &[], seed: SEED, step: STEP })
    }

    /// A kernel that makes the op's value, tile by tile. Returns the empty lanes of its output, on all machines.
    pub(crate) fn kernel(&self, kernel: impl Fn(Machine, Call<'_>)) -> Vec<f32> {
        let (expected, shape) = (self.value(), self.shape());
        let mut empty = vec![];
        if !shape.is_batched() {
            self.tile(Machine::OneLane, 0, shape, vec![f32::NAN; shape.len()], &kernel, |output| {
                self.compare(&Machine::OneLane, &expected, 0, output.iter().copied());
            });
        }
        for machine in Machine::vectors().filter(|_| shape.is_batched()) {
            let lanes = machine.lanes();
            for first in (0..self.batch).step_by(lanes) {
                let output = vec![f32::NAN; shape.len() * lanes];
                self.tile(machine, first, shape, output, &kernel, |output| {
                    for lane in 0..lanes {
                        let values = output.iter().copied().skip(lane).step_by(lanes);
                        if first + lane < self.batch {
                            self.compare(&machine, &expected, first + lane, values);
                        } else {
                            empty.extend(values);
                        }
                    }
                });
            }
        }
        empty
    }

    /// A kernel with channels in the lanes that makes the op's value, image by image.
    pub(crate) fn one_image(&self, kernel: impl Fn(Isa, Call<'_>)) {
        let (expected, shape) = (self.value(), self.shape());
        for isa in Isa::available() {
            let machine = Machine::Channels(isa);
            for image in 0..self.batch {
                let output = vec![f32::NAN; shape.len()];
                self.tile(
                    machine,
                    image,
                    shape,
                    output,
                    |_, call| kernel(isa, call),
                    |output| {
                        self.compare(&machine, &expected, image, output.iter().copied());
                    },
                );
            }
        }
    }

    /// A kernel that makes the op's value of all tiles at once. It gets the inputs' numbers, tile by tile, and an output for each
    /// tile, or one where the value is whole.
    pub(crate) fn all_tiles(&self, kernel: impl Fn(Isa, &[Vec<Vec<f32>>], &mut [Vec<f32>])) {
        let (expected, shape) = (self.value(), self.shape());
        for isa in Isa::available() {
            let lanes = isa.lanes();
            let firsts: Vec<usize> = (0..self.batch).step_by(lanes).collect();
            let inputs: Vec<_> =
                firsts.iter().map(|&first| self.tile_inputs(first, lanes.min(self.batch - first), lanes)).collect();
            let (outputs, len) = if shape.is_batched() { (firsts.len(), lanes) } else { (1, 1) };
            let mut outputs = vec![vec![f32::NAN; shape.len() * len]; outputs];
            kernel(isa, &inputs, &mut outputs);
            for image in 0..if shape.is_batched() { self.batch } else { 1 } {
                let values = outputs[image / len].iter().copied().skip(image % len).step_by(len);
                self.compare(&Machine::Vectors(isa), &expected, image, values);
            }
        }
    }

    /// What a plain function on whole values makes.
    pub(crate) fn whole(shape: Shape, inputs: &[&Tensor<f64>], kernel: impl FnOnce(Call<'_>)) -> Tensor<f64> {
        let data: Vec<Vec<f32>> = inputs.iter().map(|x| in_lanes(x, 0, 1, 1, false)).collect();
        let inputs: Vec<Input<'_>> =
            inputs.iter().zip(&data).map(|(x, data)| Input { data, shape: x.shape() }).collect();
        let mut output = vec![f32::NAN; shape.len()];
        let tile = Tile { first: 0, images: 1, batch: 1, seed: SEED, step: STEP };
        kernel(Call { inputs: &inputs, output: &mut output, shape, tile });
        Tensor::new(shape, output.into_iter().map(f64::from).collect())
    }

    /// A kernel that adds to a slot's `partial` sums, and what makes the op's value of all slots (there are two).
    pub(crate) fn sums(
        &self,
        partial: Shape,
        kernel: impl Fn(Machine, Call<'_>),
        finish: impl Fn(Slots<'_>, &mut [f32]),
    ) {
        let expected = self.value();
        // Tiles of one image are for few images: a slot that many were merged into has lost some of its digits.
        let fits = |machine: &Machine| self.batch <= 16 || !matches!(machine, Machine::Channels(_));
        for machine in Machine::vectors().filter(fits) {
            let (slot_len, offset, len) = (partial.len() + 5, 3, partial.len());
            let mut data = vec![0.0; 2 * slot_len];
            for (tile, first) in (0..self.batch).step_by(machine.lanes()).enumerate() {
                let slot = &mut data[tile / 2 % 2 * slot_len + offset..][..len];
                let sums = slot.to_vec();
                self.tile(machine, first, partial, sums, &kernel, |sums| slot.copy_from_slice(sums));
            }
            let mut output = vec![f32::NAN; self.shape().len()];
            finish(Slots { data: &data, slot_len, offset, len }, &mut output);
            self.compare(&machine, &expected, 0, output.iter().copied());
        }
    }

    /// Runs the kernel on the tile whose first image is `first`.
    fn tile(
        &self,
        machine: Machine,
        first: usize,
        shape: Shape,
        mut output: Vec<f32>,
        kernel: impl Fn(Machine, Call<'_>),
        done: impl FnOnce(&[f32]),
    ) {
        let lanes = machine.lanes();
        let images = lanes.min(self.batch - first);
        let data = self.tile_inputs(first, images, lanes);
        let input = |(x, data): (&Tensor<f64>, _)| Input { data, shape: x.shape() };
        let inputs: Vec<Input<'_>> = self.inputs.iter().zip(data.iter().map(Vec::as_slice)).map(input).collect();
        let tile = Tile { first, images, batch: self.batch, seed: SEED, step: STEP };
        kernel(machine, Call { inputs: &inputs, output: &mut output, shape, tile });
        done(&output);
    }

    /// The inputs' numbers in the tile whose first image is `first`.
    fn tile_inputs(&self, first: usize, images: usize, lanes: usize) -> Vec<Vec<f32>> {
        let input = |(i, x): (usize, &Tensor<f64>)| in_lanes(x, first, images, lanes, self.gradients.contains(&i));
        self.inputs.iter().enumerate().map(input).collect()
    }

    fn compare(&self, machine: &Machine, expected: &Tensor<f64>, image: usize, actual: impl Iterator<Item = f32>) {
        let mut count = 0;
        for (i, (&expected, actual)) in expected.image(image).iter().zip(actual).enumerate() {
            let actual = f64::from(actual);
            let close = (expected - actual).abs() <= self.tolerance * (1.0 + expected.abs());
            // Equal where both are infinite.
            let same = expected == actual || (expected.is_nan() && actual.is_nan());
            assert!(
                close || same,
                "{:?}, {machine:?}: value {i} of image {image} is {actual}, not {expected}",
                self.op
            );
            count += 1;
        }
        assert_eq!(count, self.shape().len(), "all values were compared");
    }
}

/// A tile of a tensor, or all of a whole one.
fn in_lanes(x: &Tensor<f64>, first: usize, images: usize, lanes: usize, gradient: bool) -> Vec<f32> {
    if !x.shape().is_batched() {
        return x.data().iter().map(|&x| x as f32).collect();
    }
    let value = |i: usize, lane: usize| match lane < images {
        false if gradient => 0.0,
        _ => x.image(first + lane.min(images - 1))[i] as f32,
    };
    (0..x.shape().len()).flat_map(|i| (0..lanes).map(move |lane| (i, lane))).map(|(i, lane)| value(i, lane)).collect()
}

/// The batched or whole shape of these sizes.
pub(crate) fn shape(batched: bool, dims: &[usize]) -> Shape {
    Shape::batched(dims).expect("a test's sizes fit").with_batch(batched)
}
