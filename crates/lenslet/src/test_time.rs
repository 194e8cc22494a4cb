//! Test-time augmentation: the mean answer to several views of each image.
//!
//! The views and their shares are airbench94's (Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", 2024): the image and
//! its mirror image, and both moved by a pixel up and left, and down and right, reflected at the edge.

use std::cell::RefCell;
use std::fmt;
use std::str::FromStr;

use lenslet_cpu::Feed;
use serde::{Deserialize, Serialize};

/// Which views of an image are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TestTime {
    /// The image alone.
    #[default]
    None,
    /// The image and its mirror image, a half each.
    Flip,
    /// The same twice as much as both moved by a pixel to either corner.
    FlipShift,
}

/// One view of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct View {
    /// Whether it is mirrored.
    flip: bool,
    /// Pixels that it is moved by, down and right.
    shift: isize,
    /// Its share in the answer.
    pub(crate) share: f32,
}

const fn view(flip: bool, shift: isize, share: f32) -> View {
    View { flip, shift, share }
}

const NONE: &[View] = &[view(false, 0, 1.0)];
const FLIP: &[View] = &[view(false, 0, 0.5), view(true, 0, 0.5)];
const FLIP_SHIFT: &[View] = &[
    view(false, 0, 0.25),
    view(true, 0, 0.25),
    view(false, -1, 0.125),
    view(true, -1, 0.125),
    view(false, 1, 0.125),
    view(true, 1, 0.125),
];

impl TestTime {
    /// All views, with shares that add up to 1.
    pub(crate) fn views(self) -> &'static [View] {
        match self {
            TestTime::None => NONE,
            TestTime::Flip => FLIP,
            TestTime::FlipShift => FLIP_SHIFT,
        }
    }

    /// Whether the image alone is looked at.
    pub fn is_none(&self) -> bool {
        *self == TestTime::None
    }
}

impl fmt::Display for TestTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TestTime::None => "none",
            TestTime::Flip => "flip",
            TestTime::FlipShift => "flip-shift",
        })
    }
}

impl FromStr for TestTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(TestTime::None),
            "flip" => Ok(TestTime::Flip),
            "flip-shift" => Ok(TestTime::FlipShift),
            _ => Err(format!("there is no test-time augmentation \"{text}\"; there are none, flip, flip-shift")),
        }
    }
}

/// A feed of which each image comes once in every view, one behind the other.
pub(crate) struct Views<'a> {
    pub(crate) feed: &'a dyn Feed,
    pub(crate) views: &'static [View],
    /// H and W.
    pub(crate) size: [usize; 2],
}

thread_local! {
    /// The image that a view is made of. Memory for it is taken once.
    static IMAGE: RefCell<Vec<f32>> = const { RefCell::new(vec![]) };
}

impl Feed for Views<'_> {
    fn fill(&self, input: usize, place: usize, values: &mut [f32]) {
        let view = self.views[place % self.views.len()];
        self.feed.fill(input, place / self.views.len(), values);
        if input > 0 || !(view.flip || view.shift != 0) {
            return;
        }
        IMAGE.with_borrow_mut(|image| {
            image.clear();
            image.extend_from_slice(values);
            view.draw(image, values, self.size);
        });
    }
}

impl View {
    /// Draws the view of an image of planes of this height and width.
    fn draw(self, image: &[f32], to: &mut [f32], [height, width]: [usize; 2]) {
        for (row, to) in to.chunks_exact_mut(width).enumerate() {
            let (plane, row) = (row / height, reflect(row % height, self.shift, height));
            let from = &image[(plane * height + row) * width..][..width];
            for (column, to) in to.iter_mut().enumerate() {
                let column = if self.flip { width - 1 - column } else { column };
                *to = from[reflect(column, self.shift, width)];
            }
        }
    }
}

/// Where a pixel comes from, in a row of so many that is moved and reflected at its ends.
fn reflect(place: usize, shift: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let place = (place as isize - shift).abs();
    (if place > last { 2 * last - place } else { place }).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the published program does, by hand: pads by a reflected pixel, cuts, and mirrors what was cut.
    #[test]
    fn views_are_those_of_the_publication() {
        let image: Vec<f32> = (1..=9).map(|x| x as f32).collect();
        let draw = |flip: bool, shift: isize| {
            let mut to = vec![0.0; 9];
            view(flip, shift, 1.0).draw(&image, &mut to, [3, 3]);
            to
        };
        assert_eq!(draw(true, 0), [3., 2., 1., 6., 5., 4., 9., 8., 7.]);
        // Padded: 5 4 5 6 5 / 2 1 2 3 2 / 5 4 5 6 5 / 8 7 8 9 8 / 5 4 5 6 5; rows and columns 0 to 2.
        assert_eq!(draw(false, 1), [5., 4., 5., 2., 1., 2., 5., 4., 5.]);
        assert_eq!(draw(false, -1), [5., 6., 5., 8., 9., 8., 5., 6., 5.]);
        assert_eq!(draw(true, 1), [5., 4., 5., 2., 1., 2., 5., 4., 5.]);
        assert_eq!(reflect(0, 1, 1), 0, "a single pixel stays");
        for all in [TestTime::None, TestTime::Flip, TestTime::FlipShift] {
            assert_eq!(all.views().iter().map(|view| view.share).sum::<f32>(), 1.0);
            assert_eq!(all.to_string().parse(), Ok(all));
        }
    }
}
