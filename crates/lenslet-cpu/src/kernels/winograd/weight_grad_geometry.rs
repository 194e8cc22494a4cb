//! What Winograd's weight gradient works on at a time, worked out once for a layer and its sizes.

use lenslet_graph::Shape;
use lenslet_graph::ops::conv2d::Conv2d;
use lenslet_graph::plan::{WEIGHT_BLOCK as BLOCK, Winograd as Way};

/// Pixels of a tile of gradients along each axis.
pub(super) const TILE: usize = 4;
/// Taps of the kernel along each axis.
pub(super) const KERNEL: usize = 3;
/// Pixels of a tile of the image along each axis.
pub(super) const SIDE: usize = TILE + KERNEL - 1;
pub(super) const PLACES: usize = SIDE * SIDE;

/// Numbers of `X` that are kept (16 MB); of larger maps it is worked out again for each chunk of outputs.
const MOST_KEPT: usize = 4 << 20;

/// One layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub(super) channels: usize,
    pub(super) outputs: usize,
    pub(super) image: [usize; 2],
    pub(super) output: [usize; 2],
    /// Rows and columns of padding before the image.
    pub(super) before: [usize; 2],
    /// Tiles along each axis.
    tiles: [usize; 2],
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
        let output_size = [output.dim(1), output.dim(2)];
        let tiles = output_size.map(|size| size.div_ceil(TILE));
        let chunk = Chunk {
            positions: (64 / lanes).clamp(1, tiles[0] * tiles[1]),
            outputs: (2 * BLOCK).min(output.dim(0).next_multiple_of(BLOCK)),
            channels: image.dim(0).min(64),
        };
        Self {
            channels: image.dim(0),
            outputs: output.dim(0),
            image: [image.dim(1), image.dim(2)],
            output: output_size,
            before: [window.height.before, window.width.before],
            tiles,
            chunk,
            lanes,
        }
    }

    /// For maps `x` from which results `y` are made for a whole batch: all of a tile at a time.
    pub(crate) fn of_image(way: &Way, x: Shape, y: Shape, lanes: usize) -> Self {
        let of_results = Self::of_gradient(y, lanes);
        let chunk = Chunk { channels: way.inner, ..of_results.chunk };
        Self { channels: way.inner, image: [x.dim(1), x.dim(2)], before: way.before, chunk, ..of_results }
    }

    /// For gradients `y` that a whole batch's weight gradient reads: all of a tile at a time.
    pub(crate) fn of_gradient(y: Shape, lanes: usize) -> Self {
        let output = [y.dim(1), y.dim(2)];
        let tiles = output.map(|size| size.div_ceil(TILE));
        let chunk = Chunk { positions: tiles[0] * tiles[1], outputs: y.dim(0), channels: 0 };
        Self { channels: 0, outputs: y.dim(0), image: output, output, before: [0; 2], tiles, chunk, lanes }
    }

    pub(super) fn positions(&self) -> usize {
        self.tiles[0] * self.tiles[1]
    }

    /// Numbers that the kernel works in.
    pub(crate) fn work_len(&self) -> usize {
        self.lens().into_iter().sum()
    }

    /// Numbers of a chunk of `X`, of `D` and of `U`, for one place. A vector more than they are, so that the same
    /// number of all places does not fall on the same few lines of the cache.
    pub(super) fn place_lens(&self) -> [usize; 3] {
        let Chunk { positions, outputs, channels } = self.chunk;
        let [x, d] = [self.channels, outputs].map(|channels| positions * channels * self.lanes);
        [x, d, channels * outputs].map(|len| len + self.lanes)
    }

    /// Numbers of all `X`, of `D`, of all `U` that are under way, and of transformed gradients on their way to `D`.
    pub(super) fn lens(&self) -> [usize; 4] {
        let [x, d, u] = self.place_lens().map(|len| PLACES * len);
        // U waits for the next chunk of positions.
        let kept_u = if self.position_chunks() == 1 { 1 } else { self.channels.div_ceil(self.chunk.channels) };
        [self.kept_x() * x, d, kept_u * u, self.turn_len()]
    }

    /// Numbers of transformed gradients on their way to `D`.
    pub(crate) fn turn_len(&self) -> usize {
        PLACES * (self.lanes + 1) * self.lanes
    }

    pub(super) fn position_chunks(&self) -> usize {
        self.positions().div_ceil(self.chunk.positions)
    }

    /// Chunks of `X` that are kept for the next chunk of outputs: all, or one that is written over.
    pub(super) fn kept_x(&self) -> usize {
        let [x, ..] = self.place_lens();
        let chunks = self.position_chunks();
        if self.outputs > self.chunk.outputs && chunks * PLACES * x <= MOST_KEPT { chunks } else { 1 }
    }

    /// The tile at a position: row and column of its first pixel.
    pub(super) fn cell(&self, position: usize) -> [usize; 2] {
        [position / self.tiles[1] * TILE, position % self.tiles[1] * TILE]
    }
}
