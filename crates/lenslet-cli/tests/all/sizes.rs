//! `summary` and `check`.

use crate::{Ran, folder, program};

#[test]
fn the_summary_of_the_lesson() {
    let folder = folder();
    let ran = Ran::well(folder.path(), &["summary", "lesson"]);
    let expected = "\
lesson, input 3x32x32

layer  op          line          output    how the size comes about  parameters  multiply-adds    memory
─────  ──────────  ────────────  ────────  ────────────────────────  ──────────  ─────────────  ────────
conv1  conv2d      lesson.rs:41  6x28x28   (32 - 5)/1 + 1 = 28              456        352,800  18.4 KiB
       relu        lesson.rs:41  6x28x28                                      0              0  18.4 KiB
pool   max_pool2d  lesson.rs:41  6x14x14   (28 - 2)/2 + 1 = 14                0              0   4.6 KiB
conv2  conv2d      lesson.rs:42  16x10x10  (14 - 5)/1 + 1 = 10            2,416        240,000   6.2 KiB
       relu        lesson.rs:42  16x10x10                                     0              0   6.2 KiB
pool   max_pool2d  lesson.rs:42  16x5x5    (10 - 2)/2 + 1 = 5                 0              0   1.6 KiB
       view        lesson.rs:43  400       16 * 5 * 5 = 400                   0              0   1.6 KiB
fc1    linear      lesson.rs:44  120                                     48,120         48,000     480 B
       relu        lesson.rs:44  120                                          0              0     480 B
fc2    linear      lesson.rs:45  84                                      10,164         10,080     336 B
       relu        lesson.rs:45  84                                           0              0     336 B
fc3    linear      lesson.rs:46  10                                         850            840      40 B
─────  ──────────  ────────────  ────────  ────────────────────────  ──────────  ─────────────  ────────
total                                                                    62,006        651,720  58.6 KiB
";
    assert_eq!(ran.out, expected);
}

#[test]
fn the_summary_for_programs() {
    let folder = folder();
    let json = &Ran::well(folder.path(), &["summary", "lesson", "--json"]).json()[0];
    assert_eq!((&json["parameters"], &json["macs"]), (&62_006.into(), &651_720.into()));
    let layer = &json["layers"][0];
    let row = ["name", "op", "output", "parameters", "macs", "line"].map(|key| layer[key].to_string());
    assert_eq!(row, ["\"conv1\"", "\"conv2d\"", "\"6x28x28\"", "456", "352800", "41"]);
}

#[test]
fn all_networks_with_a_name_fit() {
    let folder = folder();
    let networks = [("lesson", 62_006), ("resnet18", 11_173_962), ("resnet20", 272_474), ("airbench94", 1_972_792)];
    for (name, parameters) in networks {
        let check = Ran::well(folder.path(), &["check", name]);
        assert_eq!(check.out, format!("{name}: all sizes fit, 3x32x32 → 10\n"));
        let json = &Ran::well(folder.path(), &["summary", name, "--json"]).json()[0];
        assert_eq!(json["parameters"], parameters, "{name}");
    }
}

#[test]
fn the_list_of_networks() {
    let folder = folder();
    let list = Ran::well(folder.path(), &["summary", "--list"]).out;
    let line = "vgg16-imagenet         3x224x224  138,357,544  15,470,264,320  VGG-16, without batch normalisation";
    assert!(list.lines().any(|found| found == line), "{list}");
    let json = Ran::well(folder.path(), &["summary", "--list", "--json"]).json();
    // A line each, below the heads and the line under them.
    assert_eq!(json.len(), list.lines().count() - 2);
    assert_eq!((&json[0]["network"], &json[0]["parameters"]), (&"lesson".into(), &62_006.into()));
}

#[test]
fn where_sizes_do_not_fit_the_table_ends_and_the_error_follows() {
    let folder = folder();
    let view = "\
error: view: the feature map is 16x4x4 = 256 values per image, not 400
  sizes so far:
    input        3x28x28
    conv2d       6x24x24     (28 - 5)/1 + 1 = 24
    max_pool2d   6x12x12     (24 - 2)/2 + 1 = 12
    conv2d       16x8x8      (12 - 5)/1 + 1 = 8
    max_pool2d   16x4x4      (8 - 2)/2 + 1 = 4
  mend it: view(16 * 4 * 4), or flatten()
  at: crates/lenslet/src/networks/lesson.rs:43
";
    let kernel = "\
error: conv2d: the kernel is larger than the image: height 2, (2 - 5) is negative
  sizes so far:
    input        3x8x8
    conv2d       6x4x4       (8 - 5)/1 + 1 = 4
    max_pool2d   6x2x2       (4 - 2)/2 + 1 = 2
  mend it: a larger image, a kernel of at most 2, or padding(2)
  at: conv2, crates/lenslet/src/networks/lesson.rs:42
";
    for command in ["summary", "check"] {
        for (input, message, last) in [("3x28x28", view, "16x4x4"), ("3×8×8", kernel, "6x2x2")] {
            let ran = Ran::new(folder.path(), &[command, "lesson", "--input", input]);
            assert_eq!((ran.code, &*ran.err), (Some(2), message), "{command} {input}");
            let line = ran.out.lines().last().expect("the table has lines");
            assert!(line.starts_with("pool ") && line.contains(last), "{line}");
        }
    }
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    let folder = folder();
    let mut command = program(folder.path(), &["summary", "resnet18"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, &*ran.err), (Some(0), ""));
}

#[test]
fn help_shows_defaults_and_examples() {
    let folder = folder();
    let train = Ran::well(folder.path(), &["train", "--help"]).out;
    for part in [
        "[default: lesson]",
        "[default: shapes]",
        "[default: 20]",
        "[default: 64]",
        "[default: sgd]",
        "[default: 0.01 for sgd",
        "Examples:",
    ] {
        assert!(train.contains(part), "{part} is not in\n{train}");
    }
    for command in ["eval", "predict", "summary", "check", "bench"] {
        assert!(Ran::well(folder.path(), &[command, "--help"]).out.contains("Examples:"), "{command}");
    }
}
