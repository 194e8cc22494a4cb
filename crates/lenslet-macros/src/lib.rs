//! Lenslet's attributes: `#[derive(Module)]`, `#[network]`, `#[block]`.
//!
//! The idea: a layer is a description, so a forward pass computes sizes as well as values. The attributes leave the user's
//! `impl` block as it is and add a *twin* of its forward pass: the same text over `lenslet::ShapeVar`, whose methods are
//! `const fn`, which the compiler evaluates. A size that does not fit is a compile error at the user's line.
//!
//! Where things stand: `module` derives, `network` puts the parts together, `twin` turns a method into its twin with the
//! rewriting rules in `rewrite` and, for loops, `loops`; `values` tells numbers from sizes. Invariants: rewriting goes by
//! names, since a macro sees no types; where two types may be meant, the twin calls a method on `lenslet::Pair` and the
//! compiler chooses. What stands for a user's token carries that token's span. This crate knows names of `lenslet`, no
//! shapes.
#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use syn::parse_macro_input;

mod loops;
mod module;
mod network;
mod rewrite;
mod twin;
mod values;

/// Makes a struct a `Module`: a part of a network whose layers are found by the names of its fields.
///
/// The names are those of PyTorch's `state_dict`: the field `conv1` of the field `layer2` is `layer2.conv1`, the fields of
/// a tuple struct are `0`, `1`, …, and so are the elements of an array. Every field must be a `Module` itself: a layer,
/// an array, `Vec`, `Option` or `Box` of them, a plain setting such as `usize`, or another struct that derives it.
///
/// * `#[module(skip)]` leaves a field out; it holds no weights.
/// * `#[module(name = "0")]` gives a field another name.
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: TokenStream) -> TokenStream {
    module::derive(parse_macro_input!(input)).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a `Network`, and proves its sizes while it is compiled.
///
/// It goes on the `impl` block that holds `fn forward(&self, x: Var) -> Var`.
///
/// * `#[network(input = [3, 32, 32])]` proves the sizes for images of C×H×W: the compiler builds `Self::new()`, which must
///   be a `const fn`, and runs the forward pass on it, on sizes alone.
/// * `#[network(input = [3, 32, 32], new = Cnn::with(10))]` builds the network in another way.
/// * On a generic network, such as `impl<const N: usize> Cnn<N>`, the sizes may name its parameters, and without `new` each
///   choice of them that the program uses is proved; `cargo check` stops before that, `cargo build` does not.
/// * `#[network]` proves nothing and allows all of Rust; the sizes are checked when the network is recorded.
///
/// # What the compiler can run
/// All methods of the block that take or give a `Var` get a twin on sizes, `forward_sizes` for `forward`. Such a method may
/// use layers, arithmetic, `if`, `match`, `let … else`, `while`, `loop`, and `for` over ranges and over arrays, also with
/// `iter()`, `copied()`, `enumerate()`, `rev()`, `zip(…)`, `skip(…)` and `take(…)`. It may call
/// * `forward` of layers and of structs whose own `impl` block has [`#[block]`](macro@block) or `#[network]`, and methods of
///   theirs whose names begin with `forward_`;
/// * all methods of `Var`;
/// * other methods of the same block through `self.` or `Self::`;
/// * functions that handle numbers only, if they are `const fn`.
///
/// Printing is left out of the twin. Closures, `?`, `Vec` and functions outside of the block that take a `Var` cannot be
/// proved.
#[proc_macro_attribute]
pub fn network(arguments: TokenStream, block: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as network::Arguments);
    network::network(arguments, parse_macro_input!(block)).into()
}

/// Makes a forward pass one that a network can prove: for parts of networks, such as residual blocks.
///
/// It goes on the `impl` block that holds `fn forward(&self, x: Var) -> Var` and adds the twin of every method that takes
/// or gives a `Var`; [`macro@network`] says what they may use.
#[proc_macro_attribute]
pub fn block(arguments: TokenStream, block: TokenStream) -> TokenStream {
    let _ = parse_macro_input!(arguments as syn::parse::Nothing);
    network::block(parse_macro_input!(block)).into()
}
