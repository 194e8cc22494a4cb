//! Changes that look at how the numbers of a channel are spread: posterize, solarize, autocontrast, equalize, invert.
//!
//! As torchvision's functions of these names on tensors of bytes, which are Pillow's `ImageOps`.

use super::Picture;

/// Leaves the highest `bits` bits of each number.
pub(super) fn posterize(picture: &mut Picture, bits: u32) {
    let mask = !(0xff_u32 >> bits.min(8)) as u8;
    picture.pixels_mut().iter_mut().for_each(|x| *x &= mask);
}

/// Inverts numbers from `threshold` on.
pub(super) fn solarize(picture: &mut Picture, threshold: f32) {
    picture.pixels_mut().iter_mut().filter(|x| f32::from(**x) >= threshold).for_each(|x| *x = !*x);
}

/// Dark becomes bright.
pub(super) fn invert(picture: &mut Picture) {
    picture.pixels_mut().iter_mut().for_each(|x| *x = !*x);
}

/// Spreads each channel's numbers from 0 to 255.
pub(super) fn autocontrast(picture: &mut Picture) {
    for plane in picture.planes_mut() {
        let (min, max) = plane.iter().fold((255, 0), |(min, max), &x| (x.min(min), x.max(max)));
        if min < max {
            let scale = f32::from(max - min) * (1.0 / 255.0);
            plane.iter_mut().for_each(|x| *x = (f32::from(*x - min) / scale).clamp(0.0, 255.0) as u8);
        }
    }
}

/// Spreads each channel's numbers so that all are as frequent.
pub(super) fn equalize(picture: &mut Picture) {
    for plane in picture.planes_mut() {
        let mut counts = [0_usize; 256];
        plane.iter().for_each(|&x| counts[usize::from(x)] += 1);
        // All but the brightest that occurs.
        let last = counts.iter().rposition(|&count| count > 0).map_or(0, |last| counts[last]);
        let step = (plane.len() - last) / 255;
        if step == 0 {
            continue;
        }
        let mut below = 0;
        let table = counts.map(|count| {
            let becomes = ((below + step / 2) / step).min(255) as u8;
            below += count;
            becomes
        });
        plane.iter_mut().for_each(|x| *x = table[usize::from(*x)]);
    }
}
