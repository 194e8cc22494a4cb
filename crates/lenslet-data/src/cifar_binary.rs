//! CIFAR-10's binary layout: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, records of 3,073 bytes (the
//! label, then the red, green and blue plane), and `batches.meta.txt`, a name per line.
//!
//! *Invariant:* a file is a whole number of records.
use crate::cifar::{self, Layout, PICTURE};
use crate::error::{DataError, Fault, Place};
use crate::{Dataset, Split};
use std::path::Path;

const RECORD: usize = 1 + PICTURE;

pub(crate) fn load(folder: &Path) -> Result<Dataset, DataError> {
    cifar::load(folder, &Layout { suffix: ".bin", names: "batches.meta.txt", read_names, read_batch })
}

fn read_names(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Fault::damaged("names as UTF-8 text", "other bytes").at(Place::Byte(error.valid_up_to())))?;
    let names: Vec<_> = text.lines().map(str::trim).filter(|name| !name.is_empty()).map(String::from).collect();
    if names.is_empty() { Err(Fault::damaged("a name of a class per line", "none")) } else { Ok(names) }
}

fn read_batch(bytes: &[u8], classes: usize, split: &mut Split) -> Result<(), Fault> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        let found = format!("{} of them and {} bytes", records.len(), rest.len());
        return Err(Fault::damaged(format!("records of {RECORD} bytes"), found).at(Place::Byte(bytes.len())));
    }
    for (row, [label, image @ ..]) in records.iter().enumerate() {
        split.labels.push(crate::label((*label).into(), classes, row)?);
        split.images.extend_from_slice(image);
    }
    Ok(())
}
