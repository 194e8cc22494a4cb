//! Pixels of a picture: rows of red, green and blue, made from planes of bytes as a data set holds them.

/// A picture of pixels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bitmap {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Three bytes a pixel.
    pub(crate) rgb: Vec<u8>,
}

impl Bitmap {
    /// From C planes of H×W bytes: three are colours, one is grey, of other numbers the first is shown as grey. Bytes that
    /// are missing count as 0.
    pub(crate) fn from_planes([channels, height, width]: [usize; 3], bytes: &[u8]) -> Self {
        let plane = height * width;
        let pixel = |at: usize| -> [u8; 3] {
            std::array::from_fn(|colour| {
                let channel = if channels == 3 { colour } else { 0 };
                bytes.get(channel * plane + at).copied().unwrap_or(0)
            })
        };
        Self { width, height, rgb: (0..plane).flat_map(pixel).collect() }
    }

    /// The pixel at a place, which must be within.
    pub(crate) fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Each pixel as a square of `zoom` by `zoom`.
    pub(crate) fn enlarged(&self, zoom: usize) -> Self {
        let (width, height) = (self.width * zoom, self.height * zoom);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self { width, height, rgb: pixels.flat_map(|(x, y)| self.pixel(x / zoom, y / zoom)).collect() }
    }

    /// Every `factor`×`factor` pixels as one, their mean; a rest at the edges is a mean of fewer.
    pub(crate) fn shrunk(&self, factor: usize) -> Self {
        if factor <= 1 {
            return self.clone();
        }
        let (width, height) = (self.width.div_ceil(factor), self.height.div_ceil(factor));
        let mean = |x: usize, y: usize| -> [u8; 3] {
            let columns = x * factor..((x + 1) * factor).min(self.width);
            let rows = y * factor..((y + 1) * factor).min(self.height);
            let count = (columns.len() * rows.len()) as u64;
            let mut sums = [count / 2; 3];
            for (x, y) in rows.flat_map(|y| columns.clone().map(move |x| (x, y))) {
                let pixel = self.pixel(x, y);
                sums.iter_mut().zip(pixel).for_each(|(sum, byte)| *sum += u64::from(byte));
            }
            sums.map(|sum| (sum / count) as u8)
        };
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        Self { width, height, rgb: pixels.flat_map(|(x, y)| mean(x, y)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let colour = Bitmap::from_planes([3, 1, 2], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(colour.rgb, [1, 3, 5, 2, 4, 6]);
        let grey = Bitmap::from_planes([1, 2, 1], &[7, 8]);
        assert_eq!(grey.rgb, [7, 7, 7, 8, 8, 8]);
        assert_eq!(Bitmap::from_planes([1, 1, 2], &[9]).rgb, [9, 9, 9, 0, 0, 0]);
    }

    #[test]
    fn enlarging_makes_squares() {
        let large = Bitmap::from_planes([1, 1, 2], &[1, 2]).enlarged(2);
        assert_eq!((large.width, large.height), (4, 2));
        assert_eq!(large.rgb, [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2].repeat(2));
    }

    #[test]
    fn shrinking_takes_means() {
        let bitmap = Bitmap::from_planes([1, 2, 3], &[10, 20, 30, 30, 40, 51]);
        let small = bitmap.shrunk(2);
        assert_eq!((small.width, small.height), (2, 1));
        assert_eq!(small.rgb, [25, 25, 25, 41, 41, 41]);
    }
}
