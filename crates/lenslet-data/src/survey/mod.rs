//! A look at a whole data set: how many images of each class, mean and spread of each channel, and what is suspicious.
//!
//! What is suspicious is no error: training runs, and ends with a network that is worse than its numbers say. Such things
//! are [`DataWarning`]s, values with numbers in them; `warning` makes their words, `duplicates` finds equal images. All of it
//! is counted from the bytes, exactly and on all cores; beside the data it takes some 16 bytes an image.

mod duplicates;
mod warning;

use std::fmt;

use rayon::prelude::*;
use serde::Serialize;

pub use warning::{DataWarning, Same};

use crate::{Dataset, Split};

/// How many images a warning names as examples at most.
pub const EXAMPLES: usize = 3;

/// From this ratio of the largest to the smallest class on, classes are called very unequal in number: the least
/// "imbalance factor" of the long-tailed CIFAR sets, at which a ResNet-32 already loses seven points (Cui et al. 2019,
/// "Class-balanced loss based on effective number of samples", <https://arxiv.org/abs/1901.05555>).
pub const UNEQUAL: usize = 10;

/// What a data set is like.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// Images of each class to train on.
    pub train: Vec<usize>,
    /// Images of each class to test on.
    pub test: Vec<usize>,
    /// Mean of each channel over all training images, where black is 0 and white 1.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel likewise, divided by n, as `torchvision.transforms.Normalize` is given it.
    pub std: Vec<f64>,
    /// What is suspicious; empty for a sound data set.
    pub warnings: Vec<DataWarning>,
}

/// Which images: those to train on or those to test on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Those to train on.
    Train,
    /// Those to test on.
    Test,
}

/// An image, by the place where its owner finds it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Which {
    /// Its split.
    pub part: Part,
    /// Its number there, from 0.
    pub index: usize,
    /// Its class.
    pub class: String,
}

impl Survey {
    /// Looks at all images of `data`.
    pub fn new(data: &Dataset) -> Self {
        let train = class_counts(&data.train, data.classes.len());
        let test = class_counts(&data.test, data.classes.len());
        let mut warnings = warning::of_counts(&data.classes, &train, &test);
        warnings.extend(warning::of_duplicates(data, &duplicates::groups(data)));
        warnings.extend([Part::Train, Part::Test].into_iter().filter_map(|part| single_colours(data, part)));
        let (mean, std) = channel_statistics(data).into_iter().unzip();
        Self { train, test, mean, std, warnings }
    }
}

impl Part {
    /// The split that it names.
    pub fn of(self, data: &Dataset) -> &Split {
        match self {
            Part::Train => &data.train,
            Part::Test => &data.test,
        }
    }

    /// Image `index` of it.
    fn which(self, data: &Dataset, index: usize) -> Which {
        let class = data.classes[self.of(data).labels[index] as usize].clone();
        Which { part: self, index, class }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Train => "training",
            Part::Test => "test",
        })
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} image {} ({})", self.part, self.index, self.class)
    }
}

fn class_counts(split: &Split, classes: usize) -> Vec<usize> {
    let mut counts = vec![0; classes];
    for &label in &split.labels {
        counts[label as usize] += 1;
    }
    counts
}

/// Pixels of a channel of an image; never 0, so that a set without pixels can be looked at as well.
fn plane_len(data: &Dataset) -> usize {
    (data.height * data.width).max(1)
}

/// Images that show one colour and nothing else.
fn single_colours(data: &Dataset, part: Part) -> Option<DataWarning> {
    let split = part.of(data);
    let plane = plane_len(data);
    let one_colour = |image: &[u8]| image.chunks(plane).all(|plane| plane.iter().all(|&pixel| pixel == plane[0]));
    let found = (0..split.len()).into_par_iter().filter(|&index| one_colour(split.image(index)));
    let found: Vec<usize> = found.collect();
    if found.is_empty() {
        return None;
    }
    let black = found.iter().filter(|&&index| split.image(index).iter().all(|&pixel| pixel == 0)).count();
    let examples = found.iter().take(EXAMPLES).map(|&index| part.which(data, index)).collect();
    Some(DataWarning::SingleColour { part, images: found.len(), black, examples })
}

/// Mean and standard deviation of each channel of the training images. Sums of bytes and of their squares are whole
/// numbers, so nothing is rounded before the division.
fn channel_statistics(data: &Dataset) -> Vec<(f64, f64)> {
    let plane = plane_len(data);
    let nothing = || vec![[0_u64; 2]; data.channels];
    let add = |mut sums: Vec<[u64; 2]>, image: &[u8]| {
        for (sums, plane) in sums.iter_mut().zip(image.chunks_exact(plane)) {
            // Short enough that 32 bits hold the squares of a piece.
            for piece in plane.chunks(1 << 14) {
                sums[0] += u64::from(piece.iter().map(|&pixel| u32::from(pixel)).sum::<u32>());
                sums[1] += u64::from(piece.iter().map(|&pixel| u32::from(pixel) * u32::from(pixel)).sum::<u32>());
            }
        }
        sums
    };
    let join = |a: Vec<[u64; 2]>, b: Vec<[u64; 2]>| {
        a.iter().zip(&b).map(|(a, b)| [a[0] + b[0], a[1] + b[1]]).collect::<Vec<_>>()
    };
    let images = data.train.images.par_chunks_exact(data.channels.max(1) * plane);
    let sums = images.fold(nothing, add).reduce(nothing, join);
    let values = (data.train.len() * plane) as f64;
    let statistics = |[sum, squares]: [u64; 2]| {
        let mean = sum as f64 / values;
        // Both terms are below 2^16, so what is lost to rounding is far below a step of a byte.
        let variance = (squares as f64 / values - mean * mean).max(0.0);
        (mean / 255.0, variance.sqrt() / 255.0)
    };
    sums.into_iter().map(statistics).collect()
}
