//! `for` in the twin: the compiler cannot call iterators, so a loop becomes `while` over a position.
//!
//! The position moves on before the body runs, so that `continue` still works; labels stay where they are. A loop over a
//! range counts in the range's own type. Everything else is a [`Series`]: setting up, a length, and the item at a
//! position, from which `rev`, `zip` and the others follow.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Expr, ExprForLoop, ExprMethodCall, ExprRange, RangeLimits, parse_quote_spanned};

use crate::rewrite::Rewrite;
use crate::values::Value;

/// The loop as `while`; `None` if it was refused.
pub(crate) fn rewrite(rewrite: &mut Rewrite<'_>, e: &mut ExprForLoop) -> Option<Expr> {
    let counts = match bare(&e.expr) {
        Expr::Range(range) if range.start.is_some() && range.end.is_some() => Some(range.clone()),
        _ => None,
    };
    match counts {
        Some(range) => Some(count(rewrite, e, range)),
        None => walk(rewrite, e),
    }
}

/// `for i in a..b`.
fn count(rewrite: &mut Rewrite<'_>, e: &mut ExprForLoop, mut range: ExprRange) -> Expr {
    rewrite.visit_expr_range_mut(&mut range);
    rewrite.scoped(|rewrite| {
        rewrite.bind(&mut e.pat, Value::Number);
        rewrite.visit_block_mut(&mut e.body);
    });
    let compare = match range.limits {
        RangeLimits::HalfOpen(_) => quote_spanned!(e.for_token.span=> <),
        RangeLimits::Closed(_) => quote_spanned!(e.for_token.span=> <=),
    };
    let (start, end) = (&range.start, &range.end);
    let (label, pattern, statements) = (&e.label, &e.pat, &e.body.stmts);
    let [at, last] = ["at", "last"].map(hidden);
    parse_quote_spanned! {e.for_token.span=> {
        let mut #at = #start;
        let #last = #end;
        #label while #at #compare #last {
            let #pattern = #at;
            #at += 1;
            #(#statements)*
        }
    }}
}

/// `for b in &self.blocks`.
fn walk(rewrite: &mut Rewrite<'_>, e: &mut ExprForLoop) -> Option<Expr> {
    let Some(series) = Series::of(rewrite, &mut e.expr, &mut 0) else {
        rewrite.refuse(e.expr.span(), "loop over anything but ranges and arrays");
        return None;
    };
    rewrite.scoped(|rewrite| {
        rewrite.bind(&mut e.pat, series.value);
        rewrite.visit_block_mut(&mut e.body);
    });
    let (label, pattern, statements) = (&e.label, &e.pat, &e.body.stmts);
    let [at, len, item] = ["at", "len", "item"].map(hidden);
    let (setup, count) = (&series.setup, &series.len);
    let value = (series.item)(quote_spanned!(e.for_token.span=> #at));
    Some(parse_quote_spanned! {e.for_token.span=> {
        #setup
        let mut #at = 0usize;
        let #len = #count;
        #label while #at < #len {
            let #item = #value;
            #at += 1;
            let #pattern = #item;
            #(#statements)*
        }
    }})
}

/// What a loop runs over.
struct Series {
    /// Statements that evaluate its parts, once.
    setup: TokenStream,
    /// How many items there are.
    len: TokenStream,
    /// The item at a position.
    item: Box<dyn Fn(TokenStream) -> TokenStream>,
    /// What is known of an item.
    value: Value,
}

impl Series {
    /// Reads the expression behind `in`; `parts` counts the names that are taken.
    fn of(rewrite: &mut Rewrite<'_>, e: &mut Expr, parts: &mut usize) -> Option<Self> {
        match e {
            Expr::Paren(inner) => Self::of(rewrite, &mut inner.expr, parts),
            Expr::Group(inner) => Self::of(rewrite, &mut inner.expr, parts),
            Expr::Range(range) => Self::range(rewrite, range, parts),
            Expr::Reference(reference) if reference.mutability.is_none() => {
                Some(Self::array(rewrite, &mut reference.expr, true, parts))
            }
            Expr::MethodCall(call) if call.method == "iter" && call.args.is_empty() => {
                Some(Self::array(rewrite, &mut call.receiver, true, parts))
            }
            Expr::MethodCall(call) => Self::adapted(rewrite, call, parts),
            Expr::Array(_) | Expr::Repeat(_) | Expr::Path(_) | Expr::Field(_) | Expr::Index(_) => {
                let by_reference = matches!(rewrite.scopes.value(e), Value::Reference(_));
                Some(Self::array(rewrite, e, by_reference, parts))
            }
            _ => None,
        }
    }

    /// An array or slice; the items by reference or by value.
    fn array(rewrite: &mut Rewrite<'_>, e: &mut Expr, by_reference: bool, parts: &mut usize) -> Self {
        rewrite.visit_expr_mut(e);
        let (array, span) = (part("array", parts), e.span());
        let item = rewrite.scopes.value(e).dereferenced().items();
        Self {
            setup: quote_spanned!(span=> let #array = &#e;),
            len: quote_spanned!(span=> #array.len()),
            value: if by_reference { item.referenced() } else { item },
            item: Box::new(move |at| match by_reference {
                true => quote_spanned!(span=> &#array[#at]),
                false => quote_spanned!(span=> #array[#at]),
            }),
        }
    }

    fn range(rewrite: &mut Rewrite<'_>, e: &mut ExprRange, parts: &mut usize) -> Option<Self> {
        rewrite.visit_expr_range_mut(e);
        let (start, end) = (e.start.as_ref()?, e.end.as_ref());
        let (first, behind, span) = (part("first", parts), part("behind", parts), e.span());
        let end = match (end, &e.limits) {
            (None, _) => quote_spanned!(span=> usize::MAX),
            (Some(end), RangeLimits::HalfOpen(_)) => quote_spanned!(span=> #end),
            (Some(end), RangeLimits::Closed(_)) => quote_spanned!(span=> #end + 1),
        };
        Some(Self {
            setup: quote_spanned!(span=> let #first: usize = #start; let #behind: usize = #end;),
            len: quote_spanned!(span=> #behind.saturating_sub(#first)),
            item: Box::new(move |at| quote_spanned!(span=> (#first + #at))),
            value: Value::Number,
        })
    }

    /// A series with an adapter behind it.
    fn adapted(rewrite: &mut Rewrite<'_>, call: &mut ExprMethodCall, parts: &mut usize) -> Option<Self> {
        let (method, span) = (call.method.to_string(), call.method.span());
        if !matches!(
            (method.as_str(), call.args.len()),
            ("into_iter" | "copied" | "cloned" | "rev" | "enumerate", 0) | ("zip" | "skip" | "take", 1)
        ) {
            return None;
        }
        let series = Self::of(rewrite, &mut call.receiver, parts)?;
        Some(match method.as_str() {
            "into_iter" => series,
            "copied" | "cloned" => series.copied(span),
            "rev" => series.rev(span),
            "enumerate" => series.enumerate(span),
            "zip" => series.zip(Self::of(rewrite, &mut call.args[0], parts)?, span),
            adapter => {
                let (argument, number) = (&mut call.args[0], part("number", parts));
                rewrite.visit_expr_mut(argument);
                let number_is = quote_spanned!(span=> let #number: usize = #argument;);
                let series = if adapter == "skip" { series.skip(number, span) } else { series.take(number, span) };
                let setup = series.setup;
                Self { setup: quote_spanned!(span=> #setup #number_is), ..series }
            }
        })
    }

    fn copied(self, span: Span) -> Self {
        let item = self.item;
        let item = Box::new(move |at| {
            let item = item(at);
            quote_spanned!(span=> *#item)
        });
        Self { item, value: self.value.dereferenced(), ..self }
    }

    fn rev(self, span: Span) -> Self {
        let (len, item) = (self.len.clone(), self.item);
        Self { item: Box::new(move |at| item(quote_spanned!(span=> (#len - 1 - #at)))), ..self }
    }

    fn enumerate(self, span: Span) -> Self {
        let item = self.item;
        let item = Box::new(move |at: TokenStream| {
            let item = item(at.clone());
            quote_spanned!(span=> (#at, #item))
        });
        Self { item, value: Value::Tuple(vec![Value::Number, self.value]), ..self }
    }

    fn zip(self, other: Self, span: Span) -> Self {
        let (setup, other_setup, len, other_len) = (self.setup, other.setup, self.len, other.len);
        let (item, other_item) = (self.item, other.item);
        Self {
            setup: quote_spanned!(span=> #setup #other_setup),
            len: quote_spanned!(span=> (if #len < #other_len { #len } else { #other_len })),
            item: Box::new(move |at| {
                let (item, other) = (item(at.clone()), other_item(at));
                quote_spanned!(span=> (#item, #other))
            }),
            value: Value::Tuple(vec![self.value, other.value]),
        }
    }

    fn skip(self, number: Ident, span: Span) -> Self {
        let (len, item) = (self.len, self.item);
        Self {
            len: quote_spanned!(span=> #len.saturating_sub(#number)),
            item: Box::new(move |at| item(quote_spanned!(span=> (#at + #number)))),
            ..self
        }
    }

    fn take(self, number: Ident, span: Span) -> Self {
        let len = self.len;
        Self { len: quote_spanned!(span=> (if #len < #number { #len } else { #number })), ..self }
    }
}

/// The expression without the parentheses around it.
fn bare(e: &Expr) -> &Expr {
    match e {
        Expr::Paren(inner) => bare(&inner.expr),
        Expr::Group(inner) => bare(&inner.expr),
        e => e,
    }
}

/// A name that the user's text cannot mean.
fn hidden(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn part(name: &str, parts: &mut usize) -> Ident {
    *parts += 1;
    format_ident!("{name}{parts}", span = Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use crate::twin::tests::twins_of;

    fn check(body: &str, expected: &str) {
        let twin = twins_of(&format!("fn f(&self, x: Var, widths: &[usize]) {{ {body} }}"));
        let head = "const fn f_sizes(&self, x: ::lenslet::ShapeVar, widths: &[usize])";
        let expected: proc_macro2::TokenStream = format!("{head} {{ {expected} }}").parse().expect("tokens");
        assert_eq!(twin, expected.to_string(), "the twin of {body}");
    }

    #[test]
    fn ranges_are_counted() {
        check(
            "for i in 0..n { x.f(i * 2); }",
            "{ let mut at = 0; let last = n; while at < last { let i = at; at += 1; x.f(i * 2); } }",
        );
        check(
            "'outer: for _ in 1..=3 { continue 'outer; }",
            "{ let mut at = 1; let last = 3; 'outer: while at <= last { let _ = at; at += 1; continue 'outer; } }",
        );
    }

    /// The loop over one array, given the item at position `at`.
    fn walk(array: &str, item: &str, pattern: &str) -> String {
        format!(
            "{{ let array1 = &{array}; let mut at = 0usize; let len = array1.len();
             while at < len {{ let item = {item}; at += 1; let {pattern} = item; }} }}"
        )
    }

    #[test]
    fn arrays_are_walked() {
        check("for b in &self.blocks { }", &walk("self.blocks", "&array1[at]", "b"));
        check("for b in self.blocks.iter() { }", &walk("self.blocks", "&array1[at]", "b"));
        check("for (i, b) in self.blocks.iter().enumerate() { }", &walk("self.blocks", "(at, &array1[at])", "(i, b)"));
        check(
            "for b in self.blocks.iter().rev() { }",
            &walk("self.blocks", "&array1[array1.len() - 1 - at]", "b")
                .replace("array1[array1.len() - 1 - at]", "array1[(array1.len() - 1 - at)]"),
        );
    }

    #[test]
    fn an_array_by_value_gives_values_and_a_reference_gives_references() {
        check("for w in [64, 128] { }", &walk("[64, 128]", "array1[at]", "w"));
        check("for w in widths { }", &walk("widths", "&array1[at]", "w"));
        check("for w in [64, 128].into_iter() { }", &walk("[64, 128]", "array1[at]", "w"));
        check("for w in self.widths.iter().copied() { }", &walk("self.widths", "* &array1[at]", "w"));
    }

    #[test]
    fn what_a_loop_binds_is_known() {
        let twin = twins_of("fn f(x: Var) { for (i, w) in [64, 128].iter().enumerate() { g(i * 2, *w * 2, x * x); } }");
        assert!(twin.contains("g (i * 2 , * w * 2 , :: lenslet :: Pair (x , x) . mul ())"), "{twin}");
    }

    #[test]
    fn two_series_end_with_the_shorter() {
        let twin = twins_of("fn f(&self, x: Var) { for (a, b) in self.a.iter().zip(self.b.iter().skip(1)) { } }");
        for part in [
            "let array1 = & self . a ; let array2 = & self . b ; let number3 : usize = 1 ;",
            "(if array1 . len () < array2 . len () . saturating_sub (number3) { array1 . len () }",
            "(& array1 [at] , & array2 [(at + number3)])",
        ] {
            assert!(twin.contains(part), "{part}: {twin}");
        }
    }
}
