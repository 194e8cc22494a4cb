//! What is suspicious in a data set, and its words: what was found, where, and what to do about it.

use std::fmt;

use serde::Serialize;

use super::duplicates::Group;
use super::{EXAMPLES, Part, UNEQUAL, Which};
use crate::Dataset;
use crate::error::list;

/// Something that training does not stumble over, but its result suffers from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DataWarning {
    /// Classes that a split has no image of.
    EmptyClasses {
        /// The split.
        part: Part,
        /// Their names.
        classes: Vec<String>,
        /// Classes of the data set.
        of: usize,
    },
    /// The largest class has [`UNEQUAL`] times the training images of the smallest or more; empty ones aside.
    UnequalClasses {
        /// The largest class.
        largest: String,
        /// Its training images.
        most: usize,
        /// The smallest class.
        smallest: String,
        /// Its training images.
        fewest: usize,
    },
    /// Test images that are training images, too.
    TestInTrain {
        /// How many test images.
        images: usize,
        /// Test images there are.
        of: usize,
        /// Some of them: the test image, and the first training image that it equals.
        examples: Vec<Same>,
    },
    /// Training images that are copies of earlier ones.
    Copies {
        /// How many, the first of each kind not counted.
        images: usize,
        /// Some of them: the copy, and the first of its kind.
        examples: Vec<Same>,
    },
    /// Equal images with different labels, in any split.
    TwoLabels {
        /// How many different pictures have more than one label.
        pictures: usize,
        /// Images that show them.
        images: usize,
        /// Some of them: an image, and the first of the same picture that has another label.
        examples: Vec<Same>,
    },
    /// Images that show one colour and nothing else.
    SingleColour {
        /// The split.
        part: Part,
        /// How many.
        images: usize,
        /// How many of these are all black.
        black: usize,
        /// Some of them.
        examples: Vec<Which>,
    },
}

/// Two equal images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Same {
    /// One of them.
    pub image: Which,
    /// The other.
    pub equals: Which,
}

/// What the numbers of images of each class say.
pub(super) fn of_counts(classes: &[String], train: &[usize], test: &[usize]) -> Vec<DataWarning> {
    let mut warnings = vec![];
    for (part, counts) in [(Part::Train, train), (Part::Test, test)] {
        let empty = classes.iter().zip(counts).filter(|&(_, &count)| count == 0);
        let empty: Vec<String> = empty.map(|(class, _)| class.clone()).collect();
        if !empty.is_empty() {
            warnings.push(DataWarning::EmptyClasses { part, classes: empty, of: classes.len() });
        }
    }
    let present = || classes.iter().zip(train).filter(|&(_, &count)| count > 0);
    // The first of equals, of which `max_by_key` would take the last.
    let largest = present().rev().max_by_key(|&(_, count)| count);
    let smallest = present().min_by_key(|&(_, count)| count);
    if let (Some((largest, &most)), Some((smallest, &fewest))) = (largest, smallest)
        && most / fewest >= UNEQUAL
    {
        let (largest, smallest) = (largest.clone(), smallest.clone());
        warnings.push(DataWarning::UnequalClasses { largest, most, smallest, fewest });
    }
    warnings
}

/// What groups of equal images say.
pub(super) fn of_duplicates(data: &Dataset, groups: &[Group]) -> Vec<DataWarning> {
    let same = |image: (Part, usize), equals: (Part, usize)| Same {
        image: image.0.which(data, image.1),
        equals: equals.0.which(data, equals.1),
    };
    let label = |&(part, index): &(Part, usize)| part.of(data).labels[index];
    // Training images come first in a group, so the first place tells whether there are any.
    let learnt = || groups.iter().filter(|group| group[0].0 == Part::Train);
    let pairs = |part: Part| {
        learnt().flat_map(move |group| {
            group[1..].iter().filter(move |place| place.0 == part).map(move |&place| (place, group[0]))
        })
    };
    let (leaked, copies) = (pairs(Part::Test).count(), pairs(Part::Train).count());
    let examples = |part: Part| {
        let mut pairs: Vec<_> = pairs(part).collect();
        pairs.sort_unstable();
        pairs.into_iter().take(EXAMPLES).map(|(image, equals)| same(image, equals)).collect()
    };
    let contradictions = groups.iter().filter_map(|group| {
        let other = group.iter().find(|place| label(place) != label(&group[0]))?;
        Some((group.len(), group[0], *other))
    });
    let contradictions: Vec<_> = contradictions.collect();

    let mut warnings = vec![];
    if leaked > 0 {
        let of = data.test.len();
        warnings.push(DataWarning::TestInTrain { images: leaked, of, examples: examples(Part::Test) });
    }
    if copies > 0 {
        warnings.push(DataWarning::Copies { images: copies, examples: examples(Part::Train) });
    }
    if !contradictions.is_empty() {
        let shown = contradictions.iter().take(EXAMPLES);
        warnings.push(DataWarning::TwoLabels {
            pictures: contradictions.len(),
            images: contradictions.iter().map(|&(images, ..)| images).sum(),
            examples: shown.map(|&(_, first, other)| same(other, first)).collect(),
        });
    }
    warnings
}

impl fmt::Display for DataWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyClasses { part, classes, of } => {
                let names = list(classes);
                write!(f, "{} of the {of} classes have no {part} images: {names}", classes.len())?;
                f.write_str(match part {
                    Part::Train => "; a network cannot learn them\n  mend it: add images of them, or take these classes out",
                    Part::Test => {
                        "; nobody will know how well they are learnt\n  mend it: move some of their training images to the test \
                         images"
                    }
                })
            }
            Self::UnequalClasses { largest, most, smallest, fewest } => write!(
                f,
                "the classes are very unequal in number: {most} training images of {largest}, {fewest} of {smallest}, which \
                 is {} times fewer\n  mend it: add images of the rare classes, and judge by the accuracy of each class instead \
                 of the overall one",
                most / fewest
            ),
            Self::TestInTrain { images, of, examples } => write!(
                f,
                "{images} of the {of} test images {} too, pixel by pixel, so the test accuracy looks better than it is: \
                 {}\n  mend it: take them out of the training images",
                if *images == 1 { "is a training image" } else { "are training images" },
                shown(examples, *images)
            ),
            Self::Copies { images, examples } => write!(
                f,
                "{images} training {} more than once: {}\n  mend it: take the copies out",
                if *images == 1 {
                    "image is a copy of another, which so counts"
                } else {
                    "images are copies of others, which so count"
                },
                shown(examples, *images)
            ),
            Self::TwoLabels { pictures, images, examples } => write!(
                f,
                "{images} images show {} under different labels, of which only one can be right: {}\n  mend it: correct \
                 the labels, or take these images out",
                if *pictures == 1 { "the same picture".to_owned() } else { format!("{pictures} pictures") },
                shown(examples, *pictures)
            ),
            Self::SingleColour { part, images, black, examples } => {
                let show = if *images == 1 { "image shows" } else { "images show" };
                let black = match black {
                    0 => String::new(),
                    black if black == images => " (black)".to_owned(),
                    black => format!(" ({black} of them black)"),
                };
                write!(
                    f,
                    "{images} {part} {show} a single colour{black} and nothing else: {}\n  mend it: look at the files \
                     that they came from, and take them out if they are broken",
                    shown(examples, *images)
                )
            }
        }
    }
}

impl fmt::Display for Same {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.image, self.equals)
    }
}

/// `a, b, …`: the examples, and whether there are more.
fn shown<T: fmt::Display>(examples: &[T], of: usize) -> String {
    let more = if of > examples.len() { ", …" } else { "" };
    examples.iter().map(T::to_string).collect::<Vec<_>>().join(", ") + more
}
