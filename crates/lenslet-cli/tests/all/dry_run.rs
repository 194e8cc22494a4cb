//! `train --dry-run`: its sentences, and that nothing comes of it.
//!
//! How far learning by heart comes depends on the machine's speed, so no test asks; the library's tests do.

use std::path::Path;

use serde_json::json;

use crate::{Ran, folder, tiny_data};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_dry_run_says_how_it_would_go_and_writes_nothing() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["cat", "dog"]);
    let ran = Ran::well(folder.path(), &["train", "--data", "tiny", "--dry-run", "--threads", "1"]);
    assert_eq!((names(folder.path()), ran.err.as_str()), (vec!["tiny".to_owned()], ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    let beginnings = [
        "data      tiny: 40 images to train on, 8 to test on, 3x32x32, 2 classes. Nothing about it is suspicious.",
        "network   lesson: all sizes fit, from 3x32x32 to 2 classes; 61,326 parameters, 651,048 multiply-adds per image.",
        "memory    Training takes ",
        "disk      The run writes up to ",
        "start     The loss begins at 0.",
        "learning  ",
        "time      About ",
    ];
    assert_eq!(lines.len(), beginnings.len(), "{}", ran.out);
    for (line, beginning) in lines.iter().zip(beginnings) {
        assert!(line.starts_with(beginning), "{line}");
    }
    assert!(
        lines[4].ends_with(", near a guess, as it should: a guess among 2 classes has ln 2 = 0.6931."),
        "{}",
        lines[4]
    );
    assert!(lines[6].contains(" for 20 epochs on 1 thread: 1 step of "), "{}", lines[6]);
}

#[test]
fn programs_get_one_object() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["cat", "dog"]);
    let ran = Ran::well(folder.path(), &["train", "--data", "tiny", "--dry-run", "--json", "--out", "new/run"]);
    assert_eq!(names(folder.path()), ["tiny"]);
    let [found] = &ran.json()[..] else { panic!("one line: {}", ran.out) };
    assert_eq!((&found["event"], &found["ok"], &found["failures"]), (&json!("dry_run"), &json!(true), &json!([])));
    assert_eq!(found["data"], json!({"train": 40, "test": 8, "classes": 2, "warnings": []}));
    assert_eq!((&found["network"]["name"], &found["network"]["parameters"]), (&json!("lesson"), &json!(61_326)));
    assert_eq!(found["memory"]["weights"], json!(4 * 61_326));
    assert_eq!((&found["disk"]["checkpoint"], &found["time"]["epochs"]), (&json!(4 * 61_326), &json!(20)));
    assert!(found["by_heart"][0]["images"].as_u64().is_some_and(|images| (8..=40).contains(&images)), "{found}");
}

#[test]
fn the_faults_of_the_data_are_said() {
    let folder = folder();
    tiny_data(folder.path(), "half", 8, &["cat", "dog"]);
    // The test images are the training images.
    let data = folder.path().join("half");
    std::fs::copy(data.join("data_batch_1.bin"), data.join("test_batch.bin")).expect("there is room");
    let ran = Ran::well(folder.path(), &["train", "--data", "half", "--dry-run"]);
    assert!(
        ran.out.contains(". One thing about it is suspicious:\nwarning:  8 of the 8 test images are training images"),
        "{}",
        ran.out
    );
}

#[test]
fn what_would_fail_for_sure_ends_with_2() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["cat", "dog"]);
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).expect("there is room");
    std::fs::write(taken.join("notes.txt"), "mine").expect("there is room");
    let ran = Ran::new(folder.path(), &["train", "--data", "tiny", "--dry-run", "--out", "taken"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.starts_with("error: taken: the folder already holds files"), "{}", ran.err);
}

/// A disk of 64 KiB, where this machine lets one be mounted.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_too_small_ends_with_2() {
    use std::process::Command;

    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["cat", "dog"]);
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("there is room");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: no disk can be mounted here");
        return;
    }
    let ran = Ran::new(folder.path(), &["train", "--data", "tiny", "--dry-run", "--json", "--out", "disk/run"]);
    let _ = Command::new("umount").arg(&disk).status();
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    // 3 checkpoints of 61,326 numbers, 3 states of twice as many, 2 MiB of texts and pictures, 1 KiB for each of 20 epochs.
    assert!(
        ran.err
            .contains("/disk: the run writes up to 4.1 MiB, but 64.0 KiB are free\n  mend it: free some space there"),
        "{}",
        ran.err
    );
    let found = &ran.json()[0];
    assert_eq!((&found["ok"], &found["by_heart"], &found["disk"]["free"]), (&json!(false), &json!([]), &json!(65_536)));
}
