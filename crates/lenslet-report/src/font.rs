//! The built-in font: how wide a text is, and the outlines of its letters.
//!
//! DejaVu Sans has Latin, Greek, Cyrillic and many signs. What it lacks is drawn as a box; what it has, but would have to be
//! shaped and set from the right (Hebrew, Arabic and their neighbours), counts as lacking, for wrong words are worse than a
//! box. [`labels`] puts a number before such names, so that they can be told apart. The font's licence lets it be built in
//! if its notice comes with it, and so it does, in the font's own table of names.

use std::sync::LazyLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, GlyphId, OutlineBuilder};

static FACE: LazyLock<Face<'static>> =
    LazyLock::new(|| Face::parse(dejavu::sans::regular(), 0).expect("the built-in font is whole"));

/// Families of the same widths, for whoever opens an SVG.
pub(crate) const FAMILIES: &str = "DejaVu Sans, Bitstream Vera Sans, Verdana, sans-serif";

/// How far below its middle the letters of a line of `size` stand.
pub(crate) fn to_middle(size: f32) -> f32 {
    size * 0.36
}

fn glyph(letter: char) -> Option<GlyphId> {
    let from_the_right = matches!(u32::from(letter), 0x590..=0x8FF | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFE);
    if from_the_right { None } else { FACE.glyph_index(letter) }
}

fn advance(glyph: Option<GlyphId>) -> f32 {
    let glyph = glyph.unwrap_or(GlyphId(0));
    f32::from(FACE.glyph_hor_advance(glyph).unwrap_or(0)) / f32::from(FACE.units_per_em())
}

/// The width of a line of text.
pub(crate) fn width(text: &str, size: f32) -> f32 {
    text.chars().map(|letter| advance(glyph(letter))).sum::<f32>() * size
}

/// The text as it is, or as much of it as fits into `room` with an ellipsis.
pub(crate) fn fitted(text: &str, size: f32, room: f32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let fits = |letter: &char| {
        left -= advance(glyph(*letter)) * size;
        left >= 0.0
    };
    let start: String = text.chars().take_while(fits).collect();
    start.trim_end().to_owned() + "…"
}

/// Names as labels: one line each, and with their number in front where the font lacks a letter.
pub fn labels(names: &[String]) -> Vec<String> {
    let label = |(number, name): (usize, &String)| {
        let name = one_line(name);
        let known = name.chars().all(|letter| glyph(letter).is_some());
        if known && !name.is_empty() { name } else { format!("{number}: {name}").trim_end().to_owned() }
    };
    names.iter().enumerate().map(label).collect()
}

/// The text without letters that have no place in a line, or none in XML.
pub(crate) fn one_line(text: &str) -> String {
    let plain = |letter: char| match letter {
        '\u{FFFE}' | '\u{FFFF}' => '\u{FFFD}',
        letter if letter.is_control() => ' ',
        letter => letter,
    };
    text.chars().map(plain).collect()
}

/// The outlines of a line of text whose baseline begins at the origin.
pub(crate) fn outline(text: &str, size: f32) -> Option<Path> {
    let scale = size / f32::from(FACE.units_per_em());
    let mut pen = Pen { path: PathBuilder::new(), x: 0.0, scale };
    for letter in text.chars() {
        let glyph = glyph(letter);
        // A letter without outline, such as a space, only takes its room.
        let _ = FACE.outline_glyph(glyph.unwrap_or(GlyphId(0)), &mut pen);
        pen.x += advance(glyph) * size;
    }
    pen.path.finish()
}

/// Writes outlines, which are in the font's units with y upwards, as a path.
struct Pen {
    path: PathBuilder,
    x: f32,
    scale: f32,
}

impl Pen {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.x + x * self.scale, -y * self.scale)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVuSans.ttf by fontTools: hmtx of i, W and the digits over unitsPerEm = 569, 2025 and 1303 over 2048.
        for (text, units) in [("i", 569.0), ("W", 2025.0), ("0", 1303.0), ("0123456789", 13030.0)] {
            assert!((width(text, 2048.0) - units).abs() < 0.5, "{text}: {}", width(text, 2048.0));
        }
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(fitted("automobile", 10.0, 1000.0), "automobile");
        let short = fitted("a very long name of a class", 10.0, 60.0);
        assert!(short.ends_with('…') && width(&short, 10.0) <= 60.0, "{short}");
        assert_eq!(fitted("name", 10.0, 0.0), "…");
    }

    #[test]
    fn names_that_cannot_be_drawn_get_their_number() {
        let given = ["chat", "Käse", "кошка", "犬", "猫", "חתול", "", "a\nb"].map(String::from);
        assert_eq!(labels(&given), ["chat", "Käse", "кошка", "3: 犬", "4: 猫", "5: חתול", "6:", "a b"]);
    }
}
