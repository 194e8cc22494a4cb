//! The same seed gives the same checkpoint, byte for byte, whatever the number of threads and the order of the images.

use std::ops::ControlFlow;

use lenslet::checkpoint::{Description, save};
use lenslet::cpu::{Feed, Pool};
use lenslet::data::{Dataset, Split};
use lenslet::networks::{Airbench94Half, Lesson, ResNet20};
use lenslet::prelude::*;
use lenslet::{Inference, Lookahead, Normalization, Optimizer, Settings, Shape, TestTime, Trainer, Weights};

/// A residual network with batch normalisation and dropout.
#[derive(Module)]
struct Residual {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    dropout: Dropout,
    fc: Linear,
}

#[network(input = [3, 32, 32])]
impl Residual {
    const fn new() -> Self {
        Self {
            conv1: Conv2d::new(3, 8, 3).stride(2).padding(1).no_bias(),
            bn1: BatchNorm2d::new(8),
            conv2: Conv2d::new(8, 8, 3).padding(1).no_bias(),
            bn2: BatchNorm2d::new(8),
            dropout: Dropout::new(0.25),
            fc: Linear::new(8, 10),
        }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.bn1.forward(self.conv1.forward(x)).relu();
        let y = self.bn2.forward(self.conv2.forward(x));
        let x = self.dropout.forward((x + y).relu());
        self.fc.forward(x.global_avg_pool().flatten())
    }
}

#[test]
fn one_and_two_and_five_threads_give_the_same_checkpoint() {
    let data = lenslet::data::load("shapes").expect("shapes needs no file");
    for network in [&Lesson::new() as &dyn Network, &Residual::new()] {
        // Full tiles, and tiles of one image.
        for (images, batch) in [(IMAGES, Settings::default().batch), (21, 4)] {
            let train = some(&data, 0..images);
            for augment in [CHANGED, MIXED] {
                let with = |threads| checkpoint(network, &train, augment, batch, threads);
                let one = with(1);
                for threads in [2, 5] {
                    assert!(with(threads) == one, "batches of {batch}, {augment}, {threads} threads");
                }
            }
        }
    }
}

/// Muon's products and averages are shared by threads, too.
#[test]
fn threads_that_share_a_step_of_muon_end_with_the_same_weights() {
    let data = lenslet::data::load("shapes").expect("shapes needs no file");
    let train = some(&data, 0..96);
    let trained = |threads: usize| {
        let settings = Settings { optimizer: Optimizer::muon(), ema: Some(0.5), accumulate: 2, ..Settings::default() };
        let settings = Settings { batch: 20, lookahead: Some(Lookahead::default()), ..settings };
        let network = Airbench94Half::new();
        let mut trainer =
            Trainer::new(&network, Shape::image(3, 32, 32), 10, settings, threads).expect("the sizes fit");
        let epoch = trainer.epoch(1, &train, &Normalization::half(3), |_| ControlFlow::Continue(()));
        epoch.expect("the loss is a number");
        trainer.weights().clone()
    };
    let one = trained(1);
    for threads in [2, 5] {
        assert!(trained(threads) == one, "{threads} threads");
    }
}

#[test]
fn threads_that_share_one_image_give_the_same_answer() {
    let data = lenslet::data::load("shapes").expect("shapes needs no file");
    let image = Shape::image(3, 32, 32);
    let answer = |threads: usize| {
        let mut inference = Inference::new(&ResNet20::new(), image, 10).expect("the sizes fit");
        let weights = Weights::new(inference.graph(), 4);
        let mut bits: Vec<u32> = vec![];
        let feed = Picture(data.train.image(0));
        let _ = inference.run(&mut Pool::new(threads), &weights, 1, &feed, |_, logits| {
            bits.extend(logits.iter().map(|logit| logit.to_bits()));
            ControlFlow::Continue(())
        });
        bits
    };
    let one = answer(1);
    assert_eq!(one.len(), 10);
    for threads in [2, 5] {
        assert_eq!(answer(threads), one, "{threads} threads");
    }
}

/// One image.
struct Picture<'a>(&'a [u8]);

impl Feed for Picture<'_> {
    fn fill(&self, _: usize, _: usize, values: &mut [f32]) {
        values.iter_mut().zip(self.0).for_each(|(value, &byte)| *value = f32::from(byte) / 128.0 - 1.0);
    }
}

#[test]
fn images_in_another_order_give_the_same_checkpoint() {
    let data = lenslet::data::load("shapes").expect("shapes needs no file");
    let [forth, back] = [some(&data, 0..IMAGES), some(&data, (0..IMAGES).rev())];
    assert_ne!(forth, back);
    let batch = Settings::default().batch;
    let with = |train, threads| checkpoint(&Residual::new(), train, MIXED, batch, threads);
    assert!(with(&forth, 1) == with(&back, 2));
}

/// So that the last batch is a short one.
const IMAGES: usize = 490;

const CHANGED: &str = "flip, crop 4 reflect, cutout 8, trivial";
const MIXED: &str = "flip, crop 4 reflect, cutout 8, trivial, mixup 0.4, cutmix";

/// Some of the training images.
fn some(data: &Dataset, which: impl Iterator<Item = usize> + Clone) -> Split {
    let images: Vec<u8> = which.clone().flat_map(|i| data.train.image(i).iter().copied()).collect();
    Split { images: images.into(), labels: which.map(|i| data.train.labels[i]).collect() }
}

/// The bytes of a checkpoint after an epoch.
fn checkpoint(network: &dyn Network, train: &Split, augment: &str, batch: usize, threads: usize) -> Vec<u8> {
    let augment = augment.parse().expect("the words are right");
    let settings = Settings { seed: 3, batch, augment, ..Settings::default() };
    let mut trainer = Trainer::new(network, Shape::image(3, 32, 32), 10, settings, threads).expect("the sizes fit");
    let epoch = trainer.epoch(1, train, &Normalization::half(3), |_| ControlFlow::Continue(()));
    epoch.expect("the loss is a number");
    assert_ne!(trainer.weights(), &Weights::new(trainer.graph(), 3), "training changed nothing");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("last.safetensors");
    let description = Description {
        version: "0".into(),
        network: "test".into(),
        input: [3, 32, 32],
        classes: (0..10).map(|class| class.to_string()).collect(),
        normalization: Normalization::half(3),
        data: "shapes".into(),
        epoch: 1,
        test_accuracy: None,
        filter: Default::default(),
        test_time: TestTime::None,
    };
    save(&path, &description, trainer.weights()).expect("the folder can be written to");
    std::fs::read(&path).expect("the checkpoint is there")
}
