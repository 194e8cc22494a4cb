//! The kernels: one page each, named as the ops they serve.
//!
//! A kernel is single-threaded code on one tile. A batched value of `n` numbers comes as `n` vectors of [`Lanes::N`]
//! numbers, one lane per image; a whole value comes as it is, and [`Input`] reads either. Whole work uses the same kernels
//! with one lane, and so do tiles of one image but for what stands in [`channels`]. Every page states shapes and layout, and
//! is checked against its op's reference.

use std::marker::PhantomData;
use std::ops::Range;

use lenslet_graph::Shape;

use crate::simd::Lanes;

pub(crate) mod adaptive_avg_pool;
pub(crate) mod avg_pool;
pub(crate) mod batch;
pub(crate) mod batch_norm;
#[cfg(test)]
mod batch_norm_tests;
pub(crate) mod binary;
pub(crate) mod channels;
pub(crate) mod conv2d;
#[cfg(test)]
mod conv2d_tests;
pub(crate) mod conv2d_weight_grad;
pub(crate) mod conv2d_weight_grad_rows;
pub(crate) mod cross_entropy;
pub(crate) mod custom;
pub(crate) mod dropout;
pub(crate) mod feed;
mod functions;
pub(crate) mod linear_weight_grad;
pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod max_pool;
mod nest;
pub(crate) mod pack;
pub(crate) mod rearrange;
pub(crate) mod reduce;
pub(crate) mod select;
pub(crate) mod sliding;
pub(crate) mod softmax;
pub(crate) mod stretches;
pub(crate) mod sum;
#[cfg(test)]
pub(crate) mod testing;
mod weight_tile;
pub(crate) mod winograd;

/// A value to be read: batched, a vector each, or whole, the same number for every image.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) shape: Shape,
}

impl Input<'_> {
    /// Value number `i`, for every image.
    #[inline(always)]
    pub(crate) fn get<S: Lanes>(&self, simd: S, i: usize) -> S::V {
        if self.shape.is_batched() { simd.load(self.data, i) } else { simd.splat(self.data[i]) }
    }
}

/// A kernel's operands, for one tile (or, with one lane, for whole values).
pub(crate) struct Call<'a> {
    pub(crate) inputs: &'a [Input<'a>],
    /// The result: a vector per value, for kernels that sum over images a number per value.
    pub(crate) output: &'a mut [f32],
    /// The result's sizes.
    pub(crate) shape: Shape,
    pub(crate) tile: Tile,
}

/// A value of all tiles, in each a stretch of its own.
#[derive(Clone, Copy)]
pub(crate) struct AllTiles<'a> {
    first: *const f32,
    /// Numbers from a tile's stretch to the next one's.
    pub(crate) step: usize,
    /// Numbers of a stretch.
    pub(crate) len: usize,
    pub(crate) tiles: usize,
    life: PhantomData<&'a [f32]>,
}

/// The same to be written.
pub(crate) struct AllTilesMut<'a> {
    first: *mut f32,
    step: usize,
    len: usize,
    pub(crate) tiles: usize,
    life: PhantomData<&'a mut [f32]>,
}

impl<'a> AllTiles<'a> {
    /// # Safety
    /// For `'a`, `len` numbers from `first` and from every `step` behind it must be valid for reading, and nobody may write
    /// to them.
    pub(crate) unsafe fn new(first: *const f32, step: usize, len: usize, tiles: usize) -> Self {
        Self { first, step, len, tiles, life: PhantomData }
    }

    /// Of each tile's numbers these.
    pub(crate) fn part(self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len);
        Self { first: self.first.wrapping_add(range.start), len: range.len(), ..self }
    }

    /// A tile's numbers.
    #[inline(always)]
    pub(crate) fn tile(&self, tile: usize) -> &'a [f32] {
        assert!(tile < self.tiles);
        // SAFETY: the promise of `new`.
        unsafe { std::slice::from_raw_parts(self.first.add(tile * self.step), self.len) }
    }
}

impl AllTilesMut<'_> {
    /// # Safety
    /// For the value's life, `len` numbers from `first` and from every `step` behind it must be valid for reading and writing,
    /// and nobody else's; `step` must be `len` at least.
    pub(crate) unsafe fn new(first: *mut f32, step: usize, len: usize, tiles: usize) -> Self {
        Self { first, step, len, tiles, life: PhantomData }
    }

    /// A tile's numbers.
    #[inline(always)]
    pub(crate) fn tile(&mut self, tile: usize) -> &mut [f32] {
        assert!(tile < self.tiles);
        // SAFETY: the promise of `new`; the borrow lets no two slices live together.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(tile * self.step), self.len) }
    }
}

/// What a kernel may want to know about the tile it works on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Number of the tile's first image in the batch.
    pub(crate) first: usize,
    /// Images in the tile; lanes behind them are empty (they repeat the last image, and their gradients are 0).
    pub(crate) images: usize,
    /// Images in the whole batch.
    pub(crate) batch: usize,
    /// Seed of the run.
    pub(crate) seed: u64,
    /// Number of the step.
    pub(crate) step: u32,
}

/// The partial sums that every slot has for one value.
#[derive(Clone, Copy)]
pub(crate) struct Slots<'a> {
    /// The memory of all slots.
    pub(crate) data: &'a [f32],
    /// Numbers of one slot.
    pub(crate) slot_len: usize,
    /// Where the value begins in each slot.
    pub(crate) offset: usize,
    /// Numbers of the value.
    pub(crate) len: usize,
}

impl<'a> Slots<'a> {
    /// The value's partial sums, slot by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let Self { data, slot_len, offset, len } = *self;
        data.chunks_exact(slot_len).map(move |slot| &slot[offset..][..len])
    }
}
