//! Each change of a picture against torchvision's on the same parameters (`fixtures/make_augment.py`), and what an
//! augmentation as a whole must keep to.

use lenslet_data::augment::{Affine, Augmentation, Change, Edge, Mix, Moment, OPS, Picture, Sampling};
use serde_json::Value;

use crate::{bytes, read};

/// The parameters of a change.
struct With<'a>(&'a [Value]);

impl With<'_> {
    fn number(&self, i: usize) -> f32 {
        self.0[i].as_f64().unwrap() as f32
    }

    fn whole<T: TryFrom<i64>>(&self, i: usize) -> T {
        T::try_from(self.0[i].as_i64().unwrap()).ok().unwrap()
    }

    fn word(&self, i: usize) -> &str {
        self.0[i].as_str().unwrap()
    }

    fn sampling(&self, i: usize) -> Sampling {
        if self.word(i) == "bilinear" { Sampling::Bilinear } else { Sampling::Nearest }
    }
}

fn change(name: &str, with: &With<'_>) -> Change {
    match name {
        "flip" => Change::Flip,
        "shift" => Change::Shift {
            down: with.whole(0),
            right: with.whole(1),
            edge: match with.word(2) {
                "reflect" => Edge::Reflect,
                "repeat" => Edge::Repeat,
                _ => Edge::Zero,
            },
        },
        "resized-crop" => {
            let [top, left, height, width] = [0, 1, 2, 3].map(|i| with.whole(i));
            Change::ResizedCrop { top, left, height, width }
        }
        "affine" => Change::Affine(Affine {
            degrees: with.number(0),
            translate: [with.number(1), with.number(2)],
            scale: with.number(3),
            shear: [with.number(4), with.number(5)],
            about_corner: with.word(6) == "corner",
            sampling: with.sampling(7),
        }),
        "perspective" => Change::Perspective {
            corners: [0, 1, 2, 3].map(|i| [with.number(2 * i), with.number(2 * i + 1)]),
            sampling: with.sampling(8),
        },
        "brightness" => Change::Brightness(with.number(0)),
        "contrast" => Change::Contrast(with.number(0)),
        "saturation" => Change::Saturation(with.number(0)),
        "hue" => Change::Hue(with.number(0)),
        "grey" => Change::Grey,
        "sharpness" => Change::Sharpness(with.number(0)),
        "blur" => Change::Blur { size: with.whole(0), sigma: with.number(1) },
        "erase" => Change::Erase { corner: [with.whole(0), with.whole(1)], size: [with.whole(2), with.whole(3)] },
        "posterize" => Change::Posterize(with.whole(0)),
        "solarize" => Change::Solarize(with.number(0)),
        "autocontrast" => Change::AutoContrast,
        "equalize" => Change::Equalize,
        "invert" => Change::Invert,
        name => panic!("{name} is new"),
    }
}

/// Bytes that may differ by one, where torchvision cuts or rounds what its own order of adding makes a hair different; and
/// bytes that may be another pixel's, where a place lies between two of them.
fn allowed(name: &str, with: &With<'_>) -> [f32; 2] {
    match name {
        "affine" | "perspective" if with.word(with.0.len() - 1) == "nearest" => [0.0, 0.07],
        "affine" | "perspective" | "blur" | "resized-crop" => [0.02, 0.0],
        "brightness" | "contrast" | "saturation" | "hue" | "sharpness" | "autocontrast" | "grey" => [0.02, 0.0],
        _ => [0.0, 0.0],
    }
}

#[test]
fn every_change_is_torchvisions() {
    let fixture: Value = serde_json::from_slice(&read("augment.json")).unwrap();
    let mut faults = vec![];
    for (number, of) in fixture["pictures"].as_array().unwrap().iter().enumerate() {
        let size = [0, 1, 2].map(|i| of["size"][i].as_u64().unwrap() as usize);
        let pixels = bytes(&of["pixels"]);
        for case in of["changes"].as_array().unwrap() {
            let (name, with) = (case["change"].as_str().unwrap(), With(case["with"].as_array().unwrap()));
            let mut picture = Picture::default();
            picture.load(&pixels, size);
            change(name, &with).apply(&mut picture, &[10, 20, 30][..size[0]]);
            let expected = bytes(&case["gives"]);
            let distances = || expected.iter().zip(picture.pixels()).map(|(&a, &b)| a.abs_diff(b));
            let share = |count: usize| count as f32 / pixels.len() as f32;
            let one = share(distances().filter(|&d| d == 1).count());
            let more = share(distances().filter(|&d| d > 1).count());
            let [allowed_one, allowed_more] = allowed(name, &with);
            if one > allowed_one.max(allowed_more) || more > allowed_more {
                faults.push(format!(
                    "picture {number}: {name} {} differs by 1 in {one}, by more in {more}",
                    case["with"]
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_mix_is_torchvisions() {
    let fixture: Value = serde_json::from_slice(&read("augment.json")).unwrap();
    for of in fixture["pictures"].as_array().unwrap() {
        let size = [0, 1, 2].map(|i| of["size"][i].as_u64().unwrap() as usize);
        let loaded = |pixels: &[u8]| {
            let mut picture = Picture::default();
            picture.load(pixels, size);
            picture
        };
        let pixels = bytes(&of["pixels"]);
        let mut other = loaded(&pixels);
        [Change::Flip, Change::Invert].into_iter().for_each(|change| change.apply(&mut other, &[0]));
        for case in of["mixes"].as_array().unwrap() {
            let (name, with) = (case["mix"].as_str().unwrap(), With(case["with"].as_array().unwrap()));
            let mix = match name {
                "mixup" => Mix::MixUp { share: with.number(0) },
                _ => Mix::cut_mix(with.0[0].as_f64().unwrap(), [with.whole(1), with.whole(2)], [size[1], size[2]]),
            };
            let mut picture = loaded(&pixels);
            mix.apply(&mut picture, &other);
            let distances: Vec<u8> =
                bytes(&case["gives"]).iter().zip(picture.pixels()).map(|(&a, &b)| a.abs_diff(b)).collect();
            // Halves, which PyTorch rounds to the even number.
            let allowed = if name == "mixup" && mix.share() == 0.5 { 1 } else { 0 };
            assert!(distances.iter().all(|&distance| distance <= allowed), "{name} {}: {distances:?}", case["with"]);
            assert!((mix.share() - with.number(with.0.len() - 1)).abs() < 1e-6, "{name} {}: {mix:?}", case["with"]);
        }
    }
}

#[test]
fn a_picture_is_mixed_as_seed_epoch_and_picture_say() {
    let size = [3, 16, 16];
    let mix = |text: &str, seed, epoch, image| {
        text.parse::<Augmentation>().unwrap().mix(size, &Moment { seed, epoch, image })
    };
    let many = |text: &str, seed| -> Vec<_> { (0..1000).map(|i| mix(text, seed, i % 4, i / 4)).collect() };
    for text in ["mixup", "cutmix", "mixup, cutmix"] {
        let first = many(text, 1);
        assert_eq!(first, many(text, 1), "{text}");
        assert_ne!(first, many(text, 2), "{text}");
        assert!(first.iter().all(Option::is_some), "{text}");
        // What is done to the picture itself has no part in it.
        assert_eq!(first, many(&format!("flip, trivial, {text}"), 1), "{text}");
    }
    assert_eq!(many("flip", 1), vec![None; 1000]);
    let count = |text: &str, wanted: fn(&Option<Mix>) -> bool| many(text, 1).iter().filter(|mix| wanted(mix)).count();
    let some = count("cutmix 1 0.25", Option::is_some);
    assert!((180..320).contains(&some), "{some} of 1000 are mixed");
    let cut = count("mixup, cutmix", |mix| matches!(mix, Some(Mix::CutMix { .. })));
    assert!((430..570).contains(&cut), "{cut} of 1000 are cut");
}

/// An op of each kind.
fn all_ops() -> Vec<String> {
    let arguments = |name: &str| match name {
        "crop" => " 4 reflect",
        "cutout" => " 8",
        "translate" | "hue" => " 0.2",
        "rotate" | "affine" => " 20",
        "blur" => " 3",
        "brightness" | "contrast" | "saturation" | "jitter" => " 0.5",
        _ => "",
    };
    let ops = OPS.iter().filter(|usage| !["mixup", "cutmix"].contains(&usage.name));
    ops.map(|usage| format!("{}{}", usage.name, arguments(usage.name))).collect()
}

fn augmented(text: &str, pixels: &[u8], size: [usize; 3], moment: Moment) -> Vec<u8> {
    let mut picture = Picture::default();
    picture.load(pixels, size);
    text.parse::<Augmentation>().unwrap().apply(&mut picture, &moment, &[128; 3]);
    picture.pixels().to_vec()
}

#[test]
fn every_op_is_a_function_of_seed_epoch_and_picture() {
    let size = [3, 16, 16];
    let pixels: Vec<u8> = (0..3 * 256_usize).map(|i| (i * 37 % 251) as u8).collect();
    for text in all_ops() {
        let many = |seed: u64| -> Vec<_> {
            let moment = |i: u32| Moment { seed, epoch: i % 4, image: i / 4 };
            (0..40).map(|i| augmented(&text, &pixels, size, moment(i))).collect()
        };
        let first = many(1);
        assert_eq!(first, many(1), "{text}");
        assert_ne!(first, many(2), "{text}");
        assert!(first.iter().any(|picture| picture != &pixels), "{text} changes nothing");
    }
}

#[test]
fn every_op_works_on_pictures_of_any_size() {
    for size in [[1, 1, 1], [3, 1, 1], [3, 2, 1], [1, 1, 7], [3, 3, 2], [3, 31, 5], [2, 4, 4]] {
        let pixels = vec![7; size.iter().product()];
        for text in all_ops() {
            for image in 0..20 {
                augmented(&text, &pixels, size, Moment { seed: 3, epoch: 1, image });
            }
        }
    }
}

#[test]
fn alternating_flip_shows_the_other_side_in_every_other_epoch() {
    let (pixels, size) = ([1, 2, 3, 4], [1, 2, 2]);
    let side = |epoch: u32, image: u32| augmented("alternating-flip", &pixels, size, Moment { seed: 9, epoch, image });
    let mut flipped = 0;
    for image in 0..1000 {
        assert_eq!(side(1, image), side(3, image));
        assert_ne!(side(1, image), side(2, image));
        flipped += usize::from(side(1, image) != pixels);
    }
    assert!((450..550).contains(&flipped), "{flipped} of 1000 begin flipped");
}

#[test]
fn a_crop_goes_everywhere() {
    // One bright pixel in the middle comes to stand at each of 5 x 5 places, about as often.
    let size = [1, 5, 5];
    let mut pixels = [0; 25];
    pixels[12] = 255;
    let mut counts = [0; 25];
    for image in 0..5000 {
        let picture = augmented("crop 2", &pixels, size, Moment { seed: 0, epoch: 0, image });
        counts[picture.iter().position(|&x| x == 255).expect("it is still within")] += 1;
    }
    assert!(counts.iter().all(|count| (140..260).contains(count)), "{counts:?}");
}
