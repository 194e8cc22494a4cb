//! Data sets on their way to a network: loaded, looked at, and brought to the size that the network takes.

use clap::Args;
use lenslet::data::{DataError, Dataset, Filter, Kind, Loaded, Options, cache_folder, load_with};

use crate::download;
use crate::failure::Failure;
use crate::network::Input;
use crate::output::{self, count};

/// How data are read, whatever they are read for.
#[derive(Args, Default)]
pub(crate) struct Reading {
    /// Leave out pictures that cannot be read; each is said.
    #[arg(long)]
    skip_bad: bool,
    /// Decode the data anew, and do not keep the result for the next time [default: kept in LENSLET_CACHE, or the user's
    /// cache folder].
    #[arg(long)]
    no_cache: bool,
}

/// What the data are wanted as: channels, height and width, unless those of the data will do, and how pictures get there.
#[derive(Default, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) channels: Option<usize>,
    pub(crate) size: Option<(usize, usize)>,
    pub(crate) filter: Filter,
}

impl From<Option<Input>> for Wanted {
    /// What `--input` asks for.
    fn from(input: Option<Input>) -> Self {
        match input {
            Some([channels, height, width]) => {
                Self { channels: Some(channels), size: Some((height, width)), ..Self::default() }
            }
            None => Self::default(),
        }
    }
}

/// Height and width of pictures that differ in size, where nothing says which to take.
const SIDE: usize = 64;

/// Pictures left out that are said one by one.
const SAID: usize = 10;

/// Loads a data set in which there is something to do, and says what people should know about how it came about.
pub(crate) fn load(what: &str, reading: &Reading, wanted: &Wanted) -> Result<Dataset, Failure> {
    let loaded = read(what, reading, wanted)?;
    say(&loaded);
    Ok(loaded.data)
}

/// The same, and first what it is.
pub(crate) fn introduce(what: &str, reading: &Reading, wanted: &Wanted) -> Result<Dataset, Failure> {
    let loaded = read(what, reading, wanted)?;
    output::note(format_args!("data      {}", describe(&loaded.data)));
    say(&loaded);
    Ok(loaded.data)
}

fn read(what: &str, reading: &Reading, wanted: &Wanted) -> Result<Loaded, Failure> {
    let Wanted { channels, size, filter } = *wanted;
    let cache = cache_folder().filter(|_| !reading.no_cache);
    let options = Options { channels, size, filter, skip_bad: reading.skip_bad, cache, memory: None };
    let path = download::path(what)?;
    let mut loaded = match load_with(&path, &options) {
        Err(error) if size.is_none() && error.fault.kind == Kind::Mismatch => some_size(&path, &options)?,
        loaded => loaded?,
    };
    let data = &mut loaded.data;
    // A set with a name is called by it, and not by the file that it came in.
    if path != what {
        data.name = what.to_owned();
    }
    for (split, name) in [(&data.train, "to train on"), (&data.test, "to test on")] {
        if split.is_empty() {
            return Err(Failure::Mend(format!(
                "{what}: the data set has no images {name}\n  mend it: give a data set with both"
            )));
        }
    }
    Ok(loaded)
}

/// Pictures of several sizes, brought to one, where none was asked for. What is wrong now is wrong whatever the size.
fn some_size(path: &str, options: &Options) -> Result<Loaded, DataError> {
    let mut loaded = load_with(path, &Options { size: Some((SIDE, SIDE)), ..options.clone() })?;
    loaded.notes.push("--input 3x96x96 brings them to another size".into());
    Ok(loaded)
}

fn say(loaded: &Loaded) {
    for note in &loaded.notes {
        output::note(format_args!("note      {note}"));
    }
    for skipped in loaded.skipped.iter().take(SAID) {
        output::note(format_args!("left out  {skipped}"));
    }
    if loaded.skipped.len() > SAID {
        output::note(format_args!("left out  {} more, {} in all", loaded.skipped.len() - SAID, loaded.skipped.len()));
    }
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
