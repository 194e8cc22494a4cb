//! How simple work on many numbers is cut, and in which order threads share the parts.
//!
//! Threads begin with equal shares of a piece's units, in order (`tiles.rs`). Where several values are worked on in one piece,
//! the first halves of all come before the second halves. So each of two threads has the same half of every value in every
//! piece, and finds in its core's cache what it has left there. Small values are not cut; the largest of them are the first
//! thread's, as is what is too small to be shared at all. Sizes alone decide where the cuts are.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

use lenslet_graph::plan::FEWEST_TO_SHARE;

/// Numbers of a part, at most: some microseconds of work. Fewer would cost more on their way between cores than they gain.
const PART: usize = 1 << 12;

/// Parts of so many numbers. Their number is even, so that two threads have equal shares, unless it is one.
pub fn parts(len: usize) -> usize {
    if len < FEWEST_TO_SHARE { 1 } else { len.div_ceil(PART).next_multiple_of(2) }
}

/// The numbers of one part.
pub fn part(len: usize, part: usize) -> Range<usize> {
    let parts = parts(len);
    len * part / parts..len * (part + 1) / parts
}

/// What parts of several values are ordered by: where the middle of a part stands to the middle of its value, which has `len`
/// numbers; between the halves what is not cut, the largest first.
pub fn order(part: usize, parts: usize, len: usize) -> (Ordering, Reverse<usize>) {
    let side = (2 * part + 1).cmp(&parts);
    (side, Reverse(if side.is_eq() { len } else { 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_all_and_halves_are_equal() {
        for len in [1, PART, PART + 1, 48_000, 10_080, 3 * PART + 77] {
            let count = parts(len);
            let ranges: Vec<_> = (0..count).map(|i| part(len, i)).collect();
            assert!(ranges[0].start == 0 && ranges[count - 1].end == len, "{len}");
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start), "{len}");
            assert!(count == 1 || ranges.iter().all(|range| range.len() <= PART), "{len}");
            if count > 1 {
                assert_eq!(ranges[count / 2].start, len / 2, "{len}");
                assert_eq!(
                    [count / 2 - 1, count / 2].map(|i| order(i, count, len).0),
                    [Ordering::Less, Ordering::Greater]
                );
            }
        }
    }
}
