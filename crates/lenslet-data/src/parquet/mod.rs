//! Data sets as Hugging Face keeps them: a folder of Parquet shards, whose rows hold a picture's file and its label.
//!
//! *Invariant:* rows keep their order, shards theirs by name; all pictures of a set have the size of the first; a shard
//! that is numbered "of 3" is not read without the other two.
//!
//! The format is read by three small modules: `file` (footer and columns), `page` (values) over `thrift` (metadata).
//! The crate parquet 60 was tried first: single flipped bytes in a 1.5 kB file made it panic in 28 ways, and it takes
//! memory by what a page's header claims, up to gigabytes.
mod file;
mod page;
mod thrift;

use crate::error::{DataError, Fault, Kind, Place, list};
use crate::files::Files;
use crate::image::decode;
use crate::load::{Options, Report};
use crate::pictures::{Pictures, note_resized};
use crate::split::{self, Part};
use crate::{Dataset, MAX_UNNAMED, Split, names};
use file::{File, Wanted};
use page::Physical;

/// Where pictures may stand: their bytes in a struct, or bare.
const PICTURES: Wanted = Wanted {
    what: "a column of pictures",
    names: &[&["image", "bytes"], &["img", "bytes"], &["image"], &["img"]],
    types: &[Physical::Binary],
    values: "the bytes of picture files",
};
/// Of CIFAR-100's two labels the fine one counts.
const LABELS: Wanted = Wanted {
    what: "a column of labels",
    names: &[&["label"], &["labels"], &["fine_label"], &["target"]],
    types: &[Physical::Int64, Physical::Int32],
    values: "whole numbers from 0",
};
/// Decoded pictures take at most so many times their file's size. Only a dictionary that repeats one picture without
/// end gets there.
const MAX_GROWTH: usize = 2_000;

pub(crate) fn load(files: &Files, options: &Options, report: &mut Report) -> Result<Dataset, DataError> {
    let (train, test) = shards(files)?;
    let mut reader = Reader { files, options, report, size: None, classes: None, resized: 0 };
    let (mut train, train_labels) = reader.split(&train)?;
    let test = test.map(|test| reader.split(&test)).transpose()?;
    let (size, classes, resized) = (reader.size, reader.classes, reader.resized);
    let here = |fault: Fault| fault.in_file(files.root());
    // A coloured picture among those to be tested on makes all of them coloured.
    if train.size != size {
        train.become_coloured().map_err(here)?;
    }
    let size @ [channels, height, width] = size.unwrap_or_default();
    let split = |pictures: Pictures, labels| Ok(Split { images: pictures.pixels.into_pixels()?, labels });
    let train = split(train, train_labels).map_err(here)?;
    let test = test.map(|(test, labels)| split(test, labels)).transpose().map_err(here)?;
    note_resized(report, resized, train.len() + test.as_ref().map_or(0, Split::len), size);
    let classes = classes.unwrap_or_else(|| {
        let labels = train.labels.iter().chain(test.iter().flat_map(|test| &test.labels));
        names::numbers(labels.max().map_or(0, |&label| label as usize + 1))
    });
    let divided = test.is_some();
    let test = test.unwrap_or_default();
    let data = Dataset { name: crate::name_of(files.root()), classes, channels, height, width, train, test };
    if divided {
        return Ok(data);
    }
    report.note(split::NOTE);
    split::divide(data, options).map_err(here)
}

/// The shards to learn from and those to be tested on, all of them; if no name speaks of a split, all are to learn from.
fn shards(files: &Files) -> Result<(Vec<&str>, Option<Vec<&str>>), DataError> {
    let shards = || files.names().iter().map(String::as_str).filter(|name| name.ends_with(".parquet"));
    let of = |part: Option<Part>| -> Option<Vec<&str>> {
        let shards: Vec<_> = shards().filter(|name| Part::of(name) == part).collect();
        (!shards.is_empty()).then_some(shards)
    };
    let test = of(Some(Part::Test)).or_else(|| of(Some(Part::Validation)));
    let train = match of(Some(Part::Train)) {
        None if test.is_none() => of(None),
        train => train,
    };
    let train = train.ok_or_else(|| {
        let fix = "name the shards of that split train-00000-of-00001.parquet and so on";
        let found = list(&shards().collect::<Vec<_>>());
        let expected = "Parquet shards with `train` in their names";
        Fault::new(Kind::Missing, expected, found, fix).in_file(files.root())
    })?;
    for shards in [Some(&train), test.as_ref()].into_iter().flatten() {
        if let Some(claimed) = numbered_of(shards[0]).filter(|&claimed| claimed != shards.len()) {
            let fix = "fetch the shards that are missing, or remove those of another version";
            let expected = format!("{claimed} shards like {}", shards[0]);
            let found = format!("{} of them ({})", shards.len(), list(shards));
            return Err(Fault::new(Kind::Missing, expected, found, fix).in_file(files.root()));
        }
    }
    Ok((train, test))
}

/// 3, of "train-00000-of-00003.parquet".
fn numbered_of(name: &str) -> Option<usize> {
    name.strip_suffix(".parquet")?.rsplit_once("-of-")?.1.parse().ok()
}

/// What the shards of a data set have in common; the first one read decides.
struct Reader<'o> {
    files: &'o Files,
    options: &'o Options,
    report: &'o mut Report,
    size: Option<[usize; 3]>,
    classes: Option<Vec<String>>,
    /// Pictures that had another size.
    resized: usize,
}

impl<'o> Reader<'o> {
    /// The pictures and labels of some shards.
    fn split(&mut self, shards: &[&str]) -> Result<(Pictures<'o>, Vec<u32>), DataError> {
        let mut pictures = Pictures::new(self.options, self.size);
        let mut labels = Vec::new();
        for name in shards {
            let path = self.files.path(name);
            let bytes = self.files.read(name)?;
            let mut skipped = Vec::new();
            self.shard(&bytes, &mut pictures, &mut labels, &mut skipped).map_err(|fault| fault.in_file(&path))?;
            for fault in skipped {
                self.report.skip(self.options, fault.in_file(&path))?;
            }
        }
        let Some(size) = pictures.size.filter(|_| !labels.is_empty()) else {
            let fix = "write the data set with at least one picture in each split";
            let fault = Fault::new(Kind::Missing, "at least one row", format!("none in {}", list(shards)), fix);
            return Err(fault.in_file(self.files.root()));
        };
        self.size = Some(size);
        self.resized += pictures.resized;
        Ok((pictures, labels))
    }

    fn shard(
        &mut self,
        bytes: &[u8],
        pictures: &mut Pictures,
        labels: &mut Vec<u32>,
        skipped: &mut Vec<Fault>,
    ) -> Result<(), Fault> {
        let file = File::open(bytes)?;
        let image = file.column(&PICTURES)?;
        let label = file.column(&LABELS)?;
        if self.classes.is_none() {
            self.classes = class_names(&file, file.name(label));
        }
        pictures.most = pictures.pixels.len() + bytes.len() * MAX_GROWTH;
        for group in file.row_groups()? {
            let mut kept = vec![true; group.rows];
            let mut column = group.column(image)?;
            while let Some(page) = column.next_page()? {
                let (files, first) = (page.binaries()?, page.first_row());
                let at = |i: usize, fault: Fault| fault.at(Place::Row(first + i));
                let decode = |i: usize| decode(files[i]).map_err(|fault| at(i, fault));
                pictures.extend(files.len(), decode, at, |i, fault| {
                    // Pictures that do not fit together are none to be left out.
                    if !self.options.skip_bad || fault.kind == Kind::Mismatch {
                        return Err(fault);
                    }
                    kept[first - group.first_row + i] = false;
                    skipped.push(fault);
                    Ok(())
                })?;
            }
            // CIFAR-10 and CIFAR-100, whose shards may lack the names, are the sets that call their pictures `img`.
            if self.classes.is_none() && file.name(image) == "img" {
                self.classes = known(file.name(label), pictures.size);
            }
            let classes = self.classes.as_ref().map_or(MAX_UNNAMED, Vec::len);
            let mut column = group.column(label)?;
            while let Some(page) = column.next_page()? {
                for (row, value) in (page.first_row()..).zip(page.integers()?) {
                    let label = crate::label(value, classes, row)?;
                    labels.extend(kept[row - group.first_row].then_some(label));
                }
            }
        }
        Ok(())
    }
}

/// The names of the classes from the metadata that the library `datasets` writes, if there.
fn class_names(file: &File, label: &str) -> Option<Vec<String>> {
    let metadata: serde_json::Value = serde_json::from_str(file.metadata("huggingface")?).ok()?;
    let names = metadata["info"]["features"][label]["names"].as_array()?;
    names.iter().map(|name| Some(name.as_str()?.to_string())).collect()
}

/// The classes of CIFAR-10 and CIFAR-100, told apart by what they call their labels.
fn known(label: &str, size: Option<[usize; 3]>) -> Option<Vec<String>> {
    match label {
        "label" if size == Some([3, 32, 32]) => Some(names::owned(&names::CIFAR10)),
        "fine_label" => Some(names::owned(&names::CIFAR100)),
        _ => None,
    }
}
