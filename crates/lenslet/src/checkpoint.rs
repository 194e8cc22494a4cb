//! Checkpoints: a network's weights in a safetensors file, with all that is needed to use them.
//!
//! Tensors have the names and layouts of PyTorch's `state_dict`, so `safetensors.torch.load_file` gives a dictionary that
//! `load_state_dict` takes. The file's metadata holds what `predict` and `eval` need, as JSON under the key `lenslet`.
//! What else training goes on from is no part of it, see [`mod@crate::state`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lenslet_data::Filter;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::tensor_file::{self, COUNT, Tensor, file_error, not_whole};
use crate::{Error, Normalization, TestTime, Weights, files, state};

/// What a checkpoint says about its network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of Lenslet that wrote it.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// C×H×W of the images.
    pub input: [usize; 3],
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// How pixels become numbers.
    pub normalization: Normalization,
    /// The data set it was trained on, as given.
    pub data: String,
    /// Epochs of training.
    pub epoch: usize,
    /// Accuracy of these weights on the test images, from 0 to 1; none if training was stopped before it was known.
    pub test_accuracy: Option<f64>,
    /// How images of other sizes are brought to `input`'s; the same must be done to those it is asked about.
    #[serde(default)]
    pub filter: Filter,
    /// Which views of an image it was tested by.
    #[serde(default)]
    pub test_time: TestTime,
}

/// The metadata's key.
const KEY: &str = "lenslet";

/// Writes a checkpoint; an earlier one at `path` is replaced in one go.
///
/// # Errors
/// [`Error::File`] if the folder cannot be written to or is full; an earlier checkpoint is then still there.
pub fn save(path: &Path, description: &Description, weights: &Weights) -> Result<(), Error> {
    let tensors = tensors(weights);
    let of = |tensor: &Tensor| (tensor.name.clone(), hash(&tensor.data));
    let word = Word { description: description.clone(), checksum: Some(checksum(tensors.iter().map(of).collect())) };
    let bytes = tensor_file::encode(&tensors, KEY, &word).map_err(|problem| file_error(path, problem))?;
    files::write(path, &bytes).map_err(|error| {
        file_error(path, format!("the checkpoint cannot be written: {error}; an earlier one is untouched"))
    })
}

/// The metadata: the description, and a checksum of the values. Files that other programs wrote may lack it.
#[derive(Serialize, Deserialize)]
struct Word {
    #[serde(flatten)]
    description: Description,
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

/// A hash of all hashes, by the names of the tensors, whose order in the file is of no account.
fn checksum(hashes: BTreeMap<String, String>) -> String {
    hash(format!("{hashes:?}").as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", xxh3_128(bytes))
}

/// The weights as PyTorch keeps them.
fn tensors(weights: &Weights) -> Vec<Tensor> {
    let tensor = |(number, parameter): (usize, &lenslet_graph::Parameter)| {
        let (name, shape, values) = (parameter.name.clone(), parameter.shape.dims(), weights.values(number));
        if !name.ends_with(COUNT) {
            return Tensor::f32(name, shape, values);
        }
        let data = values.iter().flat_map(|&count| (count as i64).to_le_bytes()).collect();
        Tensor { name, dtype: Dtype::I64, shape: shape.to_vec(), data }
    };
    weights.parameters().iter().enumerate().map(tensor).collect()
}

/// A checkpoint's bytes, read but not yet fitted to a network.
pub struct Checkpoint {
    bytes: Vec<u8>,
    description: Description,
    path: PathBuf,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::File`] if there is none, it is cut short, or Lenslet did not write it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_bytes(tensor_file::read(path)?, path)
    }

    /// The same, from memory; `path` is for messages.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    #[doc(hidden)]
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let (tensors, json) = tensor_file::decode(&bytes, KEY).map_err(|problem| not_whole(path, problem))?;
        let json = json.ok_or_else(|| file_error(path, no_description(&tensors)))?;
        let Word { description, checksum: written } = serde_json::from_str(&json).map_err(|error| {
            let problem = format!("the checkpoint's description cannot be read: {error}");
            file_error(path, format!("{problem}\n  mend it: give another checkpoint of the run"))
        })?;
        let found = || checksum(tensors.iter().map(|(name, view)| (name.to_owned(), hash(view.data()))).collect());
        if written.is_some_and(|written| written != found()) {
            return Err(not_whole(path, "its values are not those that were written, by their checksum".into()));
        }
        let Normalization { mean, std } = &description.normalization;
        let channels = description.input[0];
        if mean.len() != channels || std.len() != channels || std.iter().any(|&std| std <= 0.0) {
            let problem =
                format!("the checkpoint's normalisation does not fit its images of {channels} channels; train again");
            return Err(file_error(path, problem));
        }
        Ok(Self { bytes, description, path: path.to_owned() })
    }

    /// What it says about its network.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Puts its values into `weights`, which must have the same names and sizes.
    ///
    /// # Errors
    /// [`Error::File`] that names the parameters which are missing, too many, of other sizes, or no numbers; `weights` are
    /// then as they were.
    pub fn load_into(&self, weights: &mut Weights) -> Result<(), Error> {
        let broken = |problem: String| not_whole(&self.path, problem);
        let (tensors, _) = tensor_file::decode(&self.bytes, KEY).map_err(broken)?;
        let expected = weights.parameters().iter().map(|parameter| (parameter.name.clone(), parameter));
        let faults = tensor_file::faults(&tensors, expected);
        if !faults.is_empty() {
            let network = &self.description.network;
            let faults = tensor_file::list(faults);
            return Err(file_error(&self.path, format!("the weights do not fit the network {network}:\n  {faults}")));
        }
        if let Some(name) = tensor_file::not_finite(&tensors) {
            let problem = format!("the parameter {name} has values that are no numbers");
            return Err(file_error(&self.path, format!("{problem}\n  mend it: give another checkpoint of the run")));
        }
        for number in 0..weights.parameters().len() {
            let view = tensors.tensor(&weights.parameters()[number].name).map_err(|error| broken(error.to_string()))?;
            tensor_file::copy(&view, weights.values_mut(number));
        }
        Ok(())
    }
}

/// What is said of a safetensors file without a word about its network.
fn no_description(tensors: &SafeTensors<'_>) -> String {
    if state::is_state(tensors) {
        "this is a training state, from which a run goes on\n  mend it: give the run's folder, or best.safetensors in it"
    } else {
        "the file has weights but no word about their network; give a checkpoint that lenslet train wrote"
    }
    .into()
}
