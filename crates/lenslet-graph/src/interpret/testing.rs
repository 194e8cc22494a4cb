//! A bench for the tests of the op pages: records a few ops on given values, runs them in `f64`, and differentiates them.
//!
//! A batched value has no gradient of its own, since only parameters have. So each input of the bench is built from
//! parameters: a whole value is one, and of a batched one each image is, put in its place with the help of feeds that are 1
//! for one image and 0 for the others. The gradient is then complete, image by image.

use serde_json::Value;

use super::interpret;
use crate::differentiate::differentiate;
use crate::record::{extend, layer, record};
use crate::tensor::Tensor;
use crate::{Graph, Init, Mode, Module, Network, NodeId, RecordMistake, Role, Shape, Var, Visitor};

/// A batched value: image after image.
pub(crate) fn batched(dims: &[usize], values: &[f64]) -> Tensor<f64> {
    Tensor::new(Shape::batched(dims).unwrap(), values.to_vec())
}

/// A value without a batch.
pub(crate) fn whole(dims: &[usize], values: &[f64]) -> Tensor<f64> {
    Tensor::new(Shape::whole(dims).unwrap(), values.to_vec())
}

/// A parameter, outside of layers.
pub(crate) fn parameter(name: &str, shape: Shape, trainable: bool) -> Var {
    let shape = shape.with_batch(false);
    layer(&(), "test", false, |scope| scope.parameter(name, shape, Init::Constant(0.0), trainable))
}

/// What `f` makes of these values.
pub(crate) fn value(inputs: &[Tensor<f64>], f: impl Fn(&[Var]) -> Var) -> Tensor<f64> {
    Bench::new(&false, inputs, None, |_, x| f(x)).value()
}

/// The gradients of the sum over all values of `f`, by each input.
pub(crate) fn gradients(inputs: &[Tensor<f64>], f: impl Fn(&[Var]) -> Var) -> Vec<Tensor<f64>> {
    Bench::new(&false, inputs, None, |_, x| f(x)).input_gradients()
}

/// The first mistake that `f` makes on values of these shapes, in words and without the source line.
pub(crate) fn mistake(shapes: &[Shape], f: impl FnOnce(&[Var]) -> Var) -> String {
    let recorded = extend(&mut Graph::default(), Mode::Train, || {
        let inputs: Vec<Var> = shapes.iter().map(|&shape| Var::input(shape)).collect();
        f(&inputs).shape()
    });
    match recorded.map_err(|error| error.mistake) {
        Err(RecordMistake::Size(error)) => error.to_string(),
        other => panic!("no mistake in sizes: {other:?}"),
    }
}

/// A function on values, and its loss `Σ weights·f(x)`.
pub(crate) struct Bench {
    graph: Graph,
    /// The inputs' values and those of layers, in the order of the graph.
    pub(crate) parameters: Vec<Tensor<f64>>,
    output: NodeId,
    feeds: Vec<Tensor<f64>>,
    batch: usize,
    /// The shapes of the inputs.
    inputs: Vec<Shape>,
}

struct Net<'a, L, F> {
    layer: &'a L,
    inputs: &'a [Tensor<f64>],
    function: F,
}

impl<L: Module, F> Module for Net<'_, L, F> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("layer", self.layer);
    }
}

impl<L: Module, F: Fn(&L, &[Var]) -> Var> Network for Net<'_, L, F> {
    fn forward(&self, images: Var) -> Var {
        // What Network brings along is not used; the images are the inputs' own.
        let _ = images;
        let input = |(i, value): (usize, &Tensor<f64>)| {
            let shape = value.shape();
            if !shape.is_batched() {
                return parameter(&format!("x{i}"), shape, true);
            }
            let ones = Shape::batched(&vec![1; shape.rank()]).unwrap();
            let none = Var::constant(0.0, Shape::scalar(false));
            (0..value.blocks())
                .fold(none, |others, b| Var::input(ones).where_(parameter(&format!("x{i}.{b}"), shape, true), others))
        };
        let inputs: Vec<Var> = self.inputs.iter().enumerate().map(input).collect();
        (self.function)(self.layer, &inputs)
    }
}

impl Bench {
    /// Records `function`, for training, on these inputs; `weights` are 1 if not given. The layer's own parameters get
    /// values from [`spread`].
    pub(crate) fn new<L: Module>(
        layer: &L,
        inputs: &[Tensor<f64>],
        weights: Option<&Tensor<f64>>,
        function: impl Fn(&L, &[Var]) -> Var,
    ) -> Self {
        let batch = inputs.iter().map(Tensor::blocks).max().unwrap_or(1);
        let recording = record(&Net { layer, inputs, function }, Shape::image(1, 1, 1), Mode::Train);
        let output = recording.output.unwrap_or_else(|error| panic!("{error}"));
        let mut graph = recording.graph;
        let shape = graph.node(output).shape();
        let with_loss = extend(&mut graph, Mode::Train, || {
            let loss = (Var::from_id(Some(output)) * Var::input(shape)).sum([]);
            if shape.is_batched() { loss.batch_sum() } else { loss }.want(Role::Loss);
        });
        with_loss.unwrap();
        let mut feeds = vec![Tensor::new(Shape::image(1, 1, 1), vec![0.0; batch])];
        for input in inputs.iter().filter(|input| input.shape().is_batched()) {
            assert_eq!(input.blocks(), batch, "all batched inputs have the same number of images");
            let ones = Shape::batched(&vec![1; input.shape().rank()]).unwrap();
            feeds.extend((0..batch).map(|b| Tensor::per_image(ones, batch, |image, e| e[0] = f64::from(image == b))));
        }
        feeds.push(weights.cloned().unwrap_or_else(|| Tensor::per_image(shape, batch, |_, w| w.fill(1.0))));
        let value_of = |i: usize, name: &str, shape: Shape| match name.strip_prefix('x').map(|n| n.split_once('.')) {
            Some(Some((i, b))) => Tensor::new(shape, inputs[number(i)].image(number(b)).to_vec()),
            Some(None) => inputs[number(&name[1..])].clone(),
            None => spread(shape, 1, 100 + i as u32),
        };
        let parameters = graph.parameters.iter().enumerate().map(|(i, p)| value_of(i, &p.name, p.shape)).collect();
        let inputs = inputs.iter().map(Tensor::shape).collect();
        Self { graph, parameters, output, feeds, batch, inputs }
    }

    fn run(&self, graph: &Graph, parameters: &[Tensor<f64>]) -> Vec<Tensor<f64>> {
        interpret(graph, self.batch, &self.feeds, parameters, 1, 2)
    }

    /// What the function gives.
    pub(crate) fn value(&self) -> Tensor<f64> {
        self.run(&self.graph, &self.parameters).swap_remove(self.output.index())
    }

    /// The loss for these parameters.
    pub(crate) fn loss(&self, parameters: &[Tensor<f64>]) -> f64 {
        let loss = self.graph.output(&Role::Loss).unwrap();
        self.run(&self.graph, parameters)[loss.index()].data()[0]
    }

    /// The gradients by all parameters; zeros where the loss does not depend on one.
    pub(crate) fn gradients(&self) -> Vec<Tensor<f64>> {
        let mut training = self.graph.clone();
        differentiate(&mut training).unwrap_or_else(|error| panic!("{error}"));
        let values = self.run(&training, &self.parameters);
        let gradient = |(i, parameter): (usize, &Tensor<f64>)| match training.output(&Role::Gradient(i)) {
            Some(gradient) => values[gradient.index()].clone(),
            None => Tensor::new(parameter.shape(), vec![0.0; parameter.data().len()]),
        };
        self.parameters.iter().enumerate().map(gradient).collect()
    }

    /// The gradients by the inputs, put together again.
    pub(crate) fn input_gradients(&self) -> Vec<Tensor<f64>> {
        let gradients = self.gradients();
        let of = |name: String| {
            let index = self.graph.parameters.iter().position(|p| p.name == name).unwrap();
            gradients[index].data().to_vec()
        };
        let input = |(i, &shape): (usize, &Shape)| {
            let names = (0..self.batch).map(|b| if shape.is_batched() { format!("x{i}.{b}") } else { format!("x{i}") });
            let blocks = if shape.is_batched() { self.batch } else { 1 };
            Tensor::new(shape, names.take(blocks).flat_map(of).collect())
        };
        self.inputs.iter().enumerate().map(input).collect()
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

/// Values from −1.5 to 1.5 in random order, evenly spaced, so that none is 0 and no two are alike: apart from kinks.
/// Different `salt`s below 10 have different values too.
pub(crate) fn spread(shape: Shape, batch: usize, salt: u32) -> Tensor<f64> {
    let blocks = if shape.is_batched() { batch } else { 1 };
    let mut order = vec![0; blocks * shape.len()];
    lenslet_rng::shuffle(&mut order, 0, salt.into());
    let count = order.len() as f64;
    let offset = f64::from(salt % 10) * 0.097 + 0.03;
    Tensor::new(shape, order.into_iter().map(|i| (f64::from(i) + offset) / count * 3.0 - 1.5).collect())
}

/// A case of one of PyTorch's tables in `tests/fixtures`; see `make_tables.py` there.
pub(crate) struct Fixture(Value);

impl Fixture {
    /// The case's text of this name; empty if it has none.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or("")
    }

    /// The case's number of this name.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("no number {name}"))
    }

    /// The case's `true` or `false` of this name.
    pub(crate) fn truth(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("no truth {name}"))
    }

    /// The case's list of whole numbers of this name; empty if it has none.
    pub(crate) fn integers(&self, name: &str) -> Vec<usize> {
        let list = self.0[name].as_array().into_iter().flatten();
        list.map(|n| n.as_u64().expect("a whole number") as usize).collect()
    }

    /// The case's tensor of this name; whole, or batched with the first axis as the batch.
    pub(crate) fn tensor(&self, name: &str, is_batched: bool) -> Option<Tensor<f64>> {
        let tensor = self.0.get(name)?;
        let numbers = |key: &str| tensor[key].as_array().into_iter().flatten().map(|v| v.as_f64().unwrap_or(f64::NAN));
        let dims: Vec<usize> = numbers("shape").map(|n| n as usize).collect();
        let values: Vec<f64> = numbers("values").collect();
        Some(if is_batched { batched(&dims[1..], &values) } else { whole(&dims, &values) })
    }
}

/// Checks value and gradients of `f` against PyTorch's, in all cases of a table that are about one of `ops`.
///
/// `names` are the tensors that `f` is given; `weight` and `bias` are whole, others batched.
pub(crate) fn check_fixtures(file: &str, ops: &[&str], names: &[&str], f: impl Fn(&Fixture, &[Var]) -> Var) {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = table["cases"].as_array().unwrap().iter().cloned().map(Fixture);
    let cases: Vec<Fixture> = cases.filter(|case| ops.contains(&case.text("op"))).collect();
    assert!(!cases.is_empty(), "{file} has no case about {ops:?}");
    let failures: Vec<String> = cases.iter().flat_map(|case| differences(case, names, &f)).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn differences(case: &Fixture, names: &[&str], f: impl Fn(&Fixture, &[Var]) -> Var) -> Vec<String> {
    let present: Vec<&str> = names.iter().copied().filter(|name| case.0.get(name).is_some()).collect();
    let is_batched = |name: &str| !["weight", "bias"].contains(&name);
    let inputs: Vec<Tensor<f64>> = present.iter().map(|name| case.tensor(name, is_batched(name)).unwrap()).collect();
    let seed = case.tensor("seed", true);
    let bench = Bench::new(&false, &inputs, seed.as_ref(), |_, x| f(case, x));
    let mut pairs = vec![("output", bench.value())];
    let by_input = bench.input_gradients();
    pairs.extend(present.into_iter().zip(by_input));
    let mut failures = Vec::new();
    for (name, ours) in pairs {
        let key = if name == "output" { name.to_owned() } else { format!("grad_{name}") };
        let Some(theirs) = case.tensor(&key, ours.shape().is_batched()) else { continue };
        if ours.shape() != theirs.shape() || !ours.data().iter().zip(theirs.data()).all(|(&a, &b)| close(a, b)) {
            failures.push(format!("{} ({}), {key}:\n  {ours:?}\n  {theirs:?}", case.text("call"), case.text("about")));
        }
    }
    failures
}

/// Equal up to 1e-6, since an op's own numbers (a slope, a momentum) are `f32`; NaN is like NaN.
pub(crate) fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-6 * (1.0 + b.abs())
}
