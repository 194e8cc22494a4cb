//! Changes of place that fall between pixels: rotation, affine maps and perspective.
//!
//! Each says where in the old picture a pixel of the new one lies; beyond its edge is black. Coordinates and the order of
//! the arithmetic are those of torchvision's `affine`, `rotate` and `perspective` on tensors
//! (<https://pytorch.org/vision/stable/transforms.html>, `fill=None`).

use libm::{cos, sin, tan};
use serde::{Deserialize, Serialize};

use super::Picture;

/// What a place between pixels becomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The nearest pixel, as torchvision does it unless told otherwise.
    #[default]
    Nearest,
    /// The four around it, weighted by their distance.
    Bilinear,
}

/// An affine map about the picture's centre: shear, then scale and rotation, then translation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Clockwise.
    pub degrees: f32,
    /// Pixels to the right and down.
    pub translate: [f32; 2],
    /// Factor of the size.
    pub scale: f32,
    /// Degrees along rows and columns.
    pub shear: [f32; 2],
    /// Whether all turns about the corner at the top left, not about the middle.
    pub about_corner: bool,
    /// What falls between pixels.
    pub sampling: Sampling,
}

impl Affine {
    /// The map that leaves everything as it is.
    pub const IDENTITY: Self = Self {
        degrees: 0.0,
        translate: [0.0; 2],
        scale: 1.0,
        shear: [0.0; 2],
        about_corner: false,
        sampling: Sampling::Nearest,
    };

    /// From places in the new picture, seen from its middle, to those in the old one: two rows of x, y and 1. `centre` stays
    /// where it is.
    fn inverse(&self, centre: [f64; 2]) -> [[f64; 3]; 2] {
        let [angle, shear_x, shear_y] = [self.degrees, self.shear[0], self.shear[1]].map(|x| f64::from(x).to_radians());
        let a = cos(angle - shear_y) / cos(shear_y);
        let b = -cos(angle - shear_y) * tan(shear_x) / cos(shear_y) - sin(angle);
        let c = sin(angle - shear_y) / cos(shear_y);
        let d = -sin(angle - shear_y) * tan(shear_x) / cos(shear_y) + cos(angle);
        let [right, down] = self.translate.map(f64::from);
        let scale = f64::from(self.scale);
        let row = |[x, y]: [f64; 2], centre_of_axis: f64| {
            let (x, y) = (x / scale, y / scale);
            [x, y, x * (-centre[0] - right) + y * (-centre[1] - down) + centre_of_axis]
        };
        [row([d, -b], centre[0]), row([-c, a], centre[1])]
    }
}

/// Applies an affine map.
pub(super) fn affine(picture: &mut Picture, map: &Affine) {
    let [_, height, width] = picture.size();
    let corner = [width, height].map(|side| -0.5 * side as f64);
    let fixed = if map.about_corner { corner } else { [0.0; 2] };
    let [to_x, to_y] = map.inverse(fixed).map(|row| row.map(|x| x as f32));
    let centre = [height, width].map(|side| side as f32 / 2.0 - 0.5);
    warp(picture, map.sampling, |row, column| {
        let (x, y) = (column as f32 - centre[1], row as f32 - centre[0]);
        let along = |to: [f32; 3]| to[0] * x + to[1] * y + to[2];
        [along(to_y) + centre[0], along(to_x) + centre[1]]
    });
}

/// Where the corners of the old picture come to lie: top left, top right, bottom right, bottom left, each as column and row.
pub(super) fn perspective(picture: &mut Picture, corners: [[f32; 2]; 4], sampling: Sampling) {
    let [_, height, width] = picture.size();
    let [right, bottom] = [width, height].map(|side| side as f64 - 1.0);
    let old = [[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]];
    let Some(map) = projection(corners.map(|corner| corner.map(f64::from)), old) else { return };
    let [a, b, c, d, e, f, g, h] = map.map(|x| x as f32);
    warp(picture, sampling, |row, column| {
        let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
        let depth = g * x + h * y + 1.0;
        [(d * x + e * y + f) / depth - 0.5, (a * x + b * y + c) / depth - 0.5]
    });
}

/// The eight numbers of `x' = (ax + by + c) / (gx + hy + 1)`, `y' = (dx + ey + f) / (gx + hy + 1)` that lead each corner of
/// `from` to that of `to`; none if three of them lie on a line.
fn projection(from: [[f64; 2]; 4], to: [[f64; 2]; 4]) -> Option<[f64; 8]> {
    let mut rows = [[0.0; 9]; 8];
    for (i, ([x, y], [to_x, to_y])) in from.into_iter().zip(to).enumerate() {
        rows[2 * i] = [x, y, 1.0, 0.0, 0.0, 0.0, -to_x * x, -to_x * y, to_x];
        rows[2 * i + 1] = [0.0, 0.0, 0.0, x, y, 1.0, -to_y * x, -to_y * y, to_y];
    }
    // Gauss and Jordan, with the largest pivot of each column.
    for column in 0..8 {
        let pivot = (column..8).max_by(|&i, &j| rows[i][column].abs().total_cmp(&rows[j][column].abs()))?;
        if rows[pivot][column].abs() < 1e-9 {
            return None;
        }
        rows.swap(column, pivot);
        let first = rows[column].map(|x| x / rows[column][column]);
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if i == column {
                *row = first;
            } else {
                row.iter_mut().zip(first).for_each(|(x, first)| *x -= factor * first);
            }
        }
    }
    Some(rows.map(|row| row[8]))
}

/// Draws each pixel from the place (row, column) of the old picture that `source` names.
fn warp(picture: &mut Picture, sampling: Sampling, source: impl Fn(usize, usize) -> [f32; 2]) {
    let [_, height, width] = picture.size();
    let plane = height * width;
    picture.redraw_all(|old, new| {
        for place in 0..plane {
            let at = source(place / width, place % width);
            for (old, new) in old.chunks_exact(plane).zip(new.chunks_exact_mut(plane)) {
                new[place] = sample(old, [height, width], at, sampling);
            }
        }
    });
}

/// What a plane shows at a place between its pixels; what lies outside is black.
fn sample(plane: &[u8], [height, width]: [usize; 2], [y, x]: [f32; 2], sampling: Sampling) -> u8 {
    let pixel = |row: f32, column: f32| {
        let inside = row >= 0.0 && column >= 0.0 && row < height as f32 && column < width as f32;
        if inside { f32::from(plane[row as usize * width + column as usize]) } else { 0.0 }
    };
    let value = match sampling {
        Sampling::Nearest => pixel(y.round_ties_even(), x.round_ties_even()),
        Sampling::Bilinear => {
            let (top, left) = (y.floor(), x.floor());
            let (down, right) = (y - top, x - left);
            let upper = pixel(top, left) * (1.0 - right) + pixel(top, left + 1.0) * right;
            let lower = pixel(top + 1.0, left) * (1.0 - right) + pixel(top + 1.0, left + 1.0) * right;
            (upper * (1.0 - down) + lower * down).round_ties_even()
        }
    };
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_leads_corners_to_corners() {
        let (from, to) = (
            [[1.0, 2.0], [30.0, 0.0], [25.0, 28.0], [3.0, 31.0]],
            [[0.0, 0.0], [31.0, 0.0], [31.0, 31.0], [0.0, 31.0]],
        );
        let [a, b, c, d, e, f, g, h] = projection(from, to).expect("no three lie on a line");
        for ([x, y], to) in from.into_iter().zip(to) {
            let depth = g * x + h * y + 1.0;
            let found = [(a * x + b * y + c) / depth, (d * x + e * y + f) / depth];
            assert!(found.iter().zip(to).all(|(found, to)| (found - to).abs() < 1e-9), "{found:?} is not {to:?}");
        }
        assert_eq!(projection([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]], to), None);
    }

    #[test]
    fn the_identity_changes_nothing_and_a_quarter_turn_turns() {
        let mut picture = Picture::default();
        picture.load(&[1, 2, 3, 4], [1, 2, 2]);
        for sampling in [Sampling::Nearest, Sampling::Bilinear] {
            affine(&mut picture, &Affine { sampling, ..Affine::IDENTITY });
            assert_eq!(picture.pixels(), [1, 2, 3, 4]);
        }
        affine(&mut picture, &Affine { degrees: 90.0, ..Affine::IDENTITY });
        assert_eq!(picture.pixels(), [3, 1, 4, 2]);
    }
}
