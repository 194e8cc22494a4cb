//! Where Lenslet's pictures come from: the data sets and formats it reads, and the one it draws itself.
//!
//! *Invariant:* whatever the format, the same pictures arrive as the same bytes in the official order, as planes of
//! C×H×W; every picture of a [`Dataset`] has its size and every label names one of its classes. No input makes this
//! crate panic, and memory is taken for what a file holds, never for what its headers claim.
//!
//! `load` is the way in: `find` says which format and which of the files, `cache` keeps what was decoded. One file per
//! format: [`mod@shapes`] (drawn here), `parquet/` (Hugging Face shards), `cifar_python` (with `pickle`), `cifar_binary`,
//! `idx`, `npz` (with `npy`) and `folder` (pictures by class). All read from `files`, a named set of files on disk or, out
//! of an `archive`, in memory; `whole` alone reads files from disk. `image/` decodes picture files, `resize` has Pillow's
//! filters, `split` divides what is not divided, `error` makes the words. `store` holds what was decoded, in memory or, where
//! `memory` is short, in a file. `map`, which maps a file into memory, holds the only unsafe code.
#![deny(unsafe_code)]

mod archive;
pub mod augment;
mod cache;
mod cifar;
mod cifar_binary;
mod cifar_python;
mod error;
mod files;
mod find;
mod folder;
#[doc(hidden)]
pub mod fuzz;
mod idx;
mod image;
mod load;
mod map;
mod memory;
mod names;
mod npy;
mod npz;
mod parquet;
mod pickle;
mod pictures;
mod pixels;
mod resize;
pub mod shapes;
mod split;
mod store;
pub mod survey;
mod whole;

pub use cache::cache_folder;
pub use error::{DataError, Fault, Kind, Place};
pub use image::{EXTENSIONS, Picture, is_picture, read_image};
pub use load::{Loaded, Options, load, load_with};
pub use memory::free_memory;
pub use pixels::Pixels;
pub use resize::{Filter, resize};
pub use survey::{DataWarning, Survey};

use rayon::prelude::*;
use resize::Resizer;
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Labels without names may be below this: as many as ImageNet has.
const MAX_UNNAMED: usize = 1_000;

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
    pub images: Pixels,
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

    /// The numbers of the pictures in an order that follows from their bytes and labels alone: of the same pictures it
    /// makes the same sequence, in whatever order their files held them. Found once, on all cores.
    ///
    /// ```
    /// use lenslet_data::Split;
    ///
    /// let split = |images: Vec<u8>| Split { labels: vec![0; images.len()], images: images.into() };
    /// let [one, other] = [split(vec![7, 8, 9]), split(vec![9, 7, 8])];
    /// let sequence = |split: &Split| split.by_content().iter().map(|&i| split.images[i as usize]).collect::<Vec<_>>();
    /// assert_eq!(sequence(&one), sequence(&other));
    /// ```
    pub fn by_content(&self) -> &[u32] {
        self.images.order(|| {
            // Hashes are quick to compare; where they are equal, the bytes decide.
            let key = |i: u32| (xxh3_64(self.image(i as usize)), self.labels[i as usize], i);
            let mut keys: Vec<_> = (0..self.len() as u32).into_par_iter().map(key).collect();
            let bytes = |i: u32| self.image(i as usize);
            keys.par_sort_by(|a, b| a.0.cmp(&b.0).then_with(|| bytes(a.2).cmp(bytes(b.2))).then(a.1.cmp(&b.1)));
            keys.into_iter().map(|(_, _, i)| i).collect()
        })
    }

    /// The mean of all pixels, a byte for each of so many channels; black if there is no picture. Found once.
    ///
    /// ```
    /// # use lenslet_data::Split;
    /// let split = Split { images: vec![0, 0, 100, 200, 1, 2, 100, 200].into(), labels: vec![0, 1] };
    /// assert_eq!(split.mean_colour(2), [1, 150]); // from 0.75 and 150
    /// ```
    ///
    /// # Panics
    /// If it was asked for another number of channels before.
    pub fn mean_colour(&self, channels: usize) -> &[u8] {
        let mean = self.images.mean(|| {
            let plane = self.images.len() / (self.len() * channels).max(1);
            let mut sums = vec![0_u64; channels];
            for (plane, channel) in self.images.chunks(plane.max(1)).zip((0..channels).cycle()) {
                sums[channel] += plane.iter().map(|&x| u64::from(x)).sum::<u64>();
            }
            let pixels = (self.len() * plane).max(1) as u64;
            sums.into_iter().map(|sum| ((sum + pixels / 2) / pixels) as u8).collect()
        });
        assert_eq!(mean.len(), channels, "the pictures have other channels");
        mean
    }
}

impl Dataset {
    /// The same data set in grey (1) or colour (3), as [`read_image`] converts pictures.
    ///
    /// # Panics
    /// If `channels` is neither.
    pub fn with_channels(self, channels: usize) -> Self {
        assert!(matches!(channels, 1 | 3), "pictures have 1 or 3 channels, not {channels}");
        let plane = self.height * self.width;
        let convert = |split: Split| {
            let images: Vec<u8> = match (self.channels, channels) {
                (1, 3) => store::coloured(&split.images, plane),
                (3, 1) => {
                    split.images.chunks_exact(3 * plane).flat_map(|picture| image::grey(picture, plane)).collect()
                }
                _ => return split,
            };
            Split { images: images.into(), ..split }
        };
        Self { channels, train: convert(self.train), test: convert(self.test), ..self }
    }

    /// The same data set with every picture brought to `height`×`width`, as [`resize()`] does it.
    ///
    /// # Panics
    /// If a side is 0.
    pub fn resized(self, height: usize, width: usize, filter: Filter) -> Self {
        let (from, to) = ((self.height, self.width), (height, width));
        if from == to {
            return self;
        }
        let resizer = Resizer::new(from, to, filter);
        let (old, new) = (self.channels * from.0 * from.1, self.channels * to.0 * to.1);
        let scale = |split: Split| {
            let mut images = vec![0; split.len() * new];
            let pairs = split.images.par_chunks_exact(old).zip(images.par_chunks_exact_mut(new));
            pairs.for_each(|(image, resized)| resizer.resize(image, resized));
            Split { images: images.into(), ..split }
        };
        Self { height, width, train: scale(self.train), test: scale(self.test), ..self }
    }
}

/// The names in a folder, sorted, which for numbered shards is their official order.
fn names_in(folder: &Path) -> Result<Vec<String>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(|error| DataError::io(folder, error))?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// A name for people: that of the folder itself, whatever the path to it looks like, unless all folders of its kind have
/// that name.
fn name_of(folder: &Path) -> String {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let mut names = full.iter().rev().map(|name| name.to_string_lossy());
    let telling = names.find(|name| !["data", "default", "plain_text", "raw"].contains(&&**name));
    telling.filter(|name| name != "/").map_or_else(|| "data".into(), |name| name.into_owned())
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
