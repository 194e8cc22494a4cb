//! Files that cannot be written: training stops with exit code 2, says what is kept, and goes on from there.

use std::path::Path;
use std::process::Command;

use crate::{Ran, assert_same, folder, result, tiny_data};

const TRAIN: [&str; 7] = ["train", "--data", "tiny", "--batch", "8", "--seed", "2"];

/// An undisturbed run of four epochs.
fn undisturbed(folder: &Path) -> Vec<(String, Vec<u8>)> {
    tiny_data(folder, "tiny", 8, &["a", "b"]);
    Ran::well(folder, &[&TRAIN[..], &["--epochs", "4", "--out", "undisturbed"]].concat());
    result(&folder.join("undisturbed"))
}

fn fails(folder: &Path, arguments: &[&str]) -> String {
    let ran = Ran::new(folder, arguments);
    assert_eq!(ran.code, Some(2), "{arguments:?}\n{}", ran.err);
    ran.err
}

/// A folder in the place of a file is what nobody can replace by a file, not even root.
#[test]
fn a_file_that_cannot_be_written_stops_the_run_and_loses_as_little_as_possible() {
    let folder = folder();
    let here = folder.path();
    let expected = undisturbed(here);
    Ran::well(here, &[&TRAIN[..], &["--epochs", "2", "--out", "run"]].concat());
    let run = here.join("run");
    let block = |name: &str| {
        let _ = std::fs::remove_file(run.join(name));
        std::fs::create_dir(run.join(name)).expect("there is room");
    };
    let unblock = |name: &str| std::fs::remove_dir(run.join(name)).expect("it is empty");

    // A checkpoint: the steps of the epoch are kept in a state.
    block("last.safetensors");
    let error = fails(here, &["train", "--resume", "run", "--epochs", "4"]);
    let says = "error: training stopped: run/last.safetensors: the checkpoint cannot be written: ";
    assert!(error.contains(says), "{error}");
    let says = "\n  kept: the training state of step 5 of epoch 3, and run/best.safetensors, the weights after epoch ";
    assert!(error.contains(says), "{error}");
    assert!(error.ends_with("then go on: lenslet train --resume run\n"), "{error}");
    unblock("last.safetensors");

    // A state: the one before it is kept.
    let place = lenslet::State::open(&run.join("state-0.safetensors")).expect("it is whole");
    let older = usize::from(place.standing().so_far.epoch == 3);
    block(&format!("state-{older}.safetensors"));
    let error = fails(here, &["train", "--resume", "run", "--checkpoint-every", "1"]);
    assert!(error.contains(": the training state cannot be written: "), "{error}");
    assert!(error.contains("kept: the training state of step 5 of epoch 3, and run/best.safetensors"), "{error}");
    assert!(error.contains("; later steps are lost\n"), "{error}");
    unblock(&format!("state-{older}.safetensors"));

    Ran::well(here, &["train", "--resume", "run"]);
    assert_same(&run, &expected);
}

/// Files may not grow beyond some size, by the shell's `ulimit`; the signal about it is ignored, so that writing fails.
#[cfg(unix)]
#[test]
fn a_run_that_cannot_begin_leaves_nothing_behind() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 8, &["a", "b"]);
    std::fs::create_dir(here.join("empty")).expect("there is room");
    for out in ["new", "empty"] {
        let shell = "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.current_dir(here).args(["-c", shell, env!("CARGO_BIN_EXE_lenslet")]).args(TRAIN).args(["--out", out]);
        let ran = Ran::from(command.output().expect("there is a shell"));
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(&format!("error: {out}/state-")), "{}", ran.err);
        assert!(ran.err.contains("the training state cannot be written: File too large"), "{}", ran.err);
        assert!(
            !here.join(out).exists() || std::fs::read_dir(here.join(out)).is_ok_and(|mut left| left.next().is_none())
        );
    }
}

/// A small file system in memory, where the machine allows to mount one.
#[cfg(target_os = "linux")]
struct Small(std::path::PathBuf);

#[cfg(target_os = "linux")]
impl Small {
    fn mount(at: &Path, kib: u32) -> Option<Self> {
        std::fs::create_dir(at).expect("there is room");
        let options = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|ran| ran.status.success()).then(|| Self(at.into()))
    }

    fn change(&self, options: &str) {
        let options = format!("remount,{options}");
        let changed = Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(changed.expect("it was mounted before").success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    let folder = folder();
    let here = folder.path();
    let expected = undisturbed(here);
    let Some(disk) = Small::mount(&here.join("disk"), 1200) else {
        println!("skipped: this machine does not let us mount a small tmpfs");
        return;
    };
    // There is room for the first state and the first checkpoints, and for no second state.
    let begin = [&TRAIN[..], &["--epochs", "4", "--out", "disk/run"]].concat();
    let error = fails(here, &begin);
    assert!(error.contains("cannot be written: No space left on device"), "{error}");
    assert!(error.contains("\n  kept: the training state of the beginning; later steps are lost\n"), "{error}");
    assert!(error.contains("mend it: free some space there, or see that the folder can be written to;"), "{error}");
    let error = fails(here, &["train", "--resume", "disk/run"]);
    assert!(error.contains("No space left on device"), "{error}");
    // With more room it goes on; where nothing can be written, it is refused.
    disk.change("size=4m,ro");
    let error = fails(here, &["train", "--resume", "disk/run"]);
    assert!(error.contains("error: disk/run/.lock: cannot be written: Read-only file system"), "{error}");
    let error = fails(here, &[&TRAIN[..], &["--out", "disk/other"]].concat());
    assert!(error.contains("error: disk/other: cannot be written: Read-only file system"), "{error}");
    disk.change("size=4m,rw");
    Ran::well(here, &["train", "--resume", "disk/run"]);
    assert_same(&here.join("disk/run"), &expected);
    drop(disk);
}
