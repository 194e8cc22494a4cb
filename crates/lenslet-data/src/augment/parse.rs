//! The words of an augmentation: `flip, crop 4 reflect, cutout 8`.
//!
//! Ops are parted by commas and done in order; each is a name and its numbers, parted by blanks, where the last ones may be
//! left out. Ways to mix stand behind them, for they are no steps: of several, each picture draws one. The table [`OPS`] has
//! them all: the program's help, its errors and this grammar come from it.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Augmentation, Edge, Mixing, Op, Sampling};

/// One op, or way to mix, as it is written.
pub struct Usage {
    /// Its name.
    pub name: &'static str,
    /// What follows, those in brackets with their usual value.
    pub arguments: &'static str,
    /// What it does.
    pub about: &'static str,
    read: Read,
}

/// What reads the words behind the name.
enum Read {
    Op(fn(&mut Words<'_>) -> Result<Op, String>),
    Mixing(fn(&mut Words<'_>) -> Result<Mixing, String>),
}

const fn usage(
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    read: fn(&mut Words<'_>) -> Result<Op, String>,
) -> Usage {
    Usage { name, arguments, about, read: Read::Op(read) }
}

const fn mixing(name: &'static str, about: &'static str, read: fn(&mut Words<'_>) -> Result<Mixing, String>) -> Usage {
    Usage { name, arguments: "[ALPHA=1 [CHANCE=1]]", about, read: Read::Mixing(read) }
}

/// All ops, then the ways to mix.
pub const OPS: &[Usage] = &[
    usage("flip", "[CHANCE=0.5]", "left and right exchanged", |w| Ok(Op::Flip(w.share("CHANCE", Some(0.5))?))),
    usage("alternating-flip", "", "the other side in every other epoch", |_| Ok(Op::AlternatingFlip)),
    usage("crop", "PIXELS [zero|reflect|repeat]", "cut from anywhere in the picture padded by so much", |w| {
        Ok(Op::Crop(w.whole("PIXELS", None, 1..=1024)?, w.edge()))
    }),
    usage("translate", "SHARE", "moved by up to this share of its sides, black behind it", |w| {
        Ok(Op::Translate(w.share("SHARE", None)?))
    }),
    usage(
        "resized-crop",
        "[LEAST=0.08 [MOST=1]]",
        "a part of these shares of its area, made as large as the whole",
        |w| {
            let least = w.number("LEAST", Some(0.08), 0.001..=1.0)?;
            Ok(Op::ResizedCrop(least, w.number("MOST", Some(1.0), least..=1.0)?))
        },
    ),
    usage("rotate", "DEGREES [bilinear]", "turned by up to so many degrees either way", |w| {
        Ok(Op::Rotate(w.number("DEGREES", None, 0.0..=180.0)?, w.sampling()))
    }),
    usage(
        "affine",
        "DEGREES [SHARE=0 [LEAST=1 MOST=1 [SHEAR=0]]] [bilinear]",
        "turned, moved by a share of its sides, scaled, sheared by degrees",
        |w| {
            let degrees = w.number("DEGREES", None, 0.0..=180.0)?;
            let translate = w.share("SHARE", Some(0.0))?;
            let least = w.number("LEAST", Some(1.0), 0.01..=100.0)?;
            let most = w.number("MOST", Some(least.max(1.0)), least..=100.0)?;
            let shear = w.number("SHEAR", Some(0.0), 0.0..=89.0)?;
            Ok(Op::Affine { degrees, translate, scale: [least, most], shear, sampling: w.sampling() })
        },
    ),
    usage("perspective", "[STRENGTH=0.5 [CHANCE=0.5]]", "seen from the side", |w| {
        Ok(Op::Perspective(w.share("STRENGTH", Some(0.5))?, w.share("CHANCE", Some(0.5))?))
    }),
    usage("brightness", "SHARE", "brighter or darker by up to this share", |w| {
        Ok(Op::Brightness(w.number("SHARE", None, 0.0..=10.0)?))
    }),
    usage("contrast", "SHARE", "with more or less contrast", |w| {
        Ok(Op::Contrast(w.number("SHARE", None, 0.0..=10.0)?))
    }),
    usage("saturation", "SHARE", "with more or less colour", |w| {
        Ok(Op::Saturation(w.number("SHARE", None, 0.0..=10.0)?))
    }),
    usage("hue", "SHARE", "the circle of colours turned by up to this share of it", |w| {
        Ok(Op::Hue(w.number("SHARE", None, 0.0..=0.5)?))
    }),
    usage(
        "jitter",
        "BRIGHTNESS [CONTRAST=0 [SATURATION=0 [HUE=0]]]",
        "the four above in an order of chance, as ColorJitter",
        |w| {
            let brightness = w.number("BRIGHTNESS", None, 0.0..=10.0)?;
            let contrast = w.number("CONTRAST", Some(0.0), 0.0..=10.0)?;
            let saturation = w.number("SATURATION", Some(0.0), 0.0..=10.0)?;
            Ok(Op::Jitter([brightness, contrast, saturation, w.number("HUE", Some(0.0), 0.0..=0.5)?]))
        },
    ),
    usage("grey", "[CHANCE=0.1]", "without colour", |w| Ok(Op::Grey(w.share("CHANCE", Some(0.1))?))),
    usage(
        "blur",
        "PIXELS [LEAST=0.1 [MOST=2]]",
        "Gaussian blur over so many pixels, an odd number, of this spread",
        |w| {
            let size = w.whole("PIXELS", None, 3..=101)?;
            if size % 2 == 0 {
                return Err(format!("PIXELS is {size}, but must be an odd number"));
            }
            let least = w.number("LEAST", Some(0.1), 0.01..=100.0)?;
            Ok(Op::Blur(size, [least, w.number("MOST", Some(least.max(2.0)), least..=100.0)?]))
        },
    ),
    usage("noise", "[SPREAD=0.1]", "normal noise, its spread a share of white", |w| {
        Ok(Op::Noise(w.number("SPREAD", Some(0.1), 0.0..=10.0)?))
    }),
    usage("cutout", "PIXELS", "a square of so many pixels a side erased, its centre anywhere", |w| {
        Ok(Op::Cutout(w.whole("PIXELS", None, 1..=1024)?))
    }),
    usage("erase", "[CHANCE=0.5]", "a rectangle of 2 to 33 % of the picture erased", |w| {
        Ok(Op::Erase(w.share("CHANCE", Some(0.5))?))
    }),
    usage("trivial", "", "TrivialAugment: one change of 14 kinds, of any strength", |_| Ok(Op::Trivial)),
    usage("randaugment", "[CHANGES=2 [STRENGTH=9]]", "RandAugment: so many changes, of a strength from 0 to 30", |w| {
        Ok(Op::RandAugment(w.whole("CHANGES", Some(2), 1..=14)?, w.whole("STRENGTH", Some(9), 0..=30)?))
    }),
    usage("autoaugment", "", "AutoAugment's policy for CIFAR-10", |_| Ok(Op::AutoAugment)),
    mixing("mixup", "mixed with the image before it in the batch, its share from Beta(ALPHA, ALPHA)", |w| {
        let [alpha, chance] = w.mixing()?;
        Ok(Mixing::MixUp { alpha, chance })
    }),
    mixing("cutmix", "a rectangle of the image before it pasted in, what is left from Beta(ALPHA, ALPHA)", |w| {
        let [alpha, chance] = w.mixing()?;
        Ok(Mixing::CutMix { alpha, chance })
    }),
];

/// Why a text is no augmentation, for people: what was read, what was expected, what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl FromStr for Augmentation {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(Self::default());
        }
        let steps = text.split(',').map(str::trim).map(|words| Ok((words, Step::read(words)?)));
        let steps: Vec<(&str, Step)> = steps.collect::<Result<_, ParseError>>()?;
        in_order(text, &steps)?;
        let mut augmentation = Self::default();
        for (_, step) in steps {
            match step {
                Step::Op(op) => augmentation.ops.push(op),
                Step::Mixing(mixing) => augmentation.mixing.push(mixing),
            }
        }
        Ok(augmentation)
    }
}

/// What stands between commas.
enum Step {
    Op(Op),
    Mixing(Mixing),
}

impl Step {
    fn read(text: &str) -> Result<Self, ParseError> {
        let mut words = Words(text.split_whitespace().collect::<Vec<_>>().into_iter().peekable());
        let Some(name) = words.0.next() else {
            return Err(ParseError("an op is missing: there is a comma too many".into()));
        };
        let Some(usage) = OPS.iter().find(|usage| usage.name == name) else {
            let names: Vec<_> = OPS.iter().map(|usage| usage.name).collect();
            return Err(ParseError(format!("no augmentation is named {name}; there are {}", names.join(", "))));
        };
        let read = match usage.read {
            Read::Op(read) => read(&mut words).map(Step::Op),
            Read::Mixing(read) => read(&mut words).map(Step::Mixing),
        };
        let read = read.and_then(|step| match words.0.next() {
            Some(word) => Err(format!("nothing is known of {word} there")),
            None => Ok(step),
        });
        let written = format!("{} {}", usage.name, usage.arguments);
        read.map_err(|what| ParseError(format!("{text}: {what}\n  mend it: write {}", written.trim_end())))
    }
}

/// Whether all ops stand before the ways to mix.
fn in_order(text: &str, steps: &[(&str, Step)]) -> Result<(), ParseError> {
    let (mixing, ops): (Vec<_>, Vec<_>) = steps.iter().partition(|(_, step)| matches!(step, Step::Mixing(_)));
    let mended: Vec<&str> = ops.iter().chain(&mixing).map(|(words, _)| *words).collect();
    if mended.iter().eq(steps.iter().map(|(words, _)| words)) {
        return Ok(());
    }
    let first = mixing[0].0.split_whitespace().next().unwrap_or_default();
    let mended = mended.join(", ");
    Err(ParseError(format!(
        "{text}: {first} must come last, since it mixes pictures that are ready\n  mend it: write {mended}"
    )))
}

/// The words behind an op's name.
struct Words<'a>(std::iter::Peekable<std::vec::IntoIter<&'a str>>);

impl Words<'_> {
    /// The next word as a number within these bounds, or what is usual if there is none.
    fn number(&mut self, what: &str, usual: Option<f32>, bounds: RangeInclusive<f32>) -> Result<f32, String> {
        let is_number = |word: &&str| word.parse::<f32>().is_ok();
        let value = match (self.0.next_if(is_number), usual) {
            (Some(word), _) => word.parse().expect("it was parsed before"),
            (None, Some(usual)) => usual,
            (None, None) => {
                let arrived = self.0.peek().map_or("nothing".to_owned(), |word| format!("\"{word}\""));
                return Err(format!("{what} should be a number, but is {arrived}"));
            }
        };
        let (least, most) = bounds.clone().into_inner();
        if bounds.contains(&value) {
            Ok(value)
        } else {
            Err(format!("{what} is {value}, but goes from {least} to {most}"))
        }
    }

    fn share(&mut self, what: &str, usual: Option<f32>) -> Result<f32, String> {
        self.number(what, usual, 0.0..=1.0)
    }

    fn whole(&mut self, what: &str, usual: Option<usize>, bounds: RangeInclusive<usize>) -> Result<usize, String> {
        let number = self.number(what, usual.map(|x| x as f32), *bounds.start() as f32..=*bounds.end() as f32)?;
        if number.fract() == 0.0 { Ok(number as usize) } else { Err(format!("{what} is {number}, but must be whole")) }
    }

    /// What the share of a mixed picture is drawn by, and how often.
    fn mixing(&mut self) -> Result<[f32; 2], String> {
        Ok([self.number("ALPHA", Some(1.0), 0.01..=100.0)?, self.share("CHANCE", Some(1.0))?])
    }

    fn edge(&mut self) -> Edge {
        let edges = [("zero", Edge::Zero), ("reflect", Edge::Reflect), ("repeat", Edge::Repeat)];
        edges.into_iter().find(|(name, _)| self.0.next_if_eq(name).is_some()).map_or(Edge::Zero, |(_, edge)| edge)
    }

    fn sampling(&mut self) -> Sampling {
        if self.0.next_if_eq(&"bilinear").is_some() {
            return Sampling::Bilinear;
        }
        self.0.next_if_eq(&"nearest");
        Sampling::Nearest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_augmentation_reads_what_it_writes() {
        let text = "flip, alternating-flip, crop 4 reflect, crop 2, translate 0.1, resized-crop, resized-crop 0.5 0.9, \
                    rotate 15 bilinear, affine 10 0.1 0.9 1.1 5 bilinear, affine 3, perspective, brightness 0.4, \
                    contrast 0.4, saturation 0.4, hue 0.1, jitter 0.4 0.4 0.4 0.1, jitter 0.2, grey, blur 5, \
                    blur 3 0.5 0.7, noise, cutout 8, erase 0.25, trivial, randaugment, randaugment 3 14, autoaugment, \
                    mixup 0.2, mixup, cutmix, cutmix 0.4 0.5";
        let augmentation: Augmentation = text.parse().expect("it is right");
        assert_eq!(augmentation.to_string().parse(), Ok(augmentation.clone()));
        let names: Vec<_> = OPS.iter().filter(|usage| !text.contains(usage.name)).map(|usage| usage.name).collect();
        assert!(names.is_empty(), "{names:?} were not tried");
        assert_eq!("flip, crop 4".parse::<Augmentation>().expect("right").to_string(), "flip 0.5, crop 4");
        let mixed = "flip, mixup 0.2, cutmix 1 0.5".parse::<Augmentation>().expect("right");
        assert_eq!((mixed.ops.len(), mixed.mixing.len(), mixed.mixes()), (1, 2, true));
        assert_eq!(mixed.to_string(), "flip 0.5, mixup 0.2, cutmix 1 0.5");
        for none in ["", "none", " "] {
            assert!(none.parse::<Augmentation>().expect("right").is_none());
        }
    }

    #[test]
    fn errors_say_what_mends_them() {
        for (text, message) in [
            (
                "crop",
                "crop: PIXELS should be a number, but is nothing\n  mend it: write crop PIXELS [zero|reflect|repeat]",
            ),
            (
                "crop reflect",
                "crop reflect: PIXELS should be a number, but is \"reflect\"\n  mend it: write crop PIXELS [zero|reflect|repeat]",
            ),
            ("flip 1.5", "flip 1.5: CHANCE is 1.5, but goes from 0 to 1\n  mend it: write flip [CHANCE=0.5]"),
            ("flip NaN", "flip NaN: CHANCE is NaN, but goes from 0 to 1\n  mend it: write flip [CHANCE=0.5]"),
            (
                "crop 2.5",
                "crop 2.5: PIXELS is 2.5, but must be whole\n  mend it: write crop PIXELS [zero|reflect|repeat]",
            ),
            (
                "blur 4",
                "blur 4: PIXELS is 4, but must be an odd number\n  mend it: write blur PIXELS [LEAST=0.1 [MOST=2]]",
            ),
            ("trivial 3", "trivial 3: nothing is known of 3 there\n  mend it: write trivial"),
            ("flip,, crop 4", "an op is missing: there is a comma too many"),
            ("mixup 0", "mixup 0: ALPHA is 0, but goes from 0.01 to 100\n  mend it: write mixup [ALPHA=1 [CHANCE=1]]"),
            (
                "cutmix 1 2",
                "cutmix 1 2: CHANCE is 2, but goes from 0 to 1\n  mend it: write cutmix [ALPHA=1 [CHANCE=1]]",
            ),
            (
                "flip, mixup 0.2,crop 4, cutmix",
                "flip, mixup 0.2,crop 4, cutmix: mixup must come last, since it mixes pictures that are ready\n  \
                 mend it: write flip, crop 4, mixup 0.2, cutmix",
            ),
        ] {
            assert_eq!(
                text.parse::<Augmentation>().map_err(|error| error.to_string()),
                Err(message.to_owned()),
                "{text}"
            );
        }
        let message = "flop".parse::<Augmentation>().expect_err("there is none").to_string();
        assert!(
            message.starts_with("no augmentation is named flop; there are flip, alternating-flip, crop"),
            "{message}"
        );
    }
}
