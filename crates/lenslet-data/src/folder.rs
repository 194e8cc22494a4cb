//! Folders of pictures by class: `train/CLASS/…` with `test/CLASS/…` (or `val`, `valid`, `validation`), or `CLASS/…` alone,
//! which `split` divides.
//!
//! *Invariant:* classes are numbered in the order of their names, character by character, as torchvision's `ImageFolder`
//! numbers them, and pictures follow class by class in the order of their names. Every file in a class's folder is meant to
//! be a picture; hidden files are not looked at.
use crate::error::{DataError, Fault, Kind, grouped, list};
use crate::files::{Files, base, parent};
use crate::load::{Options, Report};
use crate::pictures::{Pictures, note_resized};
use crate::split::{self, Part};
use crate::{Dataset, Split, image};

/// Whether a file's name says that it is a picture.
pub(crate) fn is_picture(name: &str) -> bool {
    image::is_picture(name.as_ref())
}

/// The folder that holds `train` and `test`, or the classes; nothing if there are no pictures in folders.
pub(crate) fn root(files: &Files) -> Option<&str> {
    files.names().iter().find(|name| name.contains('/') && is_picture(name))?;
    // Archives often have one folder around all others.
    let mut root = "";
    loop {
        let inside: Vec<_> = files.folders().iter().filter(|folder| parent(folder) == root).collect();
        let [only] = inside[..] else { return Some(root) };
        let has_folders = files.folders().iter().any(|folder| parent(folder) == only);
        if Part::of(base(only)).is_some() || !has_folders {
            return Some(root);
        }
        root = only;
    }
}

/// A picture's file and its class.
struct Labelled<'f> {
    name: &'f str,
    label: u32,
}

pub(crate) fn load(files: &Files, options: &Options, report: &mut Report) -> Result<Dataset, DataError> {
    let [train, test] = parts(files, report);
    let (classes, mut pictures) = labelled(files, train.unwrap_or(""))?;
    let tested = match test {
        Some(test) => {
            let (others, pictures) = labelled(files, test)?;
            same_classes(files, train.unwrap_or(""), &classes, test, &others)?;
            pictures
        }
        None => {
            report.note(split::NOTE);
            draw(files, &classes, &mut pictures)?
        }
    };
    let mut bad: Vec<_> =
        [Some(train.unwrap_or("")), test].into_iter().flatten().flat_map(|p| empty(files, p)).collect();
    let count = bad.len() + pictures.len() + tested.len();
    let here = |fault: Fault| fault.in_file(files.root());
    let mut train = Pictures::new(options, None);
    let train_labels = read(files, &pictures, &mut train, &mut bad)?;
    // Asked for memory now, it gets a share of what the first has left.
    let mut test = Pictures::new(options, train.size);
    let test_labels = read(files, &tested, &mut test, &mut bad)?;
    bad.sort_by_key(|(name, _)| *name);
    refuse(files, options, report, &bad, count)?;
    if test.size != train.size {
        train.become_coloured().map_err(here)?;
    }
    for (labels, part) in [(&train_labels, "to learn from"), (&test_labels, "to be tested on")] {
        all_classes(files, &classes, labels, part)?;
    }
    let size = train.size.unwrap_or_default();
    note_resized(report, train.resized + test.resized, train_labels.len() + test_labels.len(), size);
    let [channels, height, width] = size;
    Ok(Dataset {
        name: crate::name_of(files.root()),
        classes: classes.iter().map(ToString::to_string).collect(),
        channels,
        height,
        width,
        train: Split { images: train.pixels.into_pixels().map_err(here)?, labels: train_labels },
        test: Split { images: test.pixels.into_pixels().map_err(here)?, labels: test_labels },
    })
}

/// The folders to learn from and to be tested on, if there are such.
fn parts<'f>(files: &'f Files, report: &mut Report) -> [Option<&'f str>; 2] {
    let top: Vec<&str> = files.folders().iter().map(String::as_str).filter(|name| parent(name).is_empty()).collect();
    let of = |wanted| {
        let mut found = Part::NAMES.iter().filter(|(_, part)| *part == wanted);
        found.find_map(|(name, _)| top.iter().copied().find(|folder| folder.to_lowercase() == *name))
    };
    let train = of(Part::Train);
    let Some(train) = train else { return [None, None] };
    let test = of(Part::Test).or_else(|| of(Part::Validation));
    let unused: Vec<_> = top.into_iter().filter(|&folder| folder != train && Some(folder) != test).collect();
    if !unused.is_empty() {
        let used = test.map_or(train.to_string(), |test| format!("{train} and {test}"));
        report.note(format!("of the folder, {used} are used, not {}", list(&unused)));
    }
    [Some(train), test]
}

/// The classes below a folder and their pictures.
fn labelled<'f>(files: &'f Files, folder: &str) -> Result<(Vec<&'f str>, Vec<Labelled<'f>>), DataError> {
    let classes: Vec<&str> =
        files.folders().iter().map(String::as_str).filter(|name| parent(name) == folder).map(base).collect();
    if classes.len() < 2 {
        let fix = "put the pictures of each class into a folder that bears its name";
        let fault = Fault::new(Kind::Missing, "folders of at least two classes", list(&classes), fix);
        return Err(fault.in_file(&files.path(folder)));
    }
    let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut pictures = Vec::new();
    for name in files.names() {
        let Some((class, _)) = name.strip_prefix(&start).and_then(|inside| inside.split_once('/')) else { continue };
        if let Ok(label) = classes.binary_search(&class) {
            pictures.push(Labelled { name, label: label as u32 });
        }
    }
    // Characters such as '-' sort before the '/' that ends a folder's name.
    pictures.sort_by_key(|picture| (picture.label, picture.name));
    for (label, class) in (0..).zip(&classes) {
        if pictures.binary_search_by_key(&label, |picture| picture.label).is_err() {
            let fix = "put pictures there, or remove the folder";
            let path = files.path(&format!("{start}{class}"));
            return Err(Fault::new(Kind::Missing, "pictures of the class", "none", fix).in_file(&path));
        }
    }
    Ok((classes, pictures))
}

/// Folders in those of the classes that are called like pictures and hold none.
fn empty<'f>(files: &'f Files, part: &str) -> impl Iterator<Item = (&'f str, DataError)> {
    let start = if part.is_empty() { String::new() } else { format!("{part}/") };
    let inside =
        move |name: &&str| name.strip_prefix(&start).is_some_and(|rest| rest.contains('/')) && is_picture(name);
    let is_empty = |name: &&str| {
        let below = format!("{name}/");
        let first = files.names().partition_point(|file| *file < below);
        !files.names().get(first).is_some_and(|file| file.starts_with(&below))
    };
    files.folders().iter().map(String::as_str).filter(inside).filter(is_empty).map(|name| {
        let fault = Fault::new(Kind::Unsupported, "a picture's file", "a folder", "remove it, or put pictures into it");
        (name, fault.in_file(&files.path(name)))
    })
}

fn same_classes(files: &Files, train: &str, classes: &[&str], test: &str, others: &[&str]) -> Result<(), DataError> {
    let without = |these: &[&str], those: &[&str]| -> Vec<String> {
        these.iter().filter(|name| !those.contains(name)).map(ToString::to_string).collect()
    };
    let (missing, strange) = (without(classes, others), without(others, classes));
    if missing.is_empty() && strange.is_empty() {
        return Ok(());
    }
    let expected = format!("the same classes in `{train}` and `{test}`");
    let mut found = Vec::new();
    if !missing.is_empty() {
        found.push(format!("{} in `{train}` alone", list(&missing)));
    }
    if !strange.is_empty() {
        found.push(format!("{} in `{test}` alone", list(&strange)));
    }
    let fix = "give each class a folder of the same name in both";
    Err(Fault::new(Kind::Mismatch, expected, found.join(" and "), fix).in_file(files.root()))
}

/// Takes the pictures to be tested on out of those that are not divided.
fn draw<'f>(files: &Files, classes: &[&str], pictures: &mut Vec<Labelled<'f>>) -> Result<Vec<Labelled<'f>>, DataError> {
    let labels: Vec<_> = pictures.iter().map(|picture| picture.label).collect();
    let drawn = split::draw(&labels, classes.len())
        .map_err(|class| split::too_few(classes[class as usize]).in_file(files.root()))?;
    let mut drawn = drawn.into_iter();
    Ok(pictures.extract_if(.., |_| drawn.next() == Some(true)).collect())
}

/// Decodes the pictures; returns the labels of those that are some, and puts what is wrong with the others to `bad`.
fn read<'f>(
    files: &Files,
    pictures: &[Labelled<'f>],
    into: &mut Pictures,
    bad: &mut Vec<(&'f str, DataError)>,
) -> Result<Vec<u32>, DataError> {
    let at = |i: usize, fault: Fault| fault.in_file(&files.path(pictures[i].name));
    let decode = |i: usize| image::decode(&files.read_picture(pictures[i].name)?).map_err(|fault| at(i, fault));
    let mut kept = vec![true; pictures.len()];
    into.extend(pictures.len(), decode, at, |i, error| {
        kept[i] = false;
        // Pictures that do not fit together are no files to be left out.
        if error.fault.kind == Kind::Mismatch {
            return Err(error);
        }
        bad.push((pictures[i].name, error));
        Ok(())
    })?;
    Ok(pictures.iter().zip(kept).filter(|(_, kept)| *kept).map(|(picture, _)| picture.label).collect())
}

/// One error for all files that are no pictures, or a word about each that is left out.
fn refuse(
    files: &Files,
    options: &Options,
    report: &mut Report,
    bad: &[(&str, DataError)],
    count: usize,
) -> Result<(), DataError> {
    if options.skip_bad {
        report.skipped.extend(bad.iter().map(|(_, error)| error.to_string()));
        return Ok(());
    }
    if bad.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 3;
    let shown = bad
        .iter()
        .take(SHOWN)
        .map(|(name, error)| format!("{name}: {} where {} was expected", error.fault.found, error.fault.expected));
    let more = if bad.len() > SHOWN { format!("; and {} more", bad.len() - SHOWN) } else { String::new() };
    let shown = shown.collect::<Vec<_>>().join("; ");
    let [unread, count] = [bad.len(), count].map(grouped);
    let found = format!("{unread} of {count} that cannot be read ({shown}{more})");
    let fix = "mend or remove these files, or leave them out with --skip-bad";
    Err(Fault::new(Kind::Damaged, "a picture in every file of the classes' folders", found, fix).in_file(files.root()))
}

/// Refuses a split in which a class has no picture that can be read.
fn all_classes(files: &Files, classes: &[&str], labels: &[u32], part: &str) -> Result<(), DataError> {
    let missing = (0..).zip(classes).find(|(label, _)| labels.binary_search(label).is_err());
    let Some((_, class)) = missing else { return Ok(()) };
    let expected = format!("a picture of each class {part} that can be read");
    let fix = "mend its files, or remove the class";
    Err(Fault::new(Kind::Missing, expected, format!("none of `{class}`"), fix).in_file(files.root()))
}
