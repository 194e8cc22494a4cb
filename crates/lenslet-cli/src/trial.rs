//! A trial: a training from fresh weights to its last epoch, of which nothing is kept but what it came to.

use std::time::{Duration, Instant};

use lenslet::Trainer;
use lenslet::data::Dataset;
use serde::{Deserialize, Serialize};

use crate::data::{self, Wanted};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Display;
use crate::train::Train;

/// What a training came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Accuracy on the test images after the last epoch, from 0 to 1.
    pub(crate) test_accuracy: f64,
    /// Time of training; tests and decoding of data are not counted.
    pub(crate) seconds: f64,
    /// Epochs that were trained.
    pub(crate) epochs: usize,
    /// Images trained on in a second.
    pub(crate) images_per_second: f64,
}

/// Trials one after the other, which share their data where they want the same.
pub(crate) struct Trials {
    interrupt: Interrupt,
    data: Option<(Key, Dataset)>,
}

/// What data are decided by.
type Key = (String, Wanted);

impl Trials {
    pub(crate) fn new() -> Self {
        Self { interrupt: Interrupt::listen(), data: None }
    }

    /// Trains as `options` say.
    pub(crate) fn run(&mut self, options: &Train) -> Result<Outcome, Failure> {
        let settings = options.settings()?;
        self.load(options)?;
        let Self { interrupt, data } = self;
        interrupt.orderly();
        let (_, data) = data.as_ref().expect("they were loaded above");
        let (network, shape) = options.network(data)?;
        let normalization = settings.normalization(&data.train, data.channels);
        let begin = Instant::now();
        let mut trainer = Trainer::new(&*network, shape, data.classes.len(), settings.clone(), options.threads()?)?;
        trainer.initialize(&data.train, &normalization)?;
        let mut elapsed = begin.elapsed();
        let mut display = Display::new(settings.epochs, 0);
        let (mut best, mut last) = ((0.0, 0), None);
        for epoch in 1..=settings.epochs {
            let trained = trainer.epoch(epoch, &data.train, &normalization, |progress| {
                display.step(progress);
                interrupt.flow()
            })?;
            if trained.interrupted {
                return Err(Failure::Interrupted);
            }
            elapsed += trained.elapsed;
            // Only who may stop early must look at every epoch.
            let Some(patience) = settings.patience.or((epoch == settings.epochs).then_some(usize::MAX)) else {
                continue;
            };
            let test = trainer.evaluate_while(&data.test, &normalization, |_, _| interrupt.flow());
            let accuracy = test.ok_or(Failure::Interrupted)?.accuracy();
            last = Some((accuracy, epoch));
            if accuracy > best.0 {
                best = (accuracy, epoch);
            }
            if epoch >= best.1.saturating_add(patience) {
                break;
            }
        }
        let (test_accuracy, epochs) = last.expect("there is an epoch, and the last is tested");
        Ok(Outcome::new(test_accuracy, elapsed, epochs, data.train.len()))
    }

    /// Loads the data that the options want, unless they are there.
    fn load(&mut self, options: &Train) -> Result<(), Failure> {
        let wanted = options.wanted()?;
        let key = (options.data.clone(), wanted);
        if self.data.as_ref().is_none_or(|(loaded, _)| *loaded != key) {
            let data = data::introduce(&options.data, &options.reading, &key.1)?;
            self.data = Some((key, data));
        }
        Ok(())
    }
}

impl Outcome {
    fn new(test_accuracy: f64, elapsed: Duration, epochs: usize, images: usize) -> Self {
        let seconds = elapsed.as_secs_f64();
        Self { test_accuracy, seconds, epochs, images_per_second: (images * epochs) as f64 / seconds }
    }
}

/// Mean and standard deviation (of a sample; 0 of a single number).
pub(crate) fn mean_and_spread(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, if numbers.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_spread_are_those_of_a_sample() {
        assert_eq!(mean_and_spread(&[1.0, 3.0]), (2.0, 2.0_f64.sqrt()));
        assert_eq!(mean_and_spread(&[5.0]), (5.0, 0.0));
    }
}
