//! Winograd's convolution of one image: channels in the lanes.
//!
//! The same products of matrices as for many images ([`conv2d`](super::conv2d)), but a vector holds as many channels of one
//! position of tiles in the map. The whole map is transformed first; then threads can share the output channels:
//!
//! ```text
//! Spread      v[chunk][place][t][c] = Bᵀ x B          each chunk of channels c that fill a vector, each position t
//! Products    for each two vectors of output channels
//!                 for each group of positions
//!                     m[place][t][o] = Σ v[place][t][c]·u[place][c][o]     each place, in register tiles
//!                     y = activation(bias + Aᵀ m A)                        each position, cropped at the map's edge
//! ```
//!
//! [`tile_products`](super::tile_products) has the products. Between the lanes and the image's planes stand transpositions of
//! whole planes.

use std::ops::Range;

use lenslet_graph::Shape;
use lenslet_graph::ops::map::Map;
use lenslet_graph::plan::Winograd as Way;

use super::maps::{self, Patch, Places, Results};
use super::tile_products::{POSITIONS, VECTORS, m_step, most_positions, products};
use super::transform::{Winograd, gather_to, spread_to};
use crate::kernels::channels::{to_pixels, to_planes};
use crate::kernels::map;
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// A convolution of one image worked out for one layer and size.
#[derive(Clone, Debug)]
pub(crate) struct Geometry(pub(super) maps::Geometry);

impl Geometry {
    /// From `x` to `y`, both C×H×W.
    pub(crate) fn new(way: Way, x: Shape, y: Shape) -> Self {
        Self(maps::Geometry::new(way, x, y))
    }

    /// Blocks of output channels: what threads can share.
    pub(crate) fn blocks(&self) -> usize {
        self.0.way.outputs.div_ceil(self.0.way.block)
    }

    /// The same where each fills a register tile.
    pub(crate) fn register_blocks(&self, lanes: usize) -> usize {
        self.blocks().div_ceil((VECTORS * lanes).div_ceil(self.0.way.block))
    }

    /// Chunks of channels that fill a vector.
    pub(crate) fn chunks(&self, lanes: usize) -> usize {
        self.0.way.inner.div_ceil(lanes)
    }

    /// The output channels of a range of blocks.
    pub(crate) fn channels(&self, blocks: Range<usize>) -> Range<usize> {
        let Way { block, outputs, .. } = self.0.way;
        (blocks.start * block).min(outputs)..(blocks.end * block).min(outputs)
    }

    /// Multiply-adds of the products.
    pub(crate) fn work(&self) -> usize {
        let way = &self.0.way;
        way.places() * self.0.positions * way.inner * way.outputs
    }

    /// Numbers for `v`, and for either of the two to work in.
    pub(crate) fn work_len(&self) -> usize {
        let v = self.0.way.inner.next_multiple_of(MAX_LANES) * self.chunk_len();
        v + self.spread_work_len().max(self.products_work_len())
    }

    /// Numbers that [`Spread`] works in.
    pub(crate) fn spread_work_len(&self) -> usize {
        self.x_len() * MAX_LANES
    }

    /// Numbers that [`Products`] works in.
    pub(crate) fn products_work_len(&self) -> usize {
        (self.0.way.places() * m_step(POSITIONS) + VECTORS * self.y_len()) * MAX_LANES
    }

    fn x_len(&self) -> usize {
        self.0.x[0] * self.0.x[1]
    }

    fn y_len(&self) -> usize {
        self.0.y[0] * self.0.y[1]
    }

    /// Vectors of `v` from one place to the next: an odd number, so that a tile's places do not all fall on the same few
    /// lines of the cache.
    pub(super) fn v_step(&self) -> usize {
        self.0.positions | 1
    }

    /// Vectors of a chunk of channels in `v`.
    pub(crate) fn chunk_len(&self) -> usize {
        self.0.way.places() * self.v_step()
    }
}

/// `Bᵀ x B` for some channels' tiles, from the beginning of a vector on.
pub(crate) struct Spread<'a> {
    pub(crate) geometry: &'a Geometry,
    /// The channels' planes.
    pub(crate) x: &'a [f32],
    /// Their chunks.
    pub(crate) v: &'a mut [f32],
    /// [`Geometry::spread_work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match (self.geometry.0.way.tile, self.geometry.0.way.kernel) {
            (4, 3) => self.all::<S, 6, 4, 3>(simd),
            (2, 3) => self.all::<S, 4, 2, 3>(simd),
            _ => unreachable!("the plan takes the sizes that are here"),
        }
    }
}

impl Spread<'_> {
    #[inline(always)]
    fn all<S: Lanes, const N: usize, const M: usize, const R: usize>(self, simd: S) {
        let (g, size) = (self.geometry, self.geometry.x_len());
        let pixels = &mut self.work[..size * S::N];
        let chunks = self.v.chunks_exact_mut(g.chunk_len() * S::N);
        for (planes, v) in self.x.chunks(size * S::N).zip(chunks) {
            to_pixels(simd, planes, size, pixels);
            for t in 0..g.0.positions {
                let x = Patch::<N>::new(&g.0, pixels, g.0.corner(t));
                let mut v = Places { data: &mut v[t * S::N..], side: N, step: g.v_step() };
                spread_to(simd, &Winograd::<N, M, R>::IMAGE, &x, &mut v);
            }
        }
    }
}

/// `y[o] = activation(bias[o] + Σ w·x)` for some blocks of output channels.
pub(crate) struct Products<'a> {
    pub(crate) geometry: &'a Geometry,
    /// All transformed tiles.
    pub(crate) v: &'a [f32],
    /// All transformed weights.
    pub(crate) weight: &'a [f32],
    /// One number per output channel, or nothing.
    pub(crate) bias: &'a [f32],
    pub(crate) activation: Option<Map>,
    pub(crate) blocks: Range<usize>,
    /// The blocks' channels.
    pub(crate) y: &'a mut [f32],
    /// [`Geometry::products_work_len`] numbers.
    pub(crate) work: &'a mut [f32],
}

impl Kernel for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(mut self, simd: S) {
        let (geometry, g) = (self.geometry, &self.geometry.0);
        let Way { inner, outputs, block, .. } = g.way;
        assert!(block.is_multiple_of(S::N) && self.weight.len() == g.way.packed_len());
        assert!(self.v.len() >= inner.div_ceil(S::N) * geometry.chunk_len() * S::N);
        assert!(self.bias.is_empty() || self.bias.len() == outputs);
        let channels = geometry.channels(self.blocks.clone());
        let y = std::mem::take(&mut self.y);
        assert_eq!(y.len(), channels.len() * geometry.y_len());
        let planes = y.chunks_mut(VECTORS * S::N * geometry.y_len());
        for (first, y) in channels.step_by(VECTORS * S::N).zip(planes) {
            match y.len().div_ceil(geometry.y_len() * S::N) {
                1 => self.some::<S, 1>(simd, first, y),
                _ => self.some::<S, VECTORS>(simd, first, y),
            }
        }
    }
}

impl Products<'_> {
    /// The planes of up to `V` vectors of output channels, from channel `first` on.
    #[inline(always)]
    fn some<S: Lanes, const V: usize>(&mut self, simd: S, first: usize, y: &mut [f32]) {
        let (geometry, g) = (self.geometry, &self.geometry.0);
        let size = geometry.y_len();
        let (m, pixels) = self.work.split_at_mut(g.way.places() * m_step(POSITIONS) * S::N);
        let pixels = &mut pixels[..V * size * S::N];
        let mut bias = [0.0; VECTORS * MAX_LANES];
        if !self.bias.is_empty() {
            let bias_of_y = &self.bias[first..][..y.len() / size];
            bias[..bias_of_y.len()].copy_from_slice(bias_of_y);
        }
        // What takes many instructions is done in a pass of its own.
        let (early, late) = match self.activation {
            Some(map) if map::is_cheap(map) => (Some(map), None),
            activation => (None, activation),
        };
        let groups = g.positions.div_ceil(most_positions::<S>());
        for group in 0..groups {
            let positions = group * g.positions / groups..(group + 1) * g.positions / groups;
            products::<S, V>(simd, geometry, self.weight, first, self.v, positions.clone(), m);
            for (vector, pixels) in pixels.chunks_exact_mut(size * S::N).enumerate() {
                let (activation, bias) = (early, simd.load(&bias, vector));
                for (i, t) in positions.clone().enumerate() {
                    let side = g.way.tile + g.way.kernel - 1;
                    let m = Places { data: &mut m[(i * V + vector) * S::N..], side, step: m_step(POSITIONS) };
                    let y = Results { y: pixels, width: g.y[1], cell: g.cell(t), bias, activation };
                    gather(simd, &g.way, m, y);
                }
            }
        }
        if let Some(map) = late {
            map::in_place(simd, map, pixels);
        }
        for (pixels, planes) in pixels.chunks_exact(size * S::N).zip(y.chunks_mut(size * S::N)) {
            to_planes(simd, pixels, S::N, planes);
        }
    }
}

/// `Aᵀ m A`.
#[inline(always)]
fn gather<S: Lanes>(simd: S, way: &Way, m: Places<'_>, mut y: Results<'_, S::V>) {
    match (way.tile, way.kernel) {
        (4, 3) => gather_to(simd, &Winograd::<6, 4, 3>::RESULT, &m, &mut y),
        (2, 3) => gather_to(simd, &Winograd::<4, 2, 3>::RESULT, &m, &mut y),
        _ => unreachable!("the plan takes the sizes that are here"),
    }
}
