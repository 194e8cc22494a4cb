//! Bilinear resizing with antialiasing, to the bit as Pillow's `Image.resize(size, Image.BILINEAR)` does it (Pillow,
//! `src/libImaging/Resample.c`), because that is what networks from PyTorch were trained behind.
//!
//! *Invariant:* equal to Pillow on every byte. Hence its order (rows first, then columns, rounded to bytes between) and
//! its fixed-point weights. The crate fast_image_resize was tried: it goes columns first and differs in one byte of four.
use std::ops::Range;

/// Fractional bits of a weight: eight bits of pixel and two of headroom are left in 32.
const PRECISION: u32 = 32 - 8 - 2;

/// Brings a picture of `channels` planes from one (height, width) to another.
///
/// ```
/// let checks = [0, 255, 255, 0];
/// assert_eq!(lenslet_data::resize(&checks, 1, (2, 2), (1, 1)), [128]);
/// ```
///
/// # Panics
/// If `pixels` does not hold `channels` planes of the first size, or a side is 0.
pub fn resize(pixels: &[u8], channels: usize, from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    assert_eq!(pixels.len(), channels * from.0 * from.1, "pixels of {channels} planes of {from:?}");
    assert!(from.0 * from.1 * to.0 * to.1 > 0, "cannot resize {from:?} to {to:?}");
    let narrowed = if from.1 == to.1 { pixels.to_vec() } else { resize_rows(pixels, from.1, to.1) };
    if from.0 == to.0 { narrowed } else { resize_columns(&narrowed, to.1, from.0, to.0) }
}

/// Every row of `from` pixels becomes one of `to`.
fn resize_rows(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let windows = windows(from, to);
    let row = |row: &[u8]| {
        let value = |(window, weights): &(Range<usize>, Vec<i32>)| {
            round(row[window.clone()].iter().zip(weights).map(|(&pixel, weight)| i32::from(pixel) * weight).sum())
        };
        windows.iter().map(value).collect::<Vec<_>>()
    };
    pixels.chunks_exact(from).flat_map(row).collect()
}

/// Every plane of `from` rows becomes one of `to` rows.
fn resize_columns(pixels: &[u8], width: usize, from: usize, to: usize) -> Vec<u8> {
    let windows = windows(from, to);
    let mut resized = Vec::with_capacity(pixels.len() / from * to);
    for plane in pixels.chunks_exact(width * from) {
        for (window, weights) in &windows {
            let mut sums = vec![0; width];
            for (row, weight) in plane.chunks_exact(width).skip(window.start).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &pixel)| *sum += i32::from(pixel) * weight);
            }
            resized.extend(sums.into_iter().map(round));
        }
    }
    resized
}

/// For each new pixel the old ones it is made of, with their weights: a triangle as wide as a new pixel and, when
/// enlarging, as an old one.
fn windows(from: usize, to: usize) -> Vec<(Range<usize>, Vec<i32>)> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let window = |new: usize| {
        let centre = (new as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let last = ((centre + support + 0.5) as usize).min(from);
        let triangle = |old: usize| (1.0 - ((old as f64 - centre + 0.5) / support).abs()).max(0.0);
        let weights: Vec<f64> = (first..last).map(triangle).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: f64| (weight / total * f64::from(1 << PRECISION) + 0.5) as i32;
        (first..last, weights.into_iter().map(fixed).collect())
    };
    (0..to).map(window).collect()
}

/// From fixed point to a byte.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}
