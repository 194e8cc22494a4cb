//! The filters of a first convolution as small pictures, each stretched to its own range from black to white.
//!
//! Filters of three channels are colour pictures, filters of one are grey; of other numbers each filter is a row of grey
//! planes, stretched together. A filter is enlarged by a whole number, so that its weights can be counted.

use crate::bitmap::Bitmap;
use crate::drawing::{Drawing, Style};
use crate::font;
use crate::palette::{GREY, INK};

/// Filters, and planes of a filter, that are shown at most.
const MOST: usize = 256;
const MOST_PLANES: usize = 16;
/// Units that a filter is enlarged to, about.
const SIDE: usize = 70;
const GAP: f32 = 10.0;
/// Units of a row of filters, about.
const WIDTH: f32 = 1_290.0;

/// Draws filters of sizes `[filters, channels, height, width]` whose `weights` stand in this order.
pub fn filters(title: &str, [count, channels, height, width]: [usize; 4], weights: &[f32]) -> Drawing {
    let size = channels.saturating_mul(height).saturating_mul(width).max(1);
    let shown = count.min(MOST).min(weights.len() / size);
    let zoom = (SIDE / height.max(width).max(1)).max(1);
    let colours = matches!(channels, 1 | 3);
    let planes = if colours { 1 } else { channels.min(MOST_PLANES) };
    let [wide, high] = [width, height].map(|side| if shown > 0 { (side * zoom) as f32 } else { 0.0 });
    let cell = [planes as f32 * (wide + 2.0) - 2.0 + GAP, high + 16.0 + GAP];
    let columns = columns(shown, (WIDTH / cell[0]) as usize);
    let rows = shown.div_ceil(columns);
    let mut notes = vec![format!(
        "{count} filters of {channels}x{height}x{width}, each from its least weight (black) to its largest (white)"
    )];
    if shown < count || planes < channels && !colours {
        notes.push(format!(
            "shown: the first {shown} filters{}",
            if colours { "" } else { ", and of each the first planes" }
        ));
    }
    let widest = notes.iter().map(|note| font::width(note, 11.0)).fold(font::width(title, 16.0), f32::max);
    let top = 52.0 + notes.len() as f32 * 16.0;
    let mut drawing =
        Drawing::new((40.0 + columns as f32 * cell[0] - GAP).max(widest + 40.0), top + rows as f32 * cell[1] + 10.0);
    drawing.text([20.0, 30.0], title, Style::new(16.0, INK));
    for (line, note) in notes.iter().enumerate() {
        drawing.text([20.0, 52.0 + line as f32 * 16.0], note, Style::new(11.0, GREY));
    }
    for (number, filter) in weights.chunks_exact(size).take(shown).enumerate() {
        let bytes = stretched(filter);
        let x = 20.0 + (number % columns) as f32 * cell[0];
        let y = top + (number / columns) as f32 * cell[1];
        for plane in 0..planes {
            let of_plane = if colours { &bytes[..] } else { &bytes[plane * height * width..] };
            let sizes = if colours { [channels, height, width] } else { [1, height, width] };
            drawing.bitmap([x + plane as f32 * (wide + 2.0), y], zoom, Bitmap::from_planes(sizes, of_plane));
        }
        drawing.text([x, y + high + 12.0], &format!("{number}"), Style::new(10.0, GREY));
    }
    drawing
}

/// Filters side by side, at most so many: all rows of equal length, if there are enough and they can be.
fn columns(filters: usize, most: usize) -> usize {
    let most = most.clamp(1, filters.max(1));
    (most.div_ceil(2)..=most).rev().find(|columns| filters.is_multiple_of(*columns)).unwrap_or(most)
}

/// Weights as bytes: the least is 0, the largest 255; all the same are grey, and what is no number is black.
fn stretched(filter: &[f32]) -> Vec<u8> {
    let numbers = || filter.iter().copied().filter(|weight| weight.is_finite());
    let (low, high) = numbers().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), w| (low.min(w), high.max(w)));
    let byte = |weight: &f32| match weight {
        weight if !weight.is_finite() => 0,
        _ if low == high => 128,
        // In f64, where the difference of two f32 is finite.
        weight => ((f64::from(*weight) - f64::from(low)) / (f64::from(high) - f64::from(low)) * 255.0).round() as u8,
    };
    filter.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_has_its_own_range() {
        assert_eq!(stretched(&[-1.0, 0.0, 1.0]), [0, 128, 255]);
        assert_eq!(stretched(&[0.5, 0.5]), [128, 128]);
        assert_eq!(stretched(&[f32::MAX, -f32::MAX, f32::NAN]), [255, 0, 0]);
    }
}
