//! How good a network is, as a table and for programs.

use lenslet::data::Dataset;
use lenslet::metrics::{Evaluation, Mistakes, Scores};
use serde::Serialize;

use crate::output::{count, percent};
use crate::table::{Align, Table};

/// Above so many classes the table shows only the worst, so many of them.
const MANY: usize = 40;
const WORST: usize = 20;

/// Precision, recall and F1 of each class, with their averages; of many classes those that have the lowest F1.
pub(crate) fn class_table(evaluation: &Evaluation, classes: &[String]) -> String {
    let report = evaluation.report();
    let mut table = Table::new([
        ("class", Align::Left),
        ("precision", Align::Right),
        ("recall", Align::Right),
        ("F1", Align::Right),
        ("images", Align::Right),
    ]);
    let mut shown: Vec<usize> = (0..classes.len().min(report.classes.len())).collect();
    let many = shown.len() > MANY;
    if many {
        shown.sort_by(|&a, &b| report.classes[a].f1.total_cmp(&report.classes[b].f1));
        shown.truncate(WORST);
    }
    for class in shown {
        table.row(row(&classes[class], &report.classes[class]));
    }
    table.sum(row("macro average", &report.macro_average));
    table.sum(row("weighted average", &report.weighted_average));
    let all = classes.len();
    if many {
        format!("{table}\nshown: the {WORST} of {all} classes that have the lowest F1")
    } else {
        table.to_string()
    }
}

fn row(name: &str, Scores { precision, recall, f1, images }: &Scores) -> [String; 5] {
    // A class without images has no recall.
    let known = |share: &f64| if *images > 0 { percent(*share) } else { "–".to_owned() };
    [name.to_owned(), percent(*precision), known(recall), known(f1), count(*images)]
}

/// The same for programs, with all that was counted.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    test_accuracy: f64,
    test_loss: f64,
    images: usize,
    classes: Vec<Class<'a>>,
    macro_average: Scores,
    weighted_average: Scores,
    /// A row for each class, a column for each answer.
    confusion: &'a [Vec<u32>],
    /// The surest first.
    mistakes: Vec<Mistake<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    class: &'a str,
    #[serde(flatten)]
    scores: Scores,
}

#[derive(Serialize)]
struct Mistake<'a> {
    /// The number of the test image, from 0.
    image: usize,
    class: &'a str,
    answer: &'a str,
    probability: f64,
}

impl<'a> Report<'a> {
    /// What came of the test images of `data`.
    pub(crate) fn new(evaluation: &'a Evaluation, mistakes: &Mistakes, data: &'a Dataset) -> Self {
        let report = evaluation.report();
        let class = |(class, scores): (&'a String, Scores)| Class { class, scores };
        let name = |class: u32| data.classes[class as usize].as_str();
        let mistake = |found: &lenslet::metrics::Mistake| Mistake {
            image: found.image,
            class: name(found.label),
            answer: name(found.answer),
            probability: found.probability,
        };
        Self {
            test_accuracy: evaluation.accuracy(),
            test_loss: evaluation.loss,
            images: evaluation.images,
            classes: data.classes.iter().zip(report.classes).map(class).collect(),
            macro_average: report.macro_average,
            weighted_average: report.weighted_average,
            confusion: &evaluation.confusion,
            mistakes: mistakes.surest().iter().map(mistake).collect(),
        }
    }
}
