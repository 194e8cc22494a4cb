//! `lenslet eval`: how good a trained network is on the test images of a data set.

use std::path::PathBuf;

use clap::Args;
use lenslet::Model;
use serde::Serialize;

use crate::data::{Reading, Wanted};
use crate::failure::Failure;
use crate::output::{self, percent};
use crate::{data, report, run_folder};

/// Evaluate a trained network on the test images of a data set.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    /// A run's folder (its best checkpoint), or a checkpoint.
    #[arg(value_name = "CHECKPOINT|RUN")]
    checkpoint: PathBuf,
    /// Data set [default: the one it was trained on].
    #[arg(long)]
    data: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lenslet eval runs/lesson-shapes-1
  lenslet eval runs/lesson-shapes-1/last.safetensors --json";

/// The result for programs.
#[derive(Serialize)]
struct Json {
    test_accuracy: f64,
    test_loss: f64,
    images: usize,
}

pub(crate) fn run(options: &Eval) -> Result<(), Failure> {
    let path = run_folder::checkpoint(&options.checkpoint)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut model = Model::open(&path, threads)?;
    let description = model.description().clone();
    let name = options.data.as_ref().unwrap_or(&description.data);
    let [channels, height, width] = description.input;
    let wanted = Wanted { channels: Some(channels), size: Some((height, width)), filter: description.filter };
    let data = data::load(name, &options.reading, &wanted)?;
    if data.classes != description.classes {
        return Err(Failure::Mend(format!(
            "{}: the network knows {} classes ({}), but {name} has {} ({})\n  mend it: give the data set it was trained on",
            path.display(),
            description.classes.len(),
            data::some(&description.classes),
            data.classes.len(),
            data::some(&data.classes)
        )));
    }
    let evaluation = model.evaluate(&data.test);
    if options.json {
        let (test_accuracy, test_loss) = (evaluation.accuracy(), evaluation.loss);
        return output::json(&Json { test_accuracy, test_loss, images: evaluation.images });
    }
    output::result(format_args!("{} on {}, test images\n", path.display(), data.name))?;
    output::result(format_args!("{}\n", report::class_table(&evaluation, &data.classes)))?;
    output::result(format_args!("test accuracy {}, test loss {:.4}", percent(evaluation.accuracy()), evaluation.loss))
}
