//! The sizes of a value.
//!
//! A value is either *batched*, one block of numbers for every image of the batch, or *whole*, one block for all of
//! them (weights, statistics, the loss). The batch axis is never among the sizes, so no operation can touch it by
//! mistake: PyTorch's `(N, 16, 5, 5)` is here the batched shape `16x5x5`. Invariant: the product of the sizes fits in
//! a `usize` with room to spare ([`MAX_LEN`]), so lengths need no further checks.

use std::fmt;

/// The most axes that a value may have, the batch not counted.
pub const MAX_RANK: usize = 6;

/// The most numbers that one value may have per image.
pub const MAX_LEN: usize = 1 << 31;

/// Sizes of a value per image (C×H×W for a feature map), and whether there is one block per image.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    batched: bool,
    rank: usize,
    dims: [usize; MAX_RANK],
}

impl Shape {
    /// Batched sizes `dims`; `None` if there are too many axes or values, or one of the sizes is 0.
    pub const fn batched(dims: &[usize]) -> Option<Self> {
        Self::checked(true, dims)
    }

    /// Sizes of a value that belongs to no single image; `None` as for [`Shape::batched`].
    pub const fn whole(dims: &[usize]) -> Option<Self> {
        Self::checked(false, dims)
    }

    /// A batched C×H×W feature map.
    ///
    /// # Panics
    /// If a size is 0 or the product exceeds [`MAX_LEN`].
    pub const fn image(channels: usize, height: usize, width: usize) -> Self {
        match Self::batched(&[channels, height, width]) {
            Some(shape) => shape,
            None => panic!("an image has sizes from 1, and at most 2^31 values"),
        }
    }

    /// One number per image (`batched`) or in all.
    pub const fn scalar(batched: bool) -> Self {
        Self { batched, rank: 0, dims: [1; MAX_RANK] }
    }

    const fn checked(batched: bool, dims: &[usize]) -> Option<Self> {
        if dims.len() > MAX_RANK {
            return None;
        }
        let mut shape = Self { batched, rank: dims.len(), dims: [1; MAX_RANK] };
        let mut len: usize = 1;
        let mut axis = 0;
        while axis < dims.len() {
            len = match len.checked_mul(dims[axis]) {
                Some(len) if len > 0 && len <= MAX_LEN => len,
                _ => return None,
            };
            shape.dims[axis] = dims[axis];
            axis += 1;
        }
        Some(shape)
    }

    /// Whether there is one block of values for every image.
    pub const fn is_batched(&self) -> bool {
        self.batched
    }

    /// The same sizes, with or without the batch.
    pub const fn with_batch(mut self, batched: bool) -> Self {
        self.batched = batched;
        self
    }

    /// Number of axes, the batch not counted.
    pub const fn rank(&self) -> usize {
        self.rank
    }

    /// Size of one axis.
    ///
    /// # Panics
    /// If there is no such axis.
    pub const fn dim(&self, axis: usize) -> usize {
        assert!(axis < self.rank, "no such axis");
        self.dims[axis]
    }

    /// The sizes, `[16, 5, 5]`.
    pub const fn dims(&self) -> &[usize] {
        self.dims.split_at(self.rank).0
    }

    /// Number of values per image: the product of the sizes.
    pub const fn len(&self) -> usize {
        let mut len = 1;
        let mut axis = 0;
        while axis < self.rank {
            len *= self.dims[axis];
            axis += 1;
        }
        len
    }

    /// Never: sizes are at least 1.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The same shape with one size changed; `None` where that size is 0 or makes the value too large.
    pub const fn with_dim(self, axis: usize, size: usize) -> Option<Self> {
        let mut dims = self.dims;
        dims[axis] = size;
        Self::checked(self.batched, dims.split_at(self.rank).0)
    }

    /// Equality that `const fn` can use.
    pub const fn same_dims(&self, other: &Self) -> bool {
        if self.rank != other.rank {
            return false;
        }
        let mut axis = 0;
        while axis < self.rank {
            if self.dims[axis] != other.dims[axis] {
                return false;
            }
            axis += 1;
        }
        true
    }

    /// Distance, in values, between neighbours along each axis of the row-major block.
    pub fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.rank];
        for axis in (1..self.rank).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        strides
    }
}

impl fmt::Display for Shape {
    /// `16x5x5`, without the batch.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(crate::Message::new().shape(self).as_str())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", if self.batched { "batched" } else { "whole" }, self.dims())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_are_empty_or_overflow_are_refused() {
        assert_eq!(Shape::batched(&[3, 0]), None);
        assert_eq!(Shape::batched(&[usize::MAX, 2]), None);
        assert_eq!(Shape::batched(&[1; MAX_RANK + 1]), None);
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(Shape::image(3, 4, 5).strides(), [20, 5, 1]);
        assert_eq!(Shape::image(3, 4, 5).to_string(), "3x4x5");
    }
}
