//! The confusion matrix: a row for each class, a column for each answer, and beside it the largest confusions in words.
//!
//! Right answers are blue, by their share of the row; mistakes are orange, by their share of the row against the largest
//! such share, so that confusions of a few percent can be seen beside a diagonal of nearly all. Counts stand in the cells if
//! all of them fit. The list says what a matrix of a hundred classes cannot.

use crate::drawing::{Drawing, Style};
use crate::font;
use crate::palette::{AXIS, Colour, GREY, INK, mistaken, readable_on, right};

/// Room for a class's name.
const NAME: f32 = 150.0;
/// Confusions that are listed.
const LISTED: usize = 16;
/// Room for the scales, for the percentages of the list with its gaps, and for either of its names.
const SCALES: f32 = 230.0;
const PERCENT: f32 = 70.0;
const SPACE: f32 = 5.0;
const LISTED_NAME: f32 = 170.0;
/// The end of the scale of mistakes is no smaller share, so that few mistakes do not look like many.
const LEAST_WORST: f64 = 0.1;
/// The smallest size of a count.
const READABLE: f32 = 8.0;
/// Units for the whole matrix where classes are many.
const MATRIX: f32 = 1000.0;

/// Draws `counts[class][answer]`, how many images of a class got which answer.
pub fn confusion(title: &str, classes: &[String], counts: &[Vec<u32>]) -> Drawing {
    let names = font::labels(classes);
    let grid = Grid::new(&names);
    let shares = Shares::new(counts, names.len());
    let list: Vec<Line> = shares.largest().into_iter().map(|found| Line::new(&shares, &names, found)).collect();
    let counts = list.iter().map(|line| font::width(&line.count, 12.0)).fold(24.0, f32::max);
    let words = list.iter().map(|line| line.words.iter().map(|word| font::width(word, 12.0) + SPACE).sum::<f32>());
    let listed = words.fold(0.0, f32::max) + counts + PERCENT;
    let width = grid.left + grid.side() + 40.0 + listed.max(SCALES) + 20.0;
    let height = (grid.top + grid.side()).max(grid.top + 150.0 + list.len() as f32 * 22.0) + 30.0;
    let mut drawing = Drawing::new(width, height);
    drawing.text([20.0, 30.0], &font::fitted(title, 16.0, width - 40.0), Style::new(16.0, INK));
    grid.draw(&mut drawing, &shares);
    grid.draw_names(&mut drawing, &names);
    let beside = [(grid.left + grid.side() + 40.0).round(), grid.top];
    draw_scale(&mut drawing, beside, "right answers", 1.0, right);
    draw_scale(&mut drawing, [beside[0], beside[1] + 50.0], "mistakes, of a class's images", shares.worst, orange);
    draw_list(&mut drawing, [beside[0], beside[1] + 125.0], counts, &list);
    drawing
}

/// The counts, and what their colours go by.
struct Shares<'a> {
    counts: &'a [Vec<u32>],
    classes: usize,
    /// Images of each class, at least 1.
    totals: Vec<f64>,
    /// The largest share of a class's images that got the same wrong answer: the end of the scale.
    worst: f64,
}

impl<'a> Shares<'a> {
    fn new(counts: &'a [Vec<u32>], classes: usize) -> Self {
        let total =
            |class| counts.get(class).map_or(0, |row: &Vec<u32>| row.iter().map(|&n| u64::from(n)).sum::<u64>());
        let totals = (0..classes).map(|class| total(class).max(1) as f64).collect();
        let mut shares = Self { counts, classes, totals, worst: LEAST_WORST };
        let worst = shares.mistakes().map(|(class, answer, _)| shares.share(class, answer)).fold(LEAST_WORST, f64::max);
        shares.worst = worst;
        shares
    }

    fn count(&self, class: usize, answer: usize) -> u32 {
        self.counts.get(class).and_then(|row| row.get(answer)).copied().unwrap_or(0)
    }

    fn share(&self, class: usize, answer: usize) -> f64 {
        f64::from(self.count(class, answer)) / self.totals[class]
    }

    /// Cells in which there is something.
    fn filled(&self) -> impl Iterator<Item = (usize, usize, u32)> {
        let all = (0..self.classes).flat_map(|class| (0..self.classes).map(move |answer| (class, answer)));
        all.map(|(class, answer)| (class, answer, self.count(class, answer))).filter(|(_, _, count)| *count > 0)
    }

    fn mistakes(&self) -> impl Iterator<Item = (usize, usize, u32)> {
        self.filled().filter(|(class, answer, _)| class != answer)
    }

    /// The most frequent mistakes, those of equal number in the order of classes.
    fn largest(&self) -> Vec<(usize, usize, u32)> {
        let mut all: Vec<_> = self.mistakes().collect();
        all.sort_by_key(|&(class, answer, count)| (std::cmp::Reverse(count), class, answer));
        all.truncate(LISTED);
        all
    }
}

/// Where the cells are.
struct Grid {
    left: f32,
    top: f32,
    /// From cell to cell.
    pitch: f32,
    classes: usize,
    /// Size of the names, and every how manieth class has one.
    names: f32,
    every: usize,
    /// Degrees by which those above are turned.
    turn: f32,
}

impl Grid {
    fn new(names: &[String]) -> Self {
        let classes = names.len().max(1);
        let pitch = match classes {
            0..=4 => 84.0,
            5..=12 => 52.0,
            13..=25 => 34.0,
            26..=60 => 19.0,
            61..=110 => 12.0,
            // Whole pixels, as long as there are any.
            111..=1000 => (MATRIX / classes as f32).floor(),
            _ => MATRIX / classes as f32,
        };
        let size = (pitch - 2.0).clamp(8.0, 12.0);
        let every = (size / pitch).ceil().max(1.0) as usize;
        let widest = names.iter().map(|name| font::width(name, size)).fold(20.0, f32::max).min(NAME);
        // Above, names lean, or stand upright where they are many; beside, they stand next to the word "class".
        let turn = match classes {
            _ if widest <= pitch - 6.0 => 0.0,
            0..=25 => 45.0_f32,
            _ => 90.0,
        };
        let height = (widest * turn.to_radians().sin() + 8.0).max(16.0);
        let [left, top] = [56.0 + widest, 76.0 + height].map(f32::round);
        Self { left, top, pitch, classes, names: size, every, turn }
    }

    fn side(&self) -> f32 {
        self.pitch * self.classes as f32
    }

    fn place(&self, class: usize, answer: usize) -> [f32; 2] {
        [self.left + self.pitch * answer as f32, self.top + self.pitch * class as f32]
    }

    fn draw(&self, drawing: &mut Drawing, shares: &Shares<'_>) {
        // White lines between the cells, where they are large enough for it.
        let gap = if self.pitch >= 19.0 { 1.0 } else { 0.0 };
        let widest = shares.filled().map(|(_, _, count)| font::width(&grouped(count), 1.0)).fold(0.1, f32::max);
        let size = (self.pitch * 0.3).min(15.0).min((self.pitch - 4.0) / widest);
        for (class, answer, count) in shares.filled() {
            let share = shares.share(class, answer);
            let fill = if class == answer { right(share) } else { orange(share / shares.worst) };
            let [x, y] = self.place(class, answer);
            drawing.rect([x, y], self.pitch - gap, self.pitch - gap, fill);
            if size >= READABLE {
                let middle = [x + self.pitch / 2.0, y + self.pitch / 2.0 + font::to_middle(size)];
                drawing.text(middle, &grouped(count), Style::new(size, readable_on(fill)).middle());
            }
        }
        let ([left, top], side) = ([self.left - 0.5, self.top - 0.5], self.side());
        let frame = [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]];
        drawing.line(frame.to_vec(), AXIS, 1.0);
    }

    fn draw_names(&self, drawing: &mut Drawing, names: &[String]) {
        let style = Style::new(self.names, INK);
        for (number, name) in names.iter().enumerate().step_by(self.every) {
            let name = font::fitted(name, self.names, NAME);
            let at = self.pitch * (number as f32 + 0.5);
            drawing.text([self.left - 7.0, self.top + at + font::to_middle(self.names)], &name, style.end());
            // A turned name begins at its cell's middle, a level one has its own middle there.
            let above = if self.turn == 90.0 { at + font::to_middle(self.names) } else { at };
            let style = if self.turn == 0.0 { style.middle() } else { style.turned(-self.turn) };
            drawing.text([self.left + above, self.top - 7.0], &name, style);
        }
        let axis = Style::new(12.0, GREY);
        drawing.text([self.left, 58.0], "answer of the network →", axis);
        drawing.text([28.0, self.top], "← class of the image", axis.end().turned(-90.0));
    }
}

/// The colour of a mistake; a root lifts the small shares, as they are many and matter.
fn orange(share: f64) -> Colour {
    mistaken(share.sqrt() * 0.85 + 0.05)
}

/// A line of the list.
struct Line {
    count: String,
    percent: String,
    /// The class, an arrow, and the answer: apart, so that names in whichever script keep their places.
    words: [String; 3],
}

impl Line {
    fn new(shares: &Shares<'_>, names: &[String], (class, answer, count): (usize, usize, u32)) -> Self {
        let name = |class: usize| font::fitted(&names[class], 12.0, LISTED_NAME);
        let percent = format!("{:.1} %", shares.share(class, answer) * 100.0);
        Self { count: grouped(count), percent, words: [name(class), "→".to_owned(), name(answer)] }
    }
}

fn draw_list(drawing: &mut Drawing, [x, y]: [f32; 2], counts: f32, list: &[Line]) {
    let head = if list.is_empty() { "No confusions" } else { "Largest confusions" };
    drawing.text([x, y], head, Style::new(13.0, INK));
    for (number, line) in list.iter().enumerate() {
        let y = y + 26.0 + number as f32 * 22.0;
        drawing.text([x + counts, y], &line.count, Style::new(12.0, INK).end());
        drawing.text([x + counts + PERCENT - 14.0, y], &line.percent, Style::new(12.0, GREY).end());
        let mut x = x + counts + PERCENT;
        for word in &line.words {
            drawing.text([x, y], word, Style::new(12.0, INK));
            x += font::width(word, 12.0) + SPACE;
        }
    }
}

/// A bar of colours from 0 to `most` with words above it.
fn draw_scale(drawing: &mut Drawing, [x, y]: [f32; 2], words: &str, most: f64, colour: impl Fn(f64) -> Colour) {
    const STEPS: usize = 40;
    const STEP: f32 = 4.0;
    drawing.text([x, y + 8.0], words, Style::new(12.0, GREY));
    for step in 0..STEPS {
        let fill = colour(step as f64 / (STEPS - 1) as f64);
        drawing.rect([x + step as f32 * STEP, y + 16.0], STEP, 12.0, fill);
    }
    let end = format!("0 to {:.0} %", most * 100.0);
    drawing.text([x + STEPS as f32 * STEP + 8.0, y + 26.0], &end, Style::new(11.0, GREY));
}

/// `1,234`.
fn grouped(count: u32) -> String {
    let digits = count.to_string();
    let comma = |(place, digit): (usize, char)| {
        let comma = place > 0 && (digits.len() - place).is_multiple_of(3);
        comma.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}
