//! The arrows between the crates, as ARCHITECTURE.md draws them, and where unsafe code may stand.

use std::fs::read_to_string;

/// A crate, what it may use of the others, and whether it forbids unsafe code.
const ROOMS: [(&str, &[&str], bool); 7] = [
    ("lenslet-rng", &[], true),
    ("lenslet-graph", &["lenslet-rng"], true),
    ("lenslet-macros", &[], true),
    ("lenslet-data", &["lenslet-rng"], true),
    ("lenslet-cpu", &["lenslet-graph", "lenslet-rng"], false),
    ("lenslet", &["lenslet-cpu", "lenslet-data", "lenslet-graph", "lenslet-macros", "lenslet-rng"], true),
    ("lenslet-cli", &["lenslet"], true),
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
fn unsafe_code_stands_in_the_backend_alone() {
    for (room, _, safe) in ROOMS {
        let folder = format!("{}/../{room}/src", env!("CARGO_MANIFEST_DIR"));
        let root = read_to_string(format!("{folder}/lib.rs")).or_else(|_| read_to_string(format!("{folder}/main.rs")));
        let forbids = root.expect("a crate has a root").contains("#![forbid(unsafe_code)]");
        assert_eq!(forbids, safe, "{room}");
    }
}
