//! How answers look: bars for a few pictures, a line each for many, JSON lines and CSV for programs.

use std::path::{Path, PathBuf};

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;
use crate::output::{self, percent};
use crate::table::{Align, pad};

/// Answers that are shown if nobody says otherwise.
const TOP: usize = 5;
/// Width of the bar of a probability of 1.
const BAR: usize = 30;
/// Longer names of files do not move the column behind them.
const WIDEST: usize = 60;

/// The shape of the output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A heading and a bar for each class.
    Bars,
    /// A line a picture.
    Lines,
    /// An object a line.
    Json,
    /// A heading, then a row a picture.
    Csv,
}

/// Writes answers to standard output.
pub(super) struct Answers<'a> {
    form: Form,
    top: usize,
    classes: &'a [String],
    /// Columns that a picture's name takes in a line, and a class's.
    widths: (usize, usize),
}

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

impl<'a> Answers<'a> {
    pub(super) fn new(form: Form, top: Option<u32>, classes: &'a [String], pictures: &[PathBuf]) -> Self {
        let usual = if form == Form::Lines { 1 } else { TOP };
        let top = top.map_or(usual, |top| top as usize).min(classes.len());
        let widest = pictures.iter().map(|path| path.display().to_string().width()).max().unwrap_or(0);
        let class = classes.iter().map(|class| class.width()).max().unwrap_or(0);
        Self { form, top, classes, widths: (widest.min(WIDEST), class) }
    }

    /// What stands above all answers.
    pub(super) fn begin(&self) -> Result<(), Failure> {
        if self.form != Form::Csv {
            return Ok(());
        }
        let mut heads = vec!["image".to_owned(), "class".to_owned(), "probability".to_owned()];
        heads.extend((2..=self.top).flat_map(|rank| [format!("class_{rank}"), format!("probability_{rank}")]));
        row(&heads)
    }

    /// One picture's answer.
    pub(super) fn print(&self, path: &Path, probabilities: &[f64]) -> Result<(), Failure> {
        let image = path.display().to_string();
        let top = self.likeliest(probabilities);
        match self.form {
            Form::Json => output::json(&Json { image, top }),
            Form::Csv => {
                let answers = top.iter().flat_map(|answer| [answer.class.to_owned(), answer.probability.to_string()]);
                row(&std::iter::once(image).chain(answers).collect::<Vec<_>>())
            }
            Form::Lines => {
                let answers = top.iter().map(|Answer { class, probability }| {
                    format!("{}  {:>7}", pad(class, self.widths.1, Align::Left), percent(*probability))
                });
                let answers = answers.collect::<Vec<_>>().join("  ");
                output::result(format_args!("{}  {answers}", pad(&image, self.widths.0, Align::Left)))
            }
            Form::Bars => {
                output::result(image)?;
                let widest = top.iter().map(|answer| answer.class.width()).max().unwrap_or(0);
                top.iter().try_for_each(|Answer { class, probability }| {
                    let bar = "█".repeat((probability * BAR as f64).round() as usize);
                    let class = pad(class, widest, Align::Left);
                    output::result(format_args!("  {class}  {:>7}  {bar}", percent(*probability)))
                })
            }
        }
    }

    /// The likeliest classes, the first of equals first.
    fn likeliest(&self, probabilities: &[f64]) -> Vec<Answer<'a>> {
        let mut order: Vec<usize> = (0..probabilities.len()).collect();
        order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
        let answer = |class: usize| Answer { class: &self.classes[class], probability: probabilities[class] };
        order.into_iter().take(self.top).map(answer).collect()
    }
}

fn row(cells: &[String]) -> Result<(), Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::Mend(format!("standard output cannot be written: {error}"));
    let mut writer = csv::Writer::from_writer(vec![]);
    writer.write_record(cells).map_err(|error| cannot(&error))?;
    let line = writer.into_inner().map_err(|error| cannot(&error))?;
    output::result(String::from_utf8_lossy(&line).trim_end_matches('\n'))
}
