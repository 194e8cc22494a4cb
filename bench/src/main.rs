//! Side-by-side comparisons with peers: PyTorch, ONNX Runtime, Burn and Candle.
//!
//!     cargo run --release -p lenslet-bench -- all
//!     cargo run --release -p lenslet-bench -- w1 --work train --batch 64 --peers pytorch
//!
//! One command does everything: it installs the peers below `target` where they are not yet, lets Lenslet and them take
//! turns in one run, and prints medians, ratios and shares of the machine's peak. `works` says what is measured, `race`
//! how, `peer` what the workers in `bench/peers` are told. Run it on a machine that does nothing else: all sides want all
//! cores.
#![forbid(unsafe_code)]

mod lenslet_side;
mod memory;
mod peer;
mod planning;
mod race;
mod table;
mod works;

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use peer::Peer;
use race::{Effort, Race};
use table::Report;
use works::{Kind, Net, WORKS, Work};

/// Compares Lenslet's speed with that of its peers, side by side.
#[derive(Parser)]
struct Arguments {
    /// What is measured.
    #[arg(value_enum, default_value_t = What::All)]
    what: What,
    /// Only one kind of work.
    #[arg(long, value_enum)]
    work: Option<Kind>,
    /// Only work with so many images in a step.
    #[arg(long)]
    batch: Option<usize>,
    /// Threads of each side; each number has its rows.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 1])]
    threads: Vec<usize>,
    /// Who is compared with.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::ALL)]
    peers: Vec<Peer>,
    /// Lenslet alone; nothing is installed.
    #[arg(long)]
    alone: bool,
    /// Rounds; in each, every side runs once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one run.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Without torch.compile, which needs a C++ compiler and minutes.
    #[arg(long)]
    no_compile: bool,
    /// A first look in a few minutes: short runs, three rounds, no torch.compile, the first number of threads only.
    #[arg(long)]
    quick: bool,
    /// Write all as a page in Markdown.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The process whose memory is measured.
    #[arg(long, hide = true)]
    worker: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Everything.
    All,
    /// The lesson's network.
    W1,
    /// The network of airbench94.
    W2,
    /// ResNet-18 for small images.
    W3,
    /// Memory of a training step.
    Memory,
    /// Time from a network to its plan.
    Plan,
}

fn main() {
    let arguments = Arguments::parse();
    let outcome = if arguments.worker { memory::work() } else { run(arguments) };
    if let Err(error) = outcome {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}

fn run(arguments: Arguments) -> Result<(), String> {
    let arguments = arguments.simplified();
    warn_if_busy();
    let mut report = Report { command: command(), ..Report::default() };
    if matches!(arguments.what, What::All | What::Plan) {
        report.plannings = planning::measure()?;
    }
    if matches!(arguments.what, What::All | What::Memory) {
        report.peaks = memory::measure(&arguments.peers)?;
    }
    let works = arguments.works();
    if works.is_empty() && !matches!(arguments.what, What::Memory | What::Plan) {
        return Err("no work is like that; without --work and --batch, all of it is measured".into());
    }
    if !works.is_empty() {
        race(&arguments, &works, &mut report)?;
    }
    let page = report.markdown();
    match arguments.write {
        Some(file) => std::fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    }
}

/// Peers that wait spinning are slowed down a hundredfold by another program on their processor.
fn warn_if_busy() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if let Some(load) = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).filter(|&load| load > 0.5) {
        println!("this machine is busy with other things (load {load}): the numbers will be of little worth");
    }
}

/// Measures the rows.
fn race(arguments: &Arguments, works: &[Work], report: &mut Report) -> Result<(), String> {
    let &Arguments { rounds, seconds, no_compile, .. } = arguments;
    let mut race = Race::new(Effort { rounds, seconds, compile: !no_compile }, &arguments.peers);
    for &work in works {
        let mut finalists = vec![];
        for &threads in &arguments.threads {
            println!("{}, threads: {threads}; {rounds} rounds of {seconds} s", work.title());
            let (row, best) = race.row(work, threads, &finalists)?;
            println!("{}", row.line());
            report.rows.push(row);
            finalists = best;
        }
    }
    report.versions = race.versions();
    report.remarks = race.remarks;
    Ok(())
}

impl Arguments {
    /// With what `--quick` and `--alone` stand for.
    fn simplified(mut self) -> Self {
        if self.quick {
            (self.seconds, self.rounds, self.no_compile) = (0.3, 3, true);
            self.threads.truncate(1);
        }
        if self.alone {
            self.peers.clear();
        }
        self.rounds = self.rounds.max(1);
        self
    }

    /// The rows that were asked for.
    fn works(&self) -> Vec<Work> {
        let net = |net: Net| match self.what {
            What::All => true,
            What::W1 => net == Net::W1,
            What::W2 => net == Net::W2,
            What::W3 => net == Net::W3,
            What::Memory | What::Plan => false,
        };
        let asked = |work: &Work| {
            net(work.net)
                && self.work.is_none_or(|kind| kind == work.kind)
                && self.batch.is_none_or(|batch| batch == work.batch)
        };
        WORKS.into_iter().filter(asked).collect()
    }
}

/// The command that was given, as it can be given again.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!("cargo run --release -p lenslet-bench -- {}", arguments.join(" "))
}
