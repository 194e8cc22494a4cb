//! Loading a data set: find it, take it from the cache or read it, and bring it to the size that is asked for.
//!
//! *Invariant:* the same files and options give the same data set, notes and skipped files, from the cache or not.
use crate::cache::Cache;
use crate::error::{DataError, Fault, Kind, list};
use crate::find::{self, Format, Found};
use crate::store::check_room;
use crate::{Dataset, Filter};
use crate::{cifar_binary, cifar_python, folder, idx, npz, parquet, shapes};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Pictures are not enlarged beyond this.
const MAX_PIXELS: usize = 1 << 26;

/// How a data set is to be loaded.
///
/// ```
/// use lenslet_data::{Options, load_with};
///
/// let small = Options { channels: Some(1), size: Some((8, 8)), ..Options::default() };
/// let loaded = load_with("shapes", &small)?;
/// assert_eq!(loaded.data.train.image(0).len(), 1 * 8 * 8);
/// # Ok::<(), lenslet_data::DataError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// 1 to have grey pictures, 3 for red, green and blue, converted as Pillow does; nothing for what the data are.
    pub channels: Option<usize>,
    /// Height and width to bring all pictures to; nothing for those of the data, which must then be the same for all.
    pub size: Option<(usize, usize)>,
    /// How they are resized.
    pub filter: Filter,
    /// Leave out the pictures that cannot be read, where that is an error otherwise.
    pub skip_bad: bool,
    /// Where decoded data sets are kept, if anywhere; [`cache_folder`](crate::cache_folder) is the usual place.
    pub cache: Option<PathBuf>,
    /// How many bytes of a split's decoded pictures are held in memory; nothing for half of what is free. What is more goes
    /// to a file and is mapped. The data set is the same.
    pub memory: Option<usize>,
}

/// A data set, and what there is to say about how it came about.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The data set.
    pub data: Dataset,
    /// Why pictures were left out, a sentence each. Only with [`Options::skip_bad`].
    pub skipped: Vec<String>,
    /// What people should know: which files were taken, how the pictures were divided. A sentence each.
    pub notes: Vec<String>,
}

/// What readers have to say beside the data.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) skipped: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Leaves out what `error` speaks of, if that is allowed.
    pub(crate) fn skip(&mut self, options: &Options, error: DataError) -> Result<(), DataError> {
        if !options.skip_bad {
            return Err(error);
        }
        self.skipped.push(error.to_string());
        Ok(())
    }
}

/// Loads a data set as [`load_with`] does without options.
///
/// ```
/// let shapes = lenslet_data::load("shapes")?;
/// assert_eq!((shapes.channels, shapes.height, shapes.width), (3, 32, 32));
/// assert_eq!((shapes.train.len(), shapes.test.len()), (10_000, 2_000));
/// # Ok::<(), lenslet_data::DataError>(())
/// ```
///
/// # Errors
/// As [`load_with`].
pub fn load(what: &str) -> Result<Dataset, DataError> {
    Ok(load_with(what, &Options::default())?.data)
}

/// Loads a data set: `shapes`, the embedded one, or what a path leads to (a folder named `shapes` is `./shapes`).
///
/// The path is that of a folder, an archive (tar, tar.gz, zip) or one of the files themselves. Read are CIFAR-10 and CIFAR-100
/// as Python or binary batches; the idx files of MNIST and its kin; Parquet shards as Hugging Face writes them; `.npz`
/// with pictures and labels; and folders of pictures by class. The folder may also be some steps above.
///
/// # Errors
/// If there is no such data set, several, or its files are not what they should be.
pub fn load_with(what: &str, options: &Options) -> Result<Loaded, DataError> {
    let path = Path::new(what);
    check(path, options)?;
    let mut report = Report::default();
    if what == "shapes" {
        let data = fit(shapes::dataset(), options, &mut report).map_err(|fault| fault.in_file(path))?;
        return Ok(loaded(data, report));
    }
    let listing = find::listing(path)?;
    let cache = Cache::of(path, &listing, options);
    if let Some((data, report)) = cache.as_ref().and_then(Cache::read) {
        return Ok(loaded(data, report));
    }
    let found = find::find(path, &listing, &mut report)?;
    let data = read(&found, options, &mut report)?;
    two_classes(&data).map_err(|fault| fault.in_file(path))?;
    let data = fit(data, options, &mut report).map_err(|fault| fault.in_file(path))?;
    if let Some(cache) = cache.filter(|_| found.takes_work()) {
        match cache.write(&data, &report) {
            Err(error) => report.note(error),
            // What memory did not hold is on the disk twice now; the cache's file is the one to stay.
            Ok(()) if data.train.images.is_mapped() || data.test.images.is_mapped() => {
                let (data, report) = cache.read().unwrap_or((data, report));
                return Ok(loaded(data, report));
            }
            Ok(()) => {}
        }
    }
    Ok(loaded(data, report))
}

/// Reads what was found, whatever its format.
pub(crate) fn read(found: &Found, options: &Options, report: &mut Report) -> Result<Dataset, DataError> {
    let files = &found.files;
    match &found.format {
        Format::Parquet => parquet::load(files, options, report),
        Format::CifarPython(set) => cifar_python::load(files, *set),
        Format::CifarBinary(set) => cifar_binary::load(files, *set),
        Format::Idx(prefix) => idx::load(files, prefix, report),
        Format::Npz(name) => npz::load(files, name, report),
        Format::Folder => folder::load(files, options, report),
    }
}

/// Refuses data from which nothing can be learnt.
fn two_classes(data: &Dataset) -> Result<(), Fault> {
    if data.classes.len() > 1 {
        return Ok(());
    }
    let fix = "give the pictures of each class a label of its own";
    Err(Fault::new(Kind::Missing, "labels of at least two classes", list(&data.classes), fix))
}

/// Brings a data set to the channels and the size that are asked for. Formats whose pictures are files of their own have
/// done so picture by picture.
fn fit(data: Dataset, options: &Options, report: &mut Report) -> Result<Dataset, Fault> {
    let from = [data.channels, data.height, data.width];
    let (height, width) = options.size.unwrap_or((data.height, data.width));
    let to = [options.channels.unwrap_or(data.channels), height, width];
    if from == to {
        return Ok(data);
    }
    let bytes = to.iter().fold(data.train.len() + data.test.len(), |product, &side| product.saturating_mul(side));
    check_room(bytes)?;
    let [from, sizes] = [from, to].map(|[c, h, w]| format!("{c}x{h}x{w}"));
    report.note(format!("the pictures are {from} and were brought to {sizes}"));
    Ok(data.with_channels(to[0]).resized(height, width, options.filter))
}

/// Refuses sizes that no picture has.
fn check(path: &Path, options: &Options) -> Result<(), DataError> {
    let channels = options.channels.is_none_or(|channels| matches!(channels, 1 | 3));
    let pixels = options.size.is_none_or(|(height, width)| {
        height.checked_mul(width).is_some_and(|pixels| (1..=MAX_PIXELS).contains(&pixels))
    });
    if channels && pixels {
        return Ok(());
    }
    let text = |number: Option<usize>| number.map_or("any".into(), |number| number.to_string());
    let (height, width) = options.size.unzip();
    let found = format!("{}x{}x{}", text(options.channels), text(height), text(width));
    let expected = format!("pictures of 1 or 3 channels and 1 to {MAX_PIXELS} pixels");
    Err(Fault::new(Kind::Mismatch, expected, found, "ask for another size, such as --input 3x64x64").in_file(path))
}

fn loaded(data: Dataset, Report { skipped, notes }: Report) -> Loaded {
    Loaded { data, skipped, notes }
}
