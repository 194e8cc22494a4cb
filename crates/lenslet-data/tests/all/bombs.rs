//! Files that unfold without end, and files whose headers lie about sizes: refused, and memory is not taken on their word.
use super::{Folder, read};
use flate2::Compression;
use flate2::write::GzEncoder;
use lenslet_data::{Kind, load};
use std::io::Write;

/// More than a file of a few hundred kilobytes may unfold to.
const BOMB: usize = 70 << 20;

/// A gzip file of zeros behind a beginning.
fn gzip(beginning: &[u8], zeros: usize) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::default());
    out.write_all(beginning).unwrap();
    let block = vec![0; 1 << 20];
    (0..zeros >> 20).for_each(|_| out.write_all(&block).unwrap());
    out.finish().unwrap()
}

fn refused(path: &str) {
    let error = load(path).unwrap_err();
    let expected = error.fault.expected.contains(" packed bytes that unfold to at most 64 MiB");
    assert!(expected && error.fault.found == "more", "{error}");
    assert_eq!(error.fault.kind, Kind::Unsupported);
    assert_eq!(
        error.fault.fix,
        "the file is damaged or made to fill memory: fetch it again, or give the data unpacked"
    );
}

fn tar_header(name: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_cksum();
    header
}

#[test]
fn gzip_that_unfolds_without_end() {
    // A header of idx that agrees with it, and an archive's.
    let side = (BOMB >> 20) as u32;
    let header = [&[0, 0, 8, 3][..], &side.to_be_bytes(), &1024_u32.to_be_bytes(), &1024_u32.to_be_bytes()].concat();
    let folder = Folder::new("idx-bomb");
    folder.write("train-images-idx3-ubyte.gz", &gzip(&header, BOMB));
    refused(folder.path());
    // It is seen long before the end: what follows is no gzip.
    let endless =
        [&gzip(&header, BOMB)[..], &(0..1 << 22).map(|i: u32| (i.wrapping_mul(i) >> 7) as u8).collect::<Vec<_>>()];
    folder.write("train-images-idx3-ubyte.gz", &endless.concat());
    refused(folder.path());
    let member = tar_header("cifar-100-python/train", tar::EntryType::Regular, BOMB as u64);
    let folder = Folder::new("tar-bomb").with("cifar.tar.gz", &gzip(member.as_bytes(), BOMB));
    refused(folder.path());
}

#[test]
fn npz_that_unfolds_without_end() {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let deflated = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("x_train.npy", deflated).unwrap();
    let block = vec![0; 1 << 20];
    (0..BOMB >> 20).for_each(|_| zip.write_all(&block).unwrap());
    zip.start_file("y_train.npy", deflated).unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    for name in ["data.npz", "data.zip"] {
        let folder = Folder::new("npz-bomb").with(name, &bytes);
        refused(folder.path());
    }
}

/// What unfolds to less is read, however small it is packed.
#[test]
fn black_pictures_are_no_bomb() {
    let size = |count: u32| [[0, 0, 8, 3], count.to_be_bytes(), [0, 0, 1, 0], [0, 0, 1, 0]].concat();
    let folder = Folder::new("black");
    folder.write("train-images-idx3-ubyte.gz", &gzip(&size(16 * 60), 60 << 20));
    folder.write("t10k-images-idx3-ubyte.gz", &gzip(&size(16), 1 << 20));
    for (name, count) in [("train-labels-idx1-ubyte", 16 * 60_u32), ("t10k-labels-idx1-ubyte", 16)] {
        let labels: Vec<_> = (0..count).map(|i| (i % 2) as u8).collect();
        folder.write(name, &[&[0, 0, 8, 1][..], &count.to_be_bytes(), &labels].concat());
    }
    assert_eq!(load(folder.path()).unwrap().train.len(), 16 * 60);
}

/// A file of holes, as GNU tar packs it, takes no room in an archive and any room outside.
#[test]
fn archives_that_lie() {
    let member = |kind, size| tar_header("train", kind, size).as_bytes().to_vec();
    // One hole of 8 GiB.
    let mut sparse = tar_header("train", tar::EntryType::GNUSparse, 0);
    let gnu = sparse.as_gnu_mut().unwrap();
    gnu.realsize.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].offset.copy_from_slice(b"77777777777\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    sparse.set_cksum();
    for (name, bytes, expected, found) in [
        ("sparse", sparse.as_bytes().to_vec(), "an archive of files and folders", "`train`, which is a GNUSparse"),
        ("link", member(tar::EntryType::Symlink, 0), "an archive of files and folders", "`train`, which is a Symlink"),
        (
            "huge",
            [member(tar::EntryType::Regular, 1 << 40), vec![0; 512]].concat(),
            "1099511627776 bytes of `train`",
            "512",
        ),
    ] {
        let folder = Folder::new(name).with("data.tar", &bytes);
        let error = load(folder.path()).unwrap_err();
        assert_eq!((error.fault.expected.as_str(), error.fault.found.as_str()), (expected, found), "{error}");
    }
    // The crate that writes archives refuses such a path as well, so it is set byte by byte.
    for path in ["../train", "/etc/train", "a/../../train"] {
        let mut header = tar_header("train", tar::EntryType::Regular, 0);
        header.as_mut_bytes()[..100].fill(0);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        let folder = Folder::new("outside").with("data.tar", header.as_bytes());
        let error = load(folder.path()).unwrap_err();
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file(path, zip::write::SimpleFileOptions::default()).unwrap();
        let zipped = Folder::new("outside-zip").with("data.zip", &zip.finish().unwrap().into_inner());
        assert_eq!(load(zipped.path()).unwrap_err().fault.found, error.fault.found);
        assert_eq!(
            (error.fault.kind, error.fault.found.as_str()),
            (Kind::Unsupported, format!("the path `{path}`").as_str())
        );
    }
}

/// 2³¹ × 2³¹ pictures overflow 64 bits with a third side.
#[test]
fn sizes_that_overflow() {
    let side = (1_u32 << 31).to_be_bytes();
    let folder = Folder::new("overflow").with("t10k-images-idx3-ubyte", b"");
    folder.write("train-images-idx3-ubyte", &[&[0, 0, 8, 3][..], &side, &side, &side].concat());
    let error = load(folder.path()).unwrap_err();
    assert_eq!(
        (error.fault.expected.as_str(), error.fault.found.as_str()),
        ("the 2147483648×2147483648×2147483648 values that the header announces", "0 bytes")
    );

    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807, 9), }";
    let npy = [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["x_train.npy", "y_train.npy"] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy).unwrap();
    }
    let folder = Folder::new("npz-overflow").with("data.npz", &zip.finish().unwrap().into_inner());
    let error = load(folder.path()).unwrap_err();
    let expected = "the values of shape 9223372036854775807×9223372036854775807×9 in `x_train`";
    assert_eq!((error.fault.expected.as_str(), error.fault.found.as_str()), (expected, "0 bytes"));
}

/// Each number of a zip's directory made as large as can be.
#[test]
fn zips_that_lie() {
    let whole = read("sets/npz/medmnist.npz");
    let directory = whole.windows(4).position(|start| start == b"PK\x01\x02").unwrap();
    for at in directory..whole.len() - 4 {
        let mut changed = whole.clone();
        changed[at..at + 4].fill(0xFF);
        lenslet_data::fuzz::npz(&changed);
        changed[at..at + 4].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0x7F]);
        lenslet_data::fuzz::npz(&changed);
    }
}
