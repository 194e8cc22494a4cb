//! The orientation that cameras write into a picture's EXIF block, and turning the picture upright by it, as Pillow's
//! `ImageOps.exif_transpose` does.
//!
//! The block is a small TIFF file: a byte order, then a list of tags of twelve bytes each (EXIF 2.3, section 4.6). What
//! cannot be read in it says nothing about the pixels, so the picture stays as it is.

use super::Decoded;

/// Nothing is to be turned.
pub(super) const UPRIGHT: u16 = 1;

/// The tag that holds a number from 1 to 8.
const ORIENTATION: u16 = 0x0112;
/// A tag's type: an integer of 16 bits.
const SHORT: u16 = 3;

/// The orientation that an EXIF block tells.
pub(super) fn orientation(mut tiff: &[u8]) -> u16 {
    // Some writers keep the name that only JPEG needs.
    while let Some(rest) = tiff.strip_prefix(b"Exif\0\0") {
        tiff = rest;
    }
    find(tiff).filter(|value| (1..=8).contains(value)).unwrap_or(UPRIGHT)
}

fn find(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let pair = |at: usize| {
        let bytes = tiff.get(at..)?.first_chunk()?;
        Some(if little { u16::from_le_bytes(*bytes) } else { u16::from_be_bytes(*bytes) })
    };
    let [first, second] = [pair(4)?, pair(6)?].map(usize::from);
    let tags = if little { first | second << 16 } else { first << 16 | second };
    let mut entries = (0..pair(tags)?).map(|tag| tags + 2 + usize::from(tag) * 12);
    let entry = entries.find(|&entry| pair(entry) == Some(ORIENTATION))?;
    if pair(entry + 2)? == SHORT { pair(entry + 8) } else { None }
}

/// The picture as it was seen when it was taken.
pub(super) fn turn(picture: Decoded, orientation: u16) -> Decoded {
    let (height, width, channels) = (picture.height, picture.width, picture.channels);
    let (bottom, right) = (height - 1, width - 1);
    // Where the pixel stands that comes to row `y` and column `x`.
    let from = |y: usize, x: usize| match orientation {
        2 => (y, right - x),
        3 => (bottom - y, right - x),
        4 => (bottom - y, x),
        5 => (x, y),
        6 => (bottom - x, y),
        7 => (bottom - x, right - y),
        8 => (x, right - y),
        _ => (y, x),
    };
    if !(2..=8).contains(&orientation) {
        return picture;
    }
    let (new_height, new_width) = if orientation >= 5 { (width, height) } else { (height, width) };
    let mut pixels = Vec::with_capacity(picture.pixels.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (row, column) = from(y, x);
            pixels.extend_from_slice(&picture.pixels[(row * width + column) * channels..][..channels]);
        }
    }
    Decoded { channels, height: new_height, width: new_width, pixels }
}
