//! Resizing with Pillow's filters, to the bit as its `Image.resize(size, filter)` does it (Pillow,
//! `src/libImaging/Resample.c`, and `Geometry.c` for nearest), because that is what networks from PyTorch were trained
//! behind.
//!
//! *Invariant:* equal to Pillow 13 on every byte. Hence its fixed-point weights, and its order: rows first, then columns,
//! rounded to bytes between; but columns first where a picture loses much more of its height than of its width. (Earlier
//! versions began with the rows always, so at such sizes some of their bytes differ by a step.) The crate
//! fast_image_resize was tried: when enlarging, one byte of four differs from Pillow's.

use serde::{Deserialize, Serialize};
use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

/// How the pixels of another size are weighted, by Pillow's names. When shrinking, all but `nearest` are widened so that
/// every old pixel counts ("antialiasing").
///
/// ```
/// use lenslet_data::Filter;
/// assert_eq!("bicubic".parse(), Ok(Filter::Bicubic));
/// assert_eq!(Filter::default().to_string(), "bilinear");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The nearest old pixel alone.
    Nearest,
    /// The mean of those that the new pixel covers.
    Box,
    /// A triangle.
    #[default]
    Bilinear,
    /// A sine cut off by Hamming's window: as fast as bilinear, sharper when shrinking.
    Hamming,
    /// Cubic polynomials (Keys, a = −½).
    Bicubic,
    /// A sine cut off by a wider one (Lanczos, 3 lobes).
    Lanczos,
}

impl Filter {
    /// All of them, the simplest first.
    pub const ALL: [Filter; 6] =
        [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];

    /// Its name, as the command line and checkpoints have it.
    pub fn name(self) -> &'static str {
        match self {
            Filter::Nearest => "nearest",
            Filter::Box => "box",
            Filter::Bilinear => "bilinear",
            Filter::Hamming => "hamming",
            Filter::Bicubic => "bicubic",
            Filter::Lanczos => "lanczos",
        }
    }

    /// How far it reaches from its centre.
    fn support(self) -> f64 {
        match self {
            Filter::Nearest | Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// The weight of what stands at `x` from its centre.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        match self {
            Filter::Nearest | Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Filter::Bilinear => (1.0 - distance).max(0.0),
            Filter::Hamming if distance == 0.0 => 1.0,
            Filter::Hamming if distance >= 1.0 => 0.0,
            Filter::Hamming => (distance * PI).sin() / (distance * PI) * (0.54 + 0.46 * (distance * PI).cos()),
            Filter::Bicubic if distance < 1.0 => ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0,
            Filter::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A,
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Bicubic | Filter::Lanczos => 0.0,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|filter| filter.name() == name);
        found.ok_or_else(|| format!("no filter is named {name}; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Fractional bits of a weight: eight bits of pixel and two of headroom are left in 32.
const PRECISION: u32 = 32 - 8 - 2;

/// Brings a picture of `channels` planes from one (height, width) to another.
///
/// ```
/// let checks = [0, 255, 255, 0];
/// assert_eq!(lenslet_data::resize(&checks, 1, (2, 2), (1, 1), lenslet_data::Filter::Box), [128]);
/// ```
///
/// # Panics
/// If `pixels` does not hold `channels` planes of the first size, or a side is 0.
pub fn resize(pixels: &[u8], channels: usize, from: (usize, usize), to: (usize, usize), filter: Filter) -> Vec<u8> {
    let mut resized = vec![0; channels * to.0 * to.1];
    Resizer::new(from, to, filter).resize(pixels, &mut resized);
    resized
}

/// What resizing from one size to another needs to know, whatever the picture.
pub(crate) struct Resizer {
    from: (usize, usize),
    to: (usize, usize),
    rows: Vec<Window>,
    columns: Vec<Window>,
}

impl Resizer {
    pub(crate) fn new(from: (usize, usize), to: (usize, usize), filter: Filter) -> Self {
        assert!(from.0 * from.1 > 0 && to.0 * to.1 > 0, "cannot resize {from:?} to {to:?}");
        Self { from, to, rows: windows(from.1, to.1, filter), columns: windows(from.0, to.0, filter) }
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
        let columns_first = self.columns_first();
        let between = if columns_first { self.to.0 * self.from.1 } else { self.from.0 * self.to.1 };
        let mut between = vec![0; between];
        for (plane, resized) in pixels.chunks_exact(old).zip(resized.chunks_exact_mut(new)) {
            if columns_first {
                self.resize_columns(plane, &mut between, self.from.1);
                self.resize_rows(&between, resized);
            } else {
                self.resize_rows(plane, &mut between);
                self.resize_columns(&between, resized, self.to.1);
            }
        }
    }

    /// Pillow's choice, found by comparing thousands of sizes; earlier versions do not make it.
    fn columns_first(&self) -> bool {
        let [height, width] =
            [(self.from.0, self.to.0), (self.from.1, self.to.1)].map(|(from, to)| from as f64 - to as f64);
        height > 0.0 && height > 2.0 * width
    }

    /// All rows to the new width.
    fn resize_rows(&self, pixels: &[u8], narrowed: &mut [u8]) {
        for (row, narrowed) in pixels.chunks_exact(self.from.1).zip(narrowed.chunks_exact_mut(self.to.1)) {
            for ((first, weights), pixel) in self.rows.iter().zip(narrowed) {
                let weighted = row[*first..].iter().zip(weights).map(|(&old, weight)| i32::from(old) * weight);
                *pixel = round(weighted.sum());
            }
        }
    }

    /// All columns, of which there are `width`, to the new height.
    fn resize_columns(&self, pixels: &[u8], shortened: &mut [u8], width: usize) {
        let mut sums = vec![0; width];
        for ((first, weights), shortened) in self.columns.iter().zip(shortened.chunks_exact_mut(width)) {
            sums.fill(0);
            for (row, weight) in pixels.chunks_exact(width).skip(*first).zip(weights) {
                sums.iter_mut().zip(row).for_each(|(sum, &old)| *sum += i32::from(old) * weight);
            }
            shortened.iter_mut().zip(&sums).for_each(|(pixel, &sum)| *pixel = round(sum));
        }
    }
}

/// The old pixels that a new one is made of: the first, and a weight for each.
type Window = (usize, Vec<i32>);

/// A weight of 1.
const ONE: i32 = 1 << PRECISION;

/// The windows of all new pixels of a side.
fn windows(from: usize, to: usize, filter: Filter) -> Vec<Window> {
    let scale = from as f64 / to as f64;
    if filter == Filter::Nearest {
        return nearest(from, to, scale);
    }
    // When shrinking, the filter is as much wider as the new pixels are.
    let widening = scale.max(1.0);
    let support = filter.support() * widening;
    let window = |new: usize| {
        let centre = (new as f64 + 0.5) * scale;
        let first = (centre - support + 0.5).max(0.0) as usize;
        let last = ((centre + support + 0.5) as usize).min(from);
        let weight = |old: usize| filter.weight((old as f64 - centre + 0.5) * (1.0 / widening));
        let weights: Vec<f64> = (first..last).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: f64| {
            let share = if total == 0.0 { weight } else { weight / total };
            (share * f64::from(ONE) + 0.5_f64.copysign(share)) as i32
        };
        (first, weights.into_iter().map(fixed).collect())
    };
    (0..to).map(window).collect()
}

/// The old pixel below the middle of each new one. Pillow adds up the steps, and so rounds at each.
fn nearest(from: usize, to: usize, step: f64) -> Vec<Window> {
    let middles = std::iter::successors(Some(step * 0.5), |middle| Some(middle + step)).take(to);
    // Rounding may lead past the last one; Pillow leaves such a pixel black.
    let window = |old: usize| if old < from { (old, vec![ONE]) } else { (0, vec![]) };
    middles.map(|middle| window(middle as usize)).collect()
}

/// From fixed point to a byte.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}
