//! Batch normalisation against its references, with residual and activation, and folded into a convolution.

use lenslet_graph::ops::batch_norm::{BatchNorm, BatchNormGrad, BatchNormSums};
use lenslet_graph::ops::binary::Binary;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::ops::map::{Map, MapGrad};
use lenslet_graph::tensor::Tensor;
use proptest::prelude::*;

use super::Call;
use super::batch::sum_slots;
use super::batch_norm::{Backward, Forward, Sums, folded_bias, folded_scale};
use super::testing::{Check, Random, shape};
use crate::simd::Isa;

const ACTIVATIONS: [Option<Map>; 5] =
    [None, Some(Map::Relu), Some(Map::Gelu), Some(Map::Tanh), Some(Map::LeakyRelu { slope: 0.1 })];

/// An activation's value, or the gradient through it.
fn after(activation: Option<Map>, x: &Tensor<f64>) -> Tensor<f64> {
    activation.map_or_else(|| x.clone(), |map| Check::new(map, [x.clone()]).value())
}

fn through(activation: Option<Map>, x: &Tensor<f64>, dy: &Tensor<f64>) -> Tensor<f64> {
    let saved = |map: Map| if map.saves_output() { after(activation, x) } else { x.clone() };
    activation.map_or_else(|| dy.clone(), |map| Check::new(MapGrad { map }, [saved(map), dy.clone()]).value())
}

proptest! {
    #[test]
    fn all_three_are_the_references_with_what_stands_behind(
        [channels, height, width] in [1usize..5, 1usize..9, 1usize..9],
        rows in 2usize..4,
        training in any::<bool>(),
        activation in prop::sample::select(&ACTIVATIONS[..]),
        batch in 1usize..40,
        seed in any::<u64>(),
    ) {
        let (mut random, eps) = (Random::new(seed), 1e-3);
        let (image, row) = (shape(true, &[channels, height, width]), shape(false, &[channels]));
        // All rows positive, for variances are.
        let statistics = random.range(shape(false, &[rows, channels]), 1, 0.1, 2.0);
        let (mut x, dy) = (random.tensor(image, batch), random.tensor(image, batch));
        let (weight, bias) = (random.choice(row, 1, &[-1.5, 0.5, 2.0]), random.tensor(row, 1));
        let norm = BatchNorm { eps, training };
        let normal = |x: &Tensor<f64>| {
            Check::new(norm, [x.clone(), statistics.clone(), weight.clone(), bias.clone()]).value()
        };
        // Not where rounding decides on which side of a kink a value lies.
        let close = normal(&x);
        for (x, normal) in x.data_mut().iter_mut().zip(close.data()) {
            *x += if normal.abs() < 1e-4 { 0.125 } else { 0.0 };
        }
        let pre = normal(&x);

        let inputs = [x.clone(), statistics.clone(), weight.clone(), bias.clone()];
        let check = Check::new(norm, inputs.clone()).expecting(after(activation, &pre));
        check.kernel(|machine, call| machine.run(Forward { eps, activation, call }));
        let residual = random.tensor(image, batch);
        let sum = Check::new(Binary::Add, [pre.clone(), residual.clone()]).value();
        let check = Check::new(norm, [&inputs[..], &[residual]].concat()).expecting(after(activation, &sum));
        check.kernel(|machine, call| machine.run(Forward { eps, activation, call }));

        let (two, by_norm) = (shape(false, &[2, channels]), through(activation, &pre, &dy));
        let op = BatchNormSums { eps };
        let expected = Check::new(op, [x.clone(), statistics.clone(), by_norm.clone()]).value();
        let inputs = [x.clone(), statistics.clone(), dy.clone(), weight.clone(), bias.clone()];
        // Terms of up to 30 cancel, each rounded to a unit of 2e-6; such errors grow with the root of their number.
        let rounding = 2e-6 * ((height * width * batch) as f64).sqrt();
        let check = Check::new(op, inputs).expecting(expected).gradient(2).tolerance(1e-5 + rounding);
        check.sums(two, |machine, call| machine.run(Sums { eps, activation, call }), |slots, output| {
            sum_slots(Isa::detect(), slots, 1.0, 0..output.len(), output);
        });

        let (op, sums) = (BatchNormGrad { eps, training }, random.tensor(two, 1));
        let inputs = [x, statistics, weight, sums];
        let expected = Check::new(op, [&inputs[..], &[by_norm]].concat()).value();
        let check = Check::new(op, [&inputs[..], &[dy, bias]].concat()).expecting(expected).gradient(4);
        let empty = check.kernel(|machine, call| machine.run(Backward { eps, training, activation, call }));
        prop_assert!(empty.iter().all(|&dx| dx == 0.0));
    }

    #[test]
    fn a_folded_convolution_is_one_with_normalisation_behind_it(
        [inputs, outputs] in [1usize..5, 1usize..5],
        bias in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (mut random, eps) = (Random::new(seed), 1e-3);
        let layer = Conv2d::new(inputs, outputs, 3);
        let [image, kernel] = [shape(true, &[inputs, 4, 4]), shape(false, &[outputs, inputs, 3, 3])];
        let row = shape(false, &[outputs]);
        let (x, kernel, statistics) = (
            random.tensor(image, 2),
            random.tensor(kernel, 1),
            random.range(shape(false, &[2, outputs]), 1, 0.1, 2.0),
        );
        let [weight, shift, before] = [row; 3].map(|row| random.tensor(row, 1));
        let before = if bias { vec![before] } else { vec![] };
        let conv = Check::new(layer, [&[x.clone(), kernel.clone()], &before[..]].concat()).value();
        let norm = BatchNorm { eps, training: false };
        let expected = Check::new(norm, [conv, statistics.clone(), weight.clone(), shift.clone()]).value();

        let whole = |inputs: &[&Tensor<f64>], kernel: fn(f32, Call<'_>)| {
            Check::whole(row, inputs, |call| kernel(eps, call))
        };
        let scale = whole(&[&statistics, &weight], folded_scale);
        let mut scaled = kernel;
        for (weights, scale) in scaled.data_mut().chunks_exact_mut(inputs * 9).zip(scale.data()) {
            weights.iter_mut().for_each(|weight| *weight *= scale);
        }
        let rows: Vec<_> = [&statistics, &weight, &shift].into_iter().chain(&before).collect();
        let bias = whole(&rows, folded_bias);
        let folded = Check::new(layer, [x, scaled, bias]).value();
        for (folded, expected) in folded.data().iter().zip(expected.data()) {
            prop_assert!((folded - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{folded}, not {expected}");
        }
    }
}
