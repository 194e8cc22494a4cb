//! Lenslet's side: the lesson's network on random images, as the peer trains it.

use std::time::Instant;

use lenslet::cpu::{Feed, Isa};
use lenslet::networks::Lesson;
use lenslet::{Settings, Shape, Trainer};
use lenslet_rng::{Purpose, Stream};

/// Images in memory, normalised already, as at the peer.
const IMAGES: usize = 2048;
const PIXELS: usize = 3 * 32 * 32;

/// A network in training.
pub(crate) struct Lenslet {
    trainer: Trainer,
    data: Data,
    batch: usize,
}

impl Lenslet {
    pub(crate) fn new(batch: usize, threads: usize) -> Result<Self, String> {
        let settings = Settings { batch, ..Settings::default() };
        let trainer = Trainer::new(&Lesson::new(), Shape::image(3, 32, 32), 10, settings, threads);
        Ok(Self { trainer: trainer.map_err(|error| error.to_string())?, data: Data::new(), batch })
    }

    pub(crate) fn instruction_set(&self) -> &'static str {
        Isa::detect().name()
    }

    /// Trains for some seconds, after a fifth of warm-up; images per second.
    pub(crate) fn run(&mut self, seconds: f64) -> Result<f64, String> {
        self.steps(seconds / 5.0)?;
        self.steps(seconds)
    }

    fn steps(&mut self, seconds: f64) -> Result<f64, String> {
        let begin = Instant::now();
        let mut images = 0;
        while begin.elapsed().as_secs_f64() < seconds {
            self.data.next(self.batch);
            self.trainer.step(&self.data, self.batch, 0.01).map_err(|fault| format!("{fault:?}"))?;
            images += self.batch;
        }
        Ok(images as f64 / begin.elapsed().as_secs_f64())
    }
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
