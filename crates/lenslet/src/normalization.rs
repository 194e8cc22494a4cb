//! From bytes to numbers: `(pixel / 255 − mean) / std`, per channel, as torchvision's `ToTensor` and `Normalize`.

use serde::{Deserialize, Serialize};

/// Mean and spread that pixels from 0 to 1 are normalised with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// Subtracted; one per channel.
    pub mean: Vec<f32>,
    /// Divided by; one per channel.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Mean 0.5 and spread 0.5: pixels from −1 to 1, as in PyTorch's tutorials.
    pub fn half(channels: usize) -> Self {
        Self { mean: vec![0.5; channels], std: vec![0.5; channels] }
    }

    /// What each byte of each channel becomes.
    pub fn table(&self) -> Vec<[f32; 256]> {
        let channel = |(&mean, &std): (&f32, &f32)| std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        self.mean.iter().zip(&self.std).map(channel).collect()
    }
}

/// Looks up each byte of a C×H×W image in its channel's table.
pub(crate) fn apply(table: &[[f32; 256]], pixels: &[u8], values: &mut [f32]) {
    let plane = values.len() / table.len();
    for ((values, pixels), table) in values.chunks_exact_mut(plane).zip(pixels.chunks_exact(plane)).zip(table) {
        for (value, &pixel) in values.iter_mut().zip(pixels) {
            *value = table[usize::from(pixel)];
        }
    }
}
