//! PNG, every colour type and depth, by the crate png. Palettes become colours, 1, 2 and 4 bits become 8; of 16 bits the
//! upper 8 stay, but grey is clipped: all as Pillow.

use super::{Decoded, check_size, exif};
use crate::error::Fault;
use png::{BitDepth, ColorType, Transformations};
use std::io::Cursor;

/// Deflate cannot shrink by more than 1,032 : 1.
const MAX_DEFLATE: u64 = 1_040;
/// Bytes that a file may hold beside its pixels, such as the least that a compressed block takes.
const SLACK: u64 = 1_024;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    let damaged = |error: png::DecodingError| Fault::damaged("a PNG picture", format!("\"{error}\""));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let bits = header.color_type.samples() as u64 * header.bit_depth as u64;
    let capacity = (bytes.len() as u64 * MAX_DEFLATE + SLACK) * 8 / bits;
    check_size(header.width.into(), header.height.into(), capacity, bytes.len())?;
    let wide_grey = header.color_type == ColorType::Grayscale && header.bit_depth == BitDepth::Sixteen;
    if wide_grey {
        decoder.set_transformations(Transformations::IDENTITY);
    }

    let mut reader = decoder.read_info().map_err(damaged)?;
    // The crate looks colours up in whole triples, and panics where there are none.
    let palette = reader.info().palette.as_ref().map_or(0, |palette| palette.len());
    if !palette.is_multiple_of(3) {
        return Err(Fault::damaged("a palette of three bytes a colour", format!("one of {palette} bytes")));
    }
    let mut pixels = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let info = reader.next_frame(&mut pixels).map_err(damaged)?;
    let (height, width) = (info.height as usize, info.width as usize);
    pixels.truncate(info.buffer_size());
    let (channels, pixels) = match info.color_type {
        // Pillow keeps grey of 16 bits as it is and clips it on conversion.
        ColorType::Grayscale if wide_grey => {
            (1, pixels.chunks_exact(2).map(|p| if p[0] > 0 { 255 } else { p[1] }).collect())
        }
        ColorType::Grayscale => (1, pixels),
        ColorType::GrayscaleAlpha => (1, pixels.into_iter().step_by(2).collect()),
        ColorType::Rgba => (3, pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()),
        ColorType::Rgb | ColorType::Indexed => (3, pixels),
    };
    // The chunk with the orientation may stand behind the pixels; what is wrong there is no concern of theirs.
    let _ = reader.finish();
    let orientation = reader.info().exif_metadata.as_deref().map_or(exif::UPRIGHT, exif::orientation);
    Ok(exif::turn(Decoded { channels, height, width, pixels }, orientation))
}
