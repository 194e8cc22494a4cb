//! Data sets by name, without a network: what is asked for, and what is said where it does not come.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::{Ran, folder, program, tiny_data};

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback address");
    format!("http://{}", listener.local_addr().expect("an address"))
}

#[test]
fn offline_a_name_fails_with_the_ways_out() {
    let folder = folder();
    let mirror = nobody();
    let cache = folder.path().join("cache");
    tiny_data(folder.path(), "mnist", 8, &["a", "b"]);
    let mut command = program(folder.path(), &["train", "--data", "mnist"]);
    let ran = Ran::from(command.env("LENSLET_MIRROR", &mirror).env("LENSLET_CACHE", &cache).output().unwrap());
    let here = cache.display();
    let official = "https://ossci-datasets.s3.amazonaws.com/mnist";
    let expected = format!(
        "\
note      mnist means the data set of this name, and ./mnist what lies here
download  {mirror}/mnist/train-images-idx3-ubyte.gz
note      the connection is refused; the next source is asked
download  {mirror}/mnist/train-00000-of-00001.parquet
error: mnist is not on this machine yet, and none of its sources can be reached:
    {mirror}/mnist/train-images-idx3-ubyte.gz: the connection is refused
    {mirror}/mnist/train-00000-of-00001.parquet: the connection is refused
  mend it, in one of these ways:
    unset LENSLET_MIRROR, which is asked instead of the set's own sources
    fetch by hand, into {here}/datasets/mnist:
      {official}/train-images-idx3-ubyte.gz
      {official}/train-labels-idx1-ubyte.gz
      {official}/t10k-images-idx3-ubyte.gz
      {official}/t10k-labels-idx1-ubyte.gz
    --data FOLDER, where a copy is at hand, or LENSLET_CACHE=FOLDER, where a cache is
    --data shapes, the embedded set, which needs no network
"
    );
    assert_eq!((ran.code, ran.err), (Some(2), expected));

    // The folder of that name, given as one, needs no network.
    let mut command = program(folder.path(), &["train", "--data", "./mnist", "--epochs", "1", "--out", "run"]);
    let ran = Ran::from(command.env("LENSLET_MIRROR", &mirror).env("LENSLET_CACHE", &cache).output().unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    // A checkpoint remembers what it was trained on, and eval asks for that in the same way.
    let mut command = program(folder.path(), &["eval", "run", "--data", "fashion-mnist"]);
    let ran = Ran::from(command.env("LENSLET_MIRROR", &mirror).env("LENSLET_CACHE", &cache).output().unwrap());
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("error: fashion-mnist is not on this machine yet"), "{}", ran.err);
}

/// Sends the first 10,000 bytes of a gz file of 20,000 to whoever asks, and then nothing more; hands out what was asked.
fn half_a_server() -> (String, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback address");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let (send, receive) = channel();
    std::thread::spawn(move || {
        // Kept, so that they are not closed.
        let mut open: Vec<TcpStream> = Vec::new();
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let _ = send.send(lines.map(|line| line.to_lowercase()).collect());
            let begin = [0x1f, 0x8b].into_iter().chain([0; 9_998]).collect::<Vec<u8>>();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-length: 20000\r\n\r\n");
            let _ = stream.write_all(&begin);
            open.push(stream);
        }
    });
    (address, receive)
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_has_arrived() {
    use std::process::{Command, Stdio};
    let folder = folder();
    let (mirror, requests) = half_a_server();
    let cache = folder.path().join("cache");
    let incoming = cache.join("datasets/mnist.incoming");
    let part = || {
        let source = std::fs::read_dir(&incoming).ok()?.next()?.ok()?;
        std::fs::metadata(source.path().join("train-images-idx3-ubyte.gz.part")).ok().map(|part| part.len())
    };
    let start = || {
        let mut command = program(folder.path(), &["train", "--data", "mnist"]);
        command.env("LENSLET_MIRROR", &mirror).env("LENSLET_CACHE", &cache);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program can be started")
    };
    let mut child = start();
    // The limit is for a program that hangs.
    let begun = Instant::now();
    while part() != Some(10_000) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?} bytes arrived", part());
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("there is a shell").success());
    assert_eq!(child.wait().expect("the program ends").code(), Some(130));
    assert_eq!(part(), Some(10_000));

    let mut child = start();
    let next = || requests.recv_timeout(Duration::from_secs(60)).expect("a request");
    let (first, second) = (next(), next());
    child.kill().and_then(|()| child.wait().map(drop)).expect("the program ends");
    assert!(!first.iter().any(|line| line.starts_with("range:")), "{first:?}");
    for header in ["range: bytes=10000-", "if-range: \"one\""] {
        assert!(second.iter().any(|line| line == header), "{second:?}");
    }
}

#[test]
fn a_cache_that_cannot_be_written() {
    let folder = folder();
    std::fs::write(folder.path().join("file"), "no folder").unwrap();
    let mut command = program(folder.path(), &["train", "--data", "cifar10"]);
    let ran = Ran::from(command.env("LENSLET_MIRROR", nobody()).env("LENSLET_CACHE", "file").output().unwrap());
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.starts_with("error: file/datasets: cannot be written, where cifar10 is to be kept: "),
        "{}",
        ran.err
    );
    assert!(ran.err.ends_with("or LENSLET_CACHE=FOLDER for another one (171 MB)\n"), "{}", ran.err);
}

#[test]
fn help_names_the_sets_and_the_environment() {
    let folder = folder();
    for command in ["train", "eval"] {
        let help = Ran::well(folder.path(), &[command, "--help"]).out;
        for part in ["cifar10, cifar100, mnist, fashion-mnist (downloaded once)", "LENSLET_CACHE=", "LENSLET_MIRROR="] {
            assert!(help.contains(part), "{part} is not in\n{help}");
        }
    }
}
