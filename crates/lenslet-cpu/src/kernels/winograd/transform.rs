//! The transforms of Winograd's convolution: from tiles of an image, a kernel or a result to products, and back.
//!
//! F(m×m, r×r) makes an m×m tile of results from an n×n tile `x` of the image, n = m + r − 1, and an r×r kernel `g` with n²
//! products instead of m²·r² (Lavin & Gray 2015, arXiv 1509.09308):
//!
//! ```text
//! y  = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ x B)] A           the convolution
//! dg = Gᵀ [(Bᵀ x B) ⊙ (A dy Aᵀ)] G           its gradient by the kernel
//! ```
//!
//! Behind it stands Toom and Cook's way to multiply polynomials: evaluate both at n − 1 points and at infinity, multiply
//! value by value, interpolate. `A` and `G` evaluate polynomials of m and of r coefficients (`G` also divides, by the
//! denominators of Lagrange's polynomials); `B`'s columns are the numerators of those. So the [points](POINTS) say all, and
//! the matrices are worked out from them at compile time.
//!
//! A matrix is applied to the columns of a tile and then to its rows. Points come in pairs ±p, whose two polynomials differ
//! in the sign of the odd powers: both values are made of one even and one odd part, which halves the work. With the
//! zeros left out, a column of six takes 13 or 14 operations instead of 36.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::simd::Lanes;

/// Where polynomials are evaluated. For n = 6, pairs of 1/√2 and √2 have half the error of the usual 1 and 2 (and of 1 and
/// 1/2): 4.5e-8 of the sum of the products' sizes in the mean, 3e-7 at most, with 64 channels under F(4×4, 3×3). Their
/// squares and their product are short numbers, so that the matrices have as many zeros and hardly fewer ones.
const POINTS: [f64; 5] = [0.0, FRAC_1_SQRT_2, -FRAC_1_SQRT_2, SQRT_2, -SQRT_2];

/// F(M×M, R×R) on tiles of N×N.
pub(crate) struct Winograd<const N: usize, const M: usize, const R: usize>;

impl<const N: usize, const M: usize, const R: usize> Winograd<N, M, R> {
    /// `Bᵀ`: the image.
    pub(crate) const IMAGE: Matrix<N, N> = {
        assert!(N == M + R - 1 && N <= POINTS.len() + 1, "tiles of n = m + r − 1, for which there are points");
        numerators()
    };
    /// `A`: results.
    pub(crate) const RESULT: Matrix<N, M> = powers([1.0; N]);
    /// `G`: kernels.
    pub(crate) const KERNEL: Matrix<N, R> = powers(denominators::<N>());
}

/// A matrix of `R` rows, with what its rows have in common.
pub(crate) struct Matrix<const R: usize, const C: usize> {
    rows: [[f32; C]; R],
    /// Whether a row is the one before it with the other sign in odd columns.
    mirrored: [bool; R],
}

/// `matrix · x · matrixᵀ`.
#[inline(always)]
pub(crate) fn spread<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[[S::V; C]; C],
) -> [[S::V; R]; R] {
    let zero = simd.splat(0.0);
    let mut half = [[zero; C]; R];
    for column in 0..C {
        let mut values = [zero; C];
        for (value, row) in values.iter_mut().zip(x) {
            *value = row[column];
        }
        let values = evaluate(simd, matrix, &values);
        for (half, value) in half.iter_mut().zip(&values) {
            half[column] = *value;
        }
    }
    let mut all = [[zero; R]; R];
    for (all, half) in all.iter_mut().zip(&half) {
        *all = evaluate(simd, matrix, half);
    }
    all
}

/// `matrixᵀ · x · matrix`.
#[inline(always)]
pub(crate) fn gather<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[[S::V; R]; R],
) -> [[S::V; C]; C] {
    let zero = simd.splat(0.0);
    let mut half = [[zero; R]; C];
    for column in 0..R {
        let mut values = [zero; R];
        for (value, row) in values.iter_mut().zip(x) {
            *value = row[column];
        }
        let values = interpolate(simd, matrix, &values);
        for (half, value) in half.iter_mut().zip(&values) {
            half[column] = *value;
        }
    }
    let mut all = [[zero; C]; C];
    for (all, half) in all.iter_mut().zip(&half) {
        *all = interpolate(simd, matrix, half);
    }
    all
}

/// `matrix · x`: a mirrored row and the one before it are the sum and the difference of even and odd columns.
#[inline(always)]
fn evaluate<S: Lanes, const R: usize, const C: usize>(simd: S, matrix: &Matrix<R, C>, x: &[S::V; C]) -> [S::V; R] {
    // Even and odd columns apart where the next row wants the difference; all in the first sum elsewhere.
    let mut sums = [[Sum(None); 2]; R];
    for c in 0..C {
        for r in 0..R {
            if !matrix.mirrored[r] {
                let odd = r + 1 < R && matrix.mirrored[r + 1] && c % 2 == 1;
                sums[r][odd as usize].add(simd, matrix.rows[r][c], x[c]);
            }
        }
    }
    let mut values = [simd.splat(0.0); R];
    for r in 0..R {
        if matrix.mirrored[r] {
            values[r] = simd.sub(sums[r - 1][0].value(simd), sums[r - 1][1].value(simd));
        } else if r + 1 < R && matrix.mirrored[r + 1] {
            values[r] = simd.add(sums[r][0].value(simd), sums[r][1].value(simd));
        } else {
            values[r] = sums[r][0].value(simd);
        }
    }
    values
}

/// `matrixᵀ · x`: a mirrored row's number and the one before it serve even columns by their sum, odd ones by their
/// difference.
#[inline(always)]
fn interpolate<S: Lanes, const R: usize, const C: usize>(simd: S, matrix: &Matrix<R, C>, x: &[S::V; R]) -> [S::V; C] {
    let mut sums = [Sum(None); C];
    for r in 0..R {
        if matrix.mirrored[r] {
            continue;
        }
        let (mut even, mut odd) = (x[r], x[r]);
        if r + 1 < R && matrix.mirrored[r + 1] {
            even = simd.add(x[r], x[r + 1]);
            odd = simd.sub(x[r], x[r + 1]);
        }
        for c in 0..C {
            sums[c].add(simd, matrix.rows[r][c], if c % 2 == 0 { even } else { odd });
        }
    }
    let mut values = [simd.splat(0.0); C];
    for (value, sum) in values.iter_mut().zip(&sums) {
        *value = sum.value(simd);
    }
    values
}

/// A sum of products with numbers known at compile time: nothing is done for 0, no product for ±1.
#[derive(Clone, Copy)]
struct Sum<V>(Option<V>);

impl<V: Copy> Sum<V> {
    #[inline(always)]
    fn add<S: Lanes<V = V>>(&mut self, simd: S, factor: f32, x: V) {
        self.0 = match self.0 {
            sum if factor == 0.0 => sum,
            None if factor == 1.0 => Some(x),
            None => Some(simd.mul(simd.splat(factor), x)),
            Some(sum) if factor == 1.0 => Some(simd.add(sum, x)),
            Some(sum) if factor == -1.0 => Some(simd.sub(sum, x)),
            Some(sum) => Some(simd.mul_add(simd.splat(factor), x, sum)),
        };
    }

    #[inline(always)]
    fn value<S: Lanes<V = V>>(self, simd: S) -> V {
        match self.0 {
            Some(sum) => sum,
            None => simd.splat(0.0),
        }
    }
}

/// Row `j`: the powers 0 to C − 1 of point `j`, divided by `divisors[j]`. At infinity that is the last coefficient alone.
const fn powers<const R: usize, const C: usize>(divisors: [f64; R]) -> Matrix<R, C> {
    let mut rows = [[0.0f64; C]; R];
    let mut j = 0;
    while j < R - 1 {
        let (mut c, mut power) = (0, 1.0);
        while c < C {
            rows[j][c] = power / divisors[j];
            power *= POINTS[j];
            c += 1;
        }
        j += 1;
    }
    rows[R - 1][C - 1] = 1.0;
    Matrix::new(rows)
}

/// Row `j`: the coefficients of the product of `x − p` over all points but point `j`; over all points for infinity.
const fn numerators<const N: usize>() -> Matrix<N, N> {
    let mut rows = [[0.0f64; N]; N];
    let mut j = 0;
    while j < N {
        rows[j][0] = 1.0;
        let mut l = 0;
        while l < N - 1 {
            if l != j {
                // Times x − p, from the highest coefficient down.
                let mut c = N - 1;
                while c > 0 {
                    rows[j][c] = rows[j][c - 1] - POINTS[l] * rows[j][c];
                    c -= 1;
                }
                rows[j][0] *= -POINTS[l];
            }
            l += 1;
        }
        j += 1;
    }
    Matrix::new(rows)
}

/// For each point the product of its distances from the others; 1 for infinity.
const fn denominators<const N: usize>() -> [f64; N] {
    let mut products = [1.0; N];
    let mut j = 0;
    while j < N - 1 {
        let mut l = 0;
        while l < N - 1 {
            if l != j {
                products[j] *= POINTS[j] - POINTS[l];
            }
            l += 1;
        }
        j += 1;
    }
    products
}

impl<const R: usize, const C: usize> Matrix<R, C> {
    const fn new(exact: [[f64; C]; R]) -> Self {
        let mut rows = [[0.0; C]; R];
        let mut mirrored = [false; R];
        let mut r = 0;
        while r < R {
            mirrored[r] = r > 0 && !mirrored[r - 1];
            let mut c = 0;
            while c < C {
                rows[r][c] = exact[r][c] as f32;
                let sign = if c % 2 == 0 { 1.0 } else { -1.0 };
                mirrored[r] &= r > 0 && rows[r][c] == sign * rows[r - 1][c];
                c += 1;
            }
            r += 1;
        }
        Self { rows, mirrored }
    }
}
