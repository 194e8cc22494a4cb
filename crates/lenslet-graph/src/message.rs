//! Text that can be made while the compiler runs.
//!
//! A shape error is said in the same words by the compiler (a panic in a `const`) and by the program (a line on the
//! screen). Both need the text as one value, and `format!` is not `const`; so [`Message`] is a fixed buffer that
//! `const fn` can write to. A text that outgrows the buffer is cut at its end, never an error.

use crate::Shape;

/// Room for the longest shape error: three parts and the trail of sizes.
const ROOM: usize = 1024;

/// A short text, built up by value: `Message::new().text("kernel ").number(5)`.
#[derive(Clone, Copy)]
pub struct Message {
    bytes: [u8; ROOM],
    len: usize,
}

impl Message {
    /// The empty text.
    pub const fn new() -> Self {
        Self { bytes: [0; ROOM], len: 0 }
    }

    /// The text so far.
    pub const fn as_str(&self) -> &str {
        // A cut can fall inside a character only if the text is not ASCII; then nothing is shown rather than garbage.
        match core::str::from_utf8(self.bytes.split_at(self.len).0) {
            Ok(text) => text,
            Err(_) => "",
        }
    }

    /// Appends `text`.
    pub const fn text(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut i = 0;
        while i < text.len() && self.len < ROOM {
            self.bytes[self.len] = text[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    /// Appends a number in decimal digits.
    pub const fn number(mut self, number: usize) -> Self {
        let mut place = 1;
        while number / place >= 10 {
            place *= 10;
        }
        while place > 0 && self.len < ROOM {
            self.bytes[self.len] = b'0' + (number / place % 10) as u8;
            self.len += 1;
            place /= 10;
        }
        self
    }

    /// Appends sizes, `16x5x5`; a value without axes is `one number`.
    pub const fn shape(mut self, shape: &Shape) -> Self {
        if shape.rank() == 0 {
            return self.text("one number");
        }
        let mut axis = 0;
        while axis < shape.rank() {
            if axis > 0 {
                self = self.text("x");
            }
            self = self.number(shape.dim(axis));
            axis += 1;
        }
        self
    }

    /// Appends sizes as one would type them in Rust, `16 * 5 * 5`.
    pub const fn product(mut self, shape: &Shape) -> Self {
        let mut axis = 0;
        while axis < shape.rank() {
            if axis > 0 {
                self = self.text(" * ");
            }
            self = self.number(shape.dim(axis));
            axis += 1;
        }
        self
    }

    /// Appends sizes and, where there are several, what they come to: `16x5x5 = 400 values`.
    pub const fn shape_and_len(self, shape: &Shape) -> Self {
        let this = self.shape(shape);
        let this = if shape.rank() > 1 { this.text(" = ").number(shape.len()) } else { this };
        if shape.rank() == 0 { this } else { this.text(" values") }
    }

    /// Appends spaces until the current line, which began at byte `start`, is `width` long.
    pub const fn pad_to(mut self, start: usize, width: usize) -> Self {
        while self.len - start < width && self.len < ROOM {
            self = self.text(" ");
        }
        self
    }

    /// Bytes so far; the `start` of [`Message::pad_to`].
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_numbers_and_sizes() {
        let image = Shape::image(16, 5, 5);
        let text = Message::new().shape_and_len(&image).text(", not ").number(0).text("/").number(576);
        assert_eq!(text.as_str(), "16x5x5 = 400 values, not 0/576");
        assert_eq!(Message::new().product(&image).as_str(), "16 * 5 * 5");
        assert_eq!(Message::new().number(usize::MAX).as_str(), usize::MAX.to_string());
    }

    #[test]
    fn too_long_a_text_is_cut() {
        let text = Message::new().text(&"a".repeat(ROOM - 1)).number(123456);
        assert_eq!(text.as_str().len(), ROOM);
    }
}
