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
//! A [matrix](super::matrices) is applied to the columns of a tile and then to its rows. Pairs of its rows differ in the sign
//! of the odd columns, so that both their values are made of one even and one odd part, which halves the work. With the
//! zeros left out, a column of six takes 13 or 14 operations instead of 36.

use super::matrices::Matrix;
pub(crate) use super::matrices::Winograd;
use crate::simd::Lanes;

/// `matrix · x · matrixᵀ`.
#[inline(always)]
pub(crate) fn spread<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[[S::V; C]; C],
) -> [[S::V; R]; R] {
    let mut y = [[simd.splat(0.0); R]; R];
    spread_to(simd, matrix, x, &mut y);
    y
}

/// `matrixᵀ · x · matrix`.
#[inline(always)]
pub(crate) fn gather<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[[S::V; R]; R],
) -> [[S::V; C]; C] {
    let mut y = [[simd.splat(0.0); C]; C];
    gather_to(simd, matrix, x, &mut y);
    y
}

/// [`spread`] from and to anywhere: a tile is too large for the registers, so a copy of it costs as much as a third of the
/// transform.
#[inline(always)]
pub(crate) fn spread_to<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &impl Source<S>,
    y: &mut impl Sink<S>,
) {
    let zero = simd.splat(0.0);
    let mut half = [[zero; C]; R];
    for column in 0..C {
        let mut values = [zero; C];
        for (row, value) in values.iter_mut().enumerate() {
            *value = x.get(simd, row, column);
        }
        let values = evaluate(simd, matrix, &values);
        for (half, value) in half.iter_mut().zip(&values) {
            half[column] = *value;
        }
    }
    for (row, half) in half.iter().enumerate() {
        for (column, &value) in evaluate(simd, matrix, half).iter().enumerate() {
            y.set(simd, row, column, value);
        }
    }
}

/// [`gather`] from and to anywhere.
#[inline(always)]
pub(crate) fn gather_to<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &impl Source<S>,
    y: &mut impl Sink<S>,
) {
    let zero = simd.splat(0.0);
    let mut half = [[zero; R]; C];
    for column in 0..R {
        let mut values = [zero; R];
        for (row, value) in values.iter_mut().enumerate() {
            *value = x.get(simd, row, column);
        }
        let values = interpolate(simd, matrix, &values);
        for (half, value) in half.iter_mut().zip(&values) {
            half[column] = *value;
        }
    }
    for (row, half) in half.iter().enumerate() {
        for (column, &value) in interpolate(simd, matrix, half).iter().enumerate() {
            y.set(simd, row, column, value);
        }
    }
}

/// Where a transform reads a square of vectors, row by column.
pub(crate) trait Source<S: Lanes> {
    fn get(&self, simd: S, row: usize, column: usize) -> S::V;
}

/// Where a transform writes one.
pub(crate) trait Sink<S: Lanes> {
    fn set(&mut self, simd: S, row: usize, column: usize, value: S::V);
}

impl<S: Lanes, const N: usize> Source<S> for [[S::V; N]; N] {
    #[inline(always)]
    fn get(&self, _: S, row: usize, column: usize) -> S::V {
        self[row][column]
    }
}

impl<S: Lanes, const N: usize> Sink<S> for [[S::V; N]; N] {
    #[inline(always)]
    fn set(&mut self, _: S, row: usize, column: usize, value: S::V) {
        self[row][column] = value;
    }
}

/// `matrix · x`: a mirrored row and the one before it are the sum and the difference of even and odd columns.
#[inline(always)]
pub(super) fn evaluate<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[S::V; C],
) -> [S::V; R] {
    // Even and odd columns apart where the next row wants the difference; all in the first sum elsewhere.
    let mut sums = [[Sum(None); 2]; R];
    for (c, &x) in x.iter().enumerate() {
        for (r, sums) in sums.iter_mut().enumerate() {
            if !matrix.mirrored[r] {
                let odd = r + 1 < R && matrix.mirrored[r + 1] && c % 2 == 1;
                sums[odd as usize].add(simd, matrix.rows[r][c], x);
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
pub(super) fn interpolate<S: Lanes, const R: usize, const C: usize>(
    simd: S,
    matrix: &Matrix<R, C>,
    x: &[S::V; R],
) -> [S::V; C] {
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
        for (c, sum) in sums.iter_mut().enumerate() {
            sum.add(simd, matrix.rows[r][c], if c % 2 == 0 { even } else { odd });
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
