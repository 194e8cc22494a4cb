//! Data sets on their way to a network: loaded, looked at, and brought to the size that the network takes.

use lenslet::data::{self, Dataset};

use crate::failure::Failure;
use crate::output::{self, count};

/// Loads a data set in which there is something to do.
pub(crate) fn load(what: &str) -> Result<Dataset, Failure> {
    let data = data::load(what)?;
    for (split, name) in [(&data.train, "to train on"), (&data.test, "to test on")] {
        if split.is_empty() {
            return Err(Failure::Mend(format!(
                "{what}: the data set has no images {name}\n  mend it: give a data set with both"
            )));
        }
    }
    Ok(data)
}

/// Brings all images to height and width of `input`, with a word about it.
pub(crate) fn resized(data: Dataset, network: &str, [_, height, width]: [usize; 3]) -> Dataset {
    if (data.height, data.width) != (height, width) {
        let from = sizes(&data);
        output::note(format_args!(
            "note      the images of {} are resized from {from} to {}x{height}x{width}, which {network} takes",
            data.name, data.channels
        ));
    }
    data.resized(height, width)
}

/// `3x32x32`.
pub(crate) fn sizes(data: &Dataset) -> String {
    format!("{}x{}x{}", data.channels, data.height, data.width)
}

/// `shapes: 10,000 images to train on, 2,000 to test on, 3x32x32, 10 classes`; a line that fits most terminals.
pub(crate) fn describe(data: &Dataset) -> String {
    format!(
        "{}: {} images to train on, {} to test on, {}, {} classes",
        data.name,
        count(data.train.len()),
        count(data.test.len()),
        sizes(data),
        data.classes.len()
    )
}

/// The first few of many names.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let more = if names.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(SHOWN)].join(", "))
}
