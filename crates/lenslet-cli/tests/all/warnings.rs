//! What `train` warns of and `data` describes, word for word.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Ran, folder, tiny_data};

/// Adds an image to a batch file: of one colour, or a copy of an image of another file.
fn add(folder: &Path, batch: &str, record: &[u8]) {
    let path = folder.join(batch);
    let bytes = std::fs::read(&path).expect("the file is there");
    std::fs::write(&path, [&bytes, record].concat()).expect("there is room");
}

/// A set whose test images hold a training image and a black one.
fn faulty_data(folder: &Path) {
    tiny_data(folder, "faulty", 8, &["cat", "dog"]);
    let faulty = folder.join("faulty");
    let first = std::fs::read(faulty.join("data_batch_1.bin")).expect("the file is there")[..3073].to_vec();
    add(&faulty, "test_batch.bin", &first);
    add(&faulty, "test_batch.bin", &[0; 3073]);
}

const COPY: &str = "1 of the 10 test images is a training image too, pixel by pixel, so the test accuracy looks better \
    than it is: test image 8 (cat) is training image 0 (cat)\n  mend it: take them out of the training images";
const BLACK: &str = "1 test image shows a single colour (black) and nothing else: test image 9 (cat)\n  mend it: look at \
    the files that they came from, and take them out if they are broken";

#[test]
fn train_warns_of_the_data_before_it_begins() {
    let folder = folder();
    faulty_data(folder.path());
    let ran = Ran::well(folder.path(), &["train", "--data", "faulty", "--epochs", "1", "--json", "--out", "run"]);
    assert!(ran.err.contains(&format!("\nwarning: {COPY}\nwarning: {BLACK}\n")), "{}", ran.err);
    let lines = ran.json();
    let warning = json!({
        "event": "warning", "message": BLACK, "kind": "single_colour", "part": "test", "images": 1, "black": 1,
        "examples": [{"part": "test", "index": 9, "class": "cat"}],
    });
    assert_eq!((&lines[0]["kind"], &lines[1]), (&"test_in_train".into(), &warning));
    assert_eq!(lines[2]["event"], "epoch");
    let kept = std::fs::read_to_string(folder.path().join("run/warnings.txt")).expect("there was cause");
    assert!(kept.starts_with(&format!("before training: {COPY}\nbefore training: {BLACK}\n")), "{kept}");
}

#[test]
fn data_describes_a_data_set() {
    let folder = folder();
    faulty_data(folder.path());
    let ran = Ran::well(folder.path(), &["data", "faulty"]);
    let expected = format!(
        "faulty: 40 images to train on, 10 to test on, 3x32x32, 2 classes

class  train  test
─────  ─────  ────
cat       20     6
dog       20     4
─────  ─────  ────
all       40    10

all training pixels, from 0 (black) to 1 (white)

channel    mean     std
───────  ──────  ──────
red      0.4998  0.2898
green    0.4998  0.2898
blue     0.4998  0.2898

warning: {COPY}
warning: {BLACK}
"
    );
    assert_eq!((ran.out.as_str(), ran.err.as_str()), (expected.as_str(), ""));
    let json = &Ran::well(folder.path(), &["data", "faulty", "--json"]).json()[0];
    assert_eq!(
        json["classes"],
        json!([{"name": "cat", "train": 20, "test": 6}, {"name": "dog", "train": 20, "test": 4}])
    );
    assert_eq!((&json["train"], &json["height"]), (&json!(40), &json!(32)));
    assert_eq!(json["warnings"][0]["message"], COPY);
    assert!((json["mean"][0].as_f64().expect("a number") - 0.5).abs() < 0.01);

    let sound = Ran::well(folder.path(), &["data", "shapes"]).out;
    let end = "\n\nnothing suspicious: each class has images and none is rare, no image occurs twice or shows a single colour\n";
    assert!(sound.ends_with(end), "{sound}");
}

#[test]
fn train_warns_of_the_network_before_it_begins() {
    let folder = folder();
    // 5 · 13 = 65 images: a batch of 64, and a single one.
    tiny_data(folder.path(), "odd", 13, &["cat", "dog"]);
    let ran =
        Ran::well(folder.path(), &["train", "--data", "odd", "--model", "resnet20", "--epochs", "1", "--out", "run"]);
    assert!(
        ran.err.contains(
            "\nwarning: the last batch of every epoch (65 = 1 x 64 + 1) has a single image, but bn1 (batch_norm, at "
        ),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("mend it: --batch 65, which leaves 65 images for the last batch\n"), "{}", ran.err);
    let ran = Ran::well(folder.path(), &["train", "--data", "odd", "--model", "lesson", "--epochs", "1"]);
    assert!(!ran.err.contains("last batch"), "{}", ran.err);
}

#[test]
fn train_warns_after_an_epoch_and_once() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["cat", "dog"]);
    // Nothing is learnt at such a rate.
    let arguments = ["train", "--data", "tiny", "--epochs", "2", "--lr", "1e-12", "--json", "--out", "run"];
    let ran = Ran::well(folder.path(), &arguments);
    let lines = ran.json();
    let events: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
    assert_eq!(events, ["epoch", "warning", "epoch", "done"], "{}", ran.err);
    let warning = &lines[1];
    assert_eq!(
        (&warning["kind"], &warning["epoch"], &warning["classes"]),
        (&json!("not_below_chance"), &json!(1), &json!(2))
    );
    let message = warning["message"].as_str().expect("text");
    assert!(message.contains("is not below chance, ln 2 = 0.6931: nothing has been learnt so far\n"), "{message}");
    assert!(ran.err.contains(&format!("warning: {message}\n")), "{}", ran.err);
    let kept = std::fs::read_to_string(folder.path().join("run/warnings.txt")).expect("there was cause");
    assert_eq!(kept, format!("after epoch 1: {message}\n"));
}
