//! The cache of decoded data sets: the same data with and without, whatever is done to its files.
use super::{Folder, read};
use lenslet_data::{Loaded, Options, load_with};
use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// A data set of two shards, and a folder for the cache.
fn data_and_cache(name: &str) -> (Folder, Folder) {
    let data = Folder::new(name);
    data.write("train.parquet", &read("parquet/named/train-00000-of-00002.parquet"));
    data.write("test.parquet", &read("parquet/named/test-00000-of-00001.parquet"));
    (data, Folder::new(&format!("{name}-cache")))
}

fn load(data: &Folder, cache: &Folder) -> Loaded {
    let options = Options { cache: Some(cache.0.clone()), ..Options::default() };
    load_with(data.path(), &options).unwrap_or_else(|error| panic!("{error}"))
}

/// The files in the cache.
fn kept(cache: &Folder) -> Vec<PathBuf> {
    fs::read_dir(&cache.0).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_same_data_from_the_cache() {
    let (data, cache) = data_and_cache("cached");
    let first = load(&data, &cache);
    let [file] = &kept(&cache)[..] else { panic!("one file is kept") };
    // What is read comes from the file, which is not written again.
    let bytes = fs::read(file).unwrap();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::options().write(true).open(file).unwrap().set_modified(long_ago).unwrap();
    let second = load(&data, &cache);
    assert_eq!((&first.data, &first.notes), (&second.data, &second.notes));
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), long_ago);
    // A bit of the pixels or labels may have been lost on the disk.
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let end = bytes.len() - 8;
    // Cut or changed, it is made anew.
    for broken in [
        &bytes[..bytes.len() - 1],
        &bytes[..100],
        &bytes[..10],
        &[],
        &[&bytes[..], b"x"].concat(),
        &vec![0; bytes.len()],
        &flipped(4096),
        &flipped(4096 + first.data.train.images.len()),
        &flipped(end - 4 * first.data.test.len() - 4),
        &flipped(end - 4),
    ] {
        fs::remove_file(file).unwrap();
        fs::write(file, broken).unwrap();
        assert_eq!(load(&data, &cache).data, first.data);
        assert_eq!(fs::read(file).unwrap(), bytes);
    }
    assert_eq!(kept(&cache).len(), 1);
}

/// Each byte of the header changed: the data set is decoded anew.
#[test]
fn a_broken_header_is_no_header() {
    let (data, cache) = data_and_cache("broken-header");
    let first = load(&data, &cache);
    let file = kept(&cache).remove(0);
    let bytes = fs::read(&file).unwrap();
    for at in 0..bytes.iter().rposition(|&byte| byte == b'}').unwrap().min(600) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::remove_file(&file).unwrap();
        fs::write(&file, changed).unwrap();
        assert_eq!(load(&data, &cache).data, first.data, "byte {at}");
    }
}

/// A file that is being written is locked; what can be locked was left behind.
#[test]
fn what_killed_programs_left_is_removed() {
    let (data, cache) = data_and_cache("left");
    let dead = cache.write(".writing-dead", &[0; 100]);
    let alive = cache.write(".writing-alive", &[0; 100]);
    let other = cache.write("other", b"");
    let writer = File::open(&alive).unwrap();
    writer.lock().unwrap();
    load(&data, &cache);
    assert_eq!([&dead, &alive, &other].map(|file| file.exists()), [false, true, true]);
    // Where nothing is written, too.
    drop(writer);
    load(&data, &cache);
    assert_eq!([&alive, &other].map(|file| file.exists()), [false, true]);
    assert_eq!(kept(&cache).len(), 2);
}

#[test]
fn changed_files_and_other_options_are_decoded_anew() {
    let (data, cache) = data_and_cache("changed");
    let first = load(&data, &cache);
    data.write("train.parquet", &read("parquet/named/train-00001-of-00002.parquet"));
    let second = load(&data, &cache);
    assert_ne!(first.data.train, second.data.train);
    assert_eq!(kept(&cache).len(), 1);
    let options = Options { cache: Some(cache.0.clone()), channels: Some(1), ..Options::default() };
    let grey = load_with(data.path(), &options).unwrap();
    assert_eq!((grey.data.channels, kept(&cache).len()), (1, 2));
    assert_eq!(load_with(data.path(), &options).unwrap().notes, grey.notes);
    // And without a cache.
    assert_eq!(load_with(data.path(), &Options::default()).unwrap().data, second.data);
}

#[test]
fn what_takes_no_work_is_not_kept() {
    let cache = Folder::new("no-work-cache");
    let data = super::binary_batches("no-work", &[0; 3073]);
    load(&data, &cache);
    assert!(kept(&cache).is_empty());
}

#[test]
fn a_cache_that_cannot_be_written_is_a_note() {
    let (data, _) = data_and_cache("unwritable");
    let file = Folder::new("unwritable-cache").with("file", b"");
    let options = Options { cache: Some(file.0.join("file")), ..Options::default() };
    let Loaded { notes, data, .. } = load_with(data.path(), &options).unwrap();
    assert!(!data.train.is_empty());
    let [note] = &notes[..] else { panic!("{notes:?}") };
    assert!(
        note.starts_with("the decoded pictures could not be kept in ")
            && note.ends_with("they are decoded anew each time"),
        "{note}"
    );
}
