//! The cache folder: put there by hand, changed, unwritable.

use crate::{Log, nobody, options, scene};
use std::fs;

#[test]
fn files_put_there_by_hand_are_taken_if_they_are_right() {
    let (cache, tiny, server) = scene();
    let folder = cache.path().join("datasets/tiny");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in &tiny.contents {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let mut log = Log::default();
    assert_eq!(tiny.fetch(&[nobody()], &options(cache.path()), &mut log).unwrap(), folder);
    assert_eq!(log.0, ["Checking"]);
    tiny.fetch(&[nobody()], &options(cache.path()), &mut log).unwrap();
    assert_eq!(log.0, ["Checking"], "it was checked twice");

    // A change of length or time is looked at, and mended where it is one of content.
    fs::write(folder.join("data_batch_1.bin"), &tiny.contents[1].1).unwrap();
    let mut log = Log::default();
    tiny.fetch(&[server.base()], &options(cache.path()), &mut log).unwrap();
    assert!(log.has("Replacing") && log.has("other pictures or labels"), "{:?}", log.0);
    tiny.assert_in(&folder);
}

#[test]
fn half_a_set_put_there_by_hand_is_named_and_replaced() {
    let (cache, tiny, server) = scene();
    let folder = cache.path().join("datasets/tiny");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(&tiny.contents[0].0), &tiny.contents[0].1).unwrap();
    let mut log = Log::default();
    tiny.fetch(&[server.base()], &options(cache.path()), &mut log).unwrap();
    assert!(log.has("expected the batch `data_batch_2.bin`"), "{:?}", log.0);
    tiny.assert_in(&folder);
}

#[test]
fn places_that_cannot_be_written() {
    let (cache, tiny, server) = scene();
    let file = cache.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let error = tiny.fetch(&[server.base()], &options(&file), &mut Log::default()).unwrap_err().to_string();
    let place = file.join("datasets");
    assert!(
        error.starts_with(&format!("{}: cannot be written, where tiny is to be kept: ", place.display())),
        "{error}"
    );
    let end = "\n  mend it: make the folder writable, or LENSLET_CACHE=FOLDER for another one (1 MB)";
    assert!(error.ends_with(end), "{error}");
    assert_eq!(server.requests(), [], "it was downloaded although it cannot be kept");
}

/// A small file system of its own, where the machine allows it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_as_one() {
    use std::process::Command;
    let (mount, tiny, server) = scene();
    let place = mount.path();
    let mut command = Command::new("mount");
    let mounted = command.args(["-t", "tmpfs", "-o", "size=64k", "lenslet"]).arg(place).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        println!("skipped: no file system may be mounted here");
        return;
    }
    let error = tiny.fetch(&[server.base()], &options(place), &mut Log::default()).unwrap_err().to_string();
    assert!(Command::new("umount").arg(place).status().unwrap().success());
    let start = format!("{}/datasets/tiny.incoming/", place.display());
    let end = ".bin.part: the disk is full, and tiny needs 1 MB of it\n  mend it: free so much, or LENSLET_CACHE=FOLDER for \
               a folder on another disk";
    assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
}

/// A cache that somebody else keeps, which this user may only read.
#[cfg(unix)]
#[test]
fn a_cache_that_may_only_be_read_is_enough() {
    use std::os::unix::fs::PermissionsExt;
    let (cache, tiny, server) = scene();
    let datasets = cache.path().join("datasets");
    tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    // Without the note that it was verified, and without a lock that could be opened.
    fs::remove_file(datasets.join("tiny.verified.json")).unwrap();
    fs::remove_file(datasets.join("tiny.lock")).unwrap();
    fs::create_dir(datasets.join("tiny.lock")).unwrap();
    fs::set_permissions(&datasets, fs::Permissions::from_mode(0o555)).unwrap();
    let fetched = tiny.fetch(&[nobody()], &options(cache.path()), &mut Log::default());
    fs::set_permissions(&datasets, fs::Permissions::from_mode(0o755)).unwrap();
    tiny.assert_in(&fetched.unwrap());
}
