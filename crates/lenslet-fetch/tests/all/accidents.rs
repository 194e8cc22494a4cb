//! Servers that send something wrong, too much or nothing at all, and what is said of it.

use crate::server::Answer;
use crate::{FILE, Log, Server, Tiny, names, nobody, options, scene};
use lenslet_fetch::Error;

#[test]
fn what_is_not_the_set_is_removed_and_the_next_source_asked() {
    let (cache, tiny, right) = scene();
    let mut contents = tiny.contents.clone();
    contents[3].1[100] ^= 1;
    let wrong = Server::new(&contents);
    let mut log = Log::default();
    let folder = tiny.fetch(&[wrong.base(), right.base()], &options(cache.path()), &mut log).unwrap();
    tiny.assert_in(&folder);
    let why = "what it sent is not tiny: 50 + 10 pictures of 3x32x32 in 10 classes, but other pictures or labels: their \
               SHA-256 differs";
    assert!(log.has(why), "{:?}", log.0);

    let cache = tempfile::tempdir().unwrap();
    let error = tiny.fetch(&[wrong.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(names(&cache.path().join("datasets/tiny.incoming")), Vec::<String>::new());
    assert!(!cache.path().join("datasets/tiny").exists());
}

const LOGIN: Answer = Answer::Other("text/html", b"<!doctype html><title>Log in to this network</title>");

#[test]
fn a_login_page_is_no_data_set() {
    let (cache, tiny, _) = scene();
    let tiny = Tiny { files: vec![("train.parquet".into(), 1000)], ..tiny };
    let server = Server::new(&[("train.parquet".into(), b"PAR1".to_vec())]);
    server.answers([LOGIN]);
    let error = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    let why = "train.parquet: it sends something else (text/html), as the login page of a network does";
    assert!(error.to_string().contains(why), "{error}");

    // A page in place of a file whose beginning tells nothing is found out by what the set is.
    let (cache, tiny, server) = scene();
    server.answers([LOGIN]);
    let error = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    assert!(error.to_string().contains("what it sent is not tiny: "), "{error}");
    assert!(error.to_string().contains("data_batch_1.bin"), "{error}");
}

#[test]
fn no_server_fills_the_disk() {
    for (answer, why) in [
        (Answer::Endless, "it sends more and more, where 0 MB at most were expected"),
        (Answer::Length(20_000_000_000), "it sends 20000 MB, where 0 MB at most were expected"),
    ] {
        let (cache, tiny, server) = scene();
        server.answers([answer]);
        let mut log = Log::default();
        let error = tiny.fetch(&[server.base()], &options(cache.path()), &mut log).unwrap_err();
        assert!(log.1 <= 2 * FILE as u64, "{} bytes were written", log.1);
        assert!(error.to_string().contains(why), "{error}");
        let [source] = &names(&cache.path().join("datasets/tiny.incoming"))[..] else { panic!("one source") };
        assert_eq!(names(&cache.path().join("datasets/tiny.incoming").join(source)), Vec::<String>::new());
    }
}

#[test]
fn lengths_that_lie() {
    // Shorter than what follows: what is within is taken, and is found to be wrong.
    let (cache, tiny, server) = scene();
    server.answers([Answer::Length(1000)]);
    let error = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    assert!(error.to_string().contains("what it sent is not tiny: "), "{error}");
    // Longer: the rest is asked for, and there is none.
    let (cache, tiny, server) = scene();
    server.answers([Answer::Length(FILE as u64 + 1), Answer::Status(416, Some("bytes */30730"))]);
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    tiny.assert_in(&folder);
}

#[test]
fn a_range_beyond_the_file_begins_anew() {
    for range in [None, Some("bytes */7"), Some("nonsense")] {
        let (cache, tiny, server) = scene();
        server.answers([Answer::Cut(20_000), Answer::Status(416, range)]);
        let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
        tiny.assert_in(&folder);
        assert_eq!(server.requests()[2].range, None);
    }
    // Without a range it is an answer as any other.
    let (cache, tiny, server) = scene();
    server.answers([Answer::Status(416, None)]);
    let error = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    assert!(error.to_string().contains("it answers \"416 Range Not Satisfiable\""), "{error}");
}

#[test]
fn offline_it_fails_at_once_with_the_ways_out() {
    let (cache, tiny, _) = scene();
    let tiny = Tiny { files: tiny.files[..2].to_vec(), ..tiny };
    let (first, second) = (nobody(), nobody());
    let mut log = Log::default();
    let mut options = options(cache.path());
    // A pause would not end before the test is given up.
    options.patience.pause = std::time::Duration::from_secs(100_000);
    let error = tiny.fetch(&[first.clone(), second.clone()], &options, &mut log).unwrap_err();
    let folder = cache.path().display();
    let expected = format!(
        "\
tiny is not on this machine yet, and none of its sources can be reached:
    {first}data_batch_1.bin: the connection is refused
    {second}data_batch_1.bin: the connection is refused
  mend it, in one of these ways:
    connect to the network (a proxy: HTTPS_PROXY=http://HOST:PORT) and try again
    fetch by hand, into {folder}/datasets/tiny:
      {first}data_batch_1.bin
      {first}data_batch_2.bin
    --data FOLDER, where a copy is at hand, or LENSLET_CACHE=FOLDER, where a cache is
    --data shapes, the embedded set, which needs no network"
    );
    assert_eq!(error.to_string(), expected);
    let Error::Sources(sources) = &error else { panic!("{error:?}") };
    assert!(sources.failures.iter().all(|failure| failure.unreachable));

    options.mirror = Some(nobody());
    let error = tiny.fetch(&[first], &options, &mut log).unwrap_err().to_string();
    assert!(error.contains("unset LENSLET_MIRROR, which is asked instead of the set's own sources"), "{error}");
}

/// A name that no server in the world may have (RFC 6761).
#[test]
fn a_name_that_cannot_be_resolved_is_not_tried_twice() {
    let (cache, tiny, _) = scene();
    let mut options = options(cache.path());
    options.patience.pause = std::time::Duration::from_secs(100_000);
    let base = "http://lenslet.invalid/".to_owned();
    let error = tiny.fetch(&[base], &options, &mut Log::default()).unwrap_err();
    assert!(error.to_string().contains("none of its sources"), "{error}");
}
