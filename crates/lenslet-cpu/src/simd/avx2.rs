//! AVX2 with fused multiply-add: 8 lanes, 16 registers; or 32, where the processor has AVX-512 too.

use std::arch::x86_64::*;

use super::{Kernel, Lanes};

/// A token: exists only inside [`run`] and [`run_wide`], so only where the processor has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const REGISTERS: usize>(());

/// Runs a kernel with the features enabled.
///
/// # Safety
/// The processor must have AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<16>(()))
}

/// The same with AVX-512's registers, of which half the width is used: for batches too small for 16 lanes.
///
/// # Safety
/// The processor must have AVX2, FMA, and AVX-512 F and VL.
#[target_feature(enable = "avx2,fma,avx512f,avx512vl")]
pub(super) unsafe fn run_wide<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2::<32>(()))
}

// SAFETY, for every intrinsic below: an `Avx2` exists only where the processor has AVX2 and FMA. Pointers are the
// caller's promise.
#[allow(clippy::undocumented_unsafe_blocks)]
impl<const R: usize> Lanes for Avx2<R> {
    const N: usize = 8;
    const REGISTERS: usize = R;
    type V = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load_from(self, from: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(from) }
    }

    #[inline(always)]
    unsafe fn store_to(self, v: __m256, to: *mut f32) {
        unsafe { _mm256_storeu_ps(to, v) }
    }

    #[inline(always)]
    fn fetch(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) }
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        unsafe { _mm256_sqrt_ps(a) }
    }

    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn if_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }

    #[inline(always)]
    fn if_equal(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_EQ_OQ>(a, b)) }
    }

    #[inline(always)]
    fn two_to(self, n: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
        }
    }

    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        unsafe {
            let halves = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let quarters = _mm_add_ps(halves, _mm_movehl_ps(halves, halves));
            _mm_cvtss_f32(_mm_add_ss(quarters, _mm_shuffle_ps::<1>(quarters, quarters)))
        }
    }

    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m256 {
        unsafe { _mm256_maskload_ps(from, first(count)) }
    }

    #[inline(always)]
    unsafe fn store_part(self, v: __m256, to: *mut f32, count: usize) {
        // The older instruction is a slow one on AMD.
        match R {
            32 => unsafe { _mm256_mask_storeu_ps(to, ((1u32 << count) - 1) as __mmask8, v) },
            _ => unsafe { _mm256_maskstore_ps(to, first(count), v) },
        }
    }

    #[inline(always)]
    fn unzip(self, a: __m256, b: __m256) -> [__m256; 2] {
        unsafe {
            let even = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
            let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0xdd>(a, b));
            let (even, odd) = (_mm256_permute4x64_pd::<0xd8>(even), _mm256_permute4x64_pd::<0xd8>(odd));
            [_mm256_castpd_ps(even), _mm256_castpd_ps(odd)]
        }
    }

    #[inline(always)]
    fn zip(self, a: __m256, b: __m256) -> [__m256; 2] {
        unsafe {
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
        }
    }

    /// Pairs of rows, then pairs of pairs, within halves of a vector; then the halves themselves.
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, from_step: usize, to: *mut f32, to_step: usize) {
        unsafe {
            let row = |i: usize| _mm256_loadu_ps(from.add(i * from_step));
            // fours[g][i]: in half h, numbers 4h + i of rows 4g to 4g + 3.
            let mut fours = [[_mm256_setzero_ps(); 4]; 2];
            for (g, four) in fours.iter_mut().enumerate() {
                let [a, b, c, d] = [row(4 * g), row(4 * g + 1), row(4 * g + 2), row(4 * g + 3)];
                let (ab, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (cd, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                *four = [
                    _mm256_shuffle_ps::<0x44>(ab, cd),
                    _mm256_shuffle_ps::<0xee>(ab, cd),
                    _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                    _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
                ];
            }
            let [upper, lower] = fours;
            for (i, (upper, lower)) in upper.into_iter().zip(lower).enumerate() {
                _mm256_storeu_ps(to.add(i * to_step), _mm256_permute2f128_ps::<0x20>(upper, lower));
                _mm256_storeu_ps(to.add((4 + i) * to_step), _mm256_permute2f128_ps::<0x31>(upper, lower));
            }
        }
    }
}

/// Which of 8 lanes are the first `count`.
#[inline(always)]
fn first(count: usize) -> __m256i {
    const ONES: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    let ones = &ONES[8 - count..][..8];
    // SAFETY: the slice has 8 numbers; only an `Avx2` calls this.
    unsafe { _mm256_loadu_si256(ones.as_ptr().cast()) }
}
