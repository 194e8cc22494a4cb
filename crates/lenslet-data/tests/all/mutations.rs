//! Valid files with bytes cut off and changed at random, always the same ones: an error or a data set, never a panic. Where
//! a checksum would notice each change, the content is changed before it is packed.
use super::read;
use flate2::Compression;
use flate2::write::GzEncoder;
use lenslet_data::fuzz;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::io::{Cursor, Write};

/// Reads `cases` changed versions of `bytes`.
fn vary(bytes: &[u8], cases: u32, read: impl Fn(&[u8]) -> bool) {
    assert!(read(bytes), "the file is valid as it is");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let changes = (any::<Option<Index>>(), vec((any::<Index>(), any::<u8>()), 0..4));
    let result = runner.run(&changes, |(cut, changed)| {
        let mut bytes = bytes.to_vec();
        for (at, byte) in changed {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let length = cut.map_or(bytes.len(), |cut| cut.index(bytes.len()));
        read(&bytes[..length]);
        Ok(())
    });
    result.unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn idx() {
    let pictures = read("sets/idx/t10k-images-idx3-ubyte");
    vary(&pictures, 2_000, fuzz::idx);
    let labels = [0, 0, 8, 1, 0, 0, 0, 1, 0];
    vary(&labels, 500, fuzz::idx);
    vary(&gzip(&labels), 1_000, fuzz::idx);
}

/// A zip of one array that is changed, and the others as they are.
fn zipped(changed: &str, bytes: &[u8]) -> Vec<u8> {
    let whole = read("sets/npz/medmnist.npz");
    let mut old = zip::ZipArchive::new(Cursor::new(&whole)).unwrap();
    let mut new = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..old.len() {
        let mut file = old.by_index(i).unwrap();
        let name = file.name().unwrap().into_owned();
        new.start_file(&*name, zip::write::SimpleFileOptions::default()).unwrap();
        if name == changed {
            new.write_all(bytes).unwrap();
        } else {
            std::io::copy(&mut file, &mut new).unwrap();
        }
    }
    new.finish().unwrap().into_inner()
}

fn member(name: &str) -> Vec<u8> {
    let whole = read("sets/npz/medmnist.npz");
    let mut zip = zip::ZipArchive::new(Cursor::new(&whole)).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_name(name).unwrap(), &mut bytes).unwrap();
    bytes
}

#[test]
fn npz() {
    for name in ["keras", "medmnist", "planes", "whole"] {
        vary(&read(&format!("sets/npz/{name}.npz")), 500, fuzz::npz);
    }
    for name in ["train_images.npy", "test_labels.npy"] {
        vary(&member(name), 1_000, |bytes| fuzz::npz(&zipped(name, bytes)));
    }
}

#[test]
fn cifar_100() {
    for name in ["train", "test"] {
        let whole = read(&format!("sets/cifar100/{name}"));
        vary(&whole, 500, fuzz::cifar_python);
        // The ends, where there is more than pixels.
        vary(&whole, 500, |bytes| {
            fuzz::cifar_python(&[&bytes[..bytes.len().min(300)], &whole[whole.len().min(300)..]].concat());
            true
        });
    }
    let records = [&[4, 99][..], &[7; 3072]].concat();
    vary(&records, 100, fuzz::cifar_binary);
    vary(&read("sets/cifar100/meta"), 500, |bytes| {
        fuzz::cifar_meta(bytes);
        true
    });
}

#[test]
fn archives() {
    for version in ["python", "binary"] {
        let packed = read(&format!("sets/cifar-100-{version}.tar.gz"));
        vary(&packed, 500, fuzz::archive);
        let mut tar = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*packed), &mut tar).unwrap();
        vary(&tar, 500, fuzz::archive);
        // The headers alone, whose checksums are made right again, so that more than the checksum is looked at.
        let (header, rest) = tar.split_at(512);
        vary(header, 2_000, |header| {
            let Ok(mut header) = <[u8; 512]>::try_from(header) else { return false };
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            fuzz::archive(&[&header, rest].concat())
        });
    }
}

#[test]
fn zip_archives() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for name in ["train", "test", "meta"] {
        zip.start_file(&*format!("cifar/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&read(&format!("sets/cifar100/{name}"))).unwrap();
    }
    vary(&zip.finish().unwrap().into_inner(), 1_000, fuzz::archive);
}

#[test]
fn parquet_and_pictures() {
    vary(&read("parquet/named/test-00000-of-00001.parquet"), 300, fuzz::parquet);
    for name in ["rgb8.png", "palette4.png", "progressive.jpg"] {
        vary(&read(&format!("pictures/{name}")), 500, fuzz::picture);
    }
}
