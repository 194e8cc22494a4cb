//! The binary layout. CIFAR-10: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, records of 3,073 bytes (the
//! label, then the red, green and blue plane), and `batches.meta.txt`, a name per line. CIFAR-100: `train.bin` and
//! `test.bin`, records of 3,074 bytes (the coarse label first), and `fine_label_names.txt`.
//!
//! *Invariant:* a file is a whole number of records.
use crate::cifar::{self, Batch, Layout, PICTURE, Set};
use crate::error::{DataError, Fault, Place};
use crate::files::Files;
use crate::{Dataset, names};

const CIFAR10: Layout = Layout {
    train: &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
    test: "test_batch.bin",
    names: "batches.meta.txt",
    known: &names::CIFAR10,
    read_names,
    read_batch: records::<{ 1 + PICTURE }>,
};

const CIFAR100: Layout = Layout {
    train: &["train.bin"],
    test: "test.bin",
    names: "fine_label_names.txt",
    known: &names::CIFAR100,
    read_names,
    read_batch: records::<{ 2 + PICTURE }>,
};

pub(crate) fn load(files: &Files, set: Set) -> Result<Dataset, DataError> {
    cifar::load(files, if set == Set::Cifar10 { &CIFAR10 } else { &CIFAR100 })
}

fn read_names(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::damaged("names as UTF-8 text", "other bytes").at(Place::Byte(error.valid_up_to())))?;
    let names: Vec<_> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.is_empty() { Err(Fault::damaged("a name of a class per line", "none")) } else { Ok(names) }
}

/// Records whose last label is the one that counts.
pub(crate) fn records<const RECORD: usize>(bytes: &[u8], classes: usize, batch: &mut Batch) -> Result<(), Fault> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        let found = format!("{} of them and {} bytes", records.len(), rest.len());
        return Err(Fault::damaged(format!("records of {RECORD} bytes"), found).at(Place::Byte(bytes.len())));
    }
    for (row, record) in records.iter().enumerate() {
        let (labels, image) = record.split_at(RECORD - PICTURE);
        batch.labels.push(crate::label(labels[labels.len() - 1].into(), classes, row)?);
        batch.images.extend_from_slice(image);
    }
    Ok(())
}
