//! The plan of the lesson's network, step by step: a change that should change nothing proves it here.
//!
//! After a change that is meant: `RENEW=1 cargo test -p lenslet --test plan`, then read the difference.

use lenslet::Shape;
use lenslet::graph::plan::{Options, Plan, check::check};
use lenslet::networks::Lesson;
use lenslet::training::training_graph;

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
