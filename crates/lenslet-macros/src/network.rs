//! What `#[network]` and `#[block]` add to an `impl` block: the `Network` implementation, the twins, the proof.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Error, Expr, ExprArray, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Result, ReturnType, Token, Type};

use crate::twin::{self, Kind};

/// `input = [3, 32, 32], new = Cnn::with(10)`.
#[derive(Default)]
pub(crate) struct Arguments {
    input: Option<Expr>,
    new: Option<Expr>,
}

impl Parse for Arguments {
    fn parse(tokens: ParseStream<'_>) -> Result<Self> {
        let mut arguments = Self::default();
        while !tokens.is_empty() {
            let name: Ident = tokens.parse()?;
            let place = match name.to_string().as_str() {
                "input" => &mut arguments.input,
                "new" => &mut arguments.new,
                _ => return Err(Error::new(name.span(), "network takes `input = [C, H, W]` and `new = EXPRESSION`")),
            };
            tokens.parse::<Token![=]>()?;
            if place.replace(tokens.parse()?).is_some() {
                return Err(Error::new(name.span(), format!("`{name}` is given twice")));
            }
            if !tokens.is_empty() {
                tokens.parse::<Token![,]>()?;
            }
        }
        arguments.check()?;
        Ok(arguments)
    }
}

impl Arguments {
    fn check(&self) -> Result<()> {
        match (&self.input, &self.new) {
            (None, Some(new)) => {
                Err(Error::new(new.span(), "`new` is the network that `input` is proved on; give `input` too"))
            }
            (Some(Expr::Array(ExprArray { elems, .. })), _) if elems.len() != 3 => Err(Error::new(
                elems.span(),
                "`input` is C×H×W, three sizes such as [3, 32, 32]; the batch is not counted",
            )),
            _ => Ok(()),
        }
    }
}

/// `#[network]`: the block, its `Network` implementation and, with `input`, twins and proof.
///
/// What can be made is made also where something is refused: all other errors are then worth reading.
pub(crate) fn network(arguments: Arguments, block: ItemImpl) -> TokenStream {
    let (twins, proof) = match proved(&arguments, &block) {
        Ok(Some((twins, proof))) => (twins, Some(proof)),
        Ok(None) => (TokenStream::new(), None),
        Err(error) => (error.into_compile_error(), None),
    };
    // A generic network is another one for each choice of its parameters, so it is proved where one is made use of.
    let on_use = !block.generics.params.is_empty() && arguments.new.is_none();
    let (at_once, on_use) = if on_use { (None, proof) } else { (proof, None) };
    let at_once = at_once.map(|proof| quote!(const _: () = { #proof };));
    match implement(&arguments, &block, on_use) {
        Ok(implementation) => quote!(#block #implementation #twins #at_once),
        Err(error) => {
            let error = error.into_compile_error();
            quote!(#block #error)
        }
    }
}

/// The twins, and what makes the compiler run them; nothing without `input`.
fn proved(arguments: &Arguments, block: &ItemImpl) -> Result<Option<(TokenStream, TokenStream)>> {
    let Some(input) = &arguments.input else { return Ok(None) };
    let twins = twin::twins(block, Kind::Network)?;
    Ok(Some((twins, prove(block, input, arguments.new.as_ref())?)))
}

/// `#[block]`: the block and its twins.
pub(crate) fn block(block: ItemImpl) -> TokenStream {
    let twins = forward_of(&block).and_then(|_| twin::twins(&block, Kind::Block));
    let twins = twins.unwrap_or_else(Error::into_compile_error);
    quote!(#block #twins)
}

fn methods(block: &ItemImpl) -> impl Iterator<Item = &ImplItemFn> {
    block.items.iter().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// The block's `forward`, once it looks as it must.
fn forward_of(block: &ItemImpl) -> Result<&ImplItemFn> {
    if let Some((path, _)) = &block.trait_ {
        return Err(Error::new(path.span(), "this attribute goes on the struct's own `impl` block, `impl Cnn { … }`"));
    }
    let missing = "this block needs the forward pass, `fn forward(&self, x: Var) -> Var`";
    let forward = methods(block).find(|method| method.sig.ident == "forward");
    forward.ok_or_else(|| Error::new(block.self_ty.span(), missing))
}

/// `impl Network for Cnn`, which calls the block's own `forward`; before that the compiler runs `proof`, if there is one.
fn implement(arguments: &Arguments, block: &ItemImpl, proof: Option<TokenStream>) -> Result<TokenStream> {
    let forward = &forward_of(block)?.sig;
    let takes = matches!(forward.inputs.first(), Some(FnArg::Receiver(_))) && forward.inputs.len() == 2;
    if !takes || matches!(forward.output, ReturnType::Default) {
        return Err(Error::new(forward.span(), "a network's forward pass is `fn forward(&self, x: Var) -> Var`"));
    }
    let input = arguments.input.as_ref().map(|sizes| {
        quote! {
            fn input(&self) -> ::core::option::Option<[usize; 3]> {
                ::core::option::Option::Some(#sizes)
            }
        }
    });
    let (parameters, _, conditions) = block.generics.split_for_impl();
    let itself = &block.self_ty;
    // An inherent method goes before one of a trait; a wrong signature is reported where it stands.
    let call = quote_spanned!(forward.ident.span()=> Self::forward(self, x));
    let proof = proof.map(|proof| quote!(const { #proof }));
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::lenslet::Network for #itself #conditions {
            #input
            fn forward(&self, x: ::lenslet::Var) -> ::lenslet::Var {
                #proof
                #call
            }
        }
    })
}

/// The statements that make the compiler run the twin, once they stand in a constant.
fn prove(block: &ItemImpl, input: &Expr, new: Option<&Expr>) -> Result<TokenStream> {
    let itself = &block.self_ty;
    let new = match new {
        Some(new) => quote!(#new),
        None => default_network(block, itself)?,
    };
    // With these spans the compiler says "evaluation failed inside this call" at the user's sizes.
    let run = quote_spanned!(input.span()=> network.forward_sizes(::lenslet::ShapeVar::image(#input)));
    let network = quote_spanned!(input.span()=> network);
    Ok(quote! {
        let #network = #new;
        let _ = #run;
        // What holds a `String` or a `Vec` cannot be dropped by the compiler; most networks hold neither.
        #[allow(clippy::forget_non_drop)]
        ::core::mem::forget(#network);
    })
}

/// `<Cnn>::new()`, if the compiler can call it.
fn default_network(block: &ItemImpl, itself: &Type) -> Result<TokenStream> {
    // A `new` in another block is met by the compiler's own words.
    if let Some(new) = methods(block).find(|method| method.sig.ident == "new") {
        if !new.sig.inputs.is_empty() {
            let message = "which network is proved? Say it: `#[network(input = …, new = Cnn::new(10))]`";
            return Err(Error::new(new.sig.inputs.span(), message));
        }
        if new.sig.constness.is_none() {
            let message = "the compiler builds the network in order to prove it: write `const fn new`";
            return Err(Error::new(new.sig.span(), message));
        }
    }
    Ok(quote_spanned!(itself.span()=> <#itself>::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(arguments: TokenStream, block: TokenStream) -> String {
        let block = syn::parse2(block).expect("the test's block parses");
        match syn::parse2(arguments) {
            Ok(arguments) => network(arguments, block).to_string(),
            Err(error) => error.to_string(),
        }
    }

    fn cnn(forward: TokenStream) -> TokenStream {
        quote!(impl Cnn { pub const fn new() -> Self { Cnn } #forward })
    }

    fn forward() -> TokenStream {
        quote!(
            fn forward(&self, x: Var) -> Var {
                x
            }
        )
    }

    #[test]
    fn without_input_nothing_is_proved() {
        let text = expanded(
            quote!(),
            quote!(impl Cnn { fn forward(&self, x: Var) -> Var { self.0.iter().fold(x, |x, l| l.forward(x)) } }),
        );
        assert!(text.contains("impl :: lenslet :: Network for Cnn"), "{text}");
        assert!(!text.contains("ShapeVar") && !text.contains("fn input") && !text.contains("compile_error"), "{text}");
    }

    #[test]
    fn with_input_the_compiler_runs_the_twin() {
        let text = expanded(quote!(input = [3, 32, 32]), cnn(forward()));
        assert!(text.contains("let network = < Cnn > :: new ()"), "{text}");
        assert!(text.contains("network . forward_sizes (:: lenslet :: ShapeVar :: image ([3 , 32 , 32]))"), "{text}");
        assert!(text.contains("Some ([3 , 32 , 32])"), "{text}");
        let text = expanded(quote!(input = SIZES, new = Cnn::with(7)), cnn(forward()));
        assert!(text.contains("let network = Cnn :: with (7)"), "{text}");
    }

    #[test]
    fn refusals_are_in_words() {
        let says = |arguments, block, message: &str| {
            let text = expanded(arguments, block);
            assert!(text.contains(message), "{message}: {text}");
        };
        says(quote!(size = 3), cnn(forward()), "network takes `input = [C, H, W]`");
        says(quote!(input = [1, 3, 32, 32]), cnn(forward()), "the batch is not counted");
        says(quote!(new = Cnn), cnn(forward()), "give `input` too");
        says(quote!(), quote!(impl Network for Cnn {}), "the struct's own `impl` block");
        says(quote!(), cnn(quote!()), "this block needs the forward pass");
        says(
            quote!(),
            cnn(quote!(
                fn forward(x: Var) -> Var {
                    x
                }
            )),
            "a network's forward pass is",
        );
        let plain = quote!(impl Cnn { fn new() -> Self { Cnn } fn forward(&self, x: Var) -> Var { x } });
        says(quote!(input = [3, 32, 32]), plain, "write `const fn new`");
    }

    #[test]
    fn a_generic_network_is_proved_where_it_is_used() {
        let generic = || {
            quote!(
                impl<const N: usize> Cnn<N> {
                    const fn new() -> Self {
                        Cnn
                    }
                    fn forward(&self, x: Var) -> Var {
                        x
                    }
                }
            )
        };
        let text = expanded(quote!(input = [3, 32, 32]), generic());
        assert!(text.contains("const { let network = < Cnn < N > > :: new () ;"), "{text}");
        assert!(!text.contains("const _"), "{text}");
        let text = expanded(quote!(input = [3, 32, 32], new = Cnn::<10>::new()), generic());
        assert!(text.contains("const _ : () = { let network = Cnn :: < 10 > :: new () ;"), "{text}");
        assert!(!text.contains("const {"), "{text}");
    }
}
