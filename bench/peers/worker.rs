//! What the Rust workers have in common: the protocol, which stands at the head of `bench/src/peer.rs`, the clock, and the
//! pictures.

use std::io::BufRead;
use std::time::Instant;

pub const PICTURES: usize = 2048;
pub const PIXELS: usize = 3 * 32 * 32;

/// A step of some work.
pub type Step = Box<dyn FnMut() -> Result<(), String>>;

/// Answers until the input ends. `variants(network, kind)` names what there is for a work, and `make(variant, network,
/// batch)` gives the function that does a step of it.
pub fn serve(
    name: &str,
    variants: impl Fn(&str, &str) -> Vec<&'static str>,
    make: impl Fn(&str, &str, usize) -> Result<Step, String>,
) {
    println!("ready {name}");
    let mut work = String::new();
    let mut made: Vec<(String, Step)> = vec![];
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["quit"] => return,
            ["variants", network, kind, _] => println!("variants {}", variants(network, kind).join(" ")),
            ["run", seconds, variant, network, kind, batch] => {
                let asked = format!("{network} {kind} {batch}");
                if asked != work {
                    work = asked;
                    made.clear();
                }
                match run(&mut made, &make, seconds, variant, network, batch) {
                    Ok(rate) => println!("result {rate}"),
                    Err(reason) => println!("error {}", reason.replace('\n', " ")),
                }
            }
            _ => println!("error not understood: {line}"),
        }
    }
}

/// Images per second of a variant, which is made if it is not yet.
fn run(
    made: &mut Vec<(String, Step)>,
    make: impl Fn(&str, &str, usize) -> Result<Step, String>,
    seconds: &str,
    variant: &str,
    network: &str,
    batch: &str,
) -> Result<f64, String> {
    let seconds: f64 = seconds.parse().map_err(|_| "seconds are a number")?;
    let batch: usize = batch.parse().map_err(|_| "a batch is a number")?;
    if !made.iter().any(|(name, _)| name == variant) {
        let mut step = make(variant, network, batch)?;
        run_for(&mut step, seconds / 2.0)?;
        made.push((variant.to_owned(), step));
    }
    let (_, step) = made.iter_mut().find(|(name, _)| name == variant).expect("it was made");
    run_for(step, seconds / 5.0)?;
    Ok(batch as f64 * run_for(step, seconds)?)
}

/// Whole steps, for some seconds; steps per second.
fn run_for(step: &mut Step, seconds: f64) -> Result<f64, String> {
    let start = Instant::now();
    let mut steps = 0;
    loop {
        step()?;
        steps += 1;
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed >= seconds {
            return Ok(f64::from(steps) / elapsed);
        }
    }
}

/// Pictures, normalised already, in an order that is shuffled anew each time all were seen.
pub struct Pictures {
    values: Vec<f32>,
    labels: Vec<u8>,
    order: Vec<usize>,
    next: usize,
    random: u64,
}

impl Pictures {
    pub fn new() -> Self {
        let mut pictures =
            Self { values: vec![], labels: vec![], order: (0..PICTURES).collect(), next: PICTURES, random: 1 };
        // Uniform, of mean 0 and variance 1: the distribution does not matter.
        let value = |bits: u64| ((bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 12f32.sqrt();
        pictures.values = (0..PICTURES * PIXELS).map(|_| value(pictures.bits())).collect();
        pictures.labels = (0..PICTURES).map(|_| (pictures.bits() >> 32) as u8 % 10).collect();
        pictures
    }

    /// The next batch: pixels and labels.
    pub fn next(&mut self, batch: usize) -> (Vec<f32>, Vec<u8>) {
        if self.next + batch > PICTURES {
            for i in (1..PICTURES).rev() {
                let other = (self.bits() >> 32) as usize % (i + 1);
                self.order.swap(i, other);
            }
            self.next = 0;
        }
        let chosen = &self.order[self.next..self.next + batch];
        self.next += batch;
        let mut values = Vec::with_capacity(batch * PIXELS);
        chosen.iter().for_each(|&image| values.extend_from_slice(&self.values[image * PIXELS..][..PIXELS]));
        (values, chosen.iter().map(|&image| self.labels[image]).collect())
    }

    /// xorshift64*.
    fn bits(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}
