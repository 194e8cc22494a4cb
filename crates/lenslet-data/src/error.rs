//! What can be wrong with data, said to the person who can mend it.
//!
//! *Invariant:* every error names the file, the place in it, what was expected, what was found, and the one change that
//! mends it. Parsers work on bytes and know no file, so they return a [`Fault`]; whoever opened the file adds its path.
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What kind of mistake an error reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file, a folder, a split or a column is not there.
    Missing,
    /// The operating system could not read the file, or write one of its own.
    Unreadable,
    /// Nothing that Lenslet knows, or several data sets where one is asked for.
    Unrecognised,
    /// The file contradicts its own format: cut off, or changed on its way.
    Damaged,
    /// Correct, but a variant that Lenslet does not read (or, in a pickle, refuses to).
    Unsupported,
    /// Readable, but it does not fit the rest: sizes, labels.
    Mismatch,
}

/// Where in a file the mistake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The file or folder as a whole.
    Whole,
    /// An offset in bytes.
    Byte(usize),
    /// A picture, counted from 0.
    Row(usize),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Byte(offset) => write!(f, ", byte {offset}"),
            Self::Row(row) => write!(f, ", row {row} (counted from 0)"),
        }
    }
}

/// A mistake at a place in data whose path the finder does not know.
#[derive(Debug)]
pub struct Fault {
    /// The kind of mistake.
    pub kind: Kind,
    /// Where in the file it is.
    pub place: Place,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
    /// The one change that mends it, as an imperative.
    pub fix: String,
}

impl Fault {
    pub(crate) fn new(
        kind: Kind,
        expected: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { kind, place: Place::Whole, expected: expected.into(), found: found.into(), fix: fix.into() }
    }

    /// The file contradicts its own format.
    pub(crate) fn damaged(expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(Kind::Damaged, expected, found, "the file is damaged or cut off: fetch or write it again")
    }

    /// Adds the place, unless a closer one is known.
    pub(crate) fn at(mut self, place: Place) -> Self {
        if self.place == Place::Whole {
            self.place = place;
        }
        self
    }

    pub(crate) fn in_file(self, path: &Path) -> DataError {
        DataError { path: path.to_path_buf(), fault: Box::new(self), source: None }
    }
}

/// Why data could not be loaded.
///
/// ```
/// let error = lenslet_data::load("no/such/folder").unwrap_err();
/// assert!(error.to_string().starts_with("no/such/folder: expected a folder with a data set, found nothing"));
/// ```
#[derive(Debug)]
pub struct DataError {
    /// The file or folder concerned.
    pub path: PathBuf,
    /// What is wrong, and where in it.
    pub fault: Box<Fault>,
    source: Option<io::Error>,
}

impl DataError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        // Where a name was no text, a sign stands for what could not be read, and leads nowhere.
        if error.kind() == io::ErrorKind::NotFound && path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER) {
            let fix = "rename it";
            let fault = Fault::new(Kind::Unreadable, "a name in UTF-8", "one with bytes that are none", fix);
            return Self { source: Some(error), ..fault.in_file(path) };
        }
        let fix = "see that the file exists and that you may read it";
        let fault = Fault::new(Kind::Unreadable, "a readable file", format!("the error \"{error}\""), fix);
        Self { source: Some(error), ..fault.in_file(path) }
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { place, expected, found, fix, .. } = &*self.fault;
        write!(f, "{}{place}: expected {expected}, found {found}; {fix}", self.path.display())
    }
}

impl std::error::Error for DataError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|error| error as _)
    }
}

/// "a, b, c and 4 more": names in a message, of a length that can still be read.
pub(crate) fn list<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 8;
    let shown = names.iter().take(SHOWN).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".into(),
        n if n > SHOWN => format!("{shown} and {} more", n - SHOWN),
        _ => shown,
    }
}

/// `70,000`.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
    let (threes, _) = rest.as_bytes().as_chunks::<3>();
    threes.iter().fold(first.to_string(), |text, three| text + "," + &String::from_utf8_lossy(three))
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        let grouped = [0, 12, 999, 1_000, 70_000, 123_456, 1_234_567].map(super::grouped);
        assert_eq!(grouped, ["0", "12", "999", "1,000", "70,000", "123,456", "1,234,567"]);
    }
}
