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
use crate::image::{Decoded, decode};
use crate::{CIFAR10, Dataset, Split};
use file::File;
use page::Physical;
use rayon::prelude::*;
use std::path::Path;

/// Where pictures may stand: their bytes in a struct, or bare.
const IMAGE: [&[&str]; 4] = [&["image", "bytes"], &["img", "bytes"], &["image"], &["img"]];
const LABEL: [&[&str]; 1] = [&["label"]];
/// The splits by the words in a shard's name; the first that is there counts.
const TRAIN: [&str; 1] = ["train"];
const TEST: [&str; 5] = ["test", "validation", "valid", "val", "dev"];
/// Labels without names may be below this: as many as ImageNet has.
const MAX_UNNAMED: usize = 1_000;
/// Pictures decoded at a time, in bytes.
const DECODED_AT_ONCE: usize = 1 << 26;
/// Decoded pictures take at most so many times their file's size. Only a dictionary that repeats one picture without
/// end gets there.
const MAX_GROWTH: usize = 2_000;

pub(crate) fn load(folder: &Path) -> Result<Dataset, DataError> {
    let names = crate::names_in(folder)?;
    let mut reader = Reader::default();
    let train = reader.split(folder, &shards(folder, &names, &TRAIN)?)?;
    let test = reader.split(folder, &shards(folder, &names, &TEST)?)?;
    let [channels, height, width] = reader.size.unwrap_or_default();
    let classes = reader.classes.unwrap_or_else(|| {
        let most = train.labels.iter().chain(&test.labels).max().map_or(0, |&label| label + 1);
        (0..most.max(10)).map(|class| class.to_string()).collect()
    });
    Ok(Dataset { name: crate::name_of(folder), classes, channels, height, width, train, test })
}

/// The shards of the first of these splits that is there, all of them.
fn shards<'n>(folder: &Path, names: &'n [String], splits: &[&str]) -> Result<Vec<&'n str>, DataError> {
    let of_split = |split: &str| -> Vec<&str> {
        let has_word = |name: &&str| name.split(|c: char| !c.is_alphanumeric()).any(|word| word == split);
        names.iter().map(String::as_str).filter(|name| name.ends_with(".parquet")).filter(has_word).collect()
    };
    let found = splits.iter().map(|split| of_split(split)).find(|shards| !shards.is_empty()).ok_or_else(|| {
        let fix = format!("name the shards of that split {}-00000-of-00001.parquet and so on", splits[0]);
        let expected = format!("Parquet shards with `{}` in their names", splits.join("` or `"));
        Fault::new(Kind::Missing, expected, list(names), fix).in_file(folder)
    })?;
    if let Some(claimed) = numbered_of(found[0]).filter(|&claimed| claimed != found.len()) {
        let fix = "fetch the shards that are missing, or remove those of another version";
        return Err(
            Fault::new(Kind::Missing, format!("{claimed} shards like {}", found[0]), list(&found), fix).in_file(folder)
        );
    }
    Ok(found)
}

/// 3, of "train-00000-of-00003.parquet".
fn numbered_of(name: &str) -> Option<usize> {
    name.strip_suffix(".parquet")?.rsplit_once("-of-")?.1.parse().ok()
}

/// What the shards of a data set have in common; the first one read decides.
#[derive(Default)]
struct Reader {
    size: Option<[usize; 3]>,
    classes: Option<Vec<String>>,
}

impl Reader {
    fn split(&mut self, folder: &Path, shards: &[&str]) -> Result<Split, DataError> {
        let mut split = Split::default();
        for name in shards {
            let path = folder.join(name);
            let bytes = crate::read_file(&path)?;
            self.shard(&bytes, &mut split).map_err(|fault| fault.in_file(&path))?;
        }
        if split.is_empty() {
            let fix = "write the data set with at least one picture in each split";
            let fault = Fault::new(Kind::Missing, "at least one row", format!("none in {}", list(shards)), fix);
            return Err(fault.in_file(folder));
        }
        Ok(split)
    }

    fn shard(&mut self, bytes: &[u8], split: &mut Split) -> Result<(), Fault> {
        let file = File::open(bytes)?;
        let image = file.column("a column of pictures", &IMAGE, &[Physical::Binary])?;
        let label = file.column("a column of labels", &LABEL, &[Physical::Int64, Physical::Int32])?;
        if self.classes.is_none() {
            self.classes = class_names(&file, file.name(label));
        }
        let most = split.images.len() + bytes.len() * MAX_GROWTH;
        for group in file.row_groups()? {
            let mut pictures = group.column(image)?;
            while let Some(page) = pictures.next_page()? {
                self.pictures(&page.binaries()?, page.first_row(), most, &mut split.images)?;
            }
            // CIFAR-10, whose shards may lack the names, is the one set that calls its pictures `img`.
            if self.classes.is_none() && file.name(image) == "img" && self.size == Some([3, 32, 32]) {
                self.classes = Some(CIFAR10.map(String::from).into());
            }
            let classes = self.classes.as_ref().map_or(MAX_UNNAMED, Vec::len);
            let mut labels = group.column(label)?;
            while let Some(page) = labels.next_page()? {
                for (row, value) in (page.first_row()..).zip(page.integers()?) {
                    split.labels.push(crate::label(value, classes, row)?);
                }
            }
        }
        Ok(())
    }

    /// Decodes a page's pictures on all cores and appends them to `images`, which may grow to `most` bytes.
    fn pictures(&mut self, files: &[&[u8]], first_row: usize, most: usize, images: &mut Vec<u8>) -> Result<(), Fault> {
        let Some(first) = files.first() else { return Ok(()) };
        let size = match self.size {
            Some(size) => size,
            None => *self.size.insert(size_of(&decode(first).map_err(|fault| fault.at(Place::Row(first_row)))?)),
        };
        let bytes = size.iter().product::<usize>();
        let at_once = (DECODED_AT_ONCE / bytes).clamp(1, 1024);
        for (part, files) in files.chunks(at_once).enumerate() {
            if images.len() + files.len() * bytes > most {
                let found = format!("pictures that unfold to more than {MAX_GROWTH} times its size");
                return Err(Fault::damaged("a file of pictures", found));
            }
            let planes = |(i, file): (usize, &&[u8])| {
                picture(file, size).map_err(|fault| fault.at(Place::Row(first_row + part * at_once + i)))
            };
            let decoded = files.par_iter().enumerate().map(planes).collect::<Result<Vec<_>, _>>()?;
            decoded.iter().for_each(|planes| images.extend_from_slice(planes));
        }
        Ok(())
    }
}

fn picture(file: &[u8], size: [usize; 3]) -> Result<Vec<u8>, Fault> {
    let decoded = decode(file)?;
    let found = size_of(&decoded);
    if found == size {
        return Ok(decoded.planes());
    }
    let text = |[c, h, w]: [usize; 3]| format!("{c}×{h}×{w}");
    let fix = "bring all pictures to one size and mode before writing the file";
    Err(Fault::new(Kind::Mismatch, format!("a picture of {} like the first", text(size)), text(found), fix))
}

fn size_of(decoded: &Decoded) -> [usize; 3] {
    [decoded.channels, decoded.height, decoded.width]
}

/// The names of the classes from the metadata that the library `datasets` writes, if there.
fn class_names(file: &File, label: &str) -> Option<Vec<String>> {
    let metadata: serde_json::Value = serde_json::from_str(file.metadata("huggingface")?).ok()?;
    let names = metadata["info"]["features"][label]["names"].as_array()?;
    names.iter().map(|name| Some(name.as_str()?.to_string())).collect()
}
