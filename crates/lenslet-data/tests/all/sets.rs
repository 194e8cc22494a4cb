//! idx files, `.npz` and CIFAR-100, packed and not: what NumPy wrote is what is read.
use super::{Folder, bytes, fixtures, number, read};
use lenslet_data::{Dataset, Loaded, Options, load, load_with};
use serde_json::Value;

/// What NumPy holds of a data set.
fn expected(name: &str) -> Value {
    serde_json::from_slice::<Value>(&read("sets.json")).unwrap()[name].take()
}

fn check(data: &Dataset, name: &str) {
    let expected = expected(name);
    let size: Vec<_> = expected["size"].as_array().unwrap().iter().map(number).collect();
    assert_eq!([data.channels, data.height, data.width], size[..], "{name}");
    for (split, part) in [(&data.train, "train"), (&data.test, "test")] {
        let labels: Vec<_> = expected[part]["labels"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(split.labels.iter().map(|&label| label as usize).collect::<Vec<_>>(), labels, "{name}, {part}");
        assert_eq!(split.images, bytes(&expected[part]["images"]), "{name}, {part}");
    }
}

fn load_fixture(name: &str) -> Loaded {
    load_with(fixtures().join("sets").join(name).to_str().unwrap(), &Options::default()).unwrap()
}

#[test]
fn idx_files_gzipped_or_not() {
    let Loaded { data, notes, .. } = load_fixture("idx");
    check(&data, "idx");
    assert_eq!((data.classes.join(" ").as_str(), notes.len()), ("0 1 2", 0));
    // Any of the four files stands for all.
    assert_eq!(load_fixture("idx/t10k-labels-idx1-ubyte").data, data);
}

/// The names with a dot instead of a dash; where a file is there in both forms, the packed one is not looked at.
#[test]
fn idx_files_under_other_names() {
    let folder = Folder::new("idx-names").with("raw/train-images-idx3-ubyte", &read("sets/idx/t10k-images-idx3-ubyte"));
    folder.write("raw/train-images-idx3-ubyte.gz", b"no gzip");
    folder.write("raw/train-labels.idx1-ubyte", &read("sets/idx/t10k-labels-idx1-ubyte"));
    folder.write("raw/t10k-images.idx3-ubyte", &read("sets/idx/t10k-images-idx3-ubyte"));
    folder.write("raw/t10k-labels.idx1-ubyte", &read("sets/idx/t10k-labels-idx1-ubyte"));
    let data = load(folder.path()).unwrap();
    assert_eq!((&data.train, data.test.labels.as_slice()), (&data.test, &[0, 1, 2][..]));
    assert_eq!(data.name, folder.0.file_name().unwrap().to_str().unwrap());
}

#[test]
fn fashion_and_kuzushiji_are_known_by_their_folders() {
    for (name, first) in [("FashionMNIST", "T-shirt/top"), ("kmnist", "o")] {
        let folder = Folder::new(&format!("idx-{name}"));
        for file in [
            "train-images-idx3-ubyte.gz",
            "train-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte",
            "t10k-labels-idx1-ubyte",
        ] {
            folder.write(&format!("{name}/raw/{file}"), &read(&format!("sets/idx/{file}")));
        }
        let data = load(folder.path()).unwrap();
        assert_eq!((data.classes.len(), data.classes[0].as_str(), data.name.as_str()), (10, first, name));
    }
}

#[test]
fn emnist_letters_begin_at_one() {
    let Loaded { data, notes, .. } = load_fixture("emnist");
    check(&data, "emnist");
    assert_eq!((data.name.as_str(), data.classes.join(" ").as_str()), ("emnist-letters", "A B C"));
    assert_eq!(load_fixture("emnist/emnist-letters-train-images-idx3-ubyte.gz").data, data);
    assert_eq!(
        notes,
        [
            "the labels begin at 1 in the files and at 0 here",
            "EMNIST's pictures are stored with rows and columns exchanged and are used so, as in torchvision"
        ]
    );
}

#[test]
fn npz_by_every_convention() {
    for name in ["keras", "medmnist", "planes"] {
        let loaded = load_fixture(&format!("npz/{name}.npz"));
        check(&loaded.data, &format!("npz/{name}.npz"));
        assert_eq!((loaded.data.name.as_str(), loaded.notes.len()), (name, 0));
    }
    let folder = Folder::new("npz").with("pictures.npz", &read("sets/npz/keras.npz"));
    check(&load(folder.path()).unwrap(), "npz/keras.npz");
}

#[test]
fn an_npz_that_is_not_divided_is_divided_by_class() {
    let Loaded { data, notes, .. } = load_fixture("npz/whole.npz");
    let mut tested = data.test.labels.clone();
    tested.sort_unstable();
    assert_eq!((data.train.len(), tested), (8, vec![0, 1]));
    assert_eq!(
        notes,
        ["the data set is not divided: a fifth of each class, always the same pictures, is kept to be tested on"]
    );
    assert_eq!(load_fixture("npz/whole.npz").data, data);
}

#[test]
fn cifar_100_in_all_its_forms() {
    for name in ["cifar100", "cifar-100-python.tar.gz", "cifar-100-binary.tar.gz"] {
        let Loaded { data, notes, .. } = load_fixture(name);
        check(&data, "cifar100");
        let classes = &expected("cifar100")["classes"];
        assert_eq!((Value::from(data.classes), notes.len()), (classes.clone(), 0), "{name}");
    }
}

/// Both archives as one downloads them, then beside what was unpacked.
#[test]
fn several_forms_of_one_data_set() {
    let folder = ["python", "binary"].iter().fold(Folder::new("forms"), |folder, version| {
        let name = format!("cifar-100-{version}.tar.gz");
        folder.with(&name, &read(&format!("sets/{name}")))
    });
    let notes = |folder: &Folder| {
        let Loaded { data, notes, .. } = load_with(folder.path(), &Options::default()).unwrap();
        check(&data, "cifar100");
        notes.join("; ").replace(folder.path(), "DATA")
    };
    let taken = "the same data set is there in 2 forms; taken was DATA/cifar-100-python.tar.gz, not DATA/cifar-100-binary.tar.gz";
    assert_eq!(notes(&folder), taken);
    for file in ["train", "test", "meta"] {
        folder.write(&format!("cifar-100-python/{file}"), &read(&format!("sets/cifar100/{file}")));
    }
    assert_eq!(notes(&folder), "");
}

/// Shards may lie in folders: for all, for a configuration, for each split.
#[test]
fn parquet_in_every_layout() {
    let shard = read("parquet/named/test-00000-of-00001.parquet");
    let plain = Folder::new("plain").with("train.parquet", &shard).with("validation.parquet", &shard);
    let plain = load(plain.path()).unwrap();
    for layout in [
        ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet"],
        ["plain_text/train-00000-of-00001.parquet", "plain_text/validation-00000-of-00001.parquet"],
        ["default/train/0000.parquet", "default/validation/0000.parquet"],
        ["train/0000.parquet", "test/0000.parquet"],
    ] {
        let folder = Folder::new("layout").with("README.md", b"").with(layout[0], &shard).with(layout[1], &shard);
        let data = load(folder.path()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&data.train, &data.test), (&plain.train, &plain.test), "{layout:?}");
        assert_eq!(data.classes.join(" "), "cat dog owl");
    }
}

#[test]
fn parquet_without_a_split_is_divided() {
    let grey = [0, 1, 2].map(|i| read(&format!("parquet/grey/train-0000{i}-of-00003.parquet")));
    let folder = Folder::new("whole-parquet").with("a.parquet", &grey[0]).with("b.parquet", &grey[1]);
    folder.write("c.parquet", &grey[2]);
    let whole = load_with(folder.path(), &Options::default()).unwrap();
    let data = load(fixtures().join("parquet/grey").to_str().unwrap()).unwrap();
    let (train, test) = (&whole.data.train, &whole.data.test);
    let mut labels = [&train.labels[..], &test.labels].concat();
    let mut expected = data.train.labels.clone();
    labels.sort_unstable();
    expected.sort_unstable();
    assert_eq!(labels, expected);
    let count = |class| expected.iter().filter(|&&label| label == class).count();
    let tested = |class| test.labels.iter().filter(|&&label| label == class).count();
    // A fifth, rounded, and one at least.
    assert!((0..3).all(|class| tested(class) == ((count(class) + 2) / 5).max(1)), "{expected:?} {:?}", test.labels);
    assert!(whole.notes[0].starts_with("the data set is not divided"), "{:?}", whole.notes);
}

/// With a size that all are brought to, pictures of other sizes and modes are no mistake.
#[test]
fn parquet_with_pictures_of_several_sizes() {
    let folder = super::shard("mixed-sizes", "refused/mixed.parquet");
    let options = Options { size: Some((4, 6)), ..Options::default() };
    let Loaded { data, notes, .. } = load_with(folder.path(), &options).unwrap();
    assert_eq!(notes, ["2 of 10 pictures are of another size and were brought to 4x6"]);
    assert_eq!((data.channels, data.height, data.width, data.train.len()), (3, 4, 6, 5));
    let resized =
        lenslet_data::read_image(&fixtures().join("pictures/rgb8.png"), 3, 4, 6, lenslet_data::Filter::default())
            .unwrap();
    assert_eq!(data.train.image(3), resized.pixels);
    assert_eq!(data.train, data.test);
}

#[test]
fn a_row_of_parquet_that_is_no_picture_is_left_out_with_its_label() {
    let mut bytes = read("parquet/grey/train-00002-of-00003.parquet");
    let starts: Vec<_> = bytes.windows(4).enumerate().filter(|(_, window)| window == b"\x89PNG").collect();
    let second = starts[1].0;
    bytes[second + 12..second + 16].copy_from_slice(b"XXXX");
    let folder = Folder::new("bad-row").with("train.parquet", &bytes);
    folder.write("test.parquet", &read("parquet/grey/validation.parquet"));
    let error = load(folder.path()).unwrap_err();
    assert_eq!(error.fault.place, lenslet_data::Place::Row(1));
    let options = Options { skip_bad: true, ..Options::default() };
    let Loaded { data, skipped, .. } = load_with(folder.path(), &options).unwrap();
    let rows = serde_json::from_slice::<Value>(&read("expected.json")).unwrap();
    let rows = &rows["parquet"]["grey/train-00002-of-00003.parquet"];
    for (i, row) in [0, 2, 3, 4].into_iter().enumerate() {
        assert_eq!(data.train.labels[i] as usize, number(&rows["labels"][row]));
        assert_eq!(data.train.image(i), super::bytes(&rows["images"][row]));
    }
    assert_eq!((data.train.len(), &skipped[..]), (4, &[error.to_string()][..]));
}

/// Terabytes are refused before they are asked for.
#[test]
fn a_size_for_which_there_is_no_memory() {
    let options = Options { size: Some((8_192, 8_192)), channels: Some(3), ..Options::default() };
    let error = load_with("shapes", &options).unwrap_err();
    assert_eq!(
        error.to_string(),
        "shapes: expected pictures for which there is memory, found pictures of 2304000 MiB; ask for a smaller size, such as --input 3x64x64"
    );
}

/// Grey to colour is three times the same, colour to grey what Pillow's `convert("L")` gives, before resizing.
#[test]
fn channels_and_sizes_that_are_asked_for() {
    let what = fixtures().join("sets/npz/medmnist.npz");
    let plain = load(what.to_str().unwrap()).unwrap();
    let options = Options { channels: Some(1), size: Some((4, 5)), ..Options::default() };
    let Loaded { data, notes, .. } = load_with(what.to_str().unwrap(), &options).unwrap();
    assert_eq!((data.channels, data.height, data.width), (1, 4, 5));
    assert_eq!(notes, ["the pictures are 3x2x3 and were brought to 1x4x5"]);
    let picture = plain.train.image(1);
    let grey = |i: usize| {
        let [r, g, b] = [0, 6, 12].map(|plane| f64::from(picture[plane + i]));
        (0.299 * r + 0.587 * g + 0.114 * b).round() as u8
    };
    let near = |a: &[u8], b: &[u8]| a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1);
    let greys: Vec<u8> = (0..6).map(grey).collect();
    assert!(near(
        data.train.image(1),
        &lenslet_data::resize(&greys, 1, (2, 3), (4, 5), lenslet_data::Filter::default())
    ));

    let coloured = Options { channels: Some(3), ..Options::default() };
    let grey = load_fixture("idx").data;
    let data = load_with(fixtures().join("sets/idx").to_str().unwrap(), &coloured).unwrap().data;
    assert_eq!(data.train.image(2), grey.train.image(2).repeat(3));
}
