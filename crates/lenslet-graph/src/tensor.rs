//! The references' tensor: values of a whole batch, image after image, as plain as can be.
//!
//! Only the references and the interpreter use it. A backend has a layout of its own.

use num_traits::Float;

use crate::Shape;

/// A floating-point number that a reference can be run in: `f32`, or `f64` for finite differences.
pub trait Real: Float + std::iter::Sum + std::ops::AddAssign + std::fmt::Debug + Send + Sync + 'static {
    /// The error function, `2/√π ∫₀ˣ exp(−t²) dt`.
    fn erf(self) -> Self;

    /// The nearest number of this type.
    fn of(value: f64) -> Self {
        Self::from(value).expect("every f64 has a nearest float")
    }
}

impl Real for f32 {
    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    fn erf(self) -> Self {
        libm::erf(self)
    }
}

/// Values of a batch: `batch` blocks of `shape.len()` numbers; a whole value has one block.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor<F> {
    shape: Shape,
    data: Vec<F>,
}

impl<F: Real> Tensor<F> {
    /// A tensor of these values.
    ///
    /// # Panics
    /// If the values are no whole number of blocks, or a whole value has more than one.
    pub fn new(shape: Shape, data: Vec<F>) -> Self {
        assert_eq!(data.len() % shape.len(), 0, "values must fill blocks of {shape:?}");
        assert!(shape.is_batched() || data.len() == shape.len(), "a whole value has one block");
        Self { shape, data }
    }

    /// A tensor for `batch` images whose blocks `fill` writes, given the image's number; a whole value has the block 0.
    pub fn per_image(shape: Shape, batch: usize, mut fill: impl FnMut(usize, &mut [F])) -> Self {
        let blocks = if shape.is_batched() { batch } else { 1 };
        let mut data = vec![F::zero(); blocks * shape.len()];
        for (image, block) in data.chunks_exact_mut(shape.len()).enumerate() {
            fill(image, block);
        }
        Self { shape, data }
    }

    /// The shape of a block.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Number of blocks: the batch size, or 1 for a whole value.
    pub fn blocks(&self) -> usize {
        self.data.len() / self.shape.len()
    }

    /// The block of one image; a whole value is the same for every image.
    pub fn image(&self, image: usize) -> &[F] {
        let len = self.shape.len();
        let image = if self.shape.is_batched() { image } else { 0 };
        &self.data[image * len..][..len]
    }

    /// All values, block after block.
    pub fn data(&self) -> &[F] {
        &self.data
    }

    /// All values, to be changed.
    pub fn data_mut(&mut self) -> &mut [F] {
        &mut self.data
    }
}
