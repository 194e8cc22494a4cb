//! Muon: a matrix's step is its momentum with all singular values made nearly equal (Keller Jordan and others, 2024,
//! <https://kellerjordan.github.io/posts/muon/>; `torch.optim.Muon`).
//!
//! Convolutions' weights are matrices of outputs × (inputs·kernel). What makes the singular values equal is Newton and
//! Schulz's iteration, `X ← aX + (bA + cA²)X` with `A = XXᵀ`: products of matrices alone. They are cut into columns that threads
//! share, always in the same way, so that the number of threads changes no bit.

use std::ops::Range;

use lenslet_cpu::{Apart, Pool};
use nalgebra::{DMatrixView, DMatrixViewMut};

use crate::Weights;

/// The coefficients of the published iteration: steep at 0, and about 1 ± 0.3 for what was between.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];

/// Added to the norm that a matrix is divided by.
const EPS: f32 = 1e-7;

/// Columns that a thread works on at a time.
const COLUMNS: usize = 64;

/// What a step of Muon does with the directions that momentum has formed.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) iterations: u32,
    /// Whether a matrix is first brought to a mean norm of 1 an output.
    pub(super) unit_filters: bool,
    pub(super) rate: f32,
    pub(super) weight_decay: f32,
}

/// A parameter seen as a matrix of outputs × what each of them sums up, in rows.
pub(super) struct Matrix {
    pub(super) parameter: usize,
    range: Range<usize>,
    outputs: usize,
    inputs: usize,
    /// Pieces of the work on its longer side × the shorter, and on the shorter's square.
    pieces: Apart,
    square_pieces: Apart,
}

/// The parameters that are matrices, and room to work on the largest.
pub(super) struct Muon {
    matrices: Vec<Matrix>,
    scratch: Scratch,
}

impl Muon {
    /// All parameters of two and more axes that training changes, but for the last, which makes the logits.
    pub(super) fn new(weights: &Weights) -> Self {
        let parameters = weights.parameters().iter().enumerate();
        let wide = parameters.filter(|(_, p)| p.shape.rank() >= 2).map(|(number, _)| number);
        let mut wide: Vec<usize> = wide.collect();
        wide.pop();
        wide.retain(|&number| weights.parameters()[number].trainable);
        let matrix = |parameter: usize| {
            Matrix::new(parameter, weights.range(parameter), weights.parameters()[parameter].shape.dim(0))
        };
        let matrices: Vec<Matrix> = wide.into_iter().map(matrix).collect();
        let scratch = Scratch::for_all(&matrices);
        Self { matrices, scratch }
    }

    /// Whether the parameter of this number is one of the matrices.
    pub(super) fn has(&self, parameter: usize) -> bool {
        self.matrices.iter().any(|matrix| matrix.parameter == parameter)
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self) -> u64 {
        self.scratch.bytes()
    }

    /// Takes a step into each direction; `step` tells of the parameter of a number what to do, if anything.
    pub(super) fn step(
        &mut self,
        pool: &mut Pool,
        weights: &mut Weights,
        directions: &[f32],
        step: impl Fn(usize) -> Option<Step>,
    ) {
        for matrix in &self.matrices {
            if let Some(step) = step(matrix.parameter) {
                self.scratch.orthogonalize(pool, &directions[matrix.range.clone()], matrix, step.iterations);
                let values = &mut weights.all_mut()[matrix.range.clone()];
                matrix.apply(values, &self.scratch.tall, step);
            }
        }
    }
}

impl Matrix {
    fn new(parameter: usize, range: Range<usize>, outputs: usize) -> Self {
        let inputs = range.len() / outputs;
        let [long, short] = sides(outputs, inputs);
        let [pieces, square_pieces] = [long, short].map(|height| {
            let columns = (0..short).step_by(COLUMNS).map(|first| [first, short.min(first + COLUMNS)]);
            Apart::new(columns.map(|[first, last]| first * height..last * height).collect())
        });
        Self { parameter, range, outputs, inputs, pieces, square_pieces }
    }

    /// Whether its rows are its shorter side.
    fn is_wide(&self) -> bool {
        self.outputs <= self.inputs
    }

    /// Its sides, the longer one first.
    fn sides(&self) -> [usize; 2] {
        sides(self.outputs, self.inputs)
    }

    /// Changes the values by the orthogonal direction, whose columns are the matrix's shorter side.
    fn apply(&self, values: &mut [f32], direction: &[f32], step: Step) {
        let (keep, rate) = if step.unit_filters {
            let norm = norm(values);
            let keep = if norm > 0.0 { (self.outputs as f32).sqrt() / norm } else { 1.0 };
            (keep, step.rate)
        } else {
            // As PyTorch's: a step of the same mean size in tall matrices as in square ones.
            let larger = (self.outputs as f32 / self.inputs as f32).max(1.0).sqrt();
            (1.0 - step.rate * step.weight_decay, step.rate * larger)
        };
        let [long, short] = self.sides();
        for (i, value) in values.iter_mut().enumerate() {
            // A wide matrix's rows are the columns; a tall one's columns are.
            let place = if self.is_wide() { i } else { i / short + i % short * long };
            *value = keep * *value - rate * direction[place];
        }
    }
}

/// The longer side and the shorter.
fn sides(outputs: usize, inputs: usize) -> [usize; 2] {
    [outputs.max(inputs), outputs.min(inputs)]
}

/// The root of the sum of squares.
fn norm(values: &[f32]) -> f32 {
    values.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt() as f32
}

/// Room for the iteration; matrices stand in columns, as [`nalgebra`] has them.
struct Scratch {
    /// The longer side × the shorter: Xᵀ of a wide matrix.
    tall: Vec<f32>,
    next: Vec<f32>,
    /// The shorter side × the longer.
    wide: Vec<f32>,
    /// A and bA + cA².
    gram: Vec<f32>,
    polynomial: Vec<f32>,
}

impl Scratch {
    fn for_all(matrices: &[Matrix]) -> Self {
        let largest = |size: fn([usize; 2]) -> usize| matrices.iter().map(|m| size(m.sides())).max().unwrap_or(0);
        let (all, square) = (largest(|[long, short]| long * short), largest(|[_, short]| short * short));
        let [tall, next, wide] = std::array::from_fn(|_| vec![0.0; all]);
        let [gram, polynomial] = std::array::from_fn(|_| vec![0.0; square]);
        Self { tall, next, wide, gram, polynomial }
    }

    fn bytes(&self) -> u64 {
        (3 * self.tall.len() + 2 * self.gram.len()) as u64 * 4
    }

    /// Leaves the direction in `tall`, its singular values nearly equal.
    fn orthogonalize(&mut self, pool: &mut Pool, direction: &[f32], matrix: &Matrix, iterations: u32) {
        let [long, short] = matrix.sides();
        let scale = 1.0 / (norm(direction) + EPS);
        if matrix.is_wide() {
            self.tall.iter_mut().zip(direction).for_each(|(x, &d)| *x = d * scale);
        } else {
            transpose(&mut self.tall, direction, [short, long]);
            self.tall[..direction.len()].iter_mut().for_each(|x| *x *= scale);
        }
        for _ in 0..iterations {
            self.iterate(pool, matrix);
        }
    }

    /// `X ← aX + (bA + cA²)X`, transposed: A is its own transpose.
    fn iterate(&mut self, pool: &mut Pool, matrix: &Matrix) {
        let ([a, b, c], [long, short]) = (COEFFICIENTS, matrix.sides());
        let Matrix { pieces, square_pieces, .. } = matrix;
        let Self { tall, next, wide, gram, polynomial } = self;
        transpose(wide, tall, [long, short]);
        let (x, transposed) = (&tall[..long * short], &wide[..long * short]);
        pool.run_apart([&mut gram[..short * short]], square_pieces, &|piece, [gram]| {
            multiply(1.0, transposed, &x[pieces[piece].clone()], 0.0, gram, [short, long]);
        });
        let gram = &gram[..short * short];
        pool.run_apart([&mut polynomial[..short * short]], square_pieces, &|piece, [polynomial]| {
            let columns = &gram[square_pieces[piece].clone()];
            polynomial.copy_from_slice(columns);
            multiply(c, gram, columns, b, polynomial, [short, short]);
        });
        let polynomial = &polynomial[..short * short];
        pool.run_apart([&mut next[..long * short]], pieces, &|piece, [next]| {
            next.copy_from_slice(&x[pieces[piece].clone()]);
            multiply(1.0, x, &polynomial[square_pieces[piece].clone()], a, next, [long, short]);
        });
        std::mem::swap(tall, next);
    }
}

/// `c ← alpha·a·b + beta·c`, where `a` has these rows and columns.
fn multiply(alpha: f32, a: &[f32], b: &[f32], beta: f32, c: &mut [f32], [rows, inner]: [usize; 2]) {
    let columns = c.len() / rows;
    let (a, b) = (DMatrixView::from_slice(a, rows, inner), DMatrixView::from_slice(b, inner, columns));
    DMatrixViewMut::from_slice(c, rows, columns).gemm(alpha, &a, &b, beta);
}

/// Writes the transpose of a matrix of these rows and columns, which stands in columns.
fn transpose(to: &mut [f32], from: &[f32], [rows, columns]: [usize; 2]) {
    DMatrixView::from_slice(from, rows, columns).transpose_to(&mut DMatrixViewMut::from_slice(
        &mut to[..rows * columns],
        columns,
        rows,
    ));
}
