//! One function per reader for fuzzers: bytes in memory, read to the end. None of them may panic, hang or take memory
//! beyond what the bytes hold.
use crate::cifar::{Batch, Set};
use crate::error::Fault;
use crate::files::{Files, Members};
use crate::find::{self, Format, Found};
use crate::load::{self, Options, Report};
use crate::{archive, cifar_binary, cifar_python, idx, image, npz};
use std::path::Path;

/// A picture of any format.
pub fn picture(bytes: &[u8]) -> bool {
    image::decode(bytes).is_ok()
}

/// A Parquet shard, as both splits.
pub fn parquet(bytes: &[u8]) -> bool {
    load(Format::Parquet, [("train.parquet", bytes), ("test.parquet", bytes)])
}

/// A Python batch of CIFAR-10 and of CIFAR-100.
pub fn cifar_python(bytes: &[u8]) -> bool {
    let read = |key, classes| cifar_python::read_batch(bytes, key, classes, &mut Batch::default()).is_ok();
    read("labels", 10) | read("fine_labels", 100)
}

/// A file of pickled names.
pub fn cifar_meta(bytes: &[u8]) -> bool {
    load(Format::CifarPython(Set::Cifar100), [("meta", bytes), ("train", bytes), ("test", bytes)])
}

/// A binary batch of CIFAR-10 and of CIFAR-100.
pub fn cifar_binary(bytes: &[u8]) -> bool {
    let read = |records: fn(&[u8], usize, &mut Batch) -> Result<(), Fault>, classes| {
        records(bytes, classes, &mut Batch::default()).is_ok()
    };
    read(cifar_binary::records::<3073>, 10) | read(cifar_binary::records::<3074>, 100)
}

/// A file of idx pictures, of labels, or one of these gzipped.
pub fn idx(bytes: &[u8]) -> bool {
    let both = |images, labels| {
        let names = ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"].map(|name| (name, images));
        let others = ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"].map(|name| (name, labels));
        load(Format::Idx(String::new()), names.into_iter().chain(others))
    };
    let [pictures, labels] =
        [&[0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7][..], &[0, 0, 8, 1, 0, 0, 0, 1, 0][..]];
    idx::values::<3>(bytes).is_ok() | both(bytes, labels) | both(pictures, bytes)
}

/// An `.npz` file.
pub fn npz(bytes: &[u8]) -> bool {
    npz::read(bytes, &mut Report::default()).is_ok()
}

/// An archive with whatever data set is in it, tar or tar.gz.
pub fn archive(bytes: &[u8]) -> bool {
    let mut report = Report::default();
    let files = archive::read(Path::new("archive"), bytes).ok();
    let found = files.and_then(|files| find::in_files(&files, false, true, &mut report).ok());
    found.is_some_and(|found| load::read(&found, &Options::default(), &mut report).is_ok())
}

fn load<'b>(format: Format, files: impl IntoIterator<Item = (&'static str, &'b [u8])>) -> bool {
    let members: Members = files.into_iter().map(|(name, bytes)| (name.to_string(), bytes.to_vec())).collect();
    let files = Files::in_memory(Path::new("files"), members, Default::default());
    let found = Found::new(format, files);
    load::read(&found, &Options::default(), &mut Report::default()).is_ok()
}
