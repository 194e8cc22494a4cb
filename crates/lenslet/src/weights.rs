//! Weights: the values of a network's parameters, under the names of PyTorch's `state_dict`.
//!
//! All values stand in one block, in the order of the graph's parameters, each from a cache line on ([`graph::offsets`]); so a backend, an optimizer
//! and a file can walk them without knowing the network. Running statistics are among them.

use lenslet_cpu::{Buffer, Version};
use lenslet_graph::{Graph, Init, Parameter, graph};
use lenslet_rng::{Purpose, Stream};

/// The parameters of a network with their values.
#[derive(Clone, Debug)]
pub struct Weights {
    parameters: Vec<Parameter>,
    offsets: Vec<usize>,
    values: Buffer,
    /// A new one whenever values may be changed.
    version: Version,
}

impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        self.parameters == other.parameters && *self.values == *other.values
    }
}

impl Weights {
    /// The parameters of a graph as they begin: PyTorch's defaults, drawn for each parameter by `seed` and its number.
    pub fn new(graph: &Graph, seed: u64) -> Self {
        let offsets = graph::offsets(&graph.parameters);
        let mut weights = Self {
            parameters: graph.parameters.clone(),
            values: Buffer::new(offsets[graph.parameters.len()]),
            offsets,
            version: Version::new(),
        };
        for number in 0..weights.parameters.len() {
            let init = weights.parameters[number].init;
            let mut random = Stream::new(seed, Purpose::Init, number as u32, 0);
            for value in weights.values_mut(number) {
                *value = match init {
                    Init::Uniform { bound } => random.range(-bound, bound),
                    Init::Constant(constant) => constant,
                };
            }
        }
        weights
    }

    /// The parameters, without their values.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// All values, in the order of the parameters; numbers between these are 0.
    pub fn all(&self) -> &[f32] {
        &self.values
    }

    /// The values' name, for a backend that remembers what it made of them.
    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// All values, to be changed.
    pub fn all_mut(&mut self) -> &mut [f32] {
        self.version = Version::new();
        &mut self.values
    }

    /// The parameter of this number's values, in PyTorch's order.
    pub fn values(&self, number: usize) -> &[f32] {
        &self.values[self.range(number)]
    }

    /// The parameter of this number's values, to be changed.
    pub fn values_mut(&mut self, number: usize) -> &mut [f32] {
        self.version = Version::new();
        let range = self.range(number);
        &mut self.values[range]
    }

    /// Where the parameter of this number stands in [`Weights::all`].
    pub fn range(&self, number: usize) -> std::ops::Range<usize> {
        let first = self.offsets[number];
        first..first + self.parameters[number].shape.len()
    }

    /// The number of the parameter of this name.
    pub fn number(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name)
    }

    /// How many numbers there are in all, running statistics among them.
    pub fn numbers(&self) -> usize {
        self.parameters.iter().map(|p| p.shape.len()).sum()
    }

    /// How many numbers training changes: what is usually called the number of parameters.
    pub fn trainable(&self) -> usize {
        self.parameters.iter().filter(|p| p.trainable).map(|p| p.shape.len()).sum()
    }

    /// The first parameter that has a value which is no number, if there is one.
    pub fn first_not_finite(&self) -> Option<&Parameter> {
        (0..self.parameters.len())
            .find(|&number| self.values(number).iter().any(|value| !value.is_finite()))
            .map(|number| &self.parameters[number])
    }
}
