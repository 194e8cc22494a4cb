//! How good a network is, as a table and for programs.

use lenslet::metrics::Evaluation;

use crate::output::{count, percent};
use crate::table::{Align, Table};

/// The accuracy of each class, and of all.
pub(crate) fn class_table(evaluation: &Evaluation, classes: &[String]) -> Table<3> {
    let mut table = Table::new([("class", Align::Left), ("accuracy", Align::Right), ("images", Align::Right)]);
    for (name, (accuracy, images)) in classes.iter().zip(evaluation.classes()) {
        // A class without images has no accuracy.
        let accuracy = if images > 0 { percent(accuracy) } else { "–".to_owned() };
        table.row([name.clone(), accuracy, count(images)]);
    }
    table.sum(["all".into(), percent(evaluation.accuracy()), count(evaluation.images)]);
    table
}
