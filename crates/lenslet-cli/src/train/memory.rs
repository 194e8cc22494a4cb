//! Whether there is memory for a training, before it takes any: a program that asks for more than there is gets no answer to
//! catch, it is ended.

use lenslet::Trainer;
use lenslet::data::Dataset;
use lenslet::rehearsal::Memory;

use crate::output::bytes;

/// What training in batches of `batch` takes beside the data.
pub(super) fn needed(trainer: &Trainer, data: &Dataset, batch: usize) -> Memory {
    Memory::new(trainer, batch, data.train.len(), data.test.len())
}

/// Why `free` bytes are too few for `total`, which batches of `batch` take, and what would do; nothing if they are enough.
pub(super) fn lacking(trainer: &Trainer, data: &Dataset, batch: usize, total: u64, free: u64) -> Option<String> {
    if total <= free {
        return None;
    }
    let halves = std::iter::successors(Some(batch / 2), |batch| Some(batch / 2)).take_while(|&batch| batch > 0);
    let fitting = halves.map(|batch| (batch, needed(trainer, data, batch).total())).find(|&(_, total)| total <= free);
    let advice = match fitting {
        Some((batch, total)) => format!("a smaller batch: --batch {batch} takes {}", bytes(total)),
        None => "a smaller network or --input, or a machine with more memory".to_owned(),
    };
    let (total, free) = (bytes(total), bytes(free));
    Some(format!("training takes {total} of memory beside the data, but {free} are free\n  mend it: {advice}"))
}

#[cfg(test)]
mod tests {
    use lenslet::data::load;
    use lenslet::networks::Lesson;
    use lenslet::{Settings, Shape};

    use super::*;

    #[test]
    fn the_largest_batch_that_fits_is_advised() {
        let data = load("shapes").expect("shapes needs no file");
        let trainer = Trainer::new(&Lesson::new(), Shape::image(3, 32, 32), 10, Settings::default(), 1);
        let trainer = trainer.expect("the sizes fit");
        let total = |batch| needed(&trainer, &data, batch).total();
        assert_eq!(lacking(&trainer, &data, 64, total(64), total(64)), None);
        let advice = |free| lacking(&trainer, &data, 64, total(64), free).expect("it is too little");
        assert!(advice(total(32)).contains("mend it: a smaller batch: --batch 32 takes"), "{}", advice(total(32)));
        assert!(advice(1000).ends_with("mend it: a smaller network or --input, or a machine with more memory"));
    }
}
