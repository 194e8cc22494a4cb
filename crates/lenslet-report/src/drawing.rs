//! A picture before it is a file: what stands where, in the order in which it is painted on white.
//!
//! Units are CSS pixels with y downwards; a PNG has two pixels for each, so that it is sharp on dense screens. Bitmaps are
//! enlarged by whole numbers, and all that is laid out on whole numbers stays sharp.

use std::io;
use std::path::Path;

use crate::bitmap::Bitmap;
use crate::font;
use crate::palette::Colour;
use crate::{raster, svg};

/// A picture, to be written as SVG or PNG.
#[derive(Clone, Debug)]
pub struct Drawing {
    pub(crate) width: f32,
    pub(crate) height: f32,
    pub(crate) items: Vec<Item>,
}

/// Something that is painted.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Rect {
        x: f32,
        y: f32,
        width: f32,
        height: f32,
        fill: Colour,
    },
    Line {
        points: Vec<[f32; 2]>,
        colour: Colour,
        width: f32,
        dashed: bool,
    },
    /// A dot with a white rim, so that it stands out from lines that it lies on.
    Dot {
        x: f32,
        y: f32,
        radius: f32,
        fill: Colour,
    },
    Text {
        x: f32,
        y: f32,
        text: String,
        style: Style,
    },
    Bitmap {
        x: f32,
        y: f32,
        zoom: usize,
        bitmap: Bitmap,
    },
}

/// How a text looks; its place is on the baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) size: f32,
    pub(crate) colour: Colour,
    pub(crate) anchor: Anchor,
    /// Degrees, clockwise, around its place.
    pub(crate) turned: f32,
}

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Style {
    /// A text that begins at its place.
    pub(crate) const fn new(size: f32, colour: Colour) -> Self {
        Self { size, colour, anchor: Anchor::Start, turned: 0.0 }
    }

    /// The same, centred.
    pub(crate) const fn middle(self) -> Self {
        Self { anchor: Anchor::Middle, ..self }
    }

    /// The same, ending at its place.
    pub(crate) const fn end(self) -> Self {
        Self { anchor: Anchor::End, ..self }
    }

    /// The same, turned clockwise.
    pub(crate) const fn turned(self, degrees: f32) -> Self {
        Self { turned: degrees, ..self }
    }

    /// Where the text begins, relative to its place.
    pub(crate) fn start(&self, text: &str) -> f32 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -font::width(text, self.size) / 2.0,
            Anchor::End => -font::width(text, self.size),
        }
    }
}

impl Drawing {
    /// White.
    pub(crate) fn new(width: f32, height: f32) -> Self {
        Self { width: width.ceil().max(1.0), height: height.ceil().max(1.0), items: vec![] }
    }

    pub(crate) fn rect(&mut self, [x, y]: [f32; 2], width: f32, height: f32, fill: Colour) {
        self.items.push(Item::Rect { x, y, width, height, fill });
    }

    pub(crate) fn line(&mut self, points: Vec<[f32; 2]>, colour: Colour, width: f32) {
        self.items.push(Item::Line { points, colour, width, dashed: false });
    }

    pub(crate) fn dashed(&mut self, points: Vec<[f32; 2]>, colour: Colour, width: f32) {
        self.items.push(Item::Line { points, colour, width, dashed: true });
    }

    pub(crate) fn dot(&mut self, [x, y]: [f32; 2], radius: f32, fill: Colour) {
        self.items.push(Item::Dot { x, y, radius, fill });
    }

    pub(crate) fn text(&mut self, [x, y]: [f32; 2], text: &str, style: Style) {
        let text = font::one_line(text);
        if !text.trim().is_empty() {
            self.items.push(Item::Text { x, y, text, style });
        }
    }

    pub(crate) fn bitmap(&mut self, [x, y]: [f32; 2], zoom: usize, bitmap: Bitmap) {
        self.items.push(Item::Bitmap { x, y, zoom, bitmap });
    }

    /// As an SVG file, with bitmaps inside it.
    pub fn svg(&self) -> String {
        svg::write(self)
    }

    /// As a PNG file.
    ///
    /// # Errors
    /// If it has more pixels than memory may be taken for.
    pub fn png(&self) -> io::Result<Vec<u8>> {
        raster::write(self)
    }

    /// Writes `NAME.png` and `NAME.svg` into a folder. Each replaces an older one in one go, so that a viewer which looks
    /// at it meanwhile never sees half a picture.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn save(&self, folder: &Path, name: &str) -> io::Result<()> {
        replace(&folder.join(format!("{name}.png")), &self.png()?)?;
        replace(&folder.join(format!("{name}.svg")), self.svg().as_bytes())
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path)).inspect_err(|_| {
        // What is left of it is of no use; the error that counts is the first.
        let _ = std::fs::remove_file(&beside);
    })
}
