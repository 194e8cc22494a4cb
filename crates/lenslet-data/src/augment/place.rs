//! Changes of place that move whole pixels: flip, and crop after padding.

use serde::{Deserialize, Serialize};

use super::Picture;

/// What stands around a picture that is padded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// Black.
    #[default]
    Zero,
    /// The picture mirrored at its outermost pixels, which are not repeated; torchvision's `reflect`.
    Reflect,
    /// The outermost pixels repeated; torchvision's `edge`.
    Repeat,
}

/// Mirrors left and right.
pub(super) fn flip(picture: &mut Picture) {
    let width = picture.size()[2];
    picture.pixels_mut().chunks_exact_mut(width).for_each(<[u8]>::reverse);
}

/// Pixel (row, column) becomes what stood at (row + down, column + right), or beyond the edge what stands there.
pub(super) fn shift(picture: &mut Picture, down: isize, right: isize, edge: Edge) {
    let [_, height, width] = picture.size();
    picture.redraw(|old, new| {
        for (row, new) in new.chunks_exact_mut(width).enumerate() {
            let Some(row) = source(row as isize + down, height, edge) else {
                new.fill(0);
                continue;
            };
            shift_row(&old[row * width..][..width], new, right, edge);
        }
    });
}

/// The pixels that remain are copied in one go, and those from beyond the edge one by one.
fn shift_row(old: &[u8], new: &mut [u8], right: isize, edge: Edge) {
    let width = old.len();
    let first = right.unsigned_abs().min(width) * usize::from(right < 0);
    let last = (width - right.unsigned_abs().min(width) * usize::from(right > 0)).max(first);
    let from = (first as isize + right).clamp(0, width as isize) as usize;
    new[first..last].copy_from_slice(&old[from..][..last - first]);
    if edge == Edge::Zero {
        new[..first].fill(0);
        new[last..].fill(0);
        return;
    }
    for column in (0..first).chain(last..width) {
        new[column] = source(column as isize + right, width, edge).map_or(0, |column| old[column]);
    }
}

/// Which of `len` places a place beyond the edge stands for; none where it is black.
pub(super) fn source(at: isize, len: usize, edge: Edge) -> Option<usize> {
    if (0..len as isize).contains(&at) {
        return Some(at as usize);
    }
    match edge {
        Edge::Zero => None,
        Edge::Repeat => Some(at.clamp(0, len as isize - 1) as usize),
        Edge::Reflect if len == 1 => Some(0),
        Edge::Reflect => {
            // There and back again.
            let period = 2 * (len as isize - 1);
            let at = at.rem_euclid(period);
            Some(at.min(period - at) as usize)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shifted(down: isize, right: isize, edge: Edge) -> Vec<u8> {
        let mut picture = Picture::default();
        picture.load(&[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3]);
        shift(&mut picture, down, right, edge);
        picture.pixels().to_vec()
    }

    #[test]
    fn beyond_the_edge_stands_what_it_says() {
        assert_eq!(shifted(0, 1, Edge::Zero), [2, 3, 0, 5, 6, 0, 8, 9, 0]);
        assert_eq!(shifted(-1, 0, Edge::Zero), [0, 0, 0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(shifted(0, -2, Edge::Reflect), [3, 2, 1, 6, 5, 4, 9, 8, 7]);
        assert_eq!(shifted(1, 1, Edge::Reflect), [5, 6, 5, 8, 9, 8, 5, 6, 5]);
        assert_eq!(shifted(0, 2, Edge::Repeat), [3, 3, 3, 6, 6, 6, 9, 9, 9]);
        assert_eq!(shifted(7, -9, Edge::Zero), [0; 9]);
        assert_eq!(shifted(0, 5, Edge::Reflect), [2, 3, 2, 5, 6, 5, 8, 9, 8]);
    }
}
