//! Plain loops of other crates, compiled for this machine's instruction set.
//!
//! What is built for every x86-64 may use SSE2 alone. [`run`] inlines the loops into a function that has the machine's features
//! enabled, where the compiler turns them into its vectors. It changes no result: nothing is reordered or fused.

use crate::simd::{Isa, Kernel, Lanes};

/// Loops with their arguments.
pub trait Loops {
    /// What comes of them.
    type Output;

    /// Runs them; must be `#[inline(always)]`, as must what it calls.
    fn run(self) -> Self::Output;
}

/// Runs loops on the best instruction set of this machine.
pub fn run<L: Loops>(loops: L) -> L::Output {
    Isa::detect().run(Compiled(loops))
}

struct Compiled<L>(L);

impl<L: Loops> Kernel for Compiled<L> {
    type Output = L::Output;

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) -> L::Output {
        self.0.run()
    }
}
