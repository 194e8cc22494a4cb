//! `runs`: what it makes of the folders of runs, and of all else that may lie beside them.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::{Ran, folder};

/// A run's folder that was last written to `hours` ago.
fn run(here: &Path, name: &str, hours: u64, config: &str, metrics: &str) {
    let folder = here.join("runs").join(name);
    fs::create_dir_all(&folder).expect("there is room");
    let then = SystemTime::now() - Duration::from_secs(hours * 3_600 + 60);
    for (file, text) in [("config.json", config), ("metrics.jsonl", metrics)] {
        fs::write(folder.join(file), text).expect("there is room");
        let file = File::options().write(true).open(folder.join(file)).expect("it was just written");
        file.set_modified(then).expect("times can be set");
    }
}

fn config(network: &str, data: &str, epochs: usize) -> String {
    let sgd = json!({ "name": "sgd", "momentum": 0.9, "nesterov": false, "weight_decay": 0.0 });
    // The rest is as it usually is, as where a run was older than a setting.
    let settings = json!({ "epochs": epochs, "batch": 64, "optimizer": sgd, "rate": 0.01, "schedule": "constant" });
    json!({ "network": network, "data": data, "settings": settings }).to_string()
}

fn epoch(epoch: usize, accuracy: f64, seconds: f64) -> String {
    let line = json!({ "epoch": epoch, "test_accuracy": accuracy, "seconds": seconds });
    format!("{line}\n")
}

/// Runs of every kind.
fn some_runs(here: &Path) {
    let three = epoch(1, 0.5, 10.0) + &epoch(2, 0.75, 20.0) + &epoch(3, 0.7, 30.0);
    run(here, "finished", 3, &config("lesson", "shapes", 3), &three);
    let torn = epoch(1, 0.8, 100.0) + &epoch(2, 0.9, 7_640.0) + "{\"epoch\":3,\"test_acc";
    run(here, "stopped", 50, &config("resnet20", "data/images/cifar10", 40), &torn);
    run(here, "just-begun", 0, &config("lesson", "shapes", 20), "");
    run(here, "broken", 1, "{\"network\":", &three);
    let long = "a-run-whose-name-goes-on-and-on-and-on";
    run(here, long, 400, "{\"network\":\"a-network-with-a-name\",\"settings\":7}", &epoch(1, 0.25, -1.0));
    fs::create_dir_all(here.join("runs/notes")).expect("there is room");
    fs::write(here.join("runs/readme.txt"), "not a folder").expect("there is room");
}

#[test]
fn runs_are_listed_with_settings_and_results() {
    let folder = folder();
    some_runs(folder.path());
    let ran = Ran::well(folder.path(), &["runs"]);
    assert_eq!(ran.err, "note: 1 folder is no run: notes\n");
    // The date is the one thing here that no two days agree on.
    let date = |line: &str| match line.strip_prefix("  2") {
        Some(rest) => format!("  DATE{}", &rest["026-11-25 13:16".len()..]),
        None => line.to_owned(),
    };
    let found: Vec<String> = ran.out.lines().map(date).collect();
    let expected = "\
run                         when       network     data     epochs    last    best        time  state
──────────────────────────  ─────────  ──────────  ───────  ──────  ──────  ──────  ──────────  ──────────
just-begun                  1 min ago  lesson      shapes     0/20       –       –           –  stopped
  DATE  20 epochs, batch 64, sgd at 0.01 (momentum 0.9), constant rate, seed 0
broken                      1 h ago    –           –           0/?       –       –           –  unreadable
  DATE  config.json: EOF while parsing a value at line 1 column 11
finished                    3 h ago    lesson      shapes      3/3  70.0 %  75.0 %        30 s  finished
  DATE  3 epochs, batch 64, sgd at 0.01 (momentum 0.9), constant rate, seed 0
stopped                     2 d ago    resnet20    cifar10    2/40  90.0 %  90.0 %  2 h 07 min  stopped
  DATE  40 epochs, batch 64, sgd at 0.01 (momentum 0.9), constant rate, seed 0
a-run-whose-name-goes-on-…  16 d ago   a-network…  –           1/?  25.0 %  25.0 %           –  stopped
  DATE";
    assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{}", ran.out);

    let ran = Ran::well(folder.path(), &["runs", "--sort", "accuracy"]);
    let names: Vec<&str> = ran.out.lines().skip(2).step_by(2).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names[..3], ["stopped", "finished", "a-run-whose-name-goes-on-…"]);
}

#[test]
fn programs_get_an_object_a_run() {
    let folder = folder();
    some_runs(folder.path());
    let runs = Ran::well(folder.path(), &["runs", "--json"]).json();
    let states: Vec<&Value> = runs.iter().map(|run| &run["state"]).collect();
    assert_eq!(states, ["stopped", "unreadable", "finished", "stopped", "stopped"]);
    let finished = &runs[2];
    assert_eq!(finished["run"], "runs/finished");
    assert_eq!((&finished["epochs_done"], &finished["epochs"]), (&json!(3), &json!(3)));
    let accuracies = (&finished["last_test_accuracy"], &finished["best_test_accuracy"], &finished["seconds"]);
    assert_eq!(accuracies, (&json!(0.7), &json!(0.75), &json!(30.0)));
    assert_eq!((&finished["settings"]["batch"], &runs[1]["network"]), (&json!(64), &Value::Null));
    let time = finished["time"].as_str().expect("a text");
    assert!(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "{time}");
    // A run is listed by itself.
    let alone = Ran::well(folder.path(), &["runs", "runs/finished", "--json"]).json();
    assert_eq!(&alone[0], finished);
}

#[test]
fn a_folder_without_runs_is_said() {
    let folder = folder();
    let ran = Ran::well(folder.path(), &["runs"]);
    assert_eq!((&*ran.out, &*ran.err), ("", "no runs in runs; `lenslet train` makes one\n"));
    let ran = Ran::new(folder.path(), &["runs", "elsewhere"]);
    assert_eq!(ran.code, Some(2));
    let expected = "error: elsewhere: cannot be read: No such file or directory (os error 2)\n  \
                    mend it: give the folder that holds the runs, or leave it out for runs\n";
    assert_eq!(ran.err, expected);
}
