//! BMP: 1, 4, 8, 16, 24 and 32 bits, palettes, bit fields and run lengths, headers from OS/2's to version 5 (Microsoft's
//! documentation of `BITMAPINFOHEADER` and its successors).
//!
//! Our own, as the format is small and frozen, and the crates differ from Pillow in how 5 bits become 8. Rows stand from
//! the bottom up unless the height is negative; each is filled up to whole words of 32 bits.

use super::{Decoded, check_size, look_up};
use crate::error::{Fault, Kind, Place};

/// How pixels are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    RunLengths,
    BitFields,
}

/// What the header says.
struct Header {
    width: usize,
    height: usize,
    top_down: bool,
    bits: usize,
    compression: Compression,
    /// Which bits of a pixel are red, green and blue, where there is no palette.
    masks: [u32; 3],
    palette: Vec<[u8; 3]>,
    /// Where the pixels begin.
    start: usize,
}

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    let header = Header::read(bytes)?;
    let (height, width) = (header.height, header.width);
    let data = bytes.get(header.start..).unwrap_or_default();
    let row = (width * header.bits).div_ceil(32) * 4;
    check_size(width as u64, height as u64, u64::MAX, bytes.len())?;
    if header.compression != Compression::RunLengths && data.len() < row * height {
        return Err(Fault::damaged(format!("{height} rows of {row} bytes"), format!("{} bytes of pixels", data.len())));
    }

    let mut pixels = if header.compression == Compression::RunLengths {
        let indices = run_lengths(data, &header).map_err(|fault| fault.at(Place::Byte(header.start)))?;
        look_up(&indices, &header.palette)
    } else if header.bits <= 8 {
        let mut indices = Vec::with_capacity(height * width);
        data.chunks_exact(row).take(height).for_each(|row| unpack(row, header.bits, width, &mut indices));
        look_up(&indices, &header.palette)
    } else {
        let mut pixels = Vec::with_capacity(height * width * 3);
        data.chunks_exact(row).take(height).for_each(|row| colours(row, &header, &mut pixels));
        pixels
    };
    if !header.top_down {
        flip(&mut pixels, width * 3);
    }
    Ok(Decoded { channels: 3, height, width, pixels })
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let cut = || Fault::damaged("a BMP picture", format!("{} bytes, less than its header", bytes.len()));
        let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let half = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let length = word(14).ok_or_else(cut)?;
        let (width, height, bits, compression) = match length {
            12 => (half(18).ok_or_else(cut)?.into(), half(20).ok_or_else(cut)?.into(), half(24), Some(0)),
            40 | 52 | 56 | 64 | 108 | 124 => {
                (word(18).ok_or_else(cut)? as i32, word(22).ok_or_else(cut)? as i32, half(28), word(30))
            }
            _ => return Err(unsupported("a header of a known length", format!("one of {length} bytes"))),
        };
        let (bits, compression) = (bits.ok_or_else(cut)?, compression.ok_or_else(cut)?);
        let compression = match (compression, bits) {
            (0, 1 | 4 | 8 | 16 | 24 | 32) => Compression::None,
            (1, 8) | (2, 4) => Compression::RunLengths,
            (3, 16 | 24 | 32) => Compression::BitFields,
            _ => {
                let found = format!("{bits} bits with compression {compression}");
                return Err(unsupported("1 to 32 bits a pixel, plain, in bit fields or in run lengths", found));
            }
        };
        let after = 14 + length as usize;
        let (masks, after) = match (compression, bits) {
            // They stand behind the shortest of the longer headers, and within all others: at the same place.
            (Compression::BitFields, _) => {
                let masks = [word(54), word(58), word(62)].map(|mask| mask.ok_or_else(cut));
                let [red, green, blue] = masks;
                ([red?, green?, blue?], if length == 40 { after + 12 } else { after })
            }
            (_, 16) => ([0x7C00, 0x3E0, 0x1F], after),
            _ => ([0xFF_0000, 0xFF00, 0xFF], after),
        };
        let named = if length == 12 { 0 } else { word(46).ok_or_else(cut)? as usize };
        let most = if bits <= 8 { 1 << bits } else { 0 };
        let colours = if named == 0 { most } else { named.min(most) };
        let entry = if length == 12 { 3 } else { 4 };
        let table = bytes.get(after..).unwrap_or_default().chunks_exact(entry).take(colours);
        let palette: Vec<_> = table.map(|entry| [entry[2], entry[1], entry[0]]).collect();
        let said = word(10).ok_or_else(cut)? as usize;
        // Some writers forget that the palette comes first.
        let start = if said <= 14 + length as usize { after + colours * entry } else { said };
        Ok(Self {
            width: usize::try_from(width).unwrap_or(0),
            height: height.unsigned_abs() as usize,
            top_down: height < 0,
            bits: bits.into(),
            compression,
            masks,
            palette,
            start,
        })
    }
}

/// A row of 1, 4 or 8 bits to indices of bytes, the upper bits first.
fn unpack(row: &[u8], bits: usize, width: usize, indices: &mut Vec<u8>) {
    let per_byte = 8 / bits;
    let mask = (0xFF_u16 >> (8 - bits)) as u8;
    indices.extend((0..width).map(|x| row[x / per_byte] >> (8 - bits * (x % per_byte + 1)) & mask));
}

/// A row of 16, 24 or 32 bits to red, green, blue; as Pillow, what has fewer than 8 bits is stretched and cut, not rounded.
fn colours(row: &[u8], header: &Header, pixels: &mut Vec<u8>) {
    let byte = header.bits / 8;
    for pixel in row.chunks_exact(byte).take(header.width) {
        let value = pixel.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
        pixels.extend(header.masks.map(|mask| {
            let most = mask.checked_shr(mask.trailing_zeros()).unwrap_or(0);
            let part = (value & mask).checked_shr(mask.trailing_zeros()).unwrap_or(0);
            (u64::from(part) * 255 / u64::from(most.max(1))) as u8
        }));
    }
}

/// Run lengths to indices, row by row as they stand in the file; what is skipped is 0.
fn run_lengths(data: &[u8], header: &Header) -> Result<Vec<u8>, Fault> {
    let cut = || Fault::damaged("run lengths up to their end mark", format!("{} bytes without it", data.len()));
    let (height, width) = (header.height, header.width);
    let mut indices = vec![0; height * width];
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next().ok_or_else(cut);
    let (mut x, mut y) = (0, 0);
    // What stands outside the picture is left out.
    let mut put = |x: usize, y: usize, index: u8| {
        if x < width && y < height {
            indices[y * width + x] = index;
        }
    };
    let nibble = |byte: u8, number: usize| if number.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
    // The last row needs no end mark.
    while y + 1 < height || (y + 1 == height && x < width) {
        let (count, value) = (usize::from(next()?), next()?);
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => (x, y) = (x + usize::from(next()?), y + usize::from(next()?)),
            (0, literal) => {
                let count = usize::from(literal);
                let length = if header.bits == 4 { count.div_ceil(2) } else { count };
                let mut byte = 0;
                for number in 0..count {
                    if header.bits == 8 || number.is_multiple_of(2) {
                        byte = next()?;
                    }
                    put(x + number, y, if header.bits == 4 { nibble(byte, number) } else { byte });
                }
                // Filled up to whole pairs of bytes.
                if !length.is_multiple_of(2) {
                    next()?;
                }
                x += count;
            }
            (count, value) => {
                (0..count).for_each(|n| put(x + n, y, if header.bits == 4 { nibble(value, n) } else { value }));
                x += count;
            }
        }
    }
    Ok(indices)
}

/// The last row first.
fn flip(pixels: &mut [u8], row: usize) {
    let rows = pixels.len() / row;
    for y in 0..rows / 2 {
        let (upper, lower) = pixels.split_at_mut((rows - 1 - y) * row);
        upper[y * row..][..row].swap_with_slice(&mut lower[..row]);
    }
}

fn unsupported(expected: &str, found: String) -> Fault {
    Fault::new(Kind::Unsupported, format!("a BMP picture of {expected}"), found, "convert the picture to PNG")
}
