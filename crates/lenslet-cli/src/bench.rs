//! `lenslet bench`: the time of a network on this machine, layer by layer, and compared with an earlier measurement.
//!
//! A measurement is a line of JSON for each row and one for the whole; so it is printed, saved and read back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::ProgressBar;
use lenslet::files;
use lenslet::profile::{self, Direction, Profile, Until, flops};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::network::{self, Input};
use crate::output::{self, bytes, count, percent};
use crate::progress::{self, REDRAW};
use crate::run_folder::cannot_write;
use crate::summary::file_name;
use crate::table::{Align, Table};
use crate::{machine, threads};

/// Time a network on this machine, layer by layer, on random images.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    #[arg(help = network::help("Network to time"))]
    model: String,
    /// Sizes of the images, channels x height x width [default: what the network was made for].
    #[arg(long, value_name = "CxHxW", value_parser = network::parse_input)]
    input: Option<Input>,
    /// Images in a step.
    #[arg(long, value_name = "N", default_value_t = 64, allow_negative_numbers = true)]
    batch: u32,
    /// Classes that the network tells apart.
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true)]
    classes: u32,
    /// Threads [default: as many as the machine has].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<i64>,
    /// Time answers instead of training.
    #[arg(long)]
    inference: bool,
    /// Convolutions by sums of products alone, not in Winograd's way.
    #[arg(long)]
    no_winograd: bool,
    /// Seconds to measure for; a few rounds are measured in any case.
    #[arg(long, value_name = "S", default_value_t = 3.0, allow_negative_numbers = true)]
    seconds: f64,
    /// Rounds to measure, instead of a time; the fastest counts.
    #[arg(long, value_name = "N", conflicts_with = "seconds")]
    rounds: Option<u32>,
    /// File to write the measurement to.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Measurement that --save wrote earlier: shows by how much each layer's time has changed.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Print one JSON object a line instead: one for each row, and one for the whole.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Rows add up to the step: a row's time is that of all threads divided by their number, and what is no layer's own stands
below the layers. The fastest of all rounds (of some 10 ms, one step at least) counts, as the one least disturbed.
GFLOP/s are the arithmetic of the op as it is defined, a multiply-add counted as two; the peak is that of multiply-adds
in registers, measured in the same run. Winograd's algorithm needs fewer multiplications than a convolution's definition
counts, so more than 100 % of the peak is possible.

Examples:
  lenslet bench lesson
  lenslet bench resnet18 --batch 8 --inference
  lenslet bench resnet20 --save before.json         and, some changes later:
  lenslet bench resnet20 --against before.json";

pub(crate) fn run(options: &Bench) -> Result<(), Failure> {
    let threads = threads::wanted(options.threads)?;
    let until = options.until()?;
    let (network, input) = network::with_classes(&options.model, options.input, options.classes as usize)?;
    let (batch, classes) = (options.batch as usize, options.classes as usize);
    if classes == 0 {
        return Err(Failure::Mend("--classes is 0, but must be at least 1".into()));
    }
    // What is wrong with a file is better known before than after.
    let earlier = options.against.as_deref().map(Earlier::read).transpose()?;
    if let Some(path) = &options.save {
        machine::writable(files::folder_of(path)).map_err(|error| cannot_write(path, &error))?;
    }
    let make = if options.inference { profile::Bench::inference } else { profile::Bench::training };
    let mut bench = make(&*network, input, classes, batch, threads)?.winograd(!options.no_winograd);
    check_memory(&bench, batch)?;
    let interrupt = Interrupt::listen();
    interrupt.orderly();
    let mut display = Display::new(until);
    let profile = bench.measure(until, |rounds| {
        display.show(rounds);
        interrupt.flow()
    })?;
    drop(display);
    let Some(profile) = profile else { return Err(Failure::Interrupted) };

    let mut lines = lines(&profile);
    let mut whole = Whole::new(options, input.to_string(), &profile);
    if let Some(earlier) = &earlier {
        earlier.compare(&mut lines, &mut whole);
    }
    if let Some(path) = &options.save {
        save(path, &lines, &whole)?;
    }
    if options.json {
        lines.iter().try_for_each(output::json)?;
        return output::json(&whole);
    }
    if let (Some(path), Some(earlier)) = (&options.against, &earlier) {
        earlier.whole.differences(&whole).into_iter().for_each(|difference| {
            output::note(format_args!("note: {} was measured otherwise: {difference}", path.display()));
        });
    }
    output::result(text(&lines, &whole))
}

impl Bench {
    fn until(&self) -> Result<Until, Failure> {
        match self.rounds {
            Some(0) => Err(Failure::Mend("--rounds is 0, but must be at least 1".into())),
            Some(rounds) => Ok(Until::Rounds(rounds as usize)),
            None if self.seconds > 0.0 && self.seconds <= LONGEST => {
                Ok(Until::Time(Duration::from_secs_f64(self.seconds)))
            }
            None => Err(Failure::Mend(format!(
                "--seconds is {:?}, but must be above 0, and {LONGEST} at most",
                self.seconds
            ))),
        }
    }
}

/// The most seconds that may be asked for: a day.
const LONGEST: f64 = 86_400.0;

/// Refuses what there is no memory for.
fn check_memory(bench: &profile::Bench, batch: usize) -> Result<(), Failure> {
    let (needed, free) = (bench.memory(), machine::free_memory().unwrap_or(u64::MAX));
    if needed <= free {
        return Ok(());
    }
    let (needed, free) = (bytes(needed), bytes(free));
    let advice = if batch > 1 { "a smaller --batch" } else { "a smaller --input, or a machine with more memory" };
    Err(Failure::Mend(format!("batches of {batch} take {needed} of memory, but {free} are free\n  mend it: {advice}")))
}

/// A row of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    layer: String,
    op: String,
    /// `lesson.rs:41`.
    line: String,
    direction: Option<Direction>,
    /// Milliseconds in a step.
    ms: f64,
    /// Share of the step.
    share: f64,
    gflops: f64,
    /// Share of the machine's peak.
    of_peak: f64,
    /// Its time as a multiple of that of the measurement it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// The whole of a measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Whole {
    network: String,
    input: String,
    classes: u32,
    inference: bool,
    batch: usize,
    threads: usize,
    isa: String,
    #[serde(default = "yes")]
    winograd: bool,
    rounds: usize,
    images_per_second: f64,
    /// Milliseconds of a step.
    ms: f64,
    gflops: f64,
    of_peak: f64,
    peak_gflops: f64,
    planning_ms: f64,
    /// Bytes.
    memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
}

/// What a measurement does not say that is older than the question.
fn yes() -> bool {
    true
}

/// Milliseconds.
fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn lines(profile: &Profile) -> Vec<Line> {
    let line = |row: &profile::Row| {
        // A row that took no time has done nothing.
        let rate = if row.macs == 0 || row.time.is_zero() { 0.0 } else { flops(row.macs, row.time) };
        Line {
            layer: row.layer.clone(),
            op: row.op.clone(),
            line: row.at.as_ref().map_or(String::new(), |(file, line)| format!("{}:{line}", file_name(file))),
            direction: row.direction,
            ms: ms(row.time),
            share: row.time.as_secs_f64() / profile.step.as_secs_f64(),
            gflops: rate / 1e9,
            of_peak: rate / profile.peak,
            ratio: None,
        }
    };
    profile.rows.iter().map(line).collect()
}

impl Whole {
    fn new(options: &Bench, input: String, profile: &Profile) -> Self {
        let rate = flops(profile.macs(), profile.step);
        Self {
            network: options.model.clone(),
            input,
            classes: options.classes,
            inference: options.inference,
            batch: profile.batch,
            threads: profile.threads,
            isa: profile.isa.to_owned(),
            winograd: !options.no_winograd,
            rounds: profile.rounds,
            images_per_second: profile.images_per_second(),
            ms: ms(profile.step),
            gflops: rate / 1e9,
            of_peak: rate / profile.peak,
            peak_gflops: profile.peak / 1e9,
            planning_ms: ms(profile.planning),
            memory: profile.memory,
            ratio: None,
        }
    }

    fn what(&self) -> &'static str {
        if self.inference { "inference" } else { "training" }
    }

    /// What else has changed since this was measured, for its times to be taken with care.
    fn differences(&self, now: &Self) -> Vec<String> {
        let facts = |whole: &Self| {
            // The peak itself differs a little each time.
            let other_peak = (self.peak_gflops / now.peak_gflops - 1.0).abs() > 0.1;
            let peak = if other_peak { format!("a peak of {:.0} GFLOP/s", whole.peak_gflops) } else { String::new() };
            [
                format!("the network {}", whole.network),
                format!("images of {}", whole.input),
                format!("{} classes", whole.classes),
                format!("steps of {}", whole.what()),
                format!("batch {}", whole.batch),
                several(whole.threads, "thread"),
                whole.isa.clone(),
                if whole.winograd { "with Winograd's way" } else { "without Winograd's way" }.into(),
                peak,
            ]
        };
        let pairs = facts(self).into_iter().zip(facts(now));
        pairs.filter(|(was, now)| was != now).map(|(was, now)| format!("it was {was}, and now it is {now}")).collect()
    }
}

/// A measurement of earlier.
struct Earlier {
    lines: HashMap<Key, f64>,
    whole: Whole,
}

/// What is compared: layer, op, direction, and which of those that are alike. The line in the source may have changed.
type Key = (String, String, Option<Direction>, usize);

/// The rows' keys, in order.
fn keys(lines: &[Line]) -> Vec<Key> {
    let mut seen = HashMap::new();
    let key = |line: &Line| {
        let alike = (line.layer.clone(), line.op.clone(), line.direction);
        let number: &mut usize = seen.entry(alike.clone()).or_default();
        *number += 1;
        (alike.0, alike.1, alike.2, *number)
    };
    lines.iter().map(key).collect()
}

impl Earlier {
    fn read(path: &Path) -> Result<Self, Failure> {
        let fault = |what: String| Failure::Mend(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| {
            fault(format!("cannot be read: {error}\n  mend it: give a file that --save has written"))
        })?;
        let parts = text.trim_end().rsplit_once('\n');
        let parsed = parts.and_then(|(lines, whole)| {
            let lines: Option<Vec<Line>> = lines.lines().map(|line| serde_json::from_str(line).ok()).collect();
            Some((lines?, serde_json::from_str(whole).ok()?))
        });
        let (lines, whole) = parsed.ok_or_else(|| {
            fault("this is no measurement of lenslet bench\n  mend it: give a file that --save has written".into())
        })?;
        Ok(Self { lines: keys(&lines).into_iter().zip(lines.iter().map(|line| line.ms)).collect(), whole })
    }

    /// Sets the ratios.
    fn compare(&self, lines: &mut [Line], whole: &mut Whole) {
        let ratio = |now: f64, before: f64| (before > 0.0).then_some(now / before);
        for (key, line) in keys(lines).iter().zip(lines) {
            line.ratio = self.lines.get(key).and_then(|&before| ratio(line.ms, before));
        }
        whole.ratio = ratio(whole.ms, self.whole.ms);
    }
}

/// Writes what `--against` reads.
fn save(path: &Path, lines: &[Line], whole: &Whole) -> Result<(), Failure> {
    let mut text = String::new();
    for line in lines {
        text += &(output::to_json(&Line { ratio: None, ..line.clone() }) + "\n");
    }
    text += &(output::to_json(&Whole { ratio: None, ..whole.clone() }) + "\n");
    files::write(path, text.as_bytes()).map_err(|error| cannot_write(path, &error))
}

/// The table's columns; the last is for comparisons alone.
const COLUMNS: [(&str, Align); 9] = [
    ("layer", Align::Left),
    ("op", Align::Left),
    ("line", Align::Left),
    ("direction", Align::Left),
    ("ms", Align::Right),
    ("share", Align::Right),
    ("GFLOP/s", Align::Right),
    ("of peak", Align::Right),
    ("to before", Align::Right),
];

/// The table with its heading, and what holds for the whole.
fn text(lines: &[Line], whole: &Whole) -> String {
    let table = if whole.ratio.is_some() { table::<9>(lines, whole) } else { table::<8>(lines, whole) };
    let Whole { network, input, batch, threads, isa, rounds, .. } = whole;
    let threads = several(*threads, "thread");
    let winograd = if whole.winograd { "" } else { ", without Winograd's way" };
    let rounds =
        if *rounds == 1 { "one round".to_owned() } else { format!("the fastest of {} rounds", count(*rounds)) };
    format!(
        "{network}, input {input}, {}, batch {batch}, {threads}, {isa}{winograd}: {rounds}\n\n{table}\n\n{} images/s; this machine's \
         peak is {:.1} GFLOP/s; planned in {:.1} ms; {} of memory",
        whole.what(),
        count(whole.images_per_second as u64),
        whole.peak_gflops,
        whole.planning_ms,
        bytes(whole.memory)
    )
}

/// The table with its first `N` columns.
fn table<const N: usize>(lines: &[Line], whole: &Whole) -> String {
    let first = |cells: [String; 9]| -> [String; N] { std::array::from_fn(|column| cells[column].clone()) };
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.2} x"));
    let mut table = Table::new(std::array::from_fn::<_, N, _>(|column| COLUMNS[column]));
    for line in lines {
        let direction = match line.direction {
            Some(Direction::Forward) => "forward",
            Some(Direction::Backward) => "backward",
            None => "",
        };
        let [layer, op, at] = [&line.layer, &line.op, &line.line].map(String::clone);
        let [rate, of_peak] = arithmetic(line.gflops, line.of_peak);
        let (ms, share) = (milliseconds(line.ms, whole.ms), percent(line.share));
        table.row(first([layer, op, at, direction.into(), ms, share, rate, of_peak, ratio(line.ratio)]));
    }
    let empty = String::new;
    let [rate, of_peak] = arithmetic(whole.gflops, whole.of_peak);
    let (ms, share) = (milliseconds(whole.ms, whole.ms), percent(1.0));
    table.sum(first(["step".into(), empty(), empty(), empty(), ms, share, rate, of_peak, ratio(whole.ratio)]));
    table.to_string()
}

/// `1 thread`, `2 threads`.
fn several(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Milliseconds, to the ten-thousandth of a step that takes about `step`.
fn milliseconds(ms: f64, step: f64) -> String {
    let places = if step < 10.0 { 4 } else { 3 };
    format!("{ms:.places$}")
}

/// Empty where there is no arithmetic to speak of.
fn arithmetic(gflops: f64, of_peak: f64) -> [String; 2] {
    if gflops == 0.0 { [String::new(), String::new()] } else { [format!("{gflops:.1}"), percent(of_peak)] }
}

/// A bar while it is measured, where a person watches.
struct Display {
    bar: Option<ProgressBar>,
    until: Until,
    begun: Instant,
    shown: Instant,
}

impl Display {
    fn new(until: Until) -> Self {
        let length = match until {
            Until::Rounds(rounds) => rounds as u64,
            Until::Time(time) => time.as_millis() as u64,
        };
        let bar = progress::watched().then(|| progress::bar("measuring", "{msg}", 40, length));
        let now = Instant::now();
        Self { bar, until, begun: now, shown: now }
    }

    fn show(&mut self, rounds: usize) {
        let Some(bar) = &self.bar else { return };
        if self.shown.elapsed() < REDRAW {
            return;
        }
        self.shown = Instant::now();
        bar.set_position(match self.until {
            Until::Rounds(_) => rounds as u64,
            Until::Time(_) => self.begun.elapsed().as_millis() as u64,
        });
        bar.set_message(several(rounds, "round"));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
