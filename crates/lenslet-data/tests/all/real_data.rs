//! The whole of CIFAR-10 and MNIST, where they lie beside the repository; a clone on its own passes without.
use lenslet_data::{Survey, load};
use std::path::{Path, PathBuf};

fn data(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !path.is_dir() {
        println!("skipped: no {} beside the repository", path.display());
        return None;
    }
    Some(path)
}

/// Position-dependent sums over all labels and pixels, as `sum((i % 251 + 1) * v[i])` in NumPy gives them.
fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.zip(0_u64..).map(|(value, i)| (i % 251 + 1) * value).sum()
}

#[test]
fn cifar10_is_pyarrows() {
    let Some(path) = data("cifar10") else { return };
    let data = load(path.to_str().unwrap()).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (50_000, 10_000));
    assert_eq!((data.channels, data.height, data.width), (3, 32, 32));
    assert_eq!((data.classes[0].as_str(), data.classes[9].as_str()), ("airplane", "truck"));
    // The first labels of the official data_batch_1 and test_batch.
    assert_eq!(data.train.labels[..5], [6, 9, 9, 4, 1]);
    assert_eq!(data.test.labels[..5], [3, 8, 8, 0, 6]);
    let labels = |labels: &[u32]| sum(labels.iter().map(|&label| label.into()));
    let pixels = |images: &[u8]| sum(images.iter().map(|&pixel| pixel.into()));
    assert_eq!((labels(&data.train.labels), labels(&data.test.labels)), (28_320_650, 5_672_412));
    assert_eq!((pixels(&data.train.images), pixels(&data.test.images)), (2_335_889_171_664, 470_360_448_531));
}

#[test]
fn mnist_is_pyarrows() {
    let Some(path) = data("mnist") else { return };
    let data = load(path.to_str().unwrap()).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (60_000, 10_000));
    assert_eq!((data.channels, data.height, data.width), (1, 28, 28));
    let labels = |labels: &[u32]| sum(labels.iter().map(|&label| label.into()));
    let pixels = |images: &[u8]| sum(images.iter().map(|&pixel| pixel.into()));
    assert_eq!((labels(&data.train.labels), labels(&data.test.labels)), (33_641_774, 5_595_714));
    assert_eq!((pixels(&data.train.images), pixels(&data.test.images)), (197_630_935_934, 33_411_446_012));
}

/// `tests/fixtures/survey.py` printed these: mean and standard deviation of each channel, and no image that occurs twice
/// or shows a single colour.
#[test]
fn surveys_are_numpys() {
    let near = |ours: &[f64], numpys: &[f64]| ours.iter().zip(numpys).all(|(a, b)| (a - b).abs() < 1e-9);
    if let Some(path) = data("cifar10") {
        let survey = Survey::new(&load(path.to_str().unwrap()).unwrap());
        assert_eq!((survey.train, survey.test), (vec![5_000; 10], vec![1_000; 10]));
        assert!(near(&survey.mean, &[0.4913996786, 0.4821584084, 0.4465309145]), "{:?}", survey.mean);
        assert!(near(&survey.std, &[0.2470322325, 0.2434851280, 0.2615878417]), "{:?}", survey.std);
        assert_eq!(survey.warnings, []);
    }
    if let Some(path) = data("mnist") {
        let survey = Survey::new(&load(path.to_str().unwrap()).unwrap());
        assert_eq!(survey.train, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]);
        assert_eq!(survey.test, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
        assert!(near(&survey.mean, &[0.1306604763]) && near(&survey.std, &[0.3081078039]), "{survey:?}");
        assert_eq!(survey.warnings, []);
    }
}
