//! What the two layouts of CIFAR-10's own home page share: five batches to learn from, one to be tested on, and a file
//! with the names of the classes.
//!
//! *Invariant:* all six batches are there, or it is an error: four fifths of a data set train a worse network without
//! a word.
use crate::error::{DataError, Fault, Kind, list};
use crate::{CIFAR10, Dataset, Split};
use std::path::Path;

/// Channels, height and width of every picture, and the bytes of one.
pub(crate) const SIZE: [usize; 3] = [3, 32, 32];
pub(crate) const PICTURE: usize = 3 * 32 * 32;

/// How a layout differs from the other.
pub(crate) struct Layout {
    /// What follows "data_batch_1" in a file's name.
    pub(crate) suffix: &'static str,
    /// The file with the names of the classes.
    pub(crate) names: &'static str,
    pub(crate) read_names: fn(&[u8]) -> Result<Vec<String>, Fault>,
    /// Appends a batch whose labels name one of so many classes.
    pub(crate) read_batch: fn(&[u8], usize, &mut Split) -> Result<(), Fault>,
}

pub(crate) fn load(folder: &Path, layout: &Layout) -> Result<Dataset, DataError> {
    let classes = class_names(folder, layout)?;
    let mut train = Split::default();
    for number in 1..=5 {
        batch(folder, &format!("data_batch_{number}"), layout, classes.len(), &mut train)?;
    }
    let mut test = Split::default();
    batch(folder, "test_batch", layout, classes.len(), &mut test)?;
    let [channels, height, width] = SIZE;
    Ok(Dataset { name: crate::name_of(folder), classes, channels, height, width, train, test })
}

/// The names in the folder, or those that everybody knows where the file is absent.
fn class_names(folder: &Path, layout: &Layout) -> Result<Vec<String>, DataError> {
    let path = folder.join(layout.names);
    if !path.exists() {
        return Ok(CIFAR10.map(String::from).into());
    }
    (layout.read_names)(&crate::read_file(&path)?).map_err(|fault| fault.in_file(&path))
}

fn batch(folder: &Path, name: &str, layout: &Layout, classes: usize, split: &mut Split) -> Result<(), DataError> {
    let name = format!("{name}{}", layout.suffix);
    let path = folder.join(&name);
    if !path.exists() {
        let fix = "unpack the archive again, all of its files";
        let found = list(&crate::names_in(folder)?);
        return Err(Fault::new(Kind::Missing, format!("the batch `{name}`"), found, fix).in_file(folder));
    }
    let before = split.len();
    (layout.read_batch)(&crate::read_file(&path)?, classes, split).map_err(|fault| fault.in_file(&path))?;
    if split.len() == before {
        return Err(Fault::damaged("a batch of pictures", "none").in_file(&path));
    }
    Ok(())
}
