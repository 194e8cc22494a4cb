//! Winograd's convolution with max pooling behind it, against the reference of the convolution, pooled here.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::{CHANNEL_BLOCK, Winograd as Way};
use lenslet_graph::tensor::Tensor;
use proptest::prelude::*;

use super::{conv2d_max_pool, weights};
use crate::kernels::Call;
use crate::kernels::conv2d::NO_WINNER;
use crate::kernels::testing::{Check, Machine, Random, shape};

/// As for the convolution alone: a share of 1 + |y|.
const TOLERANCE: f64 = 2e-4;

#[derive(Clone, Copy, Debug)]
struct Case {
    inner: usize,
    outputs: usize,
    windows: [usize; 2],
    /// Rows and columns of results that are in no window.
    rest: [usize; 2],
    relu: bool,
    bias: bool,
}

impl Case {
    fn image(&self) -> Shape {
        let [height, width] = [0, 1].map(|axis| 2 * self.windows[axis] + 4 + self.rest[axis]);
        Shape::image(self.inner, height, width)
    }

    fn pooled(&self) -> Shape {
        Shape::image(self.outputs, self.windows[0], self.windows[1])
    }

    /// The four results of each window, image by image.
    fn windows(&self, results: &Tensor<f64>) -> Vec<[f64; 4]> {
        let [height, width] = [0, 1].map(|axis| 2 * self.windows[axis] + self.rest[axis]);
        let mut windows = vec![];
        for map in results.data().chunks_exact(height * width) {
            for (row, column) in (0..self.windows[0]).flat_map(|row| (0..self.windows[1]).map(move |c| (row, c))) {
                let first = 2 * row * width + 2 * column;
                windows.push([0, 1, width, width + 1].map(|step| map[first + step]));
            }
        }
        windows
    }
}

fn check(case: Case, batch: usize, seed: u64) {
    let Case { inner, outputs, relu, bias, .. } = case;
    let layer = Conv2d::new(inner, outputs, 5);
    let mut random = Random::new(seed);
    let mut tensor = |shape, batch| random.range(shape, batch, -1.0, 1.0);
    let mut inputs = vec![tensor(case.image(), batch), tensor(layer.weight_shape(inner), 1)];
    if bias {
        inputs.push(tensor(shape(false, &[outputs]), 1));
    }
    let windows = case.windows(&Check::new(layer, inputs.clone()).value());
    let floor = if relu { 0.0 } else { f64::NEG_INFINITY };
    let expected = windows.iter().map(|window| window.iter().copied().fold(floor, f64::max)).collect();
    let expected = Tensor::new(case.pooled(), expected);
    Check::new(layer, inputs).expecting(expected).tolerance(TOLERANCE).kernel(|machine, call| {
        let (first, images, y_len) = (call.tile.first, call.tile.images, case.pooled().len());
        let (y, winners) = convolve(machine, case, &call);
        for lane in 0..images {
            for (i, window) in windows[(first + lane) * y_len..][..y_len].iter().enumerate() {
                let (y, winner) = (y[i * machine.lanes() + lane], winners[i * machine.lanes() + lane]);
                if relu && y == 0.0 {
                    assert_eq!(winner, NO_WINNER);
                    continue;
                }
                // Of two that are nearly equal either may win.
                let (won, greatest) = (window[winner as usize], window.iter().copied().fold(floor, f64::max));
                assert!(greatest - won <= TOLERANCE * (1.0 + greatest.abs()), "{machine:?}: {winner} of {window:?}");
            }
        }
        call.output.copy_from_slice(&y);
    });
}

/// Pooled values, which are the same with and without winners, and these.
fn convolve(machine: Machine, case: Case, call: &Call<'_>) -> (Vec<f32>, Vec<f32>) {
    let Case { inner, outputs, .. } = case;
    let way = &Way { tile: 2, kernel: 5, before: [0, 0], inner, outputs, gradient: false, block: CHANNEL_BLOCK };
    let mut weight = vec![f32::NAN; way.packed_len()];
    for (part, packed) in weight.chunks_exact_mut(weights::part_len(way)).enumerate() {
        machine.run(weights::Transform { way, part, weight: call.inputs[1].data, packed });
    }
    let geometry = &conv2d_max_pool::Geometry::new(*way, case.image(), case.pooled());
    let (x, bias) = (call.inputs[0].data, call.inputs.get(2).map_or(&[][..], |bias| bias.data));
    let activation = case.relu.then_some(Map::Relu);
    let run = |winners: &mut [f32]| {
        let mut y = vec![f32::NAN; geometry.y_len() * machine.lanes()];
        let work = &mut vec![f32::NAN; geometry.work_len() * machine.lanes()];
        let (weight, y) = (&weight, &mut y);
        machine.run(conv2d_max_pool::Convolve { geometry, x, weight, bias, activation, y, winners, work });
        y.clone()
    };
    let mut winners = vec![f32::NAN; geometry.y_len() * machine.lanes()];
    let y = run(&mut winners);
    assert_eq!(y, run(&mut []));
    (y, winners)
}

proptest! {
    #[test]
    fn pooled_values_are_the_references(
        [inner, outputs] in [1usize..20, 1usize..20],
        windows in [1usize..5, 1usize..8],
        rest in [0usize..2, 0usize..3],
        [relu, bias] in any::<[bool; 2]>(),
        batch in 1usize..20,
        seed in any::<u64>(),
    ) {
        check(Case { inner, outputs, windows, rest, relu, bias }, batch, seed);
    }
}

/// The layer that the lesson has, whole tiles of images and one that is not.
#[test]
fn the_lessons_second_is_the_reference() {
    let case = Case { inner: 6, outputs: 16, windows: [5, 5], rest: [0, 0], relu: true, bias: true };
    check(case, 37, 3);
}
