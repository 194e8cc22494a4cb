//! A dense layer's gradient by its weight: `dw[o][i] = Σ dy[o]·x[i]` over rows and images of the whole batch.
//!
//! Within a tile there is one product per weight and image, too little to add up across lanes. So this is one matrix
//! product over the whole batch, cut into blocks of output rows that threads can share. Lanes are neighbouring inputs here,
//! which is why `x` comes image after image. A register tile holds up to 8 outputs by 3 vectors of inputs (4 by 3 with 16
//! registers); it runs over the images in order, so the sum does not depend on who does it. The last vector of a row ends
//! where the row does and so overlaps the one before: those sums are made twice, the same both times.

use std::ops::Range;

use lenslet_graph::plan::FEWEST_TO_SHARE;

use super::AllTiles;
use crate::simd::{Kernel, Lanes};

/// Numbers of one part of the work, about: some microseconds.
const PART: usize = 1 << 12;

/// Output rows of one part of the work: as many as fill the largest register tiles.
const fn part_rows(inputs: usize) -> usize {
    const TALLEST: usize = 8;
    let tiles = PART / TALLEST / inputs;
    TALLEST * if tiles == 0 { 1 } else { tiles }
}

/// The rows of the first half: none where the gradient is not shared.
const fn first_half(outputs: usize, inputs: usize) -> usize {
    if outputs * inputs < FEWEST_TO_SHARE { 0 } else { outputs / 2 }
}

/// Parts that the output rows are cut into, half by half: the optimizer cuts in the middle, too.
pub(crate) fn parts(outputs: usize, inputs: usize) -> usize {
    let half = first_half(outputs, inputs);
    if half == 0 { 1 } else { half.div_ceil(part_rows(inputs)) + (outputs - half).div_ceil(part_rows(inputs)) }
}

/// The output rows of one part.
pub(crate) fn part(outputs: usize, inputs: usize, part: usize) -> Range<usize> {
    let (half, rows) = (first_half(outputs, inputs), part_rows(inputs));
    if half == 0 {
        return 0..outputs;
    }
    let parts = half.div_ceil(rows);
    let (from, end) = if part < parts { (part * rows, half) } else { (half + (part - parts) * rows, outputs) };
    from..end.min(from + rows)
}

/// One part of the product.
pub(crate) struct WeightGrad<'a> {
    pub(crate) batch: Batch<'a>,
    /// The part's output rows.
    pub(crate) outputs: Range<usize>,
    /// Those rows of the gradient, `inputs` numbers each.
    pub(crate) dw: &'a mut [f32],
}

/// Both factors, of all tiles.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// `[image][row][input]`.
    pub(crate) x: AllTiles<'a>,
    /// `[row][output][image]`.
    pub(crate) dy: AllTiles<'a>,
    /// Images in a tile.
    pub(crate) lanes: usize,
    /// Images in the batch.
    pub(crate) images: usize,
    /// Rows per image.
    pub(crate) rows: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let inputs = self.batch.inputs;
        assert!(self.dw.len() >= self.outputs.len() * inputs);
        if inputs < S::N {
            return self.short_rows();
        }
        let start = |vector: usize| (vector * S::N).min(inputs - S::N);
        let (vectors, mut from) = (inputs.div_ceil(S::N), 0);
        while from < vectors {
            // Four are two and two, so that no tile has few sums.
            from += match vectors - from {
                1 => self.columns(simd, [start(from)]),
                2 | 4 => self.columns(simd, [0, 1].map(|v| start(from + v))),
                _ => self.columns(simd, [0, 1, 2].map(|v| start(from + v))),
            }
        }
    }
}

impl WeightGrad<'_> {
    /// The vectors of inputs that begin at `starts`, for all output rows of the part.
    #[inline(always)]
    fn columns<S: Lanes, const V: usize>(&mut self, simd: S, starts: [usize; V]) -> usize {
        let mut output = self.outputs.start;
        while output < self.outputs.end {
            output += match self.outputs.end - output {
                8.. if S::REGISTERS >= 32 => self.tile::<S, 8, V>(simd, output, starts),
                4.. => self.tile::<S, 4, V>(simd, output, starts),
                2.. => self.tile::<S, 2, V>(simd, output, starts),
                _ => self.tile::<S, 1, V>(simd, output, starts),
            }
        }
        V
    }

    /// One register tile.
    #[inline(always)]
    fn tile<S: Lanes, const O: usize, const V: usize>(&mut self, simd: S, output: usize, starts: [usize; V]) -> usize {
        let mut sums = [[simd.splat(0.0); V]; O];
        let Batch { x, dy, lanes, images, rows, inputs, outputs } = self.batch;
        for tile in 0..images.div_ceil(lanes) {
            let (x, dy) = (x.tile(tile), dy.tile(tile));
            for lane in 0..lanes.min(images - tile * lanes) {
                for row in 0..rows {
                    let x = &x[(lane * rows + row) * inputs..][..inputs];
                    let dy = &dy[(row * outputs + output) * lanes + lane..][..(O - 1) * lanes + 1];
                    let inputs: [S::V; V] = std::array::from_fn(|v| simd.load(&x[starts[v]..], 0));
                    for (o, sums) in sums.iter_mut().enumerate() {
                        let dy = simd.splat(dy[o * lanes]);
                        for (sum, &input) in sums.iter_mut().zip(&inputs) {
                            *sum = simd.mul_add(dy, input, *sum);
                        }
                    }
                }
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            let row = &mut self.dw[(output - self.outputs.start + o) * inputs..][..inputs];
            for (&sum, &start) in sums.iter().zip(&starts) {
                simd.store(sum, &mut row[start..], 0);
            }
        }
        O
    }

    /// Rows that fill no vector, number by number.
    fn short_rows(&mut self) {
        let Batch { x, dy, lanes, images, rows, inputs, outputs } = self.batch;
        self.dw.fill(0.0);
        for image in 0..images {
            let (x, dy, lane) = (x.tile(image / lanes), dy.tile(image / lanes), image % lanes);
            for row in 0..rows {
                let x = &x[(lane * rows + row) * inputs..][..inputs];
                for (output, dw) in self.outputs.clone().zip(self.dw.chunks_exact_mut(inputs)) {
                    let dy = dy[(row * outputs + output) * lanes + lane];
                    dw.iter_mut().zip(x).for_each(|(dw, x)| *dw += dy * x);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Machine, Random};

    #[test]
    fn parts_cover_all_rows_and_meet_in_the_middle() {
        for (outputs, inputs) in [(120, 400), (84, 120), (7, 1 << 14), (1001, 512), (10, 5000)] {
            let parts: Vec<_> = (0..parts(outputs, inputs)).map(|i| part(outputs, inputs, i)).collect();
            let rows: Vec<usize> = parts.iter().cloned().flatten().collect();
            assert_eq!(rows, (0..outputs).collect::<Vec<_>>());
            assert!(parts.len() == 1 || parts.iter().any(|part| part.end == outputs / 2), "{outputs}x{inputs}");
        }
        assert_eq!((parts(120, 400), parts(84, 120)), (16, 1));
    }

    proptest! {
        #[test]
        fn is_the_sum_over_the_batch(
            [inputs, outputs, rows, images] in [1usize..120, 1usize..22, 1usize..3, 1usize..40],
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            // Small whole numbers: every order of adding gives the same.
            let mut numbers = |len: usize| -> Vec<f32> { (0..len).map(|_| random.below(9) as f32 - 4.0).collect() };
            let (x, dy) = (numbers(images * rows * inputs), numbers(images * rows * outputs));
            let mut expected = vec![0.0; outputs * inputs];
            for (x, dy) in x.chunks_exact(inputs).zip(dy.chunks_exact(outputs)) {
                for (dw, dy) in expected.chunks_exact_mut(inputs).zip(dy) {
                    dw.iter_mut().zip(x).for_each(|(dw, x)| *dw += dy * x);
                }
            }
            for (machine, one) in Machine::vectors().flat_map(|machine| [(machine, false), (machine, true)]) {
                let lanes = if one { 1 } else { machine.lanes() };
                // What lies between the factors, and in lanes behind the last image, is not to be read.
                let (x_at, dy_at) = (3, 3 + rows * inputs * lanes + 2);
                let tile_len = dy_at + rows * outputs * lanes + 1;
                let mut kept = vec![f32::NAN; images.div_ceil(lanes) * tile_len];
                for image in 0..images {
                    let (tile, lane) = (&mut kept[image / lanes * tile_len..][..tile_len], image % lanes);
                    let x = &x[image * rows * inputs..][..rows * inputs];
                    tile[x_at + lane * rows * inputs..][..rows * inputs].copy_from_slice(x);
                    for (i, dy) in dy[image * rows * outputs..][..rows * outputs].iter().enumerate() {
                        tile[dy_at + i * lanes + lane] = *dy;
                    }
                }
                let all = |from: usize, len: usize| {
                    let tiles = kept.len() / tile_len;
                    assert!(from + len <= tile_len);
                    // SAFETY: so many numbers of every tile.
                    unsafe { AllTiles::new(kept[from..].as_ptr(), tile_len, len, tiles) }
                };
                let (x, dy) = (all(x_at, rows * inputs * lanes), all(dy_at, rows * outputs * lanes));
                let batch = Batch { x, dy, lanes, images, rows, inputs, outputs };
                let mut dw = vec![f32::NAN; outputs * inputs];
                // In two parts, which need not be the plan's.
                let (first, second) = dw.split_at_mut(outputs / 3 * inputs);
                machine.run(WeightGrad { batch, outputs: 0..outputs / 3, dw: first });
                machine.run(WeightGrad { batch, outputs: outputs / 3..outputs, dw: second });
                prop_assert_eq!(&dw, &expected, "{:?}", machine);
            }
        }
    }
}
