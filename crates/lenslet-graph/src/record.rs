//! Recording: a forward pass runs once, on shapes, and leaves a graph.
//!
//! While it runs, the recorder stands in a thread-local, so that [`Var`] is a plain number that users may copy, and
//! backward rules and losses are written with the same methods as forward passes. Invariant: recording never fails. The
//! first mistake is kept, everything after it is skipped, and the caller gets the graph up to there with the mistake.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use crate::ops::Meaning;
use crate::ops::leaf::{Input, ParameterValue};
use crate::{Graph, Init, Network, Node, NodeId, Op, Parameter, Role, Shape, ShapeVar, SizeError, Var, Visitor};

/// Whether a forward pass is recorded for training or for use; dropout and batch normalisation differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// PyTorch's `model.train()`.
    Train,
    /// PyTorch's `model.eval()`.
    Eval,
}

/// The first mistake of a recording.
#[derive(Clone, Debug)]
pub struct RecordError {
    /// What is wrong.
    pub mistake: RecordMistake,
    /// The layer in which it happened; empty outside of layers.
    pub module: Arc<str>,
    /// The user's line.
    pub at: &'static Location<'static>,
}

/// What can be wrong with a forward pass.
#[derive(Clone, Debug)]
pub enum RecordMistake {
    /// Sizes that do not fit.
    Size(Box<SizeError>),
    /// A layer that is not among the network's fields.
    StrayLayer {
        /// Its op.
        op: &'static str,
    },
    /// Two layers that want the same parameter in different sizes.
    SharedParameter {
        /// The parameter.
        name: String,
        /// Its sizes at first use.
        first: Shape,
        /// Its sizes now.
        now: Shape,
    },
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mistake {
            RecordMistake::Size(error) => write!(f, "{error}")?,
            RecordMistake::StrayLayer { op } => write!(
                f,
                "{op}: this layer is no field of the network, so its weights would be lost\n  mend it: make it a field of a \
                 struct with #[derive(Module)] and call it through &self, not through a copy"
            )?,
            RecordMistake::SharedParameter { name, first, now } => write!(
                f,
                "{name} is used twice, once as {first} and once as {now}\n  mend it: use two layers where the sizes differ"
            )?,
        }
        write!(f, "\n  at: ")?;
        if !self.module.is_empty() {
            write!(f, "{}, ", self.module)?;
        }
        write!(f, "{}:{}", self.at.file(), self.at.line())
    }
}

impl std::error::Error for RecordError {}

/// What came of a forward pass: the graph, and either its result or the first mistake.
#[derive(Clone, Debug)]
pub struct Recording {
    /// All that was recorded, up to the mistake if there is one.
    pub graph: Graph,
    /// The images.
    pub input: NodeId,
    /// The network's result.
    pub output: Result<NodeId, RecordError>,
}

/// Records the forward pass of `network` on images of the given C×H×W sizes.
///
/// The result is also the graph's output [`Role::Logits`].
pub fn record(network: &dyn Network, input: Shape, mode: Mode) -> Recording {
    let mut layers = HashMap::new();
    network.visit(&mut Visitor::new(&mut |found| {
        layers.insert(found.address, Arc::from(found.path));
    }));
    let mut graph = Graph::default();
    // The images are the first node.
    let image = NodeId(0);
    let output = extend_with(&mut graph, mode, layers, || {
        let x = Var::input(input.with_batch(true));
        network.forward(x).id()
    });
    let output = output.map(|id| id.expect("where nothing went wrong, a Var has a node"));
    if let Ok(logits) = &output {
        graph.outputs.push((Role::Logits, *logits));
    }
    Recording { graph, input: image, output }
}

/// Goes on recording in `graph`: a loss behind a network, or the backward pass.
///
/// # Errors
/// The first mistake, if there is one; the graph holds what was recorded before it.
pub fn extend<R>(graph: &mut Graph, mode: Mode, forward: impl FnOnce() -> R) -> Result<R, RecordError> {
    extend_with(graph, mode, HashMap::new(), forward)
}

/// Puts the cross-entropy of the logits behind a network: labels become the graph's input 1, and the batch's mean loss its
/// output [`Role::Loss`].
///
/// # Errors
/// If the logits are not one number per class.
pub fn add_cross_entropy(graph: &mut Graph, label_smoothing: f32) -> Result<(), RecordError> {
    let logits = graph.output(&Role::Logits);
    extend(graph, Mode::Train, || {
        let labels = Var::input(Shape::scalar(true));
        Var::from_id(logits).cross_entropy(labels, label_smoothing).want(Role::Loss);
    })
}

/// The same for images that two are mixed in: the graph's inputs 1 to 3 become the label, the other image's label, and the
/// share of the former in the loss, from 0 to 1.
///
/// # Errors
/// If the logits are not one number per class.
pub fn add_mixed_cross_entropy(graph: &mut Graph, label_smoothing: f32) -> Result<(), RecordError> {
    let logits = graph.output(&Role::Logits);
    extend(graph, Mode::Train, || {
        let [label, other, share] = [(); 3].map(|()| Var::input(Shape::scalar(true)));
        Var::from_id(logits).mixed_cross_entropy([label, other], share, label_smoothing).want(Role::Loss);
    })
}

fn extend_with<R>(
    graph: &mut Graph,
    mode: Mode,
    layers: HashMap<usize, Arc<str>>,
    forward: impl FnOnce() -> R,
) -> Result<R, RecordError> {
    let parameters = parameter_nodes(graph);
    let recorder = Recorder {
        graph: std::mem::take(graph),
        mode,
        mistake: None,
        layers,
        module: Arc::from(""),
        call: None,
        parameters,
    };
    // The guard takes the recorder away again even if the user's forward panics.
    let guard = Guard { outer: RECORDER.replace(Some(recorder)) };
    let result = forward();
    let recorder = guard.finish();
    *graph = recorder.graph;
    match recorder.mistake {
        None => Ok(result),
        Some(mistake) => Err(mistake),
    }
}

fn parameter_nodes(graph: &Graph) -> HashMap<String, NodeId> {
    let nodes = graph.ids().filter_map(|id| match graph.node(id).op {
        Op::ParameterValue(ParameterValue { index }) => Some((graph.parameters[index].name.clone(), id)),
        _ => None,
    });
    nodes.collect()
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Guard {
    outer: Option<Recorder>,
}

impl Guard {
    fn finish(mut self) -> Recorder {
        let recorder = RECORDER.replace(self.outer.take());
        std::mem::forget(self);
        recorder.expect("only the guard takes the recorder away")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        RECORDER.set(self.outer.take());
    }
}

/// The state of a recording under way.
pub(crate) struct Recorder {
    graph: Graph,
    mode: Mode,
    mistake: Option<RecordError>,
    /// Paths of layers by address.
    layers: HashMap<usize, Arc<str>>,
    /// The layer whose forward is running.
    module: Arc<str>,
    /// Where the user called it: the line of all that it records.
    call: Option<&'static Location<'static>>,
    parameters: HashMap<String, NodeId>,
}

/// Gives the recorder under way to `f`.
///
/// # Panics
/// Where nothing is being recorded: a `Var` has no meaning there.
pub(crate) fn with_recorder<R>(f: impl FnOnce(&mut Recorder) -> R) -> R {
    RECORDER.with_borrow_mut(|recorder| {
        f(recorder.as_mut().expect("a Var lives only while a forward pass is recorded; see lenslet_graph::record"))
    })
}

impl Recorder {
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Nodes so far: a number that tells the op recorded next from all others.
    pub(crate) fn node_count(&self) -> u32 {
        self.graph.nodes.len() as u32
    }

    pub(crate) fn sizes(&self, id: NodeId) -> ShapeVar {
        self.graph.node(id).sizes
    }

    /// Adds a node, or keeps the first mistake. `None` stands for "after a mistake".
    pub(crate) fn push(&mut self, op: Op, inputs: &[Option<NodeId>], at: &'static Location<'static>) -> Option<NodeId> {
        let at = self.call.unwrap_or(at);
        let inputs: Vec<NodeId> = inputs.iter().copied().collect::<Option<_>>()?;
        let sizes: Vec<ShapeVar> = inputs.iter().map(|&id| self.sizes(id)).collect();
        match op.output(&sizes) {
            Ok(sizes) => Some(self.add(Node { op, inputs, sizes, module: self.module.clone(), at })),
            Err(error) => self.fail(RecordMistake::Size(Box::new(error)), at),
        }
    }

    fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.graph.nodes.len() as u32);
        self.graph.nodes.push(node);
        id
    }

    /// Keeps the first mistake.
    pub(crate) fn fail(&mut self, mistake: RecordMistake, at: &'static Location<'static>) -> Option<NodeId> {
        self.mistake.get_or_insert_with(|| RecordError { mistake, module: self.module.clone(), at });
        None
    }

    pub(crate) fn input(&mut self, shape: Shape, at: &'static Location<'static>) -> NodeId {
        let op = Op::Input(Input { index: self.graph.inputs.len() });
        self.graph.inputs.push(shape);
        self.add(Node { op, inputs: vec![], sizes: ShapeVar::new(shape), module: self.module.clone(), at })
    }

    pub(crate) fn want(&mut self, role: Role, id: Option<NodeId>) {
        if let Some(id) = id {
            self.graph.outputs.push((role, id));
        }
    }
}

/// A layer's forward under way: gives the layer its parameters.
pub(crate) struct Scope {
    path: Arc<str>,
    at: &'static Location<'static>,
}

impl Scope {
    /// The value of the layer's parameter `name`, made at first use.
    pub(crate) fn parameter(&self, name: &str, shape: Shape, init: Init, trainable: bool) -> Var {
        let name = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let parameter = Parameter { name, shape, init, trainable };
        Var::from_id(with_recorder(|r| r.parameter(parameter, self.at)))
    }

    /// Names what `parameter` becomes when the step ends, from what it is by then: its value, or what an earlier use of the
    /// layer made of it.
    pub(crate) fn update(&self, parameter: Var, change: impl FnOnce(Var) -> Var) {
        let Some(id) = parameter.id() else { return };
        let role = with_recorder(|r| match r.graph.node(id).op {
            Op::ParameterValue(ParameterValue { index }) => Role::Update(index),
            _ => unreachable!("only parameters outlive a step"),
        });
        let earlier = with_recorder(|r| {
            let place = r.graph.outputs.iter().position(|(other, _)| *other == role);
            place.map(|place| r.graph.outputs.remove(place).1)
        });
        change(Var::from_id(earlier.or(Some(id)))).want(role);
    }
}

impl Recorder {
    fn parameter(&mut self, parameter: Parameter, at: &'static Location<'static>) -> Option<NodeId> {
        if let Some(&id) = self.parameters.get(&parameter.name) {
            let first = self.graph.node(id).shape();
            if first != parameter.shape {
                let (name, now) = (parameter.name, parameter.shape);
                return self.fail(RecordMistake::SharedParameter { name, first, now }, at);
            }
            return Some(id);
        }
        let op = Op::ParameterValue(ParameterValue { index: self.graph.parameters.len() });
        let sizes = ShapeVar::new(parameter.shape);
        let id = self.add(Node { op, inputs: vec![], sizes, module: self.module.clone(), at });
        self.parameters.insert(parameter.name.clone(), id);
        self.graph.parameters.push(parameter);
        Some(id)
    }
}

/// Runs a layer's forward under its path; a layer that has weights (`weights`) must be a field of the network.
#[track_caller]
pub(crate) fn layer<L>(layer: &L, op: &'static str, weights: bool, forward: impl FnOnce(&Scope) -> Var) -> Var {
    let at = Location::caller();
    let path = with_recorder(|r| r.layers.get(&std::ptr::from_ref(layer).addr()).cloned());
    if path.is_none() && weights {
        return Var::from_id(with_recorder(|r| r.fail(RecordMistake::StrayLayer { op }, at)));
    }
    // A layer without weights may stand anywhere; it then belongs to the module around it.
    let (module, call) = with_recorder(|r| {
        let module = path.clone().unwrap_or_else(|| r.module.clone());
        (std::mem::replace(&mut r.module, module), r.call.replace(at))
    });
    let result = forward(&Scope { path: path.unwrap_or_default(), at });
    with_recorder(|r| (r.module, r.call) = (module, call));
    result
}
