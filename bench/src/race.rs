//! One row of the benchmark: Lenslet and the peers take turns.
//!
//! First every variant of every peer runs once, briefly; the best of each peer then run alternately with Lenslet, and the
//! medians over the rounds are compared. Clock rates and neighbours change within minutes, so only what ran side by side
//! is compared. What cannot be run is a remark, not an end.

use lenslet::cpu::{self, Pool};

use crate::lenslet_side::Lenslet;
use crate::peer::{self, Peer, Start, Worker};
use crate::table::Row;
use crate::works::{Kind, Work};

/// How long is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds; in each, every side runs once.
    pub(crate) rounds: usize,
    /// Seconds of one run.
    pub(crate) seconds: f64,
    /// Whether to try torch.compile.
    pub(crate) compile: bool,
}

/// The peers that are there, with their workers: started when first needed, and kept.
pub(crate) struct Race {
    effort: Effort,
    peers: Vec<Peer>,
    workers: Vec<(Start, Result<Worker, String>)>,
    /// What could not be done, each once.
    pub(crate) remarks: Vec<String>,
}

/// The peer's rate in a row, in its best variant.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    pub(crate) peer: Peer,
    pub(crate) variant: String,
    pub(crate) rate: f64,
}

/// A variant of a peer.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    start: Start,
    name: String,
}

impl Variant {
    /// Its name with what is special about its worker, for a row on so many threads.
    fn label(&self, threads: usize) -> String {
        let allocator = if self.start.tcmalloc { " + tcmalloc" } else { "" };
        let alone = if self.start.threads != threads { ", one thread" } else { "" };
        format!("{}{allocator}{alone}", self.name)
    }

    /// Whether both are the same but for the number of threads.
    fn is_like(&self, other: &Variant) -> bool {
        let alike = Start { threads: other.start.threads, ..self.start };
        alike == other.start && self.name == other.name
    }
}

impl Race {
    /// Installs the peers; those that cannot be are left out.
    pub(crate) fn new(effort: Effort, peers: &[Peer]) -> Self {
        let mut race = Self { effort, peers: vec![], workers: vec![], remarks: vec![] };
        for &peer in peers {
            println!("preparing {} (the first time takes some minutes)", peer.name());
            match peer::install(peer) {
                Ok(()) => race.peers.push(peer),
                Err(error) => race.remark(format!("{} left out: {error}", peer.name())),
            }
        }
        if race.peers.contains(&Peer::Pytorch) && peer::tcmalloc().is_none() {
            race.remark(
                "PyTorch without tcmalloc: it is neither installed nor to be had from Debian's packages".into(),
            );
        }
        race
    }

    /// Names and versions of the peers that took part.
    pub(crate) fn versions(&self) -> Vec<String> {
        let mut names = vec![];
        for worker in self.workers.iter().filter_map(|(_, worker)| worker.as_ref().ok()) {
            if !names.contains(&worker.name) {
                names.push(worker.name.clone());
            }
        }
        names
    }

    /// Measures a row. `before` are the finalists of the same work on another number of threads, if it was measured: then
    /// no others are tried, and the slow peers not at all.
    pub(crate) fn row(
        &mut self,
        work: Work,
        threads: usize,
        before: &[Variant],
    ) -> Result<(Row, Vec<Variant>), String> {
        // Threads that have just begun may share a core for a moment.
        let peak = (0..10).map(|_| cpu::peak(&mut Pool::new(threads))).fold(0.0, f64::max);
        let finalists = self.finalists(&work, threads, before);
        let mut lenslet = Lenslet::new(&work, threads)?;
        let mut ours = vec![];
        let mut theirs = vec![vec![]; finalists.len()];
        for round in 0..self.effort.rounds {
            ours.push(lenslet.run(self.effort.seconds)?);
            for (variant, rates) in finalists.iter().zip(&mut theirs) {
                if !variant.start.peer.is_slow() || round < 3 {
                    rates.extend(self.run(variant, &work, self.effort.seconds));
                }
            }
        }
        let mut peers: Vec<Best> = vec![];
        for (variant, rates) in finalists.iter().zip(theirs).filter(|(_, rates)| !rates.is_empty()) {
            let best = Best { peer: variant.start.peer, variant: variant.label(threads), rate: median(rates) };
            match peers.iter_mut().find(|other| other.peer == best.peer) {
                Some(other) if other.rate < best.rate => *other = best,
                Some(_) => {}
                None => peers.push(best),
            }
        }
        Ok((Row { work, threads, lenslet: median(ours), peak, peers }, finalists))
    }

    /// The best variants of each peer, by one short run of each: two of PyTorch, which has many, and one of the others.
    fn finalists(&mut self, work: &Work, threads: usize, before: &[Variant]) -> Vec<Variant> {
        let mut finalists = vec![];
        for peer in self.peers.clone() {
            let mut tried = vec![];
            for variant in self.variants(peer, work, threads, before) {
                if let Some(rate) = self.run(&variant, work, self.effort.seconds / 2.0) {
                    println!("  {} {}: {rate:.1} images/s", peer.name(), variant.label(threads));
                    tried.push((rate, variant));
                }
            }
            tried.sort_by(|a, b| b.0.total_cmp(&a.0));
            tried.truncate(if peer == Peer::Pytorch { 2 } else { 1 });
            finalists.extend(tried.into_iter().map(|(_, variant)| variant));
        }
        finalists
    }

    /// All variants of a peer that are to be tried for a row.
    fn variants(&mut self, peer: Peer, work: &Work, threads: usize, before: &[Variant]) -> Vec<Variant> {
        let allocators =
            if peer == Peer::Pytorch && peer::tcmalloc().is_some() { &[false, true][..] } else { &[false] };
        // A single image may be answered faster without the other threads.
        let alone = (work.kind == Kind::Latency && threads > 1).then_some(1);
        let mut all = vec![];
        for &tcmalloc in allocators {
            for threads in [threads].into_iter().chain(alone) {
                let start = Start { peer, threads, tcmalloc, compile: self.effort.compile && peer == Peer::Pytorch };
                let names = self.worker(start).and_then(|worker| worker.variants(work).ok()).unwrap_or_default();
                all.extend(names.into_iter().map(|name| Variant { start, name }));
            }
        }
        if !before.is_empty() {
            all.retain(|variant| !peer.is_slow() && before.iter().any(|other| other.is_like(variant)));
        }
        all
    }

    fn run(&mut self, variant: &Variant, work: &Work, seconds: f64) -> Option<f64> {
        match self.worker(variant.start)?.run(work, &variant.name, seconds) {
            Ok(rate) => Some(rate),
            Err(error) => {
                let (peer, label) = (variant.start.peer.name(), variant.label(variant.start.threads));
                self.remark(format!("{peer} {label} failed at {}: {error}", work.title()));
                None
            }
        }
    }

    fn worker(&mut self, start: Start) -> Option<&mut Worker> {
        let place = match self.workers.iter().position(|(other, _)| *other == start) {
            Some(place) => place,
            None => {
                let worker = Worker::start(start);
                if let Err(error) = &worker {
                    self.remark(format!("{} left out: {error}", start.peer.name()));
                }
                self.workers.push((start, worker));
                self.workers.len() - 1
            }
        };
        self.workers[place].1.as_mut().ok()
    }

    fn remark(&mut self, remark: String) {
        if !self.remarks.contains(&remark) {
            println!("  {remark}");
            self.remarks.push(remark);
        }
    }
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
