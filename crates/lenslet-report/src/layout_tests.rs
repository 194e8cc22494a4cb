//! What must hold for every picture, however hard its names and numbers: all words lie within, and none lies upon another.

use crate::drawing::{Drawing, Item};
use crate::{Caption, Picture, Point, Row, Sheet, confusion, curves, filters, font, sheet};

/// A text with its left, top, right and bottom; of a turned one the baseline's.
struct Words<'a> {
    text: &'a str,
    corners: [f32; 4],
    turned: bool,
}

fn words(item: &Item) -> Option<Words<'_>> {
    let Item::Text { x, y, text, style } = item else { return None };
    let (width, start) = (font::width(text, style.size), style.start(text));
    let (sine, cosine) = style.turned.to_radians().sin_cos();
    let [a, b] = [start, start + width].map(|at| [x + at * cosine, y + at * sine]);
    let turned = style.turned != 0.0;
    let rise = if turned { 0.0 } else { style.size * 0.75 };
    let corners = [a[0].min(b[0]), a[1].min(b[1]) - rise, a[0].max(b[0]), a[1].max(b[1])];
    Some(Words { text, corners, turned })
}

fn check(what: &str, drawing: &Drawing) {
    let words: Vec<Words<'_>> = drawing.items.iter().filter_map(words).collect();
    for Words { text, corners: [left, top, right, bottom], .. } in &words {
        // Letters such as g reach below the baseline.
        let deep = bottom + 4.0;
        let within = *left >= 0.0 && *top >= 0.0 && *right <= drawing.width && deep <= drawing.height;
        let (width, height) = (drawing.width, drawing.height);
        assert!(within, "{what}: {text} lies beyond {width}x{height}: {left},{top} to {right},{bottom}");
    }
    // Those that lean past each other are judged by eye.
    let level: Vec<_> = words.iter().filter(|words| !words.turned).collect();
    for (number, Words { text, corners: a, .. }) in level.iter().enumerate() {
        for Words { text: other, corners: b, .. } in &level[number + 1..] {
            let apart = a[2] <= b[0] || b[2] <= a[0] || a[3] <= b[1] || b[3] <= a[1];
            assert!(apart, "{what}: {text} and {other} overlap: {a:?}, {b:?}");
        }
    }
}

fn names(classes: usize, length: usize) -> Vec<String> {
    (0..classes).map(|class| format!("{class}{}", "W".repeat(length))).collect()
}

#[test]
fn curves_have_room_for_all_words() {
    let points = |epochs: usize, scale: f64| -> Vec<Point> {
        let point = |epoch| Point {
            epoch,
            train_loss: scale / epoch as f64,
            test_loss: scale * 1.5,
            train_accuracy: 1.0 - 0.5 / epoch as f64,
            test_accuracy: 0.9999,
        };
        (1..=epochs).map(point).collect()
    };
    for epochs in [0, 1, 2, 9, 200, 100_000] {
        for scale in [1e-9, 1.0, 123_456.0, f64::MAX / 4.0, f64::NAN] {
            for classes in [0, 1, 2, 100_000] {
                let title = "a title that goes on and on ".repeat(10);
                check(&format!("{epochs}, {scale}, {classes}"), &curves(&title, &points(epochs, scale), classes));
            }
        }
    }
}

#[test]
fn confusions_have_room_for_all_words() {
    for classes in [0, 1, 2, 3, 5, 10, 13, 25, 26, 60, 61, 100, 111, 300] {
        for (length, count) in [(1, 3), (8, 4_000), (60, u32::MAX)] {
            let counts = vec![vec![count; classes]; classes];
            check(&format!("{classes}, {length}"), &confusion("a title", &names(classes, length), &counts));
        }
    }
    // Counts that are missing are none.
    check("nothing", &confusion("", &names(3, 3), &[]));
}

#[test]
fn filters_and_sheets_have_room_for_all_words() {
    let weights = vec![0.5; 300 * 27];
    for sizes in
        [[0, 3, 3, 3], [1, 3, 3, 3], [300, 3, 3, 3], [7, 1, 1, 1], [5, 20, 2, 2], [4, 3, 0, 0], [usize::MAX; 4]]
    {
        check(&format!("{sizes:?}"), &filters("a title that is longer than its filters are", sizes, &weights));
    }
    let names = names(12, 30);
    for (rows, columns) in [(0, 0), (1, 1), (12, 5)] {
        for size in [[3, 32, 32], [1, 1, 1], [3, 300, 10], [2, 0, 0]] {
            let caption = |text: &str, tail: &str| Caption { text: text.into(), tail: tail.into() };
            let captions = vec![caption(&names[0], ""), caption(&names[1], "100.0 %")];
            let row = |name| Row { name, pictures: vec![Picture { pixels: &[], captions: captions.clone() }; columns] };
            let rows = names.iter().take(rows).map(|name| row(name)).collect();
            check(&format!("{size:?}"), &sheet(&Sheet { title: "a title", size, rows }));
        }
    }
}

#[test]
fn a_study_has_room_for_all_words() {
    let accuracies = [[0.62, 0.64], [0.68, 0.69], [0.74, 0.75], [0.801, 0.802]];
    for scale in [1e-3, 1.0, 1e4, f64::NAN] {
        for count in 0..=4 {
            let names = names(count, 60);
            let step = |number: usize| crate::Step {
                name: &names[number],
                seconds: scale * (20.0 + 30.0 * number as f64),
                accuracies: &accuracies[number],
            };
            let steps: Vec<_> = (0..count).map(step).collect();
            check("study", &crate::study(&"W".repeat(200), &steps));
        }
    }
    check("study", &crate::study("", &[crate::Step { name: "none", seconds: 1.0, accuracies: &[] }]));
}
