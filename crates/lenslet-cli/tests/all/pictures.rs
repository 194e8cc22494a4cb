//! The pictures and numbers that `train` and `eval` leave behind.

use std::path::Path;

use serde_json::Value;

use crate::{Ran, folder, tiny_data};

/// The names in a folder, sorted, without the event files, and how many of those there are.
fn names(folder: &Path) -> (Vec<String>, usize) {
    let entries = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let all = names.len();
    names.retain(|name| !name.starts_with("events.out.tfevents."));
    names.sort();
    let events = all - names.len();
    (names, events)
}

fn report(folder: &Path) -> Value {
    let bytes = std::fs::read(folder.join("report.json")).expect("there is a report");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

/// Sizes of a PNG, which the decoder reads to its end.
fn size(path: &Path) -> (u32, u32) {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it is small")];
    let frame = reader.next_frame(&mut pixels).expect("it is whole");
    (frame.width, frame.height)
}

#[test]
fn a_run_leaves_pictures_and_numbers() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "animals", 20, &["cat", "dog", "犬"]);
    let ran = Ran::well(here, &["train", "--data", "animals", "--epochs", "2", "--out", "run", "--tensorboard"]);
    let line = "beside them: curves.png, filters.png, confusion.png, mistakes.png (each also as .svg), report.json\n";
    assert!(ran.out.contains(line), "{}", ran.out);
    let (found, events) = names(&here.join("run"));
    let pictures = ["confusion", "curves", "filters", "mistakes"];
    let mut expected: Vec<String> =
        pictures.iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]).collect();
    let others = [".lock", "best.safetensors", "config.json", "last.safetensors", "metrics.jsonl", "report.json"];
    expected.extend(others.iter().chain(&["state-0.safetensors", "state-1.safetensors"]).map(ToString::to_string));
    expected.sort();
    assert_eq!((found, events), (expected, 1));
    assert_eq!(size(&here.join("run/curves.png")), (2000, 856));
    for name in pictures {
        size(&here.join(format!("run/{name}.png")));
    }
    let text = |name: &str| std::fs::read_to_string(here.join("run").join(name)).expect("it is text");
    assert!(text("curves.svg").contains(">lesson on animals<"));
    assert!(text("confusion.svg").contains(">2: 犬<"));
    assert!(text("mistakes.svg").contains(">lesson on animals, after epoch 2: the surest mistakes<"));

    // The report agrees with itself: rows of the matrix are the classes' images, its diagonal what was right.
    let report = report(&here.join("run"));
    let confusion: Vec<Vec<u64>> = serde_json::from_value(report["confusion"].clone()).expect("rows of numbers");
    let classes = report["classes"].as_array().expect("a list");
    let right: u64 = (0..3).map(|class| confusion[class][class]).sum();
    assert_eq!(report["test_accuracy"], right as f64 / 20.0);
    for (class, row) in classes.iter().zip(&confusion) {
        assert_eq!(class["images"], row.iter().sum::<u64>());
    }
    assert_eq!(classes[2]["class"], "犬");
    let mistakes = report["mistakes"].as_array().expect("a list");
    assert_eq!(mistakes.len() as u64, 20 - right);
    assert!(mistakes.iter().all(|mistake| mistake["class"] != mistake["answer"]));

    // Evaluating the last weights says the same again.
    let arguments = ["eval", "run/last.safetensors", "--data", "animals", "--out", "evaluation/last", "--json"];
    let json = Ran::well(here, &arguments).json().remove(0);
    assert_eq!(json, report);
    assert_eq!(self::report(&here.join("evaluation/last")), report);
    let expected = ["confusion.png", "confusion.svg", "mistakes.png", "mistakes.svg", "report.json"];
    assert_eq!(names(&here.join("evaluation/last")).0, expected);
}

#[test]
fn a_picture_that_cannot_be_written_is_a_remark() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "animals", 20, &["cat", "dog"]);
    Ran::well(here, &["train", "--data", "animals", "--epochs", "1", "--out", "run"]);
    // Where the picture should go there is a folder, which no file replaces.
    std::fs::create_dir_all(here.join("out/confusion.png/full")).expect("there is room");
    let ran = Ran::well(here, &["eval", "run", "--data", "animals", "--out", "out"]);
    assert!(ran.err.contains("note      out/confusion could not be written: "), "{}", ran.err);
    assert!(ran.out.ends_with("in out: mistakes.png (also as .svg), report.json\n"), "{}", ran.out);
    let found = names(&here.join("out")).0;
    assert_eq!(found, ["confusion.png", "mistakes.png", "mistakes.svg", "report.json"], "nothing is left half-written");
}

#[test]
fn a_folder_for_an_evaluation_that_cannot_be_made_is_an_error() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "animals", 20, &["cat", "dog"]);
    Ran::well(here, &["train", "--data", "animals", "--epochs", "1", "--out", "run"]);
    let ran = Ran::new(here, &["eval", "run", "--data", "animals", "--out", "run/config.json/out"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("error: run/config.json/out: cannot be written: "), "{}", ran.err);
}

#[test]
fn a_sheet_shows_samples_of_each_class() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "animals", 20, &["cat", "dog"]);
    for name in ["sheet.png", "sheet.svg"] {
        Ran::well(here, &["data", "animals", "--sheet", name]);
    }
    let (width, height) = size(&here.join("sheet.png"));
    assert!(width > 10 * 32 && height > 2 * 32, "{width}x{height}");
    let svg = std::fs::read_to_string(here.join("sheet.svg")).expect("it is text");
    assert!([">cat<", ">dog<", ">animals: images to train on, by class<"].iter().all(|text| svg.contains(text)));
    assert_eq!(svg.matches("<image").count(), 20);
    let ran = Ran::new(here, &["data", "animals", "--sheet", "sheet.jpg"]);
    let words =
        "error: --sheet sheet.jpg: a sheet is drawn as .png or .svg\n  mend it: give the file one of these endings\n";
    assert_eq!((ran.code, ran.err.as_str()), (Some(2), words));
}

#[test]
fn of_many_classes_the_table_shows_the_worst() {
    let folder = folder();
    let here = folder.path();
    let names: Vec<String> = (0..50).map(|class| format!("class {class}")).collect();
    tiny_data(here, "animals", 100, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let ran = Ran::well(here, &["train", "--data", "animals", "--epochs", "1", "--out", "run"]);
    assert!(ran.out.contains("\nshown: the 20 of 50 classes that have the lowest F1\n"), "{}", ran.out);
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("class ")).count(), 1 + 20);
    assert_eq!(report(&here.join("run"))["classes"].as_array().map(Vec::len), Some(50));
}
