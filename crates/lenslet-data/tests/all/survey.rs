//! What is suspicious in a data set: each warning with its words, and silence where there is nothing to say.
use lenslet_data::survey::{Part, Which};
use lenslet_data::{DataWarning, Dataset, Split, Survey, load};
use lenslet_rng::{Purpose, Stream};

/// 1×2 images of two channels: `(four bytes, label)`.
type Image = ([u8; 4], u32);

fn data(train: &[Image], test: &[Image]) -> Dataset {
    let split = |images: &[Image]| Split {
        images: images.iter().flat_map(|(pixels, _)| *pixels).collect::<Vec<_>>().into(),
        labels: images.iter().map(|&(_, label)| label).collect(),
    };
    let classes = ["cat", "dog", "owl"].map(String::from).to_vec();
    let (train, test) = (split(train), split(test));
    Dataset { name: "tiny".into(), classes, channels: 2, height: 1, width: 2, train, test }
}

/// A different image for each number.
fn image(number: u8, label: u32) -> Image {
    ([number, 255, 0, number], label)
}

/// One sound image of each class in both splits.
const SOUND: [Image; 3] = [([1, 2, 3, 4], 0), ([2, 3, 4, 5], 1), ([3, 4, 5, 6], 2)];
const SOUND_TEST: [Image; 3] = [([4, 5, 6, 7], 0), ([5, 6, 7, 8], 1), ([6, 7, 8, 9], 2)];

fn words(train: &[Image], test: &[Image]) -> Vec<String> {
    Survey::new(&data(train, test)).warnings.iter().map(DataWarning::to_string).collect()
}

#[test]
fn a_sound_set_gets_no_warning() {
    assert_eq!(words(&SOUND, &SOUND_TEST), Vec::<String>::new());
    assert_eq!(Survey::new(&load("shapes").unwrap()).warnings, []);
}

#[test]
fn classes_without_images() {
    assert_eq!(
        words(&SOUND[..1], &SOUND_TEST[1..]),
        [
            "2 of the 3 classes have no training images: dog, owl; a network cannot learn them\n  mend it: add images of \
             them, or take these classes out",
            "1 of the 3 classes have no test images: cat; nobody will know how well they are learnt\n  mend it: move some \
             of their training images to the test images",
        ]
    );
}

#[test]
fn classes_very_unequal_in_number() {
    let with_cats = |cats: u8| -> Vec<Image> {
        (10..10 + cats).map(|number| image(number, 0)).chain(SOUND[1..].iter().copied()).collect()
    };
    assert_eq!(words(&with_cats(9), &SOUND_TEST), Vec::<String>::new());
    assert_eq!(
        words(&with_cats(25), &SOUND_TEST),
        [
            "the classes are very unequal in number: 25 training images of cat, 1 of dog, which is 25 times fewer\n  mend it: \
          add images of the rare classes, and judge by the accuracy of each class instead of the overall one"
        ]
    );
    assert!(words(&with_cats(10), &SOUND_TEST)[0].contains("which is 10 times fewer"));
    // An empty class is said as such.
    assert!(words(&SOUND[..1], &SOUND_TEST).iter().all(|warning| !warning.contains("unequal")));
}

#[test]
fn test_images_among_the_training_images() {
    let test = [&SOUND_TEST[..], &[SOUND[1]]].concat();
    assert_eq!(
        words(&SOUND, &test),
        [
            "1 of the 4 test images is a training image too, pixel by pixel, so the test accuracy looks better than it is: \
          test image 3 (dog) is training image 1 (dog)\n  mend it: take them out of the training images"
        ]
    );
    // Twice in the test images counts twice; twice in the training images does not, and is said by itself.
    let train = [&SOUND[..], &[SOUND[1]]].concat();
    let test = [&test[..], &[SOUND[1], SOUND[0], SOUND[2]]].concat();
    let words = words(&train, &test);
    assert!(words[0].starts_with("4 of the 7 test images are training images too"), "{words:?}");
    assert!(words[0].contains("test image 5 (cat) is training image 0 (cat), …\n"), "{words:?}");
    assert_eq!(
        words[1..],
        [
            "1 training image is a copy of another, which so counts more than once: training image 3 (dog) is training image 1 \
          (dog)\n  mend it: take the copies out"
        ]
    );
}

#[test]
fn one_picture_under_two_labels() {
    let train = [&SOUND[..], &[(SOUND[0].0, 1)]].concat();
    let test = [&SOUND_TEST[..], &[(SOUND_TEST[0].0, 2), SOUND_TEST[0]]].concat();
    let words = words(&train, &test);
    assert_eq!(words.len(), 2, "{words:?}");
    assert_eq!(
        words[1],
        "5 images show 2 pictures under different labels, of which only one can be right: training image 3 (dog) is \
         training image 0 (cat), test image 3 (owl) is test image 0 (cat)\n  mend it: correct the labels, or take these \
         images out"
    );
}

#[test]
fn images_of_a_single_colour() {
    // One colour is one byte in each channel, which need not be the same.
    let train = [&SOUND[..], &[([0; 4], 1), ([9, 9, 7, 7], 0), ([9, 9, 7, 8], 0)]].concat();
    let test = [&SOUND_TEST[..], &[([255; 4], 2)]].concat();
    assert_eq!(
        words(&train, &test),
        [
            "2 training images show a single colour (1 of them black) and nothing else: training image 3 (dog), training \
             image 4 (cat)\n  mend it: look at the files that they came from, and take them out if they are broken",
            "1 test image shows a single colour and nothing else: test image 3 (owl)\n  mend it: look at the files that \
             they came from, and take them out if they are broken",
        ]
    );
}

#[test]
fn programs_get_numbers() {
    let warnings = Survey::new(&data(&SOUND, &[&SOUND_TEST[..], &SOUND[..1]].concat())).warnings;
    let which = |part, index| Which { part, index, class: "cat".into() };
    let DataWarning::TestInTrain { images: 1, of: 4, examples } = &warnings[0] else { panic!("{warnings:?}") };
    assert_eq!((&examples[0].image, &examples[0].equals), (&which(Part::Test, 3), &which(Part::Train, 0)));
    assert_eq!(
        serde_json::to_value(&warnings[0]).unwrap(),
        serde_json::json!({
            "kind": "test_in_train", "images": 1, "of": 4,
            "examples": [{
                "image": {"part": "test", "index": 3, "class": "cat"},
                "equals": {"part": "train", "index": 0, "class": "cat"},
            }],
        })
    );
}

/// Random images of two bits against counting as one would by hand.
#[test]
fn counts_are_those_of_comparing_each_with_each() {
    for seed in 0..20 {
        let mut random = Stream::new(seed, Purpose::Shuffle, 0, 0);
        let mut images = |number: usize| -> Vec<Image> {
            let pixel = |random: &mut Stream| random.below(3) as u8;
            (0..number).map(|_| (std::array::from_fn(|_| pixel(&mut random)), random.below(3))).collect()
        };
        let (train, test) = (images(60), images(40));
        let survey = Survey::new(&data(&train, &test));
        let copies = (0..60).filter(|&i| train[..i].iter().any(|other| other.0 == train[i].0)).count();
        let leaked = test.iter().filter(|image| train.iter().any(|other| other.0 == image.0)).count();
        let all = [&train[..], &test[..]].concat();
        let contradicted = all.iter().filter(|a| all.iter().any(|b| a.0 == b.0 && a.1 != b.1)).count();
        let colours = |images: &[Image]| images.iter().filter(|(p, _)| p[0] == p[1] && p[2] == p[3]).count();
        let mut found = [0; 5];
        for warning in &survey.warnings {
            match warning {
                DataWarning::TestInTrain { images, .. } => found[0] = *images,
                DataWarning::Copies { images, .. } => found[1] = *images,
                DataWarning::TwoLabels { images, .. } => found[2] = *images,
                DataWarning::SingleColour { part: Part::Train, images, .. } => found[3] = *images,
                DataWarning::SingleColour { part: Part::Test, images, .. } => found[4] = *images,
                DataWarning::EmptyClasses { .. } | DataWarning::UnequalClasses { .. } => {}
            }
        }
        assert_eq!(found, [leaked, copies, contradicted, colours(&train), colours(&test)], "seed {seed}");
        let pixels = |channel: usize| {
            let pixels = train.iter().flat_map(move |(p, _)| [p[2 * channel], p[2 * channel + 1]]);
            pixels.map(|pixel| f64::from(pixel) / 255.0).collect::<Vec<_>>()
        };
        for channel in 0..2 {
            let pixels = pixels(channel);
            let mean = pixels.iter().sum::<f64>() / 120.0;
            let variance = pixels.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 120.0;
            assert!((survey.mean[channel] - mean).abs() < 1e-12);
            assert!((survey.std[channel] - variance.sqrt()).abs() < 1e-10);
        }
    }
}
