//! Where Lenslet's pictures come from: the data sets and formats it reads, and the one it draws itself.
//!
//! *Invariant:* whatever the format, the same pictures arrive as the same bytes in the official order, as planes of
//! C×H×W; every picture of a [`Dataset`] has its size and every label names one of its classes. No input makes this
//! crate panic, and memory is taken for what a file holds, never for what its headers claim.
//!
//! One file per format: [`mod@shapes`] (drawn here), `parquet/` (Hugging Face shards), `cifar_python` (with `pickle`) and
//! `cifar_binary`; `image` decodes PNG and JPEG, `resize` is Pillow's filter, `error` makes the words.
#![forbid(unsafe_code)]

mod cifar;
mod cifar_binary;
mod cifar_python;
mod error;
mod image;
mod parquet;
mod pickle;
mod resize;
pub mod shapes;

pub use error::{DataError, Fault, Kind, Place};
pub use image::{Picture, read_image};
pub use resize::{Filter, resize};

use error::list;
use rayon::prelude::*;
use resize::Resizer;
use std::path::{Path, PathBuf};

/// The classes of CIFAR-10 in the order of its labels.
const CIFAR10: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// A data set in memory: pictures of one size, divided into those to learn from and those to be tested on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// A name for people: `shapes`, or that of the folder.
    pub name: String,
    /// Names of the classes; a label is an index into it.
    pub classes: Vec<String>,
    /// C: 1 for grey, 3 for red, green and blue.
    pub channels: usize,
    /// H, in pixels.
    pub height: usize,
    /// W, in pixels.
    pub width: usize,
    /// The pictures to learn from.
    pub train: Split,
    /// The pictures to be tested on.
    pub test: Split,
}

/// The pictures of one split with their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// All pictures one after the other, each as C planes of H rows of W bytes.
    pub images: Vec<u8>,
    /// The class of each picture.
    pub labels: Vec<u32>,
}

impl Split {
    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no picture.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Picture `i` as C×H×W bytes.
    ///
    /// # Panics
    /// If `i` is not below [`len`](Self::len).
    pub fn image(&self, i: usize) -> &[u8] {
        let size = self.images.len() / self.len();
        &self.images[i * size..][..size]
    }
}

impl Dataset {
    /// The same data set with every picture brought to `height`×`width`, as [`resize()`] does it.
    ///
    /// # Panics
    /// If a side is 0.
    pub fn resized(self, height: usize, width: usize) -> Self {
        let (from, to) = ((self.height, self.width), (height, width));
        if from == to {
            return self;
        }
        let resizer = Resizer::new(from, to);
        let (old, new) = (self.channels * from.0 * from.1, self.channels * to.0 * to.1);
        let scale = |split: Split| {
            let mut images = vec![0; split.len() * new];
            let pairs = split.images.par_chunks_exact(old).zip(images.par_chunks_exact_mut(new));
            pairs.for_each(|(image, resized)| resizer.resize(image, resized));
            Split { images, ..split }
        };
        Self { height, width, train: scale(self.train), test: scale(self.test), ..self }
    }
}

/// Loads a data set: `shapes`, the embedded one, or the path of a folder (a folder named `shapes` is `./shapes`).
///
/// A folder may hold `train-*.parquet` and `test-*.parquet` shards as Hugging Face writes them, the CIFAR-10 Python
/// batches or the CIFAR-10 binary batches; it may also be the parent of one such folder.
///
/// ```
/// let shapes = lenslet_data::load("shapes")?;
/// assert_eq!((shapes.channels, shapes.height, shapes.width), (3, 32, 32));
/// assert_eq!((shapes.train.len(), shapes.test.len()), (10_000, 2_000));
/// # Ok::<(), lenslet_data::DataError>(())
/// ```
pub fn load(what: &str) -> Result<Dataset, DataError> {
    if what == "shapes" {
        return Ok(shapes::dataset());
    }
    let (format, folder) = find(Path::new(what))?;
    match format {
        Format::Parquet => parquet::load(&folder),
        Format::CifarPython => cifar_python::load(&folder),
        Format::CifarBinary => cifar_binary::load(&folder),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Parquet,
    CifarPython,
    CifarBinary,
}

/// The format of a folder that holds the named files, if it is one we know.
fn recognise(names: &[String]) -> Option<Format> {
    let any = |test: fn(&str) -> bool| names.iter().any(|name| test(name));
    if any(|name| name.ends_with(".parquet")) {
        Some(Format::Parquet)
    } else if any(|name| name.ends_with(".bin") && (name.starts_with("data_batch") || name == "test_batch.bin")) {
        Some(Format::CifarBinary)
    } else if any(|name| name.starts_with("data_batch_") || name == "test_batch") {
        Some(Format::CifarPython)
    } else {
        None
    }
}

/// The folder that holds the data, which is `root` or the only one of its subfolders that we know the format of.
fn find(root: &Path) -> Result<(Format, PathBuf), DataError> {
    if !root.exists() {
        return Err(missing(root));
    }
    if !root.is_dir() {
        let fix = "give the folder that it lies in, unpacked if it is an archive";
        return Err(Fault::new(Kind::Unrecognised, "a folder with a data set", "a file", fix).in_file(root));
    }
    let names = names_in(root)?;
    if let Some(format) = recognise(&names) {
        return Ok((format, root.to_path_buf()));
    }
    let inside = |name: &String| {
        let folder = root.join(name);
        let names = folder.is_dir().then(|| names_in(&folder).ok())??;
        Some((recognise(&names)?, folder))
    };
    let mut found: Vec<_> = names.iter().filter_map(inside).collect();
    match found.len() {
        0 => Err(Fault::new(
            Kind::Unrecognised,
            "Parquet shards (train-*.parquet, test-*.parquet), CIFAR-10 Python batches (data_batch_1 to data_batch_5, \
             test_batch) or CIFAR-10 binary batches (data_batch_1.bin to data_batch_5.bin, test_batch.bin)",
            list(&names),
            "give a folder that holds one of these, or `shapes` for the embedded set",
        )
        .in_file(root)),
        1 => Ok(found.remove(0)),
        _ => {
            let folders: Vec<_> = found.iter().map(|(_, folder)| folder.display().to_string()).collect();
            let found = format!("{} of them ({})", folders.len(), list(&folders));
            let fix = format!("give one of them, such as {}", folders[0]);
            Err(Fault::new(Kind::Unrecognised, "one data set", found, fix).in_file(root))
        }
    }
}

/// The error for a path that does not exist: how far the path leads, and what is there instead.
fn missing(path: &Path) -> DataError {
    let near = path.ancestors().skip(1).find(|near| near.is_dir()).unwrap_or(Path::new(""));
    let near = if near.as_os_str().is_empty() { Path::new(".") } else { near };
    let names = names_in(near).unwrap_or_default();
    let found = format!("nothing ({} exists and holds {})", near.display(), list(&names));
    let fix = "give the path of a folder that exists, or `shapes` for the embedded set";
    Fault::new(Kind::Missing, "a folder with a data set", found, fix).in_file(path)
}

/// The names in a folder, sorted, which for numbered shards is their official order.
fn names_in(folder: &Path) -> Result<Vec<String>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(|error| DataError::io(folder, error))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// The bytes of a file of the data set in `folder`.
fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|error| DataError::io(path, error))
}

/// A name for people: that of the folder itself, whatever the path to it looks like.
fn name_of(folder: &Path) -> String {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    full.file_name().map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned())
}

/// The label of picture `row` as an index into `classes` names, or why it is none.
fn label(value: i64, classes: usize, row: usize) -> Result<u32, Fault> {
    if (0..classes as i64).contains(&value) {
        return Ok(value as u32);
    }
    let expected = format!("a label from 0 to {} ({classes} classes)", classes.saturating_sub(1));
    let fix = "number the classes from 0, or name them all where the format lists their names";
    Err(Fault::new(Kind::Mismatch, expected, value.to_string(), fix).at(Place::Row(row)))
}
