//! Folders of pictures by class.
use super::{Folder, bytes, expected, read};
use std::io::Write;

use lenslet_data::{Dataset, Kind, Loaded, Options, load, load_with};

const SMALL: Options = Options {
    channels: None,
    size: Some((3, 5)),
    filter: lenslet_data::Filter::Bilinear,
    skip_bad: false,
    cache: None,
    memory: None,
};

/// Writes pictures of the fixtures, all of 3×5, under these names.
fn pictures(folder: &Folder, names: &[(&str, &str)]) {
    names.iter().for_each(|(name, picture)| drop(folder.write(name, &read(&format!("pictures/{picture}.png")))));
}

/// What Pillow makes of a fixture.
fn pillows(picture: &str, mode: &str) -> Vec<u8> {
    bytes(&expected("pictures")[format!("{picture}.png")][mode])
}

fn loaded(folder: &Folder) -> Loaded {
    load_with(folder.path(), &SMALL).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn train_and_test() {
    let folder = Folder::new("train-test");
    pictures(
        &folder,
        &[
            ("train/dog/b.png", "rgb8"),
            ("train/dog/a.png", "rgba8"),
            ("train/Cat/deep/c.png", "palette4"),
            ("train/Cat-like/d.PNG", "rgb16"),
            ("val/dog/e.png", "rgb8"),
            ("val/Cat/f.png", "rgb8"),
            ("val/Cat-like/g.png", "rgb8"),
            ("train/dog/.hidden.png", "rgb8"),
        ],
    );
    folder.write("train/dog/Thumbs.db", b"");
    folder.write("README.txt", b"");
    let Loaded { data, notes, skipped } = loaded(&folder);
    // Capitals sort before small letters, as in Python.
    assert_eq!(data.classes, ["Cat", "Cat-like", "dog"]);
    assert_eq!((data.channels, data.height, data.width, &data.test.labels), (3, 3, 5, &vec![0, 1, 2]));
    assert_eq!(data.train.labels, [0, 1, 2, 2]);
    for (i, picture) in ["palette4", "rgb16", "rgba8", "rgb8"].iter().enumerate() {
        assert_eq!(data.train.image(i), pillows(picture, "RGB"), "{picture}");
    }
    assert!(notes.is_empty() && skipped.is_empty(), "{notes:?} {skipped:?}");
    // All are of one size: none needs to be asked for.
    assert_eq!(load(folder.path()).unwrap(), data);
}

#[test]
fn grey_pictures_stay_grey_unless_one_has_colours() {
    let folder = Folder::new("grey");
    pictures(
        &folder,
        &[("train/a/1.png", "grey8"), ("train/b/2.png", "grey4"), ("test/a/3.png", "grey8"), ("test/b/4.png", "grey1")],
    );
    let grey = loaded(&folder).data;
    assert_eq!(
        (grey.channels, grey.train.image(1), grey.test.image(1)),
        (1, &*pillows("grey4", "L"), &*pillows("grey1", "L"))
    );
    for name in ["test/b/4.png", "train/b/2.png"] {
        pictures(&folder, &[(name, "rgb8")]);
        let data = loaded(&folder).data;
        assert_eq!((data.channels, data.train.image(0)), (3, &*pillows("grey8", "RGB")), "{name}");
        assert_eq!((data.test.image(0), data.test.image(1)), (&*pillows("grey8", "RGB"), &*pillows("rgb8", "RGB")));
    }
    let one = Options { channels: Some(1), ..SMALL };
    assert_eq!(load_with(folder.path(), &one).unwrap().data.train.image(1), pillows("rgb8", "L"));
}

/// Ten pictures a class below a folder of their own, as archives have it.
fn undivided(name: &str) -> Folder {
    let folder = Folder::new(name);
    for class in ["owl", "cat"] {
        for i in 0..10 {
            let picture = ["rgb8", "rgba8", "rgb16", "palette4"][i % 4];
            pictures(&folder, &[(&format!("photos/{class}/{i}.png"), picture)]);
        }
    }
    folder
}

#[test]
fn classes_alone_are_divided_always_alike() {
    let folder = undivided("classes");
    let Loaded { data, notes, .. } = loaded(&folder);
    assert_eq!((data.name.as_str(), data.classes.join(" ").as_str()), ("photos", "cat owl"));
    assert_eq!((data.train.len(), data.test.labels.as_slice()), (16, &[0, 0, 1, 1][..]));
    assert_eq!(
        notes,
        ["the data set is not divided: a fifth of each class, always the same pictures, is kept to be tested on"]
    );
    let again = undivided("classes-again");
    assert_eq!(loaded(&again).data, data);
    // The same without the folder around.
    let inner = load_with(&format!("{}/photos", again.path()), &SMALL).unwrap().data;
    assert_eq!((inner.train, inner.test), (data.train, data.test));
}

/// An archive of a folder is the folder.
#[test]
fn a_folder_in_an_archive() {
    let folder = undivided("to-pack");
    let plain = loaded(&folder).data;
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    tar.append_dir_all("./photos", folder.0.join("photos")).unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for class in ["cat", "owl"] {
        for i in 0..10 {
            let name = format!("photos/{class}/{i}.png");
            zip.start_file(&*name, zip::write::SimpleFileOptions::default()).unwrap();
            zip.write_all(&std::fs::read(folder.0.join(name)).unwrap()).unwrap();
        }
    }
    let zipped = Folder::new("zipped").with("photos.zip", &zip.finish().unwrap().into_inner());
    assert_eq!(load_with(zipped.path(), &SMALL).unwrap().data, plain);
    let packed = Folder::new("packed").with("photos.tgz", &tar.into_inner().unwrap().finish().unwrap());
    for path in [packed.path().to_string(), format!("{}/photos.tgz", packed.path())] {
        assert_eq!(load_with(&path, &SMALL).unwrap().data, plain, "{path}");
    }
}

#[test]
fn pictures_of_any_size_are_resized_as_pillow_does() {
    let folder = Folder::new("sizes");
    for name in ["train/a/1.png", "test/a/1.png", "test/b/1.png"] {
        pictures(&folder, &[(name, "rgb8")]);
    }
    folder.write("train/b/2.jpg", &read("pictures/whole_chroma.jpg"));
    let data = loaded(&folder).data;
    let large =
        lenslet_data::read_image(&folder.0.join("train/b/2.jpg"), 3, 3, 5, lenslet_data::Filter::default()).unwrap();
    assert!(large.resized);
    assert_eq!(data.train.image(1), large.pixels);
    let error = load(folder.path()).unwrap_err();
    assert_eq!(error.fault.kind, Kind::Mismatch);
    assert_eq!(
        error.to_string().replace(folder.path(), "DATA"),
        "DATA/train/b/2.jpg: expected a picture of 3×3×5 like the first, found 3×12×20; bring all pictures to one size, or ask for one (--input 3x64x64)"
    );
}

/// With files among the pictures that are none.
fn spoilt() -> Folder {
    let folder = undivided("spoilt");
    folder.write("photos/cat/notes.txt", b"the cat sat");
    folder.write("photos/owl/7.png", &read("pictures/rgb8.png")[..60]);
    folder.write("photos/owl/empty.jpg", b"");
    folder.write("photos/owl/z.png", b"MZ");
    folder
}

#[test]
fn bad_files_are_named_and_counted() {
    let folder = spoilt();
    let error = load_with(folder.path(), &SMALL).unwrap_err().to_string().replace(folder.path(), "DATA");
    assert!(error.starts_with("DATA/photos: expected a picture in every file of the classes' folders, found 4 of 23 that cannot be read (cat/notes.txt: "), "{error}");
    assert!(error.contains("owl/7.png: \"unexpected end of file\" where a PNG picture was expected"), "{error}");
    assert!(error.ends_with("; and 1 more); mend or remove these files, or leave them out with --skip-bad"), "{error}");

    let Loaded { data, skipped, .. } = load_with(folder.path(), &Options { skip_bad: true, ..SMALL }).unwrap();
    assert_eq!((data.train.len() + data.test.len(), skipped.len()), (19, 4));
    assert!(skipped.iter().any(|text| text.contains("photos/cat/notes.txt: expected a ")), "{skipped:?}");
    let whole: Dataset = loaded(&undivided("whole")).data;
    assert_eq!(data.classes, whole.classes);
}

#[test]
fn messages() {
    let message = |folder: &Folder| {
        let error = load_with(folder.path(), &SMALL).unwrap_err();
        error.to_string().replace(folder.path(), "DATA")
    };
    let folder = Folder::new("one-class");
    pictures(&folder, &[("cat/1.png", "rgb8"), ("cat/2.png", "rgb8")]);
    let expected = "DATA: expected folders of at least two classes, found cat; put the pictures of each class into a folder that bears its name";
    assert_eq!(message(&folder), expected);
    std::fs::create_dir(folder.0.join("owl")).unwrap();
    assert_eq!(
        message(&folder),
        "DATA/owl: expected pictures of the class, found none; put pictures there, or remove the folder"
    );
    pictures(&folder, &[("owl/1.png", "rgb8")]);
    assert_eq!(
        message(&folder),
        "DATA: expected at least two pictures of each class, one of them to be tested on, found one of `owl`; add pictures of that class, or divide the data set yourself (train and test)"
    );

    let folder = Folder::new("classes-differ");
    for name in ["train/cat/1.png", "train/dog/1.png", "train/owl/1.png", "test/cat/1.png", "test/dogs/1.png"] {
        pictures(&folder, &[(name, "rgb8")]);
    }
    assert_eq!(
        message(&folder),
        "DATA: expected the same classes in `train` and `test`, found dog, owl in `train` alone and dogs in `test` alone; give each class a folder of the same name in both"
    );

    let folder = Folder::new("no-classes");
    pictures(&folder, &[("1.png", "rgb8"), ("2.png", "rgb8")]);
    assert_eq!(
        message(&folder),
        "DATA: expected a folder for each class, found pictures without one: 1.png, 2.png; move the pictures of each class into a folder that bears its name"
    );

    let folder = Folder::new("all-bad").with("cat/1.png", b"").with("cat/2.png", b"").with("dog/1.png", b"");
    folder.write("dog/2.png", b"");
    let error = load_with(folder.path(), &Options { skip_bad: true, ..SMALL }).unwrap_err();
    assert_eq!(
        error.to_string().replace(folder.path(), "DATA"),
        "DATA: expected a picture of each class to learn from that can be read, found none of `cat`; mend its files, or remove the class"
    );
}

/// Links that lead in a circle are not followed without end; those to pictures are.
#[cfg(unix)]
#[test]
fn links() {
    let folder = undivided("links");
    let plain = loaded(&folder).data;
    std::os::unix::fs::symlink(&folder.0, folder.0.join("photos/cat/circle")).unwrap();
    std::fs::rename(folder.0.join("photos/owl/3.png"), folder.0.join("elsewhere.png")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere.png", folder.0.join("photos/owl/3.png")).unwrap();
    assert_eq!(loaded(&folder).data, plain);
}

#[test]
fn a_folder_that_is_called_like_a_picture() {
    let folder = undivided("folder-picture");
    std::fs::create_dir(folder.0.join("photos/cat/x.png")).unwrap();
    let error = load_with(folder.path(), &SMALL).unwrap_err().to_string();
    let found = "found 1 of 21 that cannot be read (cat/x.png: a folder where a picture's file was expected)";
    assert!(error.contains(found), "{error}");
    let skipped = load_with(folder.path(), &Options { skip_bad: true, ..SMALL }).unwrap().skipped;
    assert_eq!(skipped.len(), 1, "{skipped:?}");
    // One that holds pictures is a part of its class.
    pictures(&folder, &[("photos/cat/x.png/1.png", "rgb8")]);
    assert_eq!(load_with(folder.path(), &SMALL).unwrap().data.train.len(), 17);
}

/// Names in another encoding are on disks that come from elsewhere. Some systems do not have them.
#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let strange = std::ffi::OsStr::from_bytes(b"caf\xE9");
    let ends = ": expected a name in UTF-8, found one with bytes that are none; rename it";
    let folder = undivided("strange-class");
    std::fs::create_dir(folder.0.join(strange)).unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert_eq!(error, format!("{}/caf\u{FFFD}{ends}", folder.path()));
    let folder = undivided("strange-file");
    let class = folder.0.join("photos/cat");
    std::fs::write(class.join(strange), b"").unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("(cat/caf\u{FFFD}: one with bytes that are none where a name in UTF-8 was expected)"),
        "{error}"
    );
}
