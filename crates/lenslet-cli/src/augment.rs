//! `lenslet augment`: a sheet of what augmentation makes of images, the original at the left. Images are mixed as if they were a
//! batch.

use std::path::{Path, PathBuf};

use clap::Args;
use lenslet::data::augment::{Augmentation, Mix, Moment, OPS, Picture as Changed, partner};
use lenslet::data::{Filter, Split, is_picture, read_image};
use lenslet_report::{Caption, Drawing, Picture, Row, Sheet, sheet};

use crate::data::{self, Reading};
use crate::failure::Failure;
use crate::network::{self, Input};
use crate::output::{self, percent};
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
        "Ops, parted by commas and done in order; what stands in brackets may be left out:\n{}\n\
         mixup and cutmix come last; of several, each image draws one. Labels are mixed as the images are.\n\n\
         Examples:\n  \
         lenslet augment dog.jpg --augment \"flip, rotate 15 bilinear, jitter 0.3 0.3 0.3\" -o dog-sheet.png\n  \
         lenslet augment cifar10 --augment \"flip, crop 4 reflect, cutout 8\"\n  \
         lenslet train --data cifar10 --augment \"flip, crop 4 reflect\"\n  \
         lenslet train --data cifar10 --augment \"flip, crop 4 reflect, mixup 0.2, cutmix\"",
        lines.join("\n")
    )
}

pub(crate) fn run(options: &Augment) -> Result<(), Failure> {
    let Originals { title, size, images, mean } = read(options)?;
    if options.augment.mixes() && images.len() == 1 {
        return Err(Failure::Mend(format!(
            "{}: one image cannot be mixed with another\n  mend it: show more images, of a folder or data set, or leave out \
             mixup and cutmix",
            options.what
        )));
    }
    let mut rows: Vec<Vec<Shown>> = images
        .iter()
        .map(|image| vec![Shown { text: "original".into(), share: None, pixels: image.clone() }])
        .collect();
    for epoch in 1..=options.epochs {
        let changed = changed(options, epoch, size, &images, &mean);
        rows.iter_mut().zip(changed).for_each(|(row, shown)| row.push(shown));
    }
    save_as(&options.out, "-o", &drawing(&format!("{title}: {}", options.augment), size, &rows))?;
    output::result(format_args!("{}", options.out.display()))
}

/// A picture of the sheet.
struct Shown {
    text: String,
    /// How much of it is the image itself, if another is mixed in.
    share: Option<f32>,
    pixels: Vec<u8>,
}

/// What becomes of the images in an epoch.
fn changed(options: &Augment, epoch: u32, size: [usize; 3], images: &[Vec<u8>], mean: &[u8]) -> Vec<Shown> {
    let moment = |image: usize| Moment { seed: options.seed, epoch, image: image as u32 };
    let alone = images.iter().enumerate().map(|(image, pixels)| {
        let mut changed = Changed::default();
        changed.load(pixels, size);
        options.augment.apply(&mut changed, &moment(image), mean);
        changed
    });
    let alone: Vec<Changed> = alone.collect();
    let mixed = alone.iter().enumerate().map(|(image, changed)| {
        let mix = options.augment.mix(size, &moment(image));
        let mut changed = changed.clone();
        if let Some(mix) = mix {
            mix.apply(&mut changed, &alone[partner(image, alone.len())]);
        }
        Shown { text: format!("epoch {epoch}"), share: mix.map(Mix::share), pixels: changed.pixels().to_vec() }
    });
    mixed.collect()
}

/// A row for each image: itself, then what it becomes in each epoch.
fn drawing(title: &str, size: [usize; 3], rows: &[Vec<Shown>]) -> Drawing {
    let rows = rows.iter().map(|row| {
        let pictures = row.iter().map(|Shown { text, share, pixels }| {
            let tail = share.map_or(String::new(), |share| format!("({})", percent(share.into())));
            Picture { pixels, captions: vec![Caption { text: text.clone(), tail }] }
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
    /// The mean colour of all that there are.
    mean: Vec<u8>,
}

fn read(options: &Augment) -> Result<Originals, Failure> {
    let path = Path::new(&options.what);
    if path.is_file() && is_picture(path) {
        let size @ [channels, height, width] = options.input.unwrap_or([3, 128, 128]);
        let picture = read_image(path, channels, height, width, Filter::Bilinear)?;
        let name = path.file_name().map_or_else(|| options.what.clone(), |name| name.to_string_lossy().into_owned());
        let all = Split { images: picture.pixels.into(), labels: vec![0] };
        let (images, mean) = (vec![all.image(0).to_vec()], all.mean_colour(channels).to_vec());
        return Ok(Originals { title: name, size, images, mean });
    }
    let data = data::load(&options.what, &options.reading, &options.input.into())?;
    let count = data.train.len().min(options.images as usize);
    // Evenly from all of them, which often come class by class.
    let images = (0..count).map(|i| data.train.image(i * data.train.len() / count).to_vec()).collect();
    let mean = data.train.mean_colour(data.channels).to_vec();
    Ok(Originals { title: data.name.clone(), size: [data.channels, data.height, data.width], images, mean })
}
