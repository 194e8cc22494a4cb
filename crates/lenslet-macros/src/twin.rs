//! The twin of a method: the same text over sizes, as a `const fn` of the name `…_sizes`.
//!
//! A method gets a twin if its signature speaks of `Var`. Here is what a twin is; how its body is rewritten stands in
//! [`rewrite`](crate::rewrite).

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Error, Ident, ImplItem, ImplItemFn, ItemImpl, Path, Result, Signature, Type, parse_quote};

use crate::rewrite::Rewrite;

/// What the twins are for; the advice in errors differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Network,
    Block,
}

/// What methods of the block are called by: the names that have twins.
pub(crate) struct Siblings {
    /// The struct's name, as in `Cnn::features(x)`.
    pub(crate) itself: Option<Ident>,
    names: Vec<String>,
}

impl Siblings {
    fn of(block: &ItemImpl) -> Self {
        let itself = match &*block.self_ty {
            Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.clone()),
            _ => None,
        };
        let twinned = |item: &ImplItem| match item {
            ImplItem::Fn(method) if speaks_of_var(&method.sig) => Some(method.sig.ident.to_string()),
            _ => None,
        };
        Self { itself, names: block.items.iter().filter_map(twinned).collect() }
    }

    /// Whether a call of `method` on the struct itself is one of a method with a twin.
    pub(crate) fn has(&self, method: &Ident) -> bool {
        self.names.iter().any(|name| method == name)
    }
}

/// An `impl` block of the twins of `block`, or all that stands against it.
pub(crate) fn twins(block: &ItemImpl, kind: Kind) -> Result<TokenStream> {
    let siblings = Siblings::of(block);
    if !siblings.names.iter().any(|name| name == "forward") {
        let message = "a forward pass that is to be proved names its type: `fn forward(&self, x: Var) -> Var`";
        return Err(Error::new(block.self_ty.span(), message));
    }
    let mut errors = None;
    let mut methods = Vec::new();
    for item in &block.items {
        let ImplItem::Fn(method) = item else { continue };
        if siblings.has(&method.sig.ident) {
            match twin(method, &siblings, kind) {
                Ok(method) => methods.push(method),
                Err(error) => combine(&mut errors, error),
            }
        }
    }
    if let Some(error) = errors {
        return Err(error);
    }
    let (parameters, _, conditions) = block.generics.split_for_impl();
    let itself = &block.self_ty;
    let conditional = block.attrs.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    // A lint has spoken about the user's text already, or speaks of what only the rewriting made.
    Ok(quote! {
        #(#conditional)*
        #[automatically_derived]
        #[allow(unused, deprecated, unreachable_pub, clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
        impl #parameters #itself #conditions {
            #(#methods)*
        }
    })
}

pub(crate) fn combine(errors: &mut Option<Error>, error: Error) {
    match errors {
        Some(errors) => errors.combine(error),
        None => *errors = Some(error),
    }
}

fn twin(method: &ImplItemFn, siblings: &Siblings, kind: Kind) -> Result<ImplItemFn> {
    let mut twin = method.clone();
    let mut rewrite = Rewrite::new(siblings, kind);
    rewrite.function(&mut twin.sig, &mut twin.block);
    rewrite.finish()?;
    // A part without a twin is then reported in words of our own.
    twin.block.stmts.insert(
        0,
        parse_quote!(
            use ::lenslet::twin::NoTwin as _;
        ),
    );
    twin.sig.ident = name(&method.sig.ident);
    twin.attrs.retain(keep);
    twin.attrs.push(parse_quote!(#[doc(hidden)]));
    Ok(twin)
}

/// `forward_sizes` for `forward`.
pub(crate) fn name(method: &Ident) -> Ident {
    format_ident!("{}_sizes", method, span = method.span())
}

/// Attributes that mean the same on a twin.
fn keep(attribute: &Attribute) -> bool {
    ["cfg", "track_caller"].iter().any(|name| attribute.path().is_ident(name))
}

/// Whether a method takes or gives a `Var`, also inside of other types.
pub(crate) fn speaks_of_var(signature: &Signature) -> bool {
    struct Search(bool);
    impl VisitMut for Search {
        fn visit_path_mut(&mut self, path: &mut Path) {
            self.0 |= var_segment(path).is_some();
            visit_mut::visit_path_mut(self, path);
        }
    }
    let mut search = Search(false);
    search.visit_signature_mut(&mut signature.clone());
    search.0
}

/// Where `Var` stands in a path such as `Var`, `Var::concat` or `lenslet::Var`.
fn var_segment(path: &Path) -> Option<usize> {
    let at = path.segments.iter().position(|segment| segment.ident == "Var")?;
    // `Term::Var` is a variant of the user's own.
    let is_module = |name: String| name.chars().all(|c| !c.is_uppercase());
    path.segments.iter().take(at).all(|segment| is_module(segment.ident.to_string())).then_some(at)
}

/// `::lenslet::ShapeVar` in place of `Var`.
pub(crate) fn rename_var(path: &mut Path) {
    let Some(at) = var_segment(path) else { return };
    let span = path.segments[at].ident.span();
    let rest = path.segments.iter().skip(at + 1);
    *path =
        syn::parse2(quote_spanned!(span=> ::lenslet::ShapeVar #(:: #rest)*)).expect("a path with another head is one");
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The twins of the methods in `impl Cnn { … }` without their attributes, or the errors.
    pub(crate) fn twins_of(methods: &str) -> String {
        // Each test speaks of its own methods; a block needs a `forward` as well.
        let forward = if methods.contains("fn forward(") { "" } else { "fn forward(&self, x: Var) -> Var { x }" };
        let block: ItemImpl =
            syn::parse_str(&format!("impl Cnn {{ {methods} {forward} }}")).expect("the methods parse");
        let tokens = match twins(&block, Kind::Network) {
            Ok(tokens) => tokens,
            Err(errors) => return errors.into_iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n"),
        };
        let block: ItemImpl = syn::parse2(tokens).expect("twins parse");
        let kept = block.items.len() - usize::from(!forward.is_empty());
        let methods = block.items.into_iter().take(kept).map(|item| match item {
            ImplItem::Fn(mut method) => {
                method.attrs.retain(|attribute| !attribute.path().is_ident("doc"));
                method.block.stmts.remove(0);
                quote!(#method).to_string()
            }
            other => quote!(#other).to_string(),
        });
        methods.collect::<Vec<_>>().join(" ")
    }

    fn check(methods: &str, expected: &str) {
        let expected: TokenStream = expected.parse().expect("the test's expectation is made of tokens");
        assert_eq!(twins_of(methods), expected.to_string(), "the twin of {methods}");
    }

    #[test]
    fn only_methods_that_speak_of_var_have_twins() {
        check("const fn new() -> Self { Cnn } fn side(&self) -> usize { 3 } const SIDE: usize = 1;", "");
        check(
            "pub(crate) fn forward(&self, x: Var) -> Var { x }",
            "pub(crate) const fn forward_sizes(&self, x: ::lenslet::ShapeVar) -> ::lenslet::ShapeVar { x }",
        );
        check("fn pair(x: &[Var; 2]) {}", "const fn pair_sizes(x: &[::lenslet::ShapeVar; 2]) {}");
        check(
            "fn made() -> Option<lenslet::Var> { None }",
            "const fn made_sizes() -> Option< ::lenslet::ShapeVar> { None }",
        );
        check("fn term(x: Term::Var) {}", "");
    }

    #[test]
    fn a_forward_pass_names_var() {
        let block = syn::parse_quote!(impl Cnn { fn forward(&self, x: V) -> V { x } });
        let message = twins(&block, Kind::Network).expect_err("`V` may be anything").to_string();
        assert!(message.contains("names its type"), "{message}");
    }

    #[test]
    fn attributes_that_mean_the_same_stay() {
        check(
            "/// Doc. \n #[inline] #[track_caller] #[cfg(test)] fn f(mut x: Var) {}",
            "#[track_caller] #[cfg(test)] const fn f_sizes(mut x: ::lenslet::ShapeVar) {}",
        );
    }

    #[test]
    fn generics_and_conditions_are_those_of_the_block() {
        let block = syn::parse_quote! {
            #[cfg(feature = "x")]
            impl<'a, const N: usize> Cnn<'a, N> where [(); N]: Sized { fn forward(x: Var) {} }
        };
        let text = twins(&block, Kind::Block).expect("nothing stands against it").to_string();
        assert!(text.starts_with("# [cfg (feature = \"x\")]"), "{text}");
        assert!(text.contains("impl < 'a , const N : usize > Cnn < 'a , N > where [() ; N] : Sized {"), "{text}");
    }
}
