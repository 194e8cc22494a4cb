//! What comes out: a line for each row as soon as it is measured, and all rows as a page in Markdown.

use std::fmt::Write;

use lenslet::cpu::Isa;
use sysinfo::{Cpu, CpuRefreshKind, RefreshKind, System};

use crate::memory::Peak;
use crate::peer::Peer;
use crate::planning::Planning;
use crate::race::Best;
use crate::works::{Kind, Work};

/// A row: medians, images per second.
pub(crate) struct Row {
    pub(crate) work: Work,
    pub(crate) threads: usize,
    pub(crate) lenslet: f64,
    /// Floating-point operations per second of this machine, measured just before.
    pub(crate) peak: f64,
    pub(crate) peers: Vec<Best>,
}

impl Row {
    /// Share of a peak, in percent.
    fn share(&self, peak: f64) -> f64 {
        100.0 * self.lenslet * self.work.operations() / peak
    }

    /// Goals are for two threads.
    fn goal(&self) -> Option<(f64, Peer)> {
        self.work.goal.filter(|_| self.threads == 2)
    }

    /// The peer of the goal; where there is none, or it did not run, the fastest.
    fn reference(&self) -> Option<&Best> {
        let of_goal = self.peers.iter().find(|best| self.work.goal.is_some_and(|(_, peer)| peer == best.peer));
        of_goal.or_else(|| self.peers.iter().max_by(|a, b| a.rate.total_cmp(&b.rate)))
    }

    /// How many times the reference's speed, and of whom.
    fn ratio(&self) -> Option<(f64, Peer)> {
        self.reference().map(|best| (self.lenslet / best.rate, best.peer))
    }

    /// A rate as one reads it: images per second, or the time of one.
    fn rate(&self, rate: f64) -> String {
        match (self.work.kind, 1.0 / rate) {
            (Kind::Latency, time) if time < 1e-3 => format!("{:.1} µs", time * 1e6),
            (Kind::Latency, time) => format!("{:.2} ms", time * 1e3),
            _ if rate < 100.0 => format!("{rate:.1}"),
            _ => grouped(rate),
        }
    }

    /// The line that is printed when it is measured.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("  Lenslet {} ({:.1} % of peak)", self.rate(self.lenslet), self.share(self.peak));
        for best in &self.peers {
            write!(line, ", {} {} ({})", best.peer.name(), self.rate(best.rate), best.variant).expect("memory");
        }
        if let Some((times, peer)) = self.ratio() {
            write!(line, ": {times:.2} × {}", peer.name()).expect("memory");
        }
        if let Some((times, peer)) = self.goal() {
            write!(line, "; the goal is {times} × {}", peer.name()).expect("memory");
        }
        line
    }

    fn markdown(&self, peak: f64) -> String {
        let of = |(times, peer): (f64, Peer), digits: usize| format!("{times:.digits$} × {}", peer.name());
        let mut cells = vec![self.work.title(), self.threads.to_string(), self.rate(self.lenslet)];
        cells.push(format!("{:.1} %", self.share(peak)));
        for peer in Peer::ALL {
            let best = self.peers.iter().find(|best| best.peer == peer);
            let cell = best.map(|best| format!("{} ({})", self.rate(best.rate), best.variant));
            cells.push(cell.unwrap_or_else(|| "–".into()));
        }
        cells.push(self.ratio().map_or("–".into(), |ratio| of(ratio, 2)));
        cells.push(self.goal().map_or("–".into(), |goal| of(goal, 1)));
        format!("| {} |\n", cells.join(" | "))
    }
}

/// All that a run has found out.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) command: String,
    /// Names and versions of the peers.
    pub(crate) versions: Vec<String>,
    pub(crate) remarks: Vec<String>,
    pub(crate) rows: Vec<Row>,
    pub(crate) peaks: Vec<Peak>,
    pub(crate) plannings: Vec<Planning>,
}

const HEAD: &str = "\
# Benchmarks

Written by `cargo run --release -p lenslet-bench -- all --write docs/benchmarks.md`, which installs the peers, lets Lenslet
and each of them run in turn on the same machine, and compares the medians over the rounds. Every peer is shown in the best
of its variants (`bench/src/race.rs` says how it is found). Training and inference in images per second, latency as the time
of one image; fp32 throughout, on random images in memory.

W1 is the lesson's network, W2 that of airbench94, W3 ResNet-18 for 32x32 images. The share of peak counts the multiply-adds
of the products as they are defined, against multiply-adds in registers, measured in the same run; Winograd's convolutions
need fewer, so it may pass 100 %. Goals are for two threads.
";

impl Report {
    /// The page.
    pub(crate) fn markdown(&self) -> String {
        let mut page = HEAD.to_owned();
        if self.rows.is_empty() && self.peaks.is_empty() && self.plannings.is_empty() {
            return page;
        }
        page += &format!("\n{}.\nThe command: `{}`.\n", self.machine(), self.command);
        if !self.rows.is_empty() {
            page += "\n## Speed\n\n";
            let peers = Peer::ALL.map(Peer::name).join(" | ");
            page += &format!("| work | threads | Lenslet | share of peak | {peers} | ratio | goal |\n");
            page += &format!("| --- |{}\n", " --: |".repeat(5 + Peer::ALL.len()));
            self.rows.iter().for_each(|row| page += &row.markdown(self.peak(row.threads)));
        }
        page += &self.scaling();
        page += &self.memory();
        page += &self.planning();
        if !self.remarks.is_empty() {
            page += "\n## Remarks\n\n";
            self.remarks.iter().for_each(|remark| page += &format!("- {remark}\n"));
        }
        page
    }

    /// What was measured, when and on what.
    fn machine(&self) -> String {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut text = format!("{} on {}, {processors} processors, ", jiff::Zoned::now().date(), processor());
        write!(text, "Lenslet {} ({})", env!("CARGO_PKG_VERSION"), Isa::detect().name()).expect("memory");
        self.versions.iter().for_each(|version| text += &format!(", {version}"));
        let mut threads: Vec<usize> = self.rows.iter().map(|row| row.threads).collect();
        threads.sort_unstable();
        threads.dedup();
        for threads in threads {
            let gigaflops = self.peak(threads) / 1e9;
            write!(text, "; peak on {threads} {} {gigaflops:.0} GFLOP/s", plural(threads, "thread")).expect("memory");
        }
        text
    }

    /// The machine's peak on so many threads: the highest that was seen, since all that disturbs makes it lower.
    fn peak(&self, threads: usize) -> f64 {
        self.rows.iter().filter(|row| row.threads == threads).map(|row| row.peak).fold(0.0, f64::max)
    }

    /// Lenslet's speed on two threads, in multiples of that on one.
    fn scaling(&self) -> String {
        let mut lines = String::new();
        for two in self.rows.iter().filter(|row| row.threads == 2) {
            let title = two.work.title();
            let one = self.rows.iter().find(|row| row.threads == 1 && row.work.title() == title);
            if let Some(one) = one {
                let times = two.lenslet / one.lenslet;
                let (one, two) = (one.rate(one.lenslet), two.rate(two.lenslet));
                lines += &format!("| {title} | {one} | {two} | {times:.2} |\n");
            }
        }
        section(
            "Lenslet on one thread and on two",
            "| work | 1 thread | 2 threads | times |\n| --- | --: | --: | --: |",
            &lines,
        )
    }

    fn memory(&self) -> String {
        let mebibytes = |kibibytes: u64| format!("{:.0} MiB", kibibytes as f64 / 1024.0);
        let mut lines = String::new();
        for Peak { who, baseline, peak } in &self.peaks {
            lines += &format!("| {who} | {} | {} |\n", mebibytes(*baseline), mebibytes(*peak));
        }
        let heading = "| W2, batch 256, 2 threads, a process of its own (VmHWM) | before | peak of training |\n| --- | --: | --: |";
        section("Memory of a training step", heading, &lines)
    }

    fn planning(&self) -> String {
        let mut lines = String::new();
        for Planning { title, recording, planning, goal } in &self.plannings {
            let [recording, planning, sum] = [*recording, *planning, recording + planning].map(|time| time * 1e3);
            let goal = goal.map_or("–".into(), |goal| format!("{:.0} ms", goal * 1e3));
            lines += &format!("| {title} | {recording:.2} ms | {planning:.2} ms | {sum:.2} ms | {goal} |\n");
        }
        let heading = "| training, batch 64 | recording, differentiation | plan | in all | goal |\n| --- | --: | --: | --: | --: |";
        section("Planning", heading, &lines)
    }
}

fn section(title: &str, heading: &str, lines: &str) -> String {
    if lines.is_empty() { String::new() } else { format!("\n## {title}\n\n{heading}\n{lines}") }
}

/// The processor's name.
fn processor() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing()));
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let name = cpus.first().map(Cpu::brand).filter(|name| !name.is_empty());
    name.unwrap_or(std::env::consts::ARCH).to_owned()
}

/// Thousands set apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::works::WORKS;

    fn row(number: usize, lenslet: f64, peers: &[(Peer, &str, f64)]) -> Row {
        let best = |&(peer, variant, rate): &(Peer, &str, f64)| Best { peer, variant: variant.into(), rate };
        Row { work: WORKS[number], threads: 2, lenslet, peak: 2e11, peers: peers.iter().map(best).collect() }
    }

    #[test]
    fn rows_compare_with_the_peer_of_the_goal() {
        let peers = [(Peer::Pytorch, "eager + tcmalloc", 10_000.0), (Peer::Candle, "cpu", 740.0)];
        assert_eq!(
            row(1, 43_210.0, &peers).markdown(2e11),
            "| W1 training, batch 64 | 2 | 43,210 | 69.2 % | 10,000 (eager + tcmalloc) | – | – | 740 (cpu) | 4.32 × PyTorch | 4.3 \
             × PyTorch |\n"
        );
        let latency = row(4, 40_000.0, &[(Peer::Pytorch, "eager", 4_000.0), (Peer::Onnxruntime, "spinning", 20_000.0)]);
        assert_eq!(
            latency.line(),
            "  Lenslet 25.0 µs (26.1 % of peak), PyTorch 250.0 µs (eager), ONNX Runtime 50.0 µs (spinning): 2.00 × ONNX \
             Runtime; the goal is 2 × ONNX Runtime"
        );
        // Without the peer of the goal, the fastest there is.
        assert_eq!(row(4, 2.0, &peers[..1]).ratio().map(|(_, peer)| peer), Some(Peer::Pytorch));
    }

    #[test]
    fn the_committed_page_begins_as_the_command_writes_it() {
        let page = include_str!("../../docs/benchmarks.md");
        assert!(page.starts_with(&Report::default().markdown()));
    }
}
