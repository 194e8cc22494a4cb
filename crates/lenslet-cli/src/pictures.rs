//! Pictures of what came of the test images: the confusion matrix and the surest mistakes, and their numbers as JSON; and
//! samples of a data set.
//!
//! *Invariant:* a picture that cannot be written is a remark and nothing more; results are never lost for it.

use std::io;
use std::path::Path;

use lenslet::data::Dataset;
use lenslet::metrics::{Evaluation, Mistake, Mistakes};
use lenslet_report::{Caption, Drawing, Picture, Row, Sheet, confusion, labels, sheet};

use crate::failure::Failure;
use crate::output::{self, count, percent, to_json};
use crate::report::Report;
use crate::run_folder::cannot_write;

/// Mistakes that are kept for their picture, and how many of them stand side by side.
pub(crate) const MISTAKES: usize = 24;
const ABREAST: usize = 6;
/// Samples of a class, at most.
const SAMPLES: usize = 10;

/// What a network made of the test images of a data set.
pub(crate) struct Tested<'a> {
    /// Which network it was, and when: `lesson on shapes, after epoch 20`.
    pub(crate) what: String,
    pub(crate) data: &'a Dataset,
    pub(crate) evaluation: &'a Evaluation,
    pub(crate) mistakes: &'a Mistakes,
}

impl Tested<'_> {
    /// The confusion matrix.
    pub(crate) fn confusion(&self) -> Drawing {
        let Self { what, data, evaluation, .. } = self;
        let title =
            format!("{what}: {} of {} test images right", percent(evaluation.accuracy()), count(evaluation.images));
        confusion(&title, &data.classes, &evaluation.confusion)
    }

    /// The surest mistakes.
    pub(crate) fn mistakes(&self) -> Drawing {
        let Self { what, data, mistakes, .. } = self;
        let (surest, names) = (mistakes.surest(), labels(&data.classes));
        let title =
            if surest.is_empty() { format!("{what}: no mistakes") } else { format!("{what}: the surest mistakes") };
        let pictures =
            surest.chunks(ABREAST).map(|row| row.iter().map(|mistake| self.mistake(mistake, &names)).collect());
        let rows = pictures.map(|pictures| Row { name: "", pictures }).collect();
        sheet(&Sheet { title: &title, size: [data.channels, data.height, data.width], rows })
    }

    /// One of them: `cat` and below it `said dog (99.8 %)`.
    fn mistake(&self, found: &Mistake, names: &[String]) -> Picture<'_> {
        let Mistake { image, label, answer, probability } = *found;
        let truth = Caption { text: names[label as usize].clone(), tail: String::new() };
        let said =
            Caption { text: format!("said {}", names[answer as usize]), tail: format!("({})", percent(probability)) };
        Picture { pixels: self.data.test.image(image), captions: vec![truth, said] }
    }

    /// Writes pictures and numbers into a folder; gives the names of what is there now.
    pub(crate) fn save(&self, folder: &Path) -> Vec<&'static str> {
        let report = to_json(&Report::new(self.evaluation, self.mistakes, self.data)) + "\n";
        let written = [
            save(folder, "confusion", &self.confusion()),
            save(folder, "mistakes", &self.mistakes()),
            said(folder, "report.json", std::fs::write(folder.join("report.json"), report)),
        ];
        written.into_iter().flatten().collect()
    }
}

/// Training images of each class, evenly taken from all of its.
pub(crate) fn samples(data: &Dataset) -> Drawing {
    let mut of_class = vec![vec![]; data.classes.len()];
    for (image, &label) in data.train.labels.iter().enumerate() {
        of_class[label as usize].push(image);
    }
    let names = labels(&data.classes);
    let sample = |&image: &usize| Picture { pixels: data.train.image(image), captions: vec![] };
    let row = |(name, images): (_, &Vec<usize>)| Row {
        name,
        pictures: images.iter().step_by(images.len().div_ceil(SAMPLES).max(1)).map(sample).collect(),
    };
    let rows = names.iter().map(String::as_str).zip(&of_class).map(row).collect();
    let title = format!("{}: images to train on, by class", data.name);
    sheet(&Sheet { title: &title, size: [data.channels, data.height, data.width], rows })
}

/// The files by name, for a line: `curves.png, filters.png (each also as .svg), report.json`.
pub(crate) fn list(written: &[&str]) -> String {
    let (others, pictures): (Vec<&str>, Vec<&str>) = written.iter().partition(|name| name.contains('.'));
    let pictures: Vec<String> = pictures.iter().map(|name| format!("{name}.png")).collect();
    let each = match pictures.len() {
        0 => None,
        1 => Some(format!("{} (also as .svg)", pictures[0])),
        _ => Some(format!("{} (each also as .svg)", pictures.join(", "))),
    };
    each.into_iter().chain(others.into_iter().map(String::from)).collect::<Vec<_>>().join(", ")
}

/// Writes a picture as PNG and SVG; gives its name, or says why not.
pub(crate) fn save(folder: &Path, name: &'static str, drawing: &Drawing) -> Option<&'static str> {
    said(folder, name, drawing.save(folder, name))
}

/// Writes a drawing into the file that `flag` names, in the format that its ending asks for.
pub(crate) fn save_as(path: &Path, flag: &str, drawing: &Drawing) -> Result<(), Failure> {
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some(end) if end.eq_ignore_ascii_case("svg") => Ok(drawing.svg().into_bytes()),
        Some(end) if end.eq_ignore_ascii_case("png") => drawing.png(),
        _ => {
            return Err(Failure::Mend(format!(
                "{flag} {}: a sheet is drawn as .png or .svg\n  mend it: give the file one of these endings",
                path.display()
            )));
        }
    };
    bytes.and_then(|bytes| std::fs::write(path, bytes)).map_err(|error| cannot_write(path, &error))
}

fn said(folder: &Path, name: &'static str, written: io::Result<()>) -> Option<&'static str> {
    if let Err(error) = &written {
        output::note(format_args!("note      {} could not be written: {error}", folder.join(name).display()));
    }
    written.is_ok().then_some(name)
}
