//! `predict` on many pictures: folders, lists, tables, and that nothing about a picture's answer depends on the others.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, folder, picture, program, tiny_data};

/// More than a batch of them, a few in a folder of their own.
const PICTURES: usize = 300;

/// A folder with a run and many pictures, each of its own look, some of another size.
fn photos() -> TempDir {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["a, \"b\"", "c"]);
    Ran::well(folder.path(), &["train", "--data", "tiny", "--epochs", "1", "--out", "run"]);
    std::fs::create_dir_all(folder.path().join("photos/x")).unwrap();
    for number in 0..PICTURES {
        let name = if number < 3 { format!("photos/x/{number}.png") } else { format!("photos/{number:03}.PNG") };
        striped(&folder.path().join(name), 32 + number as u32 % 5, number);
    }
    std::fs::write(folder.path().join("photos/notes.txt"), "no picture").unwrap();
    std::fs::write(folder.path().join("photos/._000.png"), "no picture either").unwrap();
    folder
}

fn striped(path: &Path, side: u32, number: usize) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).unwrap(), side, side);
    encoder.set_color(png::ColorType::Rgb);
    let pixels: Vec<u8> = (0..side * side * 3).map(|i| (i as usize * (number + 1) % 251) as u8).collect();
    encoder.write_header().and_then(|mut png| png.write_image_data(&pixels)).unwrap();
}

#[test]
fn a_folder_is_answered_in_order_and_each_picture_as_if_alone() {
    let folder = photos();
    let here = folder.path();
    let ran = Ran::well(here, &["predict", "run", "photos", "--json"]);
    let answers = ran.json();
    let images: Vec<&str> = answers.iter().filter_map(|answer| answer["image"].as_str()).collect();
    assert!(images.len() == PICTURES && images.is_sorted() && images[PICTURES - 1] == "photos/x/2.png", "{images:?}");
    assert_eq!(
        ran.err,
        "note: photos: 2 files are no pictures by their names, and left out\n\
         note: 240 pictures had another size and were resized to 32x32 (bilinear)\n"
    );
    for threads in ["1", "3"] {
        assert_eq!(Ran::well(here, &["predict", "run", "photos", "--json", "--threads", threads]).out, ran.out);
    }
    for number in [0, 7, 255, 256, 299] {
        // Alone it goes through other kernels than among many, and rounds otherwise.
        let alone = &Ran::well(here, &["predict", "run", images[number], "--json"]).json()[0];
        let together = &answers[number];
        assert_eq!(alone["image"], together["image"]);
        let pairs = alone["top"].as_array().expect("answers").iter().zip(together["top"].as_array().expect("answers"));
        for (alone, together) in pairs {
            assert_eq!(alone["class"], together["class"]);
            let probability = |answer: &Value| answer["probability"].as_f64().expect("a number");
            assert!((probability(alone) - probability(together)).abs() < 1e-6, "{}: {alone}", images[number]);
        }
    }
}

#[test]
fn tables_and_lines() {
    let folder = photos();
    let here = folder.path();
    let json = Ran::well(here, &["predict", "run", "photos", "--json"]).json();
    let csv = Ran::well(here, &["predict", "run", "photos", "--csv"]).out;
    assert_eq!(csv.lines().next(), Some("image,class,probability,class_2,probability_2"));
    assert!(csv.contains(",\"a, \"\"b\"\"\",0."), "{csv}");
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    for (row, answer) in rows.records().map(Result::unwrap).zip(&json) {
        assert_eq!(row[0], answer["image"]);
        for (rank, top) in answer["top"].as_array().unwrap().iter().enumerate() {
            assert_eq!(row[1 + 2 * rank], top["class"]);
            // The reader of JSON may be off by a last digit.
            let [csv, json] = [row[2 + 2 * rank].parse().unwrap(), top["probability"].as_f64().unwrap()];
            assert!((csv - json).abs() < 1e-15_f64, "{csv} {json}");
        }
    }
    let csv = Ran::well(here, &["predict", "run", "photos/x", "--csv", "--top", "1"]).out;
    assert_eq!((csv.lines().next(), csv.lines().count()), (Some("image,class,probability"), 4));

    let text = Ran::well(here, &["predict", "run", "photos"]).out;
    assert_eq!(text.lines().count(), PICTURES);
    assert!(text.lines().all(|line| line.starts_with("photos/") && line.ends_with(" %")), "{text}");
}

#[test]
fn unreadable_pictures_are_counted_and_the_others_answered() {
    let folder = photos();
    let here = folder.path();
    std::fs::write(here.join("photos/100.PNG"), "no picture").unwrap();
    std::fs::create_dir(here.join("empty")).unwrap();
    let ran = Ran::new(here, &["predict", "run", "photos", "empty", "gone.png", "--json"]);
    assert_eq!((ran.code, ran.json().len()), (Some(2), PICTURES - 1), "{}", ran.err);
    for says in [
        "error: empty: expected a folder with pictures, found none; give one that holds PNG, JPEG, WebP, GIF or BMP files\n",
        "error: photos/100.PNG: expected a PNG, JPEG, WebP, GIF or BMP picture, found 10 bytes",
        "error: gone.png: expected a readable file",
        "error: 2 of 301 pictures could not be read; the others were answered\n",
    ] {
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn a_list_on_standard_input() {
    let folder = photos();
    let mut command = program(folder.path(), &["predict", "run", "-", "--json"]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"photos/x/2.png\n\nphotos/x/0.png\r\n").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    let images: Vec<Value> = ran.json().iter().map(|answer| answer["image"].clone()).collect();
    assert_eq!((ran.code, images), (Some(0), vec!["photos/x/2.png".into(), "photos/x/0.png".into()]), "{}", ran.err);
}

/// `lenslet predict … | head -1`.
#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = photos();
    let mut command = program(folder.path(), &["predict", "run", "photos", "--csv"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.contains("error")), (Some(0), false), "{}", ran.err);
}

/// The filter that the network was trained behind comes from its checkpoint.
#[test]
fn the_filter_is_kept() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 8, &["a", "b"]);
    for filter in ["nearest", "lanczos"] {
        Ran::well(here, &["train", "--data", "tiny", "--epochs", "1", "--resize", filter, "--out", filter]);
        let config: Value =
            serde_json::from_slice(&std::fs::read(here.join(filter).join("config.json")).unwrap()).unwrap();
        assert_eq!(config["filter"], filter);
    }
    picture(&here.join("plain.png"), 32, 32);
    striped(&here.join("other.png"), 61, 4);
    let answer = |run: &str, image: &str| Ran::well(here, &["predict", run, image, "--json"]).out;
    // The same weights; only what is resized can tell the filters apart.
    assert_eq!(answer("nearest", "plain.png"), answer("lanczos", "plain.png"));
    assert_ne!(answer("nearest", "other.png"), answer("lanczos", "other.png"));
    let ran = Ran::new(here, &["train", "--resize", "cubic"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("no filter is named cubic; there are nearest, box, bilinear"), "{}", ran.err);
}
