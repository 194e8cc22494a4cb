//! A share of what the fuzzers do: every file of their corpora, and many changes of each, the same ones every time.
use lenslet_data::fuzz;
use lenslet_rng::{Purpose, Stream};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

type Reader = fn(&[u8]) -> bool;

/// The readers, by the names of their fuzzers.
const READERS: [(&str, Reader); 8] = [
    ("archive", fuzz::archive),
    ("cifar_binary", fuzz::cifar_binary),
    ("cifar_meta", fuzz::cifar_meta),
    ("cifar_python", fuzz::cifar_python),
    ("idx", fuzz::idx),
    ("npz", fuzz::npz),
    ("parquet", fuzz::parquet),
    ("picture", fuzz::picture),
];
/// Changed files for each file.
const CHANGES: u32 = 2_000;

#[test]
fn corpora() {
    for (name, read) in READERS {
        let files = files(name);
        assert!(files.iter().any(|file| read(&std::fs::read(file).unwrap())), "{name}: no file is read to its end");
        let all = files.par_iter().flat_map(|file| (0..CHANGES).into_par_iter().map(move |change| (file, change)));
        all.for_each(|(file, change)| {
            let mut random = Stream::new(u64::from(change), Purpose::Init, 0, 0);
            read(&changed(std::fs::read(file).unwrap(), &mut random));
        });
    }
}

fn files(name: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Bytes set, copied over others, put in, taken out, cut off: a few of these.
fn changed(mut bytes: Vec<u8>, random: &mut Stream) -> Vec<u8> {
    const TELLING: [u8; 6] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF];
    for _ in 0..1 + random.below(4) {
        let length = bytes.len() as u32;
        if length < 2 {
            return bytes;
        }
        let [at, other] = [random.below(length), random.below(length)].map(|place| place as usize);
        let some = (1 + random.below(16) as usize).min(bytes.len() - at.max(other));
        match random.below(6) {
            0 => bytes[at] = TELLING[random.below(6) as usize],
            1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes.copy_within(other..other + some, at),
            3 => drop(bytes.drain(at..at + some)),
            4 => bytes.splice(at..at, vec![random.below(256) as u8; some]).for_each(drop),
            _ => bytes.truncate(at + 1),
        }
    }
    bytes
}
