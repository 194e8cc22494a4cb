//! The arrows between the crates, as ARCHITECTURE.md draws them, and where unsafe code may stand.

use std::fs::{read_dir, read_to_string};
use std::path::{Path, PathBuf};

/// Where a crate's unsafe code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unsafe {
    Nowhere,
    /// In one file, which says so.
    In(&'static str),
    Anywhere,
}

/// A crate, what it may use of the others, and where its unsafe code stands.
const ROOMS: [(&str, &[&str], Unsafe); 9] = [
    ("lenslet-rng", &[], Unsafe::Nowhere),
    ("lenslet-graph", &["lenslet-rng"], Unsafe::Nowhere),
    ("lenslet-macros", &[], Unsafe::Nowhere),
    ("lenslet-data", &["lenslet-rng"], Unsafe::In("map.rs")),
    ("lenslet-fetch", &["lenslet-data"], Unsafe::Nowhere),
    ("lenslet-cpu", &["lenslet-graph", "lenslet-rng"], Unsafe::Anywhere),
    ("lenslet", &["lenslet-cpu", "lenslet-data", "lenslet-graph", "lenslet-macros", "lenslet-rng"], Unsafe::Nowhere),
    ("lenslet-report", &[], Unsafe::Nowhere),
    ("lenslet-cli", &["lenslet", "lenslet-fetch", "lenslet-report"], Unsafe::Nowhere),
];

#[test]
fn crates_use_only_what_lies_below_them() {
    for (room, allowed, _) in ROOMS {
        let manifest = read_to_string(format!("{}/../{room}/Cargo.toml", env!("CARGO_MANIFEST_DIR"))).expect("a crate");
        let dependencies = manifest.split("[dependencies]").nth(1).unwrap_or("");
        let dependencies = dependencies.split("\n[").next().unwrap_or("");
        let ours =
            dependencies.lines().filter_map(|line| line.split(['.', ' ']).next()).filter(|n| n.starts_with("lenslet"));
        for dependency in ours {
            assert!(allowed.contains(&dependency), "{room} uses {dependency}, which does not lie below it");
        }
    }
}

#[test]
fn unsafe_code_stands_in_the_backend_and_in_one_file_alone() {
    for (room, _, place) in ROOMS {
        let folder = PathBuf::from(format!("{}/../{room}/src", env!("CARGO_MANIFEST_DIR")));
        let root = read_to_string(folder.join("lib.rs")).or_else(|_| read_to_string(folder.join("main.rs")));
        let root = root.expect("a crate has a root");
        assert_eq!(root.contains("#![forbid(unsafe_code)]"), place == Unsafe::Nowhere, "{room}");
        let Unsafe::In(file) = place else { continue };
        assert!(root.contains("#![deny(unsafe_code)]"), "{room}");
        let mut allowing = Vec::new();
        visit(&folder, &mut |path, text| {
            if text.contains("allow(unsafe_code)") {
                allowing.push(path.strip_prefix(&folder).expect("below the folder").to_path_buf());
            }
            if path.ends_with(file) {
                assert_eq!(text.matches("unsafe {").count(), 1, "{}", path.display());
                assert!(!text.contains("unsafe fn") && !text.contains("unsafe impl"), "{}", path.display());
            }
        });
        assert_eq!(allowing, [Path::new(file)], "{room}");
    }
}

/// Calls `look` with each source file below a folder.
fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|end| end == "rs") {
            look(&path, &read_to_string(&path).expect("source is text"));
        }
    }
}
