//! Ops that only move data, as copies of blocks: slice, permute, expand, pad and concat.

use super::Move;
use crate::ops;
use crate::ops::Op;
use crate::ops::binary::broadcast_strides;
use crate::ops::concat::Concat;
use crate::{Graph, MAX_RANK, NodeId, Shape};

/// The copies that make the value of an op that only moves data, and what fills the rest.
pub(super) fn moves(graph: &Graph, id: NodeId) -> (Option<f32>, Vec<Move>) {
    let node = graph.node(id);
    let input = graph.node(node.inputs[0]).shape();
    let output = node.shape();
    match &node.op {
        Op::Expand(_) => {
            let from_strides = broadcast_strides(input, output);
            (None, vec![Move { from_strides, ..block(0, output, output, output) }])
        }
        Op::Slice(ops::slice::Slice { axis, start, .. }) => {
            let from = start * input.strides()[*axis];
            (None, vec![Move { from, ..block(0, output, input, output) }])
        }
        Op::Pad(pad) => {
            let to = output.strides().iter().zip(pad.before).map(|(stride, before)| stride * before).sum();
            (Some(pad.value), vec![Move { to, ..block(0, input, input, output) }])
        }
        Op::Permute(permute) => {
            let strides = input.strides();
            let mut from_strides = [0; MAX_RANK];
            for (axis, from) in from_strides.iter_mut().enumerate().take(output.rank()) {
                *from = strides[permute.order[axis]];
            }
            (None, vec![Move { from_strides, ..block(0, output, output, output) }])
        }
        Op::Concat(Concat { axis }) => {
            let mut at = 0;
            let part = |(number, &part): (usize, &NodeId)| {
                let shape = graph.node(part).shape();
                let to = at * output.strides()[*axis];
                at += shape.dim(*axis);
                Move { to, ..block(number, shape, shape, output) }
            };
            (None, node.inputs.iter().enumerate().map(part).collect())
        }
        op => unreachable!("{op:?} does more than move data"),
    }
}

/// A copy of all of `sizes`, in the order of `from`'s and `to`'s rows.
fn block(input: usize, sizes: Shape, from: Shape, to: Shape) -> Move {
    let padded = |values: &[usize], rest| {
        let mut all = [rest; MAX_RANK];
        all[..values.len()].copy_from_slice(values);
        all
    };
    Move {
        input,
        sizes: padded(sizes.dims(), 1),
        from: 0,
        from_strides: padded(&from.strides(), 0),
        to: 0,
        to_strides: padded(&to.strides(), 0),
    }
}
