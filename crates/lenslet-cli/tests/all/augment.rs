//! `augment`: sheets, and the words that are wrong; training on changed images.

use crate::{Ran, folder};

#[test]
fn a_sheet_shows_each_image_and_what_becomes_of_it() {
    let folder = folder();
    let words = "flip 1, crop 4 reflect, cutout 8";
    let ran = Ran::well(
        folder.path(),
        &["augment", "shapes", "--augment", words, "--images", "3", "--epochs", "2", "-o", "a.svg"],
    );
    assert_eq!(ran.out, "a.svg\n");
    let svg = std::fs::read_to_string(folder.path().join("a.svg")).expect("it was written");
    assert_eq!(svg.matches("original").count(), 3);
    assert_eq!(svg.matches("epoch 2").count(), 3);
    assert!(svg.contains("shapes: flip 1, crop 4 reflect, cutout 8"), "the title says what was done");
    Ran::well(folder.path(), &["augment", "shapes"]);
    let png = std::fs::read(folder.path().join("augmented.png")).expect("it has a usual name");
    assert!(png.starts_with(b"\x89PNG"));
    // Mixed images bear the share of their own.
    let words =
        ["augment", "shapes", "--augment", "mixup, cutmix", "--images", "2", "--epochs", "3", "-o", "mixed.svg"];
    Ran::well(folder.path(), &words);
    let svg = std::fs::read_to_string(folder.path().join("mixed.svg")).expect("it was written");
    assert_eq!(svg.matches(" %)").count(), 2 * 3, "each is mixed");
    // A picture of its own.
    let ran = Ran::well(folder.path(), &["augment", "augmented.png", "--augment", "perspective 0.5 1", "-o", "b.PNG"]);
    assert_eq!(ran.out, "b.PNG\n");
}

#[test]
fn what_is_wrong_is_said_with_what_mends_it() {
    let folder = folder();
    for (arguments, message) in [
        (
            vec!["train", "--augment", "crop"],
            "crop: PIXELS should be a number, but is nothing\n  mend it: write crop PIXELS",
        ),
        (vec!["augment", "shapes", "--augment", "flop"], "no augmentation is named flop; there are flip, "),
        (vec!["augment", "shapes", "--augment", "mixup, flip"], "mixup, flip: mixup must come last"),
        (
            vec!["augment", "shapes", "--augment", "cutmix", "--images", "1"],
            "shapes: one image cannot be mixed with another\n  mend it: show more images",
        ),
        (vec!["augment", "shapes", "-o", "a.gif"], "-o a.gif: a sheet is drawn as .png or .svg"),
        (vec!["augment", "nowhere"], "nowhere"),
        (vec!["augment", "shapes", "-o", "no/where.png"], "no/where.png"),
    ] {
        let ran = Ran::new(folder.path(), &arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{arguments:?}: {}", ran.err);
    }
}
