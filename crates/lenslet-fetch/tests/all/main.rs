//! The crate from outside, against a server on the loopback address: what users meet between a name and a data set.
mod accidents;
mod downloads;
mod places;
mod server;
mod table;

use lenslet_fetch::truth::{Digest, Truth, pixels};
use lenslet_fetch::{Error, File, Options, Patience, Report, Set, Source, fetch};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A data set of 60 pictures in CIFAR-10's binary layout, six files of 30,730 bytes: its files, what they must be, and its
/// hash.
pub(crate) struct Tiny {
    pub(crate) contents: Vec<(String, Vec<u8>)>,
    pub(crate) files: Vec<(String, u64)>,
    pub(crate) hash: String,
}

/// Bytes of one file of [`Tiny`].
pub(crate) const FILE: usize = 10 * 3073;

impl Tiny {
    pub(crate) fn new() -> Self {
        let names = (1..=5).map(|number| format!("data_batch_{number}.bin")).chain(["test_batch.bin".to_owned()]);
        let contents: Vec<_> = names.zip(1..).map(|(name, seed)| (name, batch(seed))).collect();
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &contents {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let data = lenslet_data::load(folder.path().to_str().unwrap()).unwrap();
        let files = contents.iter().map(|(name, bytes)| (name.clone(), bytes.len() as u64)).collect();
        Self { contents, files, hash: pixels(&data) }
    }

    /// Fetches the set from sources at these addresses.
    pub(crate) fn fetch(&self, bases: &[String], options: &Options, log: &mut Log) -> Result<PathBuf, Error> {
        let files: Vec<_> = self.files.iter().map(|(name, size)| File { name, size: *size }).collect();
        let sources: Vec<_> = bases.iter().map(|base| Source { base, files: &files }).collect();
        let digest = Digest::Pixels(&self.hash);
        let truth = Truth { size: [3, 32, 32], classes: 10, train: 50, test: 10, digest };
        fetch(&Set { name: "tiny", truth, sources: &sources }, options, &mut |report| log.add(report))
    }

    /// Whether the folder holds the set, file by file.
    pub(crate) fn assert_in(&self, folder: &Path) {
        for (name, bytes) in &self.contents {
            assert!(std::fs::read(folder.join(name)).unwrap() == *bytes, "{name} differs");
        }
        assert_eq!(names(folder), self.files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
    }
}

/// Ten pictures of noise with their labels.
fn batch(seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..FILE).map(|i| if i % 3073 == 0 { next() % 10 } else { next() }).collect()
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What was reported apart from progress, and the most bytes that any file had.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Vec<String>, pub(crate) u64);

impl Log {
    fn add(&mut self, report: Report<'_>) {
        match report {
            Report::Progress { done, .. } => self.1 = self.1.max(done),
            report => self.0.push(format!("{report:?}")),
        }
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.0.iter().any(|line| line.contains(part))
    }
}

/// Keeps sets in this folder and does not wait long.
pub(crate) fn options(cache: &Path) -> Options {
    let patience = Patience { tries: 3, pause: Duration::from_millis(1), ..Patience::default() };
    Options { cache: cache.to_path_buf(), mirror: None, patience }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

/// A folder, a set and a server that has it.
pub(crate) fn scene() -> (tempfile::TempDir, Tiny, Server) {
    let tiny = Tiny::new();
    let server = Server::new(&tiny.contents);
    (tempfile::tempdir().unwrap(), tiny, server)
}
