//! Draws every kind of picture from made-up numbers, at the sizes that are hard to lay out, so that a person can look at
//! them: `cargo run -p lenslet-report --example gallery -- FOLDER`
use lenslet_report::{Caption, Drawing, Picture, Point, Row, Sheet, confusion, curves, filters, sheet};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: gallery FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let save = |name: &str, draw: &dyn Fn() -> Drawing| {
        let begun = Instant::now();
        let saved = draw().save(Path::new(&folder), name);
        println!("{name}: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
        saved
    };
    for epochs in [0, 1, 2, 20, 200] {
        save(&format!("curves-{epochs}"), &|| curves("lesson on cifar10", &points(epochs), 10))?;
    }
    save("curves-diverged", &|| {
        let mut points = points(12);
        points[5].test_loss = 1e6;
        points[7].train_loss = f64::NAN;
        curves("a loss that leapt", &points, 10)
    })?;
    save("curves-good", &|| {
        let points: Vec<Point> = points(40)
            .into_iter()
            .map(|p| Point {
                train_loss: p.train_loss / 50.0,
                test_loss: p.test_loss / 40.0,
                train_accuracy: 0.97 + p.train_accuracy * 0.03,
                test_accuracy: 0.97 + p.test_accuracy * 0.029,
                ..p
            })
            .collect();
        curves("lesson on mnist", &points, 10)
    })?;
    for classes in [1, 2, 10, 20, 37, 100, 300] {
        let (names, counts) = (names(classes), counts(classes));
        save(&format!("confusion-{classes}"), &|| confusion("Confusions on the test images", &names, &counts))?;
    }
    let foreign = ["犬", "猫", "Käse & <Brot>", "חתול", "кошка", ""].map(String::from);
    save("confusion-foreign", &|| confusion("Names that the font lacks", &foreign, &counts(6)))?;
    let weights: Vec<f32> = (0..512 * 16 * 5 * 5).map(|i| noise(i) - 0.5).collect();
    for sizes in [[6, 3, 5, 5], [64, 3, 7, 7], [6, 1, 5, 5], [24, 2, 3, 3], [8, 16, 3, 3], [300, 3, 3, 3], [4, 3, 1, 1]]
    {
        let name = sizes.map(|size| size.to_string()).join("x");
        save(&format!("filters-{name}"), &|| filters("First filters of lesson", sizes, &weights))?;
    }
    for (side, rows, columns) in [(32, 4, 6), (28, 10, 10), (224, 3, 5), (500, 2, 3), (32, 100, 8)] {
        save(&format!("sheet-{side}-{rows}"), &|| samples(side, rows, columns))?;
    }
    Ok(())
}

/// A share that looks like chance.
fn noise(number: usize) -> f32 {
    ((number as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32
}

fn points(epochs: usize) -> Vec<Point> {
    let point = |epoch: usize| {
        let (progress, chance) = (1.0 - (-(epoch as f64) / 12.0).exp(), f64::from(noise(epoch)) * 0.04);
        Point {
            epoch,
            train_loss: 2.2 - 1.7 * progress,
            test_loss: 2.1 - 1.2 * progress + 0.004 * epoch as f64 + chance,
            train_accuracy: 0.2 + 0.65 * progress,
            test_accuracy: 0.25 + 0.40 * progress + chance,
        }
    };
    (1..=epochs).map(point).collect()
}

fn names(classes: usize) -> Vec<String> {
    const CIFAR10: [&str; 10] =
        ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    let name = |class: usize| match CIFAR10.get(class) {
        Some(name) if classes <= 10 => (*name).to_owned(),
        _ => format!("{} of a kind that has a long name, {class}", ["sweet pepper", "lawn mower", "oak"][class % 3]),
    };
    (0..classes).map(name).collect()
}

fn counts(classes: usize) -> Vec<Vec<u32>> {
    let count = |class: usize, answer: usize| {
        let share = noise(class * 1009 + answer * 31);
        if class == answer { 600 + (share * 400.0) as u32 } else { (share.powi(6) * 180.0) as u32 }
    };
    (0..classes).map(|class| (0..classes).map(|answer| count(class, answer)).collect()).collect()
}

fn samples(side: usize, rows: usize, columns: usize) -> Drawing {
    let pixels: Vec<u8> = (0..3 * side * side).map(|i| (i % 251 + i / side) as u8).collect();
    let caption = |text: &str, tail: &str| Caption { text: text.into(), tail: tail.into() };
    let captions = vec![caption("automobile", ""), caption("said a very long name of a class", "99.8 %")];
    let names = names(rows);
    let row = |name| Row { name, pictures: vec![Picture { pixels: &pixels, captions: captions.clone() }; columns] };
    sheet(&Sheet { title: "Samples", size: [3, side, side], rows: names.iter().map(|name| row(name)).collect() })
}
