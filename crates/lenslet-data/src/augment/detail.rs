//! Changes of detail: sharpness, Gaussian blur, noise, and areas that are erased.

use lenslet_rng::Stream;

use super::Picture;
use super::place::{Edge, source};

/// Away from a slightly blurred picture for factors above 1, and towards it below; torchvision's `adjust_sharpness`. The
/// outermost pixels stay as they are.
pub(super) fn sharpness(picture: &mut Picture, factor: f32) {
    let [_, height, width] = picture.size();
    if height <= 2 || width <= 2 {
        return;
    }
    picture.redraw(|old, new| {
        new.copy_from_slice(old);
        for row in 1..height - 1 {
            for column in 1..width - 1 {
                let at = row * width + column;
                let around = [at - width, at, at + width].map(|at| old[at - 1..=at + 1].iter().map(|&x| f32::from(x)));
                let x = f32::from(old[at]);
                let blurred = ((around.into_iter().flatten().sum::<f32>() + 4.0 * x) / 13.0).round_ties_even();
                new[at] = (x + (blurred - x) * (1.0 - factor)).clamp(0.0, 255.0) as u8;
            }
        }
    });
}

/// Gaussian blur of this spread over `size` pixels each way, the picture mirrored at its edges; torchvision's
/// `gaussian_blur`.
pub(super) fn blur(picture: &mut Picture, size: usize, sigma: f32) {
    let [_, height, width] = picture.size();
    let half = (size / 2).min(height.min(width) - 1);
    let mut weights: Vec<f32> =
        (0..=2 * half).map(|i| libm::expf(-0.5 * ((i as f32 - half as f32) / sigma).powi(2))).collect();
    let total: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    let seen = |at: usize, i: usize, len: usize| {
        let at = (at + i) as isize - half as isize;
        source(at, len, Edge::Reflect).expect("a mirrored edge has a pixel for every place")
    };
    picture.redraw(|old, new| {
        for row in 0..height {
            for column in 0..width {
                let mut sum = 0.0;
                for (i, down) in weights.iter().enumerate() {
                    let row = seen(row, i, height);
                    for (j, right) in weights.iter().enumerate() {
                        let column = seen(column, j, width);
                        sum += down * right * f32::from(old[row * width + column]);
                    }
                }
                new[row * width + column] = sum.round_ties_even() as u8;
            }
        }
    });
}

/// Adds normal noise of this spread, in shares of white, drawn from `random`; torchvision's `gaussian_noise`.
pub(super) fn noise(picture: &mut Picture, spread: f32, random: &mut Stream) {
    for x in picture.pixels_mut() {
        *x = (f32::from(*x) + 255.0 * spread * random.normal()).round().clamp(0.0, 255.0) as u8;
    }
}

/// Fills a rectangle with one colour, as far as it lies within the picture: cutout (DeVries and Taylor, 2017,
/// <https://arxiv.org/abs/1708.04552>) and random erasing (Zhong et al., 2017, <https://arxiv.org/abs/1708.04896>).
pub(super) fn erase(picture: &mut Picture, [top, left]: [isize; 2], [height, width]: [usize; 2], colour: &[u8]) {
    let [_, rows, columns] = picture.size();
    let part = |first: isize, len: usize, end: usize| {
        let clamp = |at: isize| at.clamp(0, end as isize) as usize;
        clamp(first)..clamp(first.saturating_add_unsigned(len))
    };
    let (down, along) = (part(top, height, rows), part(left, width, columns));
    for (plane, &fill) in picture.planes_mut().zip(colour.iter().cycle()) {
        plane.chunks_exact_mut(columns).take(down.end).skip(down.start).for_each(|row| row[along.clone()].fill(fill));
    }
}
