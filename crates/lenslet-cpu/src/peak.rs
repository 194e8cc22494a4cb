//! What this machine could do at best: multiply-adds in registers, on all threads at once.
//!
//! The measure of every kernel: no memory is touched, and enough sums are under way to hide the latency of one.

use std::hint::black_box;
use std::time::Instant;

use crate::simd::{Isa, Kernel, Lanes};
use crate::tiles::Pool;

/// Sums under way at once: more than latency times multiply-adds a cycle, fewer than there are registers.
const SUMS: usize = 12;

/// Multiply-adds of each sum in one measurement: about a millisecond.
const LENGTH: usize = 1 << 18;

/// Measurements, of which the fastest counts.
const ROUNDS: usize = 12;

/// Floating-point operations per second of the best instruction set on the pool's threads together, in `f32`: a
/// multiply-add counts as two.
pub fn peak(pool: &mut Pool) -> f64 {
    let isa = Isa::detect();
    let threads = pool.threads();
    let operations = (2 * threads * SUMS * LENGTH * isa.lanes()) as f64;
    let round = |_| {
        let begin = Instant::now();
        pool.run(threads, &|_, _| {
            black_box(isa.run(MultiplyAdd { factor: black_box(0.5) }));
        });
        operations / begin.elapsed().as_secs_f64()
    };
    (0..ROUNDS).map(round).fold(0.0, f64::max)
}

struct MultiplyAdd {
    factor: f32,
}

impl Kernel for MultiplyAdd {
    type Output = f32;

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> f32 {
        let factor = simd.splat(self.factor);
        let mut sums = [factor; SUMS];
        for _ in 0..LENGTH {
            for sum in &mut sums {
                // The sum is what is added to: NEON's instruction overwrites that operand and no other.
                *sum = simd.mul_add(factor, factor, *sum);
            }
        }
        let mut total = sums[0];
        for &sum in &sums[1..] {
            total = simd.add(total, sum);
        }
        simd.sum(total)
    }
}
