//! Thrift's compact protocol, as far as Parquet's footers and page headers use it: bytes to a tree of numbered fields.
//!
//! *Invariant:* each value of the tree stands for at least one byte read and strings borrow from the input, so the tree
//! is bounded by the input's length whatever counts the input claims; nesting is bounded too.
use crate::error::{Fault, Place};

const MAX_DEPTH: usize = 16;

/// A value of the tree. Doubles, maps and sets do not occur in what we read.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    Struct(Struct<'a>),
}

/// The fields of a struct that are present, by their numbers in the format's definition (parquet.thrift).
#[derive(Debug, Default)]
pub(super) struct Struct<'a>(Vec<(i16, Value<'a>)>);

impl<'a> Struct<'a> {
    pub(super) fn get(&self, field: i16) -> Option<&Value<'a>> {
        self.0.iter().find(|(id, _)| *id == field).map(|(_, value)| value)
    }

    pub(super) fn int(&self, field: i16) -> Option<i64> {
        if let Some(Value::Int(value)) = self.get(field) { Some(*value) } else { None }
    }

    pub(super) fn text(&self, field: i16) -> Option<&'a str> {
        if let Some(Value::Bytes(bytes)) = self.get(field) { std::str::from_utf8(bytes).ok() } else { None }
    }

    pub(super) fn list(&self, field: i16) -> &[Value<'a>] {
        if let Some(Value::List(values)) = self.get(field) { values } else { &[] }
    }

    /// The structs in a list.
    pub(super) fn structs(&self, field: i16) -> impl Iterator<Item = &Struct<'a>> {
        self.list(field).iter().filter_map(|value| if let Value::Struct(inner) = value { Some(inner) } else { None })
    }

    pub(super) fn inner(&self, field: i16) -> Option<&Struct<'a>> {
        if let Some(Value::Struct(inner)) = self.get(field) { Some(inner) } else { None }
    }
}

/// Reads one struct from the start of `bytes`, which lie at `offset` in the file; returns it with its length.
pub(super) fn read<'a>(bytes: &'a [u8], offset: usize) -> Result<(Struct<'a>, usize), Fault> {
    let mut reader = Reader { bytes, at: 0, offset };
    let value = reader.fields(0)?;
    Ok((value, reader.at))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    offset: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, expected: &str, found: String) -> Fault {
        Fault::damaged(expected, found).at(Place::Byte(self.offset + self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.at..];
        let taken = left
            .get(..count)
            .ok_or_else(|| self.fault(&format!("{count} more bytes of Parquet metadata"), format!("{}", left.len())))?;
        self.at += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    /// Seven bits a byte, lowest first; the top bit says that more follow.
    fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.fault("a number of at most ten bytes", "a longer one".into()))
    }

    /// Signed numbers alternate: 0, −1, 1, −2, …
    fn int(&mut self) -> Result<i64, Fault> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A field starts with its type and how far its number is from the last one's; 0 ends the struct.
    fn fields(&mut self, depth: usize) -> Result<Struct<'a>, Fault> {
        let (mut fields, mut last) = (Vec::new(), 0_i16);
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(Struct(fields));
            }
            let step = i16::from(head >> 4);
            last = if step == 0 { self.int()? as i16 } else { last.wrapping_add(step) };
            // A boolean field has its value in the type.
            let value = match head & 0x0F {
                1 => Value::Int(1),
                2 => Value::Int(0),
                kind => self.value(kind, depth)?,
            };
            fields.push((last, value));
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Value<'a>, Fault> {
        if depth >= MAX_DEPTH {
            return Err(self.fault("Parquet metadata", format!("more than {MAX_DEPTH} structs in one another")));
        }
        Ok(match kind {
            // A boolean in a list, or an 8-bit number.
            1..=3 => Value::Int(i64::from(self.byte()? as i8)),
            4..=6 => Value::Int(self.int()?),
            7 => Value::Bytes(self.take(8)?),
            8 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                Value::List((0..count).map(|_| self.value(head & 0x0F, depth + 1)).collect::<Result<_, _>>()?)
            }
            12 => Value::Struct(self.fields(depth + 1)?),
            other => return Err(self.fault("a type of Thrift's compact protocol", format!("type {other}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_by_number() {
        // Field 1: −3; field 3: "ab"; field 20: [1, 2]; field 21: true.
        let bytes = [0x15, 5, 0x28, 2, b'a', b'b', 0x09, 40, 0x25, 2, 4, 0x11, 0, 99];
        let (value, length) = read(&bytes, 0).unwrap();
        assert_eq!((value.int(1), value.text(3), value.int(21), length), (Some(-3), Some("ab"), Some(1), 13));
        assert_eq!(value.list(20).len(), 2);
        assert!(value.get(2).is_none());
    }

    /// A list that claims 2⁶⁰ elements, a string as long, and structs without end.
    #[test]
    fn claims_take_no_memory() {
        for bytes in [
            &[0x19, 0xFC, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10][..],
            &[0x18, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..],
            &[0x1C; 10_000][..],
        ] {
            assert!(read(bytes, 0).is_err());
        }
    }
}
