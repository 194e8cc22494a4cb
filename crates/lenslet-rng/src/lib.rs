//! Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//!
//! *Invariant:* every number is a pure function of (seed, purpose, coordinates, position). Nothing depends on threads,
//! on what was drawn before elsewhere, or on where a run was resumed; and since only integer arithmetic, IEEE `+ − × ÷`
//! and `sqrt` are used (never the platform's `ln` or `cos`), nothing depends on the machine either.
//!
//! The key is the seed. The four counter words are (block, a, b, purpose), so streams of different purposes or
//! coordinates never share a block.
#![forbid(unsafe_code)]

/// Philox4x32 with ten rounds: a bijection on the 128-bit counter for each 64-bit key.
#[inline]
pub const fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    let mut round = 0;
    while round < 10 {
        let p0 = c0 as u64 * 0xD251_1F53;
        let p1 = c2 as u64 * 0xCD9E_8D57;
        (c0, c1, c2, c3) = ((p1 >> 32) as u32 ^ c1 ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c3 ^ k1, p0 as u32);
        // The key moves on by the golden ratio and by sqrt(3) − 1, as 32-bit fractions.
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
        round += 1;
    }
    [c0, c1, c2, c3]
}

/// What random numbers are for; keeps the streams of one seed apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Initial weights; a = index of the parameter.
    Init = 0,
    /// Order of the images; a = epoch, see [`shuffle`].
    Shuffle = 1,
    /// Augmentation; a = epoch, b = image.
    Augment = 2,
    /// Dropout masks, see [`dropout_uniform4`].
    Dropout = 3,
    /// The embedded data set `shapes`; a = split, b = picture.
    Shapes = 4,
    /// Mixing of two images; a = epoch, b = the first of them.
    Mix = 5,
}

const fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// The 24 high bits as a number in [0, 1); 24 bits fit an `f32` exactly.
const fn unit(word: u32) -> f32 {
    (word >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// A stream of random numbers, fixed by (seed, purpose, a, b). It holds 2³⁴ words, then starts over.
///
/// ```
/// use lenslet_rng::{Purpose, Stream};
/// let mut weights = Stream::new(0, Purpose::Init, 3, 0); // the fourth parameter of a network
/// assert!((-0.5..0.5).contains(&weights.range(-0.5, 0.5)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    key: [u32; 2],
    counter: [u32; 4],
    words: [u32; 4],
    /// How many of `words` are used up.
    used: usize,
}

impl Stream {
    /// The stream of `seed` for `purpose`; what `a` and `b` mean stands at the [`Purpose`].
    pub const fn new(seed: u64, purpose: Purpose, a: u32, b: u32) -> Self {
        Self { key: key(seed), counter: [0, a, b, purpose as u32], words: [0; 4], used: 4 }
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        if self.used == 4 {
            self.words = philox4x32(self.counter, self.key);
            self.counter[0] = self.counter[0].wrapping_add(1);
            self.used = 0;
        }
        self.used += 1;
        self.words[self.used - 1]
    }

    /// Uniform in [0, 1), 24 bits.
    pub fn uniform(&mut self) -> f32 {
        unit(self.next_u32())
    }

    /// Uniform in [`lo`, `hi`); rounding may yield `hi` itself where the two are close.
    pub fn range(&mut self, lo: f32, hi: f32) -> f32 {
        lo + (hi - lo) * self.uniform()
    }

    /// Uniform in 0..n without bias (Lemire, "Fast random integer generation in an interval", 2019); 0 where n is 0.
    pub fn below(&mut self, n: u32) -> u32 {
        let mut product = u64::from(self.next_u32()) * u64::from(n);
        if (product as u32) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u32) < threshold {
                product = u64::from(self.next_u32()) * u64::from(n);
            }
        }
        (product >> 32) as u32
    }

    /// Standard normal (Marsaglia's polar method).
    pub fn normal(&mut self) -> f32 {
        loop {
            let (x, y) = (f64::from(self.range(-1.0, 1.0)), f64::from(self.range(-1.0, 1.0)));
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return (x * (-2.0 * ln(s) / s).sqrt()) as f32;
            }
        }
    }
}

/// Natural logarithm of a positive normal number from basic arithmetic alone, to about 1e-15: the platform's own
/// differs in the last bit from machine to machine. With x = m·2ᵉ and t = (m − 1)/(m + 1), ln m = 2·atanh t.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | 1023 << 52);
    if mantissa > std::f64::consts::SQRT_2 {
        (mantissa, exponent) = (mantissa / 2.0, exponent + 1);
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    // |t| < 0.172, so the terms up to t²¹/21 leave less than 1e-18.
    let series = (0..=10).rev().fold(0.0, |sum, k| sum * (t * t) + 1.0 / f64::from(2 * k + 1));
    2.0 * t * series + f64::from(exponent) * std::f64::consts::LN_2
}

/// Fisher–Yates: `order` becomes the permutation of 0..`order.len()` that belongs to `seed` and `epoch`.
///
/// What `order` held before is of no account, so a resumed run gets the same order. Lengths go up to `u32::MAX`.
pub fn shuffle(order: &mut [u32], seed: u64, epoch: u64) {
    let mut random = Stream::new(seed, Purpose::Shuffle, epoch as u32, (epoch >> 32) as u32);
    for i in 0..order.len() {
        // "Inside-out": element i enters at a random place j ≤ i and what stood there moves to i.
        let j = random.below(i as u32 + 1) as usize;
        order[i] = order[j];
        order[j] = i as u32;
    }
}

/// Four uniform numbers in [0, 1) for elements `4·element_block ..` of one image at one step, by random access:
/// a dropout mask can be made anew wherever it is needed. `layer` must be below 2²⁴.
#[inline]
pub const fn dropout_uniform4(seed: u64, layer: u32, step: u32, image: u32, element_block: u32) -> [f32; 4] {
    debug_assert!(layer < 1 << 24);
    let [a, b, c, d] = philox4x32([element_block, image, step, Purpose::Dropout as u32 | layer << 8], key(seed));
    [unit(a), unit(b), unit(c), unit(d)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of Random123 1.14 (D. E. Shaw Research), the lines "philox4x32 10".
    #[test]
    fn known_answers() {
        let cases = [
            ([0; 4], [0; 2], [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]),
            ([!0; 4], [!0; 2], [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]),
            (
                [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
                [0xa4093822, 0x299f31d0],
                [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
            ),
        ];
        for (counter, key, expected) in cases {
            assert_eq!(philox4x32(counter, key), expected, "counter {counter:x?}, key {key:x?}");
        }
    }

    #[test]
    fn streams_differ_in_each_coordinate() {
        let first = |seed, purpose, a, b| {
            let mut stream = Stream::new(seed, purpose, a, b);
            [stream.next_u32(), stream.next_u32()]
        };
        let base = first(1, Purpose::Init, 2, 3);
        assert_eq!(base, first(1, Purpose::Init, 2, 3));
        for other in [
            first(1 << 32 | 1, Purpose::Init, 2, 3),
            first(1, Purpose::Augment, 2, 3),
            first(1, Purpose::Init, 0, 3),
            first(1, Purpose::Init, 2, 0),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn below_is_in_range_and_even() {
        let mut stream = Stream::new(0, Purpose::Init, 0, 0);
        let mut counts = [0u32; 7];
        for _ in 0..70_000 {
            counts[stream.below(7) as usize] += 1;
        }
        // Five standard deviations of a binomial with n = 70,000 and p = 1/7.
        assert!(counts.iter().all(|&n| n.abs_diff(10_000) < 463), "{counts:?}");
        assert_eq!((stream.below(1), stream.below(0)), (0, 0));
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let mut stream = Stream::new(0, Purpose::Init, 0, 0);
        let n = 100_000;
        let (mut sum, mut squares, mut fourth) = (0.0, 0.0, 0.0);
        for _ in 0..n {
            let x = f64::from(stream.normal());
            (sum, squares, fourth) = (sum + x, squares + x * x, fourth + x * x * x * x);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.016, "mean {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.023, "variance {}", squares / n);
        assert!((fourth / n - 3.0).abs() < 0.16, "fourth moment {}", fourth / n);
    }

    #[test]
    fn ln_is_the_logarithm() {
        for x in [1e-14, 0.1, 0.5, 0.707, 0.708, 0.999_999, 1.0, 1.5, 1e10] {
            assert!((ln(x) - f64::ln(x)).abs() <= 1e-15 * f64::ln(x).abs().max(1.0), "ln {x}");
        }
    }

    /// Pinned: these bits must be the same on every machine and in every version, or runs are not repeatable.
    #[test]
    fn pinned_bits() {
        let mut stream = Stream::new(42, Purpose::Init, 1, 2);
        let drawn = [stream.uniform(), stream.range(-1.0, 1.0), stream.normal(), stream.normal()];
        assert_eq!(drawn.map(f32::to_bits), [1046447060, 3207448384, 3212453334, 3215473234]);
    }

    #[test]
    fn shuffle_is_a_permutation_that_forgets_what_was_there() {
        let mut order = [7; 100];
        shuffle(&mut order, 5, 0);
        let first = order;
        shuffle(&mut order, 5, 1);
        assert_ne!(order, first);
        shuffle(&mut order, 5, 0);
        assert_eq!(order, first);
        order.sort_unstable();
        assert!(order.iter().copied().eq(0..100));
        shuffle(&mut [], 5, 0);
    }

    #[test]
    fn dropout_is_uniform_and_apart_from_other_streams() {
        let mut sum = 0.0;
        for block in 0..25_000 {
            sum += dropout_uniform4(1, 2, 3, 4, block).iter().map(|&u| f64::from(u)).sum::<f64>();
        }
        assert!((sum / 100_000.0 - 0.5).abs() < 0.0046, "mean {}", sum / 100_000.0);
        let base = dropout_uniform4(1, 2, 3, 4, 5);
        let mut stream = Stream::new(1, Purpose::Dropout, 4, 3);
        assert_ne!(base[0], stream.uniform());
        for other in [
            dropout_uniform4(0, 2, 3, 4, 5),
            dropout_uniform4(1, 0, 3, 4, 5),
            dropout_uniform4(1, 2, 0, 4, 5),
            dropout_uniform4(1, 2, 3, 0, 5),
            dropout_uniform4(1, 2, 3, 4, 0),
        ] {
            assert_ne!(base, other);
        }
    }
}
