//! The idx files of MNIST, Fashion-MNIST, Kuzushiji-MNIST and EMNIST (yann.lecun.com/exdb/mnist): two zero bytes, the type
//! of the values, the number of dimensions, each dimension as four bytes, largest first, then the values; gzipped or not.
//!
//! *Invariant:* a file holds exactly what its header says. Pictures stay as they are stored: EMNIST's have rows and columns
//! exchanged, in torchvision too.
use crate::archive::gunzip;
use crate::error::{DataError, Fault, Kind, Place, list};
use crate::files::{Files, parent};
use crate::load::Report;
use crate::split::Part;
use crate::{Dataset, MAX_UNNAMED, Split, names};
use std::borrow::Cow;

/// What the name of an idx file says: `emnist-letters-train-images-idx3-ubyte.gz`, `t10k-labels.idx1-ubyte`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name<'n> {
    /// What stands before the split, "" for MNIST and its like.
    pub(crate) prefix: &'n str,
    part: Part,
    labels: bool,
}

impl<'n> Name<'n> {
    pub(crate) fn parse(name: &'n str) -> Option<Self> {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let stem = name.strip_suffix("-ubyte")?;
        let stem = stem.strip_suffix("idx3").or_else(|| stem.strip_suffix("idx1"))?.strip_suffix(['-', '.'])?;
        let (rest, what) = stem.rsplit_once('-')?;
        let (prefix, part) = rest.rsplit_once('-').unwrap_or(("", rest));
        let labels = match what {
            "images" => false,
            "labels" => true,
            _ => return None,
        };
        Some(Self { prefix, part: Part::of(part)?, labels })
    }
}

/// The name of the file with the classes of a data set of EMNIST.
pub(crate) fn mapping(prefix: &str) -> String {
    format!("{prefix}-mapping.txt")
}

/// Loads the data set whose files' names begin with `prefix`.
pub(crate) fn load(files: &Files, prefix: &str, report: &mut Report) -> Result<Dataset, DataError> {
    let train = split(files, prefix, Part::Train)?;
    let test = split(files, prefix, Part::Test)?;
    let [height, width] = train.size;
    if test.size != train.size {
        let found = format!("{}×{}", test.size[0], test.size[1]);
        let fix = "give files that belong to one data set";
        let expected = format!("pictures of {height}×{width} like those of {}", train.file);
        return Err(Fault::new(Kind::Mismatch, expected, found, fix).in_file(&files.path(test.file)));
    }
    let mut data = Dataset {
        name: crate::name_of(files.root()),
        classes: Vec::new(),
        channels: 1,
        height,
        width,
        train: train.split,
        test: test.split,
    };
    if !prefix.is_empty() {
        data.name = prefix.into();
    }
    begin_at_zero(&mut data, report);
    let most = data.train.labels.iter().chain(&data.test.labels).max().map_or(0, |&label| label as usize + 1);
    data.classes = class_names(files, prefix)?.unwrap_or_else(|| names::numbers(most));
    for (labels, part) in [(&data.train.labels, Part::Train), (&data.test.labels, Part::Test)] {
        let strange = labels.iter().position(|&label| label as usize >= data.classes.len());
        if let Some(row) = strange {
            let fault = crate::label(labels[row].into(), data.classes.len(), row).err();
            let file = files.path(find(files, prefix, part, true)?);
            return Err(fault.expect("a label beyond the classes").in_file(&file));
        }
    }
    if prefix.starts_with("emnist") {
        report.note("EMNIST's pictures are stored with rows and columns exchanged and are used so, as in torchvision");
    }
    Ok(data)
}

/// A split, its pictures' height and width, and the name of their file.
struct Read<'f> {
    split: Split,
    size: [usize; 2],
    file: &'f str,
}

fn split<'f>(files: &'f Files, prefix: &str, part: Part) -> Result<Read<'f>, DataError> {
    let file = find(files, prefix, part, false)?;
    let bytes = read(files, file)?;
    let ([count, height, width], pixels) = values::<3>(&bytes).map_err(|fault| fault.in_file(&files.path(file)))?;
    if count * height * width == 0 {
        let fault = Fault::damaged("at least one picture with a pixel", format!("{count} of {height}×{width}"));
        return Err(fault.in_file(&files.path(file)));
    }
    let name = find(files, prefix, part, true)?;
    let labels = read(files, name)?;
    let ([labelled], labels) = values::<1>(&labels).map_err(|fault| fault.in_file(&files.path(name)))?;
    if labelled != count {
        let expected = format!("{count} labels, as there are pictures in `{file}`");
        let fix = "fetch both files again: they do not belong together";
        let fault = Fault::new(Kind::Mismatch, expected, labelled.to_string(), fix);
        return Err(fault.in_file(&files.path(name)));
    }
    let labels = labels.iter().map(|&label| label.into()).collect();
    // A file that was not packed is copied, once.
    let images = match bytes {
        Cow::Owned(mut bytes) => {
            bytes.drain(..bytes.len() - count * height * width);
            bytes
        }
        Cow::Borrowed(_) => pixels.to_vec(),
    };
    Ok(Read { split: Split { images: images.into(), labels }, size: [height, width], file })
}

/// The name of one of the four files, not packed if it is there in both forms.
fn find<'f>(files: &'f Files, prefix: &str, part: Part, labels: bool) -> Result<&'f str, DataError> {
    let wanted = Name { prefix, part, labels };
    let fits = |name: &&str| parent(name).is_empty() && Name::parse(name).as_ref() == Some(&wanted);
    let found = files.names().iter().map(String::as_str).filter(fits).min_by_key(|name| name.ends_with(".gz"));
    found.ok_or_else(|| {
        let split = if part == Part::Train { "train" } else { "t10k" };
        let what = if labels { "labels-idx1" } else { "images-idx3" };
        let dash = if prefix.is_empty() { "" } else { "-" };
        let expected = format!("the file `{prefix}{dash}{split}-{what}-ubyte`, gzipped or not");
        let fix = "fetch all four files of the data set, and keep their names";
        Fault::new(Kind::Missing, expected, list(&files.top()), fix).in_file(files.root())
    })
}

fn read<'f>(files: &'f Files, name: &str) -> Result<Cow<'f, [u8]>, DataError> {
    let bytes = files.read(name)?;
    if !bytes.starts_with(&[0x1F, 0x8B]) {
        return Ok(bytes);
    }
    gunzip(&bytes).map(Cow::Owned).map_err(|fault| fault.in_file(&files.path(name)))
}

/// The dimensions of a file of bytes, and its values.
pub(crate) fn values<const N: usize>(bytes: &[u8]) -> Result<([usize; N], &[u8]), Fault> {
    let start = bytes.first_chunk::<4>();
    let sides = bytes.get(4..).and_then(|rest| rest.get(..4 * N));
    let (Some(&[0, 0, kind, dimensions]), Some(sides)) = (start, sides) else {
        let start: Vec<_> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let found = format!("{} bytes that begin with \"{}\"", bytes.len(), start.join(" "));
        return Err(Fault::damaged(format!("an idx file of {N} dimensions"), found));
    };
    if (kind, usize::from(dimensions)) != (8, N) {
        let expected = format!("an idx file of bytes (type 08) in {N} dimensions");
        let found = format!("type {kind:02x} in {dimensions}");
        return Err(Fault::new(Kind::Unsupported, expected, found, "give the files as they come from their authors"));
    }
    let (sides, _) = sides.as_chunks::<4>();
    let sides: [usize; N] = std::array::from_fn(|i| u32::from_be_bytes(sides[i]) as usize);
    let values = &bytes[4 + 4 * N..];
    let claimed = sides.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
    if claimed == Some(values.len()) {
        return Ok((sides, values));
    }
    let text = sides.map(|side| side.to_string()).join("×");
    Err(Fault::damaged(format!("the {text} values that the header announces"), format!("{} bytes", values.len()))
        .at(Place::Byte(4 + 4 * N)))
}

/// EMNIST's letters begin at 1.
fn begin_at_zero(data: &mut Dataset, report: &mut Report) {
    let labels = || data.train.labels.iter().chain(&data.test.labels);
    if labels().min() == Some(&1) {
        data.train.labels.iter_mut().chain(&mut data.test.labels).for_each(|label| *label -= 1);
        report.note("the labels begin at 1 in the files and at 0 here");
    }
}

/// The names of the classes: from EMNIST's mapping file, or those that are known by the name of the data set.
fn class_names(files: &Files, prefix: &str) -> Result<Option<Vec<String>>, DataError> {
    let mapping = mapping(prefix);
    if files.has(&mapping) {
        return Ok(Some(mapped(&files.read(&mapping)?).map_err(|fault| fault.in_file(&files.path(&mapping)))?));
    }
    if let Some(split) = prefix.strip_prefix("emnist-") {
        return Ok(names::emnist(split));
    }
    // The files of these are called the same as MNIST's; their folders tell them apart.
    let root = files.root().canonicalize().unwrap_or(files.root().into());
    let path =
        root.iter().rev().take(3).map(|part| part.to_string_lossy().to_lowercase()).collect::<Vec<_>>().join("/");
    Ok(if path.contains("fashion") {
        Some(names::owned(&names::FASHION_MNIST))
    } else if path.contains("kmnist") || path.contains("kuzushiji") {
        Some(names::owned(&names::KMNIST))
    } else {
        None
    })
}

/// A line per class: its label, then the codes of its characters, of which the first counts.
fn mapped(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let line = |(number, line): (usize, &str)| {
        let mut words = line.split_whitespace().map(str::parse::<u32>);
        let (Some(Ok(_)), Some(Ok(code))) = (words.next(), words.next()) else {
            let expected = format!("a label and the code of a character in line {}", number + 1);
            return Err(Fault::damaged(expected, format!("\"{}\"", line.chars().take(20).collect::<String>())));
        };
        Ok(char::from_u32(code).map_or(code.to_string(), String::from))
    };
    text.lines().filter(|line| !line.trim().is_empty()).take(MAX_UNNAMED).enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_all_spellings() {
        let name = |prefix, part, labels| Some(Name { prefix, part, labels });
        for (text, expected) in [
            ("train-images-idx3-ubyte", name("", Part::Train, false)),
            ("t10k-labels.idx1-ubyte.gz", name("", Part::Test, true)),
            ("emnist-balanced-train-images-idx3-ubyte.gz", name("emnist-balanced", Part::Train, false)),
            ("emnist-letters-test-labels-idx1-ubyte", name("emnist-letters", Part::Test, true)),
            ("train-images.png", None),
            ("images-idx3-ubyte", None),
        ] {
            assert_eq!(Name::parse(text), expected, "{text}");
        }
    }
}
