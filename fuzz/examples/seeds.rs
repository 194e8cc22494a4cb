//! Writes the seeds of `checkpoint` and `state`: `cargo run --example seeds`.
use lenslet::Normalization;
use lenslet::checkpoint::{Description, save};
use lenslet::state::Record;

fn main() -> Result<(), lenslet::Error> {
    let trainer = lenslet_fuzz::trainer();
    let description = Description {
        version: "0".into(),
        network: "tiny".into(),
        input: [1, 2, 2],
        classes: vec!["a".into(), "b".into()],
        normalization: Normalization::half(1),
        data: "data".into(),
        epoch: 1,
        test_accuracy: Some(0.5),
        filter: Default::default(),
    };
    for folder in ["corpus/checkpoint", "corpus/state"] {
        std::fs::create_dir_all(folder).expect("there is room");
    }
    save("corpus/checkpoint/tiny".as_ref(), &description, trainer.weights())?;
    trainer.save_state("corpus/state/tiny".as_ref(), &Record::default())
}
