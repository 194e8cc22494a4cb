//! A field with axes in which curves are drawn: epochs to the right, values upwards.

use crate::drawing::{Drawing, Style};
use crate::palette::{AXIS, GREY, GRID};

/// Size of the numbers at the axes.
const NUMBERS: f32 = 11.0;

/// Where the field lies and what its edges stand for.
pub(crate) struct Panel {
    pub(crate) left: f32,
    pub(crate) top: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
    /// Epochs at the left and the right edge.
    pub(crate) epochs: [f64; 2],
    /// The last epoch that gets a number.
    pub(crate) last: f64,
    /// Values at the lower and the upper edge.
    pub(crate) values: [f64; 2],
}

impl Panel {
    /// Where a value stands; what lies beyond the edges, at the edge.
    pub(crate) fn place(&self, epoch: f64, value: f64) -> [f32; 2] {
        let share = |[low, high]: [f64; 2], at: f64| ((at - low) / (high - low)).clamp(0.0, 1.0) as f32;
        let [right, up] = [share(self.epochs, epoch), share(self.values, value)];
        [self.left + self.width * right, self.top + self.height * (1.0 - up)]
    }

    /// Grid, axes and their numbers; `write` gives the words for a value.
    pub(crate) fn draw_axes(&self, drawing: &mut Drawing, write: impl Fn(f64) -> String) {
        let [right, bottom] = [self.left + self.width, self.top + self.height];
        for value in ticks(self.values, 6) {
            // Half a pixel aside, where a line of one pixel is sharp.
            let y = self.place(self.epochs[0], value)[1].round() + 0.5;
            drawing.line(vec![[self.left, y], [right, y]], GRID, 1.0);
            drawing.text([self.left - 8.0, y + 4.0], &write(value), Style::new(NUMBERS, GREY).end());
        }
        let bottom = bottom.round() + 0.5;
        drawing.line(vec![[self.left, bottom], [right, bottom]], AXIS, 1.0);
        let whole =
            ticks(self.epochs, 8).into_iter().filter(|epoch| epoch.fract() == 0.0 && (1.0..=self.last).contains(epoch));
        for epoch in whole {
            let x = self.place(epoch, self.values[0])[0].round() + 0.5;
            drawing.line(vec![[x, bottom], [x, bottom + 4.0]], AXIS, 1.0);
            drawing.text([x, bottom + 17.0], &format!("{epoch}"), Style::new(NUMBERS, GREY).middle());
        }
        drawing.text([self.left + self.width / 2.0, bottom + 33.0], "epoch", Style::new(NUMBERS, GREY).middle());
    }
}

/// At most `most` round numbers from `low` to `high`: multiples of 1, 2 or 5 times a power of ten.
pub(crate) fn ticks([low, high]: [f64; 2], most: usize) -> Vec<f64> {
    let rough = (high - low) / most as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power).into_iter().find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(power * 10.0);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|number| number as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(ticks([0.0, 2.5], 6), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_eq!(ticks([1.0, 20.0], 8), [5.0, 10.0, 15.0, 20.0]);
        assert_eq!(ticks([0.0, 2.0], 8), [0.0, 0.5, 1.0, 1.5, 2.0]);
        assert_eq!(ticks([1.0, 1.0], 8), [0.0; 0]);
        assert_eq!(ticks([0.0, f64::NAN], 8), [0.0; 0]);
        assert!(ticks([0.0, 1e12], 6).len() <= 7 && ticks([0.0, 1e-12], 6).len() <= 7);
    }
}
