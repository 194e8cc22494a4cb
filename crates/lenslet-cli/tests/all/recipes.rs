//! Recipes: listed, printed, trained by, changed, and checked.

use crate::{Ran, folder, tiny_data};

#[test]
fn recipes_are_listed_and_printed() {
    let folder = folder();
    let ran = Ran::well(folder.path(), &["recipes"]);
    for name in ["lesson", "lesson-augmented", "over80", "over90", "airbench94", "airbench96", "resnet18", "photos"] {
        assert!(ran.out.lines().any(|line| line.starts_with(name)), "{name}: {}", ran.out);
    }
    let ran = Ran::well(folder.path(), &["recipes", "--json"]);
    assert_eq!(ran.json().len(), 8);
    assert_eq!(ran.json()[0]["target_accuracy"], 0.626);
    let ran = Ran::well(folder.path(), &["recipes", "lesson"]);
    assert!(ran.out.contains("[train]\nmodel = \"lesson\"\n"), "{}", ran.out);
}

#[test]
fn a_recipe_is_trained_by_and_what_is_typed_counts_more() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    let train = ["train", "--recipe", "lesson-augmented", "--data", "data", "--epochs", "1", "--out", "run"];
    let ran = Ran::well(folder.path(), &[&train[..], &["--set", "batch=10", "--set", "seed=3"]].concat());
    assert!(ran.err.contains("1 epoch, batch 10, sgd at 0.01 (momentum 0.9), schedule linear"), "{}", ran.err);
    assert!(ran.err.contains("augmented by flip 0.5, crop 4, seed 3"), "{}", ran.err);
    let config = std::fs::read_to_string(folder.path().join("run/config.json")).expect("a run has one");
    let config: serde_json::Value = serde_json::from_str(&config).expect("it is JSON");
    assert_eq!(config["flags"]["schedule"][0], "linear");
    assert_eq!(config["flags"].get("recipe"), None, "its flags stand in its place");
    // A run goes on from its flags, whatever becomes of the recipe.
    let ran = Ran::well(folder.path(), &["train", "--resume", "run"]);
    assert!(ran.err.contains("the run is finished"), "{}", ran.err);
}

#[test]
fn a_recipe_of_ones_own_is_a_file() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    let write = |text: &str| std::fs::write(folder.path().join("mine.toml"), text).expect("there is room");
    write("about = \"mine\"\n[train]\ndata = \"data\"\nepochs = 2\nnesterov = true\ntensorboard = false\n");
    let ran = Ran::well(folder.path(), &["train", "--recipe", "mine.toml", "--set", "lr=0.02"]);
    assert!(ran.err.contains("2 epochs, batch 64, sgd at 0.02 (momentum 0.9, nesterov)"), "{}", ran.err);
    for (text, arguments, message) in [
        ("about = 1\n[train]\n", vec![], "mine.toml: the recipe is not well written: "),
        ("about = \"\"\n[train]\nepoch = 1\n", vec![], "--recipe mine.toml: unexpected argument '--epoch' found"),
        (
            "about = \"\"\n[train]\nlr = \"fast\"\n",
            vec![],
            "--recipe mine.toml: invalid value 'fast' for '--lr <RATE>'",
        ),
        ("about = \"\"\n[train]\nlr = [1]\n", vec![], "mine.toml: lr is neither a number, a text, true nor false"),
        ("about = \"\"\n[train]\n", vec!["--set", "epochs"], "--set epochs: there is no \"=\""),
        ("about = \"\"\n[train]\n", vec!["--set", "epochs=0"], "--epochs is 0, but must be at least 1"),
    ] {
        write(text);
        let ran = Ran::new(folder.path(), &[&["train", "--recipe", "mine.toml"], &arguments[..]].concat());
        assert_eq!(ran.code, Some(2), "{text}: {}", ran.err);
        assert!(ran.err.contains(message), "{text}: {}", ran.err);
    }
    let ran = Ran::new(folder.path(), &["train", "--recipe", "over70"]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("there is no recipe called over70; there are lesson, lesson-augmented, over80"),
        "{}",
        ran.err
    );
}

#[test]
fn a_claim_is_checked() {
    let folder = folder();
    tiny_data(folder.path(), "data", 20, &["a", "b"]);
    let write = |accuracy: &str| {
        let text = format!(
            "about = \"mine\"\n[train]\ndata = \"data\"\nepochs = 1\n[target]\naccuracy = {accuracy}\nseeds = 2\n"
        );
        std::fs::write(folder.path().join("mine.toml"), text).expect("there is room");
    };
    write("0.0");
    let ran = Ran::well(folder.path(), &["recipes", "mine.toml", "--check"]);
    assert!(ran.out.contains("seed 0: ") && ran.out.contains("seed 1: "), "{}", ran.out);
    assert!(ran.out.contains("; the target is 0.0 % and more: reached"), "{}", ran.out);
    write("101.0");
    let ran = Ran::new(folder.path(), &["recipes", "mine.toml", "--check", "--seeds", "1", "--json"]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let [seed, verdict] = &ran.json()[..] else { panic!("a line for the seed and one for the verdict: {}", ran.out) };
    assert_eq!((&seed["seed"], &verdict["reached"]), (&0.into(), &false.into()));
    assert_eq!(seed["test_accuracy"], verdict["test_accuracy"]);
}
