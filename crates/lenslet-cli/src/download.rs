//! Data sets by name: where they lie on this machine, and how it looks when they are downloaded first.
//!
//! *Invariant:* a plain name means the data set, whatever lies in the folder that one works in. Ctrl-C ends a download at
//! once and loses nothing: what has arrived is on disk already, and the next start goes on from there.

use std::borrow::Cow;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use lenslet_fetch::{Options, Report, SETS, fetch, named};

use crate::failure::Failure;
use crate::output::{self, bytes, duration};
use crate::progress::{LINE, REDRAW, bar, watched};

/// Columns that a line needs beside its bar.
const WORDS: usize = 82;

/// The help for an argument that takes a data set.
pub(crate) fn help() -> String {
    let names = SETS.map(|set| set.name).join(", ");
    format!(
        "Data set: shapes (pictures that lenslet draws itself); {names} (downloaded once); or a path: a folder of pictures \
         by class, CIFAR, MNIST and the like, Parquet shards, .npz, packed or not"
    )
}

/// What is said of downloads below a command's options.
pub(crate) fn after_help(examples: &str) -> String {
    let names = SETS.map(|set| set.name).join(", ");
    format!(
        "\
Data sets with a name ({names}) are downloaded once, checked and kept in the user's
cache folder; a folder of such a name is given as ./cifar10.
  LENSLET_CACHE=FOLDER  keep them there
  LENSLET_MIRROR=URL    ask URL/NAME/FILE instead of the sets' own hosts
  HTTPS_PROXY=URL       go through a proxy

{examples}"
    )
}

/// The path that is meant by what stands after `--data`: of a data set that has a name, the folder in which it is kept.
pub(crate) fn path(what: &str) -> Result<Cow<'_, str>, Failure> {
    let Some(set) = named(what) else { return Ok(what.into()) };
    if Path::new(what).exists() {
        output::note(format_args!("note      {what} means the data set of this name, and ./{what} what lies here"));
    }
    let mut display = Display::new();
    let folder = fetch(set, &Options::from_env()?, &mut |report| display.show(report))?;
    display.end(&folder);
    Ok(folder.to_string_lossy().into_owned().into())
}

/// Shows a download: a bar for each file in a terminal, plain lines elsewhere.
struct Display {
    watched: bool,
    /// The bar of the file that is arriving, once something of it has.
    bar: Option<ProgressBar>,
    /// The name of the file that is arriving.
    file: String,
    /// When it began to, and how much of it was there already.
    begun: Option<(Instant, u64)>,
    shown: Instant,
    /// Why the last source was left: said when another one is asked, since the error says it else.
    left: Option<String>,
    downloaded: bool,
}

impl Display {
    fn new() -> Self {
        let file = String::new();
        let shown = Instant::now();
        Self { watched: watched(), bar: None, file, begun: None, shown, left: None, downloaded: false }
    }

    fn show(&mut self, report: Report<'_>) {
        match report {
            Report::Waiting => self.line("note      another process downloads this data set, and is waited for"),
            Report::Replacing { folder, why } => {
                self.line(&format!("note      {} is not the data set, and is replaced: {why}", folder.display()));
            }
            Report::File { address } => {
                if let Some(why) = self.left.take() {
                    self.line(&format!("note      {why}; the next source is asked"));
                }
                self.clear();
                self.line(&format!("download  {address}"));
                self.file = address.rsplit('/').next().unwrap_or(address).to_owned();
                (self.begun, self.downloaded) = (None, true);
            }
            Report::Progress { done, total } => self.progress(done, total),
            Report::Again { why, pause } => {
                self.line(&format!("note      {why}; tried again in {}", duration(pause)));
                self.begun = None;
            }
            Report::Left { why, .. } => self.left = Some(why.to_owned()),
            Report::Checking => {
                self.clear();
                self.line("check     the pictures, against the official ones");
            }
        }
    }

    fn progress(&mut self, done: u64, total: Option<u64>) {
        let now = Instant::now();
        let (since, from) = *self.begun.get_or_insert((now, done));
        let interval = if self.watched { REDRAW } else { LINE };
        if now - self.shown < interval {
            return;
        }
        self.shown = now;
        let rate = (done - from.min(done)) as f64 / (now - since).as_secs_f64().max(1e-3);
        let of = total.map_or(String::new(), |total| format!(" of {}", bytes(total)));
        let left = total.filter(|_| rate >= 1.0).map_or(String::new(), |total| {
            let left = Duration::from_secs_f64((total.saturating_sub(done) as f64 / rate).min(1e9));
            format!("  {} left", duration(left))
        });
        let state = format!("{}{of}  {}/s{left}", bytes(done), bytes(rate as u64));
        if !self.watched {
            return output::note(format_args!("{}: {state}", self.file));
        }
        let bar = self.bar.get_or_insert_with(|| bar(&self.file, "{msg}", WORDS, 0));
        bar.set_length(total.unwrap_or(0));
        bar.set_position(done);
        bar.set_message(state);
    }

    /// A line that stays, above the bar.
    fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// The data set is there.
    fn end(&self, folder: &Path) {
        if self.downloaded {
            self.line(&format!("kept      in {}", folder.display()));
        }
    }

    /// Takes the bar away.
    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.clear();
    }
}
