//! GIF, its first frame, by the crate gif.
//!
//! As in Pillow, a frame that does not cover the canvas leaves the colour of its transparent index around it, or that of
//! index 0, and one that reaches beyond the canvas enlarges it.

use super::{Decoded, check_size, look_up};
use crate::error::Fault;
use std::num::NonZero;

/// A code of 12 bits stands for 4,096 pixels at most.
const PIXELS_PER_BYTE: u64 = 2_731;
/// Pixels that a file of any length may have: codes of fewer bits come first.
const SLACK: u64 = 4_096;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, Fault> {
    let damaged = |error: gif::DecodingError| Fault::damaged("a GIF picture", format!("\"{error}\""));
    let capacity = bytes.len() as u64 * PIXELS_PER_BYTE + SLACK;
    let mut options = gif::DecodeOptions::new();
    if let Some(limit) = NonZero::new(capacity) {
        options.set_memory_limit(gif::MemoryLimit::Bytes(limit));
    }
    let mut decoder = options.read_info(bytes).map_err(damaged)?;
    let (canvas_width, canvas_height) = (decoder.width(), decoder.height());
    let frame = decoder.next_frame_info().map_err(damaged)?.ok_or_else(|| {
        let found = format!("{} bytes without one", bytes.len());
        Fault::damaged("a GIF picture with at least one frame", found)
    })?;
    let [left, top, wide, high] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    let background = frame.transparent.unwrap_or(0);
    let width = usize::from(canvas_width).max(left + wide);
    let height = usize::from(canvas_height).max(top + high);
    check_size(width as u64, height as u64, capacity, bytes.len())?;

    let mut frame = vec![0; wide * high];
    decoder.read_into_buffer(&mut frame).map_err(damaged)?;
    let palette = decoder.palette().map_err(damaged)?.as_chunks().0;
    let indices = if (wide, high) == (width, height) {
        frame
    } else {
        let mut canvas = vec![background; width * height];
        for (y, row) in frame.chunks_exact(wide.max(1)).enumerate() {
            canvas[(top + y) * width + left..][..wide].copy_from_slice(row);
        }
        canvas
    };
    Ok(Decoded { channels: 3, height, width, pixels: look_up(&indices, palette) })
}
