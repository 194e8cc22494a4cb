//! PyTorch's side: a worker process that is told by lines what to run; see the head of `bench/peer_pytorch.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A PyTorch worker.
pub(crate) struct PyTorch {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    version: String,
    variants: Vec<String>,
}

impl PyTorch {
    /// Installs PyTorch where it is not yet, and starts the worker.
    pub(crate) fn start(batch: usize, threads: usize, compile: bool) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let environment = folder.join("../target/bench-venv");
        let setup = Command::new("bash").arg(folder.join("setup.sh")).arg(&environment).stdout(Stdio::null()).status();
        if !setup.map_err(|error| format!("bash: {error}"))?.success() {
            return Err("PyTorch cannot be installed here; --alone measures Lenslet by itself".into());
        }
        let mut command = Command::new(environment.join("bin/python"));
        command.arg(folder.join("peer_pytorch.py"));
        command.args(["--threads", &threads.to_string(), "--batch", &batch.to_string()]);
        if compile {
            command.arg("--compile");
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(|e| e.to_string())?;
        let to = process.stdin.take().expect("standard input is piped");
        let from = BufReader::new(process.stdout.take().expect("standard output is piped"));
        let mut peer = Self { process, to, from, version: String::new(), variants: vec![] };
        let ready = peer.line()?;
        let word =
            |key: &str| ready.split_whitespace().find_map(|word| word.strip_prefix(key)).unwrap_or_default().to_owned();
        peer.version = format!("PyTorch {}", word("torch="));
        peer.variants = word("variants=").split(',').map(str::to_owned).collect();
        Ok(peer)
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn variants(&self) -> &[String] {
        &self.variants
    }

    /// Trains for some seconds in one variant; images per second.
    pub(crate) fn run(&mut self, seconds: f64, variant: &str) -> Result<f64, String> {
        writeln!(self.to, "run {seconds} {variant}").map_err(|error| error.to_string())?;
        let line = self.line()?;
        let rate = line.strip_prefix("result ").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        rate.ok_or_else(|| format!("PyTorch's worker says: {line}"))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) => Err("PyTorch's worker ended; see its message above".into()),
            Ok(_) => Ok(line.trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // A worker that is gone already is as good.
        let _ = writeln!(self.to, "quit");
        let _ = self.process.wait();
    }
}
