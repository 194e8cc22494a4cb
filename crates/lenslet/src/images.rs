//! Images and labels as a plan is fed with them: bytes, augmented where they are learnt from, then normalised.

use std::cell::RefCell;

use lenslet_cpu::Feed;
use lenslet_data::Split;
use lenslet_data::augment::{Augmentation, Moment, Picture};

use crate::Table;

/// A batch.
pub(crate) struct Images<'a> {
    pub(crate) images: &'a Split,
    pub(crate) table: &'a Table,
    /// Which of them, in their order in the batch.
    pub(crate) chosen: &'a [u32],
    /// How they are changed, if they are.
    pub(crate) augmented: Option<Augmented<'a>>,
}

/// How the images of a batch are changed.
#[derive(Clone, Copy)]
pub(crate) struct Augmented<'a> {
    pub(crate) augmentation: &'a Augmentation,
    /// C, H and W.
    pub(crate) size: [usize; 3],
    /// The mean colour.
    pub(crate) mean: &'a [u8],
    pub(crate) seed: u64,
    pub(crate) epoch: u32,
    /// The images of the batch by their numbers in an order that no format has a part in.
    pub(crate) numbers: &'a [u32],
}

thread_local! {
    /// The picture that this thread changes. Memory for it is taken once.
    static PICTURE: RefCell<Picture> = RefCell::default();
}

impl<'a> Images<'a> {
    /// Images as they are.
    pub(crate) fn plain(images: &'a Split, table: &'a Table, chosen: &'a [u32]) -> Self {
        Self { images, table, chosen, augmented: None }
    }
}

impl Feed for Images<'_> {
    fn fill(&self, input: usize, place: usize, values: &mut [f32]) {
        let image = self.chosen[place] as usize;
        if input == 1 {
            values[0] = self.images.labels[image] as f32;
            return;
        }
        let pixels = self.images.image(image);
        let Some(Augmented { augmentation, size, mean, seed, epoch, numbers }) = self.augmented else {
            return self.table.apply(pixels, values);
        };
        PICTURE.with_borrow_mut(|picture| {
            picture.load(pixels, size);
            augmentation.apply(picture, &Moment { seed, epoch, image: numbers[place] }, mean);
            self.table.apply(picture.pixels(), values);
        });
    }
}
