//! Where each data set comes from, and by what it is recognised: a table to be read from top to bottom.
//!
//! Sources are asked in the order in which they stand: the official host, then others. They may have the set in different
//! formats, since it is the pixels that are checked ([`crate::truth`]).

use crate::truth::{Digest, Truth};

/// A data set with a name.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    /// As in `--data cifar10`.
    pub name: &'a str,
    /// What its pictures must be.
    pub truth: Truth<'a>,
    /// Who has it, the first one to ask first.
    pub sources: &'a [Source<'a>],
}

/// A place that has all of a data set.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The address of a file is this and its name.
    pub base: &'a str,
    /// The files.
    pub files: &'a [File<'a>],
}

/// A file to download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct File<'a> {
    /// Its name, at the source and on disk.
    pub name: &'a str,
    /// Its size in bytes, as last seen. Twice as much is taken at most, since hosts pack their files anew now and then.
    pub size: u64,
}

const fn file(name: &str, size: u64) -> File<'_> {
    File { name, size }
}

/// The files of MNIST and of Fashion-MNIST, which has its names from there.
const fn idx(sizes: [u64; 4]) -> [File<'static>; 4] {
    [
        file("train-images-idx3-ubyte.gz", sizes[0]),
        file("train-labels-idx1-ubyte.gz", sizes[1]),
        file("t10k-images-idx3-ubyte.gz", sizes[2]),
        file("t10k-labels-idx1-ubyte.gz", sizes[3]),
    ]
}

/// The files of a Hugging Face data set of this size.
const fn parquet(train: u64, test: u64) -> [File<'static>; 2] {
    [file("train-00000-of-00001.parquet", train), file("test-00000-of-00001.parquet", test)]
}

const MNIST_IDX: &[File] = &idx([9_912_422, 28_881, 1_648_877, 4_542]);
const FASHION_IDX: &[File] = &idx([26_421_880, 29_515, 4_422_102, 5_148]);

/// All data sets that have a name.
///
/// The hashes of CIFAR-10, MNIST and Fashion-MNIST are those that `tests/pixels.py` computes without Lenslet.
pub static SETS: [Set<'static>; 4] = [
    Set {
        name: "cifar10",
        truth: Truth {
            size: [3, 32, 32],
            classes: 10,
            train: 50_000,
            test: 10_000,
            digest: Digest::Pixels("32e5966899bde482c0ef7d076bf69809b4b1488c806f657a814cfca4646ec493"),
        },
        sources: &[
            Source { base: "https://www.cs.toronto.edu/~kriz/", files: &[file("cifar-10-binary.tar.gz", 170_052_171)] },
            Source {
                base: "https://huggingface.co/datasets/uoft-cs/cifar10/resolve/main/plain_text/",
                files: &parquet(119_705_255, 23_940_850),
            },
        ],
    },
    Set {
        name: "cifar100",
        truth: Truth {
            size: [3, 32, 32],
            classes: 100,
            train: 50_000,
            test: 10_000,
            digest: Digest::Cifar100Binary {
                train: "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
                test: "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
            },
        },
        sources: &[
            Source {
                base: "https://www.cs.toronto.edu/~kriz/",
                files: &[file("cifar-100-binary.tar.gz", 168_513_733)],
            },
            Source {
                base: "https://huggingface.co/datasets/uoft-cs/cifar100/resolve/main/cifar100/",
                files: &parquet(119_350_340, 23_772_751),
            },
        ],
    },
    Set {
        name: "mnist",
        truth: Truth {
            size: [1, 28, 28],
            classes: 10,
            train: 60_000,
            test: 10_000,
            digest: Digest::Pixels("9899dfe14b3c30c135a6db5ae952aeabfe369d3fe4e87304cffcab056f8ede6e"),
        },
        // The home page of MNIST has been closed to programs for years; the first one is torchvision's copy of it.
        sources: &[
            Source { base: "https://ossci-datasets.s3.amazonaws.com/mnist/", files: MNIST_IDX },
            Source { base: "https://storage.googleapis.com/cvdf-datasets/mnist/", files: MNIST_IDX },
            Source {
                base: "https://huggingface.co/datasets/ylecun/mnist/resolve/main/mnist/",
                files: &parquet(15_561_616, 2_595_890),
            },
        ],
    },
    Set {
        name: "fashion-mnist",
        truth: Truth {
            size: [1, 28, 28],
            classes: 10,
            train: 60_000,
            test: 10_000,
            digest: Digest::Pixels("ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f"),
        },
        sources: &[
            // The official address, which knows no TLS: what comes from it is checked as all else is.
            Source { base: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", files: FASHION_IDX },
            Source {
                base: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                files: FASHION_IDX,
            },
            Source {
                base: "https://huggingface.co/datasets/zalando-datasets/fashion_mnist/resolve/main/fashion_mnist/",
                files: &parquet(30_931_277, 5_175_617),
            },
        ],
    },
];

/// The data set of this name.
pub fn named(name: &str) -> Option<&'static Set<'static>> {
    SETS.iter().find(|set| set.name == name)
}

impl<'a> Set<'a> {
    /// The different lists of files in which the sources have the set, in their order.
    pub(crate) fn layouts(&self) -> Vec<&'a [File<'a>]> {
        let mut layouts: Vec<&'a [File<'a>]> = Vec::new();
        for source in self.sources {
            if !layouts.contains(&source.files) {
                layouts.push(source.files);
            }
        }
        layouts
    }

    /// Bytes on disk while it is downloaded, whichever source has it.
    pub(crate) fn space(&self) -> u64 {
        self.layouts().into_iter().map(|files| files.iter().map(|file| file.size).sum()).max().unwrap_or(0)
    }
}
