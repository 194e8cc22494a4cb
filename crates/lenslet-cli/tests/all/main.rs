//! The program as its users meet it: run as a child, without terminal and network, in a folder of its own.
//!
//! Messages stand here word for word, so that changing one is seen in review.

mod augment;
mod bench;
mod data;
mod disk;
mod downloads;
mod dry_run;
mod errors;
mod kill;
mod pictures;
mod predict;
mod recipes;
mod resume;
mod runs;
mod sizes;
mod study;
mod training;
mod warnings;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program, about to run in `folder`.
fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lenslet"));
    // Nothing is to come from or go to the cache of whoever runs the tests.
    command.current_dir(folder).args(arguments).stdin(Stdio::null()).env("LENSLET_CACHE", "");
    command
}

/// What came of a run.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    /// Runs the program to its end.
    fn new(folder: &Path, arguments: &[&str]) -> Self {
        program(folder, arguments).output().expect("the program can be started").into()
    }

    /// The same, for a run that has to go well.
    fn well(folder: &Path, arguments: &[&str]) -> Self {
        let ran = Self::new(folder, arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}\n{}", ran.err);
        ran
    }

    /// Standard output, a JSON value a line.
    fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.out.lines().map(parse).collect()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// An empty folder, gone after the test.
fn folder() -> TempDir {
    tempfile::tempdir().expect("there is room for a folder")
}

/// A CIFAR-10 binary data set of `images` random-looking images a batch, with these classes, in `folder/name`.
fn tiny_data(folder: &Path, name: &str, images: usize, classes: &[&str]) {
    let data = folder.join(name);
    std::fs::create_dir(&data).expect("the folder is new");
    let batch = |number: usize| -> Vec<u8> {
        let image = |i: usize| {
            let label = i % classes.len();
            // A pattern by which the classes can be told apart.
            let pixel = move |p: usize| ((p * (label + 1) * 7 + i * 13 + number) % 256) as u8;
            std::iter::once(label as u8).chain((0..3 * 32 * 32).map(pixel))
        };
        (0..images).flat_map(image).collect()
    };
    for number in 1..=5 {
        std::fs::write(data.join(format!("data_batch_{number}.bin")), batch(number)).expect("there is room");
    }
    std::fs::write(data.join("test_batch.bin"), batch(6)).expect("there is room");
    std::fs::write(data.join("batches.meta.txt"), classes.join("\n")).expect("there is room");
}

/// What must be the same of two runs: all checkpoints, and the metrics without times.
fn result(run: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(run).expect("there is a run").map(|entry| entry.expect("it can be read").path());
    let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    let mut checkpoints: Vec<_> =
        entries.filter(|path| name(path).ends_with(".safetensors") && !name(path).starts_with("state-")).collect();
    checkpoints.sort();
    let mut files: Vec<_> =
        checkpoints.iter().map(|path| (name(path), std::fs::read(path).expect("it can be read"))).collect();
    files.push(("metrics.jsonl".into(), metrics(run).join("\n").into_bytes()));
    files
}

/// The lines of metrics without times.
fn metrics(run: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("there are metrics");
    let line = |line| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        let line = line.as_object_mut().expect("each line is an object");
        line.retain(|key, _| !["images_per_second", "seconds"].contains(&key.as_str()));
        serde_json::to_string(line).expect("it was JSON before")
    };
    text.lines().map(line).collect()
}

/// Fails with the names of what differs, for the bytes say nothing to people.
fn assert_same(run: &Path, expected: &[(String, Vec<u8>)]) {
    let result = result(run);
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&result), names(expected));
    let differ = result.iter().zip(expected).filter(|(ours, theirs)| ours != theirs).map(|(ours, _)| &ours.0);
    assert_eq!(differ.collect::<Vec<_>>(), Vec::<&String>::new(), "these files differ");
}

/// A PNG of one colour.
fn picture(path: &Path, width: u32, height: u32) {
    let file = std::fs::File::create(path).expect("there is room");
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels = [200, 60, 30].repeat((width * height) as usize);
    encoder.write_header().and_then(|mut png| png.write_image_data(&pixels)).expect("the picture is a possible one");
}
