//! A function of each value, and its gradient: one pass, read and write.
//!
//! The functions themselves stand in [`functions`](super::functions). What networks use much has loops of its own, so that
//! no vector asks which function it is to be put through.

use lenslet_graph::ops::map::Map;

use super::Call;
use super::functions::{backward, function};
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// `y = map(x)`.
pub(crate) struct Forward<'a> {
    pub(crate) map: Map,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.map {
            Map::Relu => self.all(simd, Map::Relu),
            Map::LeakyRelu { slope } => self.all(simd, Map::LeakyRelu { slope }),
            Map::AddScalar(c) => self.all(simd, Map::AddScalar(c)),
            Map::MulScalar(c) => self.all(simd, Map::MulScalar(c)),
            Map::Gelu => self.all(simd, Map::Gelu),
            map => self.all(simd, map),
        }
    }
}

impl Forward<'_> {
    /// All values; `map` is the function once more, where it is cheap known to the compiler.
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, map: Map) {
        let x = self.call.inputs[0].data.chunks_exact(S::N);
        for (y, x) in self.call.output.chunks_exact_mut(S::N).zip(x) {
            simd.store(function(simd, map, simd.load(x, 0)), y, 0);
        }
    }
}

/// `dx = dy · map'(x)`: inputs are `x`, or `y` where [`Map::saves_output`] says so, and `dy`.
pub(crate) struct Backward<'a> {
    pub(crate) map: Map,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.map {
            Map::Relu => self.all(simd, Map::Relu),
            Map::LeakyRelu { slope } => self.all(simd, Map::LeakyRelu { slope }),
            Map::Gelu => self.all(simd, Map::Gelu),
            map => self.all(simd, map),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, map: Map) {
        let [saved, dy] = [0, 1].map(|i| self.call.inputs[i].data.chunks_exact(S::N));
        for (dx, (saved, dy)) in self.call.output.chunks_exact_mut(S::N).zip(saved.zip(dy)) {
            simd.store(backward(simd, map, simd.load(saved, 0), simd.load(dy, 0)), dx, 0);
        }
    }
}

/// Whether [`apply`] has a short form of the function, fit for a register tile.
pub(crate) fn is_cheap(map: Map) -> bool {
    match map {
        Map::Relu | Map::LeakyRelu { .. } | Map::AddScalar(_) | Map::MulScalar(_) | Map::Clamp { .. } => true,
        Map::Neg | Map::Abs | Map::Sqrt | Map::Recip => true,
        Map::Gelu | Map::GeluTanh | Map::Silu | Map::Sigmoid | Map::Tanh | Map::Exp | Map::Log => false,
    }
}

/// `y = map(y)` in place: for kernels whose results are not in registers any more.
#[inline(always)]
pub(crate) fn in_place<S: Lanes>(simd: S, map: Map, y: &mut [f32]) {
    match map {
        Map::Gelu => each(simd, Map::Gelu, y),
        map => each(simd, map, y),
    }
}

/// [`in_place`] for values that need not fill their last vector.
pub(crate) struct InPlace<'a> {
    pub(crate) map: Map,
    pub(crate) y: &'a mut [f32],
}

impl Kernel for InPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let (vectors, rest) = self.y.split_at_mut(self.y.len() / S::N * S::N);
        in_place(simd, self.map, vectors);
        let mut last = [0.0; MAX_LANES];
        last[..rest.len()].copy_from_slice(rest);
        in_place(simd, self.map, &mut last[..S::N]);
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[inline(always)]
fn each<S: Lanes>(simd: S, map: Map, y: &mut [f32]) {
    for y in y.chunks_exact_mut(S::N) {
        simd.store(function(simd, map, simd.load(y, 0)), y, 0);
    }
}

/// The function of a vector that a kernel has in a register. Short code, for it is inlined many times: functions that are
/// not cheap go lane by lane.
#[inline(always)]
pub(crate) fn apply<S: Lanes>(simd: S, map: Map, x: S::V) -> S::V {
    let zero = simd.splat(0.0);
    match map {
        // Written so that a NaN stays one.
        Map::Relu => simd.if_less(x, zero, zero, x),
        Map::LeakyRelu { slope } => simd.if_less(zero, x, x, simd.mul(x, simd.splat(slope))),
        Map::AddScalar(c) => simd.add(x, simd.splat(c)),
        Map::MulScalar(c) => simd.mul(x, simd.splat(c)),
        Map::Neg => simd.mul(x, simd.splat(-1.0)),
        Map::Abs => simd.if_less(x, zero, simd.mul(x, simd.splat(-1.0)), x),
        Map::Sqrt => simd.sqrt(x),
        Map::Recip => simd.div(simd.splat(1.0), x),
        Map::Clamp { min, max } => {
            let (min, max) = (simd.splat(min), simd.splat(max));
            let x = simd.if_less(x, min, min, x);
            simd.if_less(max, x, max, x)
        }
        map => simd.each(x, |_, x| map.apply(x)),
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::ops::map::MapGrad;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Machine, Random, shape};

    const MAPS: [Map; 17] = [
        Map::Relu,
        Map::LeakyRelu { slope: 0.1 },
        Map::LeakyRelu { slope: -0.5 },
        Map::Gelu,
        Map::GeluTanh,
        Map::Silu,
        Map::Sigmoid,
        Map::Tanh,
        Map::Exp,
        Map::Log,
        Map::Sqrt,
        Map::Abs,
        Map::Neg,
        Map::Recip,
        Map::Clamp { min: -0.5, max: 1.0 },
        Map::AddScalar(1.5),
        Map::MulScalar(-0.3),
    ];

    /// Lets the kernel's last step be taken by itself.
    struct Applied<'a> {
        map: Map,
        call: Call<'a>,
    }

    impl Kernel for Applied<'_> {
        type Output = ();

        #[inline(always)]
        fn run<S: Lanes>(self, simd: S) {
            let x = self.call.inputs[0].data;
            for (i, y) in self.call.output.chunks_exact_mut(S::N).enumerate() {
                simd.store(apply(simd, self.map, simd.load(x, i)), y, 0);
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..7, 0..4),
            map in prop::sample::select(&MAPS[..]),
            scale in prop::sample::select(&[0.1f32, 2.0, 10.0, 80.0][..]),
            batched in any::<bool>(),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let (mut random, shape) = (Random::new(seed), shape(batched, &dims));
            // Where the function is defined, and its slope not so steep that rounding shows.
            let low = match map {
                Map::Log | Map::Sqrt | Map::Recip => 0.01,
                _ => -scale,
            };
            let x = match random.below(4) {
                0 if low < 0.0 => random.choice(shape, batch, &[-1.0, -0.5, 0.0, 0.5, 1.0]),
                _ => random.range(shape, batch, low, scale),
            };
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(Forward { map, call }));
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(Applied { map, call }));
            Check::new(map, [x.clone()]).kernel(|machine, call| {
                call.output.copy_from_slice(call.inputs[0].data);
                let kernel = InPlace { map, y: call.output };
                match machine {
                    Machine::Channels(isa) => isa.run(kernel),
                    machine => machine.run(kernel),
                }
            });

            let mut saved = x;
            if map.saves_output() {
                saved.data_mut().iter_mut().for_each(|x| *x = f64::from(map.apply(*x) as f32));
            }
            let dy = random.tensor(shape, batch);
            let check = Check::new(MapGrad { map }, [saved, dy]).gradient(1);
            let empty = check.kernel(|machine, call| machine.run(Backward { map, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }

    #[test]
    fn nan_passes_through() {
        let x = Random::new(0).choice(shape(true, &[3]), 16, &[f32::NAN]);
        for map in MAPS {
            Check::new(map, [x.clone()]).kernel(|machine, call| machine.run(Forward { map, call }));
        }
        // torch: the gradient of relu at NaN is that of a positive value.
        let dy = Random::new(1).tensor(shape(true, &[3]), 16);
        let map = Map::Relu;
        Check::new(MapGrad { map }, [x, dy]).kernel(|machine, call| machine.run(Backward { map, call }));
    }
}
