//! Shapes and their rules, ops, recording, differentiation and the plan.
//!
//! A forward pass is recorded once into a [`Graph`] of ops ([`record`](mod@record)), extended by its backward pass
//! ([`differentiate`]) and turned into a [`Plan`](plan::Plan) that a backend runs. What an op means stands on one page
//! of [`ops`]. Invariants: this crate holds no unsafe code, starts no threads and knows no SIMD.
#![forbid(unsafe_code)]

pub mod differentiate;
pub mod graph;
pub mod interpret;
mod message;
pub mod module;
pub mod ops;
pub mod plan;
pub mod record;
mod shape;
mod shape_var;
mod size_error;
pub mod tensor;
mod var;
pub mod window;

pub use graph::{Graph, Init, Node, NodeId, Parameter, Role};
pub use message::Message;
pub use module::{Module, Network, Visitor};
pub use ops::Op;
pub use ops::adaptive_avg_pool::AdaptiveAvgPool2d;
pub use ops::avg_pool::AvgPool2d;
pub use ops::batch_norm::BatchNorm2d;
pub use ops::conv2d::Conv2d;
pub use ops::custom::{CustomOp, OutputShape};
pub use ops::dropout::Dropout;
pub use ops::layer_norm::LayerNorm2d;
pub use ops::layer_scale::LayerScale;
pub use ops::linear::Linear;
pub use ops::max_pool::MaxPool2d;
pub use ops::reshape::INFER;
pub use ops::stochastic_depth::StochasticDepth;
pub use record::{Mode, RecordError, RecordMistake, Recording, record};
pub use shape::{MAX_LEN, MAX_RANK, Shape};
pub use shape_var::{Pair, ShapeVar, Single, Trail, TrailStep};
pub use size_error::{Mistake, SizeError};
pub use var::Var;
