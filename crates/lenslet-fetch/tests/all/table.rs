//! The table of the sets that have a name.

use lenslet_fetch::{SETS, named};
use std::path::Path;

#[test]
fn names_and_addresses_are_well_formed() {
    for set in &SETS {
        assert_eq!(named(set.name).map(|found| found.name), Some(set.name));
        assert!(set.sources.len() > 1, "{} has no second source", set.name);
        for source in set.sources {
            assert!(source.base.ends_with('/'), "{}", source.base);
            assert!(!source.files.is_empty() && source.files.iter().all(|file| file.size > 0), "{}", source.base);
        }
    }
    assert!(named("shapes").is_none() && named("./cifar10").is_none());
}

/// Against the sets themselves, where they lie beside the repository.
#[test]
fn the_truth_is_true() {
    for name in ["cifar10", "mnist"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
        if !path.is_dir() {
            println!("skipped: no {} beside the repository", path.display());
            continue;
        }
        let data = lenslet_data::load(path.to_str().unwrap()).unwrap();
        assert_eq!(named(name).unwrap().truth.check(&data), Ok(()), "{name}");
    }
}
