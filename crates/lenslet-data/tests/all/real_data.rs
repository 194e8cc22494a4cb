//! The whole of CIFAR-10 and MNIST, where they lie beside the repository; a clone on its own passes without.
use super::Folder;
use lenslet_data::{Dataset, Split, Survey, load};
use std::path::{Path, PathBuf};
use std::process::Command;

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

/// Every layout that `make_cifar10.py` writes, where there is a Python with its packages (PYTHON says which).
#[test]
fn cifar10_in_every_layout() {
    let Some(path) = data("cifar10") else { return };
    let python = std::env::var("PYTHON").unwrap_or("python3".into());
    let has = Command::new(&python).args(["-c", "import numpy, pyarrow, PIL"]).output();
    if !has.is_ok_and(|ran| ran.status.success()) {
        println!("skipped: no {python} with numpy, pyarrow and pillow");
        return;
    }
    let parquet = load(path.to_str().unwrap()).unwrap();
    let same = |path: &str| {
        let data = load(path).unwrap_or_else(|error| panic!("{error}"));
        assert!(data.train == parquet.train && data.test == parquet.test, "{path}");
        assert_eq!(data.classes, parquet.classes, "{path}");
    };
    let folder = Folder::new("cifar10-layouts");
    for kind in ["tar", "folder"] {
        let script = path.with_file_name("make_cifar10.py");
        let ran = Command::new(&python).arg(script).arg(kind).arg(folder.0.join(kind)).status().unwrap();
        assert!(ran.success(), "make_cifar10.py {kind}");
    }
    // Packed and unpacked in one folder, each of them, and the archives alone.
    let tar = folder.0.join("tar");
    for name in ["", "cifar-10-batches-py", "cifar-10-batches-bin", "cifar-10-python.tar.gz", "cifar-10-binary.tar.gz"]
    {
        same(tar.join(name).to_str().unwrap());
    }
    for name in ["cifar-10-batches-py", "cifar-10-batches-bin"] {
        std::fs::remove_dir_all(tar.join(name)).unwrap();
    }
    same(tar.to_str().unwrap());
    // The names of the files do not tell the official order; training takes that of the contents.
    let data = load(folder.0.join("folder").to_str().unwrap()).unwrap();
    assert_eq!(data.classes, parquet.classes);
    for (folder, parquet) in [(&data.train, &parquet.train), (&data.test, &parquet.test)] {
        assert!(by_content(folder).eq(by_content(parquet)));
    }
    let by_class = |data: &Dataset| data.train.labels.is_sorted();
    assert!(by_class(&data) && !by_class(&parquet));
}

fn by_content(split: &Split) -> impl Iterator<Item = (u32, &[u8])> {
    split.by_content().iter().map(|&i| (split.labels[i as usize], split.image(i as usize)))
}
