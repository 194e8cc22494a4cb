//! From bytes to numbers: `(pixel / 255 − mean) / std`, per channel, as torchvision's `ToTensor` and `Normalize`.
//!
//! A table says what each byte becomes. Looking up byte by byte takes longer than the arithmetic does in vectors, so that is
//! done wherever it comes to the table's very bits, for all bytes of a channel.

use lenslet_cpu::Isa;
use lenslet_cpu::loops::{self, Loops};
use lenslet_data::Split;
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

    /// The mean and spread of all pixels of `images`, per channel: what torchvision's recipes call `Normalize(mean, std)`.
    pub fn of(images: &Split, channels: usize) -> Self {
        let plane = images.images.len() / images.len().max(1) / channels;
        let mut counts = vec![[0_u64; 256]; channels];
        for (i, plane) in images.images.chunks_exact(plane.max(1)).enumerate() {
            plane.iter().for_each(|&byte| counts[i % channels][usize::from(byte)] += 1);
        }
        let moment = |counts: &[u64; 256], power: i32| {
            let sum: f64 = (0..256).map(|byte| counts[byte] as f64 * (byte as f64 / 255.0).powi(power)).sum();
            sum / counts.iter().sum::<u64>().max(1) as f64
        };
        let mean = counts.iter().map(|counts| moment(counts, 1) as f32).collect();
        let spread = |counts| (moment(counts, 2) - moment(counts, 1).powi(2)).max(0.0).sqrt();
        // A channel of one colour says nothing, and must not be divided by 0.
        let std =
            counts.iter().map(|counts| Some(spread(counts) as f32).filter(|&std| std > 1e-3).unwrap_or(1.0)).collect();
        Self { mean, std }
    }

    /// What each byte of each channel becomes.
    pub fn table(&self) -> Table {
        Table(self.mean.iter().zip(&self.std).map(|(&mean, &std)| Channel::new(mean, std)).collect())
    }
}

/// What each byte of each channel becomes.
#[derive(Clone, Debug)]
pub struct Table(Vec<Channel>);

#[derive(Clone, Debug)]
struct Channel {
    values: [f32; 256],
    /// The same by arithmetic, where that is possible.
    arithmetic: Option<Arithmetic>,
}

impl Table {
    /// Puts each byte of a C×H×W image through its channel's table.
    pub(crate) fn apply(&self, pixels: &[u8], values: &mut [f32]) {
        let plane = values.len() / self.0.len();
        let planes = values.chunks_exact_mut(plane).zip(pixels.chunks_exact(plane));
        for ((values, pixels), channel) in planes.zip(&self.0) {
            match channel.arithmetic {
                Some(arithmetic) => loops::run(Calculate { arithmetic, pixels, values }),
                None => values.iter_mut().zip(pixels).for_each(|(v, &byte)| *v = channel.values[usize::from(byte)]),
            }
        }
    }
}

impl Channel {
    fn new(mean: f32, std: f32) -> Self {
        let values = std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std);
        let arithmetic = Arithmetic { mean, std, inverse: 1.0 / std };
        let mut calculated = [0.0; 256];
        let pixels: [u8; 256] = std::array::from_fn(|byte| byte as u8);
        // Without the instruction a fused multiply-add is a slow call.
        let has_instruction = Isa::detect() != Isa::Portable;
        if has_instruction {
            loops::run(Calculate { arithmetic, pixels: &pixels, values: &mut calculated });
        }
        let exact = has_instruction && calculated.map(f32::to_bits) == values.map(f32::to_bits);
        Self { values, arithmetic: exact.then_some(arithmetic) }
    }
}

/// The formula of one channel.
#[derive(Clone, Copy, Debug)]
struct Arithmetic {
    mean: f32,
    std: f32,
    /// 1 / std.
    inverse: f32,
}

/// A channel's formula applied to bytes.
struct Calculate<'a> {
    arithmetic: Arithmetic,
    pixels: &'a [u8],
    values: &'a mut [f32],
}

impl Loops for Calculate<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Arithmetic { mean, std, inverse } = self.arithmetic;
        for (value, &byte) in self.values.iter_mut().zip(self.pixels) {
            let share = divide(f32::from(byte), 255.0, 1.0 / 255.0);
            *value = divide(share - mean, std, inverse);
        }
    }
}

/// `a / b`, given `1 / b`: the quotient is mended by its remainder, which makes it right to the last bit but for rare numbers
/// (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", 1990).
#[inline(always)]
fn divide(a: f32, b: f32, inverse: f32) -> f32 {
    let quotient = a * inverse;
    let remainder = (-quotient).mul_add(b, a);
    remainder.mul_add(inverse, quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_becomes_what_the_formula_says() {
        // Usual ones: to ±1, CIFAR-10's, ImageNet's; and some that arithmetic cannot do or that are no numbers.
        let usual = [(0.5, 0.5), (0.4914, 0.247), (0.485, 0.229), (0.0, 1.0), (0.1307, 0.3081)];
        let odd = [(0.5, 1e-40), (0.3, 0.0), (f32::INFINITY, 1.0), (0.5, 1e38)];
        for (mean, std) in usual.into_iter().chain(odd) {
            let table = Normalization { mean: vec![0.0, mean], std: vec![1.0, std] }.table();
            let pixels: Vec<u8> = (0..512).map(|i| (i % 256) as u8).collect();
            let mut values = vec![0.0; 512];
            table.apply(&pixels, &mut values);
            for (i, value) in values.iter().enumerate() {
                let byte = (i % 256) as f32;
                let expected = if i < 256 { byte / 255.0 } else { (byte / 255.0 - mean) / std };
                let same = value.to_bits() == expected.to_bits() || (value.is_nan() && expected.is_nan());
                assert!(same, "{byte} with mean {mean} and std {std} became {value}, not {expected}");
            }
        }
        for (mean, std) in usual {
            let has_instruction = Isa::detect() != Isa::Portable;
            assert_eq!(Channel::new(mean, std).arithmetic.is_some(), has_instruction, "{mean} {std}");
        }
    }
}
