//! What PyTorch says: sizes, values and gradients of its own operations, from the tables in `fixtures`.
//!
//! The tables are made by `fixtures/make_tables.py`; a case carries the call that made it. Everything here goes through
//! the public interface: ops are recorded, differentiated, and run by the interpreter in `f64`. A gradient belongs to a
//! parameter, so a case's tensors become parameters of the recorded graph, the batched ones too; only the interpreter
//! puts up with these. All failing cases of a table are reported together.

use std::cell::Cell;

use lenslet_graph::differentiate::differentiate;
use lenslet_graph::interpret::interpret;
use lenslet_graph::ops::leaf::{Input, ParameterValue};
use lenslet_graph::record::extend;
use lenslet_graph::tensor::Tensor;
use lenslet_graph::window::Window;
use lenslet_graph::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, Graph, Init, MaxPool2d, Mode, Module, Network, Op, Parameter,
    Role, Shape, ShapeVar, Var, Visitor, record,
};
use serde_json::Value;

/// The layer or function of a case, on its tensors.
fn apply(case: &Case, x: &[Var]) -> Var {
    match case.text("op") {
        "conv2d" => x[0].conv2d(x[1], x.get(2).copied(), conv2d(case)),
        "max_pool2d" => max_pool2d(case).forward(x[0]),
        "avg_pool2d" => avg_pool2d(case).forward(x[0]),
        "adaptive_avg_pool2d" => {
            let [height, width] = case.pair("output_size");
            AdaptiveAvgPool2d::new(height, width).forward(x[0])
        }
        "relu" => x[0].relu(),
        "leaky_relu" => x[0].leaky_relu(case.number("negative_slope") as f32),
        "gelu" if case.text("approximate") == "tanh" => x[0].gelu_tanh(),
        "gelu" => x[0].gelu(),
        "silu" => x[0].silu(),
        "sigmoid" => x[0].sigmoid(),
        "tanh" => x[0].tanh(),
        // PyTorch counts the batch as axis 0.
        "softmax" => x[0].softmax(case.number("dim") as isize - 1),
        "log_softmax" => x[0].log_softmax(case.number("dim") as isize - 1),
        "amax" => match (&case.numbers("dim")[..], case.truth("keepdim")) {
            ([1.0], true) => x[0].max_keep(0),
            ([1.0], false) => x[0].max(0),
            ([2.0, 3.0], false) => x[0].max([1, 2]),
            other => panic!("other axes: {other:?}"),
        },
        "cross_entropy" => {
            let mean = x[0].cross_entropy(x[1], case.number("label_smoothing") as f32);
            let images = case.shape("input")[0] as f32;
            if case.text("reduction") == "sum" { mean * images } else { mean }
        }
        "mixed_cross_entropy" => x[0].mixed_cross_entropy([x[1], x[2]], x[3], case.number("label_smoothing") as f32),
        "mse_loss" => {
            let mean = x[0].mse_loss(x[1]);
            let values = case.shape("input").iter().product::<usize>() as f32;
            if case.text("reduction") == "sum" { mean * values } else { mean }
        }
        other => panic!("{other} has no line here"),
    }
}

fn conv2d(case: &Case) -> Conv2d {
    let layer = Conv2d::new(1, 1, 1);
    let layer =
        if case.text("padding") == "same" { layer.same() } else { hw(case, "padding", layer, Conv2d::padding_hw) };
    let layer = hw(case, "kernel", layer, Conv2d::kernel_hw);
    let layer = hw(case, "stride", layer, Conv2d::stride_hw);
    let layer = hw(case, "dilation", layer, Conv2d::dilation_hw);
    if case.has("groups") { layer.groups(case.number("groups") as usize) } else { layer }
}

fn max_pool2d(case: &Case) -> MaxPool2d {
    let layer = hw(case, "kernel", MaxPool2d::new(1, 1), MaxPool2d::kernel_hw);
    let layer = hw(case, "stride", layer, MaxPool2d::stride_hw);
    let layer = hw(case, "padding", layer, MaxPool2d::padding_hw);
    let layer = hw(case, "dilation", layer, MaxPool2d::dilation_hw);
    if case.truth("ceil_mode") { layer.ceil_mode() } else { layer }
}

fn avg_pool2d(case: &Case) -> AvgPool2d {
    let layer = hw(case, "kernel", AvgPool2d::new(1, 1), AvgPool2d::kernel_hw);
    let layer = hw(case, "stride", layer, AvgPool2d::stride_hw);
    let layer = hw(case, "padding", layer, AvgPool2d::padding_hw);
    let layer = if case.truth("ceil_mode") { layer.ceil_mode() } else { layer };
    if case.has("count_include_pad") && !case.truth("count_include_pad") { layer.exclude_pad() } else { layer }
}

fn hw<L>(case: &Case, name: &str, layer: L, with: fn(L, usize, usize) -> L) -> L {
    let [height, width] = case.pair(name);
    with(layer, height, width)
}

#[test]
fn sizes_of_windows() {
    let mut deviations = 0;
    check_all("window_sizes.json", 160, |case| {
        if case.numbers("padding").iter().any(|&padding| padding < 0.0) {
            return vec![]; // An error in PyTorch; here there is no such number.
        }
        let [height, width] = case.pair("input");
        let x = ShapeVar::image([1, height, width]);
        let (window, ours): (Window, _) = match case.text("op") {
            "conv2d" => (conv2d(case).window(), conv2d(case).rule(&x)),
            "max_pool2d" => (max_pool2d(case).window(), max_pool2d(case).rule(&x)),
            "avg_pool2d" => (avg_pool2d(case).window(), avg_pool2d(case).rule(&x)),
            other => panic!("{other} has no line here"),
        };
        let ours = ours.ok().map(|x| [x.dim(1), x.dim(2)]);
        let theirs = if case.has("error") { None } else { Some(case.pair("output")) };
        // A deviation: with ceil_mode PyTorch takes a map that is smaller than the window by less than a stride.
        let fits = window.height.extent() <= height + 2 * window.height.before
            && window.width.extent() <= width + 2 * window.width.before;
        if theirs.is_some() && !fits && ours.is_none() {
            deviations += 1;
            return vec![];
        }
        if ours == theirs { vec![] } else { vec![format!("{}: {ours:?}, PyTorch {theirs:?}", case.0)] }
    });
    assert_eq!(deviations, DEVIATIONS, "cases in which we refuse what PyTorch takes");
}

/// See [`sizes_of_windows`].
const DEVIATIONS: usize = 0;

#[test]
fn convolution() {
    check_all("conv.json", 20, differences);
}

#[test]
fn pooling() {
    check_all("pool.json", 32, differences);
}

#[test]
fn activations_and_softmax() {
    check_all("activations.json", 16, differences);
}

#[test]
fn losses() {
    check_all("losses.json", 14, differences);
}

#[test]
fn maximum_over_axes() {
    check_all("reduce.json", 5, differences);
}

#[test]
fn batch_normalisation() {
    check_all("norm.json", 10, normalisation_differences);
}

/// Runs `differences` on every case of a table.
fn check_all(file: &str, at_least: usize, differences: impl FnMut(&Case) -> Vec<String>) {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases: Vec<Case> = table["cases"].as_array().unwrap().iter().cloned().map(Case).collect();
    assert!(cases.len() >= at_least, "{file} has only {} cases", cases.len());
    let failures: Vec<String> = cases.iter().flat_map(differences).collect();
    assert!(failures.is_empty(), "{} of {file} differ:\n{}", failures.len(), failures.join("\n"));
}

/// A row of a table.
struct Case(Value);

impl Case {
    fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or("")
    }

    fn truth(&self, name: &str) -> bool {
        self.0[name].as_bool().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_else(|| panic!("no {name} in {}", self.0))
    }

    fn numbers(&self, name: &str) -> Vec<f64> {
        numbers(&self.0[name])
    }

    fn pair(&self, name: &str) -> [usize; 2] {
        let pair: Vec<usize> = self.numbers(name).into_iter().map(|n| n as usize).collect();
        pair.try_into().unwrap_or_else(|_| panic!("no pair {name} in {}", self.0))
    }

    fn shape(&self, name: &str) -> Vec<usize> {
        numbers(&self.0[name]["shape"]).into_iter().map(|n| n as usize).collect()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        numbers(&self.0[name]["values"])
    }

    /// The tensor of this name. Parameters are whole, and so is a loss; all else has the batch in front.
    fn tensor(&self, name: &str) -> Tensor<f64> {
        let dims = self.shape(name);
        let shape = match name {
            "weight" | "bias" => Shape::whole(&dims),
            _ => Shape::batched(&dims[1..]),
        };
        Tensor::new(shape.unwrap(), self.values(name))
    }
}

/// Numbers of a list; null is NaN.
fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().map(|n| n.as_f64().unwrap_or(f64::NAN)).collect()
}

/// What differs between our values and gradients of a case and PyTorch's.
fn differences(case: &Case) -> Vec<String> {
    let learnt: Vec<&str> = ["input", "weight", "bias"].into_iter().filter(|&name| case.has(name)).collect();
    let given: Vec<&str> =
        learnt.iter().copied().chain(["target", "other", "share"].into_iter().filter(|&name| case.has(name))).collect();
    let tensors: Vec<Tensor<f64>> = given.iter().map(|name| case.tensor(name)).collect();
    let mut graph = Graph::default();
    let recorded = extend(&mut graph, Mode::Train, || {
        let x: Vec<Var> = tensors.iter().map(|tensor| Var::input(tensor.shape())).collect();
        apply(case, &x)
    });
    let y = recorded.unwrap_or_else(|error| panic!("{}: {error}", case.text("call")));
    let (learnt_values, feeds) = tensors.split_at(learnt.len());
    Backward { case, names: learnt, values: learnt_values.to_vec(), feeds: feeds.to_vec() }.differences(graph, y)
}

struct Net {
    bn: BatchNorm2d,
    /// What forward made.
    output: Cell<Option<Var>>,
}

impl Module for Net {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        visitor.field("bn", &self.bn);
    }
}

impl Network for Net {
    fn forward(&self, x: Var) -> Var {
        let y = self.bn.forward(x);
        self.output.set(Some(y));
        y
    }
}

/// The same for batch normalisation, which is a layer with parameters, two modes, and running values.
fn normalisation_differences(case: &Case) -> Vec<String> {
    // A row of features is as many channels of one pixel.
    let dims = case.shape("input");
    let image = Shape::image(dims[1], *dims.get(2).unwrap_or(&1), *dims.get(3).unwrap_or(&1));
    let layer = BatchNorm2d::infer().eps(case.number("eps") as f32).momentum(case.number("momentum") as f32);
    let layer = if case.has("weight") { layer } else { layer.no_affine() };
    let mode = if case.truth("training") { Mode::Train } else { Mode::Eval };
    let network = Net { bn: layer, output: Cell::new(None) };
    let graph = record(&network, image, mode).graph;
    let channels = Shape::whole(&[dims[1]]).unwrap();
    let names: Vec<String> = graph.parameters.iter().map(|p| p.name.replace("bn.", "")).collect();
    let mut values: Vec<Tensor<f64>> = Vec::new();
    for name in &names {
        values.push(match name.as_str() {
            "num_batches_tracked" => Tensor::new(Shape::scalar(false), vec![7.0]),
            name => Tensor::new(channels, case.values(name)),
        });
    }
    // The images come last: the recording has numbered the parameters already.
    values.push(Tensor::new(image, case.values("input")));
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["input"]).collect();
    let backward = Backward { case, names: names.clone(), values: values.clone(), feeds: vec![] };
    let mut failures = backward.differences(graph.clone(), network.output.get().unwrap());
    let after = interpret::<f64>(&graph, dims[0], &values[names.len() - 1..], &values[..names.len() - 1], 0, 0);
    for (i, &name) in names.iter().enumerate() {
        let update = graph.output(&Role::Update(i)).map(|id| after[id.index()].data().to_vec());
        let expected = match name {
            "running_mean" | "running_var" => case.values(&format!("after_{name}")),
            "num_batches_tracked" if mode == Mode::Train => vec![8.0],
            _ => values[i].data().to_vec(),
        };
        compare(case, name, update.as_deref().unwrap_or(values[i].data()), &expected, &mut failures);
        assert_eq!(update.is_some(), mode == Mode::Train && name.contains('_'), "{name} in {mode:?}");
    }
    failures
}

/// A recorded case, to be differentiated.
struct Backward<'a> {
    case: &'a Case,
    /// What has a gradient: parameters of the graph, then its first inputs.
    names: Vec<&'a str>,
    /// Their values.
    values: Vec<Tensor<f64>>,
    /// The inputs that have none.
    feeds: Vec<Tensor<f64>>,
}

impl Backward<'_> {
    /// What differs between output and gradients and the table's.
    fn differences(mut self, mut graph: Graph, y: Var) -> Vec<String> {
        let output = graph.ids().next_back().unwrap();
        let shape = graph.node(output).shape();
        if self.case.has("seed") {
            let seed = Tensor::new(shape, self.case.values("seed"));
            extend(&mut graph, Mode::Train, || (y * Var::input(shape)).sum([]).batch_sum()).unwrap();
            self.feeds.push(seed);
        }
        let loss = graph.ids().next_back().unwrap();
        graph.outputs.push((Role::Loss, loss));
        self.inputs_become_parameters(&mut graph);
        differentiate(&mut graph).unwrap();
        let batch = self.case.shape("input")[0];
        let values = interpret::<f64>(&graph, batch, &self.feeds, &self.values, 0, 0);
        let mut failures = Vec::new();
        compare(self.case, "output", values[output.index()].data(), &self.case.values("output"), &mut failures);
        for (i, name) in self.names.iter().enumerate() {
            let gradient = format!("grad_{name}");
            if self.case.has(&gradient) {
                let ours = &values[graph.output(&Role::Gradient(i)).expect("a gradient").index()];
                compare(self.case, &gradient, ours.data(), &self.case.values(&gradient), &mut failures);
            }
        }
        failures
    }

    fn inputs_become_parameters(&self, graph: &mut Graph) {
        let known = graph.parameters.len();
        let learnt = self.values.len() - known;
        for node in &mut graph.nodes {
            if let Op::Input(Input { index }) = node.op {
                node.op = if index < learnt {
                    ParameterValue { index: known + index }.into()
                } else {
                    Input { index: index - learnt }.into()
                };
            }
        }
        let feeds = graph.inputs.split_off(learnt);
        for (i, &shape) in graph.inputs.iter().enumerate() {
            let name = self.names[known + i].to_owned();
            graph.parameters.push(Parameter { name, shape, init: Init::Constant(0.0), trainable: true });
        }
        graph.inputs = feeds;
    }
}

/// Adds a line to `failures` where the numbers differ: by more than 1e-6, since a slope, a momentum or an eps is an `f32`.
fn compare(case: &Case, what: &str, ours: &[f64], theirs: &[f64], failures: &mut Vec<String>) {
    let close = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-6 * (1.0 + b.abs());
    if ours.len() != theirs.len() || !ours.iter().zip(theirs).all(|(&a, &b)| close(a, b)) {
        let call = format!("{}: {}", case.text("about"), case.text("call"));
        failures.push(format!("{call}, {what}\n  ours    {ours:?}\n  PyTorch {theirs:?}"));
    }
}
