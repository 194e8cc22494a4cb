//! Changes of colour: brightness, contrast, saturation, hue, grey.
//!
//! As torchvision's functions of these names on tensors of bytes (<https://pytorch.org/vision/stable/transforms.html>), which
//! cut what is behind the point off where others round.

use super::Picture;

/// Luma of a colour (ITU-R BT.601, in torchvision's digits).
fn luma([red, green, blue]: [u8; 3]) -> f32 {
    f32::from(red) * 0.2989 + f32::from(green) * 0.587 + f32::from(blue) * 0.114
}

/// `factor` of `x` and the rest of `other`, as a byte.
fn blend(x: u8, other: f32, factor: f32) -> u8 {
    (f32::from(x) * factor + other * (1.0 - factor)).clamp(0.0, 255.0) as u8
}

/// Every number times `factor`.
pub(super) fn brightness(picture: &mut Picture, factor: f32) {
    picture.pixels_mut().iter_mut().for_each(|x| *x = blend(*x, 0.0, factor));
}

/// Away from the mean grey of the picture for factors above 1, and towards it below.
pub(super) fn contrast(picture: &mut Picture, factor: f32) {
    let mean = mean_grey(picture);
    picture.pixels_mut().iter_mut().for_each(|x| *x = blend(*x, mean, factor));
}

fn mean_grey(picture: &mut Picture) -> f32 {
    let count = (picture.size()[1] * picture.size()[2]) as f64;
    let sum: f64 = match picture.colours_mut() {
        Some([red, green, blue]) => {
            let colours = red.iter().zip(&*green).zip(&*blue);
            colours.map(|((&r, &g), &b)| f64::from(luma([r, g, b]).floor())).sum()
        }
        None => picture.pixels().iter().map(|&x| f64::from(x)).sum(),
    };
    (sum / count) as f32
}

/// Away from grey for factors above 1, and towards it below. A grey picture stays as it is.
pub(super) fn saturation(picture: &mut Picture, factor: f32) {
    each_colour(picture, |colour| {
        let grey = luma(colour).floor();
        colour.map(|x| blend(x, grey, factor))
    });
}

/// All three colours become their luma.
pub(super) fn grey(picture: &mut Picture) {
    each_colour(picture, |colour| [luma(colour) as u8; 3]);
}

/// Turns the circle of colours by this share of it. A grey picture stays as it is.
pub(super) fn hue(picture: &mut Picture, turn: f32) {
    each_colour(picture, |colour| {
        let [hue, saturation, value] = to_hsv(colour.map(|x| f32::from(x) / 255.0));
        let turned = (hue + turn).rem_euclid(1.0);
        // torchvision's way from numbers to bytes: every byte gets an equal share.
        from_hsv([turned, saturation, value]).map(|x| (x * (256.0 - 1e-3)) as u8)
    });
}

fn each_colour(picture: &mut Picture, change: impl Fn([u8; 3]) -> [u8; 3]) {
    let Some([red, green, blue]) = picture.colours_mut() else { return };
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = change([*r, *g, *b]);
    }
}

/// Hue, saturation and value, each from 0 to 1 (A. R. Smith, "Color gamut transform pairs", 1978).
fn to_hsv([red, green, blue]: [f32; 3]) -> [f32; 3] {
    let (max, min) = (red.max(green).max(blue), red.min(green).min(blue));
    if max == min {
        return [0.0, 0.0, max];
    }
    let [from_red, from_green, from_blue] = [red, green, blue].map(|x| (max - x) / (max - min));
    let sixth = if max == red {
        from_blue - from_green
    } else if max == green {
        from_red + 2.0 - from_blue
    } else {
        from_green + 4.0 - from_red
    };
    [(sixth * (1.0 / 6.0) + 1.0) % 1.0, (max - min) / max, max]
}

fn from_hsv([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    let sixth = (hue * 6.0).floor();
    let part = hue * 6.0 - sixth;
    let falling = ((1.0 - saturation * part) * value).clamp(0.0, 1.0);
    let rising = ((saturation * part + (1.0 - saturation)) * value).clamp(0.0, 1.0);
    let least = ((1.0 - saturation) * value).clamp(0.0, 1.0);
    match sixth as u32 % 6 {
        0 => [value, rising, least],
        1 => [falling, value, least],
        2 => [least, value, rising],
        3 => [least, falling, value],
        4 => [rising, least, value],
        _ => [value, least, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_back_from_hue_saturation_and_value() {
        for red in (0..=255).step_by(15) {
            for green in (0..=255).step_by(17) {
                for blue in (0..=255).step_by(51) {
                    let colour = [red, green, blue].map(|x| x as f32 / 255.0);
                    let back = from_hsv(to_hsv(colour));
                    assert!(colour.iter().zip(back).all(|(x, back)| (x - back).abs() < 1e-6), "{colour:?} {back:?}");
                }
            }
        }
    }

    #[test]
    fn grey_pictures_have_no_colour_to_change() {
        let mut picture = Picture::default();
        picture.load(&[10, 20], [1, 1, 2]);
        hue(&mut picture, 0.3);
        saturation(&mut picture, 3.0);
        grey(&mut picture);
        assert_eq!(picture.pixels(), [10, 20]);
        contrast(&mut picture, 2.0);
        assert_eq!(picture.pixels(), [5, 25]);
    }
}
