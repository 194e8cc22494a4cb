//! `#[derive(Module)]`: shows a visitor every field, under the field's name.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Index, LitStr, Member, Result, parse_quote};

pub(crate) fn derive(input: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        let message = "a Module is a struct whose fields are layers; for a choice of layers use Option fields, or implement \
                       lenslet::Module by hand";
        return Err(Error::new(input.ident.span(), message));
    };
    let mut visits = TokenStream::new();
    for (index, field) in data.fields.iter().enumerate() {
        visits.extend(visit(index, field)?);
    }
    let mut generics = input.generics;
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::lenslet::Module));
    }
    let (parameters, arguments, conditions) = generics.split_for_impl();
    let name = input.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #parameters ::lenslet::Module for #name #arguments #conditions {
            fn visit(&self, visitor: &mut ::lenslet::Visitor<'_>) {
                // A struct without layers has no use for it.
                let _ = &visitor;
                #visits
            }
        }
    })
}

/// `visitor.field("conv1", &self.conv1);`, or nothing.
fn visit(index: usize, field: &Field) -> Result<TokenStream> {
    let Some(name) = name(index, field)? else { return Ok(TokenStream::new()) };
    let member = match &field.ident {
        Some(ident) => Member::Named(ident.clone()),
        None => Member::Unnamed(Index::from(index)),
    };
    // A field that is no Module is then reported where its type stands.
    let field = quote_spanned!(field.ty.span()=> &self.#member);
    Ok(quote!(::lenslet::Visitor::field(visitor, #name, #field);))
}

/// The field's name in paths; `None` if it is to be left out.
fn name(index: usize, field: &Field) -> Result<Option<String>> {
    use syn::ext::IdentExt;
    let mut name = Some(field.ident.as_ref().map_or(index.to_string(), |ident| ident.unraw().to_string()));
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                name = None;
            } else if meta.path.is_ident("name") {
                let text: LitStr = meta.value()?.parse()?;
                if text.value().is_empty() || text.value().contains('.') {
                    return Err(Error::new(text.span(), "a name in a path is not empty and holds no dot"));
                }
                name = Some(text.value());
            } else {
                return Err(meta.error("module takes `skip` or `name = \"…\"`"));
            }
            Ok(())
        })?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(input: TokenStream) -> String {
        match derive(syn::parse2(input).expect("the test's struct parses")) {
            Ok(tokens) => tokens.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn fields_are_visited_by_name() {
        let text = derived(quote! {
            struct Cnn { conv1: Conv2d, #[module(skip)] classes: Classes, #[module(name = "0")] first: Linear, r#type: Linear }
        });
        assert!(text.contains(r#"(visitor , "conv1" , & self . conv1)"#), "{text}");
        assert!(text.contains(r#"(visitor , "0" , & self . first)"#), "{text}");
        assert!(text.contains(r#"(visitor , "type" , & self . r#type)"#), "{text}");
        assert!(!text.contains("classes"), "{text}");
    }

    #[test]
    fn tuple_fields_are_numbered_and_generics_bounded() {
        let text = derived(quote!(
            struct Twice<M: Copy, const N: usize>(M, [M; N]);
        ));
        assert!(text.contains(r#""0" , & self . 0"#) && text.contains(r#""1" , & self . 1"#), "{text}");
        assert!(text.contains("< M : Copy + :: lenslet :: Module , const N : usize >"), "{text}");
    }

    #[test]
    fn refusals() {
        assert!(
            derived(quote!(
                enum E {
                    A(Conv2d),
                }
            ))
            .starts_with("a Module is a struct")
        );
        let two = quote!(
            struct S {
                #[module(name = "a.b")]
                x: Linear,
            }
        );
        assert!(derived(two).contains("no dot"));
        let other = quote!(
            struct S {
                #[module(hidden)]
                x: Linear,
            }
        );
        assert!(derived(other).contains("module takes `skip`"));
    }
}
