//! The peers: worker processes that are told by lines what to run, so that they and Lenslet take turns. A worker that
//! waits for a line uses no processor.
//!
//! ```text
//! worker, once     ready NAME VERSION
//! asked            variants NETWORK KIND BATCH                  w1|w2|w3, train|infer|latency, images in a step
//! worker           variants VARIANT…                            none, where the peer does not do this work
//! asked            run SECONDS VARIANT NETWORK KIND BATCH
//! worker           result IMAGES_PER_SECOND
//!                  error REASON                                 the worker goes on
//! asked            quit, or the end of the input
//! ```
//!
//! A variant is built at its first run and kept until another work is asked for. Each run warms up for a fifth of its time
//! before the clock starts, and only whole steps count. Each worker does the least that its library can do; what that is
//! stands at the head of its file in `bench/peers`. Workers live in `target`: Python's in the virtual environment that
//! `bench/setup.sh` makes, Rust's as builds of their own workspaces, for this very processor (`target-cpu=native`).

use std::fs::{File, create_dir_all, metadata};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use clap::ValueEnum;

use crate::works::Work;

/// Who is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// PyTorch, eager and compiled, in both memory formats, with both allocators.
    Pytorch,
    /// ONNX Runtime, which does not train.
    Onnxruntime,
    /// Burn on its CPU backends in Rust.
    Burn,
    /// Candle.
    Candle,
}

impl Peer {
    pub(crate) const ALL: [Peer; 4] = [Peer::Pytorch, Peer::Onnxruntime, Peer::Burn, Peer::Candle];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Peer::Pytorch => "PyTorch",
            Peer::Onnxruntime => "ONNX Runtime",
            Peer::Burn => "Burn",
            Peer::Candle => "Candle",
        }
    }

    /// Whether it is far behind, so that a few rounds say enough.
    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Peer::Burn | Peer::Candle)
    }
}

/// How a worker is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) peer: Peer,
    pub(crate) threads: usize,
    /// With tcmalloc in the place of the system's allocator.
    pub(crate) tcmalloc: bool,
    /// With torch.compile.
    pub(crate) compile: bool,
}

/// A worker process.
pub(crate) struct Worker {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    log: PathBuf,
    /// Name and version.
    pub(crate) name: String,
}

impl Worker {
    /// Starts a worker of a peer that is [installed](install).
    pub(crate) fn start(start: Start) -> Result<Self, String> {
        let allocator = if start.tcmalloc { "-tcmalloc" } else { "" };
        let log = built().join(format!("{:?}{allocator}-{}.log", start.peer, start.threads).to_lowercase());
        let errors = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = command(start)?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let to = process.stdin.take().expect("standard input is piped");
        let from = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let mut worker = Self { process, to, from, log, name: String::new() };
        worker.name = worker.answer("ready")?;
        Ok(worker)
    }

    /// The variants that it has for a work.
    pub(crate) fn variants(&mut self, work: &Work) -> Result<Vec<String>, String> {
        self.ask(format_args!("variants {} {} {}", work.net.name(), work.kind.name(), work.batch))?;
        Ok(self.answer("variants")?.split_whitespace().map(str::to_owned).collect())
    }

    /// Runs for some seconds in one variant; images per second.
    pub(crate) fn run(&mut self, work: &Work, variant: &str, seconds: f64) -> Result<f64, String> {
        self.ask(format_args!("run {seconds} {variant} {} {} {}", work.net.name(), work.kind.name(), work.batch))?;
        let rate = self.answer("result")?;
        rate.parse().map_err(|_| format!("{rate:?} is no rate"))
    }

    fn ask(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), String> {
        writeln!(self.to, "{line}").map_err(|error| format!("{error}; see {}", self.log.display()))
    }

    /// What follows `word` in the worker's next line.
    fn answer(&mut self, word: &str) -> Result<String, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err(format!("the worker ended; see {}", self.log.display())),
            Ok(_) => match line.trim().strip_prefix(word) {
                Some(rest) => Ok(rest.trim().to_owned()),
                None => Err(line.trim().trim_start_matches("error ").to_owned()),
            },
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A worker that is gone already is as good.
        let _ = writeln!(self.to, "quit");
        let _ = self.process.wait();
    }
}

/// Installs or builds what a peer's workers need, where it is not yet.
pub(crate) fn install(peer: Peer) -> Result<(), String> {
    create_dir_all(built()).map_err(|error| format!("{}: {error}", built().display()))?;
    match peer {
        Peer::Pytorch => environment(),
        Peer::Onnxruntime => {
            environment()?;
            let networks = folder().join("peers/networks.py");
            let is_fresh =
                |made: &Path| Some(metadata(made).ok()?.modified().ok()? > metadata(&networks).ok()?.modified().ok()?);
            if is_fresh(&models().join("w3.onnx")) != Some(true) {
                succeed("export to ONNX", Command::new(python()).arg(networks).arg(models()))?;
            }
            Ok(())
        }
        Peer::Burn | Peer::Candle => {
            let manifest = folder().join("peers").join(peer.name().to_lowercase()).join("Cargo.toml");
            let mut cargo = Command::new("cargo");
            cargo.args(["build", "--release", "--locked", "--manifest-path"]).arg(manifest);
            cargo.arg("--target-dir").arg(built()).env("RUSTFLAGS", "-C target-cpu=native");
            succeed(&format!("build {}", peer.name()), &mut cargo)
        }
    }
}

/// The library of tcmalloc, where `setup.sh` could find or fetch it.
pub(crate) fn tcmalloc() -> Option<PathBuf> {
    Some(venv().join("lib/libtcmalloc_minimal.so.4")).filter(|library| library.exists())
}

/// What starts a worker.
fn command(start: Start) -> Result<Command, String> {
    let threads = start.threads.to_string();
    let mut command = match start.peer {
        Peer::Pytorch => {
            let mut command = pytorch(&threads, start.tcmalloc)?;
            command.args(start.compile.then_some("--compile"));
            command.env("TORCHINDUCTOR_CACHE_DIR", built().join("inductor"));
            command
        }
        Peer::Onnxruntime => {
            let mut command = Command::new(python());
            command.arg(folder().join("peers/onnx_runtime.py")).arg(&threads).arg(models());
            command
        }
        Peer::Burn => Command::new(built().join("release/burn-worker")),
        Peer::Candle => Command::new(built().join("release/candle-worker")),
    };
    command.env("RAYON_NUM_THREADS", threads);
    Ok(command)
}

/// PyTorch's script, on so many threads.
pub(crate) fn pytorch(threads: &str, with_tcmalloc: bool) -> Result<Command, String> {
    let mut command = Command::new(python());
    command.arg(folder().join("peers/pytorch.py")).arg(threads);
    if with_tcmalloc {
        command.env("LD_PRELOAD", tcmalloc().ok_or("tcmalloc is not there")?);
    }
    Ok(command)
}

/// The Python environment.
fn environment() -> Result<(), String> {
    succeed("install the Python peers", Command::new("bash").arg(folder().join("setup.sh")).arg(venv()))
}

/// Runs a command that may take its time, and keeps what it says.
fn succeed(what: &str, command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if output.status.success() {
        return Ok(());
    }
    let log = built().join("failure.log");
    // The reason is told in any case.
    let _ = std::fs::write(&log, [&output.stdout[..], &output.stderr[..]].concat());
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().filter(|line| line.starts_with("impossible"));
    Err(format!("{what}: {}; see {}", last.unwrap_or("failed"), log.display()))
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The repository's own, wherever Lenslet itself is built.
fn target() -> PathBuf {
    folder().parent().expect("the folder lies in the repository").join("target")
}

fn venv() -> PathBuf {
    target().join("bench-venv")
}

fn python() -> PathBuf {
    venv().join("bin/python")
}

/// Where all is put that is made for the peers.
fn built() -> PathBuf {
    target().join("bench-peers")
}

fn models() -> PathBuf {
    built().join("onnx")
}
