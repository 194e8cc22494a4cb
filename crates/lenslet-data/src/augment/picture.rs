//! A picture that is being changed: C planes of H rows of W bytes, and room for what it becomes.

/// C×H×W bytes, with a second block of the same size that a change writes to where it cannot work in place.
///
/// ```
/// use lenslet_data::augment::{Change, Picture};
/// let mut picture = Picture::default();
/// picture.load(&[1, 2, 3, 4], [1, 2, 2]);
/// Change::Flip.apply(&mut picture, &[0]);
/// assert_eq!(picture.pixels(), [2, 1, 4, 3]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Picture {
    size: [usize; 3],
    pixels: Vec<u8>,
    spare: Vec<u8>,
}

impl Picture {
    /// Makes it this picture, C×H×W; memory is taken once, for the largest.
    ///
    /// # Panics
    /// If the pixels are not as many as the size says, or there are none.
    pub fn load(&mut self, pixels: &[u8], size: [usize; 3]) {
        assert!(
            !pixels.is_empty() && pixels.len() == size.iter().product::<usize>(),
            "{} bytes are not {size:?}",
            pixels.len()
        );
        self.size = size;
        self.pixels.clear();
        self.pixels.extend_from_slice(pixels);
        self.spare.resize(pixels.len(), 0);
    }

    /// The pixels, C×H×W.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// C, H and W.
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    pub(super) fn pixels_mut(&mut self) -> &mut [u8] {
        &mut self.pixels
    }

    /// The pixels of each channel, to be changed in place.
    pub(super) fn planes_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let plane = self.size[1] * self.size[2];
        self.pixels.chunks_exact_mut(plane)
    }

    /// Red, green and blue, to be changed in place; none where the picture is grey.
    pub(super) fn colours_mut(&mut self) -> Option<[&mut [u8]; 3]> {
        let plane = self.size[1] * self.size[2];
        let (red, rest) = self.pixels.split_at_mut_checked(plane)?;
        let (green, blue) = rest.split_at_mut_checked(plane)?;
        (blue.len() == plane).then_some([red, green, blue])
    }

    /// Has `change` write the new planes from the old ones, one after the other.
    pub(super) fn redraw(&mut self, change: impl Fn(&[u8], &mut [u8])) {
        let plane = self.size[1] * self.size[2];
        self.redraw_all(|old, new| {
            let planes = old.chunks_exact(plane).zip(new.chunks_exact_mut(plane));
            planes.for_each(|(old, new)| change(old, new));
        });
    }

    /// Has `change` write all new planes from the old ones.
    pub(super) fn redraw_all(&mut self, change: impl Fn(&[u8], &mut [u8])) {
        change(&self.pixels, &mut self.spare);
        std::mem::swap(&mut self.pixels, &mut self.spare);
    }
}
