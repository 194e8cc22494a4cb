//! WebP, lossy and lossless, with and without alpha; of an animation its first frame. By the crate image-webp.
//!
//! The crate takes memory for the sizes that the headers name, of which a file has up to three: the canvas, a frame and
//! its bit stream. So the chunks are looked through here first (RFC 9649, section 2), and each size is checked.

use super::{Decoded, check_size, exif};
use crate::error::{Fault, Place};
use image_webp::WebPDecoder;
use std::io::Cursor;

/// A lossy stream spends more than a bit on each block of 16×16 pixels, and a lossless one need not spend any.
const LOSSY_PIXELS_PER_BYTE: u64 = 2_048;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    let damaged = |error: image_webp::DecodingError| Fault::damaged("a WebP picture", format!("\"{error}\""));
    let mut orientation = exif::UPRIGHT;
    check_chunks(bytes, 12, &mut orientation)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    check_size(width.into(), height.into(), u64::MAX, bytes.len())?;
    let samples = if decoder.has_alpha() { 4 } else { 3 };
    let (height, width) = (height as usize, width as usize);
    let mut pixels = vec![0; height * width * samples];
    decoder.read_image(&mut pixels).map_err(damaged)?;
    if samples == 4 {
        drop_alpha(&mut pixels);
    }
    Ok(exif::turn(Decoded { channels: 3, height, width, pixels }, orientation))
}

/// Red, green, blue, alpha to red, green, blue, in the same memory.
fn drop_alpha(pixels: &mut Vec<u8>) {
    for pixel in 0..pixels.len() / 4 {
        pixels.copy_within(pixel * 4..pixel * 4 + 3, pixel * 3);
    }
    pixels.truncate(pixels.len() / 4 * 3);
}

/// Checks the sizes in the chunks from byte `at` on, and finds the orientation among them.
fn check_chunks(bytes: &[u8], mut at: usize, orientation: &mut u16) -> Result<(), Fault> {
    while let Some((head, rest)) = bytes.get(at..).and_then(<[u8]>::split_first_chunk::<8>) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let data = &rest[..length.min(rest.len())];
        check_chunk(&head[..4], data, bytes.len()).map_err(|fault| fault.at(Place::Byte(at)))?;
        if data.len() < length {
            let found = format!("{} of them", data.len());
            return Err(Fault::damaged(format!("a chunk of {length} bytes"), found).at(Place::Byte(at)));
        }
        match &head[..4] {
            b"EXIF" => *orientation = exif::orientation(data),
            // A frame's own chunks stand behind its place and duration.
            b"ANMF" => check_chunks(&bytes[..at + 8 + length], at + 8 + 16, orientation)?,
            _ => {}
        }
        at += 8 + length.next_multiple_of(2);
    }
    Ok(())
}

/// Checks the size that one chunk names.
fn check_chunk(kind: &[u8], data: &[u8], length: usize) -> Result<(), Fault> {
    let word = |at: usize| data.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u16::from_le_bytes(*bytes));
    let wide = |at: usize| u64::from(word(at)) | u64::from(word(at + 1) >> 8) << 16;
    match kind {
        b"VP8 " => {
            let [width, height] = [word(6), word(8)].map(|side| u64::from(side & 0x3FFF));
            check_size(width, height, length as u64 * LOSSY_PIXELS_PER_BYTE, length)
        }
        b"VP8L" => {
            let sizes = u32::from(word(1)) | u32::from(word(3)) << 16;
            check_size(u64::from(sizes & 0x3FFF) + 1, u64::from(sizes >> 14 & 0x3FFF) + 1, u64::MAX, length)
        }
        b"VP8X" => check_size(wide(4) + 1, wide(7) + 1, u64::MAX, length),
        b"ANMF" => check_size(wide(6) + 1, wide(9) + 1, u64::MAX, length),
        _ => Ok(()),
    }
}
