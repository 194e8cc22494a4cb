//! All weights cut into parts, which threads share.
//!
//! A part is a piece of one parameter. *Invariant:* the parts depend on the parameters' sizes alone, and sums over them are
//! formed in their order, so the number of threads changes no bit.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use lenslet_cpu::loops::{self, Loops};
use lenslet_cpu::{Apart, Pool, shares};

use crate::Weights;

/// The parts of a network's weights.
pub(crate) struct Parts {
    /// Where each stands among all weights.
    ranges: Apart,
    /// Which parameter each belongs to, and where that begins.
    parameters: Vec<(usize, usize)>,
    /// Where each parameter stands.
    wholes: Vec<Range<usize>>,
    /// The bits of each part's sum of squares.
    squares: Vec<AtomicU64>,
}

impl Parts {
    pub(crate) fn new(weights: &Weights) -> Self {
        // What a part is ordered by, its range, and the parameter.
        let mut parts = vec![];
        for number in 0..weights.parameters().len() {
            let Range { start, end } = weights.range(number);
            let count = shares::parts(end - start);
            for part in 0..count {
                let range = shares::part(end - start, part);
                let order = shares::order(part, count, end - start);
                parts.push((order, start + range.start..start + range.end, (number, start)));
            }
        }
        parts.sort_by_key(|&(order, ..)| order);
        let ranges = Apart::new(parts.iter().map(|(_, range, _)| range.clone()).collect());
        let parameters = parts.into_iter().map(|(.., parameter)| parameter).collect();
        let squares = ranges.iter().map(|_| AtomicU64::new(0)).collect();
        let wholes = (0..weights.parameters().len()).map(|number| weights.range(number)).collect();
        Self { ranges, parameters, wholes, squares }
    }

    /// Where the parts stand among all weights, in the order in which threads share them.
    pub(crate) fn ranges(&self) -> &Apart {
        &self.ranges
    }

    /// Where a parameter stands among all weights.
    pub(crate) fn whole(&self, parameter: usize) -> Range<usize> {
        self.wholes[parameter].clone()
    }

    /// The parameter that a part belongs to.
    pub(crate) fn parameter(&self, part: usize) -> usize {
        self.parameters[part].0
    }

    /// Where a part stands within its parameter.
    pub(crate) fn within(&self, part: usize) -> Range<usize> {
        let (range, begin) = (&self.ranges[part], self.parameters[part].1);
        range.start - begin..range.end - begin
    }

    /// The norm of all gradients together; not a number, or infinite, as soon as one gradient is.
    pub(crate) fn norm<'a>(&self, pool: &mut Pool, gradient: &(dyn Fn(usize) -> Option<&'a [f32]> + Sync)) -> f64 {
        pool.run(self.ranges.len(), &|part, _| {
            let gradient = gradient(self.parameter(part)).map_or(&[][..], |gradient| &gradient[self.within(part)]);
            self.squares[part].store(loops::run(Squares(gradient)).to_bits(), Ordering::Relaxed);
        });
        // The pool's threads are done, so whatever they have stored is seen here.
        self.squares.iter().map(|square| f64::from_bits(square.load(Ordering::Relaxed))).sum::<f64>().sqrt()
    }
}

/// The sum of squares.
struct Squares<'a>(&'a [f32]);

/// Sums that are formed side by side: two of the widest vectors.
const SUMS: usize = 32;

/// Numbers that are added up in `f32`, which is fast; sums of so many are added up in `f64`, which is exact enough.
const PIECE: usize = 1024;

impl Loops for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let mut total = 0.0;
        for piece in self.0.chunks(PIECE) {
            let mut sums = [0.0_f32; SUMS];
            let rows = piece.chunks_exact(SUMS);
            for (sum, &g) in sums.iter_mut().zip(rows.remainder()) {
                *sum = g * g;
            }
            for row in rows {
                for (sum, &g) in sums.iter_mut().zip(row) {
                    *sum += g * g;
                }
            }
            for sum in sums {
                total += f64::from(sum);
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::{Graph, Init, Parameter, Shape};

    use super::*;

    /// Numbers of a part of what is cut, or about.
    const PART: usize = 1 << 12;

    /// Weights of parameters of these sizes.
    fn weights(sizes: &[usize]) -> Weights {
        let parameter = |&size: &usize| Parameter {
            name: size.to_string(),
            shape: Shape::whole(&[size]).expect("a possible size"),
            init: Init::Constant(0.0),
            trainable: true,
        };
        Weights::new(&Graph { parameters: sizes.iter().map(parameter).collect(), ..Graph::default() }, 0)
    }

    #[test]
    fn parts_cover_every_parameter_once() {
        let weights = weights(&[1, PART, 7, 8 * PART + 1]);
        let parts = Parts::new(&weights);
        let mut covered = [1, PART, 7, 8 * PART + 1].map(|size| vec![0; size]);
        for (part, range) in parts.ranges().iter().enumerate() {
            let (number, within) = (parts.parameter(part), parts.within(part));
            assert_eq!(range.start, weights.range(number).start + within.start);
            assert_eq!(range.len(), within.len());
            covered[number][within].iter_mut().for_each(|count| *count += 1);
        }
        assert!(covered.iter().flatten().all(|&count| count == 1));
    }

    /// The first half of the parts is the first half of every parameter that has several.
    #[test]
    fn halves_are_halves_of_every_parameter() {
        let parts = Parts::new(&weights(&[8 * PART, 7, 12 * PART - 5, 4 * PART]));
        let middle = parts.ranges().len() / 2;
        for (part, range) in parts.ranges().iter().enumerate() {
            let whole = parts.whole(parts.parameter(part));
            if whole == *range {
                continue;
            }
            assert_eq!(part < middle, range.start - whole.start < whole.len() / 2, "{part}");
        }
    }

    #[test]
    fn the_norm_is_that_of_f64_and_the_same_bits_on_any_number_of_threads() {
        let sizes = [1, 31, 33, PIECE + 5, 9 * PART + 77];
        let weights = weights(&sizes);
        let number = |i: usize| ((i * 7919) % 1000) as f32 / 300.0 - 1.5;
        let gradients: Vec<Vec<f32>> = sizes.iter().map(|&size| (0..size).map(number).collect()).collect();
        let norm = |threads: usize, gradients: &[Vec<f32>]| {
            // The second has no gradient.
            let gradient = |number: usize| (number != 1).then(|| &gradients[number][..]);
            Parts::new(&weights).norm(&mut Pool::new(threads), &gradient)
        };
        let squares = gradients.iter().enumerate().filter(|&(number, _)| number != 1).flat_map(|(_, g)| g);
        let expected = squares.map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
        let one = norm(1, &gradients);
        assert!((one / expected - 1.0).abs() < 1e-6, "{one} is not {expected}");
        assert_eq!(one.to_bits(), norm(3, &gradients).to_bits());
        for (number, place) in [(0, 0), (2, 32), (4, 9 * PART + 76)] {
            let mut gradients = gradients.clone();
            gradients[number][place] = f32::NAN;
            assert!(norm(2, &gradients).is_nan(), "{number} {place}");
        }
    }
}
