//! A trained network: its weights and all that is needed to ask it.

use std::ops::ControlFlow;
use std::path::Path;

use lenslet_cpu::{Feed, Pool};
use lenslet_data::Split;
use lenslet_graph::Shape;

use crate::checkpoint::{Checkpoint, Description};
use crate::inference::BATCH;
use crate::metrics::{Evaluation, softmax};
use crate::normalization::Table;
use crate::training::evaluate_while;
use crate::{Error, Inference, TestTime, Weights, networks, rehearsal};

/// A trained network, ready to answer.
pub struct Model {
    description: Description,
    weights: Weights,
    inference: Inference,
    pool: Pool,
}

impl Model {
    /// Reads a checkpoint and makes its network, by name.
    ///
    /// # Errors
    /// If the file is no checkpoint, or names a network that this version does not have, or has other weights.
    pub fn open(path: &Path, threads: usize) -> Result<Self, Error> {
        let checkpoint = Checkpoint::open(path)?;
        let description = checkpoint.description().clone();
        let [channels, height, width] = description.input;
        let shape = Shape::batched(&description.input).ok_or_else(|| Error::File {
            path: path.to_owned(),
            problem: format!("the checkpoint's input {channels}x{height}x{width} is not possible"),
        })?;
        let network = networks::by_name(&description.network, description.input, description.classes.len())?;
        let inference = Inference::new(&*network, shape, description.classes.len())?.test_time(description.test_time);
        let mut weights = Weights::new(inference.graph(), 0);
        checkpoint.load_into(&mut weights)?;
        Ok(Self { description, weights, inference, pool: Pool::new(threads) })
    }

    /// What the checkpoint says about the network.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Which views of an image its answer is the mean of; those that it was tested by, unless told otherwise.
    pub fn test_time(self, test_time: TestTime) -> Self {
        Self { inference: self.inference.test_time(test_time), ..self }
    }

    /// Bytes that it takes to answer `images` images, beside these.
    pub fn memory(&self, images: usize) -> u64 {
        let weights = self.weights.all().len() as u64 * 4;
        weights + rehearsal::plans(self.inference.graph(), images, BATCH, true, self.pool.threads())
    }

    /// How good it is on `images`, which must have its input's sizes and its classes.
    pub fn evaluate(&mut self, images: &Split) -> Evaluation {
        self.evaluate_with(images, |_, _| {})
    }

    /// The same; `see` gets each image's number and logits, in order.
    pub fn evaluate_with(&mut self, images: &Split, mut see: impl FnMut(usize, &[f32])) -> Evaluation {
        let Self { description, weights, inference, pool } = self;
        let evaluation =
            evaluate_while(inference, pool, weights, images, &description.normalization, |image, logits| {
                see(image, logits);
                ControlFlow::Continue(())
            });
        evaluation.expect("nothing ends it early")
    }

    /// The probability of each class for one image: C×H×W bytes of the network's input sizes.
    pub fn predict(&mut self, pixels: &[u8]) -> Vec<f64> {
        self.predict_many(&[pixels]).remove(0)
    }

    /// The same for many images, which are worked on together; each gets the very bits that it would get alone.
    pub fn predict_many(&mut self, images: &[&[u8]]) -> Vec<Vec<f64>> {
        let table = self.description.normalization.table();
        let mut probabilities = Vec::with_capacity(images.len());
        let feed = Images { images, table: &table };
        let _ = self.inference.run(&mut self.pool, &self.weights, images.len(), &feed, |_, logits| {
            probabilities.push(softmax(logits));
            ControlFlow::Continue(())
        });
        probabilities
    }
}

struct Images<'a> {
    images: &'a [&'a [u8]],
    table: &'a Table,
}

impl Feed for Images<'_> {
    fn fill(&self, _: usize, image: usize, values: &mut [f32]) {
        self.table.apply(self.images[image], values);
    }
}
