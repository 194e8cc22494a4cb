//! A network in use: from images to logits.
//!
//! The forward pass is recorded in evaluation mode (dropout off, batch statistics from training) and planned once for each
//! batch size that occurs.

use std::collections::HashMap;
use std::ops::ControlFlow;

use lenslet_cpu::{Executor, Feed, Pool, options};
use lenslet_graph::plan::Options;
use lenslet_graph::{Graph, Mode, Network, Role, Shape, record};

use crate::test_time::Views;
use crate::{Error, TestTime, Weights};

/// Images that are worked on together where there are many.
pub const BATCH: usize = 256;

/// A network ready to answer.
pub struct Inference {
    graph: Graph,
    classes: usize,
    executors: HashMap<usize, Executor>,
    winograd: bool,
    test_time: TestTime,
}

impl Inference {
    /// Records `network` for images of C×H×W sizes `input`.
    ///
    /// # Errors
    /// If sizes do not fit, or the result is not one number per class.
    pub fn new(network: &dyn Network, input: Shape, classes: usize) -> Result<Self, Error> {
        let recording = record(network, input, Mode::Eval);
        let output = recording.output?;
        check_classes(recording.graph.node(output).shape(), classes)?;
        Ok(Self {
            graph: recording.graph,
            classes,
            executors: HashMap::new(),
            winograd: true,
            test_time: TestTime::None,
        })
    }

    /// Whether convolutions may be done in Winograd's way, as they usually are.
    pub fn winograd(self, winograd: bool) -> Self {
        Self { winograd, ..self }
    }

    /// Which views of an image its answer is the mean of; usually the image alone.
    pub fn test_time(self, test_time: TestTime) -> Self {
        Self { test_time, ..self }
    }

    /// How a batch of this size is planned.
    pub(crate) fn options(&self, batch: usize) -> Options {
        Options { winograd: self.winograd, ..options(&self.graph, batch) }
    }

    /// The recorded forward pass.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Answers `images` images from `feed`, in batches; `answer` gets each image's number and logits, in order, and may end it
    /// early.
    pub fn run(
        &mut self,
        pool: &mut Pool,
        weights: &Weights,
        images: usize,
        feed: &dyn Feed,
        mut answer: impl FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let views = self.test_time.views();
        let (mut logits, mut mean) = (vec![0.0; self.classes], vec![0.0; self.classes]);
        let size = [1, 2].map(|axis| self.graph.inputs[0].dim(axis));
        let feed = &Views { feed, views, size };
        let all = images * views.len();
        for first in (0..all).step_by(BATCH) {
            let batch = BATCH.min(all - first);
            let (graph, winograd) = (&self.graph, self.winograd);
            let executor = self.executors.entry(batch).or_insert_with(|| {
                Executor::planned(graph, Options { winograd, ..options(graph, batch) }, pool.threads())
            });
            executor.run_version(pool, weights.all(), weights.version(), &From { feed, first }, 0, 0);
            for place in 0..batch {
                executor.image(&Role::Logits, place, &mut logits);
                let (image, view) = ((first + place) / views.len(), (first + place) % views.len());
                if view == 0 {
                    mean.fill(0.0);
                }
                mean.iter_mut().zip(&logits).for_each(|(mean, &x)| *mean += views[view].share * x);
                if view + 1 == views.len() {
                    answer(image, &mean)?;
                }
            }
        }
        ControlFlow::Continue(())
    }
}

/// A feed seen from image `first` on.
pub(crate) struct From<'a> {
    pub(crate) feed: &'a dyn Feed,
    pub(crate) first: usize,
}

impl Feed for From<'_> {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        self.feed.fill(input, self.first + image, values);
    }
}

/// Logits must be one number per class.
pub(crate) fn check_classes(logits: Shape, classes: usize) -> Result<(), Error> {
    if logits.dims() == [classes] { Ok(()) } else { Err(Error::Classes { arrived: logits.to_string(), classes }) }
}
