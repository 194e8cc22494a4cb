//! Checkpoints: a network's weights in a safetensors file, with all that is needed to use them.
//!
//! Tensors have the names and layouts of PyTorch's `state_dict`, so `safetensors.torch.load_file` gives a dictionary that
//! `load_state_dict` takes. The file's metadata holds what `predict` and `eval` need, as JSON under the key `lenslet`.
//! A file is written beside its place and then renamed, so a reader sees the old one or the new one, never a torn one
//! (<https://github.com/huggingface/safetensors>, "Format").

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use lenslet_data::Filter;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::{Error, Normalization, Weights};

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
}

/// The metadata's key.
const KEY: &str = "lenslet";

/// PyTorch keeps this count as a 64-bit integer.
const COUNT: &str = "num_batches_tracked";

/// Writes a checkpoint; an earlier one at `path` is replaced in one go.
///
/// # Errors
/// [`Error::File`] if the folder cannot be written to or is full; an earlier checkpoint is then still there.
pub fn save(path: &Path, description: &Description, weights: &Weights) -> Result<(), Error> {
    let bytes = encode(description, weights).map_err(|problem| file_error(path, problem))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = beside(folder)?;
        file.write_all(&bytes)?;
        // On disk before it takes the old one's name, and the name on disk before anyone relies on it.
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| {
        file_error(path, format!("the checkpoint cannot be written: {error}; an earlier one is untouched"))
    })
}

/// A new file in `folder`, which others may read if the user's `umask` lets them: temporary files are private otherwise.
fn beside(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let permissions = std::fs::Permissions::from_mode(0o666);
        tempfile::Builder::new().permissions(permissions).tempfile_in(folder)
    }
    #[cfg(not(unix))]
    tempfile::NamedTempFile::new_in(folder)
}

fn encode(description: &Description, weights: &Weights) -> Result<Vec<u8>, String> {
    let data: Vec<(Dtype, Vec<u8>)> = (0..weights.parameters().len())
        .map(|number| {
            let values = weights.values(number);
            if weights.parameters()[number].name.ends_with(COUNT) {
                (Dtype::I64, values.iter().flat_map(|&count| (count as i64).to_le_bytes()).collect())
            } else {
                (Dtype::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
            }
        })
        .collect();
    let tensors = weights.parameters().iter().zip(&data).map(|(parameter, (dtype, data))| {
        let view = TensorView::new(*dtype, parameter.shape.dims().to_vec(), data).map_err(|e| e.to_string())?;
        Ok((parameter.name.clone(), view))
    });
    let tensors = tensors.collect::<Result<Vec<_>, String>>()?;
    let json = serde_json::to_string(description).map_err(|e| e.to_string())?;
    // One entry only: a map of several is written in an order of chance, and the same weights must be the same bytes.
    let metadata = HashMap::from([(KEY.to_owned(), json)]);
    safetensors::serialize(tensors, Some(metadata)).map_err(|e| e.to_string())
}

/// A checkpoint's bytes, read but not yet fitted to a network.
pub struct Checkpoint {
    bytes: Vec<u8>,
    description: Description,
    path: std::path::PathBuf,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`Error::File`] if there is none, it is cut short, or Lenslet did not write it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| file_error(path, format!("cannot be read: {error}")))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| not_a_checkpoint(path, &error))?;
        SafeTensors::deserialize(&bytes).map_err(|error| not_a_checkpoint(path, &error))?;
        let json = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY)).ok_or_else(|| {
            file_error(
                path,
                "the file has weights but no word about their network; give a checkpoint that lenslet train wrote"
                    .into(),
            )
        })?;
        let description: Description = serde_json::from_str(json)
            .map_err(|error| file_error(path, format!("the checkpoint's description cannot be read: {error}")))?;
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
    /// [`Error::File`] that names the parameters which are missing, too many, or of other sizes; `weights` are then as
    /// they were.
    pub fn load_into(&self, weights: &mut Weights) -> Result<(), Error> {
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|error| not_a_checkpoint(&self.path, &error))?;
        let faults = faults(&tensors, weights);
        if !faults.is_empty() {
            let network = &self.description.network;
            return Err(file_error(
                &self.path,
                format!("the weights do not fit the network {network}:\n  {}", faults.join("\n  ")),
            ));
        }
        for number in 0..weights.parameters().len() {
            let view =
                tensors.tensor(&weights.parameters()[number].name).map_err(|e| not_a_checkpoint(&self.path, &e))?;
            let values = weights.values_mut(number);
            match view.dtype() {
                Dtype::I64 => read(view.data(), values, |bytes| i64::from_le_bytes(bytes) as f32),
                _ => read(view.data(), values, f32::from_le_bytes),
            }
        }
        Ok(())
    }
}

/// What keeps tensors from being the values of `weights`, a line each.
fn faults(tensors: &SafeTensors<'_>, weights: &Weights) -> Vec<String> {
    let mut faults = vec![];
    for parameter in weights.parameters() {
        let name = &parameter.name;
        match tensors.tensor(name) {
            Err(_) => faults.push(format!("{name} is missing")),
            Ok(view) if view.shape() != parameter.shape.dims() => {
                faults.push(format!("{name} is {:?}, but must be {:?}", view.shape(), parameter.shape.dims()));
            }
            Ok(view) if !matches!(view.dtype(), Dtype::F32) && !name.ends_with(COUNT) => {
                faults.push(format!("{name} holds {:?}, but must hold F32", view.dtype()));
            }
            Ok(_) => {}
        }
    }
    let known = |name: &str| weights.number(name).is_some();
    faults.extend(
        tensors.names().into_iter().filter(|name| !known(name)).map(|name| format!("{name} is not in the network")),
    );
    faults
}

fn read<const N: usize>(bytes: &[u8], values: &mut [f32], number: impl Fn([u8; N]) -> f32) {
    for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks::<N>().0) {
        *value = number(bytes);
    }
}

fn not_a_checkpoint(path: &Path, error: &safetensors::SafeTensorError) -> Error {
    file_error(
        path,
        format!("this is no whole safetensors file ({error}); it may be cut short: use another checkpoint of the run"),
    )
}

fn file_error(path: &Path, problem: String) -> Error {
    Error::File { path: path.to_owned(), problem }
}
