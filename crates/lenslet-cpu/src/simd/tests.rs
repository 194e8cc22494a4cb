//! The operations that instruction sets have their own ways for, against plain loops.

use super::{Isa, Kernel, Lanes, MAX_LANES};

/// Moves of lanes, and vectors that are read or written in part.
struct Moves;

impl Kernel for Moves {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let numbers: [f32; 2 * MAX_LANES] = std::array::from_fn(|i| i as f32 + 1.0);
        let (a, b) = (simd.load(&numbers, 0), simd.load(&numbers, 1));
        let number = |i: usize| numbers[i];
        let [even, odd] = simd.unzip(a, b).map(|v| lanes(simd, v));
        assert_eq!(even, (0..S::N).map(|i| number(2 * i)).collect::<Vec<_>>());
        assert_eq!(odd, (0..S::N).map(|i| number(2 * i + 1)).collect::<Vec<_>>());
        let zipped = simd.zip(a, b).map(|v| lanes(simd, v)).concat();
        assert_eq!(zipped, (0..2 * S::N).map(|i| number(i / 2 + i % 2 * S::N)).collect::<Vec<_>>());

        let mut vectors = [simd.splat(0.0); MAX_LANES];
        for (i, vector) in vectors.iter_mut().enumerate() {
            *vector = simd.load(&numbers[i..], 0);
        }
        let sums = lanes(simd, simd.sum_each(&vectors));
        assert_eq!(sums, (0..S::N).map(|i| numbers[i..i + S::N].iter().sum()).collect::<Vec<f32>>());

        for count in 0..=S::N {
            // SAFETY: there are twice as many numbers.
            let part = lanes(simd, unsafe { simd.load_part(numbers.as_ptr().add(1), count) });
            assert_eq!(part, (0..S::N).map(|i| if i < count { number(i + 1) } else { 0.0 }).collect::<Vec<_>>());
            let mut to = [0.0; 2 * MAX_LANES];
            // SAFETY: there is room for twice as many.
            unsafe { simd.store_part(a, to.as_mut_ptr().add(1), count) };
            let written = |i: usize| (1..=count).contains(&i);
            let expected = |i: usize| if written(i) { number(i - 1) } else { 0.0 };
            assert_eq!(to, std::array::from_fn::<f32, { 2 * MAX_LANES }, _>(expected));
        }
    }
}

#[inline(always)]
fn lanes<S: Lanes>(simd: S, v: S::V) -> Vec<f32> {
    let mut lanes = [0.0; MAX_LANES];
    simd.store(v, &mut lanes, 0);
    lanes[..S::N].to_vec()
}

#[test]
fn lanes_are_moved_as_said() {
    for isa in Isa::available() {
        isa.run(Moves);
        isa.run_one_lane(Moves);
    }
}
