//! `lenslet augment`: a sheet of what augmentation makes of images, the original at the left.

use std::path::{Path, PathBuf};

use clap::Args;
use lenslet::Normalization;
use lenslet::data::augment::{Augmentation, Moment, OPS, Picture as Changed};
use lenslet::data::{Filter, is_picture, read_image};
use lenslet_report::{Caption, Drawing, Picture, Row, Sheet, sheet};

use crate::data::{self, Reading};
use crate::failure::Failure;
use crate::network::{self, Input};
use crate::output;
use crate::pictures::save_as;

/// Draw a sheet of what augmentation makes of images: the photographs that a network sees beside those that there are.
#[derive(Args)]
#[command(after_help = after_help())]
pub(crate) struct Augment {
    /// A picture, a folder of pictures, or a data set by name.
    #[arg(value_name = "IMAGE|FOLDER|DATA")]
    what: String,
    /// What is done, in order; the words are below.
    #[arg(long, value_name = "OPS", default_value = "flip, crop 4 reflect", value_parser = augmentation)]
    augment: Augmentation,
    /// Where the sheet goes.
    #[arg(short, long, value_name = "OUT.png|OUT.svg", default_value = "augmented.png")]
    out: PathBuf,
    /// Images shown.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    images: u32,
    /// Changed images beside each, one for each epoch.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=50))]
    epochs: u32,
    /// Sizes to bring the images to, channels x height x width [default: their own; 3x128x128 for a picture].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
    #[command(flatten)]
    reading: Reading,
    /// Number that all chance follows from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Reads the words of an augmentation.
pub(crate) fn augmentation(words: &str) -> Result<Augmentation, String> {
    words.parse().map_err(|error: lenslet::data::augment::ParseError| error.to_string())
}

fn after_help() -> String {
    let longest = OPS.iter().map(|usage| usage.name.len()).max().unwrap_or(0);
    let lines: Vec<String> = OPS
        .iter()
        .map(|usage| format!("  {:longest$}  {}\n  {:longest$}    {}", usage.name, usage.arguments, "", usage.about))
        .collect();
    format!(
        "Ops, parted by commas and done in order; what stands in brackets may be left out:\n{}\n\n\
         Examples:\n  \
         lenslet augment dog.jpg --augment \"flip, rotate 15 bilinear, jitter 0.3 0.3 0.3\" -o dog-sheet.png\n  \
         lenslet augment cifar10 --augment \"flip, crop 4 reflect, cutout 8\"\n  \
         lenslet train --data cifar10 --augment \"flip, crop 4 reflect\"",
        lines.join("\n")
    )
}

pub(crate) fn run(options: &Augment) -> Result<(), Failure> {
    let Originals { title, size, images } = read(options)?;
    let mean = Normalization::half(size[0]).mean_colour();
    let mut changed = Changed::default();
    let mut all: Vec<Vec<Vec<u8>>> = vec![];
    for (image, original) in images.into_iter().enumerate() {
        let mut row = vec![original];
        for epoch in 1..=options.epochs {
            changed.load(&row[0], size);
            options.augment.apply(&mut changed, &Moment { seed: options.seed, epoch, image: image as u32 }, &mean);
            row.push(changed.pixels().to_vec());
        }
        all.push(row);
    }
    save_as(&options.out, "-o", &drawing(&format!("{title}: {}", options.augment), size, &all))?;
    output::result(format_args!("{}", options.out.display()))
}

/// A row for each image: itself, then what it becomes in each epoch.
fn drawing(title: &str, size: [usize; 3], all: &[Vec<Vec<u8>>]) -> Drawing {
    let rows = all.iter().map(|pictures| {
        let pictures = pictures.iter().enumerate().map(|(epoch, pixels)| {
            let text = if epoch == 0 { "original".to_owned() } else { format!("epoch {epoch}") };
            Picture { pixels, captions: vec![Caption { text, tail: String::new() }] }
        });
        Row { name: "", pictures: pictures.collect() }
    });
    let rows = rows.collect();
    sheet(&Sheet { title, size, rows })
}

/// Images of one size, as they are.
struct Originals {
    title: String,
    /// C, H and W.
    size: [usize; 3],
    images: Vec<Vec<u8>>,
}

fn read(options: &Augment) -> Result<Originals, Failure> {
    let path = Path::new(&options.what);
    if path.is_file() && is_picture(path) {
        let size @ [channels, height, width] = options.input.unwrap_or([3, 128, 128]);
        let picture = read_image(path, channels, height, width, Filter::Bilinear)?;
        let name = path.file_name().map_or_else(|| options.what.clone(), |name| name.to_string_lossy().into_owned());
        return Ok(Originals { title: name, size, images: vec![picture.pixels] });
    }
    let data = data::load(&options.what, &options.reading, &options.input.into())?;
    let count = data.train.len().min(options.images as usize);
    // Evenly from all of them, which often come class by class.
    let images = (0..count).map(|i| data.train.image(i * data.train.len() / count).to_vec()).collect();
    Ok(Originals { title: data.name.clone(), size: [data.channels, data.height, data.width], images })
}
