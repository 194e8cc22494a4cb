//! What a user can get wrong: one clear message, exit code 2, never a panic.

use crate::{Ran, folder, picture, program, tiny_data};

/// The end of a failing command, and what its message says.
fn fails(arguments: &[&str], says: &str) {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "no folder").unwrap();
    let ran = Ran::new(folder.path(), arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}\n{}", ran.err);
    assert!(ran.err.contains(says), "{arguments:?} does not say {says:?}:\n{}", ran.err);
    assert!(!folder.path().join("runs").exists(), "{arguments:?} left a run behind");
}

#[test]
fn names_that_do_not_exist() {
    let networks =
        "there is no network called \"leson\"; did you mean lesson?\n  mend it: `lenslet summary --list` shows all";
    for command in [&["train", "--model", "leson"][..], &["summary", "leson"], &["check", "leson"], &["bench", "leson"]]
    {
        fails(command, networks);
    }
    fails(&["train", "--data", "nowhere"], "nowhere: expected a folder with a data set, found nothing");
    fails(
        &["train", "--data", "file"],
        "file: expected a folder with a data set, an archive (tar, tar.gz, zip) or .npz, found a file",
    );
    fails(&["train", "--optimizer", "sdg"], "[possible values: sgd, adam, adamw, muon]");
    fails(&["train", "--schedule", "cosinus"], "no schedule is named cosinus; there are constant, step:EPOCHS:GAMMA");
    fails(&["trian"], "unrecognized subcommand 'trian'");
}

#[test]
fn an_instruction_set_that_does_not_exist() {
    let folder = folder();
    let mut command = program(folder.path(), &["bench", "lesson"]);
    let ran = Ran::from(command.env("LENSLET_ISA", "sse9").output().expect("the program can be started"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    assert!(ran.err.starts_with("error: LENSLET_ISA is \"sse9\", but this processor has "), "{}", ran.err);
    assert!(ran.err.ends_with("portable\n  mend it: one of these, or unset LENSLET_ISA for the best\n"), "{}", ran.err);
}

#[test]
fn settings_out_of_their_range() {
    fails(&["train", "--batch", "0"], "error: --batch is 0, but must be at least 1\n");
    fails(&["train", "--epochs", "0"], "error: --epochs is 0, but must be at least 1\n");
    fails(&["train", "--lr", "nan"], "error: --lr is NaN, but must be a finite number above 0\n");
    fails(&["train", "--lr", "1e40"], "error: --lr is inf, but must be a finite number above 0\n");
    fails(&["train", "--lr", "-0.1"], "error: --lr is -0.1, but must be a finite number above 0\n");
    fails(&["train", "--threads", "0"], "error: --threads is 0, but must be from 1 to 1024\n");
    fails(&["train", "--momentum", "1"], "error: --momentum is 1, but must be from 0 to below 1\n");
    fails(&["train", "--clip", "0"], "error: --clip is 0, but must be a finite number above 0\n");
    fails(&["train", "--warmup", "21"], "error: --warmup is 21, but must be a number of epochs from 0 to --epochs\n");
    fails(&["train", "--label-smoothing", "1"], "error: --label-smoothing is 1, but must be from 0 to below 1\n");
    fails(
        &["train", "--optimizer", "adam", "--momentum", "0.5"],
        "--momentum belongs to sgd and muon, but the optimizer is adam",
    );
    fails(&["train", "--batch", "many"], "invalid value 'many' for '--batch <N>'");
    fails(&["bench", "lesson", "--batch", "0"], "error: --batch is 0, but must be at least 1\n");
    fails(&["bench", "lesson", "--classes", "0"], "error: --classes is 0, but must be at least 1\n");
    fails(&["bench", "lesson", "--rounds", "0"], "error: --rounds is 0, but must be at least 1\n");
    fails(
        &["bench", "lesson", "--seconds", "nan"],
        "error: --seconds is NaN, but must be above 0, and 86400 at most\n",
    );
    fails(&["bench", "lesson", "--threads", "0"], "error: --threads is 0, but must be from 1 to 1024\n");
    fails(&["summary", "lesson", "--input", "3x32"], "expected channels, height and width, as in 3x32x32");
    fails(&["check", "lesson", "--input", "3x0x32"], "an image of 3x0x32 is not possible");
}

#[test]
fn places_that_cannot_be_written() {
    fails(&["train", "--out", "file"], "file: cannot be written");
    fails(&["train", "--out", "file/run"], "file/run: cannot be written");
    fails(&["train", "--out", "."], ".: the folder already holds files, and a run never overwrites another");
}

#[test]
fn checkpoints_that_are_none() {
    fails(&["eval", "nowhere"], "nowhere: there is no such file or folder");
    fails(&["predict", ".", "file"], ".: the folder has no checkpoint, neither best.safetensors nor last.safetensors");
    fails(&["eval", "file"], "file: this is no whole safetensors file");
}

#[test]
fn a_checkpoint_that_is_cut_short() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["a", "b"]);
    Ran::well(folder.path(), &["train", "--data", "tiny", "--epochs", "1", "--out", "run"]);
    let best = folder.path().join("run/best.safetensors");
    let bytes = std::fs::read(&best).unwrap();
    for length in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&best, &bytes[..length]).unwrap();
        let ran = Ran::new(folder.path(), &["eval", "run"]);
        assert_eq!(ran.code, Some(2), "{length} bytes: {}", ran.err);
        assert!(ran.err.contains("run/best.safetensors: this is no whole safetensors file"), "{}", ran.err);
    }
}

#[test]
fn data_that_does_not_fit_the_network() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["a", "b"]);
    Ran::well(folder.path(), &["train", "--data", "tiny", "--epochs", "1", "--out", "run"]);
    let ran = Ran::new(folder.path(), &["eval", "run", "--data", "shapes"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("the network knows 2 classes (a, b), but shapes has 10 (circle, square,"), "{}", ran.err);
}

#[test]
fn a_picture_that_cannot_be_read_does_not_stop_the_others() {
    let folder = folder();
    tiny_data(folder.path(), "tiny", 8, &["a", "b"]);
    Ran::well(folder.path(), &["train", "--data", "tiny", "--epochs", "1", "--out", "run"]);
    picture(&folder.path().join("red.png"), 32, 32);
    std::fs::write(folder.path().join("text.png"), "no picture").unwrap();
    let ran = Ran::new(folder.path(), &["predict", "run", "gone.png", "text.png", "red.png", "--json"]);
    assert_eq!((ran.code, ran.json().len()), (Some(2), 1), "{}", ran.err);
    assert!(ran.err.contains("gone.png: ") && ran.err.contains("text.png: "), "{}", ran.err);
}

/// The rate is absurd from the first step, or from the second epoch on.
#[test]
fn a_loss_that_is_no_number_stops_training() {
    let folder = folder();
    let ran = Ran::new(folder.path(), &["train", "--lr", "1e30", "--out", "at-once"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let says = "error: training stopped: in epoch 1, step 2, the loss became NaN, first at conv2 (conv2d, at ";
    assert!(ran.err.contains(says), "{}", ran.err);
    assert!(ran.err.ends_with("  kept: at-once/last.safetensors, the weights of the last good step\n"), "{}", ran.err);
    Ran::well(folder.path(), &["eval", "at-once"]);

    let ran = Ran::new(folder.path(), &["train", "--schedule", "step:1:1e30", "--out", "later", "--json"]);
    assert_eq!((ran.code, ran.json().len()), (Some(2), 1), "{}", ran.err);
    assert!(ran.err.contains("in epoch 2, step 2, the loss became NaN"), "{}", ran.err);
    assert!(ran.err.ends_with("  kept: later/last.safetensors, the weights after epoch 1\n"), "{}", ran.err);
    let evaluated = Ran::well(folder.path(), &["eval", "later", "--json"]);
    assert_eq!(evaluated.json()[0]["test_accuracy"], ran.json()[0]["test_accuracy"]);
}
