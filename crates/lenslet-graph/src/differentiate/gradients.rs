//! Every derivative against central differences of the interpreter, in `f64`.
//!
//! Each case is a function of values of the given shapes; its loss is a weighted sum, so that no output is left out and no
//! two can be exchanged. Inputs are [`spread`], apart from kinks and from each other; what holds at a kink is pinned on the
//! op's own page. Batched inputs have two or three images, each with a gradient of its own.

use proptest::prelude::*;

use crate::interpret::testing::{Bench, check_fixtures, close, spread};
use crate::tensor::Tensor;
use crate::window::AxisWindow;
use crate::{AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Dropout, INFER, Linear, MaxPool2d, Module, Shape, Var};

/// The step of a central difference: the error of the formula, about h², and that of rounding, 1e-16/h, are both small.
const STEP: f64 = 1e-5;

/// Compares the gradients of `f` by inputs of these shapes, and by the layer's own parameters, with differences.
#[track_caller]
fn check_layer<L: Module>(layer: &L, shapes: &[Shape], f: impl Fn(&L, &[Var]) -> Var) {
    let inputs: Vec<Tensor<f64>> = (0..).zip(shapes).map(|(i, &shape)| spread(shape, BATCH, i)).collect();
    let shape = Bench::new(layer, &inputs, None, &f).value();
    let weights = spread(shape.shape(), BATCH, 9);
    let bench = Bench::new(layer, &inputs, Some(&weights), &f);
    let gradients = bench.gradients();
    let mut parameters = bench.parameters.clone();
    for (p, gradient) in gradients.iter().enumerate() {
        for (i, &gradient) in gradient.data().iter().enumerate() {
            let value = parameters[p].data()[i];
            let mut loss_at = |x: f64| {
                parameters[p].data_mut()[i] = x;
                bench.loss(&parameters)
            };
            let difference = (loss_at(value + STEP) - loss_at(value - STEP)) / (2.0 * STEP);
            loss_at(value);
            assert!(
                close(gradient, difference),
                "parameter {p}, value {i}: gradient {gradient}, difference {difference}"
            );
        }
    }
}

/// As [`check_layer`], for a function without a layer.
#[track_caller]
fn check(shapes: &[Shape], f: impl Fn(&[Var]) -> Var) {
    check_layer(&false, shapes, |_, x| f(x));
}

const BATCH: usize = 3;

fn batched(dims: &[usize]) -> Shape {
    Shape::batched(dims).unwrap()
}

fn whole(dims: &[usize]) -> Shape {
    Shape::whole(dims).unwrap()
}

#[test]
fn functions_of_each_value() {
    let functions: [fn(Var) -> Var; 15] = [
        Var::relu,
        |x| x.leaky_relu(0.2),
        |x| x.leaky_relu(-0.5),
        Var::gelu,
        Var::gelu_tanh,
        Var::silu,
        Var::sigmoid,
        Var::tanh,
        Var::exp,
        |x| (x * x + 0.5).log(),
        |x| (x * x + 0.5).sqrt(),
        Var::abs,
        |x| x.clamp(-0.7, 0.8),
        |x| 2.0 / (x * x + 1.0),
        |x| 1.0 - x / 3.0 + 2.0 * -x,
    ];
    for f in functions {
        check(&[batched(&[7])], |x| f(x[0]));
    }
}

#[test]
fn arithmetic_of_two_values_with_broadcasting() {
    let functions: [fn(Var, Var) -> Var; 6] =
        [|a, b| a + b, |a, b| a - b, |a, b| a * b, |a, b| a / (b * b + 1.0), Var::maximum, Var::minimum];
    let shapes = [
        (batched(&[2, 3]), batched(&[2, 3])),
        (batched(&[2, 1]), batched(&[1, 3])),
        (batched(&[2, 3]), whole(&[2, 3])),
        (whole(&[3]), batched(&[2, 3])),
        (batched(&[2, 1]), whole(&[])),
        (whole(&[2, 1, 1]), batched(&[1, 2, 2])),
        (batched(&[]), whole(&[])),
        (whole(&[2, 1]), whole(&[3])),
    ];
    for (a, b) in shapes {
        for f in functions {
            check(&[a, b], |x| f(x[0], x[1]));
        }
    }
    check(&[batched(&[2])], |x| x[0] * x[0] * x[0]);
    // Comparisons are steps: they choose, and have no slope.
    check(&[batched(&[3]), batched(&[3])], |x| x[0].lt(x[1]) * x[0] + x[0].ge(x[1]) * x[1] + x[0].eq(x[0]) * x[1]);
}

#[test]
fn selection_and_expansion() {
    let zero = || Var::constant(0.0, Shape::scalar(false));
    check(&[batched(&[2, 3]), whole(&[3]), batched(&[2, 1])], |x| x[0].gt(zero()).where_(x[1], x[2]));
    check(&[whole(&[2]), whole(&[1]), whole(&[])], |x| x[0].ge(zero()).where_(x[1], x[2]));
    check(&[batched(&[2, 1])], |x| x[0].expand([2, 3]));
    check(&[whole(&[2, 1])], |x| x[0].expand([2, 2, 3]));
}

#[test]
fn matrix_products() {
    let product = |a, b| check(&[a, b], |x| x[0].matmul(x[1]));
    product(batched(&[2, 3]), batched(&[3, 2]));
    product(batched(&[2, 3]), whole(&[3, 4]));
    product(whole(&[2, 3]), batched(&[3, 1]));
    product(batched(&[2, 1, 1, 3]), whole(&[2, 3, 2]));
    product(whole(&[2, 1, 2]), whole(&[1, 2, 2]));
}

#[test]
fn reductions() {
    let functions: [fn(Var) -> Var; 8] = [
        |x| x.sum([0, 2]),
        |x| x.sum_keep(1),
        |x| x.mean(-1),
        |x| x.mean_keep([1, 2]),
        |x| x.max(0),
        |x| x.max_keep([-1, -2]),
        |x| x.max([]),
        |x| x.batch_mean() * x.batch_sum(),
    ];
    for f in functions {
        check(&[batched(&[2, 3, 2])], |x| f(x[0]));
        check(&[whole(&[2, 3, 2])], |x| f(x[0]));
    }
}

#[test]
fn softmax_and_losses() {
    for axis in [0, 1] {
        check(&[batched(&[3, 4])], |x| x[0].softmax(axis));
        check(&[batched(&[3, 4])], |x| x[0].log_softmax(axis));
    }
    check(&[batched(&[4]), whole(&[4])], |x| x[0].mse_loss(x[0] * x[1]));
    for label_smoothing in [0.0, 0.3] {
        // Labels 0, 1 and 2, without a slope.
        check(&[batched(&[4]), batched(&[])], |x| {
            let zero = Var::constant(0.0, Shape::scalar(false));
            let labels = x[1].gt(zero) + (x[1] - 0.8).gt(zero);
            x[0].cross_entropy(labels, label_smoothing)
        });
    }
}

#[test]
fn other_sizes_and_places() {
    check(&[batched(&[2, 3])], |x| x[0].view([3, 1, INFER]));
    check(&[whole(&[2, 3])], |x| x[0].flatten());
    check(&[batched(&[2, 3])], |x| x[0].pad(0, 1, 0).pad_with(1, 0, 2, 5.0));
    check(&[batched(&[2, 2, 1])], |x| x[0].pad2d(1));
    check(&[batched(&[4, 3])], |x| x[0].slice(0, 1..3));
    check(&[batched(&[2, 2]), whole(&[2, 1]), batched(&[2, 3])], |x| Var::concat(x, 1));
    check(&[whole(&[2]), whole(&[1])], |x| Var::concat(&[x[0], x[1], x[0]], 0));
    check(&[batched(&[2, 3, 4])], |x| x[0].permute([2, 0, 1]));
    check(&[whole(&[2, 3])], |x| x[0].transpose(0, 1));
}

#[test]
fn layers_with_weights() {
    check_layer(&Conv2d::new(2, 3, 3), &[batched(&[2, 5, 6])], |layer, x| layer.forward(x[0]));
    check_layer(&Conv2d::new(2, 3, 2).same(), &[batched(&[2, 3, 4])], |layer, x| layer.forward(x[0]));
    check_layer(&Linear::new(4, 3), &[batched(&[4])], |layer, x| layer.forward(x[0]));
    check_layer(&Linear::new(4, 3).no_bias(), &[batched(&[4])], |layer, x| layer.forward(x[0]));
    // Its statistics depend on all images of the batch.
    check_layer(&BatchNorm2d::new(2), &[batched(&[2, 2, 3])], |layer, x| layer.forward(x[0]));
    check_layer(&BatchNorm2d::new(3).no_affine().eps(0.1), &[batched(&[3, 1, 2])], |layer, x| layer.forward(x[0]));
}

#[test]
fn layers_without_weights() {
    let image = [batched(&[2, 5, 6])];
    for pool in [
        MaxPool2d::new(2, 2),
        MaxPool2d::new(3, 1).padding(1),
        MaxPool2d::new(2, 3).dilation(2).ceil_mode(),
        MaxPool2d::new(1, 1).kernel_hw(3, 2).stride_hw(1, 2),
    ] {
        check_layer(&pool, &image, |pool, x| pool.forward(x[0]));
    }
    for pool in [
        AvgPool2d::new(3, 2),
        AvgPool2d::new(3, 2).padding(1),
        AvgPool2d::new(3, 2).padding(1).exclude_pad().ceil_mode(),
        AvgPool2d::new(4, 3).ceil_mode(),
    ] {
        check_layer(&pool, &image, |pool, x| pool.forward(x[0]));
    }
    for (height, width) in [(1, 1), (3, 4), (7, 2)] {
        check_layer(&AdaptiveAvgPool2d::new(height, width), &image, |pool, x| pool.forward(x[0]));
    }
    // The mask is that of the bench's seed and step.
    check_layer(&Dropout::new(0.5), &image, |dropout, x| dropout.forward(x[0]));
}

/// A value that two branches use, and a layer that shares its weights with itself.
#[test]
fn a_residual_block() {
    let layer = Conv2d::new(2, 2, 3).padding(1);
    check_layer(&layer, &[batched(&[2, 3, 3])], |layer, x| {
        let x = x[0].tanh();
        layer.forward(layer.forward(x).silu()) + x
    });
}

/// Strides, padding, "same", dilation, groups.
#[test]
fn convolution_is_pytorchs() {
    check_fixtures("conv.json", &["conv2d"], &["input", "weight", "bias"], |case, x| {
        let [sh, sw, dh, dw] = [case.integers("stride"), case.integers("dilation")].concat()[..] else { panic!() };
        let layer = Conv2d::infer(1, 1).stride_hw(sh, sw).dilation_hw(dh, dw).groups(case.number("groups") as usize);
        let layer = match case.integers("padding")[..] {
            [height, width] => layer.padding_hw(height, width),
            _ => layer.same(),
        };
        x[0].conv2d(x[1], x.get(2).copied(), layer)
    });
}

/// Sizes along one axis: image, kernel, stride, padding, dilation; the window fits.
fn axis() -> impl Strategy<Value = (usize, AxisWindow)> {
    let numbers = (1..6usize, 1..4usize, 1..4usize, 0..3usize, 1..3usize);
    numbers.prop_filter_map("the window must fit", |(size, kernel, stride, padding, dilation)| {
        let window = AxisWindow { kernel, stride, before: padding, after: padding, dilation, ceil: false };
        window.output(size).map(|_| (size, window))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_of_all_kinds(
        (height, h) in axis(),
        (width, w) in axis(),
        groups in 1..3usize,
        group_in in 1..3usize,
        group_out in 1..3usize,
        bias: bool,
    ) {
        let layer = Conv2d::new(groups * group_in, groups * group_out, 1).kernel_hw(h.kernel, w.kernel).groups(groups);
        let layer = layer.stride_hw(h.stride, w.stride).padding_hw(h.before, w.before).dilation_hw(h.dilation, w.dilation);
        let layer = if bias { layer } else { layer.no_bias() };
        check_layer(&layer, &[batched(&[groups * group_in, height, width])], |layer, x| layer.forward(x[0]));
    }
}
