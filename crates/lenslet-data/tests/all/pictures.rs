//! PNG and JPEG against Pillow, resizing against Pillow.
use super::{bytes, expected, fixtures, number};
use lenslet_data::{read_image, resize};

#[test]
fn pictures_are_pillows() {
    let mut wrong = Vec::new();
    for (name, picture) in expected("pictures").as_object().unwrap() {
        for (mode, channels) in [("L", 1), ("RGB", 3)] {
            let size = (number(&picture["height"]), number(&picture["width"]));
            let read = read_image(&fixtures().join("pictures").join(name), channels, size.0, size.1).unwrap();
            assert_eq!((read.original, read.resized), (size, false), "{name}");
            // Inverse transforms and the enlarging of colour differ between JPEG decoders; PNGs are exact.
            let tolerance = if name.ends_with(".jpg") { 2 } else { 0 };
            let planes = bytes(&picture[mode]);
            assert_eq!(read.pixels.len(), planes.len(), "{name}");
            let most = read.pixels.iter().zip(&planes).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            if most > tolerance {
                wrong.push(format!("{name} as {mode}: off by {most}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn resizing_is_pillows_to_the_bit() {
    for case in expected("resize").as_array().unwrap() {
        let pair = |key: &str| (number(&case[key][0]), number(&case[key][1]));
        let resized = resize(&bytes(&case["pixels"]), number(&case["channels"]), pair("from"), pair("to"));
        assert_eq!(resized, bytes(&case["resized"]), "{:?} to {:?}", pair("from"), pair("to"));
    }
}

#[test]
fn a_picture_of_another_size_is_resized() {
    let path = fixtures().join("pictures/rgb8.png");
    let whole = read_image(&path, 3, 3, 5).unwrap();
    let small = read_image(&path, 3, 2, 2).unwrap();
    assert_eq!((small.original, small.resized), ((3, 5), true));
    assert_eq!(small.pixels, resize(&whole.pixels, 3, (3, 5), (2, 2)));
}

#[test]
fn a_data_set_is_resized_picture_by_picture() {
    let data = lenslet_data::load(fixtures().join("parquet/named").to_str().unwrap()).unwrap();
    let small = data.clone().resized(3, 2);
    assert_eq!((small.height, small.width, &small.train.labels), (3, 2, &data.train.labels));
    for i in 0..data.train.len() {
        assert_eq!(small.train.image(i), resize(data.train.image(i), 3, (4, 6), (3, 2)));
    }
    assert_eq!(data.clone().resized(4, 6), data);
}
