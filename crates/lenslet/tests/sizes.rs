//! Sizes at run time: what the compiler says of a wrong network, recording says in the same words; and the networks that
//! have names have PyTorch's names and numbers of weights.

use lenslet::networks::{NETWORKS, by_name};
use lenslet::prelude::*;
use lenslet::{Mode, Shape, record};

/// The lesson's network with a place for each mistake; its right form and the wrong ones in `compile_fail/` differ from it
/// in nothing else.
#[derive(Module)]
struct Cnn {
    conv1: Conv2d,
    pool: MaxPool2d,
    conv2: Conv2d,
    fc1: Linear,
    view: usize,
}

#[network]
impl Cnn {
    const fn new() -> Self {
        Self {
            conv1: Conv2d::new(3, 6, 5),
            pool: MaxPool2d::new(2, 2),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(16 * 5 * 5, 120),
            view: 16 * 5 * 5,
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.pool.forward(self.conv1.forward(x).relu());
        let x = self.pool.forward(self.conv2.forward(x).relu());
        let x = x.view(self.view);
        self.fc1.forward(x).relu()
    }
}

#[derive(Module)]
struct Block {
    conv1: Conv2d,
    conv2: Conv2d,
}

#[network]
impl Block {
    fn forward(&self, x: Var) -> Var {
        let y = self.conv2.forward(self.conv1.forward(x).relu());
        (x + y).relu()
    }
}

/// The sentences of a recording, and the line that says where.
fn recorded(network: &dyn Network, [channels, height, width]: [usize; 3]) -> (String, String) {
    let output = record(network, Shape::image(channels, height, width), Mode::Train).output;
    let message = output.expect_err("the network is wrong").to_string();
    let (words, place) = message.split_once("\n  at: ").expect("a message says where");
    (words.to_owned(), place.to_owned())
}

/// The sentences of the compiler, from the file that the compile-fail test compares them with.
fn compiled(case: &str) -> String {
    let path = format!("{}/tests/compile_fail/{case}.stderr", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, text) = text.split_once("evaluation panicked: ").expect("the compiler ran into a panic");
    let (words, _) = text.split_once("\n  --> ").expect("the compiler says where");
    // The compiler indents all lines of a message but the first.
    words.replace("\n              ", "\n")
}

#[test]
fn recording_speaks_as_the_compiler_does() {
    let image = [3, 32, 32];
    let lesson: [(&str, &str, Cnn); 4] = [
        ("view", "", Cnn { view: 16 * 6 * 6, ..Cnn::new() }),
        ("channels", "conv2", Cnn { conv2: Conv2d::new(8, 16, 5), ..Cnn::new() }),
        ("kernel", "conv2", Cnn { conv2: Conv2d::new(6, 16, 15), ..Cnn::new() }),
        ("linear", "fc1", Cnn { fc1: Linear::new(16 * 6 * 6, 120), ..Cnn::new() }),
    ];
    for (case, layer, network) in lesson {
        let (words, place) = recorded(&network, image);
        assert_eq!(words, compiled(case), "{case}");
        assert!(place.starts_with(layer) && place.contains("sizes.rs:"), "{case} is placed at {place}");
    }
    let block = Block { conv1: Conv2d::new(16, 32, 3).stride(2).padding(1), conv2: Conv2d::new(32, 32, 3).padding(1) };
    assert_eq!(recorded(&block, [16, 32, 32]).0, compiled("residual"));
}

#[test]
fn an_image_of_another_size_is_refused_in_words() {
    let lesson = by_name("lesson", [1, 28, 28], 10).expect("the lesson's network exists");
    let (words, place) = recorded(&*lesson, [1, 28, 28]);
    assert!(words.starts_with("view: the feature map is 16x4x4 = 256 values per image, not 400"), "{words}");
    assert!(place.contains("lesson.rs:"), "{place}");
}

/// Trainable numbers of a network.
fn weights(name: &str, channels: usize, classes: usize) -> usize {
    let network = by_name(name, [channels, 32, 32], classes).expect("a network of that name");
    let recording = record(&*network, Shape::image(channels, 32, 32), Mode::Train);
    let output = recording.output.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(recording.graph.node(output).shape().dims(), [classes], "{name}");
    recording.graph.parameters.iter().filter(|p| p.trainable).map(|p| p.shape.len()).sum()
}

#[test]
fn networks_have_as_many_weights_as_pytorchs() {
    // `sum(p.numel() for p in net.parameters())`: the tutorial's Net, pytorch-cifar's ResNet18, the paper's ResNet-20 with
    // option B, and cifar10-airbench's network.
    assert_eq!(weights("lesson", 3, 10), 62_006);
    assert_eq!(weights("resnet18", 3, 10), 11_173_962);
    assert_eq!(weights("resnet20", 3, 10), 272_474);
    assert_eq!(weights("airbench94", 3, 10), 1_972_792);
    // A channel less is 64·9 weights less, a class more 513.
    assert_eq!(weights("resnet18", 1, 10), 11_173_962 - 2 * 64 * 9);
    assert_eq!(weights("resnet18", 3, 100), 11_173_962 + 90 * 513);
    for network in NETWORKS {
        assert!(weights(network.name, network.input[0], 7) > 0);
    }
}

#[test]
fn resnet_has_the_names_of_torchvision() {
    let network = by_name("resnet18", [3, 32, 32], 10).expect("it exists");
    let graph = record(&*network, Shape::image(3, 32, 32), Mode::Train).graph;
    let mut names: Vec<&str> = graph.parameters.iter().map(|p| p.name.as_str()).collect();
    for name in
        ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight", "layer4.1.bn2.bias", "fc.weight", "fc.bias"]
    {
        assert!(names.contains(&name), "{name} is missing");
    }
    names.retain(|name| name.contains("downsample"));
    let shortcut = ["0.weight", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"];
    let expected = (2..=4).flat_map(|layer| shortcut.map(|name| format!("layer{layer}.0.downsample.{name}")));
    names.sort_unstable();
    let mut expected: Vec<_> = expected.collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
}
