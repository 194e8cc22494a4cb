//! The ops of an augmentation: what chance decides about a picture, and within which bounds.
//!
//! The distributions are those of torchvision's transforms v2 of the same names
//! (<https://pytorch.org/vision/stable/transforms.html>); the words stand in the table of [`parse`](super::parse).

use std::fmt;

use lenslet_rng::Stream;
use libm::{expf, logf};

use super::policy;
use super::{Affine, Change, Edge, Moment, Sampling};

/// One op with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// Exchanges left and right with this chance.
    Flip(f32),
    /// Exchanges left and right in every other epoch, half of the pictures in the even ones (Jordan, "94% on CIFAR-10 in 3.29
    /// Seconds on a Single GPU", 2024, <https://arxiv.org/abs/2404.00498>).
    AlternatingFlip,
    /// Cuts the picture's size from anywhere in the picture padded by so many pixels.
    Crop(usize, Edge),
    /// Moves it by up to this share of its sides; black follows.
    Translate(f32),
    /// Takes a part of at least and at most these shares of the area and brings it to the whole size.
    ResizedCrop(f32, f32),
    /// Turns it by up to so many degrees either way.
    Rotate(f32, Sampling),
    /// Turns, moves, scales and shears it.
    Affine {
        /// Most degrees either way.
        degrees: f32,
        /// Most of its sides by which it moves.
        translate: f32,
        /// Least and greatest factor of the size.
        scale: [f32; 2],
        /// Most degrees of shear along the rows.
        shear: f32,
        /// What falls between pixels.
        sampling: Sampling,
    },
    /// Moves the corners inwards by up to this share of half the sides, with this chance.
    Perspective(f32, f32),
    /// Changes brightness by up to this share.
    Brightness(f32),
    /// Changes contrast by up to this share.
    Contrast(f32),
    /// Changes saturation by up to this share.
    Saturation(f32),
    /// Turns the circle of colours by up to this share of it.
    Hue(f32),
    /// The four above by these shares, in an order of chance.
    Jitter([f32; 4]),
    /// Grey with this chance.
    Grey(f32),
    /// Gaussian blur over so many pixels, of a spread between these.
    Blur(usize, [f32; 2]),
    /// Normal noise of this spread, as a share of white.
    Noise(f32),
    /// Erases a square of so many pixels a side, its centre anywhere.
    Cutout(usize),
    /// Erases a rectangle of 2 % to 33 % of the picture, with this chance.
    Erase(f32),
    /// One change of 14 kinds, as strong as chance has it (Müller and Hutter, 2021, <https://arxiv.org/abs/2103.10158>).
    Trivial,
    /// So many changes of this strength from 0 to 30 (Cubuk et al., 2019, <https://arxiv.org/abs/1909.13719>).
    RandAugment(usize, usize),
    /// One of the 25 pairs found for CIFAR-10 (Cubuk et al., 2018, <https://arxiv.org/abs/1805.09501>).
    AutoAugment,
}

impl Op {
    /// Draws what is to be done to a picture of this size (C, H, W).
    pub(super) fn draw(&self, size: [usize; 3], moment: &Moment, random: &mut Stream, change: &mut impl FnMut(Change)) {
        let [_, height, width] = size;
        match *self {
            Op::Flip(chance) => with_chance(chance, random, |_| change(Change::Flip)),
            Op::AlternatingFlip => {
                if moment.coin_of_picture() ^ (moment.epoch % 2 == 1) {
                    change(Change::Flip);
                }
            }
            Op::Crop(padding, edge) => {
                let mut along = || random.below(2 * padding as u32 + 1) as isize - padding as isize;
                change(Change::Shift { down: along(), right: along(), edge });
            }
            Op::Translate(share) => {
                let [right, down] = translation(share, [width, height], random);
                change(Change::Shift { down: -(down as isize), right: -(right as isize), edge: Edge::Zero });
            }
            Op::ResizedCrop(least, most) => change(resized_crop([height, width], [least, most], random)),
            Op::Rotate(most, sampling) => {
                change(Change::Affine(Affine { degrees: random.range(-most, most), sampling, ..Affine::IDENTITY }));
            }
            Op::Affine { degrees, translate, scale, shear, sampling } => change(Change::Affine(Affine {
                degrees: random.range(-degrees, degrees),
                translate: translation(translate, [width, height], random),
                scale: random.range(scale[0], scale[1]),
                shear: [random.range(-shear, shear), 0.0],
                about_corner: false,
                sampling,
            })),
            Op::Perspective(strength, chance) => with_chance(chance, random, |random| {
                let corners = inwards([height, width], strength, random);
                change(Change::Perspective { corners, sampling: Sampling::Bilinear });
            }),
            Op::Brightness(share) => change(Change::Brightness(factor(share, random))),
            Op::Contrast(share) => change(Change::Contrast(factor(share, random))),
            Op::Saturation(share) => change(Change::Saturation(factor(share, random))),
            Op::Hue(share) => change(Change::Hue(random.range(-share, share))),
            Op::Jitter(shares) => jitter(shares, random, change),
            Op::Grey(chance) => with_chance(chance, random, |_| change(Change::Grey)),
            Op::Blur(size, [least, most]) => change(Change::Blur { size, sigma: random.range(least, most) }),
            Op::Noise(spread) => {
                let seed = u64::from(random.next_u32()) << 32 | u64::from(random.next_u32());
                change(Change::Noise { spread, seed });
            }
            Op::Cutout(side) => {
                let mut corner = |len: usize| random.below(len as u32) as isize - (side / 2) as isize;
                change(Change::Erase { corner: [corner(height), corner(width)], size: [side; 2] });
            }
            Op::Erase(chance) => with_chance(chance, random, |random| {
                if let Some((corner, size)) = rectangle([height, width], random) {
                    change(Change::Erase { corner, size });
                }
            }),
            Op::Trivial => policy::trivial(random, change),
            Op::RandAugment(count, strength) => {
                (0..count).for_each(|_| policy::rand_augment(strength, [height, width], random, change));
            }
            Op::AutoAugment => policy::auto_augment([height, width], random, change),
        }
    }
}

/// Does it with this chance; what is drawn before does not depend on it.
fn with_chance(chance: f32, random: &mut Stream, then: impl FnOnce(&mut Stream)) {
    if random.uniform() < chance {
        then(random);
    }
}

/// A factor around 1.
fn factor(share: f32, random: &mut Stream) -> f32 {
    random.range((1.0 - share).max(0.0), 1.0 + share)
}

/// Whole pixels along columns and rows.
fn translation(share: f32, [width, height]: [usize; 2], random: &mut Stream) -> [f32; 2] {
    [width, height].map(|side| {
        let most = share * side as f32;
        random.range(-most, most).round_ties_even()
    })
}

/// torchvision's `RandomResizedCrop`: ten tries for a part of the wanted area whose sides are as 3:4 to 4:3, then the largest.
fn resized_crop([height, width]: [usize; 2], [least, most]: [f32; 2], random: &mut Stream) -> Change {
    let area = (height * width) as f32;
    for _ in 0..10 {
        let wanted = area * random.range(least, most);
        let ratio = expf(random.range(logf(3.0 / 4.0), logf(4.0 / 3.0)));
        let [wide, high] = [wanted * ratio, wanted / ratio].map(|x| x.sqrt().round_ties_even() as usize);
        if (1..=width).contains(&wide) && (1..=height).contains(&high) {
            let top = random.below((height - high + 1) as u32) as usize;
            let left = random.below((width - wide + 1) as u32) as usize;
            return Change::ResizedCrop { top, left, height: high, width: wide };
        }
    }
    Change::ResizedCrop { top: 0, left: 0, height, width }
}

/// Where the corners go, each within its quarter of the picture.
fn inwards([height, width]: [usize; 2], strength: f32, random: &mut Stream) -> [[f32; 2]; 4] {
    let most = [width, height].map(|side| (strength * (side / 2) as f32) as u32);
    [[false, false], [true, false], [true, true], [false, true]].map(|far| {
        std::array::from_fn(|axis| {
            let inwards = random.below(most[axis] + 1) as f32;
            let last = [width, height][axis] as f32 - 1.0;
            if far[axis] { last - inwards } else { inwards }
        })
    })
}

/// torchvision's `ColorJitter`: brightness, contrast, saturation and hue in any order.
fn jitter(shares: [f32; 4], random: &mut Stream, change: &mut impl FnMut(Change)) {
    let mut order = [0, 1, 2, 3];
    for i in (1..4).rev() {
        order.swap(i, random.below(i as u32 + 1) as usize);
    }
    for which in order {
        let share = shares[which];
        if share > 0.0 {
            change(match which {
                0 => Change::Brightness(factor(share, random)),
                1 => Change::Contrast(factor(share, random)),
                2 => Change::Saturation(factor(share, random)),
                _ => Change::Hue(random.range(-share, share)),
            });
        }
    }
}

/// torchvision's `RandomErasing`: ten tries for a rectangle of 2 % to 33 % of the area that lies within the picture.
fn rectangle([height, width]: [usize; 2], random: &mut Stream) -> Option<([isize; 2], [usize; 2])> {
    let area = (height * width) as f32;
    (0..10).find_map(|_| {
        let wanted = area * random.range(0.02, 0.33);
        let ratio = expf(random.range(logf(0.3), logf(3.3)));
        let [high, wide] = [wanted * ratio, wanted / ratio].map(|x| x.sqrt().round_ties_even() as usize);
        (high < height && wide < width).then(|| {
            let corner = [height - high, width - wide].map(|room| random.below(room as u32 + 1) as isize);
            (corner, [high, wide])
        })
    })
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = |edge| match edge {
            Edge::Zero => "",
            Edge::Reflect => " reflect",
            Edge::Repeat => " repeat",
        };
        let sampling = |sampling| match sampling {
            Sampling::Nearest => "",
            Sampling::Bilinear => " bilinear",
        };
        match *self {
            Op::Flip(chance) => write!(f, "flip {chance}"),
            Op::AlternatingFlip => f.write_str("alternating-flip"),
            Op::Crop(padding, around) => write!(f, "crop {padding}{}", edge(around)),
            Op::Translate(share) => write!(f, "translate {share}"),
            Op::ResizedCrop(least, most) => write!(f, "resized-crop {least} {most}"),
            Op::Rotate(degrees, between) => write!(f, "rotate {degrees}{}", sampling(between)),
            Op::Affine { degrees, translate, scale: [least, most], shear, sampling: between } => {
                write!(f, "affine {degrees} {translate} {least} {most} {shear}{}", sampling(between))
            }
            Op::Perspective(strength, chance) => write!(f, "perspective {strength} {chance}"),
            Op::Brightness(share) => write!(f, "brightness {share}"),
            Op::Contrast(share) => write!(f, "contrast {share}"),
            Op::Saturation(share) => write!(f, "saturation {share}"),
            Op::Hue(share) => write!(f, "hue {share}"),
            Op::Jitter([b, c, s, h]) => write!(f, "jitter {b} {c} {s} {h}"),
            Op::Grey(chance) => write!(f, "grey {chance}"),
            Op::Blur(size, [least, most]) => write!(f, "blur {size} {least} {most}"),
            Op::Noise(spread) => write!(f, "noise {spread}"),
            Op::Cutout(side) => write!(f, "cutout {side}"),
            Op::Erase(chance) => write!(f, "erase {chance}"),
            Op::Trivial => f.write_str("trivial"),
            Op::RandAugment(count, strength) => write!(f, "randaugment {count} {strength}"),
            Op::AutoAugment => f.write_str("autoaugment"),
        }
    }
}
