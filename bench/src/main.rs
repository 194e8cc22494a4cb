//! Side-by-side speed comparisons with peers.
//!
//! `cargo run --release -p lenslet-bench -- w1` trains the lesson's network with Lenslet and with PyTorch, alternately in
//! one run on the same machine, and prints both rates and their ratio. PyTorch is installed into a virtual environment by
//! `bench/setup.sh`; its side is `bench/peer_pytorch.py`, in its best variant. Rates are medians over the rounds. Run it on
//! a machine that does nothing else: both sides want all cores.

mod lenslet_side;
mod peer;

use clap::Parser;

use lenslet_side::Lenslet;
use peer::PyTorch;

/// Compares Lenslet's training speed with PyTorch's, side by side.
#[derive(Parser)]
struct Arguments {
    /// What is trained: w1, the lesson's network on 3x32x32 images.
    #[arg(value_parser = ["w1"], default_value = "w1")]
    work: String,
    /// Images in a step.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Threads of each side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Rounds; in each, every side runs once.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Seconds of one run.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Also try torch.compile.
    #[arg(long)]
    compile: bool,
    /// Lenslet alone, without installing PyTorch.
    #[arg(long)]
    alone: bool,
}

fn main() {
    let arguments = Arguments::parse();
    if let Err(error) = run(&arguments) {
        eprintln!("error: {error}");
        std::process::exit(2);
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let &Arguments { batch, threads, rounds, seconds, .. } = arguments;
    let mut lenslet = Lenslet::new(batch, threads)?;
    let mut peer = if arguments.alone { None } else { Some(PyTorch::start(batch, threads, arguments.compile)?) };
    println!("{}, batch {batch}, {threads} threads; images/s over {seconds} s, {rounds} rounds", arguments.work);
    if let Some(peer) = &peer {
        println!("lenslet ({}) against {}", lenslet.instruction_set(), peer.version());
    }
    let mut ours = vec![];
    let variants: Vec<String> = peer.as_ref().map_or(vec![], |peer| peer.variants().to_vec());
    let mut theirs = vec![vec![]; variants.len()];
    for round in 1..=rounds {
        ours.push(lenslet.run(seconds)?);
        let mut line = format!("round {round}: lenslet {:.0}", ours[round - 1]);
        for (variant, rates) in variants.iter().zip(&mut theirs) {
            let peer = peer.as_mut().expect("variants are a peer's");
            rates.push(peer.run(seconds, variant)?);
            line += &format!(", {variant} {:.0}", rates[round - 1]);
        }
        println!("{line}");
    }
    let ours = median(ours);
    println!("median: lenslet {ours:.0}");
    let best = variants.iter().zip(theirs).map(|(variant, rates)| (median(rates), variant));
    if let Some((rate, variant)) = best.max_by(|a, b| a.0.total_cmp(&b.0)) {
        println!("median: pytorch {rate:.0} ({variant}, its best)");
        println!("ratio: {:.2}", ours / rate);
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
