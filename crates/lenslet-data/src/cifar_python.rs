//! CIFAR-10's Python layout, which torchvision also downloads: `data_batch_1` to `data_batch_5` and `test_batch`, pickled
//! dictionaries with `data` (a uint8 array of N×3072, planes red, green, blue) and `labels`; `batches.meta` with
//! `label_names`.
//!
//! *Invariant:* nothing in a pickle is ever run, see `pickle`.
use crate::cifar::{self, Layout, PICTURE};
use crate::error::{DataError, Fault, Kind};
use crate::{Dataset, Split, pickle};
use std::path::Path;

pub(crate) fn load(folder: &Path) -> Result<Dataset, DataError> {
    cifar::load(folder, &Layout { suffix: "", names: "batches.meta", read_names, read_batch })
}

fn read_names(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let meta = pickle::read(bytes)?;
    let names = meta.root().get("label_names").and_then(|names| {
        let name = |name: pickle::View| Some(String::from_utf8_lossy(name.bytes()?).into_owned());
        names.list()?.map(name).collect::<Option<Vec<_>>>()
    });
    let names = names.filter(|names| !names.is_empty());
    names.ok_or_else(|| no_batch("a dictionary with a list `label_names` of at least one name"))
}

fn read_batch(bytes: &[u8], classes: usize, split: &mut Split) -> Result<(), Fault> {
    let batch = pickle::read(bytes)?;
    let labels = batch.root().get("labels").and_then(|labels| labels.list());
    let labels = labels.ok_or_else(|| no_batch("a dictionary with a list `labels`"))?;
    let (shape, data) = batch
        .root()
        .get("data")
        .and_then(|data| data.array())
        .ok_or_else(|| no_batch("a dictionary with a uint8 array `data`"))?;
    let expected = [labels.len(), PICTURE];
    if shape != expected || data.len() != labels.len() * PICTURE {
        let found = format!("{} bytes of shape {shape:?}", data.len());
        return Err(Fault::damaged(
            format!("`data` of shape {expected:?}, as there are {} labels", labels.len()),
            found,
        ));
    }
    for (row, label) in labels.enumerate() {
        let label = label.int().ok_or_else(|| no_batch("whole numbers in `labels`"))?;
        split.labels.push(crate::label(label, classes, row)?);
    }
    split.images.extend_from_slice(data);
    Ok(())
}

fn no_batch(expected: &str) -> Fault {
    let fix = "give the folder `cifar-10-batches-py` of CIFAR-10 as it comes from the archive";
    Fault::new(Kind::Mismatch, expected, "a pickle without", fix)
}
