//! What is in a data set's place but can never be read whole: pipes, devices, and files longer than memory.
use super::{Folder, read};
use lenslet_data::{Filter, Options, load, load_with, read_image};
use std::fs::File;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

/// The answer, which a hanging reader does not give.
fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(ask()));
    receiver.recv_timeout(Duration::from_secs(60)).expect("an answer")
}

/// Ten pictures of each of two classes.
fn photos(name: &str) -> Folder {
    let [one, other] = ["pictures/rgb8.png", "pictures/palette4.png"].map(read);
    let options = |folder: Folder, i: usize| {
        folder.with(&format!("cat/{i}.png"), &one).with(&format!("dog/{i}.png"), if i < 5 { &one } else { &other })
    };
    (0..10).fold(Folder::new(name), options)
}

fn pipe(folder: &Folder, name: &str) -> bool {
    let made = Command::new("mkfifo").arg(folder.0.join(name)).status().is_ok_and(|status| status.success());
    if !made {
        eprintln!("no pipe could be made: skipped");
    }
    made
}

#[test]
fn pipes_are_not_read() {
    const NO_FILE: &str = "expected a regular file, found a pipe, a device or a socket; copy what it yields into a file, and give that one";
    for name in ["train-images-idx3-ubyte.gz", "data.npz", "train.parquet", "data.tar.gz", "data.zip"] {
        let folder = Folder::new(&format!("pipe-{name}"));
        if !pipe(&folder, name) {
            return;
        }
        let other = name.replace("train", if name.contains("idx3") { "t10k" } else { "test" });
        if other != name {
            folder.write(&other, b"");
        }
        let path = folder.path().to_string();
        let error = in_time(move || load(&path).unwrap_err().to_string());
        assert_eq!(error, format!("{}/{name}: {NO_FILE}", folder.path()));
    }
    let folder = photos("pipe-photos");
    pipe(&folder, "cat/pipe.png");
    let path = folder.path().to_string();
    let options = Options { size: Some((8, 8)), ..Options::default() };
    let skipping = Options { skip_bad: true, ..options.clone() };
    let [error, skipped] = in_time(move || {
        let error = load_with(&path, &options).unwrap_err().to_string();
        [error, load_with(&path, &skipping).unwrap().skipped.concat()]
    });
    assert!(
        error.contains("(cat/pipe.png: a pipe, a device or a socket where a regular file was expected)"),
        "{error}"
    );
    assert_eq!(skipped, format!("{}/cat/pipe.png: {NO_FILE}", folder.path()));
    let picture = folder.0.join("cat/pipe.png");
    let error = in_time(move || read_image(&picture, 3, 8, 8, Filter::default()).unwrap_err().to_string());
    assert!(error.ends_with(NO_FILE), "{error}");
}

#[cfg(unix)]
#[test]
fn devices_are_not_read() {
    let error = in_time(|| read_image("/dev/zero".as_ref(), 3, 8, 8, Filter::default()).unwrap_err().to_string());
    assert!(error.starts_with("/dev/zero: expected a regular file, found "), "{error}");
}

/// Four tebibytes of holes.
#[test]
fn files_longer_than_memory_are_not_read() {
    for name in ["train-images-idx3-ubyte", "data.npz", "train.parquet", "data.tar"] {
        let folder = Folder::new(&format!("long-{name}"));
        folder.write(&name.replace("train", if name.contains("idx3") { "t10k" } else { "test" }), b"");
        if File::create(folder.0.join(name)).unwrap().set_len(4 << 40).is_err() {
            return eprintln!("no file with holes could be made: skipped");
        }
        let error = load(folder.path()).unwrap_err().to_string();
        let begins = format!("{}/{name}: expected a file that fits into memory", folder.path());
        assert!(error.starts_with(&begins) && error.contains(", found one of 4194304 MiB; see that"), "{error}");
    }
    let folder = photos("long-photos");
    let long = folder.0.join("dog/long.png");
    File::create(&long).unwrap().set_len((256 << 20) + 1).unwrap();
    let options = Options { size: Some((8, 8)), skip_bad: true, ..Options::default() };
    let expected = format!(
        "{}: expected a picture's file of at most 256 MiB, found one of more; scale the picture down",
        long.display()
    );
    assert_eq!(load_with(folder.path(), &options).unwrap().skipped, [&*expected]);
    assert_eq!(read_image(&long, 3, 8, 8, Filter::default()).unwrap_err().to_string(), expected);
}
