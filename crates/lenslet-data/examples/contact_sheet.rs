//! Writes the first pictures of a data set as one PNG, a column per class, so that a person can look at them:
//! `cargo run --release -p lenslet-data --example contact_sheet -- shapes sheet.png`
use lenslet_data::{Dataset, load};
use std::fs::File;

/// Pictures per class, and how much each is enlarged.
const ROWS: usize = 10;
const ZOOM: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(what), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: contact_sheet DATA OUT.png".into());
    };
    let data = load(&what)?;
    let (width, height) = (data.classes.len() * data.width * ZOOM, ROWS * data.height * ZOOM);
    let mut encoder = png::Encoder::new(File::create(out)?, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&sheet(&data, width, height))?;
    println!("{}", data.classes.join(" "));
    Ok(())
}

fn sheet(data: &Dataset, width: usize, height: usize) -> Vec<u8> {
    let mut shown = vec![0; data.classes.len()];
    let mut sheet = vec![0; width * height * 3];
    for i in 0..data.train.len() {
        let class = data.train.labels[i] as usize;
        if shown[class] < ROWS {
            paste(&mut sheet, width, data.train.image(i), data, (shown[class], class));
            shown[class] += 1;
        }
    }
    sheet
}

fn paste(sheet: &mut [u8], width: usize, image: &[u8], data: &Dataset, (row, column): (usize, usize)) {
    let plane = data.height * data.width;
    for y in 0..data.height * ZOOM {
        for x in 0..data.width * ZOOM {
            let at = ((row * data.height * ZOOM + y) * width + column * data.width * ZOOM + x) * 3;
            let from = y / ZOOM * data.width + x / ZOOM;
            for colour in 0..3 {
                sheet[at + colour] = image[colour.min(data.channels - 1) * plane + from];
            }
        }
    }
}
