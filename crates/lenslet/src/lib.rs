//! Convolutional networks that classify images, as in PyTorch: layers, and a forward pass that you spell out.
//!
//! Sizes are written C×H×W and proved before anything runs: `#[network(input = [3, 32, 32])]` makes a wrong size a
//! compile error, and a network whose input is known only at run time is checked when it is recorded.
#![forbid(unsafe_code)]

// The macros name this crate by its public name, also from within.
extern crate self as lenslet;

mod averaging;
pub mod checkpoint;
mod diagnosis;
mod error;
pub mod files;
mod images;
pub mod inference;
mod initialization;
pub mod metrics;
mod model;
pub mod networks;
mod normalization;
pub mod optimizer;
mod parts;
pub mod profile;
pub mod rehearsal;
pub mod schedule;
mod settings;
pub mod state;
pub mod summary;
mod tensor_file;
mod test_time;
pub mod training;
#[doc(hidden)]
pub mod twin;
pub mod warnings;
mod weights;

pub use averaging::Lookahead;
pub use error::Error;
pub use inference::Inference;
pub use initialization::Initialization;
pub use model::Model;
pub use normalization::{Normalization, Table};
pub use optimizer::{Group, Groups, Optimizer, OptimizerState};
pub use profile::Profile;
pub use schedule::Schedule;
pub use settings::{Normalize, Settings};
pub use state::State;
pub use summary::Summary;
pub use test_time::TestTime;
pub use training::Trainer;
pub use warnings::Warning;
pub use weights::Weights;

pub use lenslet_cpu as cpu;
pub use lenslet_data as data;
pub use lenslet_graph as graph;
pub use lenslet_graph::{
    AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, CustomOp, Dropout, INFER, LayerNorm2d, LayerScale, Linear,
    MaxPool2d, Mode, Module, Network, OutputShape, Pair, RecordError, Shape, ShapeVar, Single, StochasticDepth, Var,
    Visitor, record,
};
pub use lenslet_macros::{Module, block, network};

/// What a file that defines a network needs.
pub mod prelude {
    pub use crate::{
        AdaptiveAvgPool2d, AvgPool2d, BatchNorm2d, Conv2d, CustomOp, Dropout, INFER, LayerNorm2d, LayerScale, Linear,
        MaxPool2d, Module, Network, OutputShape, StochasticDepth, Var, Visitor, block, network,
    };
}
