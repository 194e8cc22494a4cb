//! Accuracy against time of training, a point for each step of a study with the spread over its seeds.
//!
//! Time is drawn by its logarithm, since what buys accuracy often costs several times as much. Points have numbers, and the
//! names stand below with their values, where they hide nothing.

use crate::drawing::{Drawing, Style};
use crate::font;
use crate::palette::{AXIS, BLUE, GREY, GRID, INK};
use crate::panel::ticks;

/// A step of a study.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// What was changed.
    pub name: &'a str,
    /// Mean time of a training.
    pub seconds: f64,
    /// Test accuracy of each seed, from 0 to 1.
    pub accuracies: &'a [f64],
}

impl Step<'_> {
    /// The lowest, the mean and the highest accuracy.
    fn range(&self) -> [f64; 3] {
        let (low, high) =
            self.accuracies.iter().fold((1.0, 0.0), |(low, high): (f64, f64), &x| (low.min(x), high.max(x)));
        [low, self.accuracies.iter().sum::<f64>() / self.accuracies.len() as f64, high]
    }

    fn is_known(&self) -> bool {
        self.seconds.is_finite() && self.seconds > 0.0 && !self.accuracies.is_empty() && self.range()[1].is_finite()
    }
}

const WIDTH: f32 = 760.0;
const LEFT: f32 = 70.0;
const TOP: f32 = 56.0;
const FIELD: [f32; 2] = [660.0, 330.0];
const LINE: f32 = 20.0;
const WORDS: f32 = 12.0;

/// Draws the steps of a study, in their order.
pub fn study(title: &str, steps: &[Step<'_>]) -> Drawing {
    let known: Vec<(usize, &Step<'_>)> = steps.iter().enumerate().filter(|(_, step)| step.is_known()).collect();
    let legend = TOP + FIELD[1] + 66.0;
    let mut drawing = Drawing::new(WIDTH, legend + LINE * steps.len() as f32);
    drawing.text([20.0, 30.0], &font::fitted(title, 16.0, WIDTH - 40.0), Style::new(16.0, INK));
    let axes = Axes::around(known.iter().map(|(_, step)| **step));
    axes.draw(&mut drawing);
    let places: Vec<[f32; 2]> = known.iter().map(|(_, step)| axes.place(step.seconds, step.range()[1])).collect();
    if places.len() > 1 {
        drawing.dashed(places.clone(), AXIS, 1.0);
    }
    for ((number, step), place) in known.iter().zip(places) {
        let [low, _, high] = step.range();
        let ends = [low, high].map(|accuracy| axes.place(step.seconds, accuracy));
        drawing.line(ends.to_vec(), BLUE, 2.0);
        drawing.dot(place, 4.5, BLUE);
        // Beside its point, where no bar of a step that takes as long runs through it.
        drawing.text([place[0] + 9.0, place[1] + 4.0], &format!("{}", number + 1), Style::new(WORDS, INK));
    }
    for (number, step) in steps.iter().enumerate() {
        let y = legend + LINE * number as f32;
        let words = format!("{}  {}", number + 1, step.name);
        drawing.text([LEFT, y], &font::fitted(&words, WORDS, 430.0), Style::new(WORDS, INK));
        let values = if step.is_known() {
            let [low, mean, high] = step.range();
            format!("{:.1} % ({:.1} to {:.1}), {:.0} s", mean * 100.0, low * 100.0, high * 100.0, step.seconds)
        } else {
            "not run".to_owned()
        };
        drawing.text([LEFT + FIELD[0], y], &values, Style::new(WORDS, GREY).end());
    }
    drawing
}

/// Logarithms of seconds, and accuracies, at the edges of the field.
struct Axes {
    times: [f64; 2],
    accuracies: [f64; 2],
}

impl Axes {
    fn around<'a>(steps: impl Iterator<Item = Step<'a>>) -> Self {
        let (mut times, mut accuracies) = ([f64::INFINITY, f64::NEG_INFINITY], [f64::INFINITY, f64::NEG_INFINITY]);
        for step in steps {
            let [low, _, high] = step.range();
            times = [times[0].min(step.seconds.log10()), times[1].max(step.seconds.log10())];
            accuracies = [accuracies[0].min(low), accuracies[1].max(high)];
        }
        if times[0] > times[1] {
            return Self { times: [0.0, 2.0], accuracies: [0.0, 1.0] };
        }
        // Some room on all sides, and at least half a power of ten and 5 points.
        let wider = |[low, high]: [f64; 2], least: f64| {
            let room = ((high - low).max(least) * 1.2 - (high - low)) / 2.0;
            [low - room, high + room]
        };
        let accuracies = wider(accuracies, 0.05);
        Self { times: wider(times, 0.5), accuracies: [accuracies[0].max(0.0), accuracies[1].min(1.0)] }
    }

    fn place(&self, seconds: f64, accuracy: f64) -> [f32; 2] {
        let share = |[low, high]: [f64; 2], at: f64| ((at - low) / (high - low)).clamp(0.0, 1.0) as f32;
        let [right, up] = [share(self.times, seconds.log10()), share(self.accuracies, accuracy)];
        [LEFT + FIELD[0] * right, TOP + FIELD[1] * (1.0 - up)]
    }

    fn draw(&self, drawing: &mut Drawing) {
        let small = Style::new(11.0, GREY);
        let bottom = (TOP + FIELD[1]).round() + 0.5;
        for accuracy in ticks(self.accuracies, 7) {
            let y = self.place(1.0, accuracy)[1].round() + 0.5;
            drawing.line(vec![[LEFT, y], [LEFT + FIELD[0], y]], GRID, 1.0);
            let words = format!("{} %", (accuracy * 1e4).round() / 1e2);
            drawing.text([LEFT - 8.0, y + 4.0], &words, small.end());
        }
        drawing.line(vec![[LEFT, bottom], [LEFT + FIELD[0], bottom]], AXIS, 1.0);
        let (first, last) = (self.times[0].floor() as i32, self.times[1].ceil() as i32);
        let rounds = (first..=last).flat_map(|power| [1.0, 2.0, 5.0].map(|times| times * 10_f64.powi(power)));
        for seconds in rounds.filter(|seconds| (self.times[0]..=self.times[1]).contains(&seconds.log10())) {
            let x = self.place(seconds, 0.0)[0].round() + 0.5;
            drawing.line(vec![[x, bottom], [x, bottom + 4.0]], AXIS, 1.0);
            drawing.text([x, bottom + 17.0], &format!("{} s", (seconds * 1e3).round() / 1e3), small.middle());
        }
        let middle = [LEFT + FIELD[0] / 2.0, bottom + 35.0];
        drawing.text(middle, "time of training; bars from the lowest to the highest seed", small.middle());
    }
}
