//! What Winograd's weight gradient works on at a time, worked out once for a layer and its sizes.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::WEIGHT_BLOCK as BLOCK;

use super::tiles::{Cut, PLACES, turn_len};

/// Numbers of `X` that are kept (16 MB); of larger maps it is worked out again for each chunk of outputs.
const MOST_KEPT: usize = 4 << 20;

/// One layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) image: Cut,
    pub(super) gradient: Cut,
    /// How much is worked on at a time.
    pub(super) chunk: Chunk,
    pub(super) lanes: usize,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) positions: usize,
    /// A multiple of [`BLOCK`].
    pub(super) outputs: usize,
    pub(super) channels: usize,
}

impl Geometry {
    /// For a layer with 3×3 taps, without groups, stride and dilation.
    pub(crate) fn new(layer: &Conv2d, image: Shape, output: Shape, lanes: usize) -> Self {
        let window = layer.window();
        let before = [window.height.before, window.width.before];
        let (image, gradient) = (Cut::new(image, before, output), Cut::new(output, [0; 2], output));
        let chunk = Chunk {
            positions: (64 / lanes).clamp(1, gradient.positions()),
            outputs: (2 * BLOCK).min(gradient.channels.next_multiple_of(BLOCK)),
            channels: image.channels.min(64),
        };
        Self { image, gradient, chunk, lanes }
    }

    pub(super) fn positions(&self) -> usize {
        self.gradient.positions()
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        self.lens().into_iter().sum()
    }

    /// Numbers of a chunk of `X`, of `D` and of `U`, for one place. A vector more than they are, so that the same
    /// number of all places does not fall on the same few lines of the cache.
    pub(super) fn place_lens(&self) -> [usize; 3] {
        let Chunk { positions, outputs, channels } = self.chunk;
        let [x, d] = [self.image.channels, outputs].map(|channels| positions * channels * self.lanes);
        [x, d, channels * outputs].map(|len| len + self.lanes)
    }

    /// Numbers of all `X`, of `D`, of all `U` that are under way, and of transformed gradients on their way to `D`.
    pub(super) fn lens(&self) -> [usize; 4] {
        let [x, d, u] = self.place_lens().map(|len| PLACES * len);
        // U waits for the next chunk of positions.
        let kept_u = if self.position_chunks() == 1 { 1 } else { self.image.channels.div_ceil(self.chunk.channels) };
        [self.kept_x() * x, d, kept_u * u, turn_len(self.lanes)]
    }

    pub(super) fn position_chunks(&self) -> usize {
        self.positions().div_ceil(self.chunk.positions)
    }

    /// Chunks of `X` that are kept for the next chunk of outputs: all, or one that is written over.
    pub(super) fn kept_x(&self) -> usize {
        let [x, ..] = self.place_lens();
        let chunks = self.position_chunks();
        if self.gradient.channels > self.chunk.outputs && chunks * PLACES * x <= MOST_KEPT { chunks } else { 1 }
    }
}
