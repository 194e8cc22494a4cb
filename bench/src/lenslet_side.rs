//! Lenslet's side: a network on random images, as the peers run it.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use lenslet::cpu::{Feed, Pool};
use lenslet::{Inference, Settings, Trainer, Weights};
use lenslet_rng::{Purpose, Stream};

use crate::works::{Kind, Net, Work};

/// Images in memory, normalised already, as at the peers.
const IMAGES: usize = 2048;
const PIXELS: usize = 3 * 32 * 32;

/// A network at work.
pub(crate) struct Lenslet {
    step: Step,
    data: Data,
    batch: usize,
}

/// One step on the batch that the data stand at.
type Step = Box<dyn FnMut(&Data) -> Result<(), String>>;

impl Lenslet {
    pub(crate) fn new(work: &Work, threads: usize) -> Result<Self, String> {
        let Work { net, kind, batch, .. } = *work;
        let step = if kind == Kind::Train { training(net, batch, threads) } else { answering(net, batch, threads) };
        Ok(Self { step: step.map_err(|error| error.to_string())?, data: Data::new(), batch })
    }

    /// Runs for some seconds, after a fifth of warm-up; images per second.
    pub(crate) fn run(&mut self, seconds: f64) -> Result<f64, String> {
        self.steps(seconds / 5.0)?;
        self.steps(seconds)
    }

    fn steps(&mut self, seconds: f64) -> Result<f64, String> {
        let begin = Instant::now();
        let mut images = 0;
        loop {
            self.step()?;
            images += self.batch;
            let elapsed = begin.elapsed().as_secs_f64();
            if elapsed >= seconds {
                return Ok(images as f64 / elapsed);
            }
        }
    }

    pub(crate) fn step(&mut self) -> Result<(), String> {
        self.data.next(self.batch);
        (self.step)(&self.data)
    }
}

fn training(net: Net, batch: usize, threads: usize) -> Result<Step, lenslet::Error> {
    let settings = Settings { batch, ..Settings::default() };
    let mut trainer = Trainer::new(&*net.network(), net.shape(), 10, settings, threads)?;
    Ok(Box::new(move |data| match trainer.step(data, batch, 0.01) {
        Ok(_) => Ok(()),
        Err(fault) => Err(format!("{fault:?}")),
    }))
}

fn answering(net: Net, batch: usize, threads: usize) -> Result<Step, lenslet::Error> {
    let mut inference = Inference::new(&*net.network(), net.shape(), 10)?;
    let weights = Weights::new(inference.graph(), 0);
    let mut pool = Pool::new(threads);
    Ok(Box::new(move |data| {
        let all = inference.run(&mut pool, &weights, batch, data, |_, logits| {
            black_box(logits);
            ControlFlow::Continue(())
        });
        assert!(all.is_continue(), "nobody ends it early");
        Ok(())
    }))
}

/// Random images in an order that is shuffled anew each time all were seen.
struct Data {
    images: Vec<f32>,
    labels: Vec<f32>,
    order: Vec<u32>,
    epoch: u64,
    first: usize,
}

impl Data {
    fn new() -> Self {
        let mut random = Stream::new(0, Purpose::Shapes, 0, 0);
        let images = (0..IMAGES * PIXELS).map(|_| random.normal()).collect();
        let labels = (0..IMAGES).map(|_| random.below(10) as f32).collect();
        let mut order = vec![0; IMAGES];
        lenslet_rng::shuffle(&mut order, 0, 0);
        Self { images, labels, order, epoch: 0, first: 0 }
    }

    fn next(&mut self, batch: usize) {
        self.first += batch;
        if self.first + batch > IMAGES {
            self.epoch += 1;
            self.first = 0;
            lenslet_rng::shuffle(&mut self.order, 0, self.epoch);
        }
    }
}

impl Feed for Data {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        let image = self.order[self.first + image] as usize;
        if input == 1 {
            values[0] = self.labels[image];
        } else {
            values.copy_from_slice(&self.images[image * PIXELS..][..PIXELS]);
        }
    }
}
