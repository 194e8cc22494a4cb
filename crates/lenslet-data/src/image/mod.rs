//! Picture files to bytes, as Pillow's `ImageOps.exif_transpose(Image.open(file)).convert("RGB")` or `.convert("L")`
//! would give them: PNG, JPEG, WebP, GIF (its first frame) and BMP, a file each, told apart by their first bytes.
//!
//! Transparency is dropped, not blended, as `convert` does. *Invariant:* equal to Pillow's on every byte; JPEG and lossy
//! WebP within the few steps by which decoders differ. No memory is taken for a size that a file of its length cannot
//! hold, and a file that is cut off is an error, not a grey patch.

mod bmp;
mod exif;
mod gif;
mod jpeg;
mod png;
mod webp;

use crate::error::{DataError, Fault, Kind};
use crate::resize::{Filter, resize};
use crate::whole;
use std::path::Path;

/// Larger pictures are refused, as Pillow does.
const MAX_PIXELS: u64 = 178_956_970;
/// Pictures up to this may be as small a file as their format makes of one colour.
const CHEAP_PIXELS: u64 = 1 << 22;
/// In larger ones, each byte of the file stands for this many pixels at most: photographs have fewer than 100, and a
/// file of a few bytes must not cost gigabytes (a "decompression bomb").
const MAX_PIXELS_PER_BYTE: u64 = 256;

/// The formats, as messages name them.
const FORMATS: &str = "a PNG, JPEG, WebP, GIF or BMP picture";

/// What picture files are called, in lower case.
pub const EXTENSIONS: [&str; 9] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "dib"];

/// Whether a file's name says that it is a picture which [`read_image`] may read.
///
/// ```
/// use lenslet_data::is_picture;
/// assert!(is_picture("dog.JPG".as_ref()) && !is_picture("dog.txt".as_ref()));
/// ```
pub fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// A picture for a network to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// C planes of H rows of W bytes.
    pub pixels: Vec<u8>,
    /// Height and width in the file, upright.
    pub original: (usize, usize),
    /// Whether that was another size than the one asked for, so that `pixels` were scaled.
    pub resized: bool,
}

/// Reads a picture file as `channels` planes of `height`×`width`, 1 for grey or 3 for colour; scaled with
/// [`resize()`](crate::resize()) where the file has another size.
pub fn read_image(
    path: &Path,
    channels: usize,
    height: usize,
    width: usize,
    filter: Filter,
) -> Result<Picture, DataError> {
    if !matches!(channels, 1 | 3) || height * width == 0 {
        let expected = "a network for pictures of 1 or 3 channels and at least one pixel";
        let fix = "use a network whose input is 1×H×W or 3×H×W";
        let found = format!("one for {channels}×{height}×{width}");
        return Err(Fault::new(Kind::Mismatch, expected, found, fix).in_file(path));
    }
    let bytes = whole::read_picture(path)?;
    let decoded = decode(&bytes).map_err(|fault| fault.in_file(path))?.with_channels(channels);
    let original = (decoded.height, decoded.width);
    let resized = original != (height, width);
    let planes = decoded.planes();
    drop(decoded);
    let pixels = if resized { resize(&planes, channels, original, (height, width), filter) } else { planes };
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

/// Decodes a picture file to grey or colour, whichever it is, and turns it upright.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    if bytes.starts_with(b"\x89PNG") {
        png::decode(bytes)
    } else if bytes.starts_with(b"\xFF\xD8") {
        jpeg::decode(bytes)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        webp::decode(bytes)
    } else if bytes.starts_with(b"GIF8") {
        gif::decode(bytes)
    } else if bytes.starts_with(b"BM") {
        bmp::decode(bytes)
    } else {
        let start = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
        let found = format!("{} bytes that begin with \"{start}\"", bytes.len());
        Err(Fault::new(Kind::Unsupported, FORMATS, found, "convert the picture to PNG"))
    }
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
        // Of the right size from the start: a vector that grows takes twice the memory.
        let mut planes = Vec::with_capacity(self.pixels.len());
        for channel in 0..self.channels {
            planes.extend(self.pixels.iter().skip(channel).step_by(self.channels));
        }
        planes
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

/// Each index's colour, red, green, blue; black where the palette has none.
fn look_up(indices: &[u8], palette: &[[u8; 3]]) -> Vec<u8> {
    let mut pixels = vec![0; indices.len() * 3];
    for (pixel, &index) in pixels.chunks_exact_mut(3).zip(indices) {
        pixel.copy_from_slice(palette.get(usize::from(index)).unwrap_or(&[0; 3]));
    }
    pixels
}

/// Refuses a size that a file of `length` bytes cannot hold, where its format can hold `capacity` pixels in so many.
fn check_size(width: u64, height: u64, capacity: u64, length: usize) -> Result<(), Fault> {
    let pixels = width.saturating_mul(height);
    let said = format!("a header that says {height}×{width}");
    if pixels == 0 || pixels > capacity && pixels <= MAX_PIXELS {
        return Err(Fault::damaged(format!("a picture of 1 to {capacity} pixels in a file of this length"), said));
    }
    let most = MAX_PIXELS.min(CHEAP_PIXELS.max(length as u64 * MAX_PIXELS_PER_BYTE));
    if pixels > most {
        let expected = format!("a picture of at most {most} pixels in a file of {length} bytes");
        return Err(Fault::new(Kind::Unsupported, expected, said, "scale the picture down"));
    }
    Ok(())
}
