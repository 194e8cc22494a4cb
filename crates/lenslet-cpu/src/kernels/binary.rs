//! Arithmetic on two values, with broadcasting.
//!
//! The axes become a [`Nest`]: equal shapes make one loop over all values, and a number per channel makes one loop per
//! channel. In the innermost loop an operand is a run of vectors, or one value for all of it, or (a whole value next to a
//! batched one, a row of columns) is read value by value. Each operation has loops of its own. Where both operands move:
//! 12 bytes of memory per number.

use lenslet_graph::ops::binary::{Binary as Op, broadcast_strides};

use super::nest::Nest;
use super::{Call, Input};
use crate::simd::{Kernel, Lanes};

/// `y = a ∘ b`.
pub(crate) struct Binary<'a> {
    pub(crate) op: Op,
    pub(crate) call: Call<'a>,
}

impl Kernel for Binary<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        match self.op {
            Op::Add => self.all(simd, Op::Add),
            Op::Sub => self.all(simd, Op::Sub),
            Op::Mul => self.all(simd, Op::Mul),
            Op::Div => self.all(simd, Op::Div),
            Op::Maximum => self.all(simd, Op::Maximum),
            Op::Minimum => self.all(simd, Op::Minimum),
            Op::Less => self.all(simd, Op::Less),
            Op::LessEqual => self.all(simd, Op::LessEqual),
            Op::Equal => self.all(simd, Op::Equal),
        }
    }
}

impl Binary<'_> {
    /// All rows; `op` is the operation once more, known to the compiler.
    #[inline(always)]
    fn all<S: Lanes>(self, simd: S, op: Op) {
        let Call { inputs, output, shape, .. } = self.call;
        let [a, b] = [inputs[0], inputs[1]];
        let strides = [a, b].map(|x| broadcast_strides(x.shape, shape));
        let nest = Nest::new(shape.dims(), [&strides[0], &strides[1]]);
        let (count, [a_step, b_step]) = nest.row();
        for ([a_start, b_start], y) in nest.starts().zip(output.chunks_exact_mut(count * S::N)) {
            let a = Side { input: a, start: a_start, step: a_step };
            let b = Side { input: b, start: b_start, step: b_step };
            row(simd, op, a, b, y);
        }
    }
}

/// One operand of a row.
#[derive(Clone, Copy)]
struct Side<'a> {
    input: Input<'a>,
    start: usize,
    step: usize,
}

impl<'a> Side<'a> {
    /// The row's vectors, where they lie side by side.
    #[inline(always)]
    fn vectors<S: Lanes>(&self, _: S) -> Option<&'a [f32]> {
        let side_by_side = self.step == 1 && (S::N == 1 || self.input.shape.is_batched());
        side_by_side.then(|| &self.input.data[self.start * S::N..])
    }

    #[inline(always)]
    fn get<S: Lanes>(&self, simd: S, i: usize) -> S::V {
        self.input.get(simd, self.start + i * self.step)
    }
}

#[inline(always)]
fn row<S: Lanes>(simd: S, op: Op, a: Side<'_>, b: Side<'_>, y: &mut [f32]) {
    let y = y.chunks_exact_mut(S::N);
    match (a.vectors(simd), b.vectors(simd)) {
        (Some(a), Some(b)) => {
            for ((y, a), b) in y.zip(a.chunks_exact(S::N)).zip(b.chunks_exact(S::N)) {
                simd.store(apply(simd, op, simd.load(a, 0), simd.load(b, 0)), y, 0);
            }
        }
        (Some(a), None) if b.step == 0 => {
            let b = b.get(simd, 0);
            for (y, a) in y.zip(a.chunks_exact(S::N)) {
                simd.store(apply(simd, op, simd.load(a, 0), b), y, 0);
            }
        }
        (None, Some(b)) if a.step == 0 => {
            let a = a.get(simd, 0);
            for (y, b) in y.zip(b.chunks_exact(S::N)) {
                simd.store(apply(simd, op, a, simd.load(b, 0)), y, 0);
            }
        }
        _ => {
            for (i, y) in y.enumerate() {
                simd.store(apply(simd, op, a.get(simd, i), b.get(simd, i)), y, 0);
            }
        }
    }
}

#[inline(always)]
fn apply<S: Lanes>(simd: S, op: Op, a: S::V, b: S::V) -> S::V {
    let (zero, one) = (simd.splat(0.0), simd.splat(1.0));
    match op {
        Op::Add => simd.add(a, b),
        Op::Sub => simd.sub(a, b),
        Op::Mul => simd.mul(a, b),
        Op::Div => simd.div(a, b),
        // What is not equal to itself is NaN, and stays; a `b` that is NaN is taken since no comparison holds.
        Op::Maximum => simd.if_less(b, a, a, simd.if_equal(a, a, b, a)),
        Op::Minimum => simd.if_less(a, b, a, simd.if_equal(a, a, b, a)),
        Op::Less => simd.if_less(a, b, one, zero),
        Op::LessEqual => simd.if_less(a, b, one, simd.if_equal(a, b, one, zero)),
        Op::Equal => simd.if_equal(a, b, one, zero),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random, shape};
    use lenslet_graph::Shape;

    const OPS: [Op; 9] =
        [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Maximum, Op::Minimum, Op::Less, Op::LessEqual, Op::Equal];

    /// Shapes that broadcast to `dims`: any axis may be 1, and a whole value may lack the first axes.
    pub(in crate::kernels) fn operand(random: &mut Random, dims: &[usize], batched: bool) -> Shape {
        let few = random.below(3);
        let stretched: Vec<usize> = dims.iter().map(|&dim| if random.below(4) < few { 1 } else { dim }).collect();
        let missing = if batched { 0 } else { random.below(dims.len() + 1) };
        shape(batched, &stretched[missing..])
    }

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..6, 0..5),
            batched in any::<[bool; 2]>(),
            op in prop::sample::select(&OPS[..]),
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let shapes = batched.map(|batched| operand(&mut random, &dims, batched));
            let few = [-1.5, -1.0, 0.0, 0.5, 1.0, 2.0, f32::INFINITY, f32::NAN];
            let inputs = if random.below(2) == 0 {
                shapes.map(|shape| random.choice(shape, batch, &few))
            } else {
                shapes.map(|shape| random.tensor(shape, batch))
            };
            // Not where a divisor near 0 would magnify the last digit.
            Check::new(op, inputs).kernel(|machine, call| machine.run(Binary { op, call }));
        }
    }
}
