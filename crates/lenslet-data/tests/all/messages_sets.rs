//! The messages for idx files, `.npz`, CIFAR-100 and archives, word for word.
use super::{Folder, fixtures, read};
use lenslet_data::load;

/// The message of loading a path, in which `path` stands as DATA.
fn message(what: &str, path: &str) -> String {
    load(what).expect_err(what).to_string().replace(path, "DATA")
}

/// The data set `idx` with one file changed.
fn idx(file: &str, bytes: &[u8]) -> Folder {
    let names = [
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ];
    let folder =
        names.iter().fold(Folder::new("idx-messages"), |f, name| f.with(name, &read(&format!("sets/idx/{name}"))));
    folder.write(file, bytes);
    folder
}

#[test]
fn idx_files() {
    let [images, labels] =
        ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"].map(|name| read(&format!("sets/idx/{name}")));
    let check = |file: &str, bytes: &[u8], expected: &str| {
        let folder = idx(file, bytes);
        assert_eq!(message(folder.path(), folder.path()), expected);
    };
    check(
        "t10k-images-idx3-ubyte",
        &images[..30],
        "DATA/t10k-images-idx3-ubyte, byte 16: expected the 3×2×3 values that the header announces, found 14 bytes; the file is damaged or cut off: fetch or write it again",
    );
    check(
        "t10k-images-idx3-ubyte",
        &labels,
        "DATA/t10k-images-idx3-ubyte: expected an idx file of 3 dimensions, found 11 bytes that begin with \"00 00 08 01\"; the file is damaged or cut off: fetch or write it again",
    );
    check(
        "t10k-labels-idx1-ubyte",
        &[&[0, 0, 8, 1, 0, 0, 0, 2][..], &[0, 1]].concat(),
        "DATA/t10k-labels-idx1-ubyte: expected 3 labels, as there are pictures in `t10k-images-idx3-ubyte`, found 2; fetch both files again: they do not belong together",
    );
    check(
        "t10k-images-idx3-ubyte",
        &[&[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2][..], &[0; 6]].concat(),
        "DATA/t10k-images-idx3-ubyte: expected pictures of 2×3 like those of train-images-idx3-ubyte.gz, found 1×2; give files that belong to one data set",
    );
    check(
        "t10k-labels-idx1-ubyte",
        &[0, 0, 13, 1, 0, 0, 0, 0],
        "DATA/t10k-labels-idx1-ubyte: expected an idx file of bytes (type 08) in 1 dimensions, found type 0d in 1; give the files as they come from their authors",
    );
    let packed = read("sets/idx/train-images-idx3-ubyte.gz");
    let folder = idx("train-images-idx3-ubyte.gz", &packed[..40]);
    let text = message(folder.path(), folder.path());
    assert!(text.starts_with("DATA/train-images-idx3-ubyte.gz: expected a gzip file, found \""), "{text}");
    let folder = idx("x", b"");
    std::fs::remove_file(folder.0.join("t10k-labels-idx1-ubyte")).unwrap();
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA: expected the file `t10k-labels-idx1-ubyte`, gzipped or not, found t10k-images-idx3-ubyte, train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, x; fetch all four files of the data set, and keep their names"
    );
}

/// Of one class there is nothing to learn, whatever the format.
#[test]
fn one_class_alone() {
    let folder = Folder::new("idx-one");
    for split in ["train", "t10k"] {
        folder.write(&format!("{split}-images-idx3-ubyte"), &read("sets/idx/t10k-images-idx3-ubyte"));
        folder.write(&format!("{split}-labels-idx1-ubyte"), &[0, 0, 8, 1, 0, 0, 0, 3, 0, 0, 0]);
    }
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA: expected labels of at least two classes, found 0; give the pictures of each class a label of its own"
    );
}

/// A name that says Fashion-MNIST has ten classes.
#[test]
fn a_label_that_no_class_has() {
    let folder = Folder::new("idx-label");
    for split in ["train", "t10k"] {
        folder.write(&format!("fashion/{split}-images-idx3-ubyte"), &read("sets/idx/t10k-images-idx3-ubyte"));
        folder.write(&format!("fashion/{split}-labels-idx1-ubyte"), &[0, 0, 8, 1, 0, 0, 0, 3, 0, 9, 10]);
    }
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA/fashion/train-labels-idx1-ubyte, row 2 (counted from 0): expected a label from 0 to 9 (10 classes), found 10; number the classes from 0, or name them all where the format lists their names"
    );
}

#[test]
fn several_data_sets_in_one_folder() {
    let folder = Folder::new("emnist-all");
    for split in ["letters", "digits"] {
        folder.write(&format!("gzip/emnist-{split}-train-images-idx3-ubyte.gz"), b"");
        folder.write(&format!("gzip/emnist-{split}-train-labels-idx1-ubyte.gz"), b"");
    }
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA: expected one data set, found 2 of them (DATA/gzip/emnist-digits-train-images-idx3-ubyte.gz, DATA/gzip/emnist-letters-train-images-idx3-ubyte.gz); give one of them, such as DATA/gzip/emnist-digits-train-images-idx3-ubyte.gz"
    );
    let folder = Folder::new("archives").with("a.tar.gz", b"").with("b.tar", b"");
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA: expected one data set, found 2 archives (DATA/a.tar.gz, DATA/b.tar); give one of them, such as DATA/a.tar.gz"
    );
}

#[test]
fn npz() {
    for (name, expected) in [
        (
            "floats",
            "expected `x_train` of type uint8, found float64; convert them first: (x_train * 255).round().astype('uint8') if they are from 0 to 1",
        ),
        (
            "wide",
            "expected `x_train` of type uint8, found int64; convert them first: x_train.astype('uint8'), if all values are from 0 to 255",
        ),
        (
            "one_hot",
            "expected `y_train` of shape N or N×1, found 2×2; if each row marks one class, write y_train.argmax(axis=1)",
        ),
        (
            "float_labels",
            "expected `y_train` of whole numbers, found float64; convert them first: y_train.astype('int64'), if they are whole numbers",
        ),
        (
            "counts",
            "expected 2 labels in `y_train`, as there are pictures in `x_train`, found 3; write one label for each picture",
        ),
        (
            "fortran",
            "expected values in C's order (write np.ascontiguousarray(…)) in `x_train`, found Fortran's order; write pictures with .astype('uint8') and labels with .astype('int64')",
        ),
        (
            "objects",
            "expected values of a plain type in `y_train`, found |O; write pictures with .astype('uint8') and labels with .astype('int64')",
        ),
        (
            "text_labels",
            "expected values of a plain type in `y_train`, found <U3; write pictures with .astype('uint8') and labels with .astype('int64')",
        ),
        (
            "alpha",
            "expected `x_train` of shape N×H×W, N×H×W×C or N×C×H×W with 1 or 3 channels, found 2×2×2×4; bring the array into one of these shapes (a channel for transparency can be left out)",
        ),
        (
            "unnamed",
            "expected arrays named x_train, y_train, x_test, y_test (or train_images, train_labels, …, or images, labels), found arr_0, arr_1; write the file with these names: np.savez(file, x_train=…, y_train=…, x_test=…, y_test=…)",
        ),
    ] {
        let path = fixtures().join(format!("sets/npz/refused/{name}.npz"));
        let path = path.to_str().unwrap();
        assert_eq!(message(path, path), format!("DATA: {expected}"));
    }
    let path = fixtures().join("sets/npz/refused/negative.npz");
    assert_eq!(
        message(path.to_str().unwrap(), path.to_str().unwrap()),
        "DATA, row 1 (counted from 0): expected a label from 0 to 999 (1000 classes), found -1; number the classes from 0, or name them all where the format lists their names"
    );
    let folder = Folder::new("no-zip").with("data.npz", b"PK no zip");
    let text = message(folder.path(), folder.path());
    assert!(text.starts_with("DATA/data.npz: expected an .npz file, found \""), "{text}");
}

#[test]
fn cifar_100_and_archives() {
    let folder = Folder::new("cifar-100-messages")
        .with("train", &read("sets/cifar100/train"))
        .with("meta", &read("sets/cifar100/meta"));
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA: expected the batch `test`, found meta, train; unpack the archive again, all of its files"
    );
    folder.write("test", &read("pickles/python2"));
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA/test: expected a dictionary with a list `fine_labels`, found a pickle without; give the folder of CIFAR-10 or CIFAR-100 as it comes from the archive"
    );
    let packed = read("sets/cifar-100-python.tar.gz");
    let folder = Folder::new("cut-archive").with("cifar-100-python.tar.gz", &packed[..packed.len() - 100]);
    let text = message(folder.path(), folder.path());
    assert!(
        text.starts_with("DATA/cifar-100-python.tar.gz") && text.contains("expected a tar archive, found \""),
        "{text}"
    );
    // What is wrong within is named with the archive.
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    tar.append_data(&mut header.clone(), "cifar/train.bin", &b"short"[..]).unwrap();
    tar.append_data(&mut header, "cifar/test.bin", &b"short"[..]).unwrap();
    let folder = Folder::new("bad-member").with("c100.tar", &tar.into_inner().unwrap());
    assert_eq!(
        message(folder.path(), folder.path()),
        "DATA/c100.tar/cifar/train.bin, byte 5: expected records of 3074 bytes, found 0 of them and 5 bytes; the file is damaged or cut off: fetch or write it again"
    );
}
