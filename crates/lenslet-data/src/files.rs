//! A named set of files: what lies below a folder on disk, or what an archive or a test holds in memory. Every reader of a
//! format works on it, so that packed and unpacked data go the same way.
//!
//! *Invariant:* names are relative to the set's root, written with `/`, sorted, and never lead out of it. Hidden files and
//! what file managers leave behind are not there. Nothing is ever written.
use crate::error::{DataError, Fault, Kind};
use crate::whole;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher};
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

/// Folders in one another that are looked into.
const MAX_DEPTH: usize = 10;
/// More than any data set has; who gives the root of a disk is told so at last.
const MAX_FILES: usize = 5_000_000;

/// Files in memory, by name.
pub(crate) type Members = BTreeMap<String, Vec<u8>>;

/// A set of files below one root.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The root, as messages call it: a folder, or the path of an archive and then those of its members.
    root: PathBuf,
    names: Vec<String>,
    folders: Vec<String>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Disk,
    /// The members whose names begin with the text.
    Memory(Arc<Members>, String),
}

impl Files {
    /// What lies below a folder on disk. Links are followed, but not in circles.
    pub(crate) fn on_disk(root: &Path) -> Result<Self, DataError> {
        let mut files = Self { root: root.into(), names: Vec::new(), folders: Vec::new(), source: Source::Disk };
        files.walk("", &mut Vec::new())?;
        files.names.sort_unstable();
        files.folders.sort_unstable();
        Ok(files)
    }

    /// Some files of a folder on disk, whose names are known.
    pub(crate) fn some_on_disk(root: &Path, names: Vec<String>) -> Self {
        Self { root: root.into(), names, folders: Vec::new(), source: Source::Disk }
    }

    /// Files in memory; messages name them as if they lay in the folder `root`. `folders` may be empty ones.
    pub(crate) fn in_memory(root: &Path, members: Members, folders: BTreeSet<String>) -> Self {
        let names: Vec<String> = members.keys().filter(|name| !name.split('/').any(hidden)).cloned().collect();
        let parents = names.iter().filter_map(|name| Some(name.rsplit_once('/')?.0));
        let ancestors = parents.flat_map(|folder| {
            let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
            ends.map(|end| folder[..end].to_string())
        });
        let folders: BTreeSet<_> = ancestors.chain(folders).collect();
        let source = Source::Memory(Arc::new(members), String::new());
        Self { root: root.into(), names, folders: folders.into_iter().collect(), source }
    }

    /// The set of those below one of the folders; the whole set for "".
    pub(crate) fn below(&self, folder: &str) -> Self {
        if folder.is_empty() {
            return self.clone();
        }
        let prefix = format!("{folder}/");
        let strip =
            |names: &[String]| names.iter().filter_map(|name| Some(name.strip_prefix(&prefix)?.into())).collect();
        let source = match &self.source {
            Source::Disk => Source::Disk,
            Source::Memory(members, before) => Source::Memory(members.clone(), format!("{before}{prefix}")),
        };
        Self { root: self.root.join(folder), names: strip(&self.names), folders: strip(&self.folders), source }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// All names.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// All folders, empty ones included.
    pub(crate) fn folders(&self) -> &[String] {
        &self.folders
    }

    /// The names of files and folders that lie at the root itself.
    pub(crate) fn top(&self) -> Vec<&str> {
        let mut top: Vec<&str> =
            self.names.iter().chain(&self.folders).map(String::as_str).filter(|name| !name.contains('/')).collect();
        top.sort_unstable();
        top
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|other| other.as_str().cmp(name)).is_ok()
    }

    /// Where a file or folder lies; the root for "".
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }

    /// The bytes of a file.
    pub(crate) fn read(&self, name: &str) -> Result<Cow<'_, [u8]>, DataError> {
        self.read_with(name, whole::read)
    }

    /// The bytes of a picture's file.
    pub(crate) fn read_picture(&self, name: &str) -> Result<Cow<'_, [u8]>, DataError> {
        self.read_with(name, whole::read_picture)
    }

    fn read_with(
        &self,
        name: &str,
        from_disk: fn(&Path) -> Result<Vec<u8>, DataError>,
    ) -> Result<Cow<'_, [u8]>, DataError> {
        let path = self.path(name);
        match &self.source {
            Source::Disk => from_disk(&path).map(Cow::from),
            Source::Memory(members, before) => members
                .get(&format!("{before}{name}"))
                .map(|bytes| Cow::from(bytes.as_slice()))
                .ok_or_else(|| DataError::io(&path, std::io::ErrorKind::NotFound.into())),
        }
    }

    /// A number that changes when a file comes, goes or is written again: from names, lengths and times.
    pub(crate) fn stamp(&self) -> u64 {
        let facts = |name: &String| {
            let metadata = self.path(name).metadata();
            metadata.map(|metadata: Metadata| (metadata.len(), metadata.modified().ok())).ok()
        };
        let facts: Vec<_> = self.names.par_iter().map(facts).collect();
        let mut hasher = DefaultHasher::new();
        (&self.names, &self.folders, facts).hash(&mut hasher);
        hasher.finish()
    }

    /// Takes up what lies in `folder`, of which `above` are the folders on the way, as the system calls them.
    fn walk(&mut self, folder: &str, above: &mut Vec<PathBuf>) -> Result<(), DataError> {
        let path = self.root.join(folder);
        let real = path.canonicalize().map_err(|error| DataError::io(&path, error))?;
        if above.len() == MAX_DEPTH || above.contains(&real) {
            return Ok(());
        }
        above.push(real);
        if self.names.len() > MAX_FILES {
            let expected = format!("a folder with at most {MAX_FILES} files in all its folders");
            return Err(Fault::new(Kind::Unrecognised, expected, "more", "give the folder of the data set itself")
                .in_file(&self.root));
        }
        for entry in path.read_dir().map_err(|error| DataError::io(&path, error))? {
            let entry = entry.map_err(|error| DataError::io(&path, error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if hidden(&name) {
                continue;
            }
            let name = if folder.is_empty() { name.into_owned() } else { format!("{folder}/{name}") };
            // Of a link, what it leads to.
            let kind = entry.file_type().ok().filter(|kind| !kind.is_symlink());
            if kind.map_or_else(|| entry.path().is_dir(), |kind| kind.is_dir()) {
                self.walk(&name, above)?;
                self.folders.push(name);
            } else {
                self.names.push(name);
            }
        }
        above.pop();
        Ok(())
    }
}

/// Whether a file or folder is none of the user's making: hidden, or left behind by a file manager or an archiver.
pub(crate) fn hidden(name: &str) -> bool {
    name.starts_with('.') || matches!(name, "__MACOSX" | "Thumbs.db" | "desktop.ini")
}

/// The part of a name after the last `/`.
pub(crate) fn base(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, base)| base)
}

/// The folder that a name lies in, "" for the root.
pub(crate) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_below_a_folder_has_shorter_names() {
        let members = ["a/b/c", "a/b/.hidden", "a/d", "ab/e", ".git/x"].map(|name| (name.to_string(), name.into()));
        let files = Files::in_memory(Path::new("root"), members.into(), ["a/empty".to_string()].into());
        assert_eq!(files.names(), ["a/b/c", "a/d", "ab/e"]);
        assert_eq!(files.folders(), ["a", "a/b", "a/empty", "ab"]);
        assert_eq!(files.top(), ["a", "ab"]);
        let below = files.below("a").below("b");
        assert_eq!((below.names(), &*below.read("c").unwrap()), (&["c".to_string()][..], &b"a/b/c"[..]));
        assert_eq!(below.path("c"), Path::new("root/a/b/c"));
        assert!(below.has("c") && !below.has("d") && below.read("d").is_err());
    }
}
