//! Images that are the same, byte for byte.
//!
//! Each image is brought to a hash of 64 bits, and those of equal hash are then compared themselves; so an answer never
//! rests on chance, and memory is two numbers an image.

use std::hash::{DefaultHasher, Hasher};

use rayon::prelude::*;

use super::Part;
use crate::Dataset;

/// The places of equal images: two or more, those to train on first, each split in its order.
pub(super) type Group = Vec<(Part, usize)>;

/// All groups of equal images, by their first place.
pub(super) fn groups(data: &Dataset) -> Vec<Group> {
    by_hash(data, |image| {
        let mut hasher = DefaultHasher::new();
        hasher.write(image);
        hasher.finish()
    })
}

fn by_hash(data: &Dataset, hash: impl Fn(&[u8]) -> u64 + Sync) -> Vec<Group> {
    let train = data.train.len();
    let place = |number: usize| if number < train { (Part::Train, number) } else { (Part::Test, number - train) };
    let image = |number: usize| {
        let (part, index) = place(number);
        part.of(data).image(index)
    };
    let all = (0..train + data.test.len()).into_par_iter();
    let mut hashes: Vec<(u64, usize)> = all.map(|number| (hash(image(number)), number)).collect();
    hashes.par_sort_unstable();
    let mut groups = vec![];
    for alike in hashes.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
        // As a rule one group; several only where different images have the same hash.
        let mut found: Vec<Vec<usize>> = vec![];
        for &(_, number) in alike {
            match found.iter_mut().find(|group| image(group[0]) == image(number)) {
                Some(group) => group.push(number),
                None => found.push(vec![number]),
            }
        }
        groups.extend(found.into_iter().filter(|group| group.len() > 1));
    }
    groups.sort_unstable();
    groups.into_iter().map(|group| group.into_iter().map(place).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Split;

    /// `train` and `test` images of one pixel.
    fn data(train: &[u8], test: &[u8]) -> Dataset {
        let split = |pixels: &[u8]| Split { images: pixels.to_vec().into(), labels: vec![0; pixels.len()] };
        let (train, test) = (split(train), split(test));
        Dataset { name: "dots".into(), classes: vec!["dot".into()], channels: 1, height: 1, width: 1, train, test }
    }

    #[test]
    fn equal_images_are_found_in_both_splits() {
        use Part::{Test, Train};
        let found = groups(&data(&[7, 1, 7, 2, 7], &[3, 2, 7]));
        assert_eq!(
            found,
            [vec![(Train, 0), (Train, 2), (Train, 4), (Test, 2)], vec![(Train, 3), (Test, 1)]],
            "7 stands four times, 2 in both, 1 and 3 once"
        );
    }

    #[test]
    fn the_hash_decides_nothing() {
        let data = data(&[7, 1, 7, 2, 9], &[3, 2, 7]);
        let expected = groups(&data);
        // The worst hash, and one that is equal for even and for odd images.
        assert_eq!(by_hash(&data, |_| 0), expected);
        assert_eq!(by_hash(&data, |image| u64::from(image[0] % 2)), expected);
    }
}
