//! PNG and JPEG files to bytes, as Pillow's `Image.open(file).convert("RGB")` or `.convert("L")` would give them.
//!
//! *Invariant:* PNGs are equal to Pillow's on every byte; JPEGs within the few steps by which decoders differ. No memory
//! is taken for a size that a file of its length cannot hold, and a file that is cut off is an error, not a grey patch.
use crate::error::{DataError, Fault, Kind};
use crate::resize;
use png::{BitDepth, ColorType, Transformations};
use std::io::Cursor;
use std::path::Path;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Larger pictures are refused, as Pillow does.
const MAX_PIXELS: u64 = 178_956_970;
/// Deflate cannot shrink by more than 1,032 : 1.
const MAX_DEFLATE: u64 = 1_040;
/// A JPEG spends at least one bit on each block of 8×8 pixels.
const MAX_JPEG_PIXELS_PER_BYTE: u64 = 512;
/// Bytes that a file may hold beside its pixels, such as the least that a compressed block takes.
const SLACK: u64 = 1_024;

/// A picture for a network to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// C planes of H rows of W bytes.
    pub pixels: Vec<u8>,
    /// Height and width in the file.
    pub original: (usize, usize),
    /// Whether that was another size than the one asked for, so that `pixels` were scaled.
    pub resized: bool,
}

/// Reads a PNG or JPEG file as `channels` planes of `height`×`width`, 1 for grey or 3 for colour; scaled with
/// [`resize()`](crate::resize()) where the file has another size.
pub fn read_image(path: &Path, channels: usize, height: usize, width: usize) -> Result<Picture, DataError> {
    if !matches!(channels, 1 | 3) || height * width == 0 {
        let expected = "a network for pictures of 1 or 3 channels and at least one pixel";
        let fix = "use a network whose input is 1×H×W or 3×H×W";
        let found = format!("one for {channels}×{height}×{width}");
        return Err(Fault::new(Kind::Mismatch, expected, found, fix).in_file(path));
    }
    let bytes = std::fs::read(path).map_err(|error| DataError::io(path, error))?;
    let decoded = decode(&bytes).map_err(|fault| fault.in_file(path))?.with_channels(channels);
    let original = (decoded.height, decoded.width);
    let resized = original != (height, width);
    let planes = decoded.planes();
    let pixels = if resized { resize(&planes, channels, original, (height, width)) } else { planes };
    Ok(Picture { pixels, original, resized })
}

/// A decoded file: rows of pixels of one byte (grey) or three (red, green, blue).
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) pixels: Vec<u8>,
}

impl Decoded {
    /// Grey to colour or colour to grey.
    pub(crate) fn with_channels(self, channels: usize) -> Self {
        let pixels = match (self.channels, channels) {
            (1, 3) => self.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            (3, 1) => self.pixels.chunks_exact(3).map(luminance).collect(),
            _ => self.pixels,
        };
        Self { channels, pixels, ..self }
    }

    /// The pixels as one plane per channel.
    pub(crate) fn planes(&self) -> Vec<u8> {
        (0..self.channels).flat_map(|c| self.pixels.iter().skip(c).step_by(self.channels).copied()).collect()
    }
}

/// The plane of grey for a picture of three planes.
pub(crate) fn grey(planes: &[u8], plane: usize) -> impl Iterator<Item = u8> {
    (0..plane).map(move |i| luminance(&[planes[i], planes[plane + i], planes[2 * plane + i]]))
}

/// ITU-R 601-2 in 16-bit fixed point, Pillow's `L`.
fn luminance(rgb: &[u8]) -> u8 {
    let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
    ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
}

/// Decodes a PNG or JPEG file to grey or colour, whichever it is.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    if bytes.starts_with(b"\x89PNG") {
        decode_png(bytes)
    } else if bytes.starts_with(b"\xFF\xD8") {
        decode_jpeg(bytes)
    } else {
        let start = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let found = format!("{} bytes that begin with \"{start}\"", bytes.len());
        Err(Fault::new(Kind::Unsupported, "a PNG or JPEG picture", found, "convert the picture to PNG"))
    }
}

/// Refuses a size that `capacity` pixels' worth of file cannot hold.
fn check_size(width: u64, height: u64, capacity: u64) -> Result<(), Fault> {
    let pixels = width.saturating_mul(height);
    if pixels > MAX_PIXELS {
        let expected = format!("a picture of at most {MAX_PIXELS} pixels");
        return Err(Fault::new(Kind::Unsupported, expected, format!("{height}×{width}"), "scale the picture down"));
    }
    if pixels == 0 || pixels > capacity {
        let found = format!("a header that says {height}×{width}");
        return Err(Fault::damaged(format!("a picture of 1 to {capacity} pixels in a file of this length"), found));
    }
    Ok(())
}

fn decode_png(bytes: &[u8]) -> Result<Decoded, Fault> {
    let damaged = |error: png::DecodingError| Fault::damaged("a PNG picture", format!("\"{error}\""));
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Palettes become colours, 1, 2 and 4 bits become 8; of 16 bits the upper 8 stay.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let bits = header.color_type.samples() as u64 * header.bit_depth as u64;
    let capacity = (bytes.len() as u64 * MAX_DEFLATE + SLACK) * 8 / bits;
    check_size(header.width.into(), header.height.into(), capacity)?;
    let wide_grey = header.color_type == ColorType::Grayscale && header.bit_depth == BitDepth::Sixteen;
    if wide_grey {
        decoder.set_transformations(Transformations::IDENTITY);
    }

    let mut reader = decoder.read_info().map_err(damaged)?;
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
        // Transparency is dropped, not blended.
        ColorType::GrayscaleAlpha => (1, pixels.into_iter().step_by(2).collect()),
        ColorType::Rgba => (3, pixels.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect()),
        ColorType::Rgb | ColorType::Indexed => (3, pixels),
    };
    Ok(Decoded { channels, height, width, pixels })
}

fn decode_jpeg(bytes: &[u8]) -> Result<Decoded, Fault> {
    // The decoder fills up what is cut off. Within the picture's data these two markers cannot occur by chance, and a
    // preview's end stands before the picture's own start.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    if last([0xFF, 0xD9]).is_none_or(|end| last([0xFF, 0xDA]).is_none_or(|start| end < start)) {
        return Err(Fault::damaged("a JPEG picture up to its end marker", format!("{} bytes without it", bytes.len())));
    }
    let damaged = |error| Fault::damaged("a JPEG picture", format!("\"{error}\""));
    let mut decoder = JpegDecoder::new(ZCursor::new(bytes));
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder.dimensions().unwrap_or((0, 0));
    let capacity = bytes.len() as u64 * MAX_JPEG_PIXELS_PER_BYTE;
    check_size(width as u64, height as u64, capacity)?;
    let (channels, space) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        _ => (3, ColorSpace::RGB),
    };
    decoder.set_options(DecoderOptions::default().jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(damaged)?;
    if pixels.len() != channels * height * width {
        let found = format!("{} bytes of pixels for {channels}×{height}×{width}", pixels.len());
        return Err(Fault::damaged("a JPEG picture", found));
    }
    Ok(Decoded { channels, height, width, pixels })
}
