//! Weights in the order in which a convolution reads them; see [`Pack`].
//!
//! A block of 8 channels is a matrix of 8 rows, far apart in the source, and becomes one of 8 columns: in vectors of as many
//! lanes as the block has channels, squares of it are transposed in registers. Other blocks go number by number.

use lenslet_graph::plan::Pack;

use crate::simd::{Kernel, Lanes};

/// Blocks of output channels that can be packed side by side.
pub(crate) fn parts(pack: &Pack) -> usize {
    pack.groups * pack.outputs.div_ceil(pack.block)
}

/// Numbers of one block.
pub(crate) fn block_len(pack: &Pack) -> usize {
    pack.inner * pack.taps * pack.block
}

/// Multiplies block number `part` by a number per output channel: groups have `outputs` channels each, and blocks `block`.
pub(crate) fn scale(outputs: usize, block: usize, part: usize, scale: &[f32], packed: &mut [f32]) {
    let blocks = outputs.div_ceil(block);
    let (group, first) = (part / blocks, part % blocks * block);
    let channels = block.min(outputs - first);
    let scale = &scale[group * outputs + first..][..channels];
    for packed in packed.chunks_exact_mut(block) {
        packed.iter_mut().zip(scale).for_each(|(weight, scale)| *weight *= scale);
    }
}

/// Packs one block.
pub(crate) struct Block<'a> {
    pub(crate) pack: &'a Pack,
    pub(crate) part: usize,
    /// All weights, as they are.
    pub(crate) weight: &'a [f32],
    /// The block's part of the whole, `[inner][tap][channel in block]`.
    pub(crate) packed: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { pack, part, weight, packed } = self;
        let width = pack.block;
        let blocks = pack.outputs.div_ceil(width);
        let (group, first) = (part / blocks, part % blocks * width);
        let channels = width.min(pack.outputs - first);
        let [group_stride, channel_stride, inner_stride, tap_stride] = pack.strides;
        let weight = &weight[group * group_stride + first * channel_stride..];
        // Neighbouring inner channels may go on where the taps end.
        let (rows, row) =
            if inner_stride == pack.taps * tap_stride { (1, pack.inner * pack.taps) } else { (pack.inner, pack.taps) };
        for (inner, packed) in packed[..rows * row * width].chunks_exact_mut(row * width).enumerate() {
            let from = &weight[inner * inner_stride..];
            let mut done = 0;
            if [channels, width] == [S::N; 2] && tap_stride == 1 {
                done = row - row % S::N;
                assert!(done == 0 || from.len() >= (S::N - 1) * channel_stride + done);
                for tap in (0..done).step_by(S::N) {
                    let to = packed[tap * S::N..][..S::N * S::N].as_mut_ptr();
                    // SAFETY: the assert above: S::N rows of at least `done` numbers; `to` has S::N² of them.
                    unsafe { simd.transpose(from.as_ptr().add(tap), channel_stride, to, S::N) };
                }
            } else if [channels, width] == [S::N; 2] && channel_stride == 1 {
                done = row;
                for (tap, packed) in packed.chunks_exact_mut(S::N).enumerate() {
                    simd.store(simd.load(&from[tap * tap_stride..], 0), packed, 0);
                }
            }
            for (tap, packed) in packed.chunks_exact_mut(width).enumerate().skip(done) {
                let from = &from[tap * tap_stride..];
                for (channel, packed) in packed[..channels].iter_mut().enumerate() {
                    *packed = from[channel * channel_stride];
                }
                // Missing channels of the last block are 0, so that whole blocks may be read.
                packed[channels..].fill(0.0);
            }
        }
    }
}
