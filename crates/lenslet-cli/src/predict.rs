//! `lenslet predict`: what a trained network sees in pictures.
//!
//! A picture that cannot be read is said and does not stop the others; the exit code is then 2.

use std::path::{Path, PathBuf};

use clap::Args;
use lenslet::Model;
use lenslet::data::read_image;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::output::{self, percent};
use crate::run_folder;
use crate::table::{Align, pad};

/// Ask a trained network about pictures (PNG or JPEG).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Predict {
    /// A run's folder (its best checkpoint), or a checkpoint.
    #[arg(value_name = "CHECKPOINT|RUN")]
    checkpoint: PathBuf,
    /// Pictures; those of another size are resized to the network's.
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// Print one JSON object a picture instead.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lenslet predict runs/lesson-shapes-1 picture.png
  lenslet predict runs/lesson-shapes-1 --json *.png";

/// Answers that are shown.
const TOP: usize = 5;

/// Width of the bar of a probability of 1.
const BAR: usize = 30;

/// A picture's answer for programs.
#[derive(Serialize)]
struct Json<'a> {
    image: String,
    top: Vec<Answer<'a>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    class: &'a str,
    probability: f64,
}

pub(crate) fn run(options: &Predict) -> Result<(), Failure> {
    let path = run_folder::checkpoint(&options.checkpoint)?;
    let mut model = Model::open(&path, 1)?;
    let mut failed = false;
    for image in &options.images {
        match predict(&mut model, image, options.json) {
            Err(Failure::Mend(message)) => {
                output::note(format_args!("error: {message}"));
                failed = true;
            }
            result => result?,
        }
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

fn predict(model: &mut Model, path: &Path, json: bool) -> Result<(), Failure> {
    let [channels, height, width] = model.description().input;
    let picture = read_image(path, channels, height, width)?;
    if picture.resized {
        let (h, w) = picture.original;
        output::note(format_args!("note: {} is {h}x{w} and was resized to {height}x{width}", path.display()));
    }
    let probabilities = model.predict(&picture.pixels);
    let classes = &model.description().classes;
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let top = order.iter().take(TOP).map(|&class| Answer { class: &classes[class], probability: probabilities[class] });
    let top: Vec<Answer<'_>> = top.collect();
    if json {
        return output::json(&Json { image: path.display().to_string(), top });
    }
    output::result(path.display())?;
    let widest = top.iter().map(|answer| answer.class.width()).max().unwrap_or(0);
    for Answer { class, probability } in &top {
        let bar = "█".repeat((probability * BAR as f64).round() as usize);
        output::result(format_args!("  {}  {:>7}  {bar}", pad(class, widest, Align::Left), percent(*probability)))?;
    }
    Ok(())
}
