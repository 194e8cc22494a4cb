//! `Var`, the value that a forward pass handles.
//!
//! A `Var` is the number of a node in the graph that is being recorded, and nothing else: it has sizes, no values. Its
//! methods stand on the pages of the ops (`ops/conv2d.rs`, …); here is what all of them share.

use std::marker::PhantomData;
use std::panic::Location;

use crate::ops::leaf::Constant;
use crate::record::with_recorder;
use crate::{Mode, NodeId, Op, Role, Shape, ShapeVar};

/// A value in a forward pass. Copy it freely.
#[derive(Clone, Copy, Debug)]
pub struct Var {
    /// `None` after a mistake: the rest of the forward pass then runs on, and records nothing.
    id: Option<NodeId>,
    /// A `Var` belongs to the thread that records.
    thread: PhantomData<*const ()>,
}

impl Var {
    pub(crate) const fn from_id(id: Option<NodeId>) -> Self {
        Self { id, thread: PhantomData }
    }

    pub(crate) const fn id(self) -> Option<NodeId> {
        self.id
    }

    /// Records `op` on `inputs`; the source line is that of the caller's caller.
    #[track_caller]
    pub(crate) fn apply(op: impl Into<Op>, inputs: &[Var]) -> Var {
        let at = Location::caller();
        let ids: Vec<_> = inputs.iter().map(|v| v.id).collect();
        Var::from_id(with_recorder(|r| r.push(op.into(), &ids, at)))
    }

    /// A new input of the graph.
    #[track_caller]
    pub fn input(shape: Shape) -> Var {
        let at = Location::caller();
        Var::from_id(Some(with_recorder(|r| r.input(shape, at))))
    }

    /// A value that is the same everywhere and in every step.
    #[track_caller]
    pub fn constant(value: f32, shape: Shape) -> Var {
        Var::apply(Constant { value, shape: shape.with_batch(false) }, &[])
    }

    /// The sizes and how they came about; after a mistake, a single number.
    pub fn sizes(self) -> ShapeVar {
        match self.id {
            Some(id) => with_recorder(|r| r.sizes(id)),
            None => ShapeVar::new(Shape::scalar(true)),
        }
    }

    /// The sizes per image, C×H×W for a feature map.
    pub fn shape(self) -> Shape {
        self.sizes().shape()
    }

    /// Size of one axis; 0 is the first behind the batch. After a mistake, 1.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub fn dim(self, axis: usize) -> usize {
        if self.id.is_none() { 1 } else { self.shape().dim(axis) }
    }

    /// Reports the value during training under `name`: its shape, mean, spread and share of zeros, once an epoch.
    #[track_caller]
    pub fn watch(self, name: &str) -> Var {
        let statistics = self.statistics();
        with_recorder(|r| r.want(Role::Watch(name.to_owned()), statistics.id));
        self
    }

    /// Names the value as an output of the graph.
    pub(crate) fn want(self, role: Role) {
        with_recorder(|r| r.want(role, self.id));
    }
}

/// Whether the pass under way is recorded for training.
pub(crate) fn training() -> bool {
    with_recorder(|r| r.mode() == Mode::Train)
}
