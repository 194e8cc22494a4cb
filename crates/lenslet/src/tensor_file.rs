//! What checkpoints and training states share: values under names, and a word about them, in the safetensors format
//! (<https://github.com/huggingface/safetensors>, "Format").
//!
//! *Invariant:* nothing that a file claims is believed before it was compared with the file's size: neither the length of
//! its header nor where its tensors end. The crate adds up those claims and would overflow.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use lenslet_graph::Parameter;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::Error;

/// PyTorch keeps this count as a 64-bit integer.
pub(crate) const COUNT: &str = "num_batches_tracked";

/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// A tensor to be written.
pub(crate) struct Tensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Vec<u8>,
}

impl Tensor {
    /// 32-bit numbers, to the bit.
    pub(crate) fn f32(name: String, shape: &[usize], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { name, dtype: Dtype::F32, shape: shape.to_vec(), data }
    }
}

/// A whole file: tensors, and `word` as JSON under `key`.
pub(crate) fn encode(tensors: &[Tensor], key: &str, word: &impl Serialize) -> Result<Vec<u8>, String> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.data).map_err(|e| e.to_string())?;
        Ok((&tensor.name, view))
    });
    let views = views.collect::<Result<Vec<_>, String>>()?;
    let json = serde_json::to_string(word).map_err(|e| e.to_string())?;
    // One entry only: a map of several is written in an order of chance, and the same weights must be the same bytes.
    safetensors::serialize(views, Some(HashMap::from([(key.to_owned(), json)]))).map_err(|e| e.to_string())
}

/// Reads a file that may be one of ours. Whatever else is given for it (a folder, a device, a film of many gigabytes) is
/// refused after its first bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let cannot_be_read = |error: std::io::Error| file_error(path, format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(cannot_be_read)?;
    if !metadata.is_file() {
        let what = if metadata.is_dir() { "a folder" } else { "no regular file" };
        return Err(file_error(path, format!("expected a safetensors file, found {what}")));
    }
    let mut file = File::open(path).map_err(cannot_be_read)?;
    let mut bytes = vec![];
    file.by_ref().take(8).read_to_end(&mut bytes).map_err(cannot_be_read)?;
    header_length(&bytes, metadata.len()).map_err(|problem| not_whole(path, problem))?;
    file.read_to_end(&mut bytes).map_err(cannot_be_read)?;
    Ok(bytes)
}

/// The length of the header, which must fit into a file of `size` bytes that begins with `bytes`.
fn header_length(bytes: &[u8], size: u64) -> Result<usize, String> {
    let Some(length) = bytes.first_chunk() else {
        return Err(if bytes.is_empty() { "it is empty".into() } else { format!("it has only {} bytes", bytes.len()) });
    };
    match u64::from_le_bytes(*length) {
        length if length > LONGEST_HEADER => {
            Err("its first 8 bytes give no possible length of a header, so it is likely something else".into())
        }
        length if length > size.saturating_sub(8) => {
            Err(format!("its header should have {length} bytes, but the file ends after {size}"))
        }
        length => Ok(length as usize),
    }
}

/// Of a tensor in a header, what must be looked at first.
#[derive(Deserialize)]
struct Claim {
    data_offsets: Option<[u64; 2]>,
}

/// The tensors in `bytes`, and the word under `key` where there is one.
pub(crate) fn decode<'a>(bytes: &'a [u8], key: &str) -> Result<(SafeTensors<'a>, Option<String>), String> {
    let length = header_length(bytes, bytes.len() as u64)?;
    let (header, data) = bytes[8..].split_at(length);
    let claims: HashMap<String, Claim> =
        serde_json::from_slice(header).map_err(|error| format!("its header cannot be read: {error}"))?;
    for (name, claim) in claims {
        if let Some([_, end]) = claim.data_offsets.filter(|[_, end]| *end > data.len() as u64) {
            let held = data.len();
            return Err(format!("its tensor {name} should end at byte {end} of the data, of which there are {held}"));
        }
    }
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
    let word = metadata.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    Ok((tensors, word))
}

/// Puts a tensor's values, which [`faults`] has looked at, where they belong.
pub(crate) fn copy(view: &TensorView<'_>, values: &mut [f32]) {
    match view.dtype() {
        Dtype::I64 => numbers(view.data(), values, |bytes| i64::from_le_bytes(bytes) as f32),
        _ => numbers(view.data(), values, f32::from_le_bytes),
    }
}

fn numbers<const N: usize>(bytes: &[u8], values: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = number(bytes);
    }
}

/// What keeps tensors from being the values of these parameters, by the names that they have in the file; a line each.
pub(crate) fn faults<'a>(
    tensors: &SafeTensors<'_>,
    expected: impl Iterator<Item = (String, &'a Parameter)>,
) -> Vec<String> {
    let mut faults = vec![];
    let mut surplus: std::collections::BTreeSet<&str> = tensors.names().into_iter().collect();
    for (name, parameter) in expected {
        surplus.remove(&*name);
        let fits = |dtype| dtype == Dtype::F32 || (dtype == Dtype::I64 && name.ends_with(COUNT));
        match tensors.tensor(&name) {
            Err(_) => faults.push(format!("{name} is missing")),
            Ok(view) if view.shape() != parameter.shape.dims() => {
                faults.push(format!("{name} is {:?}, but must be {:?}", view.shape(), parameter.shape.dims()));
            }
            Ok(view) if !fits(view.dtype()) => {
                faults.push(format!("{name} holds {:?}, but must hold F32", view.dtype()));
            }
            Ok(_) => {}
        }
    }
    faults.extend(surplus.into_iter().map(|name| format!("{name} is not in the network")));
    faults
}

/// The first tensor that holds a value which is no number, if there is one.
pub(crate) fn not_finite<'a>(tensors: &SafeTensors<'a>) -> Option<String> {
    let is_number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_finite();
    let floats = tensors.iter().filter(|(_, view)| view.dtype() == Dtype::F32);
    let mut wrong = floats.filter(|(_, view)| !view.data().as_chunks::<4>().0.iter().all(is_number));
    wrong.next().map(|(name, _)| name.to_owned())
}

/// Faults as the end of a message; of many, the first few.
pub(crate) fn list(mut faults: Vec<String>) -> String {
    const SHOWN: usize = 8;
    if faults.len() > SHOWN {
        let more = format!("and {} more", faults.len() - SHOWN);
        faults.truncate(SHOWN);
        faults.push(more);
    }
    faults.join("\n  ")
}

pub(crate) fn not_whole(path: &Path, problem: String) -> Error {
    file_error(
        path,
        format!(
            "this is no whole safetensors file: {problem}\n  \
             mend it: give a checkpoint that lenslet train wrote; if this one was cut short or damaged, another one of the run"
        ),
    )
}

pub(crate) fn file_error(path: &Path, problem: String) -> Error {
    Error::File { path: path.to_owned(), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight tensors whose claimed sizes add up beyond 64 bits: the crate alone would overflow.
    #[test]
    fn claims_that_overflow_are_refused() {
        let huge = (1_u64 << 61) - 1;
        let tensors: Vec<String> = (0..8)
            .map(|n| {
                format!(
                    "\"{n}\":{{\"dtype\":\"U8\",\"shape\":[{huge}],\"data_offsets\":[{},{}]}}",
                    n * huge,
                    (n + 1) * huge
                )
            })
            .collect();
        let header = format!("{{{}}}", tensors.join(","));
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat();
        let error = decode(&bytes, "key").expect_err("it is refused");
        assert!(error.contains("of which there are 0"), "{error}");
    }

    #[test]
    fn long_lists_are_shortened() {
        let faults: Vec<String> = (1..=10).map(|n| format!("p{n} is missing")).collect();
        assert!(list(faults).ends_with("p8 is missing\n  and 2 more"));
    }
}
