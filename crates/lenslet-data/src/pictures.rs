//! Pictures that are files of their own, on their way into a data set: decoded on all cores, brought to one size, kept in
//! order.
//!
//! *Invariant:* a worker reads a file, decodes it, resizes it and lets go of the original, so memory holds one original per
//! core and the result, which goes to a file where it is too large (see `store`). All pictures end with the same channels
//! and size: a grey one among coloured ones becomes coloured, but nothing is resized unless a size was asked for.
use crate::error::{Fault, Kind, grouped};
use crate::image::Decoded;
use crate::load::{Options, Report};
use crate::resize::Resizer;
use crate::store::{Store, coloured};
use rayon::prelude::*;

/// Pictures decoded at a time, in bytes.
const AT_ONCE: usize = 1 << 26;

/// Pictures of one size, one after the other.
pub(crate) struct Pictures<'o> {
    options: &'o Options,
    /// That of all of them, by the first.
    pub(crate) size: Option<[usize; 3]>,
    pub(crate) pixels: Store<'o>,
    /// How many bytes they may come to.
    pub(crate) most: usize,
    /// How many of them had another size.
    pub(crate) resized: usize,
}

/// One picture as planes.
struct Fitted {
    size: [usize; 3],
    planes: Vec<u8>,
    resized: bool,
}

impl<'o> Pictures<'o> {
    pub(crate) fn new(options: &'o Options, size: Option<[usize; 3]>) -> Self {
        Self { options, size, pixels: Store::new(options), most: usize::MAX, resized: 0 }
    }

    /// Appends pictures 0 to `count`; `bad` says whether to go on after one that is none, with its number.
    pub(crate) fn extend<E: Send>(
        &mut self,
        count: usize,
        decode: impl Fn(usize) -> Result<Decoded, E> + Sync,
        at: impl Fn(usize, Fault) -> E + Sync,
        mut bad: impl FnMut(usize, E) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut next = 0;
        while next < count {
            // The first picture says how large the others are.
            let bytes = self.size.map(|size| size.iter().product::<usize>());
            self.make_room((count - next).saturating_mul(bytes.unwrap_or(1))).map_err(|fault| at(next, fault))?;
            let here = bytes.map_or(1, |bytes| (AT_ONCE / bytes).clamp(1, 1024)).min(count - next);
            let fitted = |i| decode(i).and_then(|decoded| self.fit(decoded).map_err(|fault| at(i, fault)));
            let decoded: Vec<_> = (next..next + here).into_par_iter().map(fitted).collect();
            for (i, picture) in (next..).zip(decoded) {
                match picture {
                    Ok(picture) => self.push(picture).map_err(|fault| at(i, fault))?,
                    Err(error) => bad(i, error)?,
                }
            }
            next += here;
        }
        Ok(())
    }

    /// Refuses pictures that come to more bytes than there may be, or than there is room for.
    fn make_room(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.pixels.len().saturating_add(bytes) > self.most {
            let found = format!("pictures that unfold to more than {} bytes", self.most);
            return Err(Fault::damaged("a file of pictures", found));
        }
        self.pixels.reserve(bytes)
    }

    fn fit(&self, decoded: Decoded) -> Result<Fitted, Fault> {
        let decoded = match self.options.channels {
            Some(channels) => decoded.with_channels(channels),
            None => decoded,
        };
        let from = (decoded.height, decoded.width);
        let channels = decoded.channels;
        let to = match (self.options.size, self.size) {
            (Some(size), _) => size,
            (None, Some([_, height, width])) if from != (height, width) => {
                let text = |c, h, w| format!("{c}×{h}×{w}");
                let first = self.size.map_or(String::new(), |[c, h, w]| text(c, h, w));
                let fix = "bring all pictures to one size, or ask for one (--input 3x64x64)";
                let expected = format!("a picture of {first} like the first");
                return Err(Fault::new(Kind::Mismatch, expected, text(channels, from.0, from.1), fix));
            }
            _ => from,
        };
        let planes = decoded.planes();
        if from == to {
            return Ok(Fitted { size: [channels, to.0, to.1], planes, resized: false });
        }
        let mut resized = vec![0; channels * to.0 * to.1];
        Resizer::new(from, to, self.options.filter).resize(&planes, &mut resized);
        Ok(Fitted { size: [channels, to.0, to.1], planes: resized, resized: true })
    }

    fn push(&mut self, Fitted { size, planes, resized }: Fitted) -> Result<(), Fault> {
        self.resized += usize::from(resized);
        let [channels, height, width] = *self.size.get_or_insert(size);
        match (channels, size[0]) {
            (3, 1) => self.pixels.extend(&coloured(&planes, height * width)),
            (1, 3) => {
                self.become_coloured()?;
                self.pixels.extend(&planes)
            }
            _ => self.pixels.extend(&planes),
        }
    }

    /// Gives grey pictures three equal channels.
    pub(crate) fn become_coloured(&mut self) -> Result<(), Fault> {
        if let Some([channels @ 1, height, width]) = &mut self.size {
            *channels = 3;
            self.pixels.become_coloured(*height * *width)?;
        }
        Ok(())
    }
}

/// The note about pictures of another size, if there are any.
pub(crate) fn note_resized(report: &mut Report, resized: usize, count: usize, [_, height, width]: [usize; 3]) {
    if resized > 0 {
        let [resized, count] = [resized, count].map(grouped);
        report.note(format!("{resized} of {count} pictures are of another size and were brought to {height}x{width}"));
    }
}
