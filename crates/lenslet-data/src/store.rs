//! The bytes of a split's pictures on their way: in memory, or, where they are too many for it, in a file.
//!
//! *Invariant:* a store that is asked for more room than its share of the memory holds none of its bytes in memory from
//! then on. They stand in a file that has no name, or loses it at once: nobody else can open it, and the system removes
//! it with its last user, however the program ends. When it is complete it is mapped, and to whoever reads the pixels
//! there is no difference. The file is made in the cache's folder, or, where there is none that can be written, in the
//! system's folder for temporary files.
use crate::error::{Fault, Kind};
use crate::load::Options;
use crate::map::Map;
use crate::memory::free_memory;
use crate::pixels::Pixels;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Grey pictures become coloured so many bytes at a time.
const AT_ONCE: usize = 1 << 20;
/// Some systems promise more memory than they have, so there is a limit.
const MOST: usize = 1 << 40;

/// Bytes that become [`Pixels`].
pub(crate) struct Store<'o> {
    options: &'o Options,
    /// How many bytes may be in memory.
    share: usize,
    len: usize,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    /// And the folder, for messages.
    Disk(File, PathBuf),
}

impl Place {
    /// A file without a name, still empty.
    fn nameless(options: &Options) -> Result<Self, Fault> {
        let cache = options.cache.clone().filter(|folder| fs::create_dir_all(folder).is_ok());
        if let Some(folder) = cache
            && let Ok(file) = tempfile::tempfile_in(&folder)
        {
            return Ok(Self::Disk(file, folder));
        }
        let folder = std::env::temp_dir();
        match tempfile::tempfile_in(&folder) {
            Ok(file) => Ok(Self::Disk(file, folder)),
            Err(error) => Err(unwritable(&folder, 0, &error)),
        }
    }

    /// Appends bytes, behind so many.
    fn extend(&mut self, len: usize, bytes: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Memory(held) => held.extend_from_slice(bytes),
            Self::Disk(file, folder) => file.write_all(bytes).map_err(|error| unwritable(folder, len, &error))?,
        }
        Ok(())
    }
}

impl<'o> Store<'o> {
    /// A store that takes at most half of the memory that is free now, unless the options say how much.
    pub(crate) fn new(options: &'o Options) -> Self {
        let half = || free_memory().and_then(|free| usize::try_from(free / 2).ok());
        let share = options.memory.or_else(half).unwrap_or(MOST);
        Self { options, share, len: 0, place: Place::Memory(Vec::new()) }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for so many bytes more, on the disk if memory has none; the error says that the disk has none either.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<(), Fault> {
        if let Place::Memory(held) = &mut self.place {
            if self.len.saturating_add(bytes) <= self.share && held.try_reserve(bytes).is_ok() {
                return Ok(());
            }
            let mut disk = Place::nameless(self.options)?;
            disk.extend(0, held)?;
            self.place = disk;
        }
        match &self.place {
            Place::Disk(_, folder) => check_disk(folder, bytes),
            Place::Memory(_) => Ok(()),
        }
    }

    /// Appends bytes for which [`reserve`](Self::reserve) has made room.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.place.extend(self.len, bytes)?;
        self.len += bytes.len();
        Ok(())
    }

    /// Gives pictures that are grey planes of so many bytes three equal channels.
    pub(crate) fn become_coloured(&mut self, plane: usize) -> Result<(), Fault> {
        let place = match self.place {
            Place::Memory(_) => Place::Memory(Vec::new()),
            Place::Disk(..) => Place::nameless(self.options)?,
        };
        let empty = Self { len: 0, place, ..*self };
        let grey = std::mem::replace(self, empty);
        self.reserve(grey.len.saturating_mul(3))?;
        let grey = grey.into_pixels()?;
        grey.chunks(plane * (AT_ONCE / plane).max(1)).try_for_each(|planes| self.extend(&coloured(planes, plane)))
    }

    /// All bytes, of which there will be no more.
    pub(crate) fn into_pixels(self) -> Result<Pixels, Fault> {
        match self.place {
            Place::Memory(bytes) => Ok(bytes.into()),
            Place::Disk(file, folder) => {
                let map = Map::of_finished(file).map_err(|error| unwritable(&folder, self.len, &error))?;
                Ok(Pixels::mapped(&Arc::new(map), 0..self.len))
            }
        }
    }
}

/// Grey planes three times each.
pub(crate) fn coloured(planes: &[u8], plane: usize) -> Vec<u8> {
    planes.chunks_exact(plane).flat_map(|grey| [grey, grey, grey]).flatten().copied().collect()
}

/// Refuses pictures that can only be in memory and for which there is surely none.
pub(crate) fn check_room(bytes: usize) -> Result<(), Fault> {
    if bytes <= MOST && Vec::<u8>::new().try_reserve_exact(bytes).is_ok() {
        return Ok(());
    }
    let found = format!("pictures of {} MiB", bytes >> 20);
    let fix = "ask for a smaller size, such as --input 3x64x64";
    Err(Fault::new(Kind::Mismatch, "pictures for which there is memory", found, fix))
}

/// Refuses to fill a disk for nothing. One that does not say what is free will say when it is full.
fn check_disk(folder: &Path, bytes: usize) -> Result<(), Fault> {
    match fs4::available_space(folder) {
        Ok(free) if free < bytes as u64 => {
            let [need, free] = [bytes as u64, free].map(|bytes| bytes >> 20);
            Err(no_room(format!("{need} MiB of them to be kept and {free} MiB free in {}", folder.display())))
        }
        _ => Ok(()),
    }
}

fn unwritable(folder: &Path, written: usize, error: &io::Error) -> Fault {
    no_room(format!("the error \"{error}\" in {}, {} MiB being written", folder.display(), written >> 20))
}

fn no_room(found: String) -> Fault {
    let expected = "room on the disk for decoded pictures that are too many for memory";
    let fix =
        "free some, set LENSLET_CACHE to a folder on a larger disk, or ask for a smaller size, such as --input 3x64x64";
    Fault::new(Kind::Unreadable, expected, found, fix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_memory() -> Options {
        Options { memory: Some(0), ..Options::default() }
    }

    #[test]
    fn what_began_in_memory_goes_on_in_a_file() {
        let options = Options { memory: Some(5), ..Options::default() };
        let mut store = Store::new(&options);
        for (bytes, in_memory) in [(&[1, 2, 3][..], true), (&[4, 5], true), (&[6], false), (&[7, 8, 9], false)] {
            store.reserve(bytes.len()).unwrap();
            store.extend(bytes).unwrap();
            assert_eq!(matches!(store.place, Place::Memory(_)), in_memory, "{bytes:?}");
        }
        assert_eq!(store.len(), 9);
        store.become_coloured(3).unwrap();
        let pixels = store.into_pixels().unwrap();
        let expected = [[1, 2, 3].repeat(3), [4, 5, 6].repeat(3), [7, 8, 9].repeat(3)].concat();
        assert_eq!((pixels.is_mapped(), pixels), (true, expected.into()));
    }

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
    }

    /// A folder of pictures of 3×5, some of them no pictures.
    fn pictures(names: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, picture) in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let bytes = fs::read(fixture(&format!("pictures/{picture}.png"))).unwrap_or(b"none".into());
            fs::write(path, bytes).unwrap();
        }
        folder
    }

    /// Loads with all the memory, with that of one picture, with none, and with none but a cache: the same.
    fn the_same_from_disk(what: &Path, skip_bad: bool) {
        let cache = tempfile::tempdir().unwrap();
        let load = |memory, cache| {
            let options = Options { skip_bad, memory, cache, ..Options::default() };
            crate::load_with(what.to_str().unwrap(), &options).unwrap_or_else(|error| panic!("{error}"))
        };
        let held = load(None, None);
        let split = |split: &crate::Split| split.images.is_mapped();
        assert!(!split(&held.data.train) && !split(&held.data.test), "{}", what.display());
        for (memory, cache) in [(16, None), (0, None), (0, Some(cache.path())), (0, Some(cache.path()))] {
            let stored = load(Some(memory), cache.map(Path::to_path_buf));
            assert!(split(&stored.data.train) && split(&stored.data.test), "{} {memory}", what.display());
            assert_eq!(stored.data, held.data, "{} {memory}", what.display());
            assert_eq!((&stored.notes, &stored.skipped), (&held.notes, &held.skipped));
        }
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "only the cache's own file is left");
    }

    #[test]
    fn parquet_that_memory_does_not_hold() {
        the_same_from_disk(&fixture("parquet/named"), false);
        the_same_from_disk(&fixture("parquet/grey"), false);
        let undivided = tempfile::tempdir().unwrap();
        fs::copy(fixture("parquet/named/train-00000-of-00002.parquet"), undivided.path().join("0.parquet")).unwrap();
        fs::copy(fixture("parquet/named/train-00001-of-00002.parquet"), undivided.path().join("1.parquet")).unwrap();
        the_same_from_disk(undivided.path(), false);
    }

    #[test]
    fn folders_that_memory_does_not_hold() {
        // Coloured from the third picture on; in the other, through what it is tested on; with files that are none.
        let names =
            ["train/a/0.png", "train/a/1.png", "train/b/0.png", "train/b/1.png", "test/a/0.png", "test/b/0.png"];
        for kinds in [
            ["grey8", "grey4", "rgb8", "grey2", "grey8", "rgb8"],
            ["grey8", "grey4", "grey8", "grey2", "grey8", "rgb8"],
            ["none", "grey4", "grey8", "none", "rgb8", "grey4"],
        ] {
            let listed: Vec<_> = names.into_iter().zip(kinds).collect();
            the_same_from_disk(pictures(&listed).path(), true);
        }
    }

    /// A cache that cannot be written costs time, never data.
    #[test]
    fn without_a_cache_the_file_is_elsewhere() {
        let cache = fixture("expected.json").join("no folder");
        let options = Options { memory: Some(0), cache: Some(cache), ..Options::default() };
        let loaded = crate::load_with(fixture("parquet/named").to_str().unwrap(), &options).unwrap();
        assert!(loaded.data.train.images.is_mapped() && loaded.notes[0].contains("could not be kept"));
    }

    #[test]
    fn nothing_in_a_file_is_nothing() {
        let options = no_memory();
        let mut store = Store::new(&options);
        store.reserve(1).unwrap();
        assert_eq!(store.into_pixels().unwrap(), Pixels::default());
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_before_it_is_full() {
        let options = no_memory();
        let error = Store::new(&options).reserve(usize::MAX >> 1).err().unwrap();
        assert!(error.found.starts_with("8796093022207 MiB of them to be kept and "), "{}", error.found);
        assert_eq!(error.kind, Kind::Unreadable);
        assert!(error.fix.contains("LENSLET_CACHE") && error.fix.contains("--input"), "{}", error.fix);
    }

    /// A file that is open for reading alone stands for a disk that fills while it is written.
    #[test]
    fn a_file_that_cannot_be_written_is_an_error() {
        let options = no_memory();
        let mut store = Store::new(&options);
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        store.place = Place::Disk(file, "cache".into());
        let error = store.extend(&[1]).unwrap_err();
        assert!(error.found.ends_with(" in cache, 0 MiB being written"), "{}", error.found);
        assert_eq!(store.len(), 0);
    }
}
