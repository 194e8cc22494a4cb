//! Each warning where it is due, with its words, and silence where it is not.

use std::ops::ControlFlow;
use std::time::Duration;

use lenslet::data::Split;
use lenslet::networks::{Lesson, ResNet20};
use lenslet::prelude::*;
use lenslet::training::{Epoch, training_graph};
use lenslet::warnings::{Watch, of_network};
use lenslet::{Error, Normalization, Settings, Shape, Trainer, Warning};

/// A dense layer, and what may stand between it and the loss.
#[derive(Module)]
struct Ending {
    fc: Linear,
    ending: usize,
}

#[network]
impl Ending {
    fn forward(&self, x: Var) -> Var {
        let logits = self.fc.forward(x.flatten());
        match self.ending {
            0 => logits,
            1 => logits.log_softmax(-1),
            2 => logits.softmax(-1),
            3 => logits.view([5, 2]).softmax(0).dropout(0.5).view(10),
            4 => logits.softmax(-1).log_softmax(-1),
            // Attention over its own values: a softmax within the network is none before the loss.
            5 => logits.softmax(-1) * logits,
            _ => logits.softmax(-1).log(),
        }
    }
}

#[test]
fn a_softmax_before_the_cross_entropy() {
    let of = |ending| {
        let network = Ending { fc: Linear::infer(10), ending };
        let graph = training_graph(&network, Shape::image(3, 4, 4), 10, 0.1).expect("the sizes fit");
        of_network(&graph, 1000, 64)
    };
    for ending in [0, 1, 5, 6] {
        assert_eq!(of(ending), [], "ending {ending}");
    }
    for ending in [2, 3, 4] {
        let [Warning::SoftmaxBeforeCrossEntropy { place, classes: 10 }] = &of(ending)[..] else { panic!("{ending}") };
        assert!(place.starts_with("softmax (at ") && place.contains("warnings.rs:"), "{place}");
    }
    // torch.nn.functional.cross_entropy(torch.eye(10)[:1], torch.tensor([0])) = 1.4612
    assert_eq!(
        Warning::SoftmaxBeforeCrossEntropy { place: "softmax (at net.rs:7)".into(), classes: 10 }.to_string(),
        "the network ends in softmax (at net.rs:7), and cross-entropy takes the softmax itself: taken twice, it makes \
         gradients small, and the loss cannot fall below 1.4612\n  mend it: let the network return its logits, without \
         softmax; `lenslet predict` gives probabilities"
    );
}

#[test]
fn a_last_batch_of_one_with_batch_normalisation() {
    let resnet = training_graph(&ResNet20::new(), Shape::image(3, 32, 32), 10, 0.0).expect("the sizes fit");
    let lesson = training_graph(&Lesson::new(), Shape::image(3, 32, 32), 10, 0.0).expect("the sizes fit");
    let better = |images, batch| match &of_network(&resnet, images, batch)[..] {
        [] => None,
        [Warning::BatchOfOne { better, .. }] => Some(*better),
        more => panic!("{more:?}"),
    };
    // What the default run and CIFAR-10 leave: 16, 80; nothing; two.
    for (images, batch) in [(10_000, 64), (50_000, 128), (640, 64), (66, 64), (64, 65)] {
        assert_eq!(better(images, batch), None, "{images} in batches of {batch}");
    }
    // 65 and 63 are as near, the larger is taken; where it leaves one again, the smaller; and where neither does, the next.
    assert_eq!(better(49_985, 64), Some(Some(65)));
    assert_eq!(better(64 * 65 + 1, 64), Some(Some(63)));
    assert_eq!(better(7, 2), Some(Some(4)));
    assert_eq!(better(5, 1), Some(Some(2 + 1)));
    assert_eq!(better(1, 64), Some(None));
    assert_eq!(of_network(&lesson, 49_985, 64), []);

    let [Warning::BatchOfOne { place, .. }] = &of_network(&resnet, 49_985, 64)[..] else { panic!("one warning") };
    assert!(place.starts_with("bn1 (batch_norm, at ") && place.contains("resnet.rs:"), "{place}");
    let words = |images, batch, better| {
        Warning::BatchOfOne { place: "bn1 (batch_norm, at net.rs:7)".into(), images, batch, better }.to_string()
    };
    assert_eq!(
        words(49_985, 64, Some(65)),
        "the last batch of every epoch (49985 = 781 x 64 + 1) has a single image, but bn1 (batch_norm, at net.rs:7) takes \
         mean and spread of its batch, which says little about one image and spoils the running statistics\n  mend it: \
         --batch 65, which leaves 65 images for the last batch"
    );
    assert!(words(5, 1, Some(3)).starts_with("every batch has a single image, but "));
    assert!(words(1, 64, None).ends_with("mend it: train on more images"));
}

/// Twenty channels and twenty values behind ReLUs, and a branch that nothing comes of.
#[derive(Module)]
struct Relus {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    fc1: Linear,
    fc2: Linear,
    idle: Linear,
}

#[network]
impl Relus {
    fn new() -> Self {
        Self {
            conv1: Conv2d::new(1, 20, 3),
            bn1: BatchNorm2d::new(20),
            fc1: Linear::infer(20),
            fc2: Linear::infer(2),
            idle: Linear::infer(2),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.bn1.forward(self.conv1.forward(x)).relu();
        let x = self.fc1.forward(x.flatten()).clamp(0.0, 1e9);
        self.fc2.forward(x) + self.idle.forward(x) * 0.0
    }
}

/// Images of 1×6×6 whose classes are dark and light.
fn images(number: usize) -> Split {
    let pixel = |i: usize| ((i * 7919 % 101) + 120 * (i / 36 % 2)) as u8;
    Split {
        images: (0..36 * number).map(pixel).collect::<Vec<_>>().into(),
        labels: (0..number).map(|i| (i % 2) as u32).collect(),
    }
}

fn epoch(trainer: &mut Trainer, number: usize, images: &Split, by: &Normalization) -> Result<Epoch, Error> {
    trainer.epoch(number, images, by, |_| ControlFlow::Continue(()))
}

#[test]
fn dead_relus_and_parameters_without_gradient() -> Result<(), Error> {
    let images = images(100);
    // A rate that changes nothing to speak of.
    let settings = Settings { rate: 1e-9, batch: 50, ..Settings::default() };
    let mut trainer = Trainer::new(&Relus::new(), Shape::image(1, 6, 6), 2, settings, 2)?;
    let mut watch = Watch::new(&trainer, &images);
    let kill = |trainer: &mut Trainer, bias: &str, units: usize| {
        let number = trainer.weights().number(bias).expect("the layer has a bias");
        trainer.set_weights(|weights| weights.values_mut(number)[..units].fill(-1e6));
    };
    let half = Normalization::half(1);
    // The others are alive whatever arrives.
    let number = trainer.weights().number("fc1.bias").expect("the layer has a bias");
    trainer.set_weights(|weights| weights.values_mut(number).fill(100.0));

    // 18 of 20 are 90 %, which is not above 90 %.
    kill(&mut trainer, "bn1.bias", 18);
    kill(&mut trainer, "fc1.bias", 18);
    let done = epoch(&mut trainer, 1, &images, &half)?;
    let warnings = watch.after_epoch(&mut trainer, &images, &half, &done, 0.5);
    assert_eq!(warnings, [Warning::NoGradient { parameters: vec!["idle.weight".into(), "idle.bias".into()] }]);
    assert_eq!(
        warnings[0].to_string(),
        "the gradient of idle.weight, idle.bias was exactly 0 in every step of the epoch, so nothing there has been \
         learnt\n  mend it: see that what the layer gives reaches the network's result, and is not cut off by dead ReLUs or \
         a product with 0"
    );

    kill(&mut trainer, "bn1.bias", 19);
    kill(&mut trainer, "fc1.bias", 20);
    let done = epoch(&mut trainer, 2, &images, &half)?;
    let bits = trainer.weights().clone();
    let warnings = watch.after_epoch(&mut trainer, &images, &half, &done, 0.5);
    let [
        Warning::DeadRelu { place: conv, dead: 19, units: 20, images: 64, .. },
        Warning::DeadRelu { place: fc, dead: 20, units: 20, .. },
    ] = &warnings[..]
    else {
        panic!("{warnings:?}")
    };
    assert!(conv.starts_with("relu behind bn1 (at ") && conv.contains("warnings.rs:"), "{conv}");
    assert!(fc.starts_with("relu behind fc1 (at "), "{fc}");
    let warning =
        Warning::DeadRelu { place: "relu behind fc1 (at net.rs:7)".into(), dead: 19, units: 20, images: 64, rate: 0.5 };
    assert_eq!(
        warning.to_string(),
        "19 of 20 units of relu behind fc1 (at net.rs:7) are dead: 0 for each of 64 training images, so that they neither \
         say nor learn anything\n  mend it: a smaller learning rate (now 0.5), batch normalisation before it, or leaky_relu \
         or gelu in its place"
    );

    // Each is said once, and looking changed nothing.
    assert_eq!(trainer.weights(), &bits);
    let done = epoch(&mut trainer, 3, &images, &half)?;
    assert_eq!(watch.after_epoch(&mut trainer, &images, &half, &done, 0.5), []);
    Ok(())
}

#[test]
fn a_loss_that_is_not_below_chance() {
    let images = images(100);
    let mut trainer =
        Trainer::new(&Ending { fc: Linear::infer(2), ending: 0 }, Shape::image(1, 6, 6), 2, Settings::default(), 1)
            .expect("the sizes fit");
    let half = Normalization::half(1);
    epoch(&mut trainer, 1, &images, &half).expect("the loss is a number");
    let mut watch = Watch::new(&trainer, &images);
    let mut after = |epoch: usize, loss: f64, test_loss: f64| {
        let epoch = Epoch {
            epoch,
            loss,
            accuracy: 0.5,
            images_per_second: 1.0,
            elapsed: Duration::ZERO,
            rate: 0.01,
            watched: vec![],
            interrupted: false,
        };
        watch.after_epoch(&mut trainer, &images, &half, &epoch, test_loss)
    };
    assert_eq!(after(1, 0.69, 0.70), []);
    // A bad beginning that was made good by the end of the epoch.
    assert_eq!(after(2, 5.0, 0.4), []);
    let warnings = after(3, 0.71, 0.7);
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].to_string(),
        "the loss of epoch 3, 0.7100, is not below chance, ln 2 = 0.6931: nothing has been learnt so far\n  mend it: another \
         learning rate (now 0.01; try a tenth and ten times that), batch normalisation in the network, or a look at whether \
         labels and images belong together (`lenslet data`)"
    );
    assert_eq!(after(4, 0.72, 0.7), [], "it is said once");
}

/// The networks that come with Lenslet give no cause, where training goes well.
#[test]
fn a_sound_training_is_silent() -> Result<(), Error> {
    let data = lenslet::data::load("shapes")?;
    let some = |split: &Split, images: usize| Split {
        images: split.images[..3 * 32 * 32 * images].to_vec().into(),
        labels: split.labels[..images].to_vec(),
    };
    let test = some(&data.test, 100);
    let half = Normalization::half(3);
    for (network, images, batch) in [(&Lesson::new() as &dyn Network, 5_000, 64), (&ResNet20::new(), 640, 64)] {
        let train = some(&data.train, images);
        let settings = Settings { rate: 0.05, batch, ..Settings::default() };
        let mut trainer = Trainer::new(network, Shape::image(3, 32, 32), 10, settings, 2)?;
        assert_eq!(of_network(trainer.graph(), train.len(), batch), []);
        let mut watch = Watch::new(&trainer, &train);
        let done = epoch(&mut trainer, 1, &train, &half)?;
        let test = trainer.evaluate(&test, &half);
        assert_eq!(watch.after_epoch(&mut trainer, &train, &half, &done, test.loss), []);
    }
    Ok(())
}
