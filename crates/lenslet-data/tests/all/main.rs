//! The crate from outside: files of every format against Pillow and pyarrow, the messages for files that are wrong, and
//! broken files of every kind. `fixtures/make_fixtures.py` and
//! `make_sets.py` write the files and what is expected of them.
mod augment;
mod bombs;
mod broken;
mod cache;
mod corpus;
mod folders;
mod formats;
mod messages;
mod messages_sets;
mod mutations;
mod no_files;
mod pictures;
mod real_data;
mod sets;
mod survey;

use serde_json::Value;
use std::path::{Path, PathBuf};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap()
}

/// What Pillow and pyarrow read.
fn expected(part: &str) -> Value {
    serde_json::from_slice::<Value>(&read("expected.json")).unwrap()[part].take()
}

/// Bytes from hexadecimal text.
fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// A folder for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lenslet-data-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, name: &str, bytes: &[u8]) -> Self {
        self.write(name, bytes);
        self
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BATCHES: [&str; 6] =
    ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"];

/// A folder whose six Python batches are all `batch`.
fn python_batches(name: &str, batch: &[u8]) -> Folder {
    BATCHES.iter().fold(Folder::new(name), |folder, file| folder.with(file, batch))
}

/// A folder whose six binary batches are all `batch`.
fn binary_batches(name: &str, batch: &[u8]) -> Folder {
    BATCHES.iter().fold(Folder::new(name), |folder, file| folder.with(&format!("{file}.bin"), batch))
}

/// A folder with the shard `file` of `tests/fixtures/parquet` as both splits.
fn shard(name: &str, file: &str) -> Folder {
    let bytes = read(&format!("parquet/{file}"));
    Folder::new(name).with("train.parquet", &bytes).with("test.parquet", &bytes)
}
