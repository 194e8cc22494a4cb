//! Loss and accuracy over the epochs: two fields side by side, the best epoch marked, chance as a thin line.
//!
//! A network that knows nothing has a loss of ln K with K classes and is right once in K times; both lines are drawn unless
//! the curves are so far away that they would be squeezed for it. What is said of a curve stands below it, where no curve can run through it.

use crate::drawing::{Drawing, Style};
use crate::font;
use crate::palette::{AXIS, BLUE, Colour, GREY, INK, ORANGE};
use crate::panel::{Panel, ticks};

/// The numbers of an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Mean loss of the training images.
    pub train_loss: f64,
    /// Mean loss of the test images.
    pub test_loss: f64,
    /// Share of the training images that were answered right.
    pub train_accuracy: f64,
    /// Share of the test images that were answered right.
    pub test_accuracy: f64,
}

/// The colour of the line of chance.
const CHANCE: Colour = AXIS;

const WIDTH: f32 = 1000.0;
const HEIGHT: f32 = 428.0;

/// Fewer points than this are drawn as dots, too.
const DOTS: usize = 25;

/// Draws the curves of a run with `classes` classes, the points in the order of their epochs.
pub fn curves(title: &str, points: &[Point], classes: usize) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT);
    drawing.text([20.0, 30.0], &font::fitted(title, 16.0, WIDTH - 40.0), Style::new(16.0, INK));
    let best = best(points);
    let (ln_classes, chance) = ((classes.max(1) as f64).ln(), 1.0 / classes.max(1) as f64);
    let loss = Field {
        name: "Loss",
        left: 70.0,
        train: values(points, |point| point.train_loss),
        test: values(points, |point| point.test_loss),
        chance: (ln_classes, format!("chance, ln {classes} = {ln_classes:.2}")),
        best: best
            .map(|best| (best.epoch as f64, best.test_loss, format!("epoch of the best accuracy: {}", best.epoch))),
        write: |value| if usual(value) { format!("{}", (value * 1e6).round() / 1e6) } else { format!("{value:.2e}") },
        say: |value| if usual(value) { format!("{value:.4}") } else { format!("{value:.2e}") },
    };
    let top = loss_top(&loss);
    loss.draw(&mut drawing, [0.0, top]);
    let accuracy = Field {
        name: "Accuracy",
        left: 575.0,
        train: values(points, |point| point.train_accuracy),
        test: values(points, |point| point.test_accuracy),
        chance: (chance, format!("chance, 1/{classes} = {}", percent(chance))),
        best: best.map(|best| {
            let words = format!("best: {} in epoch {}", percent(best.test_accuracy), best.epoch);
            (best.epoch as f64, best.test_accuracy, words)
        }),
        write: |value| format!("{} %", (value * 1e4).round() / 1e2),
        say: percent,
    };
    let range = accuracy_range(&accuracy);
    accuracy.draw(&mut drawing, range);
    drawing
}

/// The epoch of the highest test accuracy, the first of equals.
fn best(points: &[Point]) -> Option<&Point> {
    let known = points.iter().filter(|point| point.test_accuracy.is_finite());
    known.reduce(|best, point| if point.test_accuracy > best.test_accuracy { point } else { best })
}

/// Whether a loss is written without a power of ten.
fn usual(loss: f64) -> bool {
    loss == 0.0 || (1e-4..1e5).contains(&loss)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A curve: epochs with their values, numbers all.
type Curve = Vec<[f64; 2]>;

fn values(points: &[Point], value: impl Fn(&Point) -> f64) -> Curve {
    let all = points.iter().map(|point| [point.epoch as f64, value(point)]);
    all.filter(|[_, value]| value.is_finite()).collect()
}

/// One of the two fields.
struct Field {
    name: &'static str,
    left: f32,
    train: Curve,
    test: Curve,
    chance: (f64, String),
    best: Option<(f64, f64, String)>,
    /// A value at the axis, and in words.
    write: fn(f64) -> String,
    say: fn(f64) -> String,
}

impl Field {
    fn all(&self) -> impl Iterator<Item = f64> {
        self.train.iter().chain(&self.test).map(|[_, value]| *value)
    }

    fn draw(&self, drawing: &mut Drawing, values: [f64; 2]) {
        let (epochs, last) = self.epochs();
        let panel = Panel { left: self.left, top: 74.0, width: 395.0, height: 236.0, epochs, last, values };
        let beyond = if self.all().any(|value| value > values[1]) { " (some values lie above)" } else { "" };
        drawing.text([self.left, 60.0], &format!("{}{beyond}", self.name), Style::new(13.0, INK));
        panel.draw_axes(drawing, self.write);
        let (chance, words) = &self.chance;
        let chance_shown = (values[0]..=values[1]).contains(chance);
        if chance_shown {
            let ends = panel.epochs.map(|epoch| panel.place(epoch, *chance));
            drawing.dashed(ends.to_vec(), CHANCE, 1.0);
        }
        for (curve, colour) in [(&self.train, ORANGE), (&self.test, BLUE)] {
            let places: Vec<_> = curve.iter().map(|&[epoch, value]| panel.place(epoch, value)).collect();
            if places.len() <= DOTS {
                places.iter().for_each(|&place| drawing.dot(place, 3.0, colour));
            }
            if places.len() > 1 {
                drawing.line(places, colour, 1.8);
            }
        }
        let mut legend =
            Legend { drawing, left: self.left, x: self.left, y: 366.0, end: self.left + panel.width + 20.0 };
        for (curve, colour, what) in [(&self.train, ORANGE, "train"), (&self.test, BLUE, "test")] {
            if let Some([_, last]) = curve.last() {
                legend.line(colour, &format!("{what} {}", (self.say)(*last)), false);
            }
        }
        let beyond = if chance_shown {
            ""
        } else if *chance > values[1] {
            " (above)"
        } else {
            " (below)"
        };
        legend.line(CHANCE, &format!("{words}{beyond}"), true);
        if let Some((epoch, value, words)) = self.best.as_ref().filter(|(_, value, _)| value.is_finite()) {
            legend.best(words);
            mark(drawing, panel.place(*epoch, *value));
        }
    }

    /// Epochs at the edges, with some room around a single one; and the last.
    fn epochs(&self) -> ([f64; 2], f64) {
        let all = || self.train.iter().chain(&self.test).map(|[epoch, _]| *epoch);
        let (first, last) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
        (if first < last { [first, last] } else { [last - 1.0, last + 1.0] }, last)
    }
}

/// The upper edge of the losses: all of them and chance, unless a few are so large that nothing else could be seen, or so
/// small beside chance.
fn loss_top(field: &Field) -> f64 {
    let mut all: Vec<f64> = field.all().collect();
    all.sort_by(f64::total_cmp);
    let usual = all.get(all.len() / 2).copied().unwrap_or(0.0).max(field.chance.0);
    let largest = all.last().copied().unwrap_or(0.0);
    let chance = if all.is_empty() || largest > field.chance.0 / 4.0 { field.chance.0 } else { 0.0 };
    // Some room above, so that the line of chance is no edge.
    largest.min(usual * 4.0).max(chance).max(1e-3) * 1.05
}

/// From round number to round number, and from 0 where little is missing.
fn accuracy_range(field: &Field) -> [f64; 2] {
    let (low, high) = field.all().fold((1.0, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
    if low > high {
        return [0.0, 1.0];
    }
    let low = if low < 0.5 { 0.0 } else { low };
    let step = ticks([low, high.max(low + 0.01)], 5).windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(0.01);
    [((low / step - 1e-9).floor() * step).max(0.0), ((high / step + 1e-9).ceil() * step).clamp(low + step, 1.0)]
}

/// The best epoch: a ring around the point of the test images.
fn mark(drawing: &mut Drawing, place: [f32; 2]) {
    drawing.dot(place, 6.5, INK);
    drawing.dot(place, 4.0, BLUE);
}

/// Words below a field, from left to right and then in the next line.
struct Legend<'a> {
    drawing: &'a mut Drawing,
    left: f32,
    x: f32,
    y: f32,
    end: f32,
}

impl Legend<'_> {
    const SIZE: f32 = 12.0;

    fn line(&mut self, colour: Colour, words: &str, thin: bool) {
        let [x, y] = self.room(words);
        let ends = vec![[x, y - 4.0], [x + 20.0, y - 4.0]];
        if thin {
            self.drawing.dashed(ends, colour, 1.0)
        } else {
            self.drawing.line(ends, colour, 2.5)
        }
        self.drawing.text([x + 26.0, y], words, Style::new(Self::SIZE, GREY));
    }

    fn best(&mut self, words: &str) {
        let [x, y] = self.room(words);
        mark(self.drawing, [x + 10.0, y - 4.0]);
        self.drawing.text([x + 26.0, y], words, Style::new(Self::SIZE, GREY));
    }

    /// Where the next words go.
    fn room(&mut self, words: &str) -> [f32; 2] {
        let width = 26.0 + font::width(words, Self::SIZE) + 22.0;
        if self.x > self.left && self.x + width > self.end {
            (self.x, self.y) = (self.left, self.y + 22.0);
        }
        let place = [self.x, self.y];
        self.x += width;
        place
    }
}
