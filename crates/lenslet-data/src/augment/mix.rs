//! Mixing: of a picture and another of its batch comes one, and each label counts by its picture's share.
//!
//! This is mixup (Zhang et al., 2018, <https://arxiv.org/abs/1710.09412>) and CutMix (Yun et al., 2019,
//! <https://arxiv.org/abs/1905.04899>) as torchvision's `v2.MixUp` and `v2.CutMix` do them: the other picture is the one before
//! it in the batch, the first one's is the last, and the picture's own share is drawn from Beta(α, α). Two things are not
//! torchvision's. It draws once for a batch, and we for each picture, as timm's mode `elem` does. And what is mixed are
//! bytes, so that numbers are rounded to one.
//!
//! Mixing comes behind all ops: either picture is changed as it would be alone. It draws from a stream of its own, so
//! that shares are known without changing a picture.

use std::fmt;

use lenslet_rng::Stream;

use super::Picture;

/// A way to mix, with what chance decides by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mixing {
    /// One picture shows through the other.
    MixUp {
        /// α of the share's distribution.
        alpha: f32,
        /// How often it is done at all.
        chance: f32,
    },
    /// A rectangle of the other picture covers this one.
    CutMix {
        /// α of the share's distribution.
        alpha: f32,
        /// How often it is done at all.
        chance: f32,
    },
}

impl Mixing {
    /// Draws how a picture of this size (C, H, W) is mixed, if it is.
    pub(super) fn draw(self, [_, height, width]: [usize; 3], random: &mut Stream) -> Option<Mix> {
        let (Mixing::MixUp { alpha, chance } | Mixing::CutMix { alpha, chance }) = self;
        if random.uniform() >= chance {
            return None;
        }
        let share = symmetric_beta(alpha.into(), random);
        Some(match self {
            Mixing::MixUp { .. } => Mix::MixUp { share: share as f32 },
            Mixing::CutMix { .. } => {
                let centre = [height, width].map(|side| random.below(side as u32) as usize);
                Mix::cut_mix(share, centre, [height, width])
            }
        })
    }
}

impl fmt::Display for Mixing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, alpha, chance) = match *self {
            Mixing::MixUp { alpha, chance } => ("mixup", alpha, chance),
            Mixing::CutMix { alpha, chance } => ("cutmix", alpha, chance),
        };
        write!(f, "{name} {alpha}")?;
        if chance < 1.0 { write!(f, " {chance}") } else { Ok(()) }
    }
}

/// The place in a batch of so many pictures whose picture is mixed into the one at `place`: the place before it, and the
/// last one before the first, as torchvision's `roll(1)` has it.
pub fn partner(place: usize, batch: usize) -> usize {
    place.checked_sub(1).unwrap_or(batch - 1)
}

/// How a picture is mixed with another, all chance taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mix {
    /// Both pictures, each times its share.
    MixUp {
        /// The share of the picture itself.
        share: f32,
    },
    /// The other picture within a rectangle, which may be empty.
    CutMix {
        /// Row and column of the rectangle's first pixel.
        corner: [usize; 2],
        /// Its rows and columns.
        size: [usize; 2],
        /// What share of the picture itself is left.
        share: f32,
    },
}

impl Mix {
    /// CutMix around a centre in a picture of H×W pixels. The rectangle has the other picture's share of the area, but for
    /// what lies outside or is rounded off; the share is then that of the pixels themselves.
    pub fn cut_mix(share: f64, centre: [usize; 2], [height, width]: [usize; 2]) -> Self {
        let radius = 0.5 * (1.0 - share).sqrt();
        let part = |centre: usize, side: usize| {
            let half = (radius * side as f64) as usize;
            (centre.saturating_sub(half), (centre + half).min(side))
        };
        let ((top, bottom), (left, right)) = (part(centre[0], height), part(centre[1], width));
        let size = [bottom - top, right - left];
        let share = 1.0 - (size[0] * size[1]) as f64 / (height * width) as f64;
        Mix::CutMix { corner: [top, left], size, share: share as f32 }
    }

    /// How much the picture's own label counts; the other's has the rest.
    pub fn share(self) -> f32 {
        let (Mix::MixUp { share } | Mix::CutMix { share, .. }) = self;
        share
    }

    /// Mixes the picture with another of the same size.
    pub fn apply(self, picture: &mut Picture, other: &Picture) {
        let [_, height, width] = picture.size();
        match self {
            Mix::MixUp { share } => {
                for (x, &other) in picture.pixels_mut().iter_mut().zip(other.pixels()) {
                    *x = (f32::from(*x) * share + f32::from(other) * (1.0 - share) + 0.5) as u8;
                }
            }
            Mix::CutMix { corner: [top, left], size: [rows, columns], .. } => {
                for (plane, other) in picture.planes_mut().zip(other.pixels().chunks_exact(height * width)) {
                    for first in (top..top + rows).map(|row| row * width + left) {
                        plane[first..][..columns].copy_from_slice(&other[first..][..columns]);
                    }
                }
            }
        }
    }
}

/// A number of the distribution Beta(α, α): Devroye's line of code for symmetric ones (1996, "Random variate generation in
/// one line of code", <https://dl.acm.org/doi/10.1145/256562.256623>), which needs two uniform numbers for any α.
fn symmetric_beta(alpha: f64, random: &mut Stream) -> f64 {
    let [u, v] = [random.uniform(), random.uniform()].map(f64::from);
    let cosine = libm::cos(2.0 * std::f64::consts::PI * v);
    // Infinite where u is near 0 and α small: the result is then 0 or 1.
    let square = (libm::pow(u, -1.0 / alpha) - 1.0) * cosine * cosine;
    0.5 + 0.5_f64.copysign(cosine) / (1.0 + 1.0 / square).sqrt()
}

#[cfg(test)]
mod tests {
    use lenslet_rng::Purpose;

    use super::*;

    /// The greatest distance of 20,000 numbers' distribution from these three, which have a formula (Kolmogorov and
    /// Smirnov's test: beyond 0.0115 in 1 of 100 cases); at other α by their variance, 1/(8α + 4).
    #[test]
    fn shares_have_the_beta_distribution() {
        const COUNT: usize = 20_000;
        let drawn = |alpha: f64| {
            let mut random = Stream::new(1, Purpose::Mix, 0, 0);
            let mut shares: Vec<f64> = (0..COUNT).map(|_| symmetric_beta(alpha, &mut random)).collect();
            shares.sort_unstable_by(f64::total_cmp);
            shares
        };
        let arcsine = |x: f64| 2.0 / std::f64::consts::PI * x.sqrt().asin();
        let distributions: [(f64, &dyn Fn(f64) -> f64); 3] =
            [(0.5, &arcsine), (1.0, &|x| x), (2.0, &|x| x * x * (3.0 - 2.0 * x))];
        for (alpha, below) in distributions {
            let shares = drawn(alpha).into_iter().enumerate();
            let distance = shares.map(|(i, x)| (below(x) - i as f64 / COUNT as f64).abs()).fold(0.0, f64::max);
            assert!(distance < 0.0115, "alpha {alpha}: {distance}");
        }
        for alpha in [0.01, 0.2, 0.4, 8.0, 100.0] {
            let shares = drawn(alpha);
            let mean = shares.iter().sum::<f64>() / COUNT as f64;
            let variance = shares.iter().map(|x| (x - 0.5) * (x - 0.5)).sum::<f64>() / COUNT as f64;
            let expected = 1.0 / (8.0 * alpha + 4.0);
            assert!((mean - 0.5).abs() < 4.0 * (expected / COUNT as f64).sqrt(), "alpha {alpha}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.04, "alpha {alpha}: variance {variance}, not {expected}");
        }
    }
}
