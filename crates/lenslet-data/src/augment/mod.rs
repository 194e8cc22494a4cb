//! Augmentation: pictures are changed at random each time they are learnt from, so that a network sees more than there are.
//!
//! An [`Augmentation`] is a list of [`Op`]s, written as `flip, crop 4 reflect, cutout 8` ([`OPS`] has the grammar). An
//! op draws what is to be done ([`Change`], all chance taken out) and the change is done to the [`Picture`]'s bytes: in
//! `place` whole pixels move, in `warp` places between them do, `colour`, `tone` and `detail` change
//! numbers; `policy` has the published mixtures of all these. Last, `mix` may make one picture of two.
//!
//! *Invariant:* what becomes of a picture is a function of (seed, epoch, picture) alone, so a resumed run and one on other
//! threads see the same pictures; with `libm` in the place of the platform's functions, so machines agree too. Each change
//! equals torchvision's on the same parameters, the rounding of bytes included (`tests/all/augment.rs`).

mod colour;
mod detail;
mod mix;
mod op;
mod parse;
mod picture;
mod place;
mod policy;
mod tone;
mod warp;

use std::fmt;

use lenslet_rng::{Purpose, Stream};
use serde::{Deserialize, Serialize};

pub use mix::{Mix, Mixing, partner};
pub use op::Op;
pub use parse::{OPS, ParseError, Usage};
pub use picture::Picture;
pub use place::Edge;
pub use warp::{Affine, Sampling};

use crate::resize::{Filter, Resizer};

/// What is done to pictures before a network learns from them, in order. None is the usual.
///
/// ```
/// use lenslet_data::augment::{Augmentation, Moment, Picture};
/// let augmentation: Augmentation = "flip, crop 4 reflect".parse()?;
/// let mut picture = Picture::default();
/// picture.load(&[0; 3 * 32 * 32], [3, 32, 32]);
/// augmentation.apply(&mut picture, &Moment { seed: 0, epoch: 1, image: 17 }, &[0, 0, 0]);
/// # Ok::<(), lenslet_data::augment::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Augmentation {
    /// The ops, the first one first.
    pub ops: Vec<Op>,
    /// How pictures are then mixed in twos: each draws one of these. If there is none, they are not.
    pub mixing: Vec<Mixing>,
}

/// Which picture of which epoch: what all chance follows from.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The run's seed.
    pub seed: u64,
    /// The epoch's number.
    pub epoch: u32,
    /// The picture's number.
    pub image: u32,
}

impl Moment {
    /// A coin that shows the same face for a picture in every epoch.
    fn coin_of_picture(&self) -> bool {
        // No run has so many epochs.
        Stream::new(self.seed, Purpose::Augment, u32::MAX, self.image).next_u32() & 1 == 1
    }
}

impl Augmentation {
    /// Whether pictures stay as they are.
    pub fn is_none(&self) -> bool {
        self.ops.is_empty() && self.mixing.is_empty()
    }

    /// Whether pictures may be mixed.
    pub fn mixes(&self) -> bool {
        !self.mixing.is_empty()
    }

    /// How a picture of this size (C, H, W) is mixed with the one before it in the batch, if it is. Both are to be changed by
    /// [`apply`](Self::apply) before that.
    pub fn mix(&self, size: [usize; 3], moment: &Moment) -> Option<Mix> {
        if self.mixing.is_empty() {
            return None;
        }
        let mut random = Stream::new(moment.seed, Purpose::Mix, moment.epoch, moment.image);
        let which = random.below(self.mixing.len() as u32) as usize;
        self.mixing[which].draw(size, &mut random)
    }

    /// Changes a picture as this moment has it, short of mixing. `mean` is the colour, a byte per channel, that stands for
    /// nothing at all.
    pub fn apply(&self, picture: &mut Picture, moment: &Moment, mean: &[u8]) {
        let mut random = Stream::new(moment.seed, Purpose::Augment, moment.epoch, moment.image);
        let size = picture.size();
        for op in &self.ops {
            op.draw(size, moment, &mut random, &mut |change| change.apply(picture, mean));
        }
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.pad("none");
        }
        let ops = self.ops.iter().map(ToString::to_string);
        let words: Vec<String> = ops.chain(self.mixing.iter().map(ToString::to_string)).collect();
        f.pad(&words.join(", "))
    }
}

impl From<Augmentation> for String {
    fn from(augmentation: Augmentation) -> Self {
        augmentation.to_string()
    }
}

impl TryFrom<String> for Augmentation {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

/// What is done to one picture, all chance taken out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Left and right are exchanged.
    Flip,
    /// The picture moves up by `down` rows and left by `right` columns, as if cut from a padded one.
    Shift {
        /// Rows.
        down: isize,
        /// Columns.
        right: isize,
        /// What stands beyond its edge.
        edge: Edge,
    },
    /// The part from row `top` and column `left`, brought to the size of the whole with Pillow's bilinear filter.
    ResizedCrop {
        /// The part's first row.
        top: usize,
        /// Its first column.
        left: usize,
        /// Its rows.
        height: usize,
        /// Its columns.
        width: usize,
    },
    /// An affine map.
    Affine(Affine),
    /// A projection that leads the corners (top left, top right, bottom right, bottom left) to these columns and rows.
    Perspective {
        /// Column and row of each.
        corners: [[f32; 2]; 4],
        /// What falls between pixels.
        sampling: Sampling,
    },
    /// Every number times this.
    Brightness(f32),
    /// Away from the mean grey, or towards it below 1.
    Contrast(f32),
    /// Away from grey, or towards it below 1.
    Saturation(f32),
    /// The circle of colours turned by this share.
    Hue(f32),
    /// All colours become their luma.
    Grey,
    /// Away from a blurred picture, or towards it below 1.
    Sharpness(f32),
    /// Gaussian blur over so many pixels, with this spread.
    Blur {
        /// Pixels each way, an odd number.
        size: usize,
        /// Standard deviation, in pixels.
        sigma: f32,
    },
    /// Normal noise of this spread.
    Noise {
        /// Standard deviation, as a share of white.
        spread: f32,
        /// What it is drawn from.
        seed: u64,
    },
    /// A rectangle is filled with the mean colour.
    Erase {
        /// Row and column of its first pixel, which may lie outside.
        corner: [isize; 2],
        /// Its rows and columns.
        size: [usize; 2],
    },
    /// So many bits of each number remain.
    Posterize(u32),
    /// Numbers from this on are inverted.
    Solarize(f32),
    /// Each channel is spread from 0 to 255.
    AutoContrast,
    /// Each channel's numbers become equally frequent.
    Equalize,
    /// Dark becomes bright.
    Invert,
}

impl Change {
    /// Changes the picture. `mean` is a byte per channel, for what is erased.
    pub fn apply(self, picture: &mut Picture, mean: &[u8]) {
        match self {
            Change::Flip => place::flip(picture),
            Change::Shift { down, right, edge } => place::shift(picture, down, right, edge),
            Change::ResizedCrop { top, left, height, width } => resized_crop(picture, [top, left], [height, width]),
            Change::Affine(map) => warp::affine(picture, &map),
            Change::Perspective { corners, sampling } => warp::perspective(picture, corners, sampling),
            Change::Brightness(factor) => colour::brightness(picture, factor),
            Change::Contrast(factor) => colour::contrast(picture, factor),
            Change::Saturation(factor) => colour::saturation(picture, factor),
            Change::Hue(turn) => colour::hue(picture, turn),
            Change::Grey => colour::grey(picture),
            Change::Sharpness(factor) => detail::sharpness(picture, factor),
            Change::Blur { size, sigma } => detail::blur(picture, size, sigma),
            Change::Noise { spread, seed } => {
                detail::noise(picture, spread, &mut Stream::new(seed, Purpose::Augment, 0, 0));
            }
            Change::Erase { corner, size } => detail::erase(picture, corner, size, mean),
            Change::Posterize(bits) => tone::posterize(picture, bits),
            Change::Solarize(threshold) => tone::solarize(picture, threshold),
            Change::AutoContrast => tone::autocontrast(picture),
            Change::Equalize => tone::equalize(picture),
            Change::Invert => tone::invert(picture),
        }
    }
}

/// A part brought to the size of the whole.
fn resized_crop(picture: &mut Picture, [top, left]: [usize; 2], [height, width]: [usize; 2]) {
    let [_, rows, columns] = picture.size();
    let resizer = Resizer::new((height, width), (rows, columns), Filter::Bilinear);
    picture.redraw(|old, new| {
        let part: Vec<u8> =
            old.chunks_exact(columns).skip(top).take(height).flat_map(|row| &row[left..][..width]).copied().collect();
        resizer.resize(&part, new);
    });
}
