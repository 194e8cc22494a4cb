//! NumPy's `.npy` (numpy.lib.format): a magic number, a header that is a dictionary of Python with the values' type, their
//! order and the shape, then the values.
//!
//! *Invariant:* a header that does not describe exactly the bytes that follow is an error; objects (pickles) are none of
//! the types that are read.
use crate::error::{Fault, Kind, Place};

/// What an array's header says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Array {
    /// The letter of NumPy's type and its bytes, such as ('u', 1).
    pub(crate) kind: (char, usize),
    pub(crate) shape: Vec<usize>,
    /// Where the values begin.
    pub(crate) start: usize,
    big_endian: bool,
}

/// Reads the header, and compares it with the bytes behind.
pub(crate) fn read(bytes: &[u8]) -> Result<Array, Fault> {
    let none = || Fault::damaged("an array of NumPy", format!("{} bytes that are none", bytes.len()));
    let [b'\x93', b'N', b'U', b'M', b'P', b'Y', version, _, rest @ ..] = bytes else { return Err(none()) };
    // Versions 2 and 3 count the header's length in four bytes.
    let (length, at) = match (version, rest) {
        (1, [a, b, ..]) => (u32::from_le_bytes([*a, *b, 0, 0]), 10),
        (2 | 3, [a, b, c, d, ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), 12),
        _ => return Err(none()),
    };
    let start = at + length as usize;
    let header = bytes.get(at..start).and_then(|header| std::str::from_utf8(header).ok()).ok_or_else(none)?;
    let damaged = || Fault::damaged("a header of NumPy's form", format!("\"{header}\"")).at(Place::Byte(at));
    let descr = value(header, "descr").and_then(|text| text.strip_prefix('\'')?.split('\'').next());
    let kind =
        descr.and_then(kind).ok_or_else(|| unsupported("values of a plain type", descr.unwrap_or("a structure")))?;
    if !value(header, "fortran_order").ok_or_else(damaged)?.starts_with("False") {
        return Err(unsupported("values in C's order (write np.ascontiguousarray(…))", "Fortran's order"));
    }
    let shape =
        value(header, "shape").and_then(|text| text.strip_prefix('(')?.split(')').next()).ok_or_else(damaged)?;
    let sides = shape.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<Vec<usize>>>().ok_or_else(damaged)?;
    let claimed = shape.iter().try_fold(kind.1, |product, &side| product.checked_mul(side));
    if claimed != Some(bytes.len() - start) {
        let found = format!("{} bytes", bytes.len() - start);
        return Err(
            Fault::damaged(format!("the values of shape {}", self::shape(&shape)), found).at(Place::Byte(start))
        );
    }
    let big_endian = descr.is_some_and(|descr| descr.starts_with('>'));
    Ok(Array { kind, shape, start, big_endian })
}

impl Array {
    /// Whole numbers of any size; nothing for other types. Those beyond 63 bits are no labels anyway.
    pub(crate) fn integers(&self, bytes: &[u8]) -> Option<Vec<i64>> {
        let (letter, width) = self.kind;
        if !matches!((letter, width), ('u' | 'i', 1 | 2 | 4 | 8) | ('b', 1)) {
            return None;
        }
        let integer = |value: &[u8]| {
            let mut wide = [0; 8];
            for (i, byte) in value.iter().enumerate() {
                wide[if self.big_endian { width - 1 - i } else { i }] = *byte;
            }
            let shift = 64 - 8 * width as u32;
            let value = u64::from_le_bytes(wide);
            if letter == 'i' { (value << shift) as i64 >> shift } else { i64::try_from(value).unwrap_or(i64::MAX) }
        };
        Some(bytes[self.start..].chunks_exact(width).map(integer).collect())
    }
}

/// What stands behind a key of the dictionary.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}'"))?;
    Some(rest.trim_start().strip_prefix(':')?.trim_start())
}

/// "<i8" as ('i', 8).
fn kind(descr: &str) -> Option<(char, usize)> {
    let mut letters = descr.strip_prefix(['<', '>', '|', '=']).unwrap_or(descr).chars();
    let letter = letters.next().filter(|letter| "uibfc".contains(*letter))?;
    let width = letters.as_str().parse().ok().filter(|width| matches!(width, 1 | 2 | 4 | 8 | 16))?;
    Some((letter, width))
}

/// A type as NumPy calls it.
pub(crate) fn name((letter, width): (char, usize)) -> String {
    let name = match letter {
        'u' => "uint",
        'i' => "int",
        'f' => "float",
        'c' => "complex",
        _ => return "bool".into(),
    };
    format!("{name}{}", 8 * width)
}

pub(crate) fn shape(sides: &[usize]) -> String {
    sides.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

fn unsupported(expected: &str, found: &str) -> Fault {
    let fix = "write pictures with .astype('uint8') and labels with .astype('int64')";
    Fault::new(Kind::Unsupported, expected, found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_all_types() {
        let array = |letter, width, big_endian| Array { kind: (letter, width), shape: vec![], start: 1, big_endian };
        let bytes = [9, 0xFE, 0xFF];
        assert_eq!(array('i', 2, false).integers(&bytes), Some(vec![-2]));
        assert_eq!(array('u', 2, true).integers(&bytes), Some(vec![0xFEFF]));
        assert_eq!(array('i', 1, false).integers(&bytes), Some(vec![-2, -1]));
        assert_eq!(array('b', 1, false).integers(&[9, 0, 1]), Some(vec![0, 1]));
        assert_eq!(array('u', 8, false).integers(&[[0; 1], [255; 1]].concat()), Some(vec![]));
        assert_eq!(array('f', 4, false).integers(&bytes), None);
    }
}
