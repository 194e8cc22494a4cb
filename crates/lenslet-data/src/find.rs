//! Which data set a path leads to: its format, and the folder or archive that holds it.
//!
//! *Invariant:* a path leads to one data set, or it is an error that names them all. The same data set in several forms
//! (unpacked and packed, Python and binary batches) counts once: the unpacked form is taken, and a note says so.
use crate::cifar::Set;
use crate::error::{DataError, Fault, Kind, list};
use crate::files::{Files, base, parent};
use crate::load::Report;
use crate::{archive, folder, idx, split};
use std::collections::BTreeMap;
use std::path::Path;

/// Steps below the given folder at which data are looked for: torchvision keeps MNIST in `MNIST/raw`.
const MAX_STEPS: usize = 3;

/// A format, and which of several data sets in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Parquet,
    CifarPython(Set),
    CifarBinary(Set),
    /// What stands before `train-images-idx3-ubyte`.
    Idx(String),
    /// The name of the file.
    Npz(String),
    Folder,
}

/// A data set on disk or in an archive.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) format: Format,
    pub(crate) files: Files,
    packed: bool,
}

impl Found {
    /// Files that are not out of an archive.
    pub(crate) fn new(format: Format, files: Files) -> Self {
        Self { format, files, packed: false }
    }

    /// Whether reading is so much work that its result is worth keeping.
    pub(crate) fn takes_work(&self) -> bool {
        match &self.format {
            Format::CifarPython(_) | Format::CifarBinary(_) => self.packed,
            Format::Idx(_) => self.packed || self.files.names().iter().any(|name| name.ends_with(".gz")),
            Format::Parquet | Format::Npz(_) | Format::Folder => true,
        }
    }
}

/// The files that a path stands for: those below a folder, or the file itself (of an idx file, also those beside it that
/// belong to the same data set).
pub(crate) fn listing(path: &Path) -> Result<Files, DataError> {
    if !path.exists() {
        return Err(missing(path));
    }
    if path.is_dir() {
        return Files::on_disk(path);
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = match idx::Name::parse(&name) {
        Some(file) => {
            let beside = crate::names_in(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
            let mapping = idx::mapping(file.prefix);
            let belongs = |other: &String| {
                *other == mapping || idx::Name::parse(other).is_some_and(|other| other.prefix == file.prefix)
            };
            beside.into_iter().filter(belongs).collect()
        }
        None => vec![name],
    };
    Ok(Files::some_on_disk(folder, names))
}

/// The data set among the files that `path` stands for.
pub(crate) fn find(path: &Path, listing: &Files, report: &mut Report) -> Result<Found, DataError> {
    if path.is_dir() {
        return in_files(listing, true, false, report);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match recognise(&[&name]).into_iter().next() {
        // One batch of several is no data set.
        None | Some(Format::CifarPython(_) | Format::CifarBinary(_)) => {}
        Some(format) => return Ok(Found::new(format, listing.clone())),
    }
    if archive::is_archive(&name) {
        return in_files(&archive::open(path)?, false, true, report);
    }
    let fix = "give the folder that it lies in, unpacked if it is another kind of archive";
    Err(Fault::new(
        Kind::Unrecognised,
        "a folder with a data set, an archive (tar, tar.gz, zip) or .npz",
        "a file",
        fix,
    )
    .in_file(path))
}

/// A data set's format and the folder that it lies in.
struct Candidate {
    format: Format,
    folder: String,
}

impl Candidate {
    /// What is the same for several forms of one data set.
    fn set(&self) -> Option<Set> {
        if let Format::CifarPython(set) | Format::CifarBinary(set) = self.format { Some(set) } else { None }
    }

    /// What to give in order to have this one: a folder, or a file where the folder holds several.
    fn path(&self, files: &Files) -> String {
        let folder = files.below(&self.folder);
        let file = match &self.format {
            Format::Npz(name) => Some(name.as_str()),
            Format::Idx(prefix) => folder.names().iter().map(String::as_str).find(|name| {
                parent(name).is_empty() && idx::Name::parse(name).is_some_and(|name| name.prefix == prefix)
            }),
            _ => None,
        };
        file.map_or(folder.root().to_path_buf(), |file| folder.path(file)).display().to_string()
    }
}

/// The data set among these files. Archives among them are looked into if `archives` says so and nothing else is there.
pub(crate) fn in_files(files: &Files, archives: bool, packed: bool, report: &mut Report) -> Result<Found, DataError> {
    let mut found = candidates(files);
    if let Some(chosen) = choose(files, &mut found, report)? {
        let files = files.below(&chosen.folder);
        return Ok(Found { format: chosen.format, files, packed });
    }
    if archives && let Some(archive) = choose_archive(files, report)? {
        return in_files(&archive::open(&files.path(&archive))?, false, true, report);
    }
    match folder::root(files) {
        Some(root) => Ok(Found { format: Format::Folder, files: files.below(root), packed }),
        None => Err(unknown(files)),
    }
}

/// The formats of the files that lie beside each other under these names.
fn recognise(names: &[&str]) -> Vec<Format> {
    let has = |wanted: &str| names.contains(&wanted);
    let any = |test: fn(&str) -> bool| names.iter().any(|name| test(name));
    let mut formats = Vec::new();
    if any(|name| name.ends_with(".parquet")) {
        formats.push(Format::Parquet);
    }
    if any(|name| !name.contains('.') && name.starts_with("data_batch_")) || has("test_batch") {
        formats.push(Format::CifarPython(Set::Cifar10));
    }
    if any(|name| name.starts_with("data_batch_") && name.ends_with(".bin")) || has("test_batch.bin") {
        formats.push(Format::CifarBinary(Set::Cifar10));
    }
    if ["train", "test", "meta"].iter().filter(|name| has(name)).count() > 1 {
        formats.push(Format::CifarPython(Set::Cifar100));
    }
    if ["train.bin", "test.bin", "fine_label_names.txt"].iter().filter(|name| has(name)).count() > 1 {
        formats.push(Format::CifarBinary(Set::Cifar100));
    }
    let mut prefixes: Vec<_> = names.iter().filter_map(|name| Some(idx::Name::parse(name)?.prefix)).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    formats.extend(prefixes.into_iter().map(|prefix| Format::Idx(prefix.into())));
    let npz = names.iter().filter(|name| name.ends_with(".npz"));
    formats.extend(npz.map(|name| Format::Npz((*name).into())));
    formats
}

/// All data sets of known formats, those at the root alone if there are any.
fn candidates(files: &Files) -> Vec<Candidate> {
    let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in files.names() {
        folders.entry(parent(name)).or_default().push(base(name));
    }
    let mut found: Vec<Candidate> = Vec::new();
    for (mut folder, names) in folders {
        for format in recognise(&names) {
            // Shards may lie in a folder for each split: `default/train/0000.parquet`.
            if format == Format::Parquet && split::Part::of(base(folder)).is_some() {
                folder = parent(folder);
            }
            let steps = if folder.is_empty() { 0 } else { 1 + folder.matches('/').count() };
            let known = found.iter().any(|other| other.folder == folder && other.format == format);
            if steps <= MAX_STEPS && !known {
                found.push(Candidate { format, folder: folder.into() });
            }
        }
    }
    if found.iter().any(|candidate| candidate.folder.is_empty()) {
        found.retain(|candidate| candidate.folder.is_empty());
    }
    found
}

/// The only candidate, or the first if all are forms of the same data set.
fn choose(files: &Files, found: &mut Vec<Candidate>, report: &mut Report) -> Result<Option<Candidate>, DataError> {
    let paths: Vec<_> = found.iter().map(|candidate| candidate.path(files)).collect();
    match &found[..] {
        [] | [_] => {}
        [first, others @ ..] if first.set().is_some() && others.iter().all(|other| other.set() == first.set()) => {
            report.note(taken(&paths));
        }
        _ => {
            let text = format!("{} of them ({})", paths.len(), list(&paths));
            let fix = format!("give one of them, such as {}", paths[0]);
            return Err(Fault::new(Kind::Unrecognised, "one data set", text, fix).in_file(files.root()));
        }
    }
    Ok((!found.is_empty()).then(|| found.remove(0)))
}

fn taken(paths: &[String]) -> String {
    format!("the same data set is there in {} forms; taken was {}, not {}", paths.len(), paths[0], list(&paths[1..]))
}

/// The only archive at the root, or the first of those that hold the same data set.
fn choose_archive(files: &Files, report: &mut Report) -> Result<Option<String>, DataError> {
    // As their authors call them: CIFAR-10 and CIFAR-100 come in several versions each.
    let set = |name: &str| ["cifar-10-", "cifar-100-"].into_iter().find(|set| name.starts_with(set));
    let top = files.names().iter().filter(|name| parent(name).is_empty());
    let mut archives: Vec<_> = top.filter(|name| archive::is_archive(name)).cloned().collect();
    // The Python version comes with the names of the classes.
    archives.sort_by_key(|name| !name.contains("python"));
    let paths: Vec<_> = archives.iter().map(|name| files.path(name).display().to_string()).collect();
    match &archives[..] {
        [] => return Ok(None),
        [_] => {}
        [first, others @ ..] if set(first).is_some() && others.iter().all(|other| set(other) == set(first)) => {
            report.note(taken(&paths));
        }
        _ => {
            let text = format!("{} archives ({})", paths.len(), list(&paths));
            let fix = format!("give one of them, such as {}", paths[0]);
            return Err(Fault::new(Kind::Unrecognised, "one data set", text, fix).in_file(files.root()));
        }
    }
    Ok(Some(archives.remove(0)))
}

/// The error for a path that does not exist: how far the path leads, and what is there instead.
fn missing(path: &Path) -> DataError {
    let near = path.ancestors().skip(1).find(|near| near.is_dir()).unwrap_or(Path::new(""));
    let near = if near.as_os_str().is_empty() { Path::new(".") } else { near };
    let names = crate::names_in(near).unwrap_or_default();
    let found = format!("nothing ({} exists and holds {})", near.display(), list(&names));
    let fix = "give the path of a folder that exists, or `shapes` for the embedded set";
    Fault::new(Kind::Missing, "a folder with a data set", found, fix).in_file(path)
}

/// The error for files of which none belongs to a format that we know.
fn unknown(files: &Files) -> DataError {
    let pictures: Vec<_> = files.top().into_iter().filter(|name| folder::is_picture(name)).collect();
    if !pictures.is_empty() {
        let found = format!("pictures without one: {}", list(&pictures));
        let fix = "move the pictures of each class into a folder that bears its name";
        return Fault::new(Kind::Missing, "a folder for each class", found, fix).in_file(files.root());
    }
    Fault::new(
        Kind::Unrecognised,
        "a folder of pictures for each class, Parquet shards (train-*.parquet, test-*.parquet), CIFAR-10 or CIFAR-100 \
         batches, idx files (train-images-idx3-ubyte and so on), an .npz file, or an archive (tar, tar.gz, zip) of one of these",
        list(&files.top()),
        "give a folder that holds one of these, or `shapes` for the embedded set",
    )
    .in_file(files.root())
}
