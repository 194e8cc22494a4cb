//! How long a data set takes to load: decoded, decoded and put into the cache, and from the cache.
//!
//!     cargo run --release -p lenslet-data --example load_time -- FOLDER [HEIGHT WIDTH]
use lenslet_data::{Loaded, Options, load_with};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, sides @ ..] = &arguments[..] else { return Err("which data set?".into()) };
    let sides = sides.iter().map(|side| side.parse()).collect::<Result<Vec<usize>, _>>()?;
    let size = if let [height, width] = sides[..] { Some((height, width)) } else { None };
    let folder = std::env::temp_dir().join(format!("lenslet-load-time-{}", std::process::id()));
    for (text, cache) in [("decoded", None), ("decoded and kept", Some(&folder)), ("from the cache", Some(&folder))] {
        let begun = Instant::now();
        let options = Options { size, cache: cache.cloned(), ..Options::default() };
        let Loaded { data, skipped, notes } = load_with(what, &options)?;
        let loaded = begun.elapsed();
        // Whoever trains reads every byte.
        let sum: u64 = data.train.images.iter().chain(data.test.images.iter()).map(|&pixel| u64::from(pixel)).sum();
        println!("{text}: {loaded:.2?}, {:.2?} with every pixel read (sum {sum})", begun.elapsed());
        if cache.is_none() {
            println!(
                "{}: {} + {} pictures, {}x{}x{}",
                data.name,
                data.train.len(),
                data.test.len(),
                data.channels,
                data.height,
                data.width
            );
            println!("{} classes, {} left out; {notes:?}", data.classes.len(), skipped.len());
        }
    }
    // Not all formats are worth keeping.
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(())
}
