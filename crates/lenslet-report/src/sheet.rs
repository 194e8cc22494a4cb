//! A sheet of pictures with words below them: the surest mistakes, or samples of each class.
//!
//! Pictures are enlarged by whole numbers; those too large for the sheet are shrunk by one.

use crate::bitmap::Bitmap;
use crate::drawing::{Drawing, Style};
use crate::font;
use crate::palette::{GREY, INK};

/// A sheet.
#[derive(Clone, Debug)]
pub struct Sheet<'a> {
    /// What it shows.
    pub title: &'a str,
    /// Sizes of all pictures, C×H×W.
    pub size: [usize; 3],
    /// From top to bottom.
    pub rows: Vec<Row<'a>>,
}

/// Pictures side by side.
#[derive(Clone, Debug, Default)]
pub struct Row<'a> {
    /// What stands at the left, such as a class; empty if nothing.
    pub name: &'a str,
    /// From left to right.
    pub pictures: Vec<Picture<'a>>,
}

/// A picture with its words.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// C planes of H rows of W bytes.
    pub pixels: &'a [u8],
    /// Lines below it.
    pub captions: Vec<Caption>,
}

/// A line of words.
#[derive(Clone, Debug, Default)]
pub struct Caption {
    /// What is shortened where room is scarce.
    pub text: String,
    /// What follows and never is.
    pub tail: String,
}

/// Rows that are shown at most, and units that all of them may take, about.
const MOST_ROWS: usize = 200;
const HIGHEST: usize = 2_600;
/// Units of a picture's longer side, about: enlarged to it, and shrunk to the double.
const SIDE: usize = 128;
const SMALLEST: usize = 32;

const CAPTION: f32 = 11.0;
const LINE: f32 = 15.0;
const GAP: f32 = 14.0;
const NAME: f32 = 150.0;
/// The widest room for words below a picture.
const WORDS: f32 = 150.0;

/// Draws a sheet; of very many rows the first.
pub fn sheet(sheet: &Sheet<'_>) -> Drawing {
    let rows = &sheet.rows[..sheet.rows.len().min(MOST_ROWS)];
    let names: Vec<String> = rows.iter().map(|row| font::fitted(&font::one_line(row.name), 12.0, NAME)).collect();
    let left = 20.0 + names.iter().map(|name| font::width(name, 12.0)).fold(0.0, f32::max);
    let left = if left > 20.0 { left + GAP } else { left };
    let fit = Fit::new(sheet, rows.len());
    let lines = rows.iter().flat_map(|row| &row.pictures).map(|picture| picture.captions.len()).max().unwrap_or(0);
    let columns = rows.iter().map(|row| row.pictures.len()).max().unwrap_or(0);
    let words = rows.iter().flat_map(|row| &row.pictures).flat_map(|picture| &picture.captions);
    let words = words.map(|caption| font::width(&format!("{} {}", caption.text, caption.tail), CAPTION));
    let cell = fit.width.max(words.fold(0.0, f32::max).min(WORDS)).ceil() + GAP;
    let high = fit.height + if lines > 0 { lines as f32 * LINE + 4.0 } else { 0.0 } + GAP;
    let width = (left + columns as f32 * cell + 20.0 - GAP).max(font::width(sheet.title, 16.0) + 40.0);
    let mut drawing = Drawing::new(width, 50.0 + rows.len() as f32 * high + 6.0);
    drawing.text([20.0, 30.0], sheet.title, Style::new(16.0, INK));
    for (number, (row, name)) in rows.iter().zip(&names).enumerate() {
        let y = 50.0 + number as f32 * high;
        drawing.text([20.0, y + fit.height / 2.0 + font::to_middle(12.0)], name, Style::new(12.0, INK));
        for (column, picture) in row.pictures.iter().enumerate() {
            let x = (left + column as f32 * cell).round();
            let bitmap = Bitmap::from_planes(sheet.size, picture.pixels).shrunk(fit.shrink);
            drawing.bitmap([x, y.round()], fit.zoom, bitmap);
            for (line, caption) in picture.captions.iter().enumerate() {
                let style = Style::new(CAPTION, if line == 0 { INK } else { GREY });
                write(&mut drawing, [x, y + fit.height + 14.0 + line as f32 * LINE], caption, style, cell - GAP);
            }
        }
    }
    drawing
}

/// Writes a line; its two parts apart, so that a name in whichever script keeps its place.
fn write(drawing: &mut Drawing, [x, y]: [f32; 2], Caption { text, tail }: &Caption, style: Style, room: f32) {
    let space = if tail.is_empty() { 0.0 } else { font::width(" ", style.size) + font::width(tail, style.size) };
    let text = font::fitted(text, style.size, room - space);
    drawing.text([x, y], &text, style);
    drawing.text([x + font::width(&format!("{text} "), style.size), y], tail, style);
}

/// How pictures are brought to the sheet.
struct Fit {
    zoom: usize,
    shrink: usize,
    /// In units, after that.
    width: f32,
    height: f32,
}

impl Fit {
    fn new(sheet: &Sheet<'_>, rows: usize) -> Self {
        let [_, height, width] = sheet.size;
        let longer = height.max(width).max(1);
        let side = (HIGHEST / rows.max(1)).clamp(SMALLEST, SIDE);
        let zoom = (side / longer).max(1);
        let shrink = if longer > 2 * side { longer.div_ceil(2 * side) } else { 1 };
        let [width, height] = [width, height].map(|side| (side.div_ceil(shrink) * zoom) as f32);
        Self { zoom, shrink, width, height }
    }
}
