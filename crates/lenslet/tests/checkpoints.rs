//! Checkpoints that are damaged, foreign or another network's: an error that says so, never a panic.

use std::path::Path;

use lenslet::checkpoint::{Checkpoint, Description, save};
use lenslet::data::Filter;
use lenslet::networks::{Lesson, ResNet20};
use lenslet::training::training_graph;
use lenslet::{Network, Normalization, Shape, TestTime, Weights};
use proptest::prelude::*;

fn weights(network: &dyn Network) -> Weights {
    Weights::new(&training_graph(network, Shape::image(3, 32, 32), 10, 0.0).expect("the sizes fit"), 1)
}

/// A valid checkpoint's bytes.
fn checkpoint(network: &dyn Network) -> Vec<u8> {
    written(&weights(network))
}

fn written(weights: &Weights) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("best.safetensors");
    let description = Description {
        version: "0".into(),
        network: "lesson".into(),
        input: [3, 32, 32],
        classes: (0..10).map(|class| class.to_string()).collect(),
        normalization: Normalization::half(3),
        data: "shapes".into(),
        epoch: 1,
        test_accuracy: Some(0.5),
        filter: Filter::default(),
        test_time: TestTime::None,
    };
    save(&path, &description, weights).expect("there is room");
    std::fs::read(&path).expect("it was written")
}

fn load(bytes: Vec<u8>) -> Result<(), String> {
    let checkpoint = Checkpoint::from_bytes(bytes, Path::new("best.safetensors")).map_err(|error| error.to_string())?;
    checkpoint.load_into(&mut weights(&Lesson::new())).map_err(|error| error.to_string())
}

/// A header of this length that says this.
fn with_header(length: u64, header: &str) -> Vec<u8> {
    [&length.to_le_bytes(), header.as_bytes()].concat()
}

#[test]
fn what_is_wrong_is_said() {
    let whole = checkpoint(&Lesson::new());
    load(whole.clone()).expect("it is whole");
    let header = r#"{"w":{"dtype":"F32","shape":[1073741824],"data_offsets":[0,4294967296]}}"#;
    let gigabytes = with_header(header.len() as u64, header);
    let cases = [
        (vec![], "it is empty"),
        (b"short".to_vec(), "it has only 5 bytes"),
        (b"A text file, and none of numbers.".to_vec(), "its first 8 bytes give no possible length of a header"),
        (with_header(u64::MAX, "{}"), "its first 8 bytes give no possible length of a header"),
        (with_header(5000, "{}"), "its header should have 5000 bytes, but the file ends after 10"),
        (with_header(2, "[]"), "its header cannot be read: "),
        (with_header(2, "{}"), "the file has weights but no word about their network"),
        (gigabytes, "its tensor w should end at byte 4294967296 of the data, of which there are 0"),
        (whole[..whole.len() - 1].to_vec(), "of the data, of which there are 248023"),
    ];
    for (bytes, says) in cases {
        let error = load(bytes).expect_err(says);
        assert!(error.contains(says), "{says:?} is not in {error}");
    }
}

#[test]
fn another_networks_parameters_are_named() {
    let expected = "\
best.safetensors: the weights do not fit the network lesson:
  conv1.weight is [16, 3, 3, 3], but must be [6, 3, 5, 5]
  conv1.bias is missing
  conv2.weight is missing
  conv2.bias is missing
  fc1.weight is missing
  fc1.bias is missing
  fc2.weight is missing
  fc2.bias is missing
  and ";
    let error = load(checkpoint(&ResNet20::new())).expect_err("it does not fit");
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().expect("there is room");
    let error = |path: &Path| Checkpoint::open(path).err().expect("it is refused").to_string();
    assert!(error(folder.path()).ends_with("expected a safetensors file, found a folder"));
    assert!(error(&folder.path().join("nowhere")).contains("cannot be read: "));
    // A device that never ends.
    #[cfg(target_os = "linux")]
    assert!(error(Path::new("/dev/zero")).ends_with("expected a safetensors file, found no regular file"));
}

proptest! {
    #[test]
    fn damaged_checkpoints_do_no_harm(places in prop::collection::vec((0_usize..2000, any::<u8>()), 0..4), cut in 0_usize..4000) {
        let mut bytes = checkpoint(&Lesson::new());
        for (place, byte) in places {
            bytes[place] = byte;
        }
        // Half of them stay whole, the others end within the header or the data.
        if cut < 2000 { bytes.truncate(cut * bytes.len() / 2000) }
        let _ = load(bytes);
    }
}

/// A flipped bit far from the header; the file is whole in all else.
#[test]
fn values_that_were_changed_are_noticed() {
    let mut bytes = checkpoint(&Lesson::new());
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let error = load(bytes).expect_err("a weight is another");
    assert!(error.contains("its values are not those that were written, by their checksum"), "{error}");
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let mut spoilt = weights(&Lesson::new());
    spoilt.values_mut(1)[0] = f32::NAN;
    let error = load(written(&spoilt)).expect_err("a weight is no number");
    assert!(error.contains("the parameter conv1.bias has values that are no numbers"), "{error}");
}
