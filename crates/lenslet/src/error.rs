//! What can go wrong, in words for users.
//!
//! One type for the crate. Every message says what was expected, what arrived, and the one change that mends it; the
//! program prints it as it is and exits with code 2.

use std::path::PathBuf;

use lenslet_data::DataError;
use lenslet_graph::RecordError;

/// Something that the user can mend.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Sizes that do not fit, or another mistake in a forward pass.
    #[error("{0}")]
    Network(Box<RecordError>),
    /// Data that cannot be read.
    #[error("{0}")]
    Data(#[from] DataError),
    /// A setting out of its range.
    #[error("{setting} is {value}, but must be {expected}")]
    Setting {
        /// Its name, as on the command line.
        setting: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
    /// The network's result does not fit the data's classes.
    #[error(
        "the network gives {arrived} per image, but the data has {classes} classes\n  mend it: let the last layer have {classes} outputs"
    )]
    Classes {
        /// Sizes of the logits.
        arrived: String,
        /// Classes of the data.
        classes: usize,
    },
    /// A network that is not among those with a name.
    #[error("{0}")]
    UnknownNetwork(String),
    /// A group of parameters that has none.
    #[error(
        "--groups: no parameter is called {pattern}\n  mend it: the nearest is {nearest}; `lenslet summary` shows all layers"
    )]
    Group {
        /// What was given.
        pattern: String,
        /// The parameter whose name is most like it.
        nearest: String,
    },
    /// A network whose first layer cannot whiten patches.
    #[error(
        "--init whiten sets the filters of a convolution that sees the whole images, but the network does not begin with \
         one\n  mend it: leave whiten out, or take another network"
    )]
    Whiten,
    /// A loss, gradient or parameter that is no number any more.
    #[error(
        "training stopped: in epoch {epoch}, step {step}, the {what} became {value}, first at {culprit}\n  mend it: a smaller \
         learning rate (now {rate:?}), gradient clipping (--clip 1), or a look at that operation"
    )]
    NotFinite {
        /// `loss`, `gradient` or `parameter`.
        what: &'static str,
        /// NaN or infinite.
        value: f32,
        /// The first op whose value was not finite, with its layer and line.
        culprit: String,
        /// The epoch, from 1.
        epoch: usize,
        /// The step within it, from 1.
        step: usize,
        /// The learning rate of that step.
        rate: f32,
    },
    /// An epoch that is to go on with images other than it was begun with.
    #[error(
        "epoch {epoch} stands after {done} images, and steps of {batch} from {images} images do not lead there\n  mend it: go \
         on with the images that it was begun with"
    )]
    OtherImages {
        /// The epoch, from 1.
        epoch: usize,
        /// Images done in it.
        done: usize,
        /// Images of a step.
        batch: usize,
        /// Images given.
        images: usize,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and the way out.
        problem: String,
    },
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        Error::Network(Box::new(error))
    }
}

impl From<crate::networks::UnknownNetwork> for Error {
    fn from(error: crate::networks::UnknownNetwork) -> Self {
        Error::UnknownNetwork(error.to_string())
    }
}
