//! The memory that a plan runs in, and slices of it.
//!
//! Threads work side by side in the same blocks: on tiles and slots of their own, and on different whole values. Rust's
//! borrows cannot express that, so [`Views`] hands out slices by a plan's word. What makes that sound is stated at
//! [`Views::output`] and proved for each plan by `lenslet_graph::plan::check`.

use std::ops::{Deref, DerefMut};

use lenslet_graph::graph::GAP;
use lenslet_graph::plan::{Operand, Place, Plan};

use crate::kernels::{AllTiles, AllTilesMut, Input, Slots};

/// A zeroed block of numbers that begins at a cache line.
///
/// The system hands out zeroed memory page by page, when it is first written to; zeros of our own would cost a large plan most
/// of its planning. That way of asking knows no alignment of a cache line, so the block begins a little behind.
#[derive(Debug)]
pub struct Buffer {
    numbers: Vec<f32>,
    first: usize,
    len: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

impl Buffer {
    /// So many zeros, and more to the end of their last cache line.
    pub fn new(len: usize) -> Self {
        let line = LINE / size_of::<f32>();
        let len = len.next_multiple_of(line);
        let numbers = vec![0.0; len + line];
        // The vector never grows, so its numbers stay where they are.
        let first = numbers.as_ptr().align_offset(LINE);
        Self { numbers, first, len }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.numbers[self.first..][..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.numbers[self.first..][..self.len]
    }
}

/// A copy begins at a cache line of its own.
impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

/// Numbers of a plan's blocks on so many threads: whole values, those of tiles, of threads, of slots, and `work_len` for
/// each thread.
pub(crate) fn lens(plan: &Plan, threads: usize, work_len: usize) -> [usize; 5] {
    let [kept, scratch, slot, work] = steps(plan, work_len);
    [plan.whole_len, plan.tiles() * kept, threads * scratch, plan.slots * slot, threads * work]
}

/// From one tile's, thread's and slot's block to the next, and from one thread's block to work in: cores write to neighbours at
/// the same time, so these stand apart.
fn steps(plan: &Plan, work_len: usize) -> [usize; 4] {
    let lanes = plan.options.lanes;
    let lens = [plan.kept_len * lanes, plan.scratch_len * lanes, plan.slot_len, work_len];
    lens.map(|len| if len == 0 { 0 } else { len + GAP })
}

/// All blocks of a plan.
pub(crate) struct Memory {
    pub(crate) whole: Buffer,
    /// A block per tile.
    kept: Buffer,
    /// A block per thread.
    scratch: Buffer,
    /// A block per slot.
    slots: Buffer,
    /// A block per thread, in which one kernel works and leaves nothing.
    work: Buffer,
    lanes: usize,
    tiles: usize,
    /// From one block to the next of its kind.
    kept_step: usize,
    scratch_step: usize,
    slot_step: usize,
    work_step: usize,
    /// Where each parameter begins.
    parameters: Vec<usize>,
}

impl Memory {
    pub(crate) fn new(plan: &Plan, threads: usize, work_len: usize) -> Self {
        let lanes = plan.options.lanes;
        let [whole, kept, scratch, slots, work] = lens(plan, threads, work_len).map(Buffer::new);
        let [kept_step, scratch_step, slot_step, work_step] = steps(plan, work_len);
        Self {
            whole,
            kept,
            scratch,
            slots,
            work,
            lanes,
            tiles: plan.tiles(),
            kept_step,
            scratch_step,
            slot_step,
            work_step,
            parameters: lenslet_graph::graph::offsets(&plan.parameters),
        }
    }

    /// What a tile keeps.
    pub(crate) fn kept_of(&self, tile: usize) -> &[f32] {
        &self.kept[tile * self.kept_step..][..self.kept_step]
    }

    /// Views for one run, with the parameters' values.
    pub(crate) fn views<'a>(&'a mut self, parameters: &'a [f32]) -> Views<'a> {
        assert_eq!(Some(&parameters.len()), self.parameters.last(), "one value for each parameter's number");
        Views {
            whole: self.whole.as_mut_ptr(),
            kept: self.kept.as_mut_ptr(),
            scratch: self.scratch.as_mut_ptr(),
            slots: self.slots.as_mut_ptr(),
            work: self.work.as_mut_ptr(),
            parameters,
            offsets: &self.parameters,
            lanes: self.lanes,
            kept_step: self.kept_step,
            scratch_step: self.scratch_step,
            slot_step: self.slot_step,
            work_step: self.work_step,
            slots_len: self.slots.len(),
            tiles: self.tiles,
        }
    }
}

/// Where a step works: which tile, of which slot, on which thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct At {
    pub(crate) tile: usize,
    pub(crate) slot: usize,
    pub(crate) thread: usize,
}

/// The memory during a run.
#[derive(Clone, Copy)]
pub(crate) struct Views<'a> {
    whole: *mut f32,
    kept: *mut f32,
    scratch: *mut f32,
    slots: *mut f32,
    work: *mut f32,
    parameters: &'a [f32],
    offsets: &'a [usize],
    lanes: usize,
    kept_step: usize,
    scratch_step: usize,
    slot_step: usize,
    work_step: usize,
    slots_len: usize,
    tiles: usize,
}

// SAFETY: the pointers are to memory that `views` borrowed for `'a`; what threads may do with it is said at `output`.
unsafe impl Sync for Views<'_> {}

impl<'a> Views<'a> {
    /// An operand to be read.
    ///
    /// # Safety
    /// As for [`Views::output`].
    pub(crate) unsafe fn input(&self, operand: &Operand, at: At) -> Input<'a> {
        let data = match operand.place {
            Place::Parameter(number) => &self.parameters[self.offsets[number]..][..operand.shape.len()],
            // SAFETY: the operand lies inside its memory, and nobody writes to it meanwhile: the caller's promise.
            _ => unsafe { std::slice::from_raw_parts(self.place(operand, at), self.len(operand)) },
        };
        Input { data, shape: operand.shape }
    }

    /// An operand to be written.
    ///
    /// # Safety
    /// The plan must be legal (`lenslet_graph::plan::check`) and of the memory that the views are of. At any time, a tile
    /// and a slot belong to one thread, `at.thread` is the calling thread's own number, and steps of one wave run together
    /// with no others; a slice must not outlive its step. Then whatever another thread touches meanwhile lies in another
    /// tile, slot or scratch block, or in another value of the wave.
    pub(crate) unsafe fn output(&self, operand: &Operand, at: At) -> &'a mut [f32] {
        // SAFETY: the operand lies inside its memory, and it is this step's alone: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.place(operand, at), self.len(operand)) }
    }

    /// The thread's block to work in; what is in it is left from earlier.
    ///
    /// # Safety
    /// As for [`Views::output`]: the thread's own, one slice at a time.
    pub(crate) unsafe fn work(&self, thread: usize) -> &'a mut [f32] {
        // SAFETY: the block has so many numbers for each thread, and it is the caller's alone: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.work.add(thread * self.work_step), self.work_step) }
    }

    /// All slots' partial sums of an operand.
    ///
    /// # Safety
    /// As for [`Views::output`]: only in whole work, when no tile is under way.
    pub(crate) unsafe fn slots(&self, operand: &Operand) -> Slots<'a> {
        let Place::Slot(offset) = operand.place else { unreachable!("a sum over slots reads partial sums") };
        // SAFETY: the slots' memory has this length; whole work does not write to it.
        let data = unsafe { std::slice::from_raw_parts(self.slots, self.slots_len) };
        Slots { data, slot_len: self.slot_step, offset, len: operand.shape.len() }
    }

    /// A kept operand in all tiles.
    ///
    /// # Safety
    /// As for [`Views::output`]: only in whole work.
    pub(crate) unsafe fn all_tiles(&self, operand: &Operand) -> AllTiles<'a> {
        assert!(matches!(operand.place, Place::Kept(_)), "{:?} is not there for all tiles", operand.place);
        // SAFETY: the operand lies inside every tile's memory, and nobody writes to it meanwhile: the caller's promise.
        unsafe {
            let first = self.place(operand, At::default());
            AllTiles::new(first, self.kept_step, self.len(operand), self.tiles)
        }
    }

    /// The same to be written: `len` numbers of each image from number `from` on.
    ///
    /// # Safety
    /// As for [`Views::output`]: only in whole work, and parts must not overlap.
    pub(crate) unsafe fn part_of_all_tiles(&self, operand: &Operand, from: usize, len: usize) -> AllTilesMut<'a> {
        assert!(from + len <= operand.shape.len() && matches!(operand.place, Place::Kept(_)));
        // SAFETY: the numbers lie inside every tile's memory, and they are this part's alone: the caller's promise.
        unsafe {
            let first = self.place(operand, At::default()).add(from * self.lanes);
            AllTilesMut::new(first, self.kept_step, len * self.lanes, self.tiles)
        }
    }

    fn len(&self, operand: &Operand) -> usize {
        operand.shape.len() * if operand.shape.is_batched() { self.lanes } else { 1 }
    }

    /// # Safety
    /// The operand must lie inside its memory, and `at` name a tile, slot and thread that exist.
    unsafe fn place(&self, operand: &Operand, at: At) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe {
            match operand.place {
                Place::Parameter(_) => unreachable!("steps do not write to parameters"),
                Place::Whole(offset) => self.whole.add(offset),
                Place::Kept(offset) => self.kept.add(at.tile * self.kept_step + offset * self.lanes),
                Place::Scratch(offset) => self.scratch.add(at.thread * self.scratch_step + offset * self.lanes),
                Place::Slot(offset) => self.slots.add(at.slot * self.slot_step + offset),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_zeroed_and_begin_at_a_cache_line() {
        for len in [0, 1, 16, 17, 1000, 1 << 20] {
            let mut buffer = Buffer::new(len);
            assert_eq!(buffer.as_mut_ptr().addr() % LINE, 0, "{len}");
            assert!(buffer.len() >= len && buffer.iter().all(|&x| x == 0.0), "{len}");
        }
    }
}
