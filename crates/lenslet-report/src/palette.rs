//! Colours that people with any kind of colour vision can tell apart: Okabe and Ito's
//! (<https://jfly.uni-koeln.de/color/>, "Color Universal Design"), and scales of one hue from white.

/// Red, green, blue.
pub(crate) type Colour = [u8; 3];

pub(crate) const WHITE: Colour = [255, 255, 255];
/// Titles and numbers.
pub(crate) const INK: Colour = [34, 34, 34];
/// Words beside them.
pub(crate) const GREY: Colour = [96, 96, 96];
/// Axes.
pub(crate) const AXIS: Colour = [150, 150, 150];
/// Lines that only guide the eye.
pub(crate) const GRID: Colour = [228, 228, 228];
/// Test images.
pub(crate) const BLUE: Colour = [0, 114, 178];
/// Training images.
pub(crate) const ORANGE: Colour = [230, 159, 0];

/// Deep ends of the scales for right answers and for mistakes.
const DEEP_BLUE: Colour = [8, 64, 129];
const DEEP_ORANGE: Colour = [166, 54, 3];

/// A scale that begins at white; the middle is as bright as it looks, not as the mean of bytes would be.
fn scale(middle: Colour, deep: Colour, share: f64) -> Colour {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    if share < 0.5 { mix(WHITE, middle, share * 2.0) } else { mix(middle, deep, share * 2.0 - 1.0) }
}

/// Right answers, from none (white) to all.
pub(crate) fn right(share: f64) -> Colour {
    scale([107, 174, 214], DEEP_BLUE, share)
}

/// Mistakes, from none (white) to the most.
pub(crate) fn mistaken(share: f64) -> Colour {
    scale([253, 165, 88], DEEP_ORANGE, share)
}

/// A colour in which words can be read on this ground: the one of larger contrast by WCAG's relative luminance.
pub(crate) fn readable_on(ground: Colour) -> Colour {
    let linear = |byte: u8| (f64::from(byte) / 255.0).powf(2.2);
    let luminance = 0.2126 * linear(ground[0]) + 0.7152 * linear(ground[1]) + 0.0722 * linear(ground[2]);
    if luminance < 0.25 { WHITE } else { INK }
}

fn mix(from: Colour, to: Colour, share: f64) -> Colour {
    std::array::from_fn(|c| (f64::from(from[c]) + (f64::from(to[c]) - f64::from(from[c])) * share).round() as u8)
}
