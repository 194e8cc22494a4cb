//! Images and labels as a plan is fed with them: bytes, augmented where they are learnt from, then normalised.

use std::cell::RefCell;

use lenslet_cpu::{Feed, Version};
use lenslet_data::Split;
use lenslet_data::augment::{Augmentation, Mix, Moment, Picture, partner};

use crate::{Settings, Table};

/// A batch.
pub(crate) struct Images<'a> {
    pub(crate) images: &'a Split,
    pub(crate) table: &'a Table,
    /// Which of them, in their order in the batch.
    pub(crate) chosen: &'a [u32],
    /// How they are changed, if they are; and their numbers in an order that no format has a part in.
    pub(crate) augmented: Option<(&'a Augmented<'a>, &'a [u32])>,
}

/// How images are changed in an epoch.
pub(crate) struct Augmented<'a> {
    augmentation: Augmentation,
    /// C, H and W.
    size: [usize; 3],
    /// The mean colour.
    mean: &'a [u8],
    seed: u64,
    epoch: u32,
    /// No other epoch has it, of whatever training.
    name: Version,
}

thread_local! {
    /// Memory for pictures is taken once.
    static DESK: RefCell<Desk> = RefCell::default();
}

/// Where a thread changes pictures.
#[derive(Default)]
struct Desk {
    /// A picture changed by itself.
    picture: Picture,
    /// The one to mix it with, and its epoch and number. A thread fills one place of a batch after the other, so it is
    /// most often the picture of the place before and need not be changed again.
    partner: Picture,
    partner_is: Option<(Version, u32)>,
    /// Both.
    mixed: Picture,
}

impl<'a> Images<'a> {
    /// Images as they are.
    pub(crate) fn plain(images: &'a Split, table: &'a Table, chosen: &'a [u32]) -> Self {
        Self { images, table, chosen, augmented: None }
    }

    /// The label of the image at a place or, where another is mixed into it, that of the larger share.
    pub(crate) fn main_label(&self, place: usize) -> u32 {
        self.label(if self.share(place) < 0.5 { self.partner(place) } else { place })
    }

    /// The place whose image is mixed into the one at this place.
    fn partner(&self, place: usize) -> usize {
        partner(place, self.chosen.len())
    }

    fn label(&self, place: usize) -> u32 {
        self.images.labels[self.chosen[place] as usize]
    }

    /// What share of what the network sees at a place is the image at that place.
    fn share(&self, place: usize) -> f32 {
        let mix = self.augmented.and_then(|(augmented, numbers)| augmented.mix(numbers[place]));
        mix.map_or(1.0, Mix::share)
    }

    fn fill_pixels(&self, place: usize, values: &mut [f32]) {
        let pixels = |place: usize| self.images.image(self.chosen[place] as usize);
        let Some((augmented, numbers)) = self.augmented else {
            return self.table.apply(pixels(place), values);
        };
        let change = |place: usize, picture: &mut Picture| augmented.apply(pixels(place), numbers[place], picture);
        DESK.with_borrow_mut(|Desk { picture, partner, partner_is, mixed }| {
            change(place, picture);
            let Some(mix) = augmented.mix(numbers[place]) else {
                return self.table.apply(picture.pixels(), values);
            };
            let before = self.partner(place);
            if *partner_is != Some((augmented.name, numbers[before])) {
                change(before, partner);
            }
            mixed.load(picture.pixels(), picture.size());
            mix.apply(mixed, partner);
            self.table.apply(mixed.pixels(), values);
            std::mem::swap(picture, partner);
            *partner_is = Some((augmented.name, numbers[place]));
        });
    }
}

impl<'a> Augmented<'a> {
    /// Of images of this size (C, H, W), if the settings have them changed.
    pub(crate) fn new(settings: &Settings, size: [usize; 3], images: &'a Split, epoch: u32) -> Option<Self> {
        let Settings { augment, seed, .. } = settings;
        (!augment.is_none()).then(|| {
            let mean = images.mean_colour(size[0]);
            Self { augmentation: augment.clone(), size, mean, seed: *seed, epoch, name: Version::new() }
        })
    }

    fn moment(&self, image: u32) -> Moment {
        Moment { seed: self.seed, epoch: self.epoch, image }
    }

    fn mix(&self, image: u32) -> Option<Mix> {
        self.augmentation.mix(self.size, &self.moment(image))
    }

    /// What becomes of an image's pixels by itself.
    fn apply(&self, pixels: &[u8], image: u32, picture: &mut Picture) {
        picture.load(pixels, self.size);
        self.augmentation.apply(picture, &self.moment(image), self.mean);
    }
}

/// The inputs are those of [`add_cross_entropy`](lenslet_graph::record::add_cross_entropy) or
/// [`add_mixed_cross_entropy`](lenslet_graph::record::add_mixed_cross_entropy).
impl Feed for Images<'_> {
    fn fill(&self, input: usize, place: usize, values: &mut [f32]) {
        match input {
            0 => self.fill_pixels(place, values),
            1 => values[0] = self.label(place) as f32,
            2 => values[0] = self.label(self.partner(place)) as f32,
            3 => values[0] = self.share(place),
            _ => unreachable!("a training graph has no input {input}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Normalization;

    const SIZE: [usize; 3] = [1, 6, 4];
    const PIXELS: usize = 24;

    /// What a feed of four images has for a place: pixels from 0 to 255, and the numbers of the other inputs.
    fn filled(feed: &Images<'_>, place: usize) -> ([f32; PIXELS], [f32; 3]) {
        let (mut pixels, mut numbers) = ([f32::NAN; PIXELS], [[f32::NAN]; 3]);
        feed.fill(0, place, &mut pixels);
        (1..).zip(&mut numbers).for_each(|(input, number)| feed.fill(input, place, number));
        (pixels, numbers.map(|[number]| number))
    }

    #[test]
    fn each_image_is_mixed_with_the_one_before_it_and_so_are_their_labels() {
        let bytes: Vec<u8> = (0..5 * PIXELS).map(|i| (i * i * 37 % 251) as u8).collect();
        let images = Split { images: bytes.into(), labels: (5..10).collect() };
        let table = Normalization { mean: vec![0.0], std: vec![1.0 / 255.0] }.table();
        let (chosen, numbers) = ([3, 0, 4, 1], [7, 5, 6, 2]);
        for epoch in 0..40 {
            let augmented = |words: &str| {
                let settings = Settings { augment: words.parse().expect("right"), seed: 3, ..Settings::default() };
                Augmented::new(&settings, SIZE, &images, epoch).expect("something is changed")
            };
            let ops = ["crop 2, noise", "crop 2, noise, mixup", "crop 2, noise, cutmix"].map(augmented);
            let [alone, mixed_up, cut] = ops.each_ref().map(|augmented| {
                let augmented = Some((augmented, &numbers[..]));
                Images { images: &images, table: &table, chosen: &chosen, augmented }
            });
            // In any order, as threads may come to them.
            for place in [2, 3, 0, 1, 0] {
                let before = [3, 0, 1, 2][place];
                let labels = [place, before].map(|place| chosen[place] as f32 + 5.0);
                let [(a, _), (b, _)] = [place, before].map(|place| filled(&alone, place));
                let (pixels, [label, other, share]) = filled(&mixed_up, place);
                for ((x, a), b) in pixels.iter().zip(a).zip(b) {
                    assert!((x - (a * share + b * (1.0 - share))).abs() < 0.51, "{x} of {a} and {b}, {share}");
                }
                assert_eq!([label, other], labels);
                let main = labels[usize::from(share < 0.5)];
                assert_eq!(mixed_up.main_label(place) as f32, main, "a share of {share}");

                let (pixels, [label, other, share]) = filled(&cut, place);
                let of = |picture: [f32; PIXELS]| pixels.iter().zip(picture).map(move |(&x, y)| (x - y).abs() < 0.01);
                assert!(of(a).zip(of(b)).all(|(own, other)| own || other), "{pixels:?} of {a:?} and {b:?}");
                let own = of(b).filter(|other| !other).count() as f32;
                // Pixels that are alike in both may be either's.
                let alike = a.iter().zip(b).filter(|(a, b)| (*a - b).abs() < 0.01).count() as f32;
                let (least, most) = (own - 0.01, own + alike + 0.01);
                let said = share * PIXELS as f32;
                assert!((least..most).contains(&said), "{said} pixels are said to be the image's own, which has {own}");
                assert_eq!([label, other], labels);
            }
        }
    }
}
