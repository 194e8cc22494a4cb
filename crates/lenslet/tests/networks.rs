//! Networks by name against torchvision and PyTorch: the same names and sizes of weights, and the same logits.
//!
//! `fixtures/make_networks.py` computed once what is expected, and says which network came from where. Tolerance: 1e-4 of the
//! largest logit. The lesson's network and airbench94 are compared in `pytorch.rs`.

mod formula;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use formula::formula;
use lenslet::cpu::{Feed, Pool};
use lenslet::graph::Graph;
use lenslet::networks::{NETWORKS, by_name, find};
use lenslet::{Inference, Mode, Settings, Shape, Trainer, Weights, record};
use serde_json::Value;

const TOLERANCE: f32 = 1e-4;
const CLASSES: usize = 10;
/// They have fixtures of their own, or are as one that has but for their widths.
const ELSEWHERE: [&str; 6] =
    ["lesson", "lesson-wide", "lesson-wide-bn", "airbench94", "airbench94-half", "airbench94-quarter"];

#[test]
fn networks_for_small_images_are_pytorchs() {
    for network in NETWORKS.iter().filter(|network| network.input[1] == 32 && !ELSEWHERE.contains(&network.name)) {
        compare(network.name);
    }
}

#[test]
fn networks_for_imagenet_are_torchvisions() {
    for network in NETWORKS.iter().filter(|network| network.input[1] == 224) {
        compare(network.name);
        let graph =
            record(&*by_name(network.name, network.input, 1000).unwrap(), image(network.input), Mode::Train).graph;
        assert_eq!(trainable(&graph), expected(network.name)["parameters_1000"], "{}", network.name);
    }
}

/// Names, sizes and logits of one network.
fn compare(name: &str) {
    let expected = expected(name);
    let input = [0, 1, 2].map(|axis| expected["input"][axis].as_u64().expect("C×H×W") as usize);
    let network = by_name(name, input, CLASSES).expect("the fixture speaks of networks that exist");
    let mut inference = Inference::new(&*network, image(input), CLASSES).expect("the sizes fit");
    let ours = entries(inference.graph());
    let theirs: BTreeSet<String> = expected_entries(&expected);
    let [missing, more] = [&theirs - &ours, &ours - &theirs];
    assert!(missing.is_empty() && more.is_empty(), "{name} lacks {missing:#?} and has {more:#?}");
    assert_eq!(trainable(inference.graph()), expected["parameters"], "{name}");

    let weights = by_formula(inference.graph());
    let theirs: Vec<f32> = expected["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
    let largest = theirs.iter().fold(0.0, |max: f32, x| max.max(x.abs()));
    let _ = inference.run(&mut Pool::new(2), &weights, 1, &ByFormula, |_, ours| {
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() <= TOLERANCE * largest, "{name} answers {ours}, PyTorch {theirs}");
        }
        ControlFlow::Continue(())
    });
}

/// The fixture's row.
fn expected(name: &str) -> Value {
    let mut table: Value = serde_json::from_str(include_str!("fixtures/networks.json")).expect("the fixture is whole");
    table["networks"][name].take()
}

/// All entries of the fixture's `state_dict` with their sizes: `conv1.weight 64x3x3x3`.
fn expected_entries(row: &Value) -> BTreeSet<String> {
    let modules = row["modules"].as_object().expect("a module is a row");
    let entries = modules.iter().flat_map(|(module, entries)| {
        entries.as_str().expect("a line of text").split(", ").map(move |entry| format!("{module}.{entry}"))
    });
    entries.collect()
}

fn entries(graph: &Graph) -> BTreeSet<String> {
    let sizes = |shape: Shape| shape.dims().iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    graph.parameters.iter().map(|p| format!("{} {}", p.name, sizes(p.shape)).trim_end().to_owned()).collect()
}

fn trainable(graph: &Graph) -> usize {
    graph.parameters.iter().filter(|p| p.trainable).map(|p| p.shape.len()).sum()
}

fn image([channels, height, width]: [usize; 3]) -> Shape {
    Shape::image(channels, height, width)
}

/// `values` of `make_networks.py`, for all weights.
fn by_formula(graph: &Graph) -> Weights {
    let mut weights = Weights::new(graph, 0);
    let names: BTreeMap<&str, usize> = graph.parameters.iter().enumerate().map(|(i, p)| (p.name.as_str(), i)).collect();
    for ((name, number), salt) in names.into_iter().zip(1..) {
        let dims = graph.parameters[number].shape.dims();
        let (factor, add) = match dims {
            [] => (0.0, 0.0),
            [_] if name.ends_with("weight") || name.ends_with("running_var") => (0.5, 1.0),
            [_] => (0.5, 0.0),
            [_, inputs @ ..] => ((6.0 / inputs.iter().product::<usize>() as f64).sqrt() as f32, 0.0),
        };
        let values = weights.values_mut(number);
        for (value, x) in values.iter_mut().zip(formula(salt)) {
            *value = x * factor + add;
        }
    }
    weights
}

/// The one image of the fixture.
struct ByFormula;

impl Feed for ByFormula {
    fn fill(&self, _: usize, _: usize, values: &mut [f32]) {
        for (value, x) in values.iter_mut().zip(formula(0)) {
            *value = 2.0 * x;
        }
    }
}

/// A batch whose images differ, with labels.
struct Batch;

impl Feed for Batch {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        if input == 1 {
            values[0] = (image % CLASSES) as f32;
            return;
        }
        for (value, x) in values.iter_mut().zip(formula(1 + image as u64)) {
            *value = x;
        }
    }
}

/// A step on a few images leaves a loss that is a number, and there is a gradient for every weight.
#[test]
fn networks_can_be_trained() {
    // Others take memory or time that a test should not.
    const LEFT_OUT: [&str; 3] = ["wide-resnet", "vgg11-imagenet", "vgg16-imagenet"];
    for network in NETWORKS.iter().filter(|network| !LEFT_OUT.contains(&network.name)) {
        let (name, batch) = (network.name, 3);
        // The smallest image that all take.
        let input = [3, 32, 32];
        let made = by_name(name, input, CLASSES).expect("it exists");
        let settings = Settings { batch, ..Settings::default() };
        let mut trainer = Trainer::new(&*made, image(input), CLASSES, settings, 2).expect("the sizes fit");
        let before = trainer.weights().clone();
        let loss = trainer.step(&Batch, batch, 1e-3).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(loss.is_finite() && loss > 0.0, "{name}: {loss}");
        assert_eq!(trainer.without_gradient(), Vec::<String>::new(), "{name}");
        assert_ne!(trainer.weights().all(), before.all(), "{name}");
    }
    assert!(LEFT_OUT.iter().all(|name| find(name).is_ok()), "a name that is left out must exist");
}
