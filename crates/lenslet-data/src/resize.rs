//! Bilinear resizing with antialiasing, to the bit as Pillow's `Image.resize(size, Image.BILINEAR)` does it (Pillow,
//! `src/libImaging/Resample.c`), because that is what networks from PyTorch were trained behind.
//!
//! *Invariant:* equal to Pillow on every byte. Hence its order (rows first, then columns, rounded to bytes between) and
//! its fixed-point weights. The crate fast_image_resize was tried: when enlarging, one byte of four differs from Pillow's.

use serde::{Deserialize, Serialize};

/// How the pixels of another size are weighted, by Pillow's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// A triangle.
    #[default]
    Bilinear,
}

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
    let mut resized = vec![0; channels * to.0 * to.1];
    Resizer::new(from, to).resize(pixels, &mut resized);
    resized
}

/// What resizing from one size to another needs to know, whatever the picture.
pub(crate) struct Resizer {
    from: (usize, usize),
    to: (usize, usize),
    rows: Vec<Window>,
    columns: Vec<Window>,
}

/// The old pixels that a new one is made of: the first, and a weight for each.
type Window = (usize, Vec<i32>);

impl Resizer {
    pub(crate) fn new(from: (usize, usize), to: (usize, usize)) -> Self {
        assert!(from.0 * from.1 > 0 && to.0 * to.1 > 0, "cannot resize {from:?} to {to:?}");
        Self { from, to, rows: windows(from.1, to.1), columns: windows(from.0, to.0) }
    }

    /// Resizes as many planes as there are.
    pub(crate) fn resize(&self, pixels: &[u8], resized: &mut [u8]) {
        let (old, new) = (self.from.0 * self.from.1, self.to.0 * self.to.1);
        assert!(
            pixels.len().is_multiple_of(old) && pixels.len() / old * new == resized.len(),
            "{} bytes are no planes of {:?}, or {} none of {:?}",
            pixels.len(),
            self.from,
            resized.len(),
            self.to
        );
        // Where a side stays, its only weight is 1 and the pass changes nothing.
        let mut narrowed = vec![0; self.from.0 * self.to.1];
        let mut sums = vec![0; self.to.1];
        for (plane, resized) in pixels.chunks_exact(old).zip(resized.chunks_exact_mut(new)) {
            self.resize_rows(plane, &mut narrowed);
            self.resize_columns(&narrowed, &mut sums, resized);
        }
    }

    fn resize_rows(&self, plane: &[u8], narrowed: &mut [u8]) {
        for (row, narrowed) in plane.chunks_exact(self.from.1).zip(narrowed.chunks_exact_mut(self.to.1)) {
            for ((first, weights), pixel) in self.rows.iter().zip(narrowed) {
                let weighted = row[*first..].iter().zip(weights).map(|(&old, weight)| i32::from(old) * weight);
                *pixel = round(weighted.sum());
            }
        }
    }

    fn resize_columns(&self, narrowed: &[u8], sums: &mut [i32], resized: &mut [u8]) {
        for ((first, weights), resized) in self.columns.iter().zip(resized.chunks_exact_mut(self.to.1)) {
            sums.fill(0);
            for (row, weight) in narrowed.chunks_exact(self.to.1).skip(*first).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &old)| *sum += i32::from(old) * weight);
            }
            resized.iter_mut().zip(&*sums).for_each(|(pixel, &sum)| *pixel = round(sum));
        }
    }
}

/// The windows of all new pixels of a side: a triangle as wide as two new pixels or, when enlarging, two old ones.
fn windows(from: usize, to: usize) -> Vec<Window> {
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
        (first, weights.into_iter().map(fixed).collect())
    };
    (0..to).map(window).collect()
}

/// From fixed point to a byte.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}
