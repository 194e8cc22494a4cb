//! `lenslet eval`: how good a trained network is on the test images of a data set.

use std::path::{Path, PathBuf};

use clap::Args;
use lenslet::metrics::Mistakes;
use lenslet::{Model, TestTime};

use crate::data::{Reading, Wanted};
use crate::failure::Failure;
use crate::output::{self, percent};
use crate::pictures::{self, MISTAKES, Tested};
use crate::report::Report;
use crate::{data, download, machine, report, run_folder};

/// Evaluate a trained network on the test images of a data set.
#[derive(Args)]
#[command(after_help = download::after_help(EXAMPLES))]
pub(crate) struct Eval {
    /// A run's folder (its best checkpoint), or a checkpoint.
    #[arg(value_name = "CHECKPOINT|RUN")]
    checkpoint: PathBuf,
    #[arg(long, help = format!("{} [default: the one it was trained on]", download::help()))]
    data: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Views of each image that the answer is the mean of: none, flip, flip-shift [default: those it was tested by].
    #[arg(long, value_name = "VIEWS")]
    tta: Option<TestTime>,
    /// Folder for pictures and numbers: confusion.png and .svg, mistakes.png and .svg, report.json.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  lenslet eval runs/lesson-shapes-1
  lenslet eval runs/lesson-shapes-1/last.safetensors --json
  lenslet eval runs/lesson-shapes-1 --out evaluation";

pub(crate) fn run(options: &Eval) -> Result<(), Failure> {
    let path = run_folder::checkpoint(&options.checkpoint)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut model = Model::open(&path, threads)?;
    if let Some(views) = options.tta {
        model = model.test_time(views);
    }
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
    machine::check_memory(&model, data.test.len())?;
    let mut mistakes = Mistakes::new(MISTAKES);
    let labels = &data.test.labels;
    let evaluation = model.evaluate_with(&data.test, |image, logits| mistakes.add(image, logits, labels[image]));
    let what = format!("{} on {}, after epoch {}", description.network, data.name, description.epoch);
    let tested = Tested { what, data: &data, evaluation: &evaluation, mistakes: &mistakes };
    let written = options.out.as_deref().map(|out| save(out, &tested)).transpose()?;
    if options.json {
        return output::json(&Report::new(&evaluation, &mistakes, &data));
    }
    output::result(format_args!("{} on {}, test images\n", path.display(), data.name))?;
    output::result(format_args!("{}\n", report::class_table(&evaluation, &data.classes)))?;
    output::result(format_args!("test accuracy {}, test loss {:.4}", percent(evaluation.accuracy()), evaluation.loss))?;
    written.map_or(Ok(()), output::result)
}

/// Writes pictures and numbers; gives the line that names them.
fn save(out: &Path, tested: &Tested<'_>) -> Result<String, Failure> {
    std::fs::create_dir_all(out).map_err(|error| run_folder::cannot_write(out, &error))?;
    Ok(format!("in {}: {}", out.display(), pictures::list(&tested.save(out))))
}
