//! What a rehearsal finds out, against evaluations and against data that cannot be learnt.

use std::ops::ControlFlow;
use std::time::Duration;

use lenslet::data::Split;
use lenslet::networks::Lesson;
use lenslet::prelude::*;
use lenslet::rehearsal::{End, MOST_STEPS, by_heart, pace};
use lenslet::{Normalization, Settings, Shape, Trainer};

/// Long enough for any machine, so that no test depends on time.
const LONG: Duration = Duration::from_secs(3600);

fn go_on() -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn some_shapes(images: usize) -> Split {
    let all = lenslet::data::load("shapes").expect("the set is embedded").train;
    Split { images: all.images[..3 * 32 * 32 * images].to_vec().into(), labels: all.labels[..images].to_vec() }
}

fn lesson(settings: Settings) -> Trainer {
    Trainer::new(&Lesson::new(), Shape::image(3, 32, 32), 10, settings, 2).expect("the sizes fit")
}

#[test]
fn the_pace_is_that_of_the_first_weights() {
    let (images, half) = (some_shapes(24), Normalization::half(3));
    // A step sees all images, so its loss is that of an evaluation.
    let mut trainer = lesson(Settings { batch: 24, ..Settings::default() });
    let weights = trainer.weights().clone();
    let pace = pace(&mut trainer, &images, &half, Duration::ZERO, go_on).expect("numbers").expect("nobody stops it");
    assert_eq!(trainer.weights(), &weights, "a rehearsal learns nothing");
    assert_eq!((pace.batch, pace.steps), (24, 1));
    let evaluated = trainer.evaluate(&images, &half).loss;
    assert!((pace.loss - evaluated).abs() < 1e-5, "{} and {evaluated}", pace.loss);
    assert!(pace.step > Duration::ZERO && pace.image() < pace.step);

    let stopped = rehearsed_until_stopped(&mut trainer, &images);
    assert!(stopped.is_none(), "Ctrl-C ends it");
}

#[test]
fn the_pace_is_that_of_augmented_images() {
    // Nothing but the mean colour is left of an image, so the loss is that of such images.
    let (images, half) = (some_shapes(24), Normalization::half(3));
    let augment = "cutout 1024".parse().expect("the words are right");
    let mut trainer = lesson(Settings { batch: 24, augment, ..Settings::default() });
    let pace = pace(&mut trainer, &images, &half, Duration::ZERO, go_on).expect("numbers").expect("nobody stops it");
    let mean = |channel: usize| {
        let planes = images.images.chunks(1024).skip(channel).step_by(3);
        (planes.flatten().map(|&x| f64::from(x)).sum::<f64>() / (24.0 * 1024.0)).round() as u8
    };
    let one: Vec<u8> = [0, 1, 2].into_iter().flat_map(|channel| [mean(channel); 1024]).collect();
    let grey = Split { images: one.repeat(24).into(), labels: images.labels.clone() };
    let (of_grey, of_images) = (trainer.evaluate(&grey, &half).loss, trainer.evaluate(&images, &half).loss);
    assert!((pace.loss - of_grey).abs() < 1e-5, "{} and {of_grey}", pace.loss);
    assert!((of_grey - of_images).abs() > 1e-4, "{of_grey} and {of_images} are too near to tell");
}

#[test]
fn learning_by_heart_mixes_nothing() {
    let (images, half) = (some_shapes(100), Normalization::half(3));
    let with = |augment: &str| {
        let settings = Settings { augment: augment.parse().expect("the words are right"), ..Settings::default() };
        by_heart(&mut lesson(settings), &images, &half, 16, LONG, go_on).expect("nobody stops it")
    };
    assert_eq!(with("mixup, cutmix"), with("none"));
}

fn rehearsed_until_stopped(trainer: &mut Trainer, images: &Split) -> Option<lenslet::rehearsal::Pace> {
    let mut asked = 0;
    let stop = || {
        asked += 1;
        if asked < 3 { go_on() } else { ControlFlow::Break(()) }
    };
    pace(trainer, images, &Normalization::half(3), LONG, stop).expect("numbers")
}

#[test]
fn a_sound_network_learns_a_few_images_by_heart() {
    let (images, half) = (some_shapes(300), Normalization::half(3));
    let result = by_heart(&mut lesson(Settings::default()), &images, &half, 64, LONG, go_on).expect("nobody stops it");
    assert_eq!((result.end, result.images, result.classes), (End::Learnt, 64, 10));
    assert!((2.2..2.4).contains(&result.first) && result.last < 0.12, "{} to {}", result.first, result.last);
    assert!(result.steps < MOST_STEPS);

    // At a rate of nothing, nothing is learnt; at a rate beyond all reason, numbers end.
    let settings = |rate| Settings { rate, ..Settings::default() };
    let result = by_heart(&mut lesson(settings(1e-12)), &images, &half, 16, LONG, go_on).expect("nobody stops it");
    assert_eq!((result.end, result.steps), (End::Steps, MOST_STEPS));
    assert!((result.last - result.first).abs() < 1e-3);
    let result = by_heart(&mut lesson(settings(1e30)), &images, &half, 16, LONG, go_on).expect("nobody stops it");
    assert!(matches!(result.end, End::NotFinite(_)), "{:?}", result.end);
    assert_eq!(by_heart(&mut lesson(settings(0.1)), &images, &half, 16, LONG, || ControlFlow::Break(())), None);
}

/// A dense layer is enough for what cannot be learnt.
#[derive(Module)]
struct Dense {
    fc: Linear,
}

#[network]
impl Dense {
    fn forward(&self, x: Var) -> Var {
        self.fc.forward(x.flatten())
    }
}

#[test]
fn what_contradicts_itself_is_not_learnt() {
    // The same grey image as both classes: the best answer is a half for each, a loss of ln 2.
    let images = Split { images: vec![200; 16 * 12].into(), labels: (0..16).map(|i| i % 2).collect() };
    let network = Dense { fc: Linear::infer(2) };
    let mut trainer = Trainer::new(&network, Shape::image(3, 2, 2), 2, Settings::default(), 1).expect("the sizes fit");
    let result = by_heart(&mut trainer, &images, &Normalization::half(3), 64, LONG, go_on).expect("nobody stops it");
    assert_eq!((result.end, result.images, result.classes), (End::Steps, 16, 2));
    assert!((result.last - 2.0_f64.ln()).abs() < 1e-3, "{}", result.last);
}
