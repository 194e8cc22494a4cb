//! The Python layout, which torchvision also downloads: pickled dictionaries with `data` (a uint8 array of N×3072, planes
//! red, green, blue) and labels. CIFAR-10: `data_batch_1` to `data_batch_5` and `test_batch` with `labels`, and
//! `batches.meta` with `label_names`. CIFAR-100: `train` and `test` with `fine_labels`, and `meta` with `fine_label_names`.
//!
//! *Invariant:* nothing in a pickle is ever run, see `pickle`.
use crate::cifar::{self, Batch, Layout, PICTURE, Set};
use crate::error::{DataError, Fault, Kind};
use crate::files::Files;
use crate::{Dataset, names, pickle};

const CIFAR10: Layout = Layout {
    train: &["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"],
    test: "test_batch",
    names: "batches.meta",
    known: &names::CIFAR10,
    read_names: |bytes| class_names(bytes, "label_names"),
    read_batch: |bytes, classes, batch| read_batch(bytes, "labels", classes, batch),
};

const CIFAR100: Layout = Layout {
    train: &["train"],
    test: "test",
    names: "meta",
    known: &names::CIFAR100,
    read_names: |bytes| class_names(bytes, "fine_label_names"),
    read_batch: |bytes, classes, batch| read_batch(bytes, "fine_labels", classes, batch),
};

pub(crate) fn load(files: &Files, set: Set) -> Result<Dataset, DataError> {
    cifar::load(files, if set == Set::Cifar10 { &CIFAR10 } else { &CIFAR100 })
}

fn class_names(bytes: &[u8], key: &str) -> Result<Vec<String>, Fault> {
    let meta = pickle::read(bytes)?;
    let names = meta.root().get(key).and_then(|names| {
        let name = |name: pickle::View| Some(String::from_utf8_lossy(name.bytes()?).into_owned());
        names.list()?.map(name).collect::<Option<Vec<_>>>()
    });
    let names = names.filter(|names| !names.is_empty());
    names.ok_or_else(|| no_batch(&format!("a dictionary with a list `{key}` of at least one name")))
}

/// Appends a batch whose labels stand under `key`.
pub(crate) fn read_batch(bytes: &[u8], key: &str, classes: usize, split: &mut Batch) -> Result<(), Fault> {
    let batch = pickle::read(bytes)?;
    let labels = batch.root().get(key).and_then(|labels| labels.list());
    let labels = labels.ok_or_else(|| no_batch(&format!("a dictionary with a list `{key}`")))?;
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
        let label = label.int().ok_or_else(|| no_batch(&format!("whole numbers in `{key}`")))?;
        split.labels.push(crate::label(label, classes, row)?);
    }
    split.images.extend_from_slice(data);
    Ok(())
}

fn no_batch(expected: &str) -> Fault {
    let fix = "give the folder of CIFAR-10 or CIFAR-100 as it comes from the archive";
    Fault::new(Kind::Mismatch, expected, "a pickle without", fix)
}
