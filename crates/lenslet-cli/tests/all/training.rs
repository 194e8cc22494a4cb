//! `train`, and what `eval` and `predict` make of its checkpoints.

use std::path::Path;

use serde_json::Value;

use crate::{Ran, folder, metrics, picture, tiny_data};

/// The bytes of a file.
fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The keys of a JSON object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn a_run_is_reproduced_by_its_checkpoint() {
    let folder = folder();
    let here = folder.path();
    let ran = Ran::well(here, &["train", "--epochs", "1", "--json"]);
    let [epoch, done] = &ran.json()[..] else { panic!("two lines: {}", ran.out) };
    assert_eq!(keys(done), ["best_test_accuracy", "event", "run", "seconds", "test_accuracy"]);
    let expected = [
        "epoch",
        "event",
        "images_per_second",
        "seconds",
        "test_accuracy",
        "test_loss",
        "train_accuracy",
        "train_loss",
    ];
    assert_eq!(keys(epoch), expected);
    assert_eq!((&epoch["event"], &epoch["epoch"], &done["event"]), (&"epoch".into(), &1.into(), &"done".into()));
    assert_eq!(done["run"], "runs/lesson-shapes-1");
    // Nothing is wrong with the standard run.
    assert!(!ran.err.contains("warning"), "{}", ran.err);
    assert!(!here.join("runs/lesson-shapes-1/warnings.txt").exists());

    let run = here.join("runs/lesson-shapes-1");
    let metrics: Value = serde_json::from_slice(&bytes(run.join("metrics.jsonl"))).expect("one line of JSON");
    assert_eq!((&metrics["test_loss"], &metrics["learning_rate"]), (&epoch["test_loss"], &0.01.into()));
    let config: Value = serde_json::from_slice(&bytes(run.join("config.json"))).expect("JSON");
    assert_eq!((&config["network"], &config["settings"]["batch"]), (&"lesson".into(), &64.into()));

    // A run's folder, and each of its checkpoints, which are the same after one epoch.
    for which in ["", "/best.safetensors", "/last.safetensors"] {
        let evaluated = Ran::well(here, &["eval", &format!("runs/lesson-shapes-1{which}"), "--json"]);
        let json = &evaluated.json()[0];
        let expected = [
            "classes",
            "confusion",
            "images",
            "macro_average",
            "mistakes",
            "test_accuracy",
            "test_loss",
            "weighted_average",
        ];
        assert_eq!(keys(json), expected);
        assert_eq!((&json["test_accuracy"], &json["images"]), (&epoch["test_accuracy"], &2_000.into()));
        assert_eq!(json["test_loss"], epoch["test_loss"]);
    }

    // The next run gets the next number.
    let ran = Ran::well(here, &["train", "--epochs", "1"]);
    assert!(ran.out.ends_with("next: lenslet predict runs/lesson-shapes-2 IMAGE.png\n"), "{}", ran.out);
    assert!(ran.out.contains("class             precision  recall      F1  images\n"), "{}", ran.out);
    assert!(ran.err.contains("epoch 1/1  loss "), "{}", ran.err);
}

#[test]
fn a_picture_gets_five_answers_that_are_probabilities() {
    let folder = folder();
    let here = folder.path();
    Ran::well(here, &["train", "--epochs", "1", "--out", "run"]);
    picture(&here.join("small.png"), 32, 32);
    picture(&here.join("large.png"), 48, 40);
    let ran = Ran::well(here, &["predict", "run", "small.png", "large.png", "--json"]);
    assert_eq!(ran.err, "note: large.png is 40x48 and was resized to 32x32\n");
    let answers = ran.json();
    for (answer, image) in answers.iter().zip(["small.png", "large.png"]) {
        assert_eq!(answer["image"], image);
        let top = answer["top"].as_array().expect("a list");
        let probabilities: Vec<f64> = top.iter().filter_map(|class| class["probability"].as_f64()).collect();
        assert_eq!(probabilities.len(), 5);
        assert!(probabilities.is_sorted_by(|a, b| a >= b) && probabilities[4] > 0.0, "{probabilities:?}");
        assert!(probabilities.iter().sum::<f64>() < 1.0);
    }
    // One colour stays one colour when it is resized.
    assert_eq!(answers[0]["top"], answers[1]["top"]);

    let text = Ran::well(here, &["predict", "run", "small.png"]).out;
    assert!(text.starts_with("small.png\n  ") && text.lines().count() == 6, "{text}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let folder = folder();
    let train = |out: &str, seed: &str, threads: &str| {
        Ran::well(folder.path(), &["train", "--epochs", "1", "--seed", seed, "--threads", threads, "--out", out]);
        bytes(folder.path().join(out).join("last.safetensors"))
    };
    let first = train("first", "5", "1");
    assert!(first == train("again", "5", "1"), "a second run differs");
    assert!(first == train("threads", "5", "2"), "two threads differ from one");
    assert!(first != train("seed", "6", "1"), "another seed makes no difference");
}

/// Signals as a shell sends them: during an epoch, long before the run's end.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_a_checkpoint() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    for signal in ["INT", "TERM"] {
        let folder = folder();
        let mut command = crate::program(folder.path(), &["train", "--epochs", "100000", "--out", "run"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
        let begun = Instant::now();
        let metrics = folder.path().join("run/metrics.jsonl");
        // Until the first epoch is done; the limit is for a program that hangs.
        while !std::fs::read(&metrics).is_ok_and(|bytes| !bytes.is_empty()) {
            assert!(begun.elapsed() < Duration::from_secs(120), "no epoch was finished");
            std::thread::sleep(Duration::from_millis(10));
        }
        let kill = format!("kill -{signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("there is a shell").success());
        let ran = Ran::from(child.wait_with_output().expect("the program ends"));
        assert_eq!(ran.code, Some(130), "{}", ran.err);
        assert!(ran.err.contains("the weights of this moment are kept in run/last.safetensors"), "{}", ran.err);
        for checkpoint in ["run/last.safetensors", "run/best.safetensors"] {
            Ran::well(folder.path(), &["eval", checkpoint]);
        }
    }
}

#[test]
fn patience_ends_a_run_and_it_stays_ended() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    // Steps that are too small to change an answer.
    let train = ["train", "--data", "data", "--epochs", "9", "--patience", "2", "--lr", "1e-9", "--out", "run"];
    let ran = Ran::well(folder.path(), &train);
    assert!(ran.err.contains("note: no better epoch within the patience; training ends here"), "{}", ran.err);
    assert!(ran.out.contains("after 3 epochs in "), "{}", ran.out);
    assert_eq!(metrics(&folder.path().join("run")).len(), 3);
    let ran = Ran::well(folder.path(), &["train", "--resume", "run"]);
    assert!(ran.err.contains("note: the run is finished, all its 3 epochs are done"), "{}", ran.err);
    assert_eq!(metrics(&folder.path().join("run")).len(), 3);
}

#[test]
fn a_network_is_tested_by_the_views_that_it_was_trained_with() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    let train = ["train", "--data", "data", "--epochs", "1", "--tta", "flip-shift", "--ema", "0.5", "--out", "run"];
    let done = Ran::well(folder.path(), &[&train[..], &["--json"]].concat()).json();
    let eval = |arguments: &[&str]| Ran::well(folder.path(), &[&["eval", "run", "--json"], arguments].concat()).json();
    assert_eq!(eval(&[])[0]["test_loss"], done[0]["test_loss"]);
    assert_ne!(eval(&["--tta", "none"])[0]["test_loss"], done[0]["test_loss"]);
}

#[test]
fn groups_and_beginnings_that_cannot_be_are_said() {
    let folder = folder();
    for (arguments, message) in [
        (
            vec!["--groups", "cnv1.*: frozen"],
            "--groups: no parameter is called cnv1.*\n  mend it: the nearest is conv1.",
        ),
        (vec!["--groups", "conv1: lr"], "lr is \"\", but must be a number above 0"),
        (vec!["--init", "xavier"], "weights cannot begin as \"xavier\"; there are default, dirac, whiten"),
        (vec!["--lookahead", "0"], "\"0\" is no lookahead; it is STEPS:SHARE, as in 5:0.5"),
        (vec!["--ema", "1"], "--ema is 1, but must be above 0 and below 1"),
        (vec!["--accumulate", "0"], "--accumulate is 0, but must be at least 1"),
        (vec!["--patience", "0"], "--patience is 0, but must be at least 1"),
        (
            vec!["--tta", "five-crop"],
            "there is no test-time augmentation \"five-crop\"; there are none, flip, flip-shift",
        ),
        (vec!["--newton-schulz", "3"], "--newton-schulz belongs to muon, but the optimizer is sgd"),
    ] {
        let ran = Ran::new(folder.path(), &[&["train"], &arguments[..]].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{arguments:?}: {}", ran.err);
    }
}
