//! `lenslet predict`: what a trained network sees in pictures.
//!
//! Pictures flow in batches: all cores decode one while the network looks at the one before, so memory holds a few
//! batches however many pictures there are. *Invariants:* answers come in the order of the pictures, and a picture's
//! answer depends neither on its batch nor on the number of threads. One that cannot be read is said and does not stop
//! the others; the exit code is then 2.

mod answers;
mod list;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use clap::Args;
use lenslet::checkpoint::Description;
use lenslet::data::{DataError, Picture, read_image};
use lenslet::inference::BATCH;
use lenslet::{Model, TestTime};
use rayon::prelude::*;

use crate::failure::Failure;
use crate::output::{self, count};
use crate::progress::Counter;
use crate::{machine, run_folder, threads};
use answers::{Answers, Form};

/// Ask a trained network about pictures: PNG, JPEG, WebP, GIF and BMP files, and folders of them.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Predict {
    /// A run's folder (its best checkpoint), or a checkpoint.
    #[arg(value_name = "CHECKPOINT|RUN")]
    checkpoint: PathBuf,
    /// Pictures, resized to the network's size; folders, with all that is below them; - for a list on standard input, one
    /// path a line.
    #[arg(value_name = "IMAGE|FOLDER", required = true)]
    images: Vec<PathBuf>,
    /// Views of each picture that the answer is the mean of: none, flip, flip-shift [default: those it was tested by].
    #[arg(long, value_name = "VIEWS")]
    tta: Option<TestTime>,
    /// Print one JSON object a picture instead.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a table of comma-separated values instead.
    #[arg(long)]
    csv: bool,
    /// Classes to show, the likeliest first [default: 5, or 1 where each picture gets one line of text].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    top: Option<u32>,
    /// Threads [default: as many as the machine has].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<i64>,
}

const EXAMPLES: &str = "\
Examples:
  lenslet predict runs/lesson-shapes-1 picture.png
  lenslet predict runs/lesson-shapes-1 photos --csv > answers.csv
  find . -name '*.jpg' | lenslet predict runs/lesson-shapes-1 --json -";

/// More pictures than this get a line each.
const FEW: usize = 8;

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let threads = threads::wanted(options.threads)?;
    let path = run_folder::checkpoint(&options.checkpoint)?;
    let mut model = Model::open(&path, threads)?;
    if let Some(views) = options.tta {
        model = model.test_time(views);
    }
    let description = model.description().clone();
    let list = list::pictures(&options.images);
    list.notes.iter().for_each(output::note);
    list.faults.iter().for_each(|fault| output::note(format_args!("error: {fault}")));

    let many = list.pictures.len() > FEW;
    let form = match (options.json, options.csv) {
        (true, _) => Form::Json,
        (_, true) => Form::Csv,
        _ if many => Form::Lines,
        _ => Form::Bars,
    };
    machine::check_memory(&model, list.pictures.len())?;
    let answers = Answers::new(form, options.top, &description.classes, &list.pictures);
    answers.begin()?;
    let seen = ask(&mut model, &list.pictures, threads, many, &answers)?;

    if many && seen.resized > 0 {
        let ([_, height, width], filter) = (description.input, description.filter);
        let resized = count(seen.resized);
        output::note(format_args!(
            "note: {resized} pictures had another size and were resized to {height}x{width} ({filter})"
        ));
    }
    if seen.unread > 0 && list.pictures.len() > 1 {
        let (unread, all) = (count(seen.unread), count(list.pictures.len()));
        output::note(format_args!("error: {unread} of {all} pictures could not be read; the others were answered"));
    }
    if seen.unread > 0 || !list.faults.is_empty() { Err(Failure::Said) } else { Ok(()) }
}

/// What there is to say at the end.
#[derive(Default)]
struct Seen {
    unread: usize,
    resized: usize,
}

type Read = Result<Picture, DataError>;

/// Decodes the pictures on threads of their own and asks the network about each batch that is ready.
fn ask(
    model: &mut Model,
    pictures: &[PathBuf],
    threads: usize,
    many: bool,
    answers: &Answers<'_>,
) -> Result<Seen, Failure> {
    let counter = Counter::new(if many { pictures.len() } else { 0 });
    let description = model.description().clone();
    std::thread::scope(|scope| {
        // One batch waits while another is decoded and a third is answered.
        let (sender, receiver) = sync_channel(1);
        scope.spawn(|| decode(&description, pictures, threads, sender));
        answer(model, pictures, many, receiver, answers, &counter)
    })
}

fn decode(description: &Description, pictures: &[PathBuf], threads: usize, sender: SyncSender<Vec<Read>>) {
    let [channels, height, width] = description.input;
    let read = |path: &PathBuf| read_image(path, channels, height, width, description.filter);
    let batch = |paths: &[PathBuf]| paths.par_iter().map(read).collect::<Vec<Read>>();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok();
    for paths in pictures.chunks(BATCH) {
        // Where the system gives no threads, this one does the work.
        let read = match &pool {
            Some(pool) => pool.install(|| batch(paths)),
            None => paths.iter().map(read).collect(),
        };
        if sender.send(read).is_err() {
            return;
        }
    }
}

fn answer(
    model: &mut Model,
    pictures: &[PathBuf],
    many: bool,
    batches: Receiver<Vec<Read>>,
    answers: &Answers<'_>,
    counter: &Counter,
) -> Result<Seen, Failure> {
    let [_, height, width] = model.description().input;
    let mut seen = Seen::default();
    for (paths, batch) in pictures.chunks(BATCH).zip(batches) {
        let pixels: Vec<&[u8]> = batch.iter().flatten().map(|picture| &picture.pixels[..]).collect();
        let mut probabilities = model.predict_many(&pixels).into_iter();
        for (path, read) in paths.iter().zip(&batch) {
            match read {
                Err(error) => {
                    counter.line(format_args!("error: {error}"));
                    seen.unread += 1;
                }
                Ok(picture) => {
                    seen.resized += usize::from(picture.resized);
                    if picture.resized && !many {
                        output::note(resized(path, picture.original, (height, width)));
                    }
                    answers.print(path, &probabilities.next().unwrap_or_default())?;
                }
            }
        }
        counter.advance(paths.len());
    }
    Ok(seen)
}

fn resized(path: &Path, (h, w): (usize, usize), (height, width): (usize, usize)) -> String {
    format!("note: {} is {h}x{w} and was resized to {height}x{width}", path.display())
}
