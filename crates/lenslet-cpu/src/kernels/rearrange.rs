//! Copies of blocks from one order to another: what slice, permute, expand, pad and concat have in common.
//!
//! A [`Move`] says where each value of a block comes from and goes to. Its axes become a [`Nest`]; where source and
//! destination both lie side by side, a row is one copy of memory. A whole input of a batched output goes into all lanes.

use lenslet_graph::plan::Move;

use super::Input;
use super::nest::Nest;
use crate::simd::{Kernel, Lanes};

/// One copy; what it does not write keeps its value.
pub(crate) struct Rearrange<'a> {
    pub(crate) copy: &'a Move,
    pub(crate) input: Input<'a>,
    pub(crate) output: &'a mut [f32],
}

impl Kernel for Rearrange<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) {
        let Self { copy, input, output } = self;
        let nest = Nest::new(&copy.sizes, [&copy.from_strides, &copy.to_strides]);
        let (count, [from_step, to_step]) = nest.row();
        let vectors = S::N == 1 || input.shape.is_batched();
        for [from, to] in nest.starts() {
            let (from, to) = (copy.from + from, copy.to + to);
            if vectors && from_step == 1 && to_step == 1 {
                let row = &input.data[from * S::N..][..count * S::N];
                output[to * S::N..][..count * S::N].copy_from_slice(row);
            } else {
                for i in 0..count {
                    simd.store(input.get(simd, from + i * from_step), output, to + i * to_step);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lenslet_graph::MAX_RANK;
    use proptest::prelude::*;

    use super::*;
    use crate::kernels::testing::{Machine, Random, shape};

    /// A block of these sizes whose axes are walked in a random order, some of them repeating: strides, and numbers that
    /// are reached.
    fn order(random: &mut Random, sizes: [usize; MAX_RANK], repeats: bool) -> ([usize; MAX_RANK], usize) {
        let (mut strides, mut len) = ([0; MAX_RANK], 1);
        let mut axes: Vec<usize> = (0..MAX_RANK).collect();
        while !axes.is_empty() {
            // Most often the last one left, so that rows lie side by side now and then.
            let pick = if random.below(2) == 0 { axes.len() - 1 } else { random.below(axes.len()) };
            let axis = axes.remove(pick);
            if !(repeats && random.below(4) == 0) {
                strides[axis] = len;
                len *= sizes[axis];
            }
        }
        (strides, len)
    }

    proptest! {
        #[test]
        fn copies_each_value_to_its_place(
            dims in prop::collection::vec(1usize..5, 0..5),
            starts in any::<[u8; 2]>(),
            batched in any::<bool>(),
            batched_input in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let mut random = Random::new(seed);
            let mut sizes = [1; MAX_RANK];
            sizes[..dims.len()].copy_from_slice(&dims);
            let (from_strides, from_len) = order(&mut random, sizes, true);
            let (to_strides, to_len) = order(&mut random, sizes, false);
            let [from, to] = starts.map(|start| usize::from(start % 5));
            let copy = Move { input: 0, sizes, from, from_strides, to, to_strides };
            let shape = shape(batched && batched_input, &[from + from_len + 2]);
            let machines: Vec<Machine> = if batched { Machine::vectors().collect() } else { vec![Machine::OneLane] };
            for machine in machines {
                let lanes = machine.lanes();
                let data: Vec<f32> = (0..shape.len() * if shape.is_batched() { lanes } else { 1 }).map(|i| i as f32).collect();
                let mut output = vec![-1.0; (to + to_len + 1) * lanes];
                let mut expected = output.clone();
                for i in 0..sizes.iter().product() {
                    let (mut rest, mut at) = (i, [from, to]);
                    for axis in (0..MAX_RANK).rev() {
                        at[0] += rest % sizes[axis] * from_strides[axis];
                        at[1] += rest % sizes[axis] * to_strides[axis];
                        rest /= sizes[axis];
                    }
                    for lane in 0..lanes {
                        let source = if shape.is_batched() { at[0] * lanes + lane } else { at[0] };
                        expected[at[1] * lanes + lane] = data[source];
                    }
                }
                let input = Input { data: &data, shape };
                machine.run(Rearrange { copy: &copy, input, output: &mut output });
                prop_assert_eq!(output, expected);
            }
        }
    }
}
