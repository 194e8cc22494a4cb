//! Pictures of every kind against Pillow, resizing against Pillow.
use super::{bytes, expected, fixtures, number};
use lenslet_data::{Filter, read_image, resize};

#[test]
fn pictures_are_pillows() {
    let mut wrong = Vec::new();
    for (name, picture) in expected("pictures").as_object().unwrap() {
        for (mode, channels) in [("L", 1), ("RGB", 3)] {
            let size = (number(&picture["height"]), number(&picture["width"]));
            let read = read_image(&fixtures().join("pictures").join(name), channels, size.0, size.1, Filter::default());
            let read = read.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((read.original, read.resized), (size, false), "{name}");
            // Inverse transforms and the enlarging of colour differ between decoders; what is lossless is exact.
            let tolerance = if name.ends_with(".jpg") || name.starts_with("lossy") { 2 } else { 0 };
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
        let filter: Filter = case["filter"].as_str().unwrap().parse().unwrap();
        let resized = resize(&bytes(&case["pixels"]), number(&case["channels"]), pair("from"), pair("to"), filter);
        assert_eq!(resized, bytes(&case["resized"]), "{filter}, {:?} to {:?}", pair("from"), pair("to"));
    }
}

#[test]
fn a_picture_of_another_size_is_resized() {
    let path = fixtures().join("pictures/rgb8.png");
    let whole = read_image(&path, 3, 3, 5, Filter::Lanczos).unwrap();
    for filter in Filter::ALL {
        let small = read_image(&path, 3, 2, 2, filter).unwrap();
        assert_eq!((small.original, small.resized), ((3, 5), true));
        assert_eq!(small.pixels, resize(&whole.pixels, 3, (3, 5), (2, 2), filter));
    }
}

#[test]
fn a_data_set_is_resized_picture_by_picture() {
    let data = lenslet_data::load(fixtures().join("parquet/named").to_str().unwrap()).unwrap();
    let small = data.clone().resized(3, 2, Filter::Bicubic);
    assert_eq!((small.height, small.width, &small.train.labels), (3, 2, &data.train.labels));
    for i in 0..data.train.len() {
        assert_eq!(small.train.image(i), resize(data.train.image(i), 3, (4, 6), (3, 2), Filter::Bicubic));
    }
    assert_eq!(data.clone().resized(4, 6, Filter::Bicubic), data);
}

#[test]
fn filters_have_pillows_names() {
    for filter in Filter::ALL {
        assert_eq!(filter.to_string().parse(), Ok(filter));
        assert_eq!(serde_json::to_value(filter).unwrap(), filter.name());
    }
    let error = "cubic".parse::<Filter>().unwrap_err();
    assert_eq!(error, "no filter is named cubic; there are nearest, box, bilinear, hamming, bicubic, lanczos");
}
