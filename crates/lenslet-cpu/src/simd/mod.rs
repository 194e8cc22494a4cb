//! Vectors whose lanes are images.
//!
//! A kernel is written once, over a type [`Lanes`], and compiled for each instruction set. A value of that type is a token
//! that only a capable processor hands out ([`Isa::detect`]), so calling its methods is safe. To be compiled *for* the
//! instruction set, a kernel is a struct with its arguments and a `run` that is inlined into a function which has the
//! features enabled; [`Isa::run`] calls that function. Whole values, and values of a tile of one image, have one lane,
//! [`Scalar`]; compiled for the instruction set too ([`Isa::run_one_lane`]).
//!
//! What differs between instruction sets: the number of lanes, and that only some have a fused multiply-add. Results
//! therefore agree closely between machines, and to the bit on one.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod scalar;
#[cfg(test)]
mod tests;

#[cfg(target_arch = "x86_64")]
use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use neon::Neon;
use portable::Portable;
pub(crate) use scalar::Scalar;

/// The operations of one instruction set on vectors of `N` lanes.
pub(crate) trait Lanes: Copy + Send + Sync + 'static {
    /// Lanes of a vector.
    const N: usize;
    /// Vectors that the processor holds at once: how large a register tile may be.
    const REGISTERS: usize;
    /// Whether a vector is a pair of registers, as with NEON. Its multiply-add reads no memory, but can read a number that is
    /// to be spread from one lane of a register, so other register tiles fit.
    const PAIRS: bool = false;
    /// A vector.
    type V: Copy;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;

    /// The vector at the beginning of `from`.
    ///
    /// # Safety
    /// `from` must be valid for reading `N` numbers.
    unsafe fn load_from(self, from: *const f32) -> Self::V;

    /// Writes the vector to the beginning of `to`.
    ///
    /// # Safety
    /// `to` must be valid for writing `N` numbers.
    unsafe fn store_to(self, v: Self::V, to: *mut f32);

    /// Asks for the cache line of an address, which need not be valid, to be brought near.
    #[inline(always)]
    fn fetch(self, _: *const f32) {}

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `a·b + c`, in one rounding where the instruction set has it.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;

    /// Lane by lane `if a < b { yes } else { no }`; a NaN is less than nothing.
    fn if_less(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// Lane by lane `if a == b { yes } else { no }`.
    fn if_equal(self, a: Self::V, b: Self::V, yes: Self::V, no: Self::V) -> Self::V;

    /// Lane by lane 2ⁿ, for whole numbers from −126 to 127.
    fn two_to(self, n: Self::V) -> Self::V;

    /// The sum of the lanes, halves first: the same order everywhere.
    fn sum(self, v: Self::V) -> f32;

    /// In lane `i` the sum of the lanes of `vectors[i]`.
    #[inline(always)]
    fn sum_each(self, vectors: &[Self::V; MAX_LANES]) -> Self::V {
        let mut sums = [0.0; MAX_LANES];
        for (sum, &v) in sums.iter_mut().zip(vectors).take(Self::N) {
            *sum = self.sum(v);
        }
        self.load(&sums, 0)
    }

    /// The first `count` numbers of `from`, and 0 in the other lanes.
    ///
    /// # Safety
    /// `from` must be valid for reading `count` numbers, which are at most `N`.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V {
        let mut lanes = [0.0; MAX_LANES];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's promise.
            *lane = unsafe { *from.add(i) };
        }
        self.load(&lanes, 0)
    }

    /// Writes the first `count` lanes to the beginning of `to`.
    ///
    /// # Safety
    /// `to` must be valid for writing `count` numbers, which are at most `N`.
    #[inline(always)]
    unsafe fn store_part(self, v: Self::V, to: *mut f32, count: usize) {
        let mut lanes = [0.0; MAX_LANES];
        self.store(v, &mut lanes, 0);
        for (i, &lane) in lanes.iter().enumerate().take(count) {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i) = lane };
        }
    }

    /// Of the numbers of `a` and then `b`, those at even places and those at odd ones.
    #[inline(always)]
    fn unzip(self, a: Self::V, b: Self::V) -> [Self::V; 2] {
        let mut both = [0.0; 2 * MAX_LANES];
        self.store(a, &mut both, 0);
        self.store(b, &mut both, 1);
        let mut apart = [[0.0; MAX_LANES]; 2];
        for i in 0..Self::N {
            (apart[0][i], apart[1][i]) = (both[2 * i], both[2 * i + 1]);
        }
        [self.load(&apart[0], 0), self.load(&apart[1], 0)]
    }

    /// The other way: the numbers of `a` at even places, those of `b` at odd ones.
    #[inline(always)]
    fn zip(self, a: Self::V, b: Self::V) -> [Self::V; 2] {
        let mut apart = [[0.0; MAX_LANES]; 2];
        self.store(a, &mut apart[0], 0);
        self.store(b, &mut apart[1], 0);
        let mut both = [0.0; 2 * MAX_LANES];
        for i in 0..Self::N {
            (both[2 * i], both[2 * i + 1]) = (apart[0][i], apart[1][i]);
        }
        [self.load(&both, 0), self.load(&both, 1)]
    }

    /// Transposes a block of `N` by `N` numbers: what stands at `from[row·from_step + column]` goes to
    /// `to[column·to_step + row]`.
    ///
    /// # Safety
    /// Those places must be valid for reading and writing, and apart from each other.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for row in 0..Self::N {
            for column in 0..Self::N {
                // SAFETY: the caller's promise.
                unsafe { *to.add(column * to_step + row) = *from.add(row * from_step + column) };
            }
        }
    }

    /// The vector number `i` of `from`.
    #[inline(always)]
    fn load(self, from: &[f32], i: usize) -> Self::V {
        let from = &from[i * Self::N..][..Self::N];
        // SAFETY: the slice has N numbers.
        unsafe { self.load_from(from.as_ptr()) }
    }

    /// Writes the vector number `i` of `to`.
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32], i: usize) {
        let to = &mut to[i * Self::N..][..Self::N];
        // SAFETY: the slice has N numbers.
        unsafe { self.store_to(v, to.as_mut_ptr()) }
    }

    /// A function of each lane that has no vector form.
    #[inline(always)]
    fn each(self, v: Self::V, f: impl Fn(usize, f32) -> f32) -> Self::V {
        let mut lanes = [0.0; MAX_LANES];
        self.store(v, &mut lanes, 0);
        for (i, lane) in lanes[..Self::N].iter_mut().enumerate() {
            *lane = f(i, *lane);
        }
        self.load(&lanes, 0)
    }

    /// `e^v` to 2 units in the last place; below 2⁻¹²⁵ it is 0.
    ///
    /// With `v = n·ln 2 + r`, a polynomial in `r` (of Cephes' `expf`) times 2ⁿ. Adding 1.5·2²³ and taking it away again
    /// rounds to a whole number. It is 2ⁿ⁻¹ first, then twice that, as n may be 128.
    #[inline(always)]
    #[allow(clippy::excessive_precision)] // Cephes' digits, as published.
    fn exp(self, v: Self::V) -> Self::V {
        const SHIFT: f32 = 1.5 * (1 << 23) as f32;
        // ln 2 in two parts, the first so short that its product with n is exact.
        const LN_2: [f32; 2] = [0.693_359_375, -2.121_944_4e-4];
        const POLYNOMIAL: [f32; 6] =
            [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 5.000_000_1e-1];
        let shifted = self.mul_add(v, self.splat(std::f32::consts::LOG2_E), self.splat(SHIFT));
        let n = self.sub(shifted, self.splat(SHIFT));
        let r = self.mul_add(n, self.splat(-LN_2[0]), v);
        let r = self.mul_add(n, self.splat(-LN_2[1]), r);
        let mut tail = self.splat(0.0);
        for c in POLYNOMIAL {
            tail = self.mul_add(tail, r, self.splat(c));
        }
        let power = self.add(self.mul_add(tail, self.mul(r, r), r), self.splat(1.0));
        let half = self.two_to(self.sub(n, self.splat(1.0)));
        let power = self.mul(self.mul(power, half), self.splat(2.0));
        let power = self.if_less(v, self.splat(-125.0 * std::f32::consts::LN_2), self.splat(0.0), power);
        self.if_less(self.splat(88.722_84), v, self.splat(f32::INFINITY), power)
    }

    /// The first `images` lanes, and 0 in the others.
    #[inline(always)]
    fn keep(self, v: Self::V, images: usize) -> Self::V {
        if images == Self::N { v } else { self.each(v, |i, x| if i < images { x } else { 0.0 }) }
    }
}

/// The widest vector of any instruction set.
pub(crate) const MAX_LANES: usize = 16;

/// A kernel with its arguments.
pub(crate) trait Kernel {
    type Output;

    /// Runs it; must be `#[inline(always)]`, and so must what it calls in its inner loops.
    ///
    /// That rules out closures on vectors in `fold`, `map` or `from_fn`, which may become functions of their own, compiled
    /// without the instruction set: every operation is then a call. Loops do the same.
    fn run<S: Lanes>(self, simd: S) -> Self::Output;
}

/// 2ⁿ of one whole number, by its bits.
#[inline(always)]
fn two_to(n: f32) -> f32 {
    f32::from_bits(((n as i32).wrapping_add(127) as u32) << 23)
}

/// The instruction sets that kernels are compiled for, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// 16 lanes and 32 registers: Intel's servers since 2017, AMD since 2022. Made by [`Isa::detect`] alone.
    #[cfg(target_arch = "x86_64")]
    Avx512(Proof),
    /// Its registers at half their width, 8 lanes: for batches that do not fill 16.
    #[cfg(target_arch = "x86_64")]
    Avx512Half(Proof),
    /// 8 lanes with fused multiply-add and 16 registers: Intel since 2013, AMD since 2015.
    #[cfg(target_arch = "x86_64")]
    Avx2(Proof),
    /// 8 lanes as two vectors each, with fused multiply-add and room for 16: every 64-bit Arm.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// 8 lanes in plain Rust: every processor.
    Portable,
}

/// Proof that the processor was asked; cannot be made outside of this module.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof(());

/// From so many images on, tiles are as wide as the vectors, even where half the width takes half the time: below, narrower
/// tiles give more threads something to do.
#[cfg(target_arch = "x86_64")]
const WIDE_BATCH: usize = 32;

impl Isa {
    /// The best instruction set of this processor. The environment's `LENSLET_ISA` (`avx512`, `avx512-half`, `avx2`, `neon`,
    /// `portable`) names one that is to be taken for the best.
    pub fn detect() -> Self {
        static BEST: std::sync::OnceLock<Isa> = std::sync::OnceLock::new();
        *BEST.get_or_init(|| {
            let asked = Self::asked();
            let all = Self::available();
            let named = |isa: &&Isa| asked.as_deref().is_some_and(|name| isa.word() == name);
            all.iter().find(named).or(all.first()).copied().unwrap_or(Isa::Portable)
        })
    }

    /// What `LENSLET_ISA` says, if this processor has nothing of that name.
    pub fn asked_in_vain() -> Option<String> {
        let asked = Self::asked()?;
        Self::available().iter().all(|isa| isa.word() != asked).then_some(asked)
    }

    fn asked() -> Option<String> {
        Some(std::env::var_os("LENSLET_ISA")?.to_string_lossy().into_owned())
    }

    /// Images in a tile of a batch that fills lanes: as many as there are lanes, or half of them.
    pub(crate) fn tile(self, batch: usize) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) if batch < WIDE_BATCH && avx512::goes_by_halves() => self.lanes() / 2,
            _ => self.lanes(),
        }
    }

    /// What runs tiles of so many images: 1, or as [`Isa::tile`] says.
    pub fn for_lanes(self, lanes: usize) -> Self {
        if lanes == 1 { self } else { self.at_most(lanes) }
    }

    /// The same with no more lanes than that, which are 8 or 16.
    pub(crate) fn at_most(self, lanes: usize) -> Self {
        match self {
            isa if isa.lanes() <= lanes => isa,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(proof) => Isa::Avx512Half(proof),
            isa => isa,
        }
    }

    /// All instruction sets of this processor, the best first.
    pub fn available() -> Vec<Self> {
        let mut all = vec![];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                all.extend([Isa::Avx512(Proof(())), Isa::Avx512Half(Proof(()))]);
            }
            all.push(Isa::Avx2(Proof(())));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend([Isa::Neon]);
        all.push(Isa::Portable);
        all
    }

    /// Numbers in a vector.
    pub fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => Avx512::N,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Half(_) | Isa::Avx2(_) => Avx2::<16>::N,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::N,
            Isa::Portable => Portable::N,
        }
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Half(_) => "AVX-512, 8 lanes",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "AVX2 + FMA",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "NEON",
            Isa::Portable => "portable",
        }
    }

    /// Its name in the environment's `LENSLET_ISA`.
    pub fn word(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Half(_) => "avx512-half",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Runs a kernel, compiled for this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: only `available` makes this value, where the processor has the features.
            Isa::Avx512(_) => unsafe { avx512::run(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx512Half(_) => unsafe { avx2::run_wide(kernel) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Isa::Avx2(_) => unsafe { avx2::run(kernel) },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => kernel.run(Neon),
            Isa::Portable => kernel.run(Portable),
        }
    }

    /// Runs a kernel with one lane, compiled for this instruction set: the compiler makes vectors of its loops.
    pub(crate) fn run_one_lane<K: Kernel>(self, kernel: K) -> K::Output {
        self.run(OneLane(kernel))
    }
}

/// A kernel with one lane, whatever it is run with.
struct OneLane<K>(K);

impl<K: Kernel> Kernel for OneLane<K> {
    type Output = K::Output;

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> K::Output {
        self.0.run(Scalar)
    }
}
