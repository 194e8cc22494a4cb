//! Writing files so that a kill, a power cut or a full disk leaves the old one or the new one, never a torn one.
//!
//! *Invariant:* the bytes are on disk before they take the name, and the name is on disk before anyone relies on it. Until
//! then they stand under a name that [`remove_leftovers`] recognises, should the writer have been killed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// How the names of files that are being written begin and end.
const UNFINISHED: (&str, &str) = (".lenslet-", ".tmp");

/// Writes a file; an earlier one at `path` is replaced in one go.
///
/// # Errors
/// If the folder cannot be written to or is full; an earlier file is then still there, and nothing else.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    let mut file = beside(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(folder)
}

/// The folder that a file lies in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Brings the names in a folder to disk. Only Unix has a way to ask for it.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes what a writer that was killed has left unfinished; nobody else may be writing into the folder.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_unfinished(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1)
}

/// A new file in `folder`, which others may read if the user's `umask` lets them: temporary files are private otherwise.
fn beside(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED.0).suffix(UNFINISHED.1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().expect("there is room");
        let path = folder.path().join("file");
        write(&path, b"old").expect("there is room");
        write(&path, b"new").expect("there is room");
        assert_eq!(fs::read(&path).expect("it is there"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    }

    #[test]
    fn leftovers_of_a_killed_writer_are_removed_and_nothing_else_is() {
        let folder = tempfile::tempdir().expect("there is room");
        let (_, left) = beside(folder.path()).and_then(|file| Ok(file.keep()?)).expect("there is room");
        for other in ["best.safetensors", ".lenslet-notes", "notes.tmp"] {
            fs::write(folder.path().join(other), "").expect("there is room");
        }
        remove_leftovers(folder.path()).expect("they can be removed");
        assert!(!left.exists());
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 3);
    }
}
