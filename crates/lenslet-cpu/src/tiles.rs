//! Threads: the only file that starts any.
//!
//! A [`Pool`] keeps its threads between calls, since a training step has dozens of short pieces of work. [`Pool::run`]
//! hands out the units of one piece and returns when all are done. Each thread begins with a share of its own, the same for
//! the same number of units, so that it finds in its cache what it has left there; when that is done it helps the others. So
//! which thread does which unit is left to chance, and nothing may depend on it: a unit writes only what is its own, and
//! sums over units are formed afterwards, in the units' order.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// A piece of work: called with the unit's number and the thread's. It lives as long as `'a`.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Rounds that a waiting thread spins before it sleeps: some 50 µs, longer than the pauses within a training step.
const SPINS: usize = 20_000;

/// Threads that wait for work.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Counts the pieces of work; a change is the signal to begin.
    piece: AtomicUsize,
    work: UnsafeCell<Option<Job>>,
    /// For each thread, the next unit of its share.
    next: Vec<Next>,
    /// Threads that have not finished the current piece.
    busy: AtomicUsize,
    panicked: AtomicBool,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

/// A counter with a cache line to itself.
#[derive(Default)]
#[repr(align(64))]
struct Next(AtomicUsize);

#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    units: usize,
}

impl Job {
    /// The share that a thread begins with.
    fn share(&self, thread: usize, threads: usize) -> Range<usize> {
        self.units * thread / threads..self.units * (thread + 1) / threads
    }
}

// SAFETY: `work` is written by `Pool::run` while no thread is busy, and read by threads between the change of `piece`
// and their decrement of `busy`; both are synchronising operations. The pointer in it is to a `Sync` closure.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads`, the calling thread included; at least one.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            piece: AtomicUsize::new(0),
            work: UnsafeCell::new(None),
            next: (0..threads.max(1)).map(|_| Next::default()).collect(),
            busy: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let start = |thread: usize| {
            let shared = shared.clone();
            let builder = std::thread::Builder::new().name(format!("lenslet-{thread}"));
            builder.spawn(move || shared.serve(thread)).ok()
        };
        // Where the system gives fewer threads, the rest do the work.
        let threads = (1..threads.max(1)).map_while(start).collect();
        Self { shared, threads }
    }

    /// A pool as wide as the machine.
    pub fn of_machine() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// Number of threads, the calling one included.
    pub fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    /// Calls `work(unit, thread)` once for every unit below `units`, on all threads.
    ///
    /// # Panics
    /// If `work` panics on any thread; all threads have left it by then.
    pub fn run(&mut self, units: usize, work: &Work<'_>) {
        if units <= 1 || self.threads.is_empty() {
            (0..units).for_each(|unit| work(unit, 0));
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the type's lifetime changes. The pointer is used until `busy` is 0, and this function does not
        // return before; `&mut self` keeps a second piece of work away.
        let work: *const Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        let job = Job { work, units };
        // SAFETY: no thread is busy here, so nobody reads `work`.
        unsafe { *shared.work.get() = Some(job) };
        for (thread, next) in shared.next.iter().enumerate() {
            next.0.store(job.share(thread, shared.next.len()).start, Ordering::Relaxed);
        }
        shared.busy.store(self.threads.len(), Ordering::Relaxed);
        shared.piece.fetch_add(1, Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(shared.lock.lock());
            shared.wake.notify_all();
        }
        shared.take_part(job, 0);
        let mut spins = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            pause(&mut spins);
        }
        if shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a step of the network panicked; see the message above");
        }
    }
}

impl Pool {
    /// Calls `work(unit, parts)` once for every unit, on all threads: of each block, the unit has the part that its range names.
    /// A block may be empty, and so are its parts then.
    ///
    /// # Panics
    /// If the ranges overlap, are not in order, or end behind a block; if `work` panics.
    pub fn run_apart<const N: usize>(
        &mut self,
        blocks: [&mut [f32]; N],
        ranges: &[Range<usize>],
        work: &(dyn Fn(usize, [&mut [f32]; N]) + Sync),
    ) {
        let apart = ranges.windows(2).all(|pair| pair[0].end <= pair[1].start);
        assert!(apart && ranges.iter().all(|range| range.start <= range.end), "parts lie apart, in order");
        let end = ranges.last().map_or(0, |range| range.end);
        assert!(blocks.iter().all(|block| block.is_empty() || end <= block.len()), "parts lie within their blocks");
        let blocks = blocks.map(Block::new);
        self.run(ranges.len(), &|unit, _| {
            let range = &ranges[unit];
            // SAFETY: the ranges lie within the blocks and apart from each other, and a unit runs once.
            work(unit, std::array::from_fn(|i| unsafe { blocks[i].part(range) }));
        });
    }
}

/// A block of numbers whose parts several threads change.
struct Block<'a> {
    first: *mut f32,
    empty: bool,
    numbers: PhantomData<&'a mut [f32]>,
}

// SAFETY: what threads may do with it is said at `part`.
unsafe impl Sync for Block<'_> {}

impl<'a> Block<'a> {
    fn new(numbers: &'a mut [f32]) -> Self {
        Self { first: numbers.as_mut_ptr(), empty: numbers.is_empty(), numbers: PhantomData }
    }

    /// The numbers of `range`, or none of an empty block.
    ///
    /// # Safety
    /// The range must lie within the block if that is not empty, and no other slice of it may be alive.
    unsafe fn part(&self, range: &Range<usize>) -> &'a mut [f32] {
        if self.empty {
            return &mut [];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.piece.fetch_add(1, Ordering::SeqCst);
        drop(self.shared.lock.lock());
        self.shared.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A thread catches the panics of its work, so it ends well.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// A thread's life: wait for a piece of work, take part, say so.
    fn serve(&self, thread: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: `piece` has changed and `busy` counts this thread, so the runner leaves `work` alone.
            let job = unsafe { *self.work.get() };
            if let Some(job) = job {
                self.take_part(job, thread);
            }
            self.busy.fetch_sub(1, Ordering::Release);
        }
    }

    /// Takes units until none is left: those of its own share, then those of the threads behind it, and round.
    fn take_part(&self, job: Job, thread: usize) {
        // SAFETY: the runner keeps the closure alive until `busy` is 0.
        let work = unsafe { &*job.work };
        let threads = self.next.len();
        let all = catch_unwind(AssertUnwindSafe(|| {
            for whose in (thread..threads).chain(0..thread) {
                let end = job.share(whose, threads).end;
                loop {
                    let unit = self.next[whose].0.fetch_add(1, Ordering::Relaxed);
                    if unit >= end {
                        break;
                    }
                    work(unit, thread);
                }
            }
        }));
        if all.is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    /// Returns the number of the next piece after `seen`.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let piece = self.piece.load(Ordering::Acquire);
            if piece != seen {
                return piece;
            }
            std::hint::spin_loop();
        }
        // A runner that reads `sleepers` as 0 has changed `piece` before this thread looks again.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while self.piece.load(Ordering::SeqCst) == seen {
            guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(guard);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        self.piece.load(Ordering::Acquire)
    }
}

/// Spins, and after a while lets others run: with more threads than processors the awaited one may need this one's.
fn pause(spins: &mut usize) {
    *spins += 1;
    if *spins < SPINS { std::hint::spin_loop() } else { std::thread::yield_now() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_runs_once() {
        for threads in [1, 2, 5] {
            let mut pool = Pool::new(threads);
            for units in [0, 1, 2, 7, 100] {
                let counts: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
                pool.run(units, &|unit, thread| {
                    assert!(thread < threads);
                    counts[unit].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1), "{units} units");
            }
        }
    }

    #[test]
    fn sleeping_threads_wake_up() {
        let mut pool = Pool::new(3);
        std::thread::sleep(std::time::Duration::from_millis(50));
        let done = AtomicUsize::new(0);
        pool.run(10, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 10);
    }

    #[test]
    fn parts_are_changed_apart() {
        for threads in [1, 3] {
            let mut pool = Pool::new(threads);
            let (mut a, mut b) = ([1.0; 10], [2.0; 10]);
            let ranges = [0..3, 3..3, 4..9];
            pool.run_apart([&mut a, &mut [], &mut b], &ranges, &|unit, [a, none, b]| {
                assert_eq!((a.len(), none.len()), (ranges[unit].len(), 0));
                a.fill(unit as f32 * 10.0);
                b.iter_mut().for_each(|b| *b += unit as f32);
            });
            assert_eq!(a, [0.0, 0.0, 0.0, 1.0, 20.0, 20.0, 20.0, 20.0, 20.0, 1.0]);
            assert_eq!(b, [2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 2.0]);
        }
    }

    #[test]
    fn parts_that_overlap_or_lie_outside_are_refused() {
        let mut pool = Pool::new(1);
        for ranges in [vec![0..3, 2..4], vec![2..4, 0..1], vec![0..1, 1..11], vec![0..1, Range { start: 3, end: 2 }]] {
            let mut numbers = [0.0; 10];
            let run = AssertUnwindSafe(|| pool.run_apart([&mut numbers], &ranges, &|_, _| ()));
            assert!(catch_unwind(run).is_err(), "{ranges:?}");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let mut pool = Pool::new(2);
        let result = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|unit, _| assert_ne!(unit, 5))));
        assert!(result.is_err());
        let done = AtomicUsize::new(0);
        pool.run(4, &|_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.load(Ordering::Relaxed), 4);
    }
}
