//! What makes a data set the right one: its pixels and labels, whatever file or format they came in.
//!
//! *Invariant:* the hash is of the loaded [`Dataset`], so that an archive packed anew, another format and another host all
//! answer to one value. It is SHA-256 over the training pictures as C×H×W bytes in their official order, then their labels
//! as a byte each, then the test pictures and labels likewise.

use lenslet_data::{Dataset, Split};
use sha2::{Digest as _, Sha256};

/// What a data set must be.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    /// Channels, height and width.
    pub size: [usize; 3],
    /// The number of classes.
    pub classes: usize,
    /// The number of training pictures.
    pub train: usize,
    /// The number of test pictures.
    pub test: usize,
    /// A hash over all of them.
    pub digest: Digest<'a>,
}

/// A hash in hexadecimal digits, and over what.
#[derive(Clone, Copy, Debug)]
pub enum Digest<'a> {
    /// SHA-256 over pictures and labels of training, then of test.
    Pixels(&'a str),
    /// SHA-256 of the files `train.bin` and `test.bin` of CIFAR-100's binary version, which a data set of any format can be
    /// written as. It is used for CIFAR-100, whose pictures were not at hand when this was written: these two are
    /// published (by torch.rb, whose hashes of CIFAR-10's files are those of the official ones).
    Cifar100Binary {
        /// Of `train.bin`.
        train: &'a str,
        /// Of `test.bin`.
        test: &'a str,
    },
}

impl Truth<'_> {
    /// Whether this is the data set; if not, what was expected and found.
    pub fn check(&self, data: &Dataset) -> Result<(), String> {
        let expected = describe(self.size, self.train, self.test, self.classes);
        let found =
            describe([data.channels, data.height, data.width], data.train.len(), data.test.len(), data.classes.len());
        if expected != found {
            return Err(format!("expected {expected}, found {found}"));
        }
        let right = match self.digest {
            Digest::Pixels(hash) => pixels(data) == hash,
            Digest::Cifar100Binary { train, test } => {
                cifar100_binary(&data.train) == train && cifar100_binary(&data.test) == test
            }
        };
        if right { Ok(()) } else { Err(format!("{found}, but other pictures or labels: their SHA-256 differs")) }
    }

    /// What a verification is remembered by: another hash in a later version asks for another look.
    pub(crate) fn id(&self) -> String {
        match self.digest {
            Digest::Pixels(hash) => hash.to_owned(),
            Digest::Cifar100Binary { train, test } => format!("{train} {test}"),
        }
    }
}

/// `50000 + 10000 pictures of 3x32x32 in 10 classes`.
fn describe([channels, height, width]: [usize; 3], train: usize, test: usize, classes: usize) -> String {
    format!("{train} + {test} pictures of {channels}x{height}x{width} in {classes} classes")
}

/// The hash that [`Digest::Pixels`] means.
pub fn pixels(data: &Dataset) -> String {
    let mut hash = Sha256::new();
    for split in [&data.train, &data.test] {
        hash.update(&split.images[..]);
        hash.update(split.labels.iter().map(|&label| label as u8).collect::<Vec<_>>());
    }
    hex(hash)
}

/// The hash of a split as CIFAR-100's binary version has it: coarse label, fine label, red, green and blue plane.
fn cifar100_binary(split: &Split) -> String {
    let mut hash = Sha256::new();
    for (i, &label) in split.labels.iter().enumerate() {
        let coarse = COARSE.get(label as usize).copied().unwrap_or(u8::MAX);
        hash.update([coarse, label as u8]);
        hash.update(split.image(i));
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The superclass of each of CIFAR-100's classes, both numbered in the order of their names.
#[rustfmt::skip]
const COARSE: [u8; 100] = [
     4,  1, 14,  8,  0,  6,  7,  7, 18,  3,  3, 14,  9, 18,  7, 11,  3,  9,  7, 11,
     6, 11,  5, 10,  7,  6, 13, 15,  3, 15,  0, 11,  1, 10, 12, 14, 16,  9, 11,  5,
     5, 19,  8,  8, 15, 13, 14, 17, 18, 10, 16,  4, 17,  4,  2,  0, 17,  4, 18, 17,
    10,  3,  2, 12, 12, 16, 12,  1,  9, 19,  2, 10,  0,  1, 16, 12,  9, 13, 15, 13,
    16, 19,  2,  4,  6, 19,  5,  5,  8, 19, 18,  1,  2, 15,  6,  0, 17,  8, 14, 13,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_superclass_has_five_classes() {
        for superclass in 0..20 {
            assert_eq!(COARSE.iter().filter(|&&coarse| coarse == superclass).count(), 5, "{superclass}");
        }
        // Fish: aquarium_fish, flatfish, ray, shark, trout; trees: maple, oak, palm, pine, willow.
        assert_eq!([1, 32, 67, 73, 91].map(|class| COARSE[class]), [1; 5]);
        assert_eq!([47, 52, 56, 59, 96].map(|class| COARSE[class]), [17; 5]);
    }

    /// `python3 -c 'import hashlib; print(hashlib.sha256(bytes([1, 2, 3, 4, 0, 1] + [5, 6, 1])).hexdigest())'` and
    /// `bytes([4, 0, 1, 2, 1, 1, 3, 4])` for CIFAR-100's records.
    #[test]
    fn hashes_are_pythons() {
        let train = Split { images: vec![1, 2, 3, 4].into(), labels: vec![0, 1] };
        let test = Split { images: vec![5, 6].into(), labels: vec![1] };
        assert_eq!(cifar100_binary(&train), "1014e8b1db0aa0f38ee010aebced8e0437c3d526fefa7bd8912aa8b8b939e0b9");
        let classes = vec!["a".into(), "b".into()];
        let data = Dataset { name: "tiny".into(), classes, channels: 1, height: 1, width: 2, train, test };
        assert_eq!(pixels(&data), "270a1e547ba7bd13b76cf5795e891de0f17ef7d3b1d93b67d38716ab04143ac7");
        let truth = |test, hash| Truth { size: [1, 1, 2], classes: 2, train: 2, test, digest: Digest::Pixels(hash) };
        let hash = pixels(&data);
        assert_eq!(truth(1, &hash).check(&data), Ok(()));
        let other = truth(1, "00").check(&data).unwrap_err();
        assert_eq!(other, "2 + 1 pictures of 1x1x2 in 2 classes, but other pictures or labels: their SHA-256 differs");
        let fewer = truth(2, "00").check(&data).unwrap_err();
        assert_eq!(fewer, "expected 2 + 2 pictures of 1x1x2 in 2 classes, found 2 + 1 pictures of 1x1x2 in 2 classes");
    }
}
