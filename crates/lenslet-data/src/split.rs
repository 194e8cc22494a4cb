//! Which pictures are to learn from and which to be tested on: by the words in names, or, where a data set is not divided,
//! by a draw.
//!
//! *Invariant:* the draw takes a fifth of each class, at least one picture, and is a function of the pictures' order
//! alone: the same on every machine, whatever is done with the data later.
use crate::error::{Fault, Kind};
use crate::load::Options;
use crate::store::Store;
use crate::{Dataset, Split};

/// What a part of a data set is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Train,
    Test,
    /// For choosing settings; tested on where there is no `Test`.
    Validation,
}

impl Part {
    pub(crate) const NAMES: [(&str, Self); 10] = [
        ("train", Self::Train),
        ("training", Self::Train),
        ("test", Self::Test),
        ("testing", Self::Test),
        ("t10k", Self::Test),
        ("validation", Self::Validation),
        ("valid", Self::Validation),
        ("val", Self::Validation),
        ("dev", Self::Validation),
        ("eval", Self::Validation),
    ];

    /// The part that a name speaks of in one of its words: `train-00000-of-00001.parquet`, `x_train`, `Test`.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let words = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
        words.into_iter().find_map(|word| Self::NAMES.iter().find(|(name, _)| *name == word).map(|&(_, part)| part))
    }
}

/// So that another draw would be another data set.
const SEED: u64 = 0x6C65_6E73;
/// One picture of so many is tested on.
const SHARE: usize = 5;

/// The note for people.
pub(crate) const NOTE: &str =
    "the data set is not divided: a fifth of each class, always the same pictures, is kept to be tested on";

/// Which pictures, by their labels in order, are to be tested on; or the class that has too few.
pub(crate) fn draw(labels: &[u32], classes: usize) -> Result<Vec<bool>, u32> {
    let mut members = vec![Vec::new(); classes];
    for (i, &label) in (0_u32..).zip(labels) {
        members[label as usize].push(i);
    }
    let mut tested = vec![false; labels.len()];
    for (class, members) in (0..).zip(&members) {
        if members.len() == 1 {
            return Err(class);
        }
        let count = ((members.len() + SHARE / 2) / SHARE).max(1).min(members.len());
        let mut order = vec![0; members.len()];
        lenslet_rng::shuffle(&mut order, SEED, class.into());
        order[..count].iter().for_each(|&i| tested[members[i as usize] as usize] = true);
    }
    Ok(tested)
}

/// The error for a class of one picture.
pub(crate) fn too_few(class: &str) -> Fault {
    let expected = "at least two pictures of each class, one of them to be tested on";
    let fix = "add pictures of that class, or divide the data set yourself (train and test)";
    Fault::new(Kind::Missing, expected, format!("one of `{class}`"), fix)
}

/// Divides a data set that has all its pictures in `train`.
pub(crate) fn divide(data: Dataset, options: &Options) -> Result<Dataset, Fault> {
    let tested =
        draw(&data.train.labels, data.classes.len()).map_err(|class| too_few(&data.classes[class as usize]))?;
    let part = |wanted: bool| {
        let chosen = || (0..data.train.len()).filter(|&i| tested[i] == wanted);
        let mut images = Store::new(options);
        images.reserve(chosen().count() * data.channels * data.height * data.width)?;
        chosen().try_for_each(|i| images.extend(data.train.image(i)))?;
        let labels = chosen().map(|i| data.train.labels[i]).collect();
        Ok(Split { images: images.into_pixels()?, labels })
    };
    let (train, test) = (part(false)?, part(true)?);
    Ok(Dataset { train, test, ..data })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_each_class_is_drawn_and_never_all() {
        let labels: Vec<u32> = [vec![0; 10], vec![1; 2], vec![2; 13], vec![4; 7]].concat();
        let tested = draw(&labels, 5).unwrap();
        let count =
            |class: u32| labels.iter().zip(&tested).filter(|(label, tested)| **label == class && **tested).count();
        assert_eq!([0, 1, 2, 3, 4].map(count), [2, 1, 3, 0, 1]);
        // Another class more or less changes nothing for the others.
        assert_eq!(draw(&labels[..12], 2).unwrap(), tested[..12]);
        assert_eq!(draw(&[0, 1, 1], 2), Err(0));
    }

    #[test]
    fn words_of_names() {
        for (name, part) in [
            ("train-00000-of-00001.parquet", Some(Part::Train)),
            ("x_train", Some(Part::Train)),
            ("VAL", Some(Part::Validation)),
            ("emnist-letters-test", Some(Part::Test)),
            ("trainer", None),
            ("images", None),
        ] {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }
}
