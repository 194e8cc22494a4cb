//! The values of one column of one row group: pages, compression, and the encodings that writers of pictures use.
//!
//! *Invariant:* a page never yields more values than rows are due, and a decompressed page grows with what comes out of
//! the decompressor, never to what its header claims, and is refused if that is a bomb (see `archive`). (Snappy needs the size first; it cannot exceed 22 times the
//! input.) Nulls are an error, since a picture without a label, or a label without a picture, is one.
use super::thrift::{self, Struct};
use crate::archive::{bomb, most_of};
use crate::error::{Fault, Kind, Place};
use std::borrow::Cow;
use std::io::Read;

/// How values of a column lie in the file; the types that pictures and labels have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Int32,
    Int64,
    Binary,
}

impl Physical {
    pub(super) fn new(kind: Option<i64>) -> Option<Self> {
        match kind? {
            1 => Some(Self::Int32),
            2 => Some(Self::Int64),
            6 => Some(Self::Binary),
            _ => None,
        }
    }
}

/// The pages of a column in a row group, read one after the other.
pub(super) struct Column<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where `bytes` start in the file.
    offset: usize,
    codec: i64,
    physical: Physical,
    /// Bits of a definition level: how many steps of the value's path may be null.
    optional: u32,
    /// The row that comes next, and the rows still due.
    row: usize,
    due: usize,
    dictionary: Option<Dictionary<'a>>,
}

struct Dictionary<'a> {
    page: Cow<'a, [u8]>,
    count: usize,
}

/// A page of values, decompressed.
pub(super) struct Page<'a, 'd> {
    physical: Physical,
    values: Cow<'a, [u8]>,
    /// Where the values begin, after the levels.
    start: usize,
    count: usize,
    first_row: usize,
    /// Values stand in the dictionary, and here their indices.
    dictionary: Option<&'d Dictionary<'a>>,
}

impl<'a> Column<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        offset: usize,
        codec: i64,
        physical: Physical,
        optional: u32,
        rows: usize,
        first_row: usize,
    ) -> Self {
        Self { bytes, at: 0, offset, codec, physical, optional, row: first_row, due: rows, dictionary: None }
    }

    /// The next page of values, or nothing when all rows have been read.
    pub(super) fn next_page(&mut self) -> Result<Option<Page<'a, '_>>, Fault> {
        while self.due > 0 {
            let place = Place::Byte(self.offset + self.at);
            let (header, body) = self.next_body().map_err(|fault| fault.at(place))?;
            let data = match header.int(1) {
                Some(0) => header.inner(5),
                Some(3) => header.inner(8),
                Some(2) => {
                    self.dictionary = Some(self.dictionary(&header, body).map_err(|fault| fault.at(place))?);
                    continue;
                }
                // An index page, which nobody needs.
                _ => continue,
            };
            let data = data.ok_or_else(|| Fault::damaged("a header of a data page", "none").at(place))?;
            return self.data(&header, data, body).map(Some).map_err(|fault| fault.at(place));
        }
        Ok(None)
    }

    /// Steps over a page; returns its header and its bytes as they lie in the file.
    fn next_body(&mut self) -> Result<(Struct<'a>, &'a [u8]), Fault> {
        if self.at == self.bytes.len() {
            return Err(Fault::damaged(format!("{} more rows", self.due), "the column's end"));
        }
        let (header, length) = thrift::read(&self.bytes[self.at..], self.offset + self.at)?;
        self.at += length;
        let size = size(&header, 3)?;
        let left = &self.bytes[self.at..];
        let body = left.get(..size);
        let body = body.ok_or_else(|| Fault::damaged(format!("a page of {size} bytes"), format!("{}", left.len())))?;
        self.at += size;
        Ok((header, body))
    }

    fn dictionary(&self, header: &Struct, body: &'a [u8]) -> Result<Dictionary<'a>, Fault> {
        let fields = header.inner(7).ok_or_else(|| Fault::damaged("a header of a dictionary page", "none"))?;
        let page = decompress(self.codec, body, size(header, 2)?)?;
        Ok(Dictionary { page, count: size(fields, 1)? })
    }

    fn data(&mut self, header: &Struct, data: &Struct, body: &'a [u8]) -> Result<Page<'a, '_>, Fault> {
        let second = header.int(1) == Some(3);
        let count = size(data, 1)?;
        if count > self.due {
            return Err(Fault::damaged(format!("a page of at most {} values", self.due), count.to_string()));
        }
        let claimed = size(header, 2)?;
        // A page of the second version keeps its levels apart, uncompressed.
        let (levels, values, start) = if second {
            let (definition, repetition) = (size(data, 5)?, size(data, 6)?);
            let level_bytes = definition.saturating_add(repetition);
            let (Some(_), Some(claimed)) = (body.get(..level_bytes), claimed.checked_sub(level_bytes)) else {
                return Err(Fault::damaged("levels within the page", format!("{level_bytes} bytes of them")));
            };
            let codec = if data.int(7) == Some(0) { 0 } else { self.codec };
            (Cow::from(&body[repetition..level_bytes]), decompress(codec, &body[level_bytes..], claimed)?, 0)
        } else {
            let page = decompress(self.codec, body, claimed)?;
            let length = if self.optional > 0 { level_length(&page)? } else { 0 };
            let start = if self.optional > 0 { 4 + length } else { 0 };
            (Cow::from(page[start - length..start].to_vec()), page, start)
        };
        if self.optional > 0 {
            self.check_no_nulls(&levels, count)?;
        }
        let encoding = data.int(if second { 4 } else { 2 }).unwrap_or(-1);
        let dictionary = match encoding {
            0 => None,
            2 | 8 => Some(self.dictionary.as_ref().ok_or_else(|| Fault::damaged("a dictionary page first", "none"))?),
            other => {
                let fix = "write the file with the encodings PLAIN or RLE_DICTIONARY, as pyarrow does by itself";
                return Err(Fault::new(
                    Kind::Unsupported,
                    "a page in a plain or dictionary encoding",
                    format!("encoding {other}"),
                    fix,
                ));
            }
        };
        let first_row = self.row;
        self.row += count;
        self.due -= count;
        Ok(Page { physical: self.physical, values, start, count, first_row, dictionary })
    }

    /// A definition level says how far down its path a value is there; all the way, or it is null.
    fn check_no_nulls(&self, levels: &[u8], count: usize) -> Result<(), Fault> {
        let width = u32::BITS - self.optional.leading_zeros();
        let mut seen = 0;
        let full = runs(levels, width, count, |level, times| {
            if level != self.optional {
                let fix = "leave that row out, or store the picture's bytes and its label in it";
                return Err(Fault::new(Kind::Missing, "a value", "null", fix).at(Place::Row(self.row + seen)));
            }
            seen += times;
            Ok(())
        })?;
        if full { Ok(()) } else { Err(Fault::damaged(format!("{count} definition levels"), seen.to_string())) }
    }
}

impl Page<'_, '_> {
    pub(super) fn first_row(&self) -> usize {
        self.first_row
    }

    /// The values of a column of bytes.
    pub(super) fn binaries(&self) -> Result<Vec<&[u8]>, Fault> {
        self.values(|bytes| {
            let (length, rest) = bytes.split_first_chunk()?;
            rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        })
    }

    /// The values of a column of whole numbers.
    pub(super) fn integers(&self) -> Result<Vec<i64>, Fault> {
        match self.physical {
            Physical::Int32 => self.values(|bytes| {
                let (number, rest) = bytes.split_first_chunk()?;
                Some((i32::from_le_bytes(*number).into(), rest))
            }),
            _ => self.values(|bytes| {
                let (number, rest) = bytes.split_first_chunk()?;
                Some((i64::from_le_bytes(*number), rest))
            }),
        }
    }

    fn values<'p, T: Copy>(&'p self, split: impl Fn(&'p [u8]) -> Option<(T, &'p [u8])>) -> Result<Vec<T>, Fault> {
        let bytes = &self.values[self.start..];
        match self.dictionary {
            None => plain(bytes, self.count, split),
            Some(dictionary) => {
                let entries = plain(&dictionary.page, dictionary.count, split)?;
                look_up(&entries, bytes, self.count)
            }
        }
        .map_err(|fault| fault.at(Place::Row(self.first_row)))
    }
}

/// Values one after the other, each split off the rest.
fn plain<'p, T>(
    mut bytes: &'p [u8],
    count: usize,
    split: impl Fn(&'p [u8]) -> Option<(T, &'p [u8])>,
) -> Result<Vec<T>, Fault> {
    let mut values = Vec::new();
    for found in 0..count {
        let (value, rest) =
            split(bytes).ok_or_else(|| Fault::damaged(format!("a page with {count} values"), found.to_string()))?;
        values.push(value);
        bytes = rest;
    }
    Ok(values)
}

/// Values as indices into a dictionary: their width in bits, then runs.
fn look_up<T: Copy>(entries: &[T], bytes: &[u8], count: usize) -> Result<Vec<T>, Fault> {
    let (width, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut values = Vec::new();
    let full = runs(bytes, u32::from(*width), count, |index, times| {
        let entry = entries.get(index as usize).ok_or_else(|| {
            Fault::damaged(format!("an index into a dictionary of {} entries", entries.len()), index.to_string())
        })?;
        values.extend(std::iter::repeat_n(*entry, times));
        Ok(())
    })?;
    if full {
        Ok(values)
    } else {
        Err(Fault::damaged(format!("a page with {count} indices"), values.len().to_string()))
    }
}

/// Parquet's hybrid of runs and bit-packed groups of eight numbers; calls `visit` with each number and how many times it
/// comes. Whether there were `count` of them.
fn runs(
    mut bytes: &[u8],
    width: u32,
    count: usize,
    mut visit: impl FnMut(u32, usize) -> Result<(), Fault>,
) -> Result<bool, Fault> {
    if width > 32 {
        return Err(Fault::damaged("numbers of at most 32 bits", format!("{width} bits")));
    }
    let mut due = count;
    while due > 0 {
        let Some((head, rest)) = varint(bytes) else { return Ok(false) };
        let packed = head & 1 == 1;
        let groups = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        let length = if packed { groups.saturating_mul(width as usize) } else { width.div_ceil(8) as usize };
        // Writers may cut the last group of a page short.
        let (body, rest) = rest.split_at(length.min(rest.len()));
        bytes = rest;
        if packed {
            let held = if width == 0 { groups.saturating_mul(8) } else { body.len() * 8 / width as usize };
            let here = due.min(held);
            for i in 0..here {
                visit(bits(body, i * width as usize, width), 1)?;
            }
            due -= here;
            if here == 0 {
                return Ok(false);
            }
        } else {
            if body.len() < length || groups == 0 {
                return Ok(false);
            }
            let here = due.min(groups);
            visit(bits(body, 0, width), here)?;
            due -= here;
        }
    }
    Ok(true)
}

/// The `width` bits from bit `start` on, lowest first.
fn bits(bytes: &[u8], start: usize, width: u32) -> u32 {
    let window = bytes[start / 8..].iter().take(5);
    let word = window.enumerate().fold(0_u64, |word, (i, &byte)| word | u64::from(byte) << (8 * i));
    (word >> (start % 8) & ((1 << width) - 1)) as u32
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let length = bytes.iter().take(10).position(|&byte| byte < 0x80)? + 1;
    let value = bytes[..length].iter().rev().fold(0_u64, |value, &byte| value << 7 | u64::from(byte & 0x7F));
    Some((value, &bytes[length..]))
}

/// A length or count in a header.
fn size(header: &Struct, field: i16) -> Result<usize, Fault> {
    let value = header.int(field);
    value
        .and_then(|value| usize::try_from(value).ok())
        .ok_or_else(|| Fault::damaged(format!("a size in field {field} of a page's header"), format!("{value:?}")))
}

/// The length of the definition levels that precede the values of a page of the first version.
fn level_length(page: &[u8]) -> Result<usize, Fault> {
    let claimed = page.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
    claimed.filter(|&length| length <= page.len() - 4).ok_or_else(|| {
        Fault::damaged("definition levels within the page", format!("{claimed:?} bytes of them in {}", page.len()))
    })
}

fn decompress(codec: i64, bytes: &[u8], claimed: usize) -> Result<Cow<'_, [u8]>, Fault> {
    if codec != 0 && claimed as u64 > most_of(bytes.len() as u64) {
        return Err(bomb(bytes.len() as u64));
    }
    let page = match codec {
        0 => Cow::from(bytes),
        1 => Cow::from(snappy(bytes)?),
        2 => Cow::from(read_up_to(flate2::read::GzDecoder::new(bytes), claimed)?),
        6 => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(bytes);
            Cow::from(read_up_to(
                decoder.map_err(|error| Fault::damaged("a Zstandard page", error.to_string()))?,
                claimed,
            )?)
        }
        other => {
            let names = ["", "", "", "LZO", "Brotli", "LZ4", "", "LZ4"];
            let name = usize::try_from(other).ok().and_then(|i| names.get(i)).unwrap_or(&"an unknown method");
            let fix = "write the file with compression=\"snappy\"";
            let expected = "pages without compression or with Snappy, Gzip or Zstandard";
            return Err(Fault::new(Kind::Unsupported, expected, *name, fix));
        }
    };
    if page.len() == claimed {
        return Ok(page);
    }
    Err(Fault::damaged(format!("a page of {claimed} bytes when decompressed"), page.len().to_string()))
}

fn snappy(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
    let damaged = |error: snap::Error| Fault::damaged("a Snappy page", format!("\"{error}\""));
    let length = snap::raw::decompress_len(bytes).map_err(damaged)?;
    if length > bytes.len() * 22 {
        return Err(Fault::damaged(format!("at most {} bytes in a Snappy page", bytes.len() * 22), length.to_string()));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(damaged)
}

/// What a decompressor yields, but no more than one byte beyond what was claimed.
fn read_up_to(decoder: impl Read, claimed: usize) -> Result<Vec<u8>, Fault> {
    let mut page = Vec::new();
    let read = decoder.take(claimed as u64 + 1).read_to_end(&mut page);
    read.map_err(|error| Fault::damaged("a compressed page", format!("\"{error}\"")))?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_packed_groups() {
        let read = |bytes: &[u8], width, count| {
            let mut values = Vec::new();
            let full = runs(bytes, width, count, |value, times| {
                values.extend(std::iter::repeat_n(value, times));
                Ok(())
            });
            full.map(|full| (full, values)).ok()
        };
        // The example of the format's description: 0 to 7 in three bits each.
        assert_eq!(read(&[3, 0x88, 0xC6, 0xFA], 3, 8), Some((true, (0..8).collect())));
        // Five times 1, then as many again as there are due.
        assert_eq!(read(&[10, 1, 10, 0], 1, 7), Some((true, vec![1, 1, 1, 1, 1, 0, 0])));
        // A run of 2³¹ numbers ends where the page does.
        assert_eq!(read(&[0xFE, 0xFF, 0xFF, 0xFF, 0x0F, 1], 1, 2), Some((true, vec![1, 1])));
        assert_eq!(read(&[], 1, 2), Some((false, vec![])));
        assert_eq!(read(&[3], 33, 1), None);
    }

    /// Five such pages fit into 33 kB.
    #[test]
    fn a_page_that_fills_memory_is_refused_by_its_header() {
        let fault = decompress(6, &[0; 6600], 200 << 20).unwrap_err();
        assert_eq!(fault.expected, "6600 packed bytes that unfold to at most 64 MiB");
    }
}
