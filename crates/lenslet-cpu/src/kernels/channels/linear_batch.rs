//! A dense layer on all images of a small batch at once, some of its output rows: forward, and their part of the gradient by
//! the input. The weight stands as PyTorch has it.
//!
//! As in [`linear`](super::linear) lanes are neighbouring inputs, but each vector of weights that is loaded serves up to 4
//! images: an output of 4 images is summed up in 2 vectors each forward, 4 vectors of inputs by 4 images backward.

use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::few_images::MOST_IMAGES;

use super::linear::{Row, activate, columns, product};
use crate::kernels::{AllTiles, AllTilesMut};
use crate::simd::{Kernel, Lanes};

/// Vectors of inputs that are summed up side by side.
const SUMS: usize = 4;

/// `y[image][o] = activation(bias[o] + Σ w[o][i]·x[image][i])` for some outputs.
pub(crate) struct Forward<'a> {
    pub(crate) x: AllTiles<'a>,
    /// The outputs' rows of weights.
    pub(crate) weight: &'a [f32],
    /// One number per output, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    /// The outputs.
    pub(crate) y: AllTilesMut<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let images = self.x.tiles;
        assert!(images <= MOST_IMAGES && self.y.tiles == images && self.x.len >= S::N);
        let rows: [Row<'_>; MOST_IMAGES] = std::array::from_fn(|i| Row::new(simd, self.x.tile(i.min(images - 1))));
        let mut image = 0;
        while image < images {
            image += match images - image {
                4.. if S::REGISTERS >= 32 => self.images::<S, 2, 4>(simd, &rows, image),
                2.. => self.images::<S, 4, 2>(simd, &rows, image),
                _ => self.images::<S, 4, 1>(simd, &rows, image),
            };
        }
        for image in 0..images {
            let y = self.y.tile(image);
            y.iter_mut().zip(self.bias).for_each(|(y, bias)| *y += bias);
            activate(simd, self.activation, y);
        }
    }
}

impl Forward<'_> {
    /// `R` images from `image` on, in `U` sums for each. Returns `R`.
    #[inline(always)]
    fn images<S: Lanes, const U: usize, const R: usize>(
        &mut self,
        simd: S,
        rows: &[Row<'_>; MOST_IMAGES],
        image: usize,
    ) -> usize {
        let rows: [&Row<'_>; R] = std::array::from_fn(|r| &rows[image + r]);
        for (o, weight) in self.weight.chunks_exact(self.x.len).enumerate() {
            for (r, sum) in product::<S, U, R>(simd, rows, weight).into_iter().enumerate() {
                self.y.tile(image + r)[o] = simd.sum(sum);
            }
        }
        R
    }
}

/// `dx[image][i] = Σ dy[image][o]·w[o][i]` over some outputs.
pub(crate) struct Backward<'a> {
    /// The outputs' gradients.
    pub(crate) dy: AllTiles<'a>,
    /// Their rows of weights.
    pub(crate) weight: &'a [f32],
    /// A number for each input; there are a vector of them or more.
    pub(crate) dx: AllTilesMut<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let (images, inputs) = (self.dy.tiles, self.weight.len() / self.dy.len);
        assert!(self.dx.tiles == images && inputs >= S::N);
        let mut image = 0;
        while image < images {
            image += match images - image {
                4.. if S::REGISTERS >= 32 => self.images::<S, 4>(simd, inputs, image),
                2.. => self.images::<S, 2>(simd, inputs, image),
                _ => self.images::<S, 1>(simd, inputs, image),
            };
        }
    }
}

impl Backward<'_> {
    /// `R` images from `image` on. Returns `R`.
    #[inline(always)]
    fn images<S: Lanes, const R: usize>(&mut self, simd: S, inputs: usize, image: usize) -> usize {
        let dy: [&[f32]; R] = std::array::from_fn(|r| self.dy.tile(image + r));
        let mut done = 0;
        while done < inputs {
            let first = done.min(inputs - S::N);
            done = first
                + match (inputs - first) / S::N {
                    SUMS.. => {
                        self.store(simd, columns::<S, SUMS, R>(simd, self.weight, inputs, dy, first), image, first)
                    }
                    _ => self.store(simd, columns::<S, 1, R>(simd, self.weight, inputs, dy, first), image, first),
                };
        }
        R
    }

    /// Writes vectors of inputs from `first` on. Returns how many inputs these are.
    #[inline(always)]
    fn store<S: Lanes, const V: usize, const R: usize>(
        &mut self,
        simd: S,
        sums: [[S::V; V]; R],
        image: usize,
        first: usize,
    ) -> usize {
        for (r, sums) in sums.iter().enumerate() {
            let dx = &mut self.dx.tile(image + r)[first..];
            sums.iter().enumerate().for_each(|(v, &sum)| simd.store(sum, &mut dx[v * S::N..], 0));
        }
        V * S::N
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::Random;
    use crate::simd::Isa;

    /// The values of all images, with something else around each image's.
    struct Memory {
        data: Vec<f32>,
        len: usize,
        images: usize,
    }

    const GAP: usize = 5;

    impl Memory {
        fn new(images: usize, len: usize, value: impl FnMut() -> f32) -> Self {
            let mut memory = Self { data: vec![f32::NAN; (len + 2 * GAP) * images], len, images };
            let places = (0..images).flat_map(|image| memory.place(image)).collect::<Vec<_>>();
            places.into_iter().zip(std::iter::repeat_with(value)).for_each(|(place, value)| memory.data[place] = value);
            memory
        }

        fn place(&self, image: usize) -> std::ops::Range<usize> {
            let first = image * (self.len + 2 * GAP) + GAP;
            first..first + self.len
        }

        fn image(&self, image: usize) -> &[f32] {
            &self.data[self.place(image)]
        }

        fn all(&self) -> AllTiles<'_> {
            // SAFETY: so many numbers of every image.
            unsafe { AllTiles::new(self.data.as_ptr().add(GAP), self.len + 2 * GAP, self.len, self.images) }
        }

        fn all_mut(&mut self) -> AllTilesMut<'_> {
            // SAFETY: the same, and the memory is borrowed for as long.
            unsafe { AllTilesMut::new(self.data.as_mut_ptr().add(GAP), self.len + 2 * GAP, self.len, self.images) }
        }

        fn gaps_are_untouched(&self) -> bool {
            let numbers = self.data.iter().filter(|x| !x.is_nan()).count();
            numbers == self.images * self.len
        }
    }

    proptest! {
        #[test]
        fn all_images_are_the_sums(
            [inputs, outputs, images] in [16usize..150, 1usize..30, 1usize..MOST_IMAGES + 1],
            [bias, relu] in [any::<bool>(), any::<bool>()],
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            // Small whole numbers: every order of adding gives the same.
            let mut number = || random.below(9) as f32 - 4.0;
            let (x, dy) = (Memory::new(images, inputs, &mut number), Memory::new(images, outputs, &mut number));
            let weight: Vec<f32> = (0..inputs * outputs).map(|_| number()).collect();
            let bias: Vec<f32> = (0..if bias { outputs } else { 0 }).map(|_| number()).collect();
            let activation = relu.then_some(Map::Relu);
            for isa in Isa::available() {
                let mut y = Memory::new(images, outputs, || 7.0);
                isa.run(Forward { x: x.all(), weight: &weight, bias: &bias, activation, y: y.all_mut() });
                prop_assert!(y.gaps_are_untouched(), "{:?}", isa);
                for image in 0..images {
                    for (o, &y) in y.image(image).iter().enumerate() {
                        let row = &weight[o * inputs..][..inputs];
                        let sum: f32 = row.iter().zip(x.image(image)).map(|(w, x)| w * x).sum();
                        let sum = sum + bias.get(o).copied().unwrap_or(0.0);
                        prop_assert_eq!(y, if relu { sum.max(0.0) } else { sum }, "{:?}, image {}, {}", isa, image, o);
                    }
                }
                let mut dx = Memory::new(images, inputs, || 7.0);
                isa.run(Backward { dy: dy.all(), weight: &weight, dx: dx.all_mut() });
                prop_assert!(dx.gaps_are_untouched(), "{:?}", isa);
                for image in 0..images {
                    for (i, &dx) in dx.image(image).iter().enumerate() {
                        let rows = weight.chunks_exact(inputs);
                        let sum: f32 = rows.zip(dy.image(image)).map(|(row, dy)| row[i] * dy).sum();
                        prop_assert_eq!(dx, sum, "{:?}, image {}, {}", isa, image, i);
                    }
                }
            }
        }
    }
}
