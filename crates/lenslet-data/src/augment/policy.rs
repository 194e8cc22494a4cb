//! Published mixtures of changes: TrivialAugment, RandAugment and AutoAugment's policy for CIFAR-10.
//!
//! As torchvision has them (`TrivialAugmentWide`, `RandAugment`, `AutoAugment(CIFAR10)`): which changes, how strong, and with
//! the nearest pixel.

use lenslet_rng::Stream;

use super::{Affine, Change};

/// A kind of change whose strength is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
    Invert,
}

use Kind::*;

/// What TrivialAugment and RandAugment choose from.
const CHOICE: [Kind; 14] = [
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
];

/// How far each kind goes at the most; `bits` are those that posterizing takes away.
struct Strengths {
    shear: f32,
    /// Pixels along columns and rows.
    translate: [f32; 2],
    degrees: f32,
    colour: f32,
    bits: f32,
}

impl Kind {
    /// The change at `share` of its greatest strength, from 0 to 1, the other way if `minus` and there is one.
    fn at(self, share: f32, minus: bool, most: &Strengths) -> Option<Change> {
        let signed = |most: f32| if minus { -share * most } else { share * most };
        let shear = |shear: [f32; 2]| {
            let shear = shear.map(|x| libm::atanf(x).to_degrees());
            Change::Affine(Affine { shear, about_corner: true, ..Affine::IDENTITY })
        };
        let translate =
            |translate: [f32; 2]| Change::Affine(Affine { translate: translate.map(f32::trunc), ..Affine::IDENTITY });
        Some(match self {
            Identity => return None,
            ShearX => shear([signed(most.shear), 0.0]),
            ShearY => shear([0.0, signed(most.shear)]),
            TranslateX => translate([signed(most.translate[0]), 0.0]),
            TranslateY => translate([0.0, signed(most.translate[1])]),
            // torchvision's `rotate` turns the other way round than its `affine`.
            Rotate => Change::Affine(Affine { degrees: -signed(most.degrees), ..Affine::IDENTITY }),
            Brightness => Change::Brightness(1.0 + signed(most.colour)),
            Color => Change::Saturation(1.0 + signed(most.colour)),
            Contrast => Change::Contrast(1.0 + signed(most.colour)),
            Sharpness => Change::Sharpness(1.0 + signed(most.colour)),
            Posterize => Change::Posterize((8.0 - (share * most.bits).round_ties_even()) as u32),
            Solarize => Change::Solarize(255.0 * (1.0 - share)),
            AutoContrast => Change::AutoContrast,
            Equalize => Change::Equalize,
            Invert => Change::Invert,
        })
    }
}

fn coin(random: &mut Stream) -> bool {
    random.next_u32() & 1 == 1
}

/// One kind at a strength of chance, in 31 steps.
pub(super) fn trivial(random: &mut Stream, change: &mut impl FnMut(Change)) {
    const MOST: Strengths = Strengths { shear: 0.99, translate: [32.0; 2], degrees: 135.0, colour: 0.99, bits: 6.0 };
    let kind = CHOICE[random.below(CHOICE.len() as u32) as usize];
    let (share, minus) = (random.below(31) as f32 / 30.0, coin(random));
    kind.at(share, minus, &MOST).into_iter().for_each(change);
}

/// RandAugment's and AutoAugment's: translations by up to 150 of 331 pixels.
fn usual([height, width]: [usize; 2]) -> Strengths {
    let translate = [width, height].map(|side| 150.0 / 331.0 * side as f32);
    Strengths { shear: 0.3, translate, degrees: 30.0, colour: 0.9, bits: 4.0 }
}

/// One kind at this strength, from 0 to 30.
pub(super) fn rand_augment(strength: usize, size: [usize; 2], random: &mut Stream, change: &mut impl FnMut(Change)) {
    let kind = CHOICE[random.below(CHOICE.len() as u32) as usize];
    let minus = coin(random);
    kind.at(strength as f32 / 30.0, minus, &usual(size)).into_iter().for_each(change);
}

/// One of the 25 pairs; each of the two is done with its chance, at its strength from 0 to 9.
pub(super) fn auto_augment(size: [usize; 2], random: &mut Stream, change: &mut impl FnMut(Change)) {
    for &(kind, chance, strength) in &CIFAR10[random.below(CIFAR10.len() as u32) as usize] {
        let (is_done, minus) = (random.uniform() < chance, coin(random));
        if is_done {
            kind.at(strength as f32 / 9.0, minus, &usual(size)).into_iter().for_each(&mut *change);
        }
    }
}

/// AutoAugment's policy for CIFAR-10: kind, chance, strength (table 7 of the paper).
const CIFAR10: [[(Kind, f32, u8); 2]; 25] = [
    [(Invert, 0.1, 0), (Contrast, 0.2, 6)],
    [(Rotate, 0.7, 2), (TranslateX, 0.3, 9)],
    [(Sharpness, 0.8, 1), (Sharpness, 0.9, 3)],
    [(ShearY, 0.5, 8), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.5, 0), (Equalize, 0.9, 0)],
    [(ShearY, 0.2, 7), (Posterize, 0.3, 7)],
    [(Color, 0.4, 3), (Brightness, 0.6, 7)],
    [(Sharpness, 0.3, 9), (Brightness, 0.7, 9)],
    [(Equalize, 0.6, 0), (Equalize, 0.5, 0)],
    [(Contrast, 0.6, 7), (Sharpness, 0.6, 5)],
    [(Color, 0.7, 7), (TranslateX, 0.5, 8)],
    [(Equalize, 0.3, 0), (AutoContrast, 0.4, 0)],
    [(TranslateY, 0.4, 3), (Sharpness, 0.2, 6)],
    [(Brightness, 0.9, 6), (Color, 0.2, 8)],
    [(Solarize, 0.5, 2), (Invert, 0.0, 0)],
    [(Equalize, 0.2, 0), (AutoContrast, 0.6, 0)],
    [(Equalize, 0.2, 0), (Equalize, 0.6, 0)],
    [(Color, 0.9, 9), (Equalize, 0.6, 0)],
    [(AutoContrast, 0.8, 0), (Solarize, 0.2, 8)],
    [(Brightness, 0.1, 3), (Color, 0.7, 0)],
    [(Solarize, 0.4, 5), (AutoContrast, 0.9, 0)],
    [(TranslateY, 0.9, 9), (TranslateY, 0.7, 9)],
    [(AutoContrast, 0.9, 0), (Solarize, 0.8, 3)],
    [(Equalize, 0.8, 0), (Invert, 0.1, 0)],
    [(TranslateY, 0.7, 9), (AutoContrast, 0.9, 0)],
];
