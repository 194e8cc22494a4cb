//! `train --resume`: what goes on, what is refused, and what is done about damaged files. Kills are in `kill`.

use std::path::{Path, PathBuf};

use crate::{Ran, assert_same, folder, metrics, program, result, tiny_data};

/// A run of some epochs on tiny data, in `folder/name`; the data are made if they are not there.
fn train(folder: &Path, name: &str, epochs: &str, more: &[&str]) -> PathBuf {
    if !folder.join("tiny").exists() {
        tiny_data(folder, "tiny", 8, &["a", "b"]);
    }
    let arguments = ["train", "--data", "tiny", "--batch", "8", "--epochs", epochs, "--out", name];
    Ran::well(folder, &[&arguments[..], more].concat());
    folder.join(name)
}

/// `--resume run` fails with exactly these words.
fn refuses(folder: &Path, more: &[&str], message: &str) {
    let ran = Ran::new(folder, &[&["train", "--resume", "run"], more].concat());
    assert_eq!((ran.code, &*ran.err), (Some(2), message), "{more:?}");
}

/// The states of a run, the newer one first.
fn states(run: &Path) -> [PathBuf; 2] {
    let mut states = [0, 1].map(|number| run.join(format!("state-{number}.safetensors")));
    let written = |path: &PathBuf| {
        let state = lenslet::State::open(path).expect("it is whole");
        std::cmp::Reverse(state.standing().record.number)
    };
    states.sort_by_key(written);
    states
}

fn flip(path: &Path, place: usize) {
    let mut bytes = std::fs::read(path).expect("it is there");
    bytes[place] ^= 1;
    std::fs::write(path, bytes).expect("there is room");
}

#[test]
fn a_run_can_be_made_longer() {
    let folder = folder();
    let here = folder.path();
    let flags = ["--optimizer", "adamw", "--schedule", "step:2:0.5", "--warmup", "1"];
    let expected = result(&train(here, "long", "5", &flags));
    let run = train(here, "run", "2", &flags);
    let ran = Ran::well(here, &["train", "--resume", "run", "--epochs", "5", "--threads", "1", "--json"]);
    let epochs: Vec<_> = ran.json().iter().map(|line| line["epoch"].clone()).collect();
    assert_eq!(epochs, [3.into(), 4.into(), 5.into(), serde_json::Value::Null]);
    assert!(ran.err.contains("run       run, from the end of epoch 2\n"), "{}", ran.err);
    assert_same(&run, &expected);

    // And then it is done; saying so changes nothing.
    let ran = Ran::well(here, &["train", "--resume", "run"]);
    assert!(ran.err.contains("note: the run is finished, all its 5 epochs are done\n"), "{}", ran.err);
    assert!(ran.out.contains("after 5 epochs in "), "{}", ran.out);
    assert_same(&run, &expected);
}

#[test]
fn flags_that_contradict_the_run_are_refused() {
    let folder = folder();
    let here = folder.path();
    train(here, "run", "2", &["--schedule", "cosine", "--seed", "3", "--clip", "1"]);
    let contradictions = [
        (&["--lr", "0.1"][..], "--lr is 0.1, but the run was begun with 0.01", "lr"),
        (&["--seed", "4"], "--seed is 4, but the run was begun with 3", "seed"),
        (&["--clip", "2"], "--clip is 2, but the run was begun with 1", "clip"),
        (&["--nesterov"], "--nesterov is given, but the run was begun without it", "nesterov"),
        (&["--no-winograd"], "--no-winograd is given, but the run was begun without it", "no-winograd"),
        (&["--optimizer", "adam"], "--optimizer is adam, but the run was begun with sgd", "optimizer"),
        (&["--model", "resnet20"], "--model is resnet20, but the run was begun with lesson", "model"),
    ];
    for (flags, says, flag) in contradictions {
        let remedy = format!("mend it: leave --{flag} out, or start a new run without --resume");
        refuses(here, flags, &format!("error: {says}\n  {remedy}\n"));
    }
    refuses(
        here,
        &["--epochs", "3"],
        "error: --epochs is 3, but the run was begun with 2, by which the schedule cosine has set the rates of the steps done \
         so far\n  mend it: leave --epochs out, or start a new run\n",
    );
    refuses(
        here,
        &["--epochs", "1"],
        "error: --epochs is 1, but the run was begun with 2, and can only be made longer\n  mend it: leave --epochs out; Ctrl-C \
         ends a run early and keeps what it has come to\n",
    );
    refuses(here, &["--lr", "-1"], "error: --lr is -1, but must be a finite number above 0\n");
    // The same value is no contradiction, whether it was given or a default.
    Ran::well(here, &["train", "--resume", "run", "--seed", "3", "--lr", "1e-2", "--batch", "8", "--model", "lesson"]);
    let ran = Ran::new(here, &["train", "--resume", "run", "--out", "other"]);
    assert!(ran.code == Some(2) && ran.err.contains("cannot be used with"), "{}", ran.err);
}

#[test]
fn other_images_are_refused_and_the_same_ones_elsewhere_are_not() {
    let folder = folder();
    let here = folder.path();
    train(here, "run", "1", &[]);
    std::fs::rename(here.join("tiny"), here.join("moved")).expect("there is room");
    let ran = Ran::well(here, &["train", "--resume", "run", "--data", "moved", "--epochs", "2"]);
    assert!(ran.err.contains("run, from the end of epoch 1\n"), "{}", ran.err);
    // One pixel of one image.
    flip(&here.join("moved/data_batch_3.bin"), 5000);
    let ran = Ran::new(here, &["train", "--resume", "run"]);
    assert_eq!(ran.code, Some(2));
    let says = "error: moved: these are not the images that the run was begun with: their hash is ";
    assert!(ran.err.contains(says), "{}", ran.err);
}

#[test]
fn damaged_files_of_a_run_are_recognised() {
    let folder = folder();
    let here = folder.path();
    let expected = result(&train(here, "undisturbed", "3", &[]));
    let run = train(here, "run", "3", &[]);
    // A state torn or flipped anywhere, and the one before is used.
    let whole = std::fs::read(&states(&run)[0]).expect("it is there");
    let newest = states(&run)[0].clone();
    for length in [0, 7, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&newest, &whole[..length]).expect("there is room");
        std::fs::write(run.join(".lenslet-1234.tmp"), "unfinished").expect("there is room");
        let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).expect("they are there");
        std::fs::write(run.join("metrics.jsonl"), metrics + "{\"event\":\"ep").expect("there is room");
        let ran = Ran::well(here, &["train", "--resume", "run"]);
        let name = newest.file_name().expect("a file").to_string_lossy();
        assert!(ran.err.contains(&format!("note: run/{name}: this is no whole ")), "{}", ran.err);
        assert!(ran.err.contains("; the one before it is used, run/state-"), "{}", ran.err);
        assert!(ran.err.contains("run       run, from the end of epoch 2\n"), "{}", ran.err);
        assert_same(&run, &expected);
        assert!(!run.join(".lenslet-1234.tmp").exists());
        assert_eq!(states(&run)[0], newest, "the damaged one was not replaced");
    }
    flip(&newest, whole.len() / 2);
    Ran::well(here, &["train", "--resume", "run"]);
    assert_same(&run, &expected);

    states(&run).iter().for_each(|state| flip(state, 2000));
    refuses(
        here,
        &[],
        "error: run: the run cannot go on: run/state-0.safetensors: this is no whole training state: its checksum does not fit\n  \
         run/state-1.safetensors: this is no whole training state: its checksum does not fit\n  \
         kept: weights, in run/best.safetensors\n  \
         mend it: start it again, with the same result: lenslet train --batch 8 --data tiny --epochs 3\n",
    );
}

#[test]
fn a_finished_run_gets_back_what_is_gone() {
    let folder = folder();
    let here = folder.path();
    let run = train(here, "run", "1", &[]);
    let read = |name: &str| std::fs::read(run.join(name)).expect("it is there");
    let before = ["best.safetensors", "last.safetensors"].map(read);
    for name in ["best.safetensors", "last.safetensors"] {
        std::fs::remove_file(run.join(name)).expect("it is there");
    }
    Ran::well(here, &["train", "--resume", "run"]);
    assert!(["best.safetensors", "last.safetensors"].map(read) == before);
}

#[test]
fn data_that_moved_are_asked_for() {
    let folder = folder();
    let here = folder.path();
    train(here, "run", "1", &[]);
    std::fs::rename(here.join("tiny"), here.join("moved")).expect("it is there");
    let ran = Ran::new(here, &["train", "--resume", "run"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.ends_with("  if the data are elsewhere now: give --data their new place beside --resume\n"),
        "{}",
        ran.err
    );
    Ran::well(here, &["train", "--resume", "run", "--data", "moved"]);
}

#[test]
fn what_is_no_run_is_refused() {
    let folder = folder();
    let here = folder.path();
    refuses(
        here,
        &[],
        "error: run: expected the folder of a run, but it cannot be read: No such file or directory (os error 2)\n  \
         mend it: give the folder of a run\n",
    );
    assert!(!here.join("run").exists());
    std::fs::create_dir(here.join("run")).expect("there is room");
    refuses(
        here,
        &[],
        "error: run: there is no config.json, so no run that could go on; one that was stopped so early has lost nothing\n  \
         mend it: give the folder of a run, or start anew without --resume\n",
    );
    assert_eq!(std::fs::read_dir(here.join("run")).expect("it is a folder").count(), 0);
    let run = train(here, "run", "1", &[]);
    states(&run).iter().for_each(|state| std::fs::remove_file(state).expect("it is there"));
    refuses(
        here,
        &[],
        "error: run: the run cannot go on: there is no training state; the run was stopped before it could write one\n  \
         kept: weights, in run/best.safetensors\n  \
         mend it: start it again, with the same result: lenslet train --batch 8 --data tiny --epochs 1\n",
    );
    std::fs::write(run.join("config.json"), "{}").expect("there is room");
    refuses(
        here,
        &[],
        "error: run/config.json: cannot be read: missing field `version` at line 1 column 2\n  mend it: start anew without \
         --resume\n",
    );
}

#[test]
fn another_instruction_set_is_remarked() {
    let folder = folder();
    let here = folder.path();
    let config = train(here, "run", "1", &[]).join("config.json");
    let json = std::fs::read_to_string(&config).expect("it is there");
    let mut json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    json["instruction_set"] = "abacus".into();
    std::fs::write(&config, json.to_string()).expect("there is room");
    let ran = Ran::well(here, &["train", "--resume", "run", "--epochs", "2"]);
    assert!(ran.err.contains("note: the instruction set was abacus and is "), "{}", ran.err);
}

#[test]
fn the_checkpoints_of_the_latest_epochs_are_kept() {
    let folder = folder();
    let here = folder.path();
    let run = train(here, "run", "4", &["--keep", "2"]);
    let kept = |run: &Path| -> Vec<String> {
        let names = result(run).into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("epoch-")).collect()
    };
    assert_eq!(kept(&run), ["epoch-0003.safetensors", "epoch-0004.safetensors"]);
    let same =
        |a: &str, b: &str| std::fs::read(run.join(a)).expect("a file") == std::fs::read(run.join(b)).expect("a file");
    assert!(same("epoch-0004.safetensors", "last.safetensors"));
    Ran::well(here, &["train", "--resume", "run", "--epochs", "5"]);
    assert_eq!(kept(&run), ["epoch-0004.safetensors", "epoch-0005.safetensors"]);
    Ran::well(here, &["train", "--resume", "run", "--epochs", "6", "--keep", "1"]);
    assert_eq!(kept(&run), ["epoch-0006.safetensors"]);
    assert!(run.join("best.safetensors").is_file() && run.join("last.safetensors").is_file());
}

/// Ctrl-C in the middle of an epoch, and another process in the same folder.
#[cfg(unix)]
#[test]
fn ctrl_c_is_gone_on_from_and_two_processes_are_one_too_many() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 40, &["a", "b"]);
    let run = here.join("run");
    let lines = || std::fs::read(run.join("metrics.jsonl")).map_or(0, |text| text.split(|&byte| byte == b'\n').count());
    let begin = ["train", "--data", "tiny", "--batch", "4", "--epochs", "100000", "--out", "run"];
    let mut place = String::new();
    for arguments in [&begin[..], &["train", "--resume", "run"], &["train", "--resume", "run"]] {
        let (begun, before) = (Instant::now(), lines());
        let mut command = program(here, arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be started");
        // Until an epoch or two are done; the limit is for a program that hangs.
        while lines() < before + 2 {
            assert!(begun.elapsed() < Duration::from_secs(120), "no epoch was finished");
            std::thread::sleep(Duration::from_millis(5));
        }
        let owner = child.id();
        refuses(
            here,
            &[],
            &format!(
                "error: run: another lenslet is training in this folder (process {owner})\n  mend it: wait until it is done, \
                 or stop it first\n"
            ),
        );
        Ran::well(here, &["eval", "run"]);
        let stopped = Command::new("kill").args(["-INT", &owner.to_string()]).status();
        assert!(stopped.expect("there is a program called kill").success());
        let ran = Ran::from(child.wait_with_output().expect("the program ends"));
        assert_eq!(ran.code, Some(130), "{}", ran.err);
        assert!(ran.err.ends_with("\ngo on from here: lenslet train --resume run\n"), "{}", ran.err);
        assert!(ran.err.contains(&format!("run       run{place}\n")), "{}", ran.err);
        // The very step is where the next one begins.
        let state = lenslet::State::open(&states(&run)[0]).expect("it is whole");
        let so_far = &state.standing().so_far;
        place = format!(", from step {} of epoch {}", so_far.steps, so_far.epoch);
        if so_far.epoch == state.standing().record.epochs_done {
            place = format!(", from the end of epoch {}", so_far.epoch);
        }
    }
    // With a constant rate, the epochs of a shorter run are those of a longer one.
    let stopped = metrics(&run);
    let epochs = stopped.len().to_string();
    Ran::well(here, &["train", "--data", "tiny", "--batch", "4", "--epochs", &epochs, "--out", "undisturbed"]);
    assert_eq!(stopped, metrics(&here.join("undisturbed")));
}
