//! The matrices of Winograd's convolution, worked out at compile time.
//!
//! Behind it stands Toom and Cook's way to multiply polynomials: evaluate both at n − 1 points and at infinity, multiply
//! value by value, interpolate. `A` and `G` evaluate polynomials of m and of r coefficients (`G` also divides, by the
//! denominators of Lagrange's polynomials); `B`'s columns are the numerators of those. So the [points](POINTS) say all.
//! They come in pairs ±p, whose powers, and numerators, differ in the sign of every other number.

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

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
    pub(super) rows: [[f32; C]; R],
    /// Whether a row is the one before it with the other sign in odd columns.
    pub(super) mirrored: [bool; R],
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
