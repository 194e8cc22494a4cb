//! Networks by name, as `lenslet train --model lesson` takes them.
//!
//! A network here is written as any user would write it: its layers are fields with PyTorch's names, its sizes are proved
//! for its standard input when this crate is compiled. Images of other sizes are checked when the network is recorded, so
//! [`by_name`] looks at the channels of the data only.

mod airbench;
mod lesson;
mod lesson_wide;
mod resnet;

use std::fmt;

pub use airbench::{Airbench94, ConvGroup};
pub use lesson::Lesson;
pub use lesson_wide::LessonWide;
pub use resnet::{BasicBlock, Downsample, ResNet18, ResNet20};

use crate::Network;

/// A network that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// What [`by_name`] calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The C×H×W images that it was made for.
    pub input: [usize; 3],
}

/// All networks that have a name.
pub static NETWORKS: [Named; 8] = [
    Named {
        name: "lesson",
        about: "two 5x5 convolutions and three dense layers, 62 thousand weights",
        input: [3, 32, 32],
    },
    Named {
        name: "lesson-wide",
        about: "the lesson's with 16 and 48 channels, 179 thousand weights",
        input: [3, 32, 32],
    },
    Named { name: "lesson-wide-bn", about: "the same with batch normalisation", input: [3, 32, 32] },
    Named { name: "resnet18", about: "ResNet-18 for small images, 11 million weights", input: [3, 32, 32] },
    Named { name: "resnet20", about: "ResNet-20 of the CIFAR experiments, 0.27 million weights", input: [3, 32, 32] },
    Named { name: "airbench94", about: "the network of airbench94, 2 million weights", input: [3, 32, 32] },
    Named { name: "airbench94-half", about: "the same, half as wide, 0.5 million weights", input: [3, 32, 32] },
    Named {
        name: "airbench94-quarter",
        about: "the same, a quarter as wide, 0.13 million weights",
        input: [3, 32, 32],
    },
];

/// Their names.
pub const NAMES: [&str; NETWORKS.len()] = {
    let mut names = [""; NETWORKS.len()];
    let mut i = 0;
    while i < names.len() {
        names[i] = NETWORKS[i].name;
        i += 1;
    }
    names
};

/// What is known of the network called `name`.
///
/// # Errors
/// If no network has that name.
pub fn find(name: &str) -> Result<&'static Named, UnknownNetwork> {
    NETWORKS.iter().find(|network| network.name == name).ok_or_else(|| UnknownNetwork { name: name.to_owned() })
}

/// The network called `name`, for C×H×W images and a number of classes.
///
/// # Errors
/// If no network has that name.
///
/// ```
/// use lenslet::networks::by_name;
///
/// assert!(by_name("resnet18", [3, 32, 32], 10).is_ok());
/// let error = by_name("resnet-18", [3, 32, 32], 10).err().unwrap();
/// assert!(error.to_string().contains("did you mean resnet18?"));
/// ```
pub fn by_name(
    name: &str,
    input: [usize; 3],
    classes: usize,
) -> Result<Box<dyn Network + Send + Sync>, UnknownNetwork> {
    let [channels, _, _] = input;
    Ok(match name {
        "lesson" => Box::new(Lesson::with(channels, classes)),
        "lesson-wide" => Box::new(LessonWide::with(channels, classes, false)),
        "lesson-wide-bn" => Box::new(LessonWide::with(channels, classes, true)),
        "resnet18" => Box::new(ResNet18::with(channels, classes)),
        "resnet20" => Box::new(ResNet20::with(channels, classes)),
        "airbench94" => Box::new(Airbench94::with(channels, classes)),
        "airbench94-half" => Box::new(Airbench94::with_widths(channels, classes, [32, 128, 128])),
        "airbench94-quarter" => Box::new(Airbench94::with_widths(channels, classes, [16, 64, 64])),
        _ => return Err(UnknownNetwork { name: name.to_owned() }),
    })
}

/// A name that no network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNetwork {
    /// The name that was asked for.
    pub name: String,
}

impl UnknownNetwork {
    /// The name that was meant, if one is near.
    pub fn nearest(&self) -> Option<&'static str> {
        let asked = self.name.to_lowercase();
        let likeness = |name: &str| strsim::jaro_winkler(&asked, name);
        let nearest = NAMES.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        // Below that, no more than a letter or two agree.
        (likeness(nearest) > 0.7).then_some(nearest)
    }
}

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no network called {:?}; there are {}", self.name, NAMES.join(", "))?;
        match self.nearest() {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_its_network() {
        for network in NETWORKS {
            let found = by_name(network.name, network.input, 10).expect("the table speaks of networks that exist");
            assert_eq!(found.input(), Some(network.input), "{}", network.name);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_exist() {
        let message = |name: &str| by_name(name, [3, 32, 32], 10).err().expect("no such network").to_string();
        assert_eq!(
            message("Resnet-18"),
            "there is no network called \"Resnet-18\"; there are lesson, lesson-wide, lesson-wide-bn, resnet18, resnet20, airbench94, airbench94-half, airbench94-quarter; did you mean resnet18?"
        );
        assert_eq!(
            message("vgg"),
            "there is no network called \"vgg\"; there are lesson, lesson-wide, lesson-wide-bn, resnet18, resnet20, airbench94, airbench94-half, airbench94-quarter"
        );
        assert!(message("leson").ends_with("did you mean lesson?"));
    }
}
