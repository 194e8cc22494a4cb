//! Training that was stopped and goes on from its state ends with the same bits as training that was not.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use lenslet::data::Split;
use lenslet::prelude::*;
use lenslet::state::{Record, State, seal};
use lenslet::training::Epoch;
use lenslet::{Error, Lookahead, Normalization, Optimizer, Schedule, Settings, Shape, Trainer};
use proptest::prelude::*;

/// All that a state has to keep: running statistics, dropout, a value that is watched.
#[derive(Module)]
struct Small {
    conv: Conv2d,
    bn: BatchNorm2d,
    dropout: Dropout,
    fc: Linear,
}

#[network(input = [1, 4, 4])]
impl Small {
    const fn new() -> Self {
        let conv = Conv2d::new(1, 4, 3).padding(1).no_bias();
        Self { conv, bn: BatchNorm2d::new(4), dropout: Dropout::new(0.25), fc: Linear::new(64, 3) }
    }

    fn forward(&self, x: Var) -> Var {
        let x = self.dropout.forward(self.bn.forward(self.conv.forward(x)).relu().watch("relu"));
        self.fc.forward(x.flatten())
    }
}

/// The same with another layer.
#[derive(Module)]
struct Other {
    conv: Conv2d,
    fc: Linear,
}

#[network(input = [1, 4, 4])]
impl Other {
    const fn new() -> Self {
        Self { conv: Conv2d::new(1, 4, 1), fc: Linear::new(64, 3) }
    }

    fn forward(&self, x: Var) -> Var {
        self.fc.forward(self.conv.forward(x).flatten())
    }
}

const IMAGES: usize = 22;
const EPOCHS: usize = 3;
/// Batches of 5, the last one of 2.
const STEPS: usize = 5;

fn images() -> Split {
    let pixels: Vec<u8> = (0..IMAGES * 16).map(|i| (i * i * 7 % 251) as u8).collect();
    Split { images: pixels.into(), labels: (0..IMAGES as u32).map(|i| i % 3).collect() }
}

fn settings(optimizer: Optimizer) -> Settings {
    let augment =
        "alternating-flip, crop 1, noise, erase, mixup 0.4, cutmix 1 0.5".parse().expect("the words are right");
    let schedule = Schedule::Cosine;
    Settings { epochs: EPOCHS, batch: 5, optimizer, schedule, augment, seed: 9, ..Settings::default() }
}

fn trainer(network: &dyn Network, optimizer: Optimizer) -> Trainer {
    trainer_of(network, settings(optimizer))
}

fn trainer_of(network: &dyn Network, settings: Settings) -> Trainer {
    Trainer::new(network, Shape::image(1, 4, 4), 3, settings, 1).expect("the sizes fit")
}

/// Every optimizer; and averages, groups that stop to learn, and steps of several batches.
fn all_settings() -> Vec<Settings> {
    let nesterov = Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1 };
    let optimizers =
        [Optimizer::sgd(0.0), Optimizer::sgd(0.9), nesterov, Optimizer::adam(), Optimizer::adamw(), Optimizer::muon()];
    let groups = "conv.*: epochs 1; *.bias: lr 0.002".parse().expect("it is well written");
    let plain = settings(Optimizer::muon());
    let averaged = Settings { ema: Some(0.9), lookahead: Some(Lookahead { steps: 3, share: 0.5 }), groups, ..plain };
    let accumulated = Settings { batch: 1, accumulate: 5, ..settings(Optimizer::adam()) };
    optimizers.map(settings).into_iter().chain([averaged, accumulated]).collect()
}

/// An epoch, stopped after `steps` of its steps.
fn epoch(trainer: &mut Trainer, epoch: usize, steps: usize) -> Result<Epoch, Error> {
    trainer.epoch(epoch, &images(), &Normalization::half(1), |progress| {
        if progress.step == steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// What the rest of the training comes to, from an epoch on: everything but the times.
fn rest(trainer: &mut Trainer, from: usize) -> (Vec<String>, lenslet::Weights) {
    let epochs = (from..=EPOCHS).map(|number| {
        let done = epoch(trainer, number, 0).expect("the loss is a number");
        format!("{:?}", Epoch { images_per_second: 0.0, elapsed: Duration::ZERO, ..done })
    });
    (epochs.collect(), trainer.weights().clone())
}

#[test]
fn stopped_after_any_step_the_rest_is_the_same_to_the_bit() {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("state");
    for settings in all_settings() {
        let new = || trainer_of(&Small::new(), settings.clone());
        let (epochs, weights) = rest(&mut new(), 1);
        for step in 0..=EPOCHS * STEPS {
            let mut first = new();
            let (whole, steps) = ((step / STEPS).min(EPOCHS - 1), step - (step / STEPS).min(EPOCHS - 1) * STEPS);
            (1..=whole).for_each(|number| assert!(!epoch(&mut first, number, 0).expect("numbers").interrupted));
            if steps > 0 {
                assert_eq!(epoch(&mut first, whole + 1, steps).expect("numbers").interrupted, steps < STEPS);
            }
            first.save_state(&path, &Record::default()).expect("there is room");
            drop(first);

            let mut second = new();
            second.restore(&State::open(&path).expect("it is whole")).expect("it fits");
            let (after, resumed) = rest(&mut second, whole + 1);
            assert_eq!(after, epochs[whole..], "{settings:?}, step {step}");
            assert!(resumed == weights, "{settings:?}, step {step}: other weights");
        }
    }
}

/// The bytes of a state in the middle of an epoch.
fn state(network: &dyn Network, optimizer: Optimizer) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("state");
    let mut trainer = trainer(network, optimizer);
    epoch(&mut trainer, 1, 3).expect("numbers");
    let record = Record { number: 3, epochs_done: 0, best: Some((0.1 + 0.2, 1)), elapsed: Duration::from_millis(7) };
    trainer.save_state(&path, &record).expect("there is room");
    std::fs::read(&path).expect("it was written")
}

#[test]
fn a_record_comes_back_to_the_bit() {
    let state = State::from_bytes(state(&Small::new(), Optimizer::adam()), Path::new("state")).expect("it is whole");
    let record = &state.standing().record;
    assert_eq!(record.best.map(|(accuracy, epoch)| (accuracy.to_bits(), epoch)), Some(((0.1_f64 + 0.2).to_bits(), 1)));
    assert_eq!((record.number, record.elapsed), (3, Duration::from_millis(7)));
    assert_eq!((state.standing().step, state.standing().so_far.images), (3, 15));
}

#[test]
fn a_watched_value_that_is_no_number_comes_back_too() {
    let json = r#"{"name":"x","shape":"4","mean":null,"std":0.1,"zeros":0.0}"#;
    let watched: lenslet::training::Watched = serde_json::from_str(json).expect("null stands for what is no number");
    assert!(watched.mean.is_nan() && watched.std.to_bits() == 0.1_f32.to_bits());
    assert_eq!(serde_json::to_string(&watched).expect("it was JSON before"), json);
}

#[test]
fn a_state_of_another_network_or_other_settings_is_refused() {
    let open = |bytes| State::from_bytes(bytes, Path::new("run/state-0.safetensors")).expect("it is whole");
    let mut adam = trainer(&Small::new(), Optimizer::adam());
    let before = adam.weights().clone();
    let refuse = |trainer: &mut Trainer, bytes| trainer.restore(&open(bytes)).expect_err("it is refused").to_string();

    let message = refuse(&mut adam, state(&Other::new(), Optimizer::adam()));
    let expected = "\
run/state-0.safetensors: the training state does not fit the network:
  weights.conv.weight is [4, 1, 1, 1], but must be [4, 1, 3, 3]
  weights.bn.weight is missing
  weights.bn.bias is missing
  weights.bn.running_mean is missing
  weights.bn.running_var is missing
  weights.bn.num_batches_tracked is missing
  first.conv.weight is [4, 1, 1, 1], but must be [4, 1, 3, 3]
  first.bn.weight is missing
  and 13 more";
    assert_eq!(message, expected);
    let message = refuse(&mut adam, state(&Small::new(), Optimizer::sgd(0.9)));
    assert!(message.contains("the training state belongs to other settings"), "{message}");
    assert!(*adam.weights() == before, "a refused state changed weights");
}

#[test]
fn other_images_in_the_middle_of_an_epoch_are_refused() {
    let mut trainer = trainer(&Small::new(), Optimizer::adam());
    epoch(&mut trainer, 1, 3).expect("numbers");
    let fewer = Split { images: vec![0; 7 * 16].into(), labels: vec![0; 7] };
    let error = trainer.epoch(1, &fewer, &Normalization::half(1), |_| ControlFlow::Continue(()));
    let error = error.expect_err("it is refused").to_string();
    assert!(error.starts_with("epoch 1 stands after 15 images, and steps of 5 from 7 images do not lead"), "{error}");
}

#[test]
fn a_step_beyond_all_numbers_is_not_handed_out() {
    let decay = Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 1000.0 };
    let settings = Settings { rate: f32::MAX, schedule: Schedule::Constant, ..settings(decay) };
    let mut trainer = Trainer::new(&Other::new(), Shape::image(1, 4, 4), 3, settings, 1).expect("the sizes fit");
    let error = epoch(&mut trainer, 1, 1).expect_err("weights are infinite").to_string();
    assert!(error.contains("in epoch 1, step 1, the parameter became"), "{error}");
}

/// Opens and restores a state; what it says does not matter, only that it returns.
fn try_state(bytes: Vec<u8>) -> bool {
    let Ok(state) = State::from_bytes(bytes, Path::new("state")) else { return false };
    let mut trainer = trainer(&Small::new(), Optimizer::adam());
    // Beyond what a state can claim lies only the rest of its epoch.
    trainer.restore(&state).is_ok() && epoch(&mut trainer, state.standing().so_far.epoch, 0).is_ok()
}

proptest! {
    /// A torn or flipped state is always recognised.
    #[test]
    fn damaged_states_are_refused(place in any::<prop::sample::Index>(), flip in 1_u8.., cut: bool) {
        let mut bytes = state(&Small::new(), Optimizer::adam());
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] ^= flip }
        prop_assert!(!try_state(bytes));
    }

    /// One whose checksum was made to fit is an error or a state, never a panic. Most places are in the header.
    #[test]
    fn forged_states_do_no_harm(places in prop::collection::vec((0_usize..3000, any::<u8>()), 1..4), cut in 0_usize..9000) {
        let mut bytes = state(&Small::new(), Optimizer::adam());
        for (place, byte) in places {
            let place = place % bytes.len();
            bytes[place] = byte;
        }
        let length = bytes.len();
        if cut < length / 2 { bytes.truncate(length - cut) }
        seal(&mut bytes);
        try_state(bytes);
    }
}
