//! Threads: the only file that starts any.
//!
//! A [`Pool`] keeps its threads between calls, since a training step has dozens of short pieces of work. [`Pool::run`]
//! hands out the units of one piece and returns when all are done. Each thread begins with a share of its own, the same for
//! the same number of units, so that it finds in its cache what it has left there. When that is done, it waits a moment for
//! the others: what another core is about to finish would be slower here. Then it helps. So which thread does which unit is
//! left to chance, and nothing may depend on it: a unit writes only what is its own, and sums over units are formed
//! afterwards, in the units' order.

use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;

/// A piece of work: called with the unit's number and the thread's. It lives as long as `'a`.
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// Rounds that a waiting thread spins before it sleeps: some 50 µs, longer than the pauses within a training step.
const SPINS: usize = 20_000;

/// Rounds before a thread that has done its share helps the others: two microseconds, what it takes a core to get the cache
/// lines that a small unit works on.
const PATIENCE: usize = 128;

/// Threads that wait for work.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// The number of the piece of work, whose change is the signal to begin, and how many threads are at it ([`State`]).
    state: AtomicU64,
    work: UnsafeCell<Option<Job>>,
    /// For each thread, the next unit of its share.
    next: Vec<Next>,
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

/// The number of a piece of work, and the threads that are not done with it. While there is one, the piece is not over.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    piece: u32,
    busy: u32,
}

impl State {
    const fn pack(self) -> u64 {
        (self.piece as u64) << 32 | self.busy as u64
    }

    const fn unpack(packed: u64) -> Self {
        Self { piece: (packed >> 32) as u32, busy: packed as u32 }
    }
}

#[derive(Clone, Copy)]
struct Job {
    work: *const Work<'static>,
    units: usize,
    threads: usize,
}

impl Job {
    /// The share that a thread begins with.
    fn share(&self, thread: usize) -> Range<usize> {
        self.units * thread / self.threads..self.units * (thread + 1) / self.threads
    }
}

// SAFETY: `work` is written by `Pool::run` while no thread is busy, and read by threads between the change of the piece's
// number and their leaving it; both are synchronising operations. The pointer in it is to a `Sync` closure.
unsafe impl Sync for Shared {}
// SAFETY: as above; nothing in it belongs to a thread.
unsafe impl Send for Shared {}

impl Pool {
    /// A pool of `threads`, the calling thread included; at least one.
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            work: UnsafeCell::new(None),
            next: (0..threads.max(1)).map(|_| Next::default()).collect(),
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
        // SAFETY: only the type's lifetime changes. The pointer is used while a thread is busy, and this function does not
        // return before none is; `&mut self` keeps a second piece of work away.
        let work: *const Work<'static> = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        let job = Job { work, units, threads: self.threads() };
        // SAFETY: no thread is busy here, so nobody reads `work`.
        unsafe { *shared.work.get() = Some(job) };
        for (thread, next) in shared.next.iter().enumerate().take(job.threads) {
            next.0.store(job.share(thread).start, Ordering::Relaxed);
        }
        let piece = State::unpack(shared.state.load(Ordering::Relaxed)).piece.wrapping_add(1);
        let state = State { piece, busy: job.threads as u32 };
        shared.state.store(state.pack(), Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            drop(shared.lock.lock());
            shared.wake.notify_all();
        }
        shared.take_part(job, 0);
        shared.await_others(job, piece);
        if shared.panicked.swap(false, Ordering::Relaxed) {
            panic!("a step of the network panicked; see the message above");
        }
    }
}

/// Ranges that lie apart, in the order in which threads share them.
pub struct Apart {
    ranges: Vec<Range<usize>>,
    /// Where the last of them ends.
    end: usize,
}

impl Apart {
    /// # Panics
    /// If ranges overlap.
    pub fn new(ranges: Vec<Range<usize>>) -> Self {
        let mut sorted: Vec<_> = ranges.iter().map(|range| [range.start, range.end]).collect();
        sorted.sort_unstable();
        let apart = sorted.windows(2).all(|pair| pair[0][1] <= pair[1][0]);
        assert!(apart && sorted.iter().all(|[start, end]| start <= end), "parts lie apart");
        let end = sorted.last().map_or(0, |&[_, end]| end);
        Self { ranges, end }
    }
}

impl Deref for Apart {
    type Target = [Range<usize>];

    fn deref(&self) -> &Self::Target {
        &self.ranges
    }
}

impl Pool {
    /// Calls `work(unit, parts)` once for every unit, on all threads: of each block, the unit has the part that its range names.
    /// A block may be empty, and so are its parts then.
    ///
    /// # Panics
    /// If the ranges end behind a block; if `work` panics.
    pub fn run_apart<const N: usize>(
        &mut self,
        blocks: [&mut [f32]; N],
        ranges: &Apart,
        work: &(dyn Fn(usize, [&mut [f32]; N]) + Sync),
    ) {
        assert!(
            blocks.iter().all(|block| block.is_empty() || ranges.end <= block.len()),
            "parts lie within their blocks"
        );
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
        self.shared.state.fetch_add(State { piece: 1, busy: 0 }.pack(), Ordering::SeqCst);
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
        let (mut piece, mut last) = (0, None);
        loop {
            piece = match (self.spin(piece, PATIENCE), last) {
                (Some(next), _) => next,
                (None, Some(job)) if self.join(piece) => {
                    self.help(job, thread);
                    self.leave();
                    self.wait(piece)
                }
                _ => self.wait(piece),
            };
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            // SAFETY: the piece has begun and this thread is counted as busy, so the runner leaves `work` alone.
            last = unsafe { *self.work.get() };
            if let Some(job) = last {
                self.take_part(job, thread);
            }
            self.leave();
        }
    }

    /// The runner's wait for the others; it helps, too.
    fn await_others(&self, job: Job, piece: u32) {
        let over = State { piece, busy: 0 }.pack();
        self.leave();
        let mut spins = 0;
        while self.state.load(Ordering::Acquire) != over {
            if spins == PATIENCE && self.join(piece) {
                self.help(job, 0);
                self.leave();
            }
            pause(&mut spins);
        }
    }

    /// Comes back to a piece of work if it is not over.
    fn join(&self, piece: u32) -> bool {
        let come = |packed| {
            let State { piece: now, busy } = State::unpack(packed);
            (now == piece && busy > 0).then(|| State { piece, busy: busy + 1 }.pack())
        };
        self.state.fetch_update(Ordering::Acquire, Ordering::Relaxed, come).is_ok()
    }

    fn leave(&self) {
        self.state.fetch_sub(State { piece: 0, busy: 1 }.pack(), Ordering::Release);
    }

    /// Takes the units of the thread's share.
    fn take_part(&self, job: Job, thread: usize) {
        self.catch(|| self.take(job, thread, thread));
    }

    /// Takes the units that are left of other threads' shares.
    fn help(&self, job: Job, thread: usize) {
        self.catch(|| (thread + 1..job.threads).chain(0..thread).for_each(|whose| self.take(job, whose, thread)));
    }

    /// Takes units of a share until none is left.
    fn take(&self, job: Job, whose: usize, thread: usize) {
        // SAFETY: the runner keeps the closure alive while this thread is busy.
        let work = unsafe { &*job.work };
        let end = job.share(whose).end;
        loop {
            let unit = self.next[whose].0.fetch_add(1, Ordering::Relaxed);
            if unit >= end {
                break;
            }
            work(unit, thread);
        }
    }

    fn catch(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.panicked.store(true, Ordering::Relaxed);
        }
    }

    /// The number of the next piece behind `piece`, if it begins within so many rounds.
    fn spin(&self, piece: u32, rounds: usize) -> Option<u32> {
        for _ in 0..rounds {
            let now = State::unpack(self.state.load(Ordering::Acquire)).piece;
            if now != piece {
                return Some(now);
            }
            std::hint::spin_loop();
        }
        None
    }

    /// The number of the next piece behind `piece`.
    fn wait(&self, piece: u32) -> u32 {
        if let Some(next) = self.spin(piece, SPINS) {
            return next;
        }
        // A runner that reads `sleepers` as 0 has begun a piece before this thread looks again.
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = || State::unpack(self.state.load(Ordering::SeqCst)).piece;
        while now() == piece {
            guard = self.wake.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        drop(guard);
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        now()
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

    /// Pieces follow each other at once; some units take so long that who is done comes to help.
    #[test]
    fn every_unit_runs_once_whoever_helps() {
        let mut pool = Pool::new(3);
        for piece in 0..2000 {
            let counts: [AtomicUsize; 9] = Default::default();
            let units = piece % 10;
            pool.run(units, &|unit, _| {
                let rounds = if unit == piece % 4 { 8 * PATIENCE } else { 1 };
                (0..rounds).for_each(|_| std::hint::spin_loop());
                counts[unit].fetch_add(1, Ordering::Relaxed);
            });
            let expected = |unit| usize::from(unit < units);
            assert!(counts.iter().enumerate().all(|(unit, count)| count.load(Ordering::Relaxed) == expected(unit)));
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
            let ranges = Apart::new(vec![0..3, 4..9, 3..3]);
            pool.run_apart([&mut a, &mut [], &mut b], &ranges, &|unit, [a, none, b]| {
                assert_eq!((a.len(), none.len()), (ranges[unit].len(), 0));
                a.fill(unit as f32 * 10.0);
                b.iter_mut().for_each(|b| *b += unit as f32);
            });
            assert_eq!(a, [0.0, 0.0, 0.0, 1.0, 10.0, 10.0, 10.0, 10.0, 10.0, 1.0]);
            assert_eq!(b, [2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 3.0, 2.0]);
        }
    }

    #[test]
    fn parts_that_overlap_or_lie_outside_are_refused() {
        let mut pool = Pool::new(1);
        for ranges in [vec![0..3, 2..4], vec![2..4, 0..3], vec![0..1, 1..11], vec![0..1, Range { start: 3, end: 2 }]] {
            let mut numbers = [0.0; 10];
            let run = AssertUnwindSafe(|| pool.run_apart([&mut numbers], &Apart::new(ranges.clone()), &|_, _| ()));
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
