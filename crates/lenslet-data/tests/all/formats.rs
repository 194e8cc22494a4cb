//! Small data sets of every format: the same pictures and labels as pyarrow, NumPy and the format's description give.
use super::{BATCHES, Folder, binary_batches, bytes, expected, fixtures, number, python_batches, read};
use lenslet_data::{Dataset, Split, load};

fn load_fixture(name: &str) -> Dataset {
    load(fixtures().join(name).to_str().unwrap()).unwrap()
}

/// The rows that pyarrow read from these shards.
fn rows(shards: &[&str]) -> Split {
    let all = expected("parquet");
    let (mut images, mut labels) = (Vec::new(), Vec::new());
    for shard in shards {
        let rows = &all[shard];
        labels.extend(rows["labels"].as_array().unwrap().iter().map(|label| number(label) as u32));
        rows["images"].as_array().unwrap().iter().for_each(|image| images.extend(bytes(image)));
    }
    Split { images: images.into(), labels }
}

#[test]
fn parquet_with_names() {
    let data = load_fixture("parquet/named");
    assert_eq!((data.name.as_str(), data.classes.join(" ").as_str()), ("named", "cat dog owl"));
    assert_eq!((data.channels, data.height, data.width), (3, 4, 6));
    assert_eq!(data.train, rows(&["named/train-00000-of-00002.parquet", "named/train-00001-of-00002.parquet"]));
    assert_eq!(data.test, rows(&["named/test-00000-of-00001.parquet"]));
}

/// Gzip, Zstandard and none, both versions of pages, several integer types, a `validation` split.
#[test]
fn parquet_of_other_makes() {
    let data = load_fixture("parquet/grey");
    // As many classes as there are labels, where nothing names them.
    assert_eq!((data.classes.join(" ").as_str(), data.channels), ("0 1 2", 1));
    let shards = [0, 1, 2].map(|i| format!("grey/train-0000{i}-of-00003.parquet"));
    assert_eq!(data.train, rows(&shards.each_ref().map(String::as_str)));
    assert_eq!(data.test, rows(&["grey/validation.parquet"]));
}

/// The one picture of the pickles: 0 to 6 over and over.
fn pattern() -> Vec<u8> {
    (0..3072).map(|i| (i % 7) as u8).collect()
}

#[test]
fn python_batches_of_every_protocol() {
    for protocol in ["python2", "protocol2", "protocol4", "protocol5"] {
        let folder = python_batches(protocol, &read(&format!("pickles/{protocol}")));
        let data = load(folder.path()).unwrap_or_else(|error| panic!("{protocol}: {error}"));
        assert_eq!((data.channels, data.height, data.width), (3, 32, 32));
        assert_eq!((data.train.len(), &data.test.labels, data.classes[9].as_str()), (5, &vec![7], "truck"));
        assert_eq!((data.train.image(4), data.test.image(0)), (&*pattern(), &*pattern()));
    }
}

#[test]
fn names_from_a_meta_file() {
    let folder = python_batches("meta", &read("pickles/python2")).with("batches.meta", &read("pickles/meta"));
    assert_eq!(load(folder.path()).unwrap().classes[3], "class3");
    let folder = binary_batches("meta-txt", &[0; 3073]).with("batches.meta.txt", b"one\r\ntwo\n\n");
    assert_eq!(load(folder.path()).unwrap().classes, ["one", "two"]);
}

/// The batches keep their order, and the folder's parent will do.
#[test]
fn binary_batches_in_order() {
    let folder = Folder::new("binary-order");
    for (label, name) in BATCHES.iter().enumerate() {
        let record = [&[label as u8][..], &pattern()].concat();
        folder.write(&format!("cifar-10-batches-bin/{name}.bin"), &record.repeat(2));
    }
    let data = load(folder.path()).unwrap();
    assert_eq!(data.name, "cifar-10-batches-bin");
    assert_eq!((data.train.labels, data.test.labels.as_slice()), (vec![0, 0, 1, 1, 2, 2, 3, 3, 4, 4], &[5, 5][..]));
    assert_eq!(data.train.images, pattern().repeat(10));
}

/// The bits of the embedded set are part of its definition: accuracies are only comparable on the same pictures.
#[test]
fn shapes_keep_their_bits() {
    let data = load("shapes").unwrap();
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(0xCBF2_9CE4_8422_2325_u64, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
    };
    assert_eq!([fnv(&data.train.images), fnv(&data.test.images)], [5152936601894343342, 28057880918841394]);
}
