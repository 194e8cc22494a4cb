//! Every message that a user can meet, word for word. Each says where, what was expected, what was found, what to do.
use super::{BATCHES, Folder, binary_batches, fixtures, python_batches, read, shard};
use lenslet_data::{Filter, Kind, load, read_image};

/// The message of loading a folder, which stands as DATA in it.
fn message(path: &str) -> (Kind, String) {
    let error = load(path).expect_err(path);
    (error.fault.kind, error.to_string().replace(path, "DATA"))
}

fn check(path: &str, kind: Kind, expected: &str) {
    assert_eq!(message(path), (kind, expected.to_string()));
}

#[test]
fn paths() {
    let folder = Folder::new("paths").with("notes.txt", b"").with("a/train.parquet", b"").with("b/test_batch", b"");
    let missing = format!("{}/c/d", folder.path());
    let (kind, text) = message(&missing);
    assert_eq!(
        (kind, text.replace(folder.path(), "ROOT").as_str()),
        (
            Kind::Missing,
            "DATA: expected a folder with a data set, found nothing (ROOT exists and holds a, b, notes.txt); give the path of a folder that exists, or `shapes` for the embedded set"
        )
    );
    check(
        &format!("{}/notes.txt", folder.path()),
        Kind::Unrecognised,
        "DATA: expected a folder with a data set, an archive (tar, tar.gz, zip) or .npz, found a file; give the folder that it lies in, unpacked if it is another kind of archive",
    );
    check(
        &format!("{}/b/test_batch", folder.path()),
        Kind::Unrecognised,
        "DATA: expected a folder with a data set, an archive (tar, tar.gz, zip) or .npz, found a file; give the folder that it lies in, unpacked if it is another kind of archive",
    );
    check(
        folder.path(),
        Kind::Unrecognised,
        "DATA: expected one data set, found 2 of them (DATA/a, DATA/b); give one of them, such as DATA/a",
    );
    let folder = Folder::new("unknown").with("notes.txt", b"");
    check(
        folder.path(),
        Kind::Unrecognised,
        "DATA: expected a folder of pictures for each class, Parquet shards (train-*.parquet, test-*.parquet), CIFAR-10 or CIFAR-100 batches, idx files (train-images-idx3-ubyte and so on), an .npz file, or an archive (tar, tar.gz, zip) of one of these, found notes.txt; give a folder that holds one of these, or `shapes` for the embedded set",
    );
}

#[test]
fn splits() {
    let named = read("parquet/named/test-00000-of-00001.parquet");
    check(
        Folder::new("no-train").with("test.parquet", &named).path(),
        Kind::Missing,
        "DATA: expected Parquet shards with `train` in their names, found test.parquet; name the shards of that split train-00000-of-00001.parquet and so on",
    );
    check(
        Folder::new("no-shard").with("train-00000-of-00002.parquet", &named).path(),
        Kind::Missing,
        "DATA: expected 2 shards like train-00000-of-00002.parquet, found 1 of them (train-00000-of-00002.parquet); fetch the shards that are missing, or remove those of another version",
    );
    check(
        shard("empty", "refused/empty.parquet").path(),
        Kind::Missing,
        "DATA: expected at least one row, found none in train.parquet; write the data set with at least one picture in each split",
    );
    let folder = binary_batches("no-batch", &[0; 3073]);
    std::fs::remove_file(folder.0.join("test_batch.bin")).unwrap();
    check(
        folder.path(),
        Kind::Missing,
        "DATA: expected the batch `test_batch.bin`, found data_batch_1.bin, data_batch_2.bin, data_batch_3.bin, data_batch_4.bin, data_batch_5.bin; unpack the archive again, all of its files",
    );
}

#[test]
fn parquet() {
    for (file, kind, expected) in [
        (
            "no_image",
            Kind::Missing,
            "DATA/train.parquet: expected a column of pictures named `image.bytes` or `img.bytes` or `image` or `img`, found the columns `label` (Int64), `score` (of another type); rename the column to `image.bytes`, and see that it holds the bytes of picture files",
        ),
        (
            "text_label",
            Kind::Unsupported,
            "DATA/train.parquet: expected a column of labels that holds whole numbers from 0, found `label` (Binary); write whole numbers from 0 into it",
        ),
        (
            "null_label",
            Kind::Missing,
            "DATA/train.parquet, row 1 (counted from 0): expected a value, found null; leave that row out, or store the picture's bytes and its label in it",
        ),
        (
            "negative",
            Kind::Mismatch,
            "DATA/train.parquet, row 2 (counted from 0): expected a label from 0 to 999 (1000 classes), found -1; number the classes from 0, or name them all where the format lists their names",
        ),
        (
            "mixed",
            Kind::Mismatch,
            "DATA/train.parquet, row 3 (counted from 0): expected a picture of 1×4×6 like the first, found 3×3×5; bring all pictures to one size, or ask for one (--input 3x64x64)",
        ),
        (
            "brotli",
            Kind::Unsupported,
            "DATA/train.parquet, byte 4: expected pages without compression or with Snappy, Gzip or Zstandard, found Brotli; write the file with compression=\"snappy\"",
        ),
        (
            "delta",
            Kind::Unsupported,
            "DATA/train.parquet, byte 546: expected a page in a plain or dictionary encoding, found encoding 5; write the file with the encodings PLAIN or RLE_DICTIONARY, as pyarrow does by itself",
        ),
    ] {
        check(shard(file, &format!("refused/{file}.parquet")).path(), kind, expected);
    }
    let folder = Folder::new("not-parquet").with("train.parquet", b"<html>404</html>").with("test.parquet", b"");
    check(
        folder.path(),
        Kind::Damaged,
        "DATA/train.parquet: expected a Parquet file, which ends with a footer and \"PAR1\", found 16 bytes without that end; the file is damaged or cut off: fetch or write it again",
    );
}

#[test]
fn batches() {
    let record = |label| [&[label][..], &[0; 3072]].concat();
    check(
        binary_batches("cut", &record(0)[..3000]).path(),
        Kind::Damaged,
        "DATA/data_batch_1.bin, byte 3000: expected records of 3073 bytes, found 0 of them and 3000 bytes; the file is damaged or cut off: fetch or write it again",
    );
    check(
        binary_batches("label", &[record(9), record(10)].concat()).path(),
        Kind::Mismatch,
        "DATA/data_batch_1.bin, row 1 (counted from 0): expected a label from 0 to 9 (10 classes), found 10; number the classes from 0, or name them all where the format lists their names",
    );
    check(
        binary_batches("no-record", &[]).path(),
        Kind::Damaged,
        "DATA/data_batch_1.bin: expected a batch of pictures, found none; the file is damaged or cut off: fetch or write it again",
    );
    let batch = read("pickles/python2");
    check(
        python_batches("cut-pickle", &batch[..2000]).path(),
        Kind::Damaged,
        "DATA/data_batch_1, byte 146: expected a pickle with 3072 more bytes, found 1849; the file is damaged or cut off: fetch or write it again",
    );
    check(
        python_batches("wrong-pickle", &read("pickles/meta")).path(),
        Kind::Mismatch,
        "DATA/data_batch_1: expected a dictionary with a list `labels`, found a pickle without; give the folder of CIFAR-10 or CIFAR-100 as it comes from the archive",
    );
}

/// The allow-list: a pickle that would run a program is refused by name.
#[test]
fn a_pickle_runs_nothing() {
    for (file, byte) in [("os_system", 36), ("os_system_protocol4", 52)] {
        let folder =
            BATCHES.iter().fold(Folder::new(file), |folder, name| folder.with(name, &read(&format!("pickles/{file}"))));
        check(
            folder.path(),
            Kind::Unsupported,
            &format!(
                "DATA/data_batch_1, byte {byte}: expected a pickle of plain data and uint8 arrays, found `posix.system`; do not use this file unless you trust its author: loading it in Python would run that"
            ),
        );
    }
}

#[test]
fn pictures() {
    let folder = Folder::new("pictures");
    let png = read("pictures/rgb8.png");
    let jpeg = read("pictures/baseline.jpg");
    // A header that claims 10,000×10,000 pixels in 116 bytes; its checksum is right.
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0x27, 0x10, 0, 0, 0x27, 0x10]);
    let checksum = crc32(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&checksum);
    for (name, bytes, expected) in [
        (
            "a.tif",
            &b"II*\0\x08\0"[..],
            "FILE: expected a PNG, JPEG, WebP, GIF or BMP picture, found 6 bytes that begin with \"49 49 2a 00\"; convert the picture to PNG",
        ),
        (
            "empty.png",
            &[],
            "FILE: expected a PNG, JPEG, WebP, GIF or BMP picture, found 0 bytes that begin with \"\"; convert the picture to PNG",
        ),
        (
            "cut.png",
            &png[..60],
            "FILE: expected a PNG picture, found \"unexpected end of file\"; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "huge.png",
            &huge,
            "FILE: expected a picture of 1 to 40554 pixels in a file of this length, found a header that says 10000×10000; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "huge.gif",
            &changed("palette.gif", 6, &[0xFF; 4]),
            "FILE: expected a picture of at most 4194304 pixels in a file of 71 bytes, found a header that says 65535×65535; scale the picture down",
        ),
        (
            "short.bmp",
            &changed("bits24.bmp", 18, &[100, 0, 0, 0, 100]),
            "FILE: expected 100 rows of 300 bytes, found 48 bytes of pixels; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "huge_runs.bmp",
            &changed("runs8.bmp", 18, &[0x10, 0x27, 0, 0, 0x10, 0x27, 0, 0]),
            "FILE: expected a picture of at most 4194304 pixels in a file of 1104 bytes, found a header that says 10000×10000; scale the picture down",
        ),
        (
            // The widest that the format knows: 14 bits for each side.
            "huge.webp",
            &changed("lossless.webp", 21, &[0xFF, 0xFF, 0xFF, 0x0F]),
            "FILE, byte 12: expected a picture of at most 4194304 pixels in a file of 132 bytes, found a header that says 16384×16384; scale the picture down",
        ),
        (
            "wide.webp",
            &changed("lossless.webp", 21, &[0xFF, 0xFF, 0xFF, 0x03]),
            "FILE, byte 12: expected a picture of at most 4194304 pixels in a file of 132 bytes, found a header that says 4096×16384; scale the picture down",
        ),
        (
            "huge_lossy.webp",
            &changed("lossy.webp", 26, &[0xFF, 0x1F, 0xFF, 0x1F]),
            "FILE, byte 12: expected a picture of 1 to 184320 pixels in a file of this length, found a header that says 8191×8191; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "cut.webp",
            &read("pictures/lossy.webp")[..60],
            "FILE, byte 12: expected a chunk of 70 bytes, found 40 of them; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "empty.gif",
            &read("pictures/palette.gif")[..13 + 24],
            "FILE: expected a GIF picture, found \"Unexpected End of File\"; the file is damaged or cut off: fetch or write it again",
        ),
        (
            "bits7.bmp",
            &changed("bits8.bmp", 28, &[7]),
            "FILE: expected a BMP picture of 1 to 32 bits a pixel, plain, in bit fields or in run lengths, found 7 bits with compression 0; convert the picture to PNG",
        ),
        (
            "cut.jpg",
            &jpeg[..jpeg.len() - 20],
            "FILE: expected a JPEG picture up to its end marker, found 671 bytes without it; the file is damaged or cut off: fetch or write it again",
        ),
    ] {
        let path = folder.write(name, bytes);
        let error = read_image(&path, 3, 32, 32, Filter::default()).unwrap_err().to_string();
        assert_eq!(error.replace(path.to_str().unwrap(), "FILE"), expected);
    }
    let error = read_image(&fixtures().join("pictures/rgb8.png"), 4, 32, 32, Filter::default()).unwrap_err();
    assert_eq!(error.fault.found, "one for 4×32×32");
    let error = read_image(&fixtures().join("pictures/none.png"), 3, 32, 32, Filter::default()).unwrap_err();
    assert_eq!(error.fault.kind, Kind::Unreadable);
}

/// A picture of the fixtures with other bytes from `at` on.
fn changed(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut picture = read(&format!("pictures/{name}"));
    picture[at..][..bytes.len()].copy_from_slice(bytes);
    picture
}

/// The checksum of a PNG's chunk.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}
