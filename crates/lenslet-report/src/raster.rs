//! A drawing as PNG: paths by tiny-skia, letters as paths, bitmaps pixel by pixel.

use std::io;

use tiny_skia::{Color, FillRule, LineCap, LineJoin, Paint, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform};

use crate::bitmap::Bitmap;
use crate::drawing::{Drawing, Item, Style};
use crate::font;
use crate::palette::{Colour, WHITE};

/// Sides beyond this many pixels are not drawn at two pixels a unit, but at one.
const DENSE: f32 = 5_000.0;

/// The most pixels a picture may have: 256 MiB while it is drawn.
const MOST: f32 = 64.0 * 1024.0 * 1024.0;

pub(crate) fn write(drawing: &Drawing) -> io::Result<Vec<u8>> {
    let dense = drawing.width.max(drawing.height) * 2.0 <= DENSE;
    let scale = if dense { 2 } else { 1 };
    let [width, height] = [drawing.width, drawing.height].map(|side| side * scale as f32);
    let too_large = || io::Error::other(format!("a picture of {width} x {height} pixels is too large"));
    if width * height > MOST {
        return Err(too_large());
    }
    let mut pixmap = Pixmap::new(width as u32, height as u32).ok_or_else(too_large)?;
    pixmap.fill(Color::WHITE);
    for item in &drawing.items {
        paint(&mut pixmap, item, scale);
    }
    // Nothing is transparent, so the colours are as they are.
    let rgb: Vec<u8> = pixmap.data().as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect();
    encode(pixmap.width() as usize, pixmap.height() as usize, &rgb)
}

/// Rows of red, green and blue as a PNG file.
pub(crate) fn encode(width: usize, height: usize, rgb: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header().map_err(io::Error::other)?;
    writer.write_image_data(rgb).and_then(|()| writer.finish()).map_err(io::Error::other)?;
    Ok(bytes)
}

fn paint(pixmap: &mut Pixmap, item: &Item, scale: usize) {
    let transform = Transform::from_scale(scale as f32, scale as f32);
    match item {
        Item::Rect { x, y, width, height, fill } => {
            if let Some(rect) = Rect::from_xywh(*x, *y, *width, *height) {
                pixmap.fill_rect(rect, &ink(*fill), transform, None);
            }
        }
        Item::Line { points, colour, width, dashed } => {
            let mut path = PathBuilder::new();
            for (number, &[x, y]) in points.iter().enumerate() {
                if number == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
            let dash = if *dashed { StrokeDash::new(vec![4.0, 3.0], 0.0) } else { None };
            let cap = LineCap::Butt;
            let stroke = Stroke { width: *width, line_join: LineJoin::Round, line_cap: cap, dash, ..Stroke::default() };
            if let Some(path) = path.finish() {
                pixmap.stroke_path(&path, &ink(*colour), &stroke, transform, None);
            }
        }
        Item::Dot { x, y, radius, fill } => {
            for (radius, fill) in [(radius + 0.5, WHITE), (radius - 0.5, *fill)] {
                if let Some(path) = PathBuilder::from_circle(*x, *y, radius) {
                    pixmap.fill_path(&path, &ink(fill), FillRule::Winding, transform, None);
                }
            }
        }
        Item::Text { x, y, text, style } => words(pixmap, [*x, *y], text, style, transform),
        Item::Bitmap { x, y, zoom, bitmap } => {
            let [x, y] = [*x, *y].map(|place| (place * scale as f32).round().max(0.0) as usize);
            paste(pixmap, x, y, &bitmap.enlarged(zoom * scale));
        }
    }
}

fn words(pixmap: &mut Pixmap, [x, y]: [f32; 2], text: &str, style: &Style, transform: Transform) {
    let Some(path) = font::outline(text, style.size) else { return };
    let place = transform.pre_translate(x, y).pre_concat(Transform::from_rotate(style.turned));
    let place = place.pre_translate(style.start(text), 0.0);
    pixmap.fill_path(&path, &ink(style.colour), FillRule::Winding, place, None);
}

/// Puts pixels where they belong; what lies beyond the edges is left out.
fn paste(pixmap: &mut Pixmap, x: usize, y: usize, bitmap: &Bitmap) {
    let (width, height) = (pixmap.width() as usize, pixmap.height() as usize);
    let columns = bitmap.width.min(width.saturating_sub(x));
    let rows = bitmap.height.min(height.saturating_sub(y));
    let data = pixmap.data_mut();
    for row in 0..rows {
        for column in 0..columns {
            let at = ((y + row) * width + x + column) * 4;
            data[at..at + 3].copy_from_slice(&bitmap.pixel(column, row));
        }
    }
}

fn ink([red, green, blue]: Colour) -> Paint<'static> {
    let mut paint = Paint { anti_alias: true, ..Paint::default() };
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}
