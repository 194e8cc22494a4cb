//! Lenslet's CPU backend: runs a [`Plan`](lenslet_graph::plan::Plan).
//!
//! Images stand in the SIMD lanes (`simd`); a tile of them goes through all steps up to the next cut on one
//! thread (`executor`); kernels are single-threaded code on one tile (`kernels`); threads stand in one file
//! (`tiles`). Invariants: results do not depend on the number of threads; a run allocates nothing; this crate has never
//! heard of a layer's weights, an optimizer or a file.

mod executor;
mod kernels;
pub mod loops;
mod memory;
mod peak;
pub mod shares;
mod simd;
mod tiles;

pub use executor::{Executor, Feed, Version, bytes, options};
pub use memory::Buffer;
pub use peak::peak;
pub use simd::Isa;
pub use tiles::{Apart, Pool};
