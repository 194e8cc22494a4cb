//! Which pictures are asked about: files as given, all pictures below a folder, the lines of standard input.
//!
//! A file that is given by name is a picture whatever it is called; below a folder the name decides.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use lenslet::data::is_picture;

use crate::output::count;

/// What was found.
#[derive(Default)]
pub(super) struct List {
    /// In order.
    pub(super) pictures: Vec<PathBuf>,
    /// What was left out, a sentence each.
    pub(super) notes: Vec<String>,
    /// Places that could not be looked into, or where there was nothing.
    pub(super) faults: Vec<String>,
}

/// All pictures that `given` names.
pub(super) fn pictures(given: &[PathBuf]) -> List {
    let mut list = List::default();
    for path in given {
        if path.as_os_str() == "-" {
            let before = list.pictures.len() + list.faults.len();
            list.read(std::io::stdin().lock());
            if list.pictures.len() + list.faults.len() == before {
                list.faults.push("standard input: expected a path of a picture a line, found nothing".into());
            }
        } else {
            list.add(path);
        }
    }
    list
}

impl List {
    /// A path a line.
    fn read(&mut self, lines: impl BufRead) {
        for line in lines.split(b'\n') {
            match line {
                Ok(line) if line.trim_ascii().is_empty() => {}
                Ok(line) => self.add(&to_path(line.strip_suffix(b"\r").unwrap_or(&line))),
                Err(error) => {
                    return self.faults.push(format!("standard input: the list of pictures cannot be read: {error}"));
                }
            }
        }
    }

    fn add(&mut self, path: &Path) {
        if !path.is_dir() {
            return self.pictures.push(path.to_owned());
        }
        let before = (self.pictures.len(), self.faults.len());
        let others = self.look_into(path);
        if others > 0 {
            let what =
                if others == 1 { "file is no picture by its name" } else { "files are no pictures by their names" };
            self.notes.push(format!("note: {}: {} {what}, and left out", path.display(), count(others)));
        }
        if before == (self.pictures.len(), self.faults.len()) {
            self.faults.push(format!(
                "{}: expected a folder with pictures, found none; give one that holds PNG, JPEG, WebP, GIF or BMP files",
                path.display()
            ));
        }
    }

    /// Adds all pictures below a folder, by name; gives the number of other files.
    fn look_into(&mut self, folder: &Path) -> usize {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let folder = folder.display();
                self.faults.push(format!("{folder}: the folder cannot be read: {error}; see that you may read it"));
                return 0;
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut others = 0;
        for path in paths {
            // A link to a folder may lead back to where it stands.
            if path.is_dir() && !path.is_symlink() {
                others += self.look_into(&path);
            } else if is_picture(&path) && !hidden(&path) {
                self.pictures.push(path);
            } else {
                others += 1;
            }
        }
        others
    }
}

/// Files that systems put beside pictures, such as `._dog.jpg`.
fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(unix)]
fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn to_path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
