//! A study: table, chart and results; going on where it was stopped.

use crate::{Ran, folder, tiny_data};

const STUDY: &str = "\
about = \"two steps\"
seeds = 2
[[step]]
name = \"plain\"
train = { data = \"data\", epochs = 1, lr = 0.01 }
[[step]]
name = \"+ flip\"
train = { augment = \"flip\" }
";

#[test]
fn a_study_trains_each_step_with_each_seed_once() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    std::fs::write(folder.path().join("mine.toml"), STUDY).expect("there is room");
    let ran = Ran::well(folder.path(), &["study", "mine.toml", "-o", "out", "--seeds", "1"]);
    assert_eq!(ran.out.matches("plain").count(), 1, "{}", ran.out);
    let results = || std::fs::read_to_string(folder.path().join("out/results.jsonl")).expect("there are results");
    assert_eq!(results().lines().count(), 2);
    // What is there is not done again; a torn line is.
    std::fs::write(
        folder.path().join("out/results.jsonl"),
        results().trim_end().rsplit_once('\n').expect("two").0.to_owned() + "\n{\"st\n",
    )
    .expect("there is room");
    let ran = Ran::well(folder.path(), &["study", "mine.toml", "-o", "out", "--json"]);
    let trained: Vec<_> = ran.json().iter().map(|done| (done["step"].clone(), done["seed"].clone())).collect();
    assert_eq!(trained, [("+ flip".into(), 0.into()), ("plain".into(), 1.into()), ("+ flip".into(), 1.into())]);
    let text = std::fs::read_to_string(folder.path().join("out/study.md")).expect("there is a table");
    assert!(text.contains("- + flip: `lenslet train --augment flip --data data --epochs 1 --lr 0.01`"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("| plain | ") && line.ends_with(" | 2 |")), "{text}");
    let svg = std::fs::read_to_string(folder.path().join("out/study.svg")).expect("there is a chart");
    assert!(svg.contains("A study: two steps") && svg.contains("2  + flip"));
    assert!(folder.path().join("out/study.png").is_file());
}

#[test]
fn a_study_is_understood_before_it_begins() {
    let folder = folder();
    for (study, message) in [
        (
            STUDY.replace("lr = 0.01", "lr = -1"),
            "mine.toml, step \"plain\": --lr is -1, but must be a finite number above 0",
        ),
        (
            STUDY.replace("flip\" }", "flop\" }"),
            "mine.toml, step \"+ flip\": invalid value 'flop' for '--augment <OPS>'",
        ),
        (STUDY.replace("lr = 0.01", "model = \"lessen\""), "did you mean lesson?"),
        ("about = \"\"\nseeds = 1\nstep = []".into(), "mine.toml: the study has no steps"),
        ("seeds = 1".into(), "mine.toml: the study is not well written: "),
    ] {
        std::fs::write(folder.path().join("mine.toml"), &study).expect("there is room");
        let ran = Ran::new(folder.path(), &["study", "mine.toml"]);
        assert_eq!(ran.code, Some(2), "{study}: {}", ran.err);
        assert!(ran.err.contains(message), "{study}: {}", ran.err);
    }
    assert!(Ran::well(folder.path(), &["study", "--print"]).out.contains("[[step]]"));
}
