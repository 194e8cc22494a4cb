//! What goes wrong without a word: a network that trains, but worse than it could.
//!
//! Each is a [`Warning`], a value with its numbers; its words are made here and nowhere else. What a recorded network says
//! is found before training ([`of_network`], in `network`); what only training can show is found after an epoch by a
//! [`Watch`] (in `watch`), which changes nothing about the training: weights, order and bits are as without it. Faults of
//! the data are `lenslet_data::DataWarning`s.

mod activity;
mod network;
mod watch;

use std::fmt;

use serde::Serialize;

pub use network::of_network;
pub use watch::Watch;

/// Something that training does not stumble over.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Warning {
    /// The network ends in a softmax, and the cross-entropy takes another one.
    SoftmaxBeforeCrossEntropy {
        /// Where it stands: `softmax (at src/net.rs:12)`.
        place: String,
        /// Classes.
        classes: usize,
    },
    /// Batch normalisation over a batch of one image.
    BatchOfOne {
        /// The first batch normalisation: `bn1 (batch_norm, at src/net.rs:12)`.
        place: String,
        /// Training images.
        images: usize,
        /// Images in a step.
        batch: usize,
        /// The nearest batch size that leaves no such rest, if there is one.
        better: Option<usize>,
    },
    /// Most units of a ReLU are 0, whatever the image.
    DeadRelu {
        /// Where it stands: `relu behind conv1 (at src/net.rs:12)`.
        place: String,
        /// Units that were 0 for every image: channels of a feature map, else values.
        dead: usize,
        /// Units in all.
        units: usize,
        /// Training images that were looked at.
        images: usize,
        /// The learning rate by then.
        rate: f32,
    },
    /// The loss of an epoch was no better than that of an answer without a look at the images.
    NotBelowChance {
        /// The epoch, from 1.
        epoch: usize,
        /// Its mean loss over the training images.
        loss: f64,
        /// The loss of who knows how frequent the classes are and nothing else: ln K where they are equally frequent.
        chance: f64,
        /// Classes: K.
        classes: usize,
        /// The learning rate by then.
        rate: f32,
    },
    /// Parameters whose gradient was exactly 0 in each step of the first epoch.
    NoGradient {
        /// Their names.
        parameters: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SoftmaxBeforeCrossEntropy { place, classes } => {
                // The surest answer is (1, 0, …, 0), whose softmax gives the right class e/(e + K − 1).
                let least = (1.0 + (*classes as f64 - 1.0) * (-1.0_f64).exp()).ln();
                write!(
                    f,
                    "the network ends in {place}, and cross-entropy takes the softmax itself: taken twice, it makes gradients \
                     small, and the loss cannot fall below {least:.4}\n  mend it: let the network return its logits, without \
                     softmax; `lenslet predict` gives probabilities"
                )
            }
            Self::BatchOfOne { place, images, batch, better } => {
                write!(f, "{} a single image, ", which_batch(*images, *batch))?;
                write!(
                    f,
                    "but {place} takes mean and spread of its batch, which says little about one image and spoils the running \
                     statistics\n  mend it: "
                )?;
                match better {
                    Some(better) => {
                        let rest = if images % better == 0 { *better } else { images % better };
                        write!(f, "--batch {better}, which leaves {} for the last batch", images_of(rest))
                    }
                    None => write!(f, "train on more images"),
                }
            }
            Self::DeadRelu { place, dead, units, images, rate } => write!(
                f,
                "{dead} of {units} units of {place} are dead: 0 for each of {images} training images, so that they neither \
                 say nor learn anything\n  mend it: a smaller learning rate (now {rate:?}), batch normalisation before it, or \
                 leaky_relu or gelu in its place"
            ),
            Self::NotBelowChance { epoch, loss, chance, classes, rate } => {
                write!(f, "the loss of epoch {epoch}, {loss:.4}, is not below chance, ")?;
                let equal = (*classes as f64).ln();
                if (chance - equal).abs() < 1e-6 {
                    write!(f, "ln {classes} = {chance:.4}")?;
                } else {
                    write!(
                        f,
                        "{chance:.4} (the classes' entropy; ln {classes} = {equal:.4} if they were equally frequent)"
                    )?;
                }
                write!(
                    f,
                    ": nothing has been learnt so far\n  mend it: another learning rate (now {rate:?}; try a tenth and ten times \
                     that), batch normalisation in the network, or a look at whether labels and images belong together \
                     (`lenslet data`)"
                )
            }
            Self::NoGradient { parameters } => write!(
                f,
                "the gradient of {} was exactly 0 in every step of the epoch, so nothing there has been learnt\n  mend it: see \
                 that what the layer gives reaches the network's result, and is not cut off by dead ReLUs or a product with 0",
                some(parameters)
            ),
        }
    }
}

/// `the last batch of an epoch (65 = 1 x 64 + 1) has`.
fn which_batch(images: usize, batch: usize) -> String {
    if batch == 1 {
        return "every batch has".to_owned();
    }
    format!("the last batch of every epoch ({images} = {} x {batch} + 1) has", images / batch)
}

fn images_of(number: usize) -> String {
    if number == 1 { "1 image".to_owned() } else { format!("{number} images") }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
