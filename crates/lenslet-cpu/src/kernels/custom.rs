//! A user's op: image by image, in plain rows.
//!
//! An image's numbers are gathered from their lane, the user's code is called, and its result is scattered back. This page
//! is the exception to "a run allocates nothing": rows are made for each call, and the user's code may do as it likes.
//! Empty lanes get 0 without a call.

use lenslet_graph::ops::custom::CustomOp;

use super::{Call, Input};
use crate::simd::{Kernel, Lanes};

/// The op itself.
pub(crate) struct Forward<'a> {
    pub(crate) op: &'a dyn CustomOp,
    pub(crate) call: Call<'a>,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let op = self.op;
        each_image(self.call, S::N, |inputs, output| op.forward(inputs, output));
    }
}

/// Its gradient by one of its inputs. Inputs are the op's, its output and the gradient by that.
pub(crate) struct Backward<'a> {
    pub(crate) op: &'a dyn CustomOp,
    /// By which input.
    pub(crate) input: usize,
    pub(crate) call: Call<'a>,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, _: S) {
        let Self { op, input, call } = self;
        each_image(call, S::N, |rows, dx| {
            let [inputs @ .., output, gradient] = rows else { unreachable!("inputs, output, gradient") };
            let mut gradients: Vec<Vec<f32>> = inputs.iter().map(|input| vec![0.0; input.len()]).collect();
            op.backward(inputs, output, gradient, &mut gradients);
            dx.copy_from_slice(&gradients[input]);
        });
    }
}

/// Calls `work(inputs, output)` with the rows of each image.
fn each_image(call: Call<'_>, lanes: usize, mut work: impl FnMut(&[&[f32]], &mut [f32])) {
    let Call { inputs, output, tile, .. } = call;
    let mut result = vec![0.0; output.len() / lanes];
    for lane in 0..lanes {
        result.fill(0.0);
        if lane < tile.images {
            let rows: Vec<Vec<f32>> = inputs.iter().map(|input| row(input, lanes, lane)).collect();
            work(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut result);
        }
        for (y, &x) in output[lane..].iter_mut().step_by(lanes).zip(&result) {
            *y = x;
        }
    }
}

/// The numbers of one image; those of a whole value are every image's.
fn row(input: &Input<'_>, lanes: usize, lane: usize) -> Vec<f32> {
    if input.shape.is_batched() {
        input.data[lane..].iter().step_by(lanes).copied().collect()
    } else {
        input.data.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lenslet_graph::OutputShape;
    use lenslet_graph::ops::custom::{Custom, CustomGrad};
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Check, Random, shape};

    /// Running sums of the first input, times the second's sum.
    #[derive(Clone, Debug)]
    struct Cumulative;

    impl CustomOp for Cumulative {
        fn name(&self) -> &'static str {
            "cumulative"
        }

        fn forward(&self, inputs: &[&[f32]], output: &mut [f32]) {
            let (mut sum, factor) = (0.0, inputs[1].iter().sum::<f32>());
            for (y, x) in output.iter_mut().zip(inputs[0]) {
                sum += x;
                *y = sum * factor;
            }
        }

        fn backward(&self, inputs: &[&[f32]], output: &[f32], gradient: &[f32], gradients: &mut [Vec<f32>]) {
            let factor = inputs[1].iter().sum::<f32>();
            for i in 0..output.len() {
                gradients[0][..=i].iter_mut().for_each(|dx| *dx += gradient[i] * factor);
                let by_factor = gradient[i] * inputs[0][..=i].iter().sum::<f32>();
                gradients[1].iter_mut().for_each(|dx| *dx += by_factor);
            }
        }
    }

    proptest! {
        #[test]
        fn is_the_reference(
            dims in prop::collection::vec(1usize..5, 1..3),
            other in 1usize..4,
            batched in any::<[bool; 2]>(),
            input in 0usize..2,
            batch in 1usize..20,
            seed in any::<u64>(),
        ) {
            let (mut random, op) = (Random::new(seed), Arc::new(Cumulative));
            let output = shape(batched[0] || batched[1], &dims);
            let x = random.tensor(shape(batched[0], &dims), batch);
            let other = random.tensor(shape(batched[1], &[other]), batch);
            let [y, dy] = [random.tensor(output, batch), random.tensor(output, batch)];

            let custom = Custom { op: op.clone(), output: OutputShape::Same };
            Check::new(custom, [x.clone(), other.clone()]).kernel(|machine, call| machine.run(Forward { op: &*op, call }));
            let check = Check::new(CustomGrad { op: op.clone(), input }, [x, other, y, dy]).gradient(3);
            let empty = check.kernel(|machine, call| machine.run(Backward { op: &*op, input, call }));
            prop_assert!(empty.iter().all(|&dx| dx == 0.0));
        }
    }
}
