//! What the layouts of CIFAR-10's and CIFAR-100's home page share: files to learn from, one to be tested on, and a file
//! with the names of the classes.
//!
//! *Invariant:* all files are there, or it is an error: four fifths of a data set train a worse network without a word.
//! Of CIFAR-100's two labels the fine one counts.
use crate::error::{DataError, Fault, Kind, list};
use crate::files::Files;
use crate::{Dataset, Split, names};

/// Channels, height and width of every picture, and the bytes of one.
pub(crate) const SIZE: [usize; 3] = [3, 32, 32];
pub(crate) const PICTURE: usize = 3 * 32 * 32;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Cifar10,
    Cifar100,
}

/// How a layout differs from the others.
pub(crate) struct Layout {
    /// The files to learn from, and the one to be tested on.
    pub(crate) train: &'static [&'static str],
    pub(crate) test: &'static str,
    /// The file with the names of the classes, and the names where it is absent.
    pub(crate) names: &'static str,
    pub(crate) known: &'static [&'static str],
    pub(crate) read_names: fn(&[u8]) -> Result<Vec<String>, Fault>,
    /// Appends pictures and labels, each naming one of so many classes.
    pub(crate) read_batch: fn(&[u8], usize, &mut Batch) -> Result<(), Fault>,
}

/// Pictures and labels of a split on their way.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) images: Vec<u8>,
    pub(crate) labels: Vec<u32>,
}

impl From<Batch> for Split {
    fn from(Batch { images, labels }: Batch) -> Self {
        Self { images: images.into(), labels }
    }
}

pub(crate) fn load(files: &Files, layout: &Layout) -> Result<Dataset, DataError> {
    let classes = class_names(files, layout)?;
    let (mut train, mut test) = (Batch::default(), Batch::default());
    for name in layout.train {
        batch(files, name, layout, classes.len(), &mut train)?;
    }
    batch(files, layout.test, layout, classes.len(), &mut test)?;
    let [channels, height, width] = SIZE;
    let name = crate::name_of(files.root());
    Ok(Dataset { name, classes, channels, height, width, train: train.into(), test: test.into() })
}

/// The names in the file, or those that everybody knows where it is absent.
fn class_names(files: &Files, layout: &Layout) -> Result<Vec<String>, DataError> {
    if !files.has(layout.names) {
        return Ok(names::owned(layout.known));
    }
    (layout.read_names)(&files.read(layout.names)?).map_err(|fault| fault.in_file(&files.path(layout.names)))
}

fn batch(files: &Files, name: &str, layout: &Layout, classes: usize, batch: &mut Batch) -> Result<(), DataError> {
    if !files.has(name) {
        let fix = "unpack the archive again, all of its files";
        let fault = Fault::new(Kind::Missing, format!("the batch `{name}`"), list(&files.top()), fix);
        return Err(fault.in_file(files.root()));
    }
    let before = batch.labels.len();
    let in_file = |fault: Fault| fault.in_file(&files.path(name));
    (layout.read_batch)(&files.read(name)?, classes, batch).map_err(in_file)?;
    if batch.labels.len() == before {
        return Err(in_file(Fault::damaged("a batch of pictures", "none")));
    }
    Ok(())
}
