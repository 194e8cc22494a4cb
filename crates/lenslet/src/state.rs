//! The state of training: all that a run goes on from, to the bit.
//!
//! A safetensors file with the weights (`weights.NAME`), what the optimizer remembers (`first.NAME`, `second.NAME`), averages
//! (`ema.NAME`, `slow.NAME`), and a [`Standing`] as JSON. The order of images is a function of seed and epoch and dropout one of seed, step and image, so
//! nothing else is needed. All numbers are kept as they are, counts among the weights too.
//!
//! *Invariant:* a state is used whole or not at all. The tensor `checksum` stands last in the file, since safetensors puts
//! the smallest numbers there, and holds the XXH3 of every byte before it; a state that was torn or flipped is refused
//! before anything in it is believed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lenslet_data::Dataset;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::averaging::Averages;
use crate::tensor_file::{self, Tensor, file_error};
use crate::training::SoFar;
use crate::{Error, Settings, Trainer, files};

/// The metadata's key.
const KEY: &str = "lenslet-state";

/// The tensor that holds the hash of all bytes before it.
const CHECKSUM: &str = "checksum";

/// Bytes of the checksum.
const LENGTH: usize = 16;

/// Where a state stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Version of Lenslet that wrote it.
    pub version: String,
    /// What it was trained with.
    pub settings: Settings,
    /// Steps done since the beginning.
    pub step: u32,
    /// Steps that the optimizer has counted.
    pub optimizer_steps: u32,
    /// The epoch that it stands in.
    pub so_far: SoFar,
    /// What the run has come to.
    pub record: Record,
}

/// What a run has come to, beside its weights: kept for whoever drives the trainer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// States written before this one.
    pub number: u64,
    /// Epochs that were trained and tested.
    pub epochs_done: usize,
    /// The best test accuracy, and its epoch.
    pub best: Option<(f64, usize)>,
    /// Time since training began, pauses not counted.
    pub elapsed: Duration,
}

/// A state, read and found whole.
pub struct State {
    bytes: Vec<u8>,
    standing: Standing,
    path: PathBuf,
}

impl State {
    /// Reads a state.
    ///
    /// # Errors
    /// [`Error::File`] if there is none, or it is not as it was written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::from_bytes(tensor_file::read(path)?, path)
    }

    /// The same, from memory; `path` is for messages.
    ///
    /// # Errors
    /// As [`State::open`].
    #[doc(hidden)]
    pub fn from_bytes(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        Ok(Self { standing: check(&bytes).map_err(|problem| damaged(path, &problem))?, bytes, path: path.to_owned() })
    }

    /// Where it stands.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn check(bytes: &[u8]) -> Result<Standing, String> {
    let (content, checksum) = bytes.split_last_chunk::<LENGTH>().ok_or("it is too short")?;
    if xxh3_128(content).to_le_bytes() != *checksum {
        return Err("its checksum does not fit".into());
    }
    let (tensors, json) = tensor_file::decode(bytes, KEY)?;
    if !is_state(&tensors) {
        return Err("it is none".into());
    }
    let json = json.ok_or("it does not say where it stands")?;
    let standing: Standing =
        serde_json::from_str(&json).map_err(|error| format!("where it stands cannot be read: {error}"))?;
    standing.settings.check().map_err(|error| error.to_string())?;
    // Steps are counted in 31 bits, so that the next one is a number too.
    let numbers = standing.so_far.is_possible() && standing.step.max(standing.optimizer_steps) < i32::MAX as u32;
    if numbers { Ok(standing) } else { Err("it stands at an impossible place".into()) }
}

fn damaged(path: &Path, problem: &str) -> Error {
    file_error(path, format!("this is no whole training state: {problem}"))
}

/// Whether a file's tensors are those of a state.
pub(crate) fn is_state(tensors: &SafeTensors<'_>) -> bool {
    tensors.tensor(CHECKSUM).is_ok_and(|view| view.dtype() == Dtype::U8 && view.shape() == [LENGTH])
}

/// Makes the checksum fit the bytes: for tests that change a state behind its back.
#[doc(hidden)]
pub fn seal(bytes: &mut [u8]) {
    if let Some((content, checksum)) = bytes.split_last_chunk_mut::<LENGTH>() {
        *checksum = xxh3_128(content).to_le_bytes();
    }
}

impl Trainer {
    /// Writes all that training goes on from; an earlier file at `path` is replaced in one go.
    ///
    /// # Errors
    /// [`Error::File`] if the folder cannot be written to or is full; an earlier state is then still there.
    pub fn save_state(&self, path: &Path, record: &Record) -> Result<(), Error> {
        let bytes = self.state(record).map_err(|problem| file_error(path, problem))?;
        files::write(path, &bytes).map_err(|error| {
            file_error(path, format!("the training state cannot be written: {error}; an earlier one is untouched"))
        })
    }

    fn state(&self, record: &Record) -> Result<Vec<u8>, String> {
        let standing = Standing {
            version: env!("CARGO_PKG_VERSION").into(),
            settings: self.settings.clone(),
            step: self.step,
            optimizer_steps: self.optimizer.steps(),
            so_far: self.so_far.clone(),
            record: record.clone(),
        };
        let mut tensors =
            vec![Tensor { name: CHECKSUM.into(), dtype: Dtype::U8, shape: vec![LENGTH], data: vec![0; LENGTH] }];
        for (kind, values) in self.numbers() {
            let parameters = self.weights.parameters().iter().enumerate().filter(|_| !values.is_empty());
            tensors.extend(parameters.map(|(number, parameter)| {
                Tensor::f32(named(kind, &parameter.name), parameter.shape.dims(), &values[self.weights.range(number)])
            }));
        }
        let mut bytes = tensor_file::encode(&tensors, KEY, &standing)?;
        seal(&mut bytes);
        Ok(bytes)
    }

    /// Goes on from a state: the next call of [`Trainer::epoch`] for the epoch that it stands in does what is left of it.
    ///
    /// # Errors
    /// [`Error::File`] if it is a state of another network or of other settings (only the number of epochs may differ); the
    /// trainer is then as it was.
    pub fn restore(&mut self, state: &State) -> Result<(), Error> {
        let State { bytes, standing, path } = state;
        if (Settings { epochs: self.settings.epochs, ..standing.settings.clone() }) != self.settings {
            let problem = "the training state belongs to other settings; go on with those that it was begun with";
            return Err(file_error(path, problem.into()));
        }
        let (tensors, _) = tensor_file::decode(bytes, KEY).map_err(|problem| damaged(path, &problem))?;
        let faults = self.faults(&tensors);
        if !faults.is_empty() {
            let faults = tensor_file::list(faults);
            return Err(file_error(path, format!("the training state does not fit the network:\n  {faults}")));
        }
        let Self { weights, optimizer, averages, .. } = self;
        for number in 0..weights.parameters().len() {
            let (name, range) = (weights.parameters()[number].name.clone(), weights.range(number));
            let [first, second] = optimizer.memory_mut();
            let Averages { ema, slow, .. } = averages;
            let ema = ema.as_mut().map_or(&mut [][..], |ema| ema.all_mut());
            let kinds =
                [("weights", weights.all_mut()), ("first", first), ("second", second), ("ema", ema), ("slow", slow)];
            for (kind, values) in kinds {
                let view = tensors.tensor(&named(kind, &name));
                // Not every training has all of them.
                if let (Some(values), Ok(view)) = (values.get_mut(range.clone()), view) {
                    tensor_file::copy(&view, values);
                }
            }
        }
        optimizer.set_steps(standing.optimizer_steps);
        // What was learning before is not in the state: nothing is said of parameters that had no gradient since.
        self.learning.fill(true);
        self.step = standing.step;
        self.so_far = standing.so_far.clone();
        Ok(())
    }

    /// Bytes of a state on a disk, but for a few kilobytes of text.
    pub fn state_bytes(&self) -> u64 {
        let kinds = self.numbers().iter().filter(|(_, values)| !values.is_empty()).count();
        (kinds * self.weights.numbers() * size_of::<f32>()) as u64
    }

    /// All numbers that training goes on from, each kind one for each weight, or empty where the training has none.
    fn numbers(&self) -> [(&'static str, &[f32]); 5] {
        let [first, second] = self.optimizer.memory();
        let ema = self.averages.ema.as_ref().map_or(&[][..], |ema| ema.all());
        [
            ("weights", self.weights.all()),
            ("first", first),
            ("second", second),
            ("ema", ema),
            ("slow", &self.averages.slow),
        ]
    }

    /// What keeps tensors from being a state of this trainer.
    fn faults(&self, tensors: &SafeTensors<'_>) -> Vec<String> {
        let kinds = self.numbers().into_iter().filter(|(_, values)| !values.is_empty());
        let expected =
            kinds.flat_map(|(kind, _)| self.weights.parameters().iter().map(move |p| (named(kind, &p.name), p)));
        let mut faults = tensor_file::faults(tensors, expected);
        faults.retain(|fault| !fault.starts_with(CHECKSUM));
        faults
    }
}

/// The name of a parameter's tensor.
fn named(kind: &str, parameter: &str) -> String {
    format!("{kind}.{parameter}")
}

/// A hash of all that a data set brings into training: sizes, names of the classes, labels and pixels; not their order,
/// which is that of their files and decides nothing.
pub fn fingerprint(data: &Dataset) -> String {
    let mut hash = Xxh3::new();
    for size in [data.channels, data.height, data.width, data.classes.len()] {
        hash.update(&(size as u64).to_le_bytes());
    }
    for class in &data.classes {
        hash.update(&(class.len() as u64).to_le_bytes());
        hash.update(class.as_bytes());
    }
    for split in [&data.train, &data.test] {
        hash.update(&(split.len() as u64).to_le_bytes());
        for image in split.by_content().iter().map(|&image| image as usize) {
            hash.update(&split.labels[image].to_le_bytes());
            hash.update(split.image(image));
        }
    }
    format!("{:032x}", hash.digest128())
}
