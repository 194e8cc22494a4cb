//! Between images and lanes: a batch comes and goes image after image, and is worked on lane by lane.
//!
//! Either way is the transposition of a matrix with one side as long as a vector: blocks of vectors in registers, and
//! what is left number by number.

use crate::simd::{Kernel, Lanes};

/// Puts rows into lanes: `lanes[i][lane] = rows[lane·step + i]`.
pub(crate) struct FromRows<'a> {
    /// A row of values per lane.
    pub(crate) rows: &'a [f32],
    /// From one row to the next.
    pub(crate) step: usize,
    pub(crate) lanes: &'a mut [f32],
}

impl Kernel for FromRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { rows, step, lanes } = self;
        let len = lanes.len() / S::N;
        assert!(step >= len && rows.len() >= step * (S::N - 1) + len);
        let blocks = len - len % S::N;
        for i in (0..blocks).step_by(S::N) {
            // SAFETY: there are N rows of `len` numbers and `len` vectors, and i + N does not exceed `len`.
            unsafe { simd.transpose(rows.as_ptr().add(i), step, lanes.as_mut_ptr().add(i * S::N), S::N) };
        }
        for (i, vector) in lanes.chunks_exact_mut(S::N).enumerate().skip(blocks) {
            for (lane, value) in vector.iter_mut().enumerate() {
                *value = rows[lane * step + i];
            }
        }
    }
}

/// Puts lanes into rows: `rows[lane][i] = lanes[i][lane]`.
pub(crate) struct ToRows<'a> {
    pub(crate) lanes: &'a [f32],
    pub(crate) rows: &'a mut [f32],
}

impl Kernel for ToRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { lanes, rows } = self;
        let len = lanes.len() / S::N;
        assert!(rows.len() >= len * S::N);
        let blocks = len - len % S::N;
        for i in (0..blocks).step_by(S::N) {
            // SAFETY: as for the other direction.
            unsafe { simd.transpose(lanes.as_ptr().add(i * S::N), S::N, rows.as_mut_ptr().add(i), len) };
        }
        for (i, vector) in lanes.chunks_exact(S::N).enumerate().skip(blocks) {
            for (lane, value) in vector.iter().enumerate() {
                rows[lane * len + i] = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Machine;

    /// Into lanes number by number, as said above, and back again.
    #[test]
    fn every_number_finds_its_lane() {
        for machine in Machine::vectors() {
            let lanes = machine.lanes();
            for (len, step) in [(1, 1), (7, 9), (8, 8), (16, 32), (50, 51)] {
                let rows: Vec<f32> = (0..step * lanes).map(|i| i as f32).collect();
                let mut vectors = vec![0.0; len * lanes];
                machine.run(FromRows { rows: &rows, step, lanes: &mut vectors });
                let expected = |i: usize| rows[i % lanes * step + i / lanes];
                assert!(vectors.iter().enumerate().all(|(i, &x)| x == expected(i)), "{machine:?}, {len} values");
                let mut back = vec![0.0; vectors.len()];
                machine.run(ToRows { lanes: &vectors, rows: &mut back });
                for (row, back) in rows.chunks(step).zip(back.chunks(len)) {
                    assert_eq!(row[..len], *back, "{machine:?}, {len} values");
                }
            }
        }
    }
}
