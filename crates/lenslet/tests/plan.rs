//! Plans: the lesson's, step by step, so that a change that should change nothing proves it here; what is done once only.
//!
//! After a change that is meant: `RENEW=1 cargo test -p lenslet --test plan`, then read the difference.

use std::time::Duration;

use lenslet::cpu::{Executor, Feed, Pool, Version, options};
use lenslet::graph::Graph;
use lenslet::graph::plan::{Kernel, Options, Plan, Step, check::check};
use lenslet::networks::{Lesson, by_name};
use lenslet::training::training_graph;
use lenslet::{Inference, Shape, Weights};

#[test]
fn the_lessons_plan_is_as_expected() {
    let graph = training_graph(&Lesson::new(), Shape::image(3, 32, 32), 10, 0.0).expect("the sizes fit");
    let plan = Plan::new(&graph, Options::new(64, 8));
    assert_eq!(check(&plan), Ok(()));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lesson_plan.txt");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(path, plan.to_string()).expect("the expected plan can be written");
    }
    let expected = std::fs::read_to_string(path).expect("the expected plan is in the repository");
    assert!(plan.to_string() == expected, "the plan is now\n{plan}\nbut was expected as in {path}");
}

/// Black images.
struct Black;

impl Feed for Black {
    fn fill(&self, _: usize, _: usize, values: &mut [f32]) {
        values.fill(0.0);
    }
}

#[test]
fn weights_are_made_ready_once_for_all_answers() {
    let network = by_name("resnet18", [3, 32, 32], 10).expect("it is built in");
    let inference = Inference::new(&*network, Shape::image(3, 32, 32), 10).expect("the sizes fit");
    let weights = Weights::new(inference.graph(), 0);
    for batch in [1, 16] {
        let mut executor = Executor::planned(inference.graph(), options(inference.graph(), batch), 1);
        let (mut pool, version) = (Pool::new(1), Version::new());
        let mut spent = || {
            executor.set_timed(true);
            executor.run_version(&mut pool, weights.all(), version, &Black, 0, 0);
            let ready = |step: &Step| matches!(step.kernel, Kernel::Pack(_) | Kernel::WinogradWeights(_));
            executor.times().filter(|(step, _)| ready(step)).map(|(_, time)| time).sum::<Duration>()
        };
        assert!(spent() > Duration::ZERO, "batch {batch}");
        assert_eq!(spent(), Duration::ZERO, "batch {batch}");
    }
}

/// How many images are learnt from, or answered, one by one: what was measured to be the fastest on two threads.
#[test]
fn few_images_go_one_by_one() {
    let by_one = |graph: &Graph| (1..=64).take_while(|&batch| options(graph, batch).lanes == 1).count();
    for (name, training, inference) in [("lesson", 8, 16), ("resnet18", 6, 16)] {
        let network = by_name(name, [3, 32, 32], 10).expect("it is built in");
        let image = Shape::image(3, 32, 32);
        let graph = training_graph(&*network, image, 10, 0.0).expect("the sizes fit");
        assert_eq!(by_one(&graph), training, "{name}");
        let answers = Inference::new(&*network, image, 10).expect("the sizes fit");
        assert_eq!(by_one(answers.graph()), inference, "{name}");
        assert!((inference + 1..=64).all(|batch| options(answers.graph(), batch).lanes > 1), "{name}");
    }
}
