//! Pictures of a run under way, and its event file for TensorBoard.
//!
//! After an epoch: curves and filters, as often as they cost a small share of the time; at the end all of them. Curves are
//! drawn from `metrics.jsonl`, so a run that was resumed shows all its epochs. *Invariant:* nothing here ends a run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lenslet::Weights;
use lenslet_report::tensorboard::EventFile;
use lenslet_report::{Drawing, curves, filters};

use crate::output;
use crate::pictures::{Tested, save};
use crate::run_record::{self, EpochRecord};

/// Time between two drawings, in times that the last one took.
const RARELY: u32 = 50;

/// Pictures of a run, and where they go.
pub(super) struct Pictures {
    folder: PathBuf,
    /// `lesson on shapes`.
    title: String,
    classes: usize,
    events: Option<EventFile>,
    /// When they were last drawn, and how long it took.
    drawn: Option<(Instant, Duration)>,
    /// The epoch whose filters were last added to the event file.
    filters_of: Option<usize>,
}

impl Pictures {
    /// Pictures that go to `folder`.
    pub(super) fn new(folder: &Path, title: String, classes: usize) -> Self {
        Self { folder: folder.to_owned(), title, classes, events: None, drawn: None, filters_of: None }
    }

    /// Before the epoch `first`, which is 1 unless a run goes on: begins an event file, if `tensorboard` is asked for.
    pub(super) fn begin(&mut self, first: usize, tensorboard: bool) {
        if !tensorboard {
            return;
        }
        let resumed_at = (first > 1).then_some(first as u64);
        self.events = EventFile::create(&self.folder, resumed_at).inspect_err(cannot_write).ok();
        let config = std::fs::read_to_string(self.folder.join("config.json")).unwrap_or_default();
        self.events(|events| events.text("config", first as u64, &format!("```json\n{config}\n```")));
    }

    /// After an epoch, when its line of metrics is written.
    pub(super) fn epoch(&mut self, weights: &Weights) {
        let Some(epochs) = self.epochs() else { return };
        if let Some(last) = epochs.last() {
            self.events(|events| {
                for (name, value) in last.scalars() {
                    events.scalar(name, last.epoch as u64, value as f32);
                }
            });
        }
        if self.drawn.is_none_or(|(when, took)| when.elapsed() > took * RARELY) {
            self.draw(&epochs, weights);
        }
    }

    /// At the end: all pictures. Gives the names of what was written.
    pub(super) fn end(&mut self, weights: &Weights, tested: &Tested<'_>) -> Vec<&'static str> {
        let Some(epochs) = self.epochs() else { return vec![] };
        let mut written = self.draw(&epochs, weights);
        written.extend(tested.save(&self.folder));
        let step = epochs.last().map_or(0, |last| last.epoch as u64);
        self.image("confusion", step, &tested.confusion());
        self.image("mistakes", step, &tested.mistakes());
        written
    }

    fn epochs(&self) -> Option<Vec<EpochRecord>> {
        run_record::epochs(&self.folder).inspect_err(cannot_write).ok()
    }

    /// Curves and filters.
    fn draw(&mut self, epochs: &[EpochRecord], weights: &Weights) -> Vec<&'static str> {
        let begun = Instant::now();
        let points: Vec<_> = epochs.iter().map(EpochRecord::point).collect();
        let mut written: Vec<_> =
            save(&self.folder, "curves", &curves(&self.title, &points, self.classes)).into_iter().collect();
        if let Some(drawing) = self.filters(weights) {
            written.extend(save(&self.folder, "filters", &drawing));
            let epoch = epochs.last().map(|last| last.epoch);
            if self.filters_of != epoch {
                self.image("filters", epoch.unwrap_or(0) as u64, &drawing);
                self.filters_of = epoch;
            }
        }
        self.drawn = Some((Instant::now(), begun.elapsed()));
        written
    }

    /// The filters of the first layer, if it is a convolution: parameters stand in the order of their use, and only a
    /// convolution's weight has four sizes.
    fn filters(&self, weights: &Weights) -> Option<Drawing> {
        let sizes = weights.parameters().first()?.shape.dims().try_into().ok()?;
        Some(filters(&format!("{}: filters of the first layer", self.title), sizes, weights.values(0)))
    }

    fn image(&mut self, name: &str, step: u64, drawing: &Drawing) {
        self.events(|events| {
            // A picture that is too large for a PNG has been remarked upon.
            if let Ok(png) = drawing.png() {
                events.image(name, step, &png);
            }
        });
    }

    /// Adds to the event file, if there is one. One that cannot be written is given up.
    fn events(&mut self, add: impl FnOnce(&mut EventFile)) {
        let Some(events) = &mut self.events else { return };
        add(events);
        if let Err(error) = events.flush() {
            cannot_write(&error);
            self.events = None;
        }
    }
}

fn cannot_write(error: &std::io::Error) {
    output::note(format_args!("note      pictures or events could not be written: {error}"));
}
