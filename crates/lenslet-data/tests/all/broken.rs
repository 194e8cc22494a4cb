//! Files cut off at every byte and with bytes changed: an error or a data set, never a panic, never much memory.
use super::{Folder, fixtures, read};
use lenslet_data::{Filter, load, read_image};
use proptest::prelude::*;
use std::path::PathBuf;

/// Calls `load` with every truncation of `bytes` and with every byte changed in several ways.
fn vary(bytes: &[u8], load: impl Fn(&[u8]) + Sync) {
    // Five pictures at a time are not worth waking other threads.
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| vary_here(bytes, &load));
}

fn vary_here(bytes: &[u8], load: &impl Fn(&[u8])) {
    for length in 0..bytes.len() {
        load(&bytes[..length]);
    }
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len() {
        // Off by one, off by much, the most there can be.
        for byte in [bytes[at] ^ 1, bytes[at] ^ 0x80, 0xFF] {
            changed[at] = byte;
            load(&changed);
        }
        changed[at] = bytes[at];
    }
}

#[test]
fn parquet() {
    for file in
        ["named/test-00000-of-00001.parquet", "grey/train-00000-of-00003.parquet", "grey/train-00001-of-00003.parquet"]
    {
        let folder = Folder::new(&file.replace('/', "-"));
        let whole = read(&format!("parquet/{file}"));
        folder.write("test.parquet", &whole);
        vary(&whole, |bytes| {
            folder.write("train.parquet", bytes);
            let _ = load(folder.path());
        });
    }
}

#[test]
fn pickles() {
    for file in ["python2", "protocol4", "protocol5", "meta"] {
        let folder = super::python_batches(&format!("broken-{file}"), &read("pickles/python2"));
        let whole = read(&format!("pickles/{file}"));
        let name = if file == "meta" { "batches.meta" } else { "data_batch_1" };
        // The pixels in the middle have no structure to break.
        let short = [&whole[..whole.len().min(400)], &whole[whole.len().saturating_sub(100)..]].concat();
        for bytes in [&whole[whole.len().saturating_sub(400)..], &short] {
            vary(bytes, |bytes| {
                folder.write(name, bytes);
                let _ = load(folder.path());
            });
        }
    }
}

#[test]
fn binary_batches() {
    let folder = super::binary_batches("broken-binary", &[1; 3073]);
    for length in [0, 1, 3072, 3074, 6145] {
        folder.write("data_batch_3.bin", &vec![1; length]);
        assert!(load(folder.path()).is_err(), "{length} bytes");
    }
    folder.write("batches.meta.txt", b"\xFF\xFE");
    assert!(load(folder.path()).is_err());
}

/// Every picture among the fixtures.
fn pictures() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures().join("pictures")).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Reads bytes as a picture file, whatever comes of it.
fn read_picture(folder: &Folder, bytes: &[u8]) {
    let path = folder.write("picture", bytes);
    if let Ok(picture) = read_image(&path, 3, 4, 4, Filter::Bilinear) {
        assert_eq!(picture.pixels.len(), 3 * 4 * 4);
    }
}

#[test]
fn pictures_changed_in_one_place() {
    let folder = Folder::new("broken-pictures");
    for file in pictures() {
        vary(&std::fs::read(&file).unwrap(), |bytes| read_picture(&folder, bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What a single change cannot reach: sizes and offsets that are wrong together.
    #[test]
    fn pictures_changed_in_several_places(
        file in any::<prop::sample::Index>(),
        // Two places of three are in the first bytes, where the headers are.
        changes in prop::collection::vec((prop_oneof![2 => 0..64_usize, 1 => 0..2_000_usize], any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let files = pictures();
        let mut bytes = std::fs::read(file.get(&files)).unwrap();
        let length = bytes.len();
        changes.into_iter().for_each(|(at, byte)| bytes[at % length] = byte);
        bytes.truncate(cut.map_or(length, |cut| cut.index(length)));
        let folder = Folder::new("much-broken-pictures");
        read_picture(&folder, &bytes);
    }
}

/// A picture that is cut off is an error, however little is missing of its data.
#[test]
fn cut_pictures_are_noticed() {
    let folder = Folder::new("cut-pictures");
    for (name, spare) in [
        // A PNG's last 12 bytes are its end chunk, before them stands the checksum of the data.
        ("rgb8.png", 16),
        ("baseline.jpg", 1),
        ("progressive.jpg", 1),
        ("lossy.webp", 1),
        ("lossless.webp", 1),
        ("bits24.bmp", 1),
        ("bits1.bmp", 1),
        // The trailer, the last block's end mark, and the code that says that all pixels were there.
        ("palette.gif", 5),
    ] {
        let whole = read(&format!("pictures/{name}"));
        for length in 0..=whole.len() - spare {
            let path = folder.write(name, &whole[..length]);
            assert!(read_image(&path, 3, 4, 4, Filter::Bilinear).is_err(), "{name} of {length} bytes");
        }
    }
}
