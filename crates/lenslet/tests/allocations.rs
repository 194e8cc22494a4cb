//! A training step allocates nothing, once its batch size has been seen; and the first takes what was reckoned.

use lenslet::cpu::Feed;
use lenslet::networks::{Lesson, ResNet20};
use lenslet::prelude::*;
use lenslet::rehearsal::Memory;
use lenslet::{Settings, Shape, Trainer};

/// Any image will do.
struct Grey;

impl Feed for Grey {
    fn fill(&self, input: usize, image: usize, values: &mut [f32]) {
        values.fill(if input == 0 { image as f32 / 10.0 } else { (image % 10) as f32 });
    }
}

#[test]
fn a_step_allocates_nothing() {
    for (name, network) in [("lesson", &Lesson::new() as &dyn Network), ("resnet20", &ResNet20::new())] {
        // With one thread all work is done, and counted, on this one.
        let settings = Settings { clip: Some(1.0), ..Settings::default() };
        let mut trainer = Trainer::new(network, Shape::image(3, 32, 32), 10, settings, 1).expect("the sizes fit");
        for batch in [10, 3] {
            let mut step = || trainer.step(&Grey, batch, 0.01).expect("the loss is a number");
            step();
            let counted = allocation_counter::measure(|| {
                step();
                step();
            });
            assert_eq!(counted.count_total, 0, "{name}, {batch} images");
        }
    }
}

/// What plans are said to take, against what the first steps of their batch sizes take.
#[test]
fn memory_is_what_was_reckoned() {
    for (name, network) in [("lesson", &Lesson::new() as &dyn Network), ("resnet20", &ResNet20::new())] {
        let mut trainer =
            Trainer::new(network, Shape::image(3, 32, 32), 10, Settings::default(), 1).expect("the sizes fit");
        // 100 images in batches of 64: 64 and 36.
        let reckoned = Memory::new(&trainer, 64, 100, 0).training as f64;
        let counted = allocation_counter::measure(|| {
            for batch in [64, 36] {
                trainer.step(&Grey, batch, 0.01).expect("the loss is a number");
            }
        });
        let kept = counted.bytes_current as f64;
        // Beside the numbers there are tables, which are small.
        assert!((1.0..1.1).contains(&(kept / reckoned)), "{name}: {kept} bytes, reckoned {reckoned}");
    }
}
