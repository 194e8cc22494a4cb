//! The transforms against sums of products in `f64`: each lane is a problem of its own.

use lenslet_rng::{Purpose, Stream};

use super::transform::{Winograd, gather, spread};
use crate::kernels::testing::Machine;
use crate::simd::{Kernel, Lanes, MAX_LANES};

/// Numbers of an n×n tile, lane by lane.
type Tile<const N: usize> = [[[f32; MAX_LANES]; N]; N];

/// One tile of image, kernel and result; gives the convolution of the first two, and the gradient by the kernel.
struct Filter<'a, const N: usize, const M: usize, const R: usize> {
    x: &'a Tile<N>,
    g: &'a Tile<R>,
    dy: &'a Tile<M>,
}

impl<const N: usize, const M: usize, const R: usize> Kernel for Filter<'_, N, M, R> {
    type Output = (Tile<M>, Tile<R>);

    #[inline(always)]
    fn run<S: Lanes>(self, simd: S) -> Self::Output {
        let x = spread(simd, &Winograd::<N, M, R>::IMAGE, &load(simd, self.x));
        let g = spread(simd, &Winograd::<N, M, R>::KERNEL, &load(simd, self.g));
        let dy = spread(simd, &Winograd::<N, M, R>::RESULT, &load(simd, self.dy));
        let y = gather(simd, &Winograd::<N, M, R>::RESULT, &product(simd, &x, &g));
        let dg = gather(simd, &Winograd::<N, M, R>::KERNEL, &product(simd, &x, &dy));
        (store(simd, &y), store(simd, &dg))
    }
}

#[inline(always)]
fn product<S: Lanes, const N: usize>(simd: S, a: &[[S::V; N]; N], b: &[[S::V; N]; N]) -> [[S::V; N]; N] {
    let mut product = *a;
    for (a, b) in product.as_flattened_mut().iter_mut().zip(b.as_flattened()) {
        *a = simd.mul(*a, *b);
    }
    product
}

#[inline(always)]
fn load<S: Lanes, const N: usize>(simd: S, tile: &Tile<N>) -> [[S::V; N]; N] {
    let mut vectors = [[simd.splat(0.0); N]; N];
    for (vector, lanes) in vectors.as_flattened_mut().iter_mut().zip(tile.as_flattened()) {
        *vector = simd.load(lanes, 0);
    }
    vectors
}

#[inline(always)]
fn store<S: Lanes, const N: usize>(simd: S, vectors: &[[S::V; N]; N]) -> Tile<N> {
    let mut tile = [[[0.0; MAX_LANES]; N]; N];
    for (vector, lanes) in vectors.as_flattened().iter().zip(tile.as_flattened_mut()) {
        simd.store(*vector, lanes, 0);
    }
    tile
}

fn random<const N: usize>(stream: &mut Stream) -> Tile<N> {
    let mut tile = [[[0.0; MAX_LANES]; N]; N];
    tile.as_flattened_mut().as_flattened_mut().fill_with(|| stream.range(-1.0, 1.0));
    tile
}

/// The largest error of `O×O` sums `Σ a[i + k][j + l]·b[k][l]` of numbers from −1 to 1, as a share of what the products'
/// sizes add up to in the mean.
fn error<const N: usize, const K: usize, const O: usize>(
    lanes: usize,
    a: &Tile<N>,
    b: &Tile<K>,
    actual: &Tile<O>,
) -> f64 {
    let mut worst = 0.0f64;
    for lane in 0..lanes {
        for (i, row) in actual.iter().enumerate() {
            for (j, actual) in row.iter().enumerate() {
                let mut sum = 0.0;
                for k in 0..K {
                    for l in 0..K {
                        sum += f64::from(a[i + k][j + l][lane]) * f64::from(b[k][l][lane]);
                    }
                }
                worst = worst.max((f64::from(actual[lane]) - sum).abs() / ((K * K) as f64 / 4.0));
            }
        }
    }
    worst
}

/// The worst errors of convolution and gradient in many tiles.
fn errors<const N: usize, const M: usize, const R: usize>() -> [f64; 2] {
    let mut stream = Stream::new(3, Purpose::Init, 0, 0);
    let mut worst = [0.0f64; 2];
    for machine in Machine::vectors() {
        for _ in 0..400 {
            let (x, g, dy) = (random(&mut stream), random(&mut stream), random(&mut stream));
            let (y, dg) = machine.run(Filter::<N, M, R> { x: &x, g: &g, dy: &dy });
            worst[0] = worst[0].max(error(machine.lanes(), &x, &g, &y));
            worst[1] = worst[1].max(error(machine.lanes(), &x, &dy, &dg));
        }
    }
    worst
}

/// Measured: 2e-6 for the convolution and 4e-6 for the gradient at most; single precision itself is 6e-8.
#[test]
fn sums_of_products_come_out() {
    for (name, [y, dg]) in [
        ("F(2x2,3x3)", errors::<4, 2, 3>()),
        ("F(3x3,3x3)", errors::<5, 3, 3>()),
        ("F(4x4,3x3)", errors::<6, 4, 3>()),
        ("F(2x2,5x5)", errors::<6, 2, 5>()),
    ] {
        println!("{name}: {y:.1e} {dg:.1e}");
        assert!(y < 1e-5 && dg < 1e-5, "{name}: errors {y:.1e} and {dg:.1e} of the products' sizes");
    }
}
