//! `lenslet data`: what a data set holds, and what is suspicious in it.

use std::path::{Path, PathBuf};

use clap::Args;
use lenslet::data::{DataWarning, Dataset, Survey};
use serde::Serialize;

use crate::data::{self, Reading};
use crate::download;
use crate::failure::Failure;
use crate::network::{self, Input};
use crate::output::{self, count};
use crate::pictures::{samples, save_as};
use crate::table::{Align, Table};

/// Describe a data set: sizes, classes, mean and spread of each channel, and what is suspicious in it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Data {
    #[arg(help = download::help())]
    data: String,
    /// Sizes to bring the images to, channels x height x width [default: their own].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
    #[command(flatten)]
    reading: Reading,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
    /// Draw a sheet of samples of every class into this file.
    #[arg(long, value_name = "OUT.png|OUT.svg")]
    sheet: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  lenslet data shapes
  lenslet data photos --sheet samples.png
  lenslet data data/cifar10 --json";

/// The description for programs.
#[derive(Serialize)]
struct Json<'a> {
    name: &'a str,
    channels: usize,
    height: usize,
    width: usize,
    train: usize,
    test: usize,
    classes: Vec<Class<'a>>,
    mean: &'a [f64],
    std: &'a [f64],
    warnings: Vec<Warned<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    name: &'a str,
    train: usize,
    test: usize,
}

/// A warning for programs, with the words for people.
#[derive(Serialize)]
pub(crate) struct Warned<'a> {
    message: String,
    #[serde(flatten)]
    warning: &'a DataWarning,
}

impl<'a> Warned<'a> {
    /// All of them.
    pub(crate) fn all(warnings: &'a [DataWarning]) -> Vec<Self> {
        warnings.iter().map(|warning| Self { message: warning.to_string(), warning }).collect()
    }
}

pub(crate) fn run(options: &Data) -> Result<(), Failure> {
    let data = data::load(&options.data, &options.reading, &options.input.into())?;
    let survey = Survey::new(&data);
    if options.json {
        output::json(&json(&data, &survey))?;
    } else {
        output::result(text(&data, &survey))?;
    }
    match &options.sheet {
        Some(path) => draw_sheet(&data, path),
        None => Ok(()),
    }
}

/// Draws the sheet of samples, in the format that the file's name asks for.
fn draw_sheet(data: &Dataset, path: &Path) -> Result<(), Failure> {
    save_as(path, "--sheet", &samples(data))?;
    output::note(format_args!("sheet     {}", path.display()));
    Ok(())
}

fn json<'a>(data: &'a Dataset, survey: &'a Survey) -> Json<'a> {
    let classes = data.classes.iter().zip(survey.train.iter().zip(&survey.test));
    Json {
        name: &data.name,
        channels: data.channels,
        height: data.height,
        width: data.width,
        train: data.train.len(),
        test: data.test.len(),
        classes: classes.map(|(name, (&train, &test))| Class { name, train, test }).collect(),
        mean: &survey.mean,
        std: &survey.std,
        warnings: Warned::all(&survey.warnings),
    }
}

fn text(data: &Dataset, survey: &Survey) -> String {
    let mut classes = Table::new([("class", Align::Left), ("train", Align::Right), ("test", Align::Right)]);
    for (name, (&train, &test)) in data.classes.iter().zip(survey.train.iter().zip(&survey.test)) {
        classes.row([name.clone(), count(train), count(test)]);
    }
    classes.sum(["all".into(), count(data.train.len()), count(data.test.len())]);
    let mut channels = Table::new([("channel", Align::Left), ("mean", Align::Right), ("std", Align::Right)]);
    for (number, (mean, std)) in survey.mean.iter().zip(&survey.std).enumerate() {
        channels.row([channel(number, data.channels), format!("{mean:.4}"), format!("{std:.4}")]);
    }
    let suspicious = match &survey.warnings[..] {
        [] => {
            "nothing suspicious: each class has images and none is rare, no image occurs twice or shows a single colour"
                .to_owned()
        }
        warnings => warnings.iter().map(|warning| format!("warning: {warning}")).collect::<Vec<_>>().join("\n"),
    };
    format!(
        "{}\n\n{classes}\n\nall training pixels, from 0 (black) to 1 (white)\n\n{channels}\n\n{suspicious}",
        data::describe(data)
    )
}

fn channel(number: usize, of: usize) -> String {
    match of {
        1 => "grey".to_owned(),
        3 => ["red", "green", "blue"][number].to_owned(),
        _ => number.to_string(),
    }
}
