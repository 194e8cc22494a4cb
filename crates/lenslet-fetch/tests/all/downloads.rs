//! A set arrives: at once, in pieces, from one source or another.

use crate::server::Answer;
use crate::{FILE, Log, names, nobody, options, scene};
use std::time::Duration;

#[test]
fn a_set_is_downloaded_once() {
    let (cache, tiny, server) = scene();
    let options = options(cache.path());
    let folder = tiny.fetch(&[server.base()], &options, &mut Log::default()).unwrap();
    assert_eq!(folder, cache.path().join("datasets/tiny"));
    tiny.assert_in(&folder);
    assert_eq!(names(&cache.path().join("datasets")), ["tiny", "tiny.lock", "tiny.verified.json"]);
    assert_eq!((server.requests().len(), server.sent()), (6, 6 * FILE));

    // Then nobody is asked, and nothing is read or locked.
    let mut log = Log::default();
    assert_eq!(tiny.fetch(&[nobody()], &options, &mut log).unwrap(), folder);
    assert_eq!(log.0, Vec::<String>::new());
}

#[test]
fn a_break_costs_only_the_rest() {
    let (cache, tiny, server) = scene();
    server.answers([Answer::File, Answer::Cut(20_000)]);
    let mut log = Log::default();
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut log).unwrap();
    tiny.assert_in(&folder);
    assert_eq!(server.sent(), 6 * FILE, "something was sent twice");
    let again = &server.requests()[2];
    assert_eq!(again.path, "/data_batch_2.bin");
    assert_eq!((again.range.as_deref(), again.if_range.as_deref()), (Some("bytes=20000-"), Some("\"first\"")));
    assert!(log.has("Again { why: \"the connection"), "{:?}", log.0);
}

#[test]
fn a_later_start_goes_on_where_the_first_was_stopped() {
    let (cache, tiny, server) = scene();
    server.answers([Answer::Cut(20_000), Answer::Status(404, None)]);
    tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    tiny.assert_in(&folder);
    assert_eq!(server.sent(), 6 * FILE);
}

#[test]
fn a_file_that_has_changed_begins_anew() {
    let (cache, tiny, server) = scene();
    server.etag("\"old\"");
    server.answers([Answer::Cut(20_000), Answer::Status(404, None)]);
    tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap_err();
    server.etag("\"new\"");
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    tiny.assert_in(&folder);
    assert_eq!(server.requests()[2].if_range.as_deref(), Some("\"old\""));
    assert_eq!(server.sent(), 20_000 + 6 * FILE);
}

#[test]
fn without_a_strong_etag_the_rest_is_asked_for_without_condition() {
    for etag in ["", "W/\"weak\""] {
        let (cache, tiny, server) = scene();
        server.etag(etag);
        server.answers([Answer::Cut(20_000)]);
        let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
        tiny.assert_in(&folder);
        let again = &server.requests()[1];
        assert_eq!((again.range.as_deref(), again.if_range.as_deref()), (Some("bytes=20000-"), None));
        assert_eq!(server.sent(), 6 * FILE);
    }
}

#[test]
fn servers_without_ranges_begin_anew() {
    let (cache, tiny, server) = scene();
    server.answers([Answer::Cut(20_000), Answer::Whole]);
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    tiny.assert_in(&folder);
    assert_eq!(server.sent(), 20_000 + 6 * FILE);
}

#[test]
fn parts_that_were_not_asked_for_are_not_added() {
    let (cache, tiny, server) = scene();
    server.answers([Answer::Cut(20_000), Answer::Shifted]);
    let mut log = Log::default();
    let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut log).unwrap();
    tiny.assert_in(&folder);
    assert!(log.has("it sends another part of the file than was asked for"), "{:?}", log.0);
}

#[test]
fn the_next_source_is_asked_where_one_fails() {
    for (answer, why) in [
        (Answer::Status(404, None), "it answers \\\"404 Not Found\\\""),
        (Answer::Status(403, None), "it answers \\\"403 Forbidden\\\""),
    ] {
        let (cache, tiny, server) = scene();
        let other = crate::Server::new(&tiny.contents);
        server.answers([answer]);
        let mut log = Log::default();
        let folder = tiny.fetch(&[server.base(), other.base()], &options(cache.path()), &mut log).unwrap();
        tiny.assert_in(&folder);
        assert!(log.has(why), "{:?}", log.0);
        // What will not pass is not tried again.
        assert_eq!((server.requests().len(), other.requests().len()), (1, 6));
        assert!(!cache.path().join("datasets/tiny.incoming").exists(), "leftovers of the first source");
    }
}

#[test]
fn a_fault_that_may_pass_is_tried_again_and_then_left() {
    for answer in [Answer::Status(500, None), Answer::Status(429, None), Answer::Nothing, Answer::Cut(0)] {
        let (cache, tiny, server) = scene();
        let other = crate::Server::new(&tiny.contents);
        server.answers(vec![answer.clone(); 2]);
        let folder = tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
        tiny.assert_in(&folder);

        let cache = tempfile::tempdir().unwrap();
        let before = server.requests().len();
        server.answers(vec![answer; 3]);
        let folder = tiny.fetch(&[server.base(), other.base()], &options(cache.path()), &mut Log::default()).unwrap();
        tiny.assert_in(&folder);
        assert_eq!((server.requests().len() - before, other.requests().len()), (3, 6));
    }
}

/// A server that is silent until the end of the test is left after the time that the options say.
#[test]
fn a_source_that_sends_nothing_more_is_left_for_another() {
    let (cache, tiny, server) = scene();
    let other = crate::Server::new(&tiny.contents);
    server.answers([Answer::Silent(20_000)]);
    let mut options = options(cache.path());
    options.patience.window = Duration::from_millis(300);
    let mut log = Log::default();
    let folder = tiny.fetch(&[server.base(), other.base()], &options, &mut log).unwrap();
    tiny.assert_in(&folder);
    assert!(log.has("why: \"nothing more arrives\""), "{:?}", log.0);
    assert_eq!((server.requests().len(), other.requests().len()), (1, 6));
}

/// Where the others fail, the slow one is better than none, and goes on where it was left.
#[test]
fn a_source_that_was_left_is_waited_for_in_the_end() {
    let (cache, tiny, server) = scene();
    server.answers([Answer::Silent(20_000)]);
    let mut options = options(cache.path());
    options.patience.window = Duration::from_millis(300);
    let folder = tiny.fetch(&[server.base(), nobody()], &options, &mut Log::default()).unwrap();
    tiny.assert_in(&folder);
    assert_eq!(server.sent(), 6 * FILE);
}

#[test]
fn a_mirror_is_asked_instead_of_all_sources() {
    let (cache, tiny, server) = scene();
    for slash in ["", "/"] {
        let mut options = options(cache.path());
        options.mirror = Some(format!("{}mirror{slash}", server.base()));
        let folder = tiny.fetch(&[nobody()], &options, &mut Log::default()).unwrap();
        tiny.assert_in(&folder);
        assert_eq!(server.requests()[0].path, "/mirror/tiny/data_batch_1.bin");
    }
}

#[test]
fn two_at_once_download_it_once() {
    let (cache, tiny, server) = scene();
    let fetch = || tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    std::thread::scope(|scope| {
        for other in [scope.spawn(fetch), scope.spawn(fetch), scope.spawn(fetch)] {
            tiny.assert_in(&other.join().unwrap());
        }
    });
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn who_waits_for_another_process_says_so() {
    let (cache, tiny, server) = scene();
    tiny.fetch(&[server.base()], &options(cache.path()), &mut Log::default()).unwrap();
    std::fs::remove_dir_all(cache.path().join("datasets/tiny")).unwrap();
    let lock = std::fs::File::open(cache.path().join("datasets/tiny.lock")).unwrap();
    lock.lock().unwrap();
    let mut lock = Some(lock);
    let files: Vec<_> = tiny.files.iter().map(|(name, size)| lenslet_fetch::File { name, size: *size }).collect();
    let base = server.base();
    let sources = [lenslet_fetch::Source { base: &base, files: &files }];
    let digest = lenslet_fetch::truth::Digest::Pixels(&tiny.hash);
    let truth = lenslet_fetch::truth::Truth { size: [3, 32, 32], classes: 10, train: 50, test: 10, digest };
    let set = lenslet_fetch::Set { name: "tiny", truth, sources: &sources };
    let mut waited = false;
    // The lock is given back when the wait is reported; without the report this test would not end.
    let folder = lenslet_fetch::fetch(&set, &options(cache.path()), &mut |report| {
        if matches!(report, lenslet_fetch::Report::Waiting) {
            waited = true;
            lock = None;
        }
    });
    tiny.assert_in(&folder.unwrap());
    assert!(waited);
}
