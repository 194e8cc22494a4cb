//! Loops over the axes of a block, for operands that step through it each in their own way.
//!
//! Broadcasting, copies and reductions differ in strides only. A [`Nest`] drops axes of size 1 and joins axes that every
//! operand passes through as if they were one; kernels walk its innermost loop themselves and ask the nest where each
//! begins. A 64×8×8 feature map and a number per channel make one loop of 64 values around another.

use lenslet_graph::MAX_RANK;

/// Nested loops with the steps of `K` operands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nest<const K: usize> {
    rank: usize,
    /// Sizes, the outermost loop first.
    sizes: [usize; MAX_RANK],
    /// Each operand's step along each axis.
    strides: [[usize; K]; MAX_RANK],
}

impl<const K: usize> Nest<K> {
    /// Loops over `sizes`; each operand has a stride for every axis.
    pub(crate) fn new(sizes: &[usize], strides: [&[usize]; K]) -> Self {
        let axes = sizes.iter().enumerate().map(|(axis, &size)| (size, strides.map(|strides| strides[axis])));
        Self::of(axes)
    }

    /// Loops over axes that come with their strides.
    pub(crate) fn of(axes: impl Iterator<Item = (usize, [usize; K])>) -> Self {
        let mut nest = Self { rank: 0, sizes: [1; MAX_RANK], strides: [[0; K]; MAX_RANK] };
        for (size, strides) in axes.filter(|&(size, _)| size != 1) {
            let last = nest.rank.wrapping_sub(1);
            let joins = |outer: &[usize; K]| outer.iter().zip(&strides).all(|(&outer, &inner)| outer == size * inner);
            if nest.rank > 0 && joins(&nest.strides[last]) {
                nest.sizes[last] *= size;
                nest.strides[last] = strides;
            } else {
                nest.sizes[nest.rank] = size;
                nest.strides[nest.rank] = strides;
                nest.rank += 1;
            }
        }
        nest
    }

    /// The innermost loop: its length, and each operand's step.
    pub(crate) fn row(&self) -> (usize, [usize; K]) {
        match self.rank {
            0 => (1, [0; K]),
            rank => (self.sizes[rank - 1], self.strides[rank - 1]),
        }
    }

    /// Where each innermost loop begins, in row-major order.
    pub(crate) fn starts(&self) -> Starts<K> {
        let outer = self.rank.saturating_sub(1);
        Starts { left: self.sizes[..outer].iter().product(), nest: *self, outer, index: [0; MAX_RANK], at: [0; K] }
    }
}

/// The iterator of [`Nest::starts`].
pub(crate) struct Starts<const K: usize> {
    nest: Nest<K>,
    /// Loops around the innermost.
    outer: usize,
    index: [usize; MAX_RANK],
    at: [usize; K],
    left: usize,
}

impl<const K: usize> Iterator for Starts<K> {
    type Item = [usize; K];

    #[inline]
    fn next(&mut self) -> Option<[usize; K]> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let here = self.at;
        for axis in (0..self.outer).rev() {
            let (size, strides) = (self.nest.sizes[axis], &self.nest.strides[axis]);
            self.index[axis] += 1;
            // At the end of the axis: back to its beginning, and on along the next outer one.
            let ends = self.index[axis] == size;
            for (at, &stride) in self.at.iter_mut().zip(strides) {
                *at = if ends { *at - (size - 1) * stride } else { *at + stride };
            }
            if !ends {
                break;
            }
            self.index[axis] = 0;
        }
        Some(here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_join_where_all_operands_allow_it() {
        let whole = Nest::new(&[3, 4, 5], [&[20, 5, 1], &[20, 5, 1]]);
        assert_eq!((whole.row(), whole.starts().count()), ((60, [1, 1]), 1));
        let per_channel = Nest::new(&[3, 4, 5], [&[20, 5, 1], &[1, 0, 0]]);
        assert_eq!(per_channel.row(), (20, [1, 0]));
        assert_eq!(per_channel.starts().collect::<Vec<_>>(), [[0, 0], [20, 1], [40, 2]]);
        assert_eq!(Nest::new(&[1, 1], [&[7, 3]]).row(), (1, [0]));
    }

    #[test]
    fn every_position_comes_once_and_in_order() {
        let nest = Nest::new(&[2, 3, 1, 2], [&[1, 2, 9, 6]]);
        let (count, [step]) = nest.row();
        let positions: Vec<usize> = nest.starts().flat_map(|[at]| (0..count).map(move |i| at + i * step)).collect();
        let expected: Vec<usize> =
            (0..2).flat_map(|a| (0..3).flat_map(move |b| (0..2).map(move |c| a + 2 * b + 6 * c))).collect();
        assert_eq!(positions, expected);
    }
}
