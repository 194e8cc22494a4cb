//! `bench`: what is counted and how it is shown. How long things take is nobody's to test.

use serde_json::Value;

use crate::{Ran, folder};

/// The JSON of one round, and the whole behind its rows.
fn measured(arguments: &[&str]) -> (Vec<Value>, Value) {
    let folder = folder();
    let ran = Ran::well(folder.path(), &[&["bench", "--rounds", "1", "--json"], arguments].concat());
    let mut rows = ran.json();
    let whole = rows.pop().expect("there is a line for the whole");
    (rows, whole)
}

/// Multiply-adds per image of a row of a batch of `batch`.
fn macs(row: &Value, batch: f64) -> u64 {
    let number = |key: &str| row[key].as_f64().expect("it is a number");
    (number("gflops") * number("ms") * 1e6 / 2.0 / batch).round() as u64
}

#[test]
fn rows_of_training_add_up_and_count_the_arithmetic_of_both_directions() {
    let (rows, whole) = measured(&["lesson", "--batch", "6", "--threads", "2"]);
    let sum: f64 = rows.iter().map(|row| row["ms"].as_f64().expect("it is a number")).sum();
    let step = whole["ms"].as_f64().expect("it is a number");
    assert!((sum / step - 1.0).abs() < 1e-3, "{sum} is not {step}");
    let of = |layer: &str, direction: &str| {
        let row = rows.iter().find(|row| row["layer"] == layer && row["direction"] == direction);
        macs(row.unwrap_or_else(|| panic!("{layer} has a row {direction}")), 6.0)
    };
    // Backward: a gradient by the weight and, but for the first layer, one by the input.
    for (layer, forward, backward) in [
        ("conv1", 352_800, 352_800),
        ("conv2", 240_000, 2 * 240_000),
        ("fc1", 48_000, 2 * 48_000),
        ("fc2", 10_080, 2 * 10_080),
        ("fc3", 840, 2 * 840),
    ] {
        assert_eq!([of(layer, "forward"), of(layer, "backward")], [forward, backward], "{layer}");
    }
    assert_eq!(macs(&whole, 6.0), 651_720 + 352_800 + 2 * (651_720 - 352_800));
    let rest = rows.iter().filter(|row| row["direction"].is_null()).map(|row| row["op"].as_str().expect("a name"));
    let expected =
        ["loss", "images into lanes", "packing weights", "sums over images", "optimizer", "waiting for threads"];
    assert_eq!(rest.collect::<Vec<_>>(), expected);
    let keys = ["network", "input", "inference", "batch", "threads"].map(|key| whole[key].to_string());
    assert_eq!(keys, ["\"lesson\"", "\"3x32x32\"", "false", "6", "2"]);
}

#[test]
fn rows_of_inference_are_the_summarys_without_what_is_fused() {
    let (rows, whole) = measured(&["resnet20", "--inference", "--batch", "2", "--classes", "7"]);
    assert!(rows.iter().all(|row| row["direction"] != "backward"), "answers need no gradient");
    let row =
        |layer: &str| rows.iter().find(|row| row["layer"] == layer).unwrap_or_else(|| panic!("{layer} has a row"));
    let facts = |layer: &str| ["op", "line"].map(|key| row(layer)[key].as_str().expect("words").to_owned());
    let summary = &Ran::well(folder().path(), &["summary", "resnet20", "--json"]).json()[0];
    for layer in ["conv1", "layer1.0.conv1", "layer3.2.conv2", "fc"] {
        let rows = summary["layers"].as_array().expect("rows");
        let expected = rows.iter().find(|row| row["name"] == layer).expect("the summary has it");
        assert_eq!(facts(layer)[0], expected["op"].as_str().expect("words"), "{layer}");
        assert!(facts(layer)[1].ends_with(&format!(":{}", expected["line"])), "{layer}");
        if layer != "fc" {
            assert_eq!(macs(row(layer), 2.0), expected["macs"].as_u64().expect("a number"), "{layer}");
        }
    }
    assert_eq!(macs(row("fc"), 2.0), 64 * 7);
    assert_eq!(whole["inference"], true);
}

#[test]
fn a_saved_measurement_is_compared_with() {
    let folder = folder();
    let bench = |arguments: &[&str]| {
        Ran::well(folder.path(), &[&["bench", "lesson", "--rounds", "1", "--threads", "1"], arguments].concat())
    };
    let saved = bench(&["--batch", "2", "--save", "before.json"]);
    assert!(!saved.out.contains("to before"), "{}", saved.out);
    assert!(saved.out.starts_with("lesson, input 3x32x32, training, batch 2, 1 thread, "), "{}", saved.out);

    // The measurement itself changes: twice the time for one layer before makes half the ratio, give or take the noise.
    let compared = bench(&["--batch", "2", "--against", "before.json", "--json"]);
    assert_eq!(compared.err, "");
    let before = std::fs::read_to_string(folder.path().join("before.json")).expect("it was saved");
    let before: Vec<Value> = before.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(compared.json().len(), before.len());
    for (now, before) in compared.json().iter().zip(&before) {
        assert!(before["ratio"].is_null(), "{before}");
        let time = |row: &Value| row["ms"].as_f64().expect("it is a number");
        if time(before) > 0.0 {
            let ratio = now["ratio"].as_f64().expect("what was measured before is compared");
            assert!((ratio * time(before) - time(now)).abs() < 1e-9, "{now} {before}");
        }
    }

    let other = bench(&["--batch", "3", "--inference", "--no-winograd", "--against", "before.json"]);
    assert!(other.out.contains("to before"), "{}", other.out);
    let notes = "\
note: before.json was measured otherwise: it was steps of training, and now it is steps of inference
note: before.json was measured otherwise: it was batch 2, and now it is batch 3
note: before.json was measured otherwise: it was with Winograd's way, and now it is without Winograd's way
";
    assert!(other.err.starts_with(notes), "{}", other.err);
}

#[test]
fn files_that_are_no_measurement_and_what_there_is_no_memory_for() {
    let folder = folder();
    std::fs::write(folder.path().join("other.json"), "{}\n{}\n").expect("there is room");
    let fails = |arguments: &[&str], message: &str| {
        let ran = Ran::new(folder.path(), &[&["bench", "lesson"], arguments].concat());
        assert_eq!((ran.code, &*ran.out), (Some(2), ""), "{arguments:?}");
        assert!(ran.err.starts_with(message), "{arguments:?}: {}", ran.err);
    };
    let none = "this is no measurement of lenslet bench\n  mend it: give a file that --save has written\n";
    fails(&["--against", "other.json"], &format!("error: other.json: {none}"));
    fails(&["--against", "nowhere.json"], "error: nowhere.json: cannot be read: ");
    fails(&["--save", "nowhere/new.json"], "error: nowhere/new.json: cannot be written: ");
    for direction in [&[][..], &["--inference"]] {
        let batch = [&["--batch", "4000000000"], direction].concat();
        fails(&batch, "error: batches of 4000000000 take ");
    }
}
