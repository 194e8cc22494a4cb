//! Event files for TensorBoard: scalars, pictures and texts of a run.
//!
//! A file is a row of records: length (u64), its checksum, an `Event` message, its checksum; all little-endian, checksums
//! are CRC-32C, turned and shifted by a constant as TFRecord files have it (`tensorflow/core/lib/io/record_writer.h`). The
//! few fields of the messages that are needed (`event.proto`, `summary.proto`, `tensor.proto`) are written by hand.
//!
//! *Invariant:* a record reaches the file whole, in one write, so that a run which was killed leaves at most its last record
//! torn, which TensorBoard skips.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// An event file, open for writing.
#[derive(Debug)]
pub struct EventFile {
    file: File,
    path: PathBuf,
    /// Records since the last flush.
    pending: Vec<u8>,
}

impl EventFile {
    /// Begins a new file in a run's folder. A run that goes on gives the first step that will come: what earlier files hold
    /// from there on is then taken back.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(folder: &Path, resumed_at: Option<u64>) -> io::Result<Self> {
        let (file, path) = unused(folder)?;
        let mut events = Self { file, path, pending: vec![] };
        events.event(0, |event| event.text(3, "brain.Event:2"));
        if let Some(step) = resumed_at {
            // A SessionLog whose status is START.
            events.event(step, |event| event.message(7, |log| log.number(1, 1)));
        }
        events.flush()?;
        Ok(events)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a number, such as `loss/test` of an epoch.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) {
        self.value(tag, step, |summary| summary.float(2, value));
    }

    /// Adds a picture: a PNG file of red, green and blue. One that is no PNG is left out.
    pub fn image(&mut self, tag: &str, step: u64, png: &[u8]) {
        // Width and height stand right behind the signature, in the chunk IHDR.
        let side = |at: usize| Some(u32::from_be_bytes(png.get(at..at + 4)?.try_into().ok()?));
        let (Some(width), Some(height)) = (side(16), side(20)) else { return };
        self.value(tag, step, |summary| {
            summary.message(4, |image| {
                image.number(1, height.into());
                image.number(2, width.into());
                image.number(3, 3);
                image.bytes(4, png);
            });
        });
    }

    /// Adds a text; TensorBoard reads it as Markdown.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) {
        const STRINGS: u64 = 7;
        const TENSOR: u64 = 2;
        self.value(tag, step, |summary| {
            summary.message(8, |tensor| {
                tensor.number(1, STRINGS);
                tensor.message(2, |_| {});
                tensor.text(8, text);
            });
            summary.message(9, |metadata| {
                metadata.message(1, |plugin| plugin.text(1, "text"));
                metadata.number(4, TENSOR);
            });
        });
    }

    /// Hands what was added to the operating system.
    ///
    /// # Errors
    /// If it cannot be written; it is then forgotten, so that a full disk fills no memory.
    pub fn flush(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.file.write_all(&pending)
    }

    fn value(&mut self, tag: &str, step: u64, fill: impl FnOnce(&mut Message)) {
        self.event(step, |event| {
            event.message(5, |summary| {
                summary.message(1, |value| {
                    value.text(1, tag);
                    fill(value);
                });
            });
        });
    }

    fn event(&mut self, step: u64, fill: impl FnOnce(&mut Message)) {
        let mut event = Message::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        event.double(1, now.as_secs_f64());
        event.number(2, step);
        fill(&mut event);
        frame(&mut self.pending, &event.0);
    }
}

/// A file of a name that is not taken: TensorBoard reads a run's files in the order of the time in their names.
fn unused(folder: &Path) -> io::Result<(File, PathBuf)> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let process = std::process::id();
    let mut number = 0;
    loop {
        let path = folder.join(format!("events.out.tfevents.{seconds:010}.lenslet.{process}.{number}"));
        match File::create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            file => return Ok((file?, path)),
        }
    }
}

/// A record: length and data, each with its checksum.
fn frame(out: &mut Vec<u8>, data: &[u8]) {
    let length = (data.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked(data).to_le_bytes());
}

/// A checksum that is not that of data which holds checksums itself.
fn masked(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// A protobuf message in the making: fields by number (<https://protobuf.dev/programming-guides/encoding>).
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    const VARINT: u64 = 0;
    const EIGHT_BYTES: u64 = 1;
    const LENGTH: u64 = 2;
    const FOUR_BYTES: u64 = 5;

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn key(&mut self, field: u64, kind: u64) {
        self.varint(field << 3 | kind);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.key(field, Self::VARINT);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.key(field, Self::EIGHT_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.key(field, Self::FOUR_BYTES);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.key(field, Self::LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn text(&mut self, field: u64, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    fn message(&mut self, field: u64, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }
}
