//! NumPy's `.npz`: a zip of arrays. Names say what they are: `x_train` and `y_train` as Keras writes them, `train_images`
//! and `train_labels` as MedMNIST does, or `images` and `labels` alone, which `split` divides.
//!
//! *Invariant:* nothing is unpickled, sizes in the zip and in the arrays' headers are compared with the bytes that come,
//! and what comes is bounded by the file's length. Values are never rescaled: pictures are bytes, or it is an error.
use crate::archive::{most_of, unzip, within};
use crate::error::{DataError, Fault, Kind, list};
use crate::files::Files;
use crate::load::{Options, Report};
use crate::npy::{self, Array};
use crate::split::{self, Part};
use crate::{Dataset, Split, names};
use std::io::Cursor;
use zip::ZipArchive;

const IMAGES: [&str; 6] = ["x", "images", "image", "imgs", "img", "data"];
const LABELS: [&str; 6] = ["y", "labels", "label", "targets", "target", "classes"];

pub(crate) fn load(files: &Files, name: &str, report: &mut Report) -> Result<Dataset, DataError> {
    let path = files.path(name);
    let mut data = read(&files.read(name)?, report).map_err(|fault| fault.in_file(&path))?;
    data.name = crate::name_of(&path.with_extension(""));
    Ok(data)
}

/// The data set in the bytes of such a file.
pub(crate) fn read(bytes: &[u8], report: &mut Report) -> Result<Dataset, Fault> {
    let damaged = |error: zip::result::ZipError| Fault::damaged("an .npz file", format!("\"{error}\""));
    let mut zip = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let members: Vec<String> = zip.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let mut left = most_of(bytes.len() as u64);
    let mut array = |name: &str| -> Result<Vec<u8>, Fault> {
        let file = zip.by_name(name).map_err(damaged)?;
        let read = unzip(file, left, bytes.len() as u64).map_err(|fault| within(bare(name), fault))?;
        left -= read.len() as u64;
        Ok(read)
    };

    // Which part is there; the undivided one has no word for it.
    let pair = |part: Option<Part>| Some((member(&members, part, &IMAGES)?, member(&members, part, &LABELS)?));
    let (train, divided) = match pair(Some(Part::Train)) {
        Some(pair) => (pair, true),
        None => (pair(None).ok_or_else(|| unnamed(&members))?, false),
    };
    let test = if divided { pair(Some(Part::Test)).or_else(|| pair(Some(Part::Validation))) } else { None };

    let mut part = |(images, labels): (&str, &str)| -> Result<_, Fault> {
        let (size, images) = pictures(bare(images), array(images)?)?;
        Ok((size, images, self::labels(bare(labels), &array(labels)?)?))
    };
    let (size, images, labels) = part(train)?;
    let train = paired(size, images, labels, train)?;
    let tested = match test {
        Some(names) => {
            let (other, images, labels) = part(names)?;
            if other != size {
                let text = |[c, h, w]: [usize; 3]| format!("{c}×{h}×{w}");
                let fix = "bring all pictures to one size before writing the file";
                let expected = format!("pictures of {} in `{}`", text(size), bare(names.0));
                return Err(Fault::new(Kind::Mismatch, expected, text(other), fix));
            }
            paired(size, images, labels, names)?
        }
        None => Split::default(),
    };
    let [channels, height, width] = size;
    let most = train.labels.iter().chain(&tested.labels).max().map_or(0, |&label| label as usize + 1);
    let classes = names::numbers(most);
    let data = Dataset { name: String::new(), classes, channels, height, width, train, test: tested };
    if test.is_some() {
        return Ok(data);
    }
    report.note(split::NOTE);
    split::divide(data, &Options::default())
}

/// An array's name without `.npy`.
fn bare(name: &str) -> &str {
    name.strip_suffix(".npy").unwrap_or(name)
}

/// The member whose name consists of one of these words and that of the part.
fn member<'m>(members: &'m [String], part: Option<Part>, words: &[&str]) -> Option<&'m str> {
    let fits = |name: &&String| {
        let name = bare(name).to_lowercase();
        let rest = |word: &&str| !Part::NAMES.iter().any(|(part, _)| part == word);
        let others: Vec<_> = name.split('_').filter(rest).collect();
        Part::of(&name.replace('_', "-")) == part && others.len() == 1 && words.contains(&others[0])
    };
    members.iter().find(fits).map(String::as_str)
}

fn unnamed(members: &[String]) -> Fault {
    let names: Vec<_> = members.iter().map(|name| bare(name)).collect();
    let fix = "write the file with these names: np.savez(file, x_train=…, y_train=…, x_test=…, y_test=…)";
    let expected =
        "arrays named x_train, y_train, x_test, y_test (or train_images, train_labels, …, or images, labels)";
    Fault::new(Kind::Missing, expected, list(&names), fix)
}

/// Pictures as planes, and their size.
fn pictures(name: &str, bytes: Vec<u8>) -> Result<([usize; 3], Vec<u8>), Fault> {
    let Array { kind, shape, start, .. } = npy::read(&bytes).map_err(|fault| within(name, fault))?;
    if kind != ('u', 1) {
        let fix = match kind {
            ('f', _) => format!("convert them first: ({name} * 255).round().astype('uint8') if they are from 0 to 1"),
            _ => format!("convert them first: {name}.astype('uint8'), if all values are from 0 to 255"),
        };
        return Err(Fault::new(Kind::Unsupported, format!("`{name}` of type uint8"), npy::name(kind), fix));
    }
    let (size, channels_last) = match shape[..] {
        [_, height, width] => ([1, height, width], false),
        [_, height, width, channels @ (1 | 3)] => ([channels, height, width], true),
        [_, channels @ (1 | 3), height, width] => ([channels, height, width], false),
        _ => {
            let fix = "bring the array into one of these shapes (a channel for transparency can be left out)";
            let expected = format!("`{name}` of shape N×H×W, N×H×W×C or N×C×H×W with 1 or 3 channels");
            return Err(Fault::new(Kind::Mismatch, expected, npy::shape(&shape), fix));
        }
    };
    if shape.contains(&0) {
        let fix = "write at least one picture with a pixel";
        return Err(Fault::new(Kind::Missing, format!("pictures in `{name}`"), npy::shape(&shape), fix));
    }
    let mut values = bytes;
    values.drain(..start);
    if channels_last && size[0] == 3 {
        let picture: usize = size.iter().product();
        for pixels in values.chunks_exact_mut(picture) {
            let planes: Vec<u8> = (0..3).flat_map(|c| pixels.iter().skip(c).step_by(3).copied()).collect();
            pixels.copy_from_slice(&planes);
        }
    }
    Ok((size, values))
}

fn labels(name: &str, bytes: &[u8]) -> Result<Vec<u32>, Fault> {
    let array = npy::read(bytes).map_err(|fault| within(name, fault))?;
    if !matches!(array.shape[..], [_] | [_, 1]) {
        let fix = match array.shape[..] {
            [_, _] => format!("if each row marks one class, write {name}.argmax(axis=1)"),
            _ => "write one whole number for each picture".into(),
        };
        let expected = format!("`{name}` of shape N or N×1");
        return Err(Fault::new(Kind::Mismatch, expected, npy::shape(&array.shape), fix));
    }
    let Some(values) = array.integers(bytes) else {
        let fix = format!("convert them first: {name}.astype('int64'), if they are whole numbers");
        let expected = format!("`{name}` of whole numbers");
        return Err(Fault::new(Kind::Unsupported, expected, npy::name(array.kind), fix));
    };
    values.into_iter().enumerate().map(|(row, value)| crate::label(value, crate::MAX_UNNAMED, row)).collect()
}

fn paired([c, h, w]: [usize; 3], images: Vec<u8>, labels: Vec<u32>, names: (&str, &str)) -> Result<Split, Fault> {
    let count = images.len() / (c * h * w);
    if count == labels.len() {
        return Ok(Split { images: images.into(), labels });
    }
    let expected = format!("{count} labels in `{}`, as there are pictures in `{}`", bare(names.1), bare(names.0));
    Err(Fault::new(Kind::Mismatch, expected, labels.len().to_string(), "write one label for each picture"))
}
