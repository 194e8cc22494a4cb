//! Winograd's convolution: 3×3 and 5×5 kernels at stride 1 with a fraction of the products.
//!
//! [`transform`] has the transforms of tiles, by the [`matrices`]; [`weights`] applies them to a layer's weights once a step,
//! and [`conv2d`] to [`maps`], [`conv2d_max_pool`] to maps that are pooled, [`one_image`] to those of a single image;
//! [`whole_batch`] goes over all images at once, whose maps were transformed as [`tiles`]. Which layers are done this way is
//! the plan's choice ([`lenslet_graph::plan::Winograd`]).

mod column_products;
pub(crate) mod conv2d;
pub(crate) mod conv2d_max_pool;
#[cfg(test)]
mod conv2d_max_pool_tests;
#[cfg(test)]
mod conv2d_tests;
mod maps;
mod matrices;
pub(crate) mod one_image;
#[cfg(test)]
mod one_image_tests;
mod tile_products;
pub(crate) mod tiles;
pub(crate) mod transform;
#[cfg(test)]
mod transform_tests;
pub(crate) mod weight_grad;
mod weight_grad_geometry;
pub(crate) mod weights;
pub(crate) mod whole_batch;
#[cfg(test)]
mod whole_batch_tests;
pub(crate) mod whole_batch_weight_grad;
