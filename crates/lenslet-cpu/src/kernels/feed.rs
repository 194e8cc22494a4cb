//! Between images and lanes: a batch comes and goes image after image, and is worked on lane by lane.

use crate::simd::{Kernel, Lanes};

/// Puts rows into lanes: `lanes[i][lane] = rows[lane][i]`.
pub(crate) struct FromRows<'a> {
    /// A row of values per lane.
    pub(crate) rows: &'a [f32],
    pub(crate) lanes: &'a mut [f32],
}

impl Kernel for FromRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let len = self.lanes.len() / S::N;
        for (i, vector) in self.lanes.chunks_exact_mut(S::N).enumerate() {
            for (lane, value) in vector.iter_mut().enumerate() {
                *value = self.rows[lane * len + i];
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
    fn run<S: Lanes>(self, _: S) {
        let len = self.lanes.len() / S::N;
        for (i, vector) in self.lanes.chunks_exact(S::N).enumerate() {
            for (lane, value) in vector.iter().enumerate() {
                self.rows[lane * len + i] = *value;
            }
        }
    }
}
