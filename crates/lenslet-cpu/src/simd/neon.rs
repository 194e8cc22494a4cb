//! NEON: 8 lanes as pairs of vectors of 4, so 16 pairs in 32 registers.
//!
//! Lanes and the order of sums are those of AVX2 with FMA. Pairs also keep twice as many sums under way as a kernel counts,
//! which is what processors that do four multiply-adds a cycle want (Apple's, Neoverse V1 and V2). Register tiles are such
//! that the sums of convolutions stay in registers (but for one in `channels/conv2d_weight_grad.rs`), by the assembly.
//!
//! Tested under emulation (`tests/neon.sh`); its speed was never measured on such a processor.

use std::arch::aarch64::*;
use std::arch::asm;

use super::Lanes;

/// NEON belongs to every 64-bit Arm that has an operating system, so nobody has to be asked.
#[derive(Clone, Copy)]
pub(super) struct Neon;

const _: () = assert!(cfg!(target_feature = "neon"), "this target's calls pass floats without NEON");

/// Lanes 0 to 3 and 4 to 7.
#[derive(Clone, Copy)]
pub(super) struct Pair(float32x4_t, float32x4_t);

// SAFETY, for every intrinsic below: the target has NEON, as the assertion above says. Pointers are the caller's promise.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Neon {
    const N: usize = 8;
    const REGISTERS: usize = 16;
    const PAIRS: bool = true;
    type V = Pair;

    #[inline(always)]
    fn splat(self, x: f32) -> Pair {
        let four = unsafe { vdupq_n_f32(x) };
        Pair(four, four)
    }

    #[inline(always)]
    unsafe fn load_from(self, from: *const f32) -> Pair {
        unsafe { Pair(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }

    #[inline(always)]
    unsafe fn store_to(self, v: Pair, to: *mut f32) {
        unsafe {
            vst1q_f32(to, v.0);
            vst1q_f32(to.add(4), v.1);
        }
    }

    /// Into the second cache; the intrinsic is not stable yet.
    #[inline(always)]
    fn fetch(self, at: *const f32) {
        unsafe { asm!("prfm pldl2keep, [{}]", in(reg) at, options(nostack, preserves_flags, readonly)) }
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        unsafe { Pair(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        unsafe { Pair(vsubq_f32(a.0, b.0), vsubq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        unsafe { Pair(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn div(self, a: Pair, b: Pair) -> Pair {
        unsafe { Pair(vdivq_f32(a.0, b.0), vdivq_f32(a.1, b.1)) }
    }

    #[inline(always)]
    fn sqrt(self, a: Pair) -> Pair {
        unsafe { Pair(vsqrtq_f32(a.0), vsqrtq_f32(a.1)) }
    }

    #[inline(always)]
    fn mul_add(self, a: Pair, b: Pair, c: Pair) -> Pair {
        unsafe { Pair(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1)) }
    }

    #[inline(always)]
    fn if_less(self, a: Pair, b: Pair, yes: Pair, no: Pair) -> Pair {
        unsafe { Pair(vbslq_f32(vcltq_f32(a.0, b.0), yes.0, no.0), vbslq_f32(vcltq_f32(a.1, b.1), yes.1, no.1)) }
    }

    #[inline(always)]
    fn if_equal(self, a: Pair, b: Pair, yes: Pair, no: Pair) -> Pair {
        unsafe { Pair(vbslq_f32(vceqq_f32(a.0, b.0), yes.0, no.0), vbslq_f32(vceqq_f32(a.1, b.1), yes.1, no.1)) }
    }

    #[inline(always)]
    fn two_to(self, n: Pair) -> Pair {
        let two_to = |n| unsafe {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
        };
        Pair(two_to(n.0), two_to(n.1))
    }

    #[inline(always)]
    fn sum(self, v: Pair) -> f32 {
        unsafe {
            let halves = vaddq_f32(v.0, v.1);
            vpadds_f32(vadd_f32(vget_low_f32(halves), vget_high_f32(halves)))
        }
    }

    /// Four blocks of four by four: pairs of rows, then pairs of pairs.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        for block in 0..4 {
            let (row, column) = (block / 2 * 4, block % 2 * 4);
            unsafe {
                let row_of = |i: usize| vld1q_f32(from.add((row + i) * from_step + column));
                let [a, b, c, d] = [row_of(0), row_of(1), row_of(2), row_of(3)];
                // Numbers 0 and 2 of each row beside those of the next, then 1 and 3.
                let two = |a, b| [vreinterpretq_f64_f32(vtrn1q_f32(a, b)), vreinterpretq_f64_f32(vtrn2q_f32(a, b))];
                let ([ab_even, ab_odd], [cd_even, cd_odd]) = (two(a, b), two(c, d));
                let columns = [
                    vzip1q_f64(ab_even, cd_even),
                    vzip1q_f64(ab_odd, cd_odd),
                    vzip2q_f64(ab_even, cd_even),
                    vzip2q_f64(ab_odd, cd_odd),
                ];
                for (i, numbers) in columns.into_iter().enumerate() {
                    vst1q_f32(to.add((column + i) * to_step + row), vreinterpretq_f32_f64(numbers));
                }
            }
        }
    }
}
