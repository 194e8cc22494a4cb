//! Where layers stand in a network.
//!
//! A layer is a description and carries no name; its name is the path of fields that leads to it (`layer1.0.conv2`), as
//! in PyTorch's `state_dict`. `#[derive(Module)]` walks the fields; recording keeps each layer's address with its path
//! and so knows, when `forward` is called on a layer, which weights are meant. A layer used twice shares its weights.

use crate::Var;

/// A layer, or a struct, array or option of them. Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Module`, so a network cannot hold it",
    label = "put `#[derive(Module)]` on it, or `#[module(skip)]` on the field"
)]
pub trait Module {
    /// Shows the visitor every layer below, with its path.
    fn visit(&self, visitor: &mut Visitor<'_>);
}

/// A whole network: layers and a forward pass. `#[network]` implements it.
pub trait Network: Module {
    /// The C×H×W input for which the sizes were proved when the network was compiled.
    fn input(&self) -> Option<[usize; 3]> {
        None
    }

    /// From a batch of images to logits.
    fn forward(&self, x: Var) -> Var;
}

/// A layer that a [`Visitor`] met.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// `layer1.0.conv2`.
    pub path: &'a str,
    /// The address of the layer's description, which tells it from its neighbours.
    pub address: usize,
}

/// Walks a network and reports its layers.
pub struct Visitor<'a> {
    path: String,
    found: &'a mut dyn FnMut(Found<'_>),
}

impl<'a> Visitor<'a> {
    /// A visitor that reports to `found`.
    pub fn new(found: &'a mut dyn FnMut(Found<'_>)) -> Self {
        Self { path: String::new(), found }
    }

    /// Goes into the field `name`.
    pub fn field(&mut self, name: &str, module: &dyn Module) {
        let outer = self.path.len();
        if outer > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        module.visit(self);
        self.path.truncate(outer);
    }

    /// Reports a layer; for implementations of [`Module`] by layers.
    pub fn layer<L>(&mut self, layer: &L) {
        (self.found)(Found { path: &self.path, address: std::ptr::from_ref(layer).addr() });
    }
}

impl<M: Module> Module for [M] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        for (i, module) in self.iter().enumerate() {
            visitor.field(&i.to_string(), module);
        }
    }
}

impl<M: Module, const N: usize> Module for [M; N] {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.as_slice().visit(visitor);
    }
}

impl<M: Module> Module for Vec<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        self.as_slice().visit(visitor);
    }
}

impl<M: Module> Module for Option<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        if let Some(module) = self {
            module.visit(visitor);
        }
    }
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn visit(&self, visitor: &mut Visitor<'_>) {
        (**self).visit(visitor);
    }
}

/// Plain settings may stand between the layers; they hold none.
macro_rules! settings {
    ($($setting:ty),*) => {
        $(impl Module for $setting {
            fn visit(&self, _: &mut Visitor<'_>) {}
        })*
    };
}

settings!(bool, usize, isize, i32, u32, f32, f64, &'static str, String);

/// Layers are leaves.
macro_rules! layers {
    ($($layer:ty),* $(,)?) => {
        $(impl Module for $layer {
            fn visit(&self, visitor: &mut Visitor<'_>) {
                visitor.layer(self);
            }
        })*
    };
}

layers!(
    crate::Conv2d,
    crate::Linear,
    crate::BatchNorm2d,
    crate::MaxPool2d,
    crate::AvgPool2d,
    crate::AdaptiveAvgPool2d,
    crate::Dropout,
    crate::LayerNorm2d,
    crate::LayerScale,
    crate::StochasticDepth,
);
