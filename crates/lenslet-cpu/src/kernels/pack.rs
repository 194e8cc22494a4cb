//! Weights in the order in which a convolution reads them; see [`Pack`].

use lenslet_graph::plan::Pack;

/// Blocks of output channels that can be packed side by side.
pub(crate) fn parts(pack: &Pack) -> usize {
    pack.groups * pack.outputs.div_ceil(pack.block)
}

/// Packs one block: `packed` is that block's part of the whole, `[inner][tap][channel in block]`.
pub(crate) fn block(pack: &Pack, part: usize, weight: &[f32], packed: &mut [f32]) {
    let blocks = pack.outputs.div_ceil(pack.block);
    let (group, first) = (part / blocks, part % blocks * pack.block);
    let channels = pack.block.min(pack.outputs - first);
    let [group_stride, output_stride, inner_stride, tap_stride] = pack.strides;
    let start = group * group_stride + first * output_stride;
    for (i, packed) in packed.chunks_exact_mut(pack.block).enumerate() {
        let from = start + i / pack.taps * inner_stride + i % pack.taps * tap_stride;
        for (channel, packed) in packed.iter_mut().enumerate() {
            // Missing channels of the last block are 0, so that whole blocks may be read.
            *packed = if channel < channels { weight[from + channel * output_stride] } else { 0.0 };
        }
    }
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

/// Numbers of one block.
pub(crate) fn block_len(pack: &Pack) -> usize {
    pack.inner * pack.taps * pack.block
}
