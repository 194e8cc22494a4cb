//! Training that is killed (SIGKILL) at 50 random moments, the writing of its files included, and goes on each time, ends
//! with the same bytes as training that nothing disturbed.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{Ran, assert_same, folder, program, result, tiny_data};

const KILLS: usize = 50;

/// Few and small steps, and a state after each: most of the time goes into writing files.
const TRAIN: [&str; 13] = [
    "train",
    "--data",
    "tiny",
    "--epochs",
    "4",
    "--batch",
    "8",
    "--checkpoint-every",
    "1",
    "--keep",
    "2",
    "--seed",
    "5",
];

/// Numbers of chance that are the same in every run of the test (Knuth's MMIX constants); the moments themselves are the
/// machine's.
struct Chance(u64);

impl Chance {
    /// Evenly from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Starts the program and kills it after `delay`, unless it is done before. Returns whether it was killed.
fn killed(folder: &Path, arguments: &[&str], delay: Duration) -> bool {
    let mut command = program(folder, arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program can be started");
    std::thread::sleep(delay);
    let _ = child.kill();
    let ran = child.wait_with_output().expect("it has ended");
    let error = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code().is_none_or(|code| code == 0), "a run does not go on:\n{error}");
    ran.status.code().is_none()
}

#[test]
fn fifty_kills_change_no_byte() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 8, &["a", "b", "c"]);
    let begun = Instant::now();
    Ran::well(here, &[&TRAIN[..], &["--out", "undisturbed"]].concat());
    let whole = begun.elapsed();
    let expected = result(&here.join("undisturbed"));
    let names = ["best.safetensors", "epoch-0003.safetensors", "epoch-0004.safetensors", "last.safetensors"];
    assert_eq!(expected.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>()[..4], names);

    // On a slow machine not to the end of the run each time: it goes on for long enough.
    let longest = whole.min(Duration::from_millis(800));
    let run = here.join("run");
    let (mut chance, mut kills, mut amid_writing, mut finished) = (Chance(1), 0, 0, 0);
    while kills < KILLS || run.exists() {
        let arguments = if can_go_on(&run) {
            vec!["train", "--resume", "run"]
        } else {
            // The earliest kills leave nothing to go on from: the run begins anew, as its error says.
            let _ = std::fs::remove_dir_all(&run);
            [&TRAIN[..], &["--out", "run"]].concat()
        };
        if kills < KILLS && killed(here, &arguments, longest.mul_f64(chance.next())) {
            kills += 1;
            amid_writing += usize::from(unfinished(&run));
            continue;
        }
        if kills == KILLS {
            Ran::well(here, &arguments);
        }
        assert_same(&run, &expected);
        assert!(!unfinished(&run), "a file that was being written is still there");
        std::fs::remove_dir_all(&run).expect("it can be removed");
        finished += 1;
    }
    assert!(finished > 0, "no run has ended");
    println!(
        "an undisturbed run took {whole:.2?}; {kills} kills, {amid_writing} of them amid writing; {finished} runs ended"
    );
}

/// Whether a run came as far as to its first state.
fn can_go_on(run: &Path) -> bool {
    let has = |name: &str| run.join(name).is_file();
    has("config.json") && (has("state-0.safetensors") || has("state-1.safetensors"))
}

/// Whether a file was being written at the kill.
fn unfinished(run: &Path) -> bool {
    let entries = std::fs::read_dir(run).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with(".tmp"))
}
