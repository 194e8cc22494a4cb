//! JPEG, baseline and progressive, grey, colour and CMYK, by the crate jpeg-decoder. The faster zune-jpeg was tried first:
//! a fuzzer made it panic within minutes.

use super::{Decoded, check_size, exif};
use crate::error::{Fault, Kind};
use jpeg_decoder::{Decoder, Error, PixelFormat};

/// A JPEG spends at least one bit on each block of 8×8 pixels.
const PIXELS_PER_BYTE: u64 = 512;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    // The decoder fills up what is cut off. Within the picture's data these two markers cannot occur by chance, and a
    // preview's end stands before the picture's own start.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    if last([0xFF, 0xD9]).is_none_or(|end| last([0xFF, 0xDA]).is_none_or(|start| end < start)) {
        return Err(Fault::damaged("a JPEG picture up to its end marker", format!("{} bytes without it", bytes.len())));
    }
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(fault)?;
    let header = decoder.info().ok_or_else(|| Fault::damaged("a JPEG picture", "one without a header"))?;
    let (height, width) = (usize::from(header.height), usize::from(header.width));
    check_size(width as u64, height as u64, bytes.len() as u64 * PIXELS_PER_BYTE, bytes.len())?;
    let pixels = decoder.decode().map_err(fault)?;
    let (channels, pixels) = match header.pixel_format {
        PixelFormat::L8 => (1, pixels),
        // Twelve bits in two bytes: the upper eight stay.
        PixelFormat::L16 => (
            1,
            pixels.as_chunks::<2>().0.iter().map(|p| u16::from_ne_bytes(*p).min(4095) >> 4).map(|p| p as u8).collect(),
        ),
        PixelFormat::RGB24 => (3, pixels),
        PixelFormat::CMYK32 => (3, pixels.as_chunks::<4>().0.iter().flat_map(|ink| rgb(*ink)).collect()),
    };
    if pixels.len() != channels * height * width {
        let found = format!("{} bytes of pixels for {channels}×{height}×{width}", pixels.len());
        return Err(Fault::damaged("a JPEG picture", found));
    }
    let orientation = decoder.exif_data().map_or(exif::UPRIGHT, exif::orientation);
    Ok(exif::turn(Decoded { channels, height, width, pixels }, orientation))
}

/// Amounts of cyan, magenta, yellow and black ink as light, as Pillow's `convert("RGB")` has it.
fn rgb([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(k);
    [c, m, y].map(|ink| {
        let product = u32::from(ink) * light + 128;
        (light - (((product >> 8) + product) >> 8)) as u8
    })
}

fn fault(error: Error) -> Fault {
    match error {
        Error::Unsupported(what) => {
            let found = format!("one of the kind {what:?}");
            Fault::new(Kind::Unsupported, "a baseline or progressive JPEG picture", found, "convert the picture to PNG")
        }
        error => Fault::damaged("a JPEG picture", format!("\"{error}\"")),
    }
}
