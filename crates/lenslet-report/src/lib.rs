//! Pictures of a training run, and its numbers for TensorBoard.
//!
//! A page per picture (`curves`, `confusion`, `filters`, `sheet`, `study`) turns plain numbers, names and bytes into a [`Drawing`]: a
//! list of rectangles, lines, texts and bitmaps on white. `svg` and `raster` write any such list, so a picture is laid out
//! once and looks the same in both; the font whose widths the layout counts on is built in.
//!
//! *Invariants:* this crate knows no other crate of ours. No numbers and no names make it panic; what is no number is left
//! out, what is too long is cut with an ellipsis, and the same input gives the same bytes.
#![forbid(unsafe_code)]

mod bitmap;
mod confusion;
mod curves;
mod drawing;
mod filters;
mod font;
#[cfg(test)]
mod layout_tests;
mod palette;
mod panel;
mod raster;
mod sheet;
mod study;
mod svg;
pub mod tensorboard;

pub use confusion::confusion;
pub use curves::{Point, curves};
pub use drawing::Drawing;
pub use filters::filters;
pub use font::labels;
pub use sheet::{Caption, Picture, Row, Sheet, sheet};
pub use study::{Step, study};
