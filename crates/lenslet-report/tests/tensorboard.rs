//! Event files as others read them: TensorBoard, where `tensorboard.sh` has installed it, and a reader written here from the
//! formats' descriptions.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lenslet_report::curves;
use lenslet_report::tensorboard::EventFile;
use serde_json::{Value, json};

/// Writes two files as a run that was resumed does: epochs 1 to 3, of which the third is lost, then 3 and 4.
fn write(folder: &Path, png: &[u8]) -> [PathBuf; 2] {
    let mut first = EventFile::create(folder, None).expect("the folder can be written");
    first.text("config", 0, "the *settings*");
    for epoch in 1..=3 {
        first.scalar("loss/test", epoch, 2.5 / epoch as f32);
        first.scalar("accuracy/test", epoch, 0.25);
    }
    first.image("confusion", 3, png);
    first.image("no picture", 3, b"this is no PNG");
    first.flush().expect("there is room");
    let mut second = EventFile::create(folder, Some(3)).expect("the folder can be written");
    for epoch in 3..=4 {
        second.scalar("loss/test", epoch, 1.0 / epoch as f32);
    }
    second.image("confusion", 300, png);
    second.flush().expect("there is room");
    [first, second].map(|events| events.path().to_owned())
}

fn picture() -> Vec<u8> {
    curves("a picture", &[], 10).png().expect("it is small")
}

#[test]
fn tensorboard_reads_the_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("../../target/tensorboard-venv/bin/python");
    if !python.exists() {
        eprintln!("skipped: no TensorBoard; crates/lenslet-report/tests/tensorboard.sh installs it");
        return;
    }
    let folder = tempfile::tempdir().expect("there is room");
    let png = picture();
    write(folder.path(), &png);
    let ran = Command::new(python).arg(root.join("tests/read_events.py")).arg(folder.path()).output();
    let ran = ran.expect("Python can be started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let found: Value = serde_json::from_slice(&ran.stdout).expect("the script prints JSON");
    let single = |value: f32| f64::from(value);
    let losses = json!([[1, 2.5], [2, 1.25], [3, single(1.0 / 3.0)], [4, 0.25]]);
    // What the first file said of epoch 3 is taken back by the second.
    assert_eq!(found["scalars"], json!({ "loss/test": losses, "accuracy/test": [[1, 0.25], [2, 0.25]] }));
    assert_eq!(found["texts"], json!({ "config": [[0, "the *settings*"]] }));
    let images = found["images"].as_object().expect("an object");
    assert_eq!(images.keys().collect::<Vec<_>>(), ["confusion"]);
    assert_eq!(images["confusion"], json!([[300, 2000, 856, STANDARD.encode(&png)]]));
    let decoder = png::Decoder::new(std::io::Cursor::new(&png)).read_info().expect("it is a PNG");
    assert_eq!((decoder.info().width, decoder.info().height), (2000, 856));
}

#[test]
fn a_reader_of_the_description_reads_the_file() {
    let folder = tempfile::tempdir().expect("there is room");
    let png = picture();
    let [first, second] = write(folder.path(), &png);
    assert!(first < second, "files are read in the order of their names");
    let events = events(&first);
    assert_eq!(events[0].bytes(3), b"brain.Event:2");
    assert_eq!(events.len(), 2 + 2 * 3 + 1, "the version, a text, two numbers an epoch, a picture");
    let loss = Fields::new(Fields::new(events[2].bytes(5)).bytes(1));
    assert_eq!((events[2].number(2), loss.bytes(1), loss.float(2)), (1, &b"loss/test"[..], 2.5));
    let value = Fields::new(Fields::new(events[8].bytes(5)).bytes(1));
    let image = Fields::new(value.bytes(4));
    assert_eq!((value.bytes(1), image.number(1), image.number(2)), (&b"confusion"[..], 856, 2000));
    assert_eq!(image.bytes(4), png);
    // A run that goes on says from where.
    let events = self::events(&second);
    assert_eq!((events[1].number(2), Fields::new(events[1].bytes(7)).number(1)), (3, 1));
}

#[test]
fn the_checksum_is_crc32c() {
    // RFC 3720, B.4 "CRC Examples"; and the usual check value of CRC-32C.
    let examples: [(Vec<u8>, u32); 5] = [
        (vec![0; 32], 0x8A91_36AA),
        (vec![0xFF; 32], 0x62A8_AB43),
        ((0..32).collect(), 0x46DD_794E),
        ((0..32).rev().collect(), 0x113F_DB5C),
        (b"123456789".to_vec(), 0xE306_9283),
    ];
    for (bytes, expected) in examples {
        assert_eq!(crc(&bytes), expected, "{bytes:?}");
    }
}

/// CRC-32C bit by bit: polynomial 0x1EDC6F41, reflected.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// The events of a file; every checksum must be right.
fn events(path: &Path) -> Vec<Fields> {
    let bytes = std::fs::read(path).expect("the file is there");
    let mut rest = &bytes[..];
    let mut events = vec![];
    let mask = |crc: u32| crc.rotate_left(17).wrapping_add(0xA282_EAD8);
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes")) as usize;
        assert_eq!(number(&rest[8..12]), mask(crc(&rest[..8])));
        let data = &rest[12..12 + length];
        assert_eq!(number(&rest[12 + length..16 + length]), mask(crc(data)));
        events.push(Fields::new(data));
        rest = &rest[16 + length..];
    }
    events
}

/// A message's fields, by number, in order.
struct Fields(Vec<(u64, Field)>);

enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Fields {
    fn new(mut bytes: &[u8]) -> Self {
        let mut fields = vec![];
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Bytes(take(&mut bytes, 8)),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, length))
                }
                5 => Field::Bytes(take(&mut bytes, 4)),
                kind => panic!("field of kind {kind}"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    fn number(&self, wanted: u64) -> u64 {
        let found = self.0.iter().find(|(number, _)| *number == wanted);
        match found {
            Some((_, Field::Number(value))) => *value,
            _ => panic!("no number {wanted}"),
        }
    }

    fn bytes(&self, wanted: u64) -> &[u8] {
        let found = self.0.iter().find(|(number, _)| *number == wanted);
        match found {
            Some((_, Field::Bytes(bytes))) => bytes,
            _ => panic!("no bytes {wanted}"),
        }
    }

    fn float(&self, wanted: u64) -> f32 {
        f32::from_le_bytes(self.bytes(wanted).try_into().expect("four bytes"))
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number of too many bytes");
}

fn take(bytes: &mut &[u8], count: usize) -> Vec<u8> {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken.to_vec()
}
