//! The files: PNGs decode to the size that the SVG of the same picture states, SVGs are XML that says what it should.

use lenslet_report::{Caption, Drawing, Picture, Point, Row, Sheet, confusion, curves, filters, sheet};
use roxmltree::Document;

/// Width, height and pixels of a PNG, by the decoder.
fn decoded(png: &[u8]) -> (usize, usize, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().expect("it is a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("it is small")];
    let frame = reader.next_frame(&mut pixels).expect("it is whole");
    assert_eq!((frame.color_type, frame.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    (frame.width as usize, frame.height as usize, pixels)
}

/// Checks a picture's files, and that these texts stand in it; gives the SVG.
fn check(drawing: &Drawing, texts: &[&str]) -> String {
    let svg = drawing.svg();
    let document = Document::parse(&svg).unwrap_or_else(|error| panic!("{error}: {svg}"));
    let root = document.root_element();
    let side = |name: &str| root.attribute(name).and_then(|side| side.parse::<usize>().ok()).expect("a whole number");
    let (width, height, pixels) = decoded(&drawing.png().expect("it is small"));
    // Two pixels for each CSS pixel, on white.
    assert_eq!((width, height), (side("width") * 2, side("height") * 2));
    assert_eq!(pixels[..3], [255, 255, 255]);
    let found: Vec<&str> =
        root.descendants().filter(|node| node.has_tag_name("text")).filter_map(|n| n.text()).collect();
    let found: Vec<&str> = found.into_iter().collect();
    for text in texts {
        assert!(found.contains(text), "{text} is not among {found:?}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    svg
}

fn point(epoch: usize, loss: f64, accuracy: f64) -> Point {
    Point { epoch, train_loss: loss * 0.9, test_loss: loss, train_accuracy: accuracy + 0.01, test_accuracy: accuracy }
}

#[test]
fn curves_say_what_they_show() {
    let points = [point(1, 2.0, 0.25), point(2, 1.5, 0.5), point(3, 1.25, 0.375), point(4, f64::NAN, f64::INFINITY)];
    let svg = check(
        &curves("lesson on <shapes> & more", &points, 10),
        &[
            "lesson on <shapes> & more",
            "Loss",
            "Accuracy",
            "epoch",
            "test 1.2500",
            "test 37.5 %",
            "chance, ln 10 = 2.30",
            "chance, 1/10 = 10.0 %",
            "best: 50.0 % in epoch 2",
        ],
    );
    // The two curves of each panel, with a point for each number.
    let lines = svg.matches("stroke-width=\"1.8\"").count();
    assert_eq!(lines, 4);
    check(&curves("no epoch yet", &[], 2), &["no epoch yet", "chance, ln 2 = 0.69"]);
    check(&curves("one epoch", &[point(1, 0.5, 0.75)], 2), &["test 0.5000", "best: 75.0 % in epoch 1"]);
}

#[test]
fn a_confusion_matrix_names_its_classes_and_largest_confusions() {
    let names = ["cat", "dog", "犬", "a\u{0}b\u{FFFF}"].map(String::from);
    let counts = [vec![1_200, 30, 0, 0], vec![60, 900, 7, 0], vec![0, 0, 5, 0], vec![0; 4]];
    let drawing = confusion("title", &names, &counts);
    check(&drawing, &["cat", "dog", "2: 犬", "a b\u{FFFD}", "1,200", "900", "60", "6.2 %", "→", "30", "2.4 %"]);
    check(&confusion("none wrong", &names[..1], &[vec![3]]), &["cat", "3", "No confusions"]);
    let many: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
    let counts: Vec<Vec<u32>> =
        (0..100).map(|class| (0..100).map(|answer| u32::from(class >= answer)).collect()).collect();
    check(&confusion("many", &many, &counts), &["class 0", "class 99", "50.0 %"]);
}

#[test]
fn every_pixel_of_a_picture_becomes_a_square() {
    // Two pictures of 2x2 pixels: red, green, blue, white; and grey ones.
    let pixels = [[255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255]].concat();
    let picture = |pixels| {
        let caption = |text: &str, tail: &str| Caption { text: text.into(), tail: tail.into() };
        Picture { pixels, captions: vec![caption("cat", ""), caption("said dog", "99.8 %")] }
    };
    let rows = vec![Row { name: "cat", pictures: vec![picture(&pixels)] }];
    let drawing = sheet(&Sheet { title: "mistakes", size: [3, 2, 2], rows });
    check(&drawing, &["mistakes", "cat", "said dog", "99.8 %"]);
    let (width, _, drawn) = decoded(&drawing.png().expect("it is small"));
    let at = |x: usize, y: usize| -> [u8; 3] { std::array::from_fn(|c| drawn[(y * width + x) * 3 + c]) };
    let red = (0..drawn.len() / 3).find(|&i| drawn[i * 3..i * 3 + 3] == [255, 0, 0]).expect("there is red");
    let (left, top) = (red % width, red / width);
    let side = (left..width).take_while(|&x| at(x, top) == [255, 0, 0]).count();
    // 128 CSS pixels for two pixels of the picture, each of two pixels of the PNG.
    assert_eq!(side, 128);
    for (x, y, colour) in [(0, 0, [255, 0, 0]), (1, 0, [0, 255, 0]), (0, 1, [0, 0, 255]), (1, 1, [255, 255, 255])] {
        for (dx, dy) in [(0, 0), (side - 1, 0), (0, side - 1), (side - 1, side - 1)] {
            assert_eq!(at(left + x * side + dx, top + y * side + dy), colour, "{x},{y} {dx},{dy}");
        }
    }
}

#[test]
fn filters_are_as_many_bitmaps_as_there_are() {
    let bitmaps = |sizes: [usize; 4]| {
        let weights: Vec<f32> = (0..sizes.iter().product()).map(|i| (i as f32).sin()).collect();
        let svg = check(&filters("first layer", sizes, &weights), &["first layer"]);
        svg.matches("<image ").count()
    };
    // Colours, grey, and a plane for each channel.
    assert_eq!([[6, 3, 5, 5], [6, 1, 5, 5], [6, 2, 5, 5]].map(bitmaps), [6, 6, 12]);
}

#[test]
fn a_picture_replaces_an_older_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().expect("there is room");
    let save = |title: &str| curves(title, &[], 2).save(folder.path(), "curves").expect("the folder can be written");
    save("the first");
    save("the second");
    let mut names: Vec<_> = folder.path().read_dir().expect("it is there").flatten().map(|e| e.file_name()).collect();
    names.sort();
    assert_eq!(names, ["curves.png", "curves.svg"]);
    let svg = std::fs::read_to_string(folder.path().join("curves.svg")).expect("it is text");
    assert!(svg.contains("the second"));
    let nowhere = curves("", &[], 2).save(&folder.path().join("nowhere"), "curves");
    assert!(nowhere.is_err());
}
