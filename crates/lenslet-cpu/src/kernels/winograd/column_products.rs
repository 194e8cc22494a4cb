//! The products of Winograd's convolution where images stand in the lanes: at each place of transformed tiles a product of
//! matrices, output channels by *columns*, each of which is one position of one tile of images.
//!
//! A register tile is 8 output channels by up to 3 columns (4 by 3 or 2 with 16 registers): a weight goes into all lanes and
//! meets each column's vector.

use crate::simd::Lanes;

/// `m[o][column] = Σ weight[c][o]·v[column][c]` for a block of output channels at one place: `block` numbers from one inner
/// channel's weights to the next one's, and `v_step` from a column's vector to its next.
#[inline(always)]
pub(super) fn products<S: Lanes>(simd: S, weight: &[f32], block: usize, v: &[&[f32]], v_step: usize, m: &mut [f32]) {
    let mut first = 0;
    while first < v.len() {
        let rest = &v[first..];
        let count = match rest.len() {
            // Four are two and two.
            3 | 5.. if S::REGISTERS >= 32 || S::PAIRS => 3,
            1 => 1,
            _ => 2,
        };
        let m_step = v.len() * S::N;
        for o in (0..block).step_by(8) {
            let (weight, m) = (&weight[o..], &mut m[o * m_step + first * S::N..]);
            macro_rules! tile {
                ($o:literal by $p:literal) => {
                    for o in (0..8).step_by($o) {
                        register_tile::<S, $o, $p>(
                            simd,
                            &weight[o..],
                            block,
                            rest,
                            v_step,
                            &mut m[o * m_step..],
                            m_step,
                        );
                    }
                };
            }
            match (count, S::REGISTERS >= 32) {
                (3, true) => tile!(8 by 3),
                (2, true) => tile!(8 by 2),
                (1, _) => tile!(8 by 1),
                (3, false) => tile!(4 by 3),
                _ => tile!(4 by 2),
            }
        }
        first += count;
    }
}

/// `O` output channels by the first `P` columns; `m_step` numbers from one output channel's sums to the next one's.
#[inline(always)]
fn register_tile<S: Lanes, const O: usize, const P: usize>(
    simd: S,
    weight: &[f32],
    block: usize,
    v: &[&[f32]],
    v_step: usize,
    m: &mut [f32],
    m_step: usize,
) {
    let inner = weight.len().div_ceil(block);
    assert!(weight.len() >= (inner - 1) * block + O && m.len() >= (O - 1) * m_step + P * S::N);
    let mut columns = [std::ptr::null(); P];
    for (column, v) in columns.iter_mut().zip(v) {
        assert!(v.len() >= (inner - 1) * v_step + S::N);
        *column = v.as_ptr();
    }
    let mut sums = [[simd.splat(0.0); P]; O];
    // SAFETY: the asserts: `O` weights and a vector of each column for each inner channel, `P` sums for each output channel.
    unsafe {
        for c in 0..inner {
            let mut tiles = [simd.splat(0.0); P];
            for (tile, column) in tiles.iter_mut().zip(&columns) {
                *tile = simd.load_from(column.add(c * v_step));
            }
            for (o, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat(*weight.as_ptr().add(c * block + o));
                for (sum, &tile) in sums.iter_mut().zip(&tiles) {
                    *sum = simd.mul_add(weight, tile, *sum);
                }
            }
        }
        for (o, sums) in sums.iter().enumerate() {
            for (p, &sum) in sums.iter().enumerate() {
                simd.store_to(sum, m.as_mut_ptr().add(o * m_step + p * S::N));
            }
        }
    }
}
