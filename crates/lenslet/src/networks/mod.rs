//! Networks by name, as `lenslet train --model lesson` takes them.
//!
//! A network here is written as any user would write it: its layers are fields with PyTorch's names, its sizes are proved
//! for its standard input when this crate is compiled. Images of other sizes are checked when the network is recorded, so
//! [`by_name`] looks at the channels of the data only.

mod airbench;
mod convnext;
mod lesson;
mod lesson_wide;
mod mobilenet;
mod resnet;
mod sequence;
mod vgg;
mod wide_resnet;

use std::fmt;

pub use airbench::{Airbench, Airbench94, Airbench94Half, Airbench94Quarter, Airbench96, ConvGroup};
pub use convnext::{CnBlock, ConvNeXtTiny};
pub use lesson::Lesson;
pub use lesson_wide::{LessonWide, LessonWideBn, LessonWidePlain};
pub use mobilenet::{InvertedResidual, MobileNet, MobileNetV2, MobileNetV2ImageNet};
pub use resnet::{
    CifarResNet, Downsample, ResNet, ResNet18, ResNet18ImageNet, ResNet20, ResNet32, ResNet34, ResNet34ImageNet,
    ResNet50, ResNet50ImageNet, ResNet56, ResidualBlock,
};
pub use vgg::{Vgg, Vgg11, Vgg11ImageNet, Vgg16, Vgg16ImageNet, VggImageNet};
pub use wide_resnet::{WideBlock, WideResNet, WideResNet16x4, WideResNet28x10};

use crate::Network;

/// The side of CIFAR's images.
const CIFAR: usize = 32;
/// The side of ImageNet's images, as networks see them.
const IMAGENET: usize = 224;

/// How many classes the images of a side have.
const fn classes(side: usize) -> usize {
    if side == IMAGENET { 1000 } else { 10 }
}

/// A network of any kind, for whoever asks by name.
type AnyNetwork = Box<dyn Network + Send + Sync>;

/// A network that has a name.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// What [`by_name`] calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The C×H×W images that it was made for.
    pub input: [usize; 3],
    /// How many classes they have.
    pub classes: usize,
    /// Makes it, for images of some channels and some classes.
    make: fn(usize, usize) -> AnyNetwork,
}

/// A row of the table: for images of a side, a network, its name and what it is.
macro_rules! named {
    ($side:ident, $network:ident, $name:literal, $about:literal) => {
        Named {
            name: $name,
            about: $about,
            input: [3, $side, $side],
            classes: classes($side),
            make: |channels, classes| Box::new($network::with(channels, classes)),
        }
    };
}

/// All networks that have a name: those for small images first, small networks before large ones.
pub static NETWORKS: [Named; 25] = [
    named!(CIFAR, Lesson, "lesson", "two 5x5 convolutions and three dense layers, of PyTorch's tutorial"),
    named!(CIFAR, LessonWidePlain, "lesson-wide", "the lesson's network with 16 and 48 channels"),
    named!(CIFAR, LessonWideBn, "lesson-wide-bn", "the same with batch normalisation"),
    named!(CIFAR, Airbench94Quarter, "airbench94-quarter", "the network of airbench94, a quarter as wide"),
    named!(CIFAR, ResNet20, "resnet20", "ResNet-20 of the CIFAR experiments"),
    named!(CIFAR, ResNet32, "resnet32", "ResNet-32 of the CIFAR experiments"),
    named!(CIFAR, ResNet56, "resnet56", "ResNet-56 of the CIFAR experiments"),
    named!(CIFAR, Airbench94Half, "airbench94-half", "the network of airbench94, half as wide"),
    named!(CIFAR, Airbench94, "airbench94", "the network of airbench94: 94 % on CIFAR-10"),
    named!(CIFAR, MobileNetV2, "mobilenet-v2", "MobileNetV2 for small images"),
    named!(CIFAR, WideResNet16x4, "wide-resnet16-4", "wide residual network of 16 layers, 4 times as wide"),
    named!(CIFAR, Vgg11, "vgg11", "VGG-11 for small images, with batch normalisation"),
    named!(CIFAR, ResNet18, "resnet18", "ResNet-18 for small images"),
    named!(CIFAR, Airbench96, "airbench96", "the network of airbench96: 96 % on CIFAR-10"),
    named!(CIFAR, Vgg16, "vgg16", "VGG-16 for small images, with batch normalisation"),
    named!(CIFAR, ResNet34, "resnet34", "ResNet-34 for small images"),
    named!(CIFAR, ResNet50, "resnet50", "ResNet-50 for small images"),
    named!(CIFAR, WideResNet28x10, "wide-resnet", "wide residual network of 28 layers, 10 times as wide"),
    named!(IMAGENET, MobileNetV2ImageNet, "mobilenet-v2-imagenet", "MobileNetV2"),
    named!(IMAGENET, ResNet18ImageNet, "resnet18-imagenet", "ResNet-18"),
    named!(IMAGENET, ResNet34ImageNet, "resnet34-imagenet", "ResNet-34"),
    named!(IMAGENET, ResNet50ImageNet, "resnet50-imagenet", "ResNet-50"),
    named!(IMAGENET, ConvNeXtTiny, "convnext-tiny", "ConvNeXt, its smallest form"),
    named!(IMAGENET, Vgg11ImageNet, "vgg11-imagenet", "VGG-11, without batch normalisation"),
    named!(IMAGENET, Vgg16ImageNet, "vgg16-imagenet", "VGG-16, without batch normalisation"),
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
pub fn by_name(name: &str, input: [usize; 3], classes: usize) -> Result<AnyNetwork, UnknownNetwork> {
    let [channels, _, _] = input;
    find(name).map(|network| (network.make)(channels, classes))
}

/// A name that no network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNetwork {
    /// The name that was asked for.
    pub name: String,
}

impl UnknownNetwork {
    /// The names that may have been meant: all that begin so, or else the one that is most like it, if one is near.
    pub fn near(&self) -> Vec<&'static str> {
        let asked = self.name.to_lowercase();
        let begun: Vec<_> = NAMES.into_iter().filter(|name| asked.len() > 1 && name.starts_with(&asked)).collect();
        if !begun.is_empty() {
            return begun;
        }
        let likeness = |name: &str| strsim::jaro_winkler(&asked, name);
        let nearest = NAMES.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        // Below that, little more agrees than that both are some kind of net.
        nearest.filter(|name| likeness(name) > 0.85).into_iter().collect()
    }
}

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no network called {:?}", self.name)?;
        match &self.near()[..] {
            [] => {}
            [one] => write!(f, "; did you mean {one}?")?,
            [others @ .., last] => write!(f, "; did you mean {} or {last}?", others.join(", "))?,
        }
        write!(f, "\n  mend it: `lenslet summary --list` shows all {}", NAMES.len())
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
    fn an_unknown_name_is_answered_with_those_that_are_near() {
        let message = |name: &str| by_name(name, [3, 32, 32], 10).err().expect("no such network").to_string();
        assert_eq!(
            message("Resnet-18"),
            "there is no network called \"Resnet-18\"; did you mean resnet18?\n  \
             mend it: `lenslet summary --list` shows all 25"
        );
        assert_eq!(
            message("densenet121"),
            "there is no network called \"densenet121\"\n  mend it: `lenslet summary --list` shows all 25"
        );
        assert!(message("VGG").contains("; did you mean vgg11, vgg16, vgg11-imagenet or vgg16-imagenet?\n"));
        assert!(message("leson").contains("; did you mean lesson?\n"));
        assert!(!message("").contains("did you mean"), "all names begin with nothing");
    }
}
