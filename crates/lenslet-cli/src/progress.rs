//! How training, and other work on many pictures, looks while it goes on: a bar in a terminal, plain lines elsewhere; all on standard error.
//!
//! *Invariant:* a log that no person watches holds whole lines only, a few for each epoch at most.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lenslet::training::Progress;

use crate::output::{self, count, duration, percent};

/// Time between two changes of the bar.
pub(crate) const REDRAW: Duration = Duration::from_millis(60);

/// Time between two plain lines within an epoch.
pub(crate) const LINE: Duration = Duration::from_secs(10);

/// Columns that a line needs beside its bar.
const WORDS: usize = 76;

/// Shows a run's progress.
pub(crate) struct Display {
    bar: Option<ProgressBar>,
    epochs: usize,
    /// Epochs that were done before.
    done: usize,
    begun: Instant,
    shown: Instant,
}

impl Display {
    /// Of a run of so many epochs, of which some are done. Nothing is shown before the first step.
    pub(crate) fn new(epochs: usize, done: usize) -> Self {
        let bar = watched().then(|| bar("{prefix}", "{msg}", WORDS, 0));
        let now = Instant::now();
        Self { bar, epochs, done, begun: now, shown: now }
    }

    /// A step of an epoch is done.
    pub(crate) fn step(&mut self, progress: Progress) {
        let interval = if self.bar.is_some() { REDRAW } else { LINE };
        if self.shown.elapsed() < interval {
            return;
        }
        self.shown = Instant::now();
        let Progress { epoch, step, steps, images, loss, accuracy, elapsed } = progress;
        let rate = count((images as f64 / elapsed.as_secs_f64()) as u64);
        let left = duration(self.left(epoch, step, steps));
        let state = format!("loss {loss:.4}  {} right  {rate} images/s  {left} left", percent(accuracy));
        match &self.bar {
            Some(bar) => {
                bar.set_prefix(format!("epoch {epoch}/{}", self.epochs));
                bar.set_length(steps as u64);
                bar.set_position(step as u64);
                bar.set_message(state);
            }
            None => output::note(format_args!("epoch {epoch}/{}, step {step}/{steps}: {state}", self.epochs)),
        }
    }

    /// Some of the test images have been looked at.
    pub(crate) fn testing(&mut self, images: usize, of: usize) {
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() >= REDRAW {
            self.shown = Instant::now();
            bar.set_message(format!("testing, {} of {} images", count(images), count(of)));
        }
    }

    /// A line that stays, above the bar.
    pub(crate) fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => output::note(text),
        }
    }

    /// Time left for the whole run, if it goes on as it has so far.
    fn left(&self, epoch: usize, step: usize, steps: usize) -> Duration {
        let done = ((epoch - 1 - self.done) * steps + step) as f64 / ((self.epochs - self.done) * steps) as f64;
        self.begun.elapsed().mul_f64((1.0 - done) / done)
    }
}

impl Drop for Display {
    /// Takes the bar away, however the run ended.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Counts pictures that are done, where a person watches and the results go elsewhere.
pub(crate) struct Counter(Option<ProgressBar>);

impl Counter {
    /// Nothing is shown for none.
    pub(crate) fn new(pictures: usize) -> Self {
        let shown = pictures > 0 && watched() && !std::io::stdout().is_terminal();
        let state = "{human_pos} of {human_len} pictures  {eta} left";
        Self(shown.then(|| bar("", state, WORDS, pictures as u64)))
    }

    /// Some more are done.
    pub(crate) fn advance(&self, pictures: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(pictures as u64);
        }
    }

    /// A line that stays, above the bar.
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        match &self.0 {
            Some(bar) => bar.println(text.to_string()),
            None => output::note(text),
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A bar with words before and after it, which take `words` columns. It leaves room: a line that filled the terminal could
/// not be taken away again once the terminal has put `^C` behind it.
pub(crate) fn bar(before: &str, after: &str, words: usize, length: u64) -> ProgressBar {
    let (_, columns) = console::Term::stderr().size();
    let width = usize::from(columns).saturating_sub(words).clamp(5, 30);
    let style = ProgressStyle::with_template(&format!("{before} {{bar:{width}}} {after}"));
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.with_style(style.expect("the template is well-formed").progress_chars("━╸ "))
}

/// Whether a person watches standard error, in a terminal that can move its cursor.
pub(crate) fn watched() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb && !set("CI")
}
