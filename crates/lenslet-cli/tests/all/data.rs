//! Data as people have it: folders of pictures, sizes that are asked for, the cache.

use std::path::Path;

use crate::{Ran, folder, picture, program, tiny_data};

/// Ten pictures of different sizes for each of two classes, in `photos`.
fn photos(folder: &Path) {
    for (class, width) in [("cat", 20), ("dog", 45)] {
        let class = folder.join("photos").join(class);
        std::fs::create_dir_all(&class).expect("there is room");
        for i in 0..10 {
            picture(&class.join(format!("{i}.png")), width + i, 33 + 2 * i);
        }
    }
}

#[test]
fn a_folder_of_photographs_trains_without_another_flag() {
    let folder = folder();
    let here = folder.path();
    photos(here);
    let ran = Ran::well(here, &["train", "--data", "photos", "--epochs", "1", "--json"]);
    assert!(
        ran.err.starts_with(
            "data      photos: 16 images to train on, 4 to test on, 3x32x32, 2 classes\nnote      the data set is not \
             divided: a fifth of each class, always the same pictures, is kept to be tested on\nnote      20 of 20 pictures are of another \
             size and were brought to 32x32\n"
        ),
        "{}",
        ran.err
    );
    let evaluated = Ran::well(here, &["eval", "runs/lesson-photos-1", "--json"]);
    let trained = ran.json();
    let done = trained.iter().find(|line| line["event"] == "done").expect("the run came to its end");
    assert_eq!(evaluated.json()[0]["test_accuracy"], done["test_accuracy"]);
}

#[test]
fn pictures_that_cannot_be_read() {
    let folder = folder();
    let here = folder.path();
    photos(here);
    std::fs::write(here.join("photos/cat/notes.txt"), "the cat sat").expect("there is room");
    let ran = Ran::new(here, &["train", "--data", "photos", "--epochs", "1"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("found 1 of 21 that cannot be read (cat/notes.txt: "), "{}", ran.err);
    assert!(ran.err.ends_with("mend or remove these files, or leave them out with --skip-bad\n"), "{}", ran.err);
    let ran = Ran::well(here, &["train", "--data", "photos", "--epochs", "1", "--skip-bad", "--out", "run"]);
    assert!(ran.err.contains("\nleft out  photos/cat/notes.txt: expected a "), "{}", ran.err);
    assert_eq!(Ran::new(here, &["eval", "run"]).code, Some(2));
    Ran::well(here, &["eval", "run", "--skip-bad"]);
}

#[test]
fn a_size_that_is_asked_for() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 8, &["a", "b"]);
    let train = ["train", "--data", "tiny", "--epochs", "1"];
    let ran = Ran::well(here, &[&train[..], &["--input", "1x32x32", "--out", "grey"]].concat());
    assert!(ran.err.contains("40 images to train on, 8 to test on, 1x32x32, 2 classes\n"), "{}", ran.err);
    assert!(ran.err.contains("note      the pictures are 3x32x32 and were brought to 1x32x32\n"), "{}", ran.err);
    Ran::well(here, &["eval", "grey"]);
    let resnet = ["--model", "resnet20", "--input", "3x16x16", "--out", "small"];
    Ran::well(here, &[&train[..], &resnet].concat());
    Ran::well(here, &["eval", "small"]);
    // The lesson's dense layers fit one size only, and its error says so.
    let ran = Ran::new(here, &[&train[..], &["--input", "3x64x64", "--out", "large"]].concat());
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("view: the feature map is 16x13x13 = 2704 values per image, not 400"), "{}", ran.err);
    for (size, says) in [("4x32x32", "expected pictures of 1 or 3 channels"), ("3x0x9", "is not possible")] {
        let ran = Ran::new(here, &[&train[..], &["--input", size]].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

/// With the cache, without it, and with one that cannot be written, the weights are the same.
#[test]
fn the_cache_changes_nothing() {
    let folder = folder();
    let here = folder.path();
    photos(here);
    std::fs::write(here.join("file"), "").expect("there is room");
    let train = |out: &str, cache: &str, more: &[&str]| {
        let arguments = [&["train", "--data", "photos", "--epochs", "1", "--out", out], more].concat();
        let ran = Ran::from(program(here, &arguments).env("LENSLET_CACHE", cache).output().expect("it starts"));
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        (std::fs::read(here.join(out).join("last.safetensors")).expect("a checkpoint"), ran.err)
    };
    let kept = || std::fs::read_dir(here.join("cache")).map_or(0, |files| files.count());
    let (none, _) = train("none", "cache", &["--no-cache"]);
    assert_eq!(kept(), 0);
    let (first, said) = train("first", "cache", &[]);
    assert_eq!(kept(), 1);
    let (second, again) = train("second", "cache", &[]);
    assert!(none == first && first == second);
    let notes = |said: &str| said.lines().filter(|line| line.starts_with("note")).map(String::from).collect::<Vec<_>>();
    assert_eq!(notes(&said), notes(&again));
    let (unwritable, said) = train("unwritable", "file", &[]);
    assert!(unwritable == first);
    assert!(said.contains("note      the decoded pictures could not be kept in file ("), "{said}");
}

/// The user of the program cannot change the lines of its networks.
#[test]
fn a_size_that_the_network_does_not_take() {
    let folder = folder();
    let here = folder.path();
    tiny_data(here, "tiny", 4, &["cat", "dog"]);
    let ran = Ran::new(here, &["train", "--data", "tiny", "--input", "3x64x64"]);
    assert_eq!(ran.code, Some(2));
    let [first, last] = [ran.err.lines().find(|line| line.starts_with("error")), ran.err.lines().last()];
    assert_eq!(first, Some("error: lesson is made for images of another size than --input says"));
    assert_eq!(last, Some("  or: --model resnet20, which takes images of any size; or no --input"));
}

/// What is wrong is the broken file, and not that pictures have many sizes.
#[test]
fn a_description_names_the_file_that_is_broken() {
    let folder = folder();
    let here = folder.path();
    photos(here);
    picture(&here.join("photos/cat/large.png"), 70, 50);
    let ran = Ran::well(here, &["data", "photos"]);
    assert!(ran.out.starts_with("photos: 17 images to train on, 4 to test on, 3x64x64, 2 classes\n"), "{}", ran.out);
    std::fs::write(here.join("photos/dog/broken.png"), "no picture").expect("there is room");
    let ran = Ran::new(here, &["data", "photos"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("dog/broken.png") && ran.err.contains("--skip-bad"), "{}", ran.err);
}
