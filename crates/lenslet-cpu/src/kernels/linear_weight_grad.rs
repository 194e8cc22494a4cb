//! A dense layer's gradient by its weight: `dw[o][i] = Σ dy[o]·x[i]` over rows and images of the whole batch.
//!
//! Within a tile there is one product per weight and image, too little to add up across lanes. So this is one matrix
//! product over the whole batch, cut into blocks of output rows that threads can share. Lanes are neighbouring inputs here,
//! which is why `x` comes image after image. A register tile holds 4 outputs by 3 vectors of inputs; it runs over the
//! images in order, so the sum does not depend on who does it.

use std::ops::Range;

use crate::simd::{Kernel, Lanes};

/// Output rows of one part of the work.
pub(crate) const PART: usize = 16;

/// One part of the product.
pub(crate) struct WeightGrad<'a> {
    pub(crate) batch: Batch<'a>,
    /// The part's output rows.
    pub(crate) outputs: Range<usize>,
    /// Those rows of the gradient, `inputs` numbers each.
    pub(crate) dw: &'a mut [f32],
}

/// Both factors, in the memory of all tiles.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// The tiles' memory.
    pub(crate) kept: &'a [f32],
    /// Images in a tile.
    pub(crate) lanes: usize,
    /// Numbers of one tile.
    pub(crate) tile_len: usize,
    /// Where `[image][row][input]` begins in a tile.
    pub(crate) x: usize,
    /// Where `[row][output][image]` begins in a tile.
    pub(crate) dy: usize,
    /// Images in the batch.
    pub(crate) images: usize,
    /// Rows per image.
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Batch<'_> {
    /// Calls `product(x, dy)` for each row of each image: where its inputs begin, and where its first output's gradient is;
    /// gradients of neighbouring outputs are `lanes` apart.
    #[inline(always)]
    fn each_row(&self, mut product: impl FnMut(usize, usize)) {
        let lanes = self.lanes;
        for image in 0..self.images {
            let (tile, lane) = (image / lanes * self.tile_len, image % lanes);
            for row in 0..self.rows {
                let x = tile + self.x + (lane * self.rows + row) * self.inputs;
                let dy = tile + self.dy + row * self.outputs * lanes + lane;
                product(x, dy);
            }
        }
    }
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let wide = 3 * S::N;
        let inputs = self.batch.inputs;
        for input in (0..inputs - inputs % wide).step_by(wide) {
            self.columns::<S, 3>(simd, input);
        }
        for input in (inputs - inputs % wide..inputs - inputs % S::N).step_by(S::N) {
            self.columns::<S, 1>(simd, input);
        }
        if inputs % S::N == 0 {
            return;
        }
        if inputs >= S::N {
            // The last vector ends with the row; what it has in common with the one before it gets the same sums.
            return self.columns::<S, 1>(simd, inputs - S::N);
        }
        for input in 0..inputs {
            self.column(input);
        }
    }
}

impl WeightGrad<'_> {
    /// `V` vectors of inputs for all output rows of the part.
    #[inline(always)]
    fn columns<S: Lanes, const V: usize>(&mut self, simd: S, input: usize) {
        let mut output = self.outputs.start;
        while output < self.outputs.end {
            if self.outputs.end - output >= 4 {
                self.tile::<S, 4, V>(simd, output, input);
                output += 4;
            } else {
                self.tile::<S, 1, V>(simd, output, input);
                output += 1;
            }
        }
    }

    /// One register tile.
    #[inline(always)]
    fn tile<S: Lanes, const O: usize, const V: usize>(&mut self, simd: S, output: usize, input: usize) {
        let mut sums = [[simd.splat(0.0); V]; O];
        let batch = self.batch;
        batch.each_row(|x, dy| {
            let x = &batch.kept[x + input..][..V * S::N];
            let dy = &batch.kept[dy + output * batch.lanes..][..(O - 1) * batch.lanes + 1];
            let inputs: [S::V; V] = std::array::from_fn(|v| simd.load(x, v));
            for (o, sums) in sums.iter_mut().enumerate() {
                let dy = simd.splat(dy[o * batch.lanes]);
                for (sum, &input) in sums.iter_mut().zip(&inputs) {
                    *sum = simd.mul_add(dy, input, *sum);
                }
            }
        });
        for (o, sums) in sums.iter().enumerate() {
            let row = &mut self.dw[(output - self.outputs.start + o) * batch.inputs + input..][..V * S::N];
            for (v, &sum) in sums.iter().enumerate() {
                simd.store(sum, row, v);
            }
        }
    }

    /// One input, where all together fill no vector.
    fn column(&mut self, input: usize) {
        let lanes = self.batch.lanes;
        for (row, output) in self.outputs.clone().enumerate() {
            let mut sum = 0.0;
            self.batch.each_row(|x, dy| {
                sum += self.batch.kept[dy + output * lanes] * self.batch.kept[x + input];
            });
            self.dw[row * self.batch.inputs + input] = sum;
        }
    }
}
