//! `shapes`: ten classes of small colour pictures that the program draws itself, so that it can train on a machine with
//! no data and no network.
//!
//! *Invariant:* a picture is a function of (split, index) alone, in basic arithmetic (no `sin`, no `exp`), so everybody
//! gets the same bits. Classes are equally frequent: picture i shows class i mod 10.
//!
//! Each picture is a background, one figure on it and something in front of the figure, then noise. A figure is given
//! by its signed distance: negative inside, positive outside, in pixels near the edge. Half a pixel around the edge is
//! blended, which is the anti-aliasing. How hard the set is stands in the constants below.
use crate::{Dataset, Split};
use lenslet_rng::{Purpose, Stream};
use rayon::prelude::*;
use std::ops::Range;

/// Height and width.
const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE;
const TRAIN: usize = 10_000;
const TEST: usize = 2_000;
/// The data set is part of the program: another seed would be another data set.
const SEED: u64 = 0x7368_6170_6573;

/// Radius of the circle around a figure, in pixels.
const RADIUS: (f32, f32) = (7.5, 13.0);
/// A figure is stretched by up to this factor along one of its axes.
const STRETCH: f32 = 1.2;
/// How far a figure may turn to either side, as the tangent of half the angle: 0.33 is 36 degrees.
const TURN: f32 = 0.33;
/// Each channel of a background's colour, and of a figure's: figures are light.
const GROUND: (f32, f32) = (0.0, 0.55);
const FIGURE: (f32, f32) = (0.4, 1.0);
/// How far the two colours are apart at least, where black and white are √3 apart.
const CONTRAST: f32 = 0.45;
/// How strongly a background is patterned.
const PATTERN: f32 = 0.25;
/// How much neighbouring pixels differ by chance.
const NOISE: (f32, f32) = (0.01, 0.07);
/// The share of the pictures that have something in front of the figure.
const OCCLUDED: f32 = 0.5;
/// How wide that is, relative to the figure's radius.
const OCCLUDER: (f32, f32) = (0.15, 0.4);
/// How many specks are strewn over the background at most.
const SPECKS: u32 = 4;

const CLASSES: [&str; 10] =
    ["circle", "square", "triangle", "star", "cross", "ring", "crescent", "heart", "arrow", "hexagon"];

type Point = [f32; 2];
type Colour = [f32; 3];
/// The columns and the rows in which something lies.
type Frame = [Range<usize>; 2];

const SQUARE: [Point; 4] = [[-0.75, -0.75], [0.75, -0.75], [0.75, 0.75], [-0.75, 0.75]];
const TRIANGLE: [Point; 3] = [[0.0, -1.0], [0.866, 0.5], [-0.866, 0.5]];
const HEXAGON: [Point; 6] = [[1.0, 0.0], [0.5, 0.866], [-0.5, 0.866], [-1.0, 0.0], [-0.5, -0.866], [0.5, -0.866]];
const STAR: [Point; 10] = [
    [0.0, -1.0],
    [0.247, -0.34],
    [0.951, -0.309],
    [0.4, 0.13],
    [0.588, 0.809],
    [0.0, 0.42],
    [-0.588, 0.809],
    [-0.4, 0.13],
    [-0.951, -0.309],
    [-0.247, -0.34],
];
const CROSS: [Point; 12] = [
    [-0.3, -0.95],
    [0.3, -0.95],
    [0.3, -0.3],
    [0.95, -0.3],
    [0.95, 0.3],
    [0.3, 0.3],
    [0.3, 0.95],
    [-0.3, 0.95],
    [-0.3, 0.3],
    [-0.95, 0.3],
    [-0.95, -0.3],
    [-0.3, -0.3],
];
const ARROW: [Point; 7] =
    [[1.0, 0.0], [0.15, 0.8], [0.15, 0.3], [-0.95, 0.3], [-0.95, -0.3], [0.15, -0.3], [0.15, -0.8]];

/// The data set: 10,000 pictures to learn from and 2,000 to be tested on, 3×32×32.
pub fn dataset() -> Dataset {
    Dataset {
        name: "shapes".into(),
        classes: CLASSES.map(String::from).into(),
        channels: 3,
        height: SIDE,
        width: SIDE,
        train: split(0, TRAIN),
        test: split(1, TEST),
    }
}

fn split(number: u32, count: usize) -> Split {
    let mut images = vec![0; count * 3 * PIXELS];
    images.par_chunks_exact_mut(3 * PIXELS).enumerate().for_each(|(index, image)| {
        let mut random = Stream::new(SEED, Purpose::Shapes, number, index as u32);
        draw(index % CLASSES.len(), &mut random).store(&mut random, image);
    });
    Split { images: images.into(), labels: (0..count).map(|index| (index % CLASSES.len()) as u32).collect() }
}

/// A picture in the making: colours from 0 to 1, row by row.
struct Canvas([Colour; PIXELS]);

/// One picture of a class, but for its noise.
fn draw(class: usize, random: &mut Stream) -> Canvas {
    let (ground, colour) = two_colours(random);
    let mut canvas = background(ground, random);
    for _ in 0..random.below(SPECKS + 1) {
        let (place, radius) = (anywhere(random), random.range(0.7, 2.0));
        canvas.paint(mix(ground, any_colour(random), 0.4), frame(place, radius), |p| length(minus(p, place)) - radius);
    }

    let radius = random.range(RADIUS.0, RADIUS.1);
    // A figure may leave the picture by a little, never by much.
    let margin = radius * 0.9;
    let centre = [random.range(margin, SIDE as f32 - margin), random.range(margin, SIDE as f32 - margin)];
    let turn = direction(TURN, random);
    let narrow = radius / random.range(1.0, STRETCH);
    let scale = if random.below(2) == 0 { [radius, narrow] } else { [narrow, radius] };
    let shade = random.range(-0.25, 0.25);
    canvas.paint_shaded(colour, shade, frame(centre, radius), |p| {
        let [x, y] = rotate(minus(p, centre), turn);
        distance(class, [x / scale[0], y / scale[1]]) * narrow
    });

    if random.uniform() < OCCLUDED {
        let colour = mix(ground, any_colour(random), 0.5);
        occlude(&mut canvas, centre, radius, colour, random);
    }
    canvas
}

/// A disc or a bar over a part of the figure.
fn occlude(canvas: &mut Canvas, centre: Point, radius: f32, colour: Colour, random: &mut Stream) {
    let offset = in_disc(random);
    let place = [centre[0] + offset[0] * radius, centre[1] + offset[1] * radius];
    let size = radius * random.range(OCCLUDER.0, OCCLUDER.1);
    if random.below(2) == 0 {
        canvas.paint(colour, frame(place, size), |p| length(minus(p, place)) - size);
    } else {
        let along = any_direction(random);
        canvas.paint(colour, [0..SIDE, 0..SIDE], |p| rotate(minus(p, place), along)[1].abs() - size * 0.5);
    }
}

/// The signed distance from a figure of about radius 1, its upright form: y points down.
fn distance(class: usize, p: Point) -> f32 {
    match class {
        0 => length(p) - 0.9,
        1 => polygon(&SQUARE, p),
        2 => polygon(&TRIANGLE, p),
        3 => polygon(&STAR, p),
        4 => polygon(&CROSS, p),
        5 => (length(p) - 0.72).abs() - 0.2,
        6 => (length(p) - 0.95).max(0.75 - length([p[0] - 0.45, p[1]])),
        7 => heart(p),
        8 => polygon(&ARROW, p),
        _ => polygon(&HEXAGON, p),
    }
}

/// The signed distance from a polygon: to its nearest edge, negative if a ray from `p` crosses an odd number of edges.
fn polygon(corners: &[Point], p: Point) -> f32 {
    let (mut nearest, mut inside) = (f32::MAX, false);
    let mut from = corners[corners.len() - 1];
    for &to in corners {
        let (edge, to_p) = (minus(to, from), minus(p, from));
        let along = (dot(edge, to_p) / dot(edge, edge)).clamp(0.0, 1.0);
        let gap = [to_p[0] - edge[0] * along, to_p[1] - edge[1] * along];
        nearest = nearest.min(dot(gap, gap));
        if (from[1] > p[1]) != (to[1] > p[1]) && p[0] < from[0] + edge[0] * to_p[1] / edge[1] {
            inside = !inside;
        }
        from = to;
    }
    if inside { -nearest.sqrt() } else { nearest.sqrt() }
}

/// A square on its corner and a disc on each of its upper sides.
#[allow(clippy::approx_constant)] // The pictures keep their bits.
fn heart([x, y]: Point) -> f32 {
    let p = [x.abs(), y];
    let square = (p[0] + (p[1] - 0.1).abs() - 0.85) * 0.7071;
    let disc = length([p[0] - 0.425, p[1] + 0.325]) - 0.6;
    square.min(disc)
}

/// One of four kinds of background around the colour `ground`.
fn background(ground: Colour, random: &mut Stream) -> Canvas {
    let other = mix(ground, any_colour(random), PATTERN);
    let along = any_direction(random);
    let period = random.range(3.0, 10.0);
    let phase = random.range(0.0, period);
    let blobs: [(Point, f32); 4] = std::array::from_fn(|_| (anywhere(random), random.range(4.0, 10.0)));
    let kind = random.below(4);
    let share = |p: Point| match kind {
        0 => 0.0,
        // A gradient from edge to edge.
        1 => (0.5 + rotate(minus(p, [SIDE as f32 / 2.0; 2]), along)[0] / SIDE as f32).clamp(0.0, 1.0),
        // Stripes, as a triangle wave.
        2 => ((((rotate(p, along)[0] + phase) / period).rem_euclid(1.0) - 0.5).abs() * 4.0 - 0.5).clamp(0.0, 1.0),
        // Soft blotches.
        _ => blobs.iter().map(|&(at, radius)| (1.0 - length(minus(p, at)) / radius).max(0.0)).sum::<f32>().min(1.0),
    };
    Canvas(std::array::from_fn(|i| mix(ground, other, share(middle(i)))))
}

impl Canvas {
    /// Paints what lies inside the figure whose signed distance, in pixels, is given, and which lies in `frame`.
    fn paint(&mut self, colour: Colour, frame: Frame, distance: impl Fn(Point) -> f32) {
        self.paint_shaded(colour, 0.0, frame, distance);
    }

    /// The same, brighter by `shade` at the bottom and darker at the top.
    fn paint_shaded(&mut self, colour: Colour, shade: f32, frame: Frame, distance: impl Fn(Point) -> f32) {
        let [columns, rows] = frame;
        for i in rows.flat_map(|y| columns.clone().map(move |x| y * SIDE + x)) {
            let p = middle(i);
            let cover = (0.5 - distance(p)).clamp(0.0, 1.0);
            let light = shade * (p[1] / SIDE as f32 - 0.5);
            self.0[i] = mix(self.0[i], colour.map(|c| c + light), cover);
        }
    }

    /// Adds noise and rounds to bytes, as three planes.
    fn store(&self, random: &mut Stream, image: &mut [u8]) {
        // √12 makes the deviation of a uniform number 1.
        let noise = random.range(NOISE.0, NOISE.1) * 3.464;
        for (i, colour) in self.0.iter().enumerate() {
            // Ten random bits a channel.
            let word = random.next_u32();
            for (plane, value) in colour.iter().enumerate() {
                let grain = (word >> (10 * plane) & 0x3FF) as f32 / 1_024.0 - 0.5;
                image[plane * PIXELS + i] = ((value + grain * noise) * 255.0 + 0.5).clamp(0.0, 255.0) as u8;
            }
        }
    }
}

/// Columns and rows of the square around a disc, as far as it lies in the picture; its edge's blending included.
fn frame(centre: Point, radius: f32) -> Frame {
    centre.map(|middle| ((middle - radius - 1.0).max(0.0) as usize)..((middle + radius + 2.0) as usize).min(SIDE))
}

/// The colours of a background and of a figure that can be told apart.
fn two_colours(random: &mut Stream) -> (Colour, Colour) {
    loop {
        let ground = std::array::from_fn(|_| random.range(GROUND.0, GROUND.1));
        let figure = std::array::from_fn(|_| random.range(FIGURE.0, FIGURE.1));
        let gap: f32 = (0..3).map(|c: usize| (figure[c] - ground[c]) * (figure[c] - ground[c])).sum();
        if gap > CONTRAST * CONTRAST {
            return (ground, figure);
        }
    }
}

fn any_colour(random: &mut Stream) -> Colour {
    std::array::from_fn(|_| random.uniform())
}

fn mix(a: Colour, b: Colour, share: f32) -> Colour {
    std::array::from_fn(|c| a[c] + (b[c] - a[c]) * share)
}

/// The middle of pixel `i`.
fn middle(i: usize) -> Point {
    [(i % SIDE) as f32 + 0.5, (i / SIDE) as f32 + 0.5]
}

fn anywhere(random: &mut Stream) -> Point {
    std::array::from_fn(|_| random.range(0.0, SIDE as f32))
}

/// A point in the unit disc, by rejection.
fn in_disc(random: &mut Stream) -> Point {
    loop {
        let p = [random.range(-1.0, 1.0), random.range(-1.0, 1.0)];
        if (1e-6..1.0).contains(&dot(p, p)) {
            return p;
        }
    }
}

/// Cosine and sine of any angle.
fn any_direction(random: &mut Stream) -> Point {
    let p = in_disc(random);
    [p[0] / length(p), p[1] / length(p)]
}

/// Cosine and sine of an angle whose half has a tangent of at most `turn`.
fn direction(turn: f32, random: &mut Stream) -> Point {
    let t = random.range(-turn, turn);
    [(1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)]
}

fn rotate([x, y]: Point, [cos, sin]: Point) -> Point {
    [cos * x + sin * y, cos * y - sin * x]
}

fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1]]
}

fn dot(a: Point, b: Point) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

fn length(p: Point) -> f32 {
    dot(p, p).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_bits_on_one_thread_and_on_many() {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let many = rayon::ThreadPoolBuilder::new().num_threads(7).build().unwrap();
        assert_eq!(one.install(|| split(0, 203)), many.install(|| split(0, 203)));
    }

    #[test]
    fn classes_are_balanced_and_splits_differ() {
        let data = dataset();
        for split in [&data.train, &data.test] {
            let mut counts = [0; 10];
            split.labels.iter().for_each(|&label| counts[label as usize] += 1);
            assert_eq!(counts, [split.len() / 10; 10]);
            assert_eq!(split.images.len(), split.len() * 3 * PIXELS);
        }
        assert_ne!(data.train.image(0), data.test.image(0));
    }
}
