//! The rules that turn the text of a forward pass into text over sizes.
//!
//! | text | twin |
//! |---|---|
//! | `Var`, `Var::concat(…)` | `::lenslet::ShapeVar`, `::lenslet::ShapeVar::concat(…)` |
//! | `a.forward(x)`, `a.forward_head(x)` | `a.forward_sizes(x)`, `a.forward_head_sizes(x)` |
//! | `self.features(x)`, `Self::features(x)`, if the block has it | `self.features_sizes(x)`, … |
//! | `a + b`, `-a` | `::lenslet::Pair(a, b).add()`, `::lenslet::Single(a).neg()` |
//! | `a += b` | `a = ::lenslet::Pair(a, b).add()` |
//! | `x.view(e)` and others of [`SEVERAL_TYPES`] | `::lenslet::Pair(x, e).view()` |
//! | `x.watch(name)` | `x.watch("")` |
//! | `for` | `while`, see [`loops`](crate::loops) |
//! | `println!(…)`, `dbg!(e)`, `assert_eq!(a, b)` | nothing, `e`, `assert!(a == b)` |
//!
//! Arithmetic between two numbers stays as it is, because `Pair(2, 3)` leaves the compiler several number types to choose
//! from. What is a number is known for literals, casts, constants, `x.dim(0)`, and for locals made of these alone.
//! What the compiler cannot run while it compiles is refused in words of our own where it can be recognised; the rest is
//! met by the compiler's own error at the user's line.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Arm, BinOp, Block, Error, Expr, ExprBinary, ExprCall, ExprIf, ExprMethodCall, ExprPath, ExprUnary, ExprWhile,
    FnArg, Ident, Item, LitStr, Local, Macro, Pat, PatIdent, Path, Result, Signature, Stmt, Token, UnOp, parse_quote,
    parse_quote_spanned,
};

use crate::loops;
use crate::twin::{self, Kind, Siblings, combine};
use crate::values::{Scopes, Value};

/// Methods of `Var` whose argument may be of several types, and `min` and `max` of numbers, which are no `const fn`.
/// A user's own method of such a name with one argument is not found in the twin.
const SEVERAL_TYPES: [&str; 9] = ["view", "sum", "mean", "max", "min", "sum_keep", "mean_keep", "max_keep", "permute"];

/// Macros that only print.
const PRINTING: [&str; 9] = ["println", "print", "eprintln", "eprint", "trace", "debug", "info", "warn", "error"];

/// Macros whose result the compiler can use as it is.
const HARMLESS: [&str; 9] =
    ["cfg", "column", "concat", "env", "file", "include_str", "line", "module_path", "stringify"];

/// Rewrites one function.
pub(crate) struct Rewrite<'a> {
    siblings: &'a Siblings,
    kind: Kind,
    pub(crate) scopes: Scopes,
    errors: Option<Error>,
}

impl<'a> Rewrite<'a> {
    pub(crate) fn new(siblings: &'a Siblings, kind: Kind) -> Self {
        Self { siblings, kind, scopes: Scopes::new(), errors: None }
    }

    /// What was refused.
    pub(crate) fn finish(self) -> Result<()> {
        self.errors.map_or(Ok(()), Err)
    }

    /// Makes signature and body those of a `const fn` over sizes.
    pub(crate) fn function(&mut self, signature: &mut Signature, body: &mut Block) {
        if let Some(word) = &signature.asyncness {
            self.refuse(word.span, "wait in an async function");
        }
        signature.constness.get_or_insert_with(|| Token![const](signature.fn_token.span));
        self.scoped(|this| {
            this.visit_signature_mut(signature);
            for input in &signature.inputs {
                if let FnArg::Typed(input) = input {
                    this.scopes.learn(&input.pat, Value::declared(&input.ty));
                }
            }
            this.visit_block_mut(body);
        });
    }

    /// Refuses what the compiler cannot do, with the way out.
    pub(crate) fn refuse(&mut self, span: Span, what: &str) {
        let message = match self.kind {
            Kind::Network => format!(
                "a network with `input = …` is proved by the compiler, which cannot {what}; write it as match or for, or \
                 leave `input` out: the sizes are then checked when the network is recorded"
            ),
            Kind::Block => format!(
                "a `#[block]` is proved by the compiler, which cannot {what}; write it as match or for, or leave out \
                 `#[block]`, and `input` in networks that use it: the sizes are then checked when the network is recorded"
            ),
        };
        combine(&mut self.errors, Error::new(span, message));
    }

    pub(crate) fn scoped<R>(&mut self, inner: impl FnOnce(&mut Self) -> R) -> R {
        self.scopes.enter();
        let result = inner(self);
        self.scopes.leave();
        result
    }

    /// Rewrites a pattern and notes what its names stand for.
    pub(crate) fn bind(&mut self, pattern: &mut Pat, value: Value) {
        self.visit_pat_mut(pattern);
        self.scopes.learn(pattern, value);
    }
}

impl VisitMut for Rewrite<'_> {
    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.retain(|statement| !prints(statement));
        self.scoped(|this| visit_mut::visit_block_mut(this, block));
    }

    fn visit_stmt_mut(&mut self, statement: &mut Stmt) {
        // A macro that stands as a statement is rewritten as any other expression.
        if let Stmt::Macro(call) = statement {
            let mut e = Expr::Macro(syn::ExprMacro { attrs: call.attrs.clone(), mac: call.mac.clone() });
            self.visit_expr_mut(&mut e);
            *statement = Stmt::Expr(e, call.semi_token);
            return;
        }
        visit_mut::visit_stmt_mut(self, statement);
    }

    fn visit_local_mut(&mut self, local: &mut Local) {
        let Some(init) = &mut local.init else { return visit_mut::visit_local_mut(self, local) };
        // The value comes first: in `let x = x + y` the right `x` is the old one.
        self.visit_expr_mut(&mut init.expr);
        if let Some((_, otherwise)) = &mut init.diverge {
            self.visit_expr_mut(otherwise);
        }
        let value = self.scopes.value(&init.expr);
        self.bind(&mut local.pat, value);
    }

    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        self.scopes.bind(&pattern.ident, Value::Other);
        visit_mut::visit_pat_ident_mut(self, pattern);
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        self.scoped(|this| visit_mut::visit_arm_mut(this, arm));
    }

    fn visit_expr_if_mut(&mut self, e: &mut ExprIf) {
        self.scoped(|this| visit_mut::visit_expr_if_mut(this, e));
    }

    fn visit_expr_while_mut(&mut self, e: &mut ExprWhile) {
        self.scoped(|this| visit_mut::visit_expr_while_mut(this, e));
    }

    fn visit_item_mut(&mut self, item: &mut Item) {
        // A function inside of the method has its twin under its own name, inside of the method's twin.
        if let Item::Fn(function) = item
            && twin::speaks_of_var(&function.sig)
        {
            self.function(&mut function.sig, &mut function.block);
        }
    }

    fn visit_path_mut(&mut self, path: &mut Path) {
        twin::rename_var(path);
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_expr_mut(&mut self, e: &mut Expr) {
        match e {
            Expr::Closure(closure) => return self.refuse(closure.inputs_begin.span, "run a closure"),
            Expr::Try(e) => return self.refuse(e.question_token.span, "leave with `?`"),
            Expr::Async(e) => return self.refuse(e.async_token.span, "wait in an async block"),
            Expr::Await(e) => return self.refuse(e.await_token.span, "wait with `await`"),
            Expr::Macro(call) => {
                if let Some(rewritten) = self.macro_call(&mut call.mac) {
                    *e = rewritten;
                }
                return;
            }
            Expr::ForLoop(for_loop) => {
                if let Some(rewritten) = loops::rewrite(self, for_loop) {
                    *e = rewritten;
                }
                return;
            }
            Expr::MethodCall(call) if call.method == "watch" && call.args.len() == 1 => {
                // The name may be a `format!`; in the twin nobody reads it.
                let name = LitStr::new("", call.args.span());
                call.args = parse_quote!(#name);
                self.visit_expr_mut(&mut call.receiver);
                return;
            }
            _ => visit_mut::visit_expr_mut(self, e),
        }
        let rewritten = match e {
            Expr::Binary(binary) => self.binary(binary),
            Expr::Unary(unary) => self.unary(unary),
            Expr::MethodCall(call) => self.method_call(call),
            Expr::Call(call) => self.call(call),
            _ => None,
        };
        if let Some(rewritten) = rewritten {
            *e = rewritten;
        }
    }
}

impl Rewrite<'_> {
    /// `a + b` and `a += b`.
    fn binary(&self, e: &ExprBinary) -> Option<Expr> {
        let (method, assigns) = arithmetic(&e.op)?;
        if self.scopes.is_number(&e.left) && self.scopes.is_number(&e.right) {
            return None;
        }
        let method = Ident::new(method, e.op.span());
        let (left, end) = (&e.left, last_span(&e.right));
        let result = pair(left, &e.right, &method, end);
        let start = e.left.span();
        Some(if assigns { parse_quote_spanned!(start=> #left = #result) } else { result })
    }

    /// `-a`.
    fn unary(&self, e: &ExprUnary) -> Option<Expr> {
        let UnOp::Neg(minus) = &e.op else { return None };
        let operand = &e.expr;
        (!self.scopes.is_number(operand)).then(|| {
            let nothing = nothing(last_span(operand));
            parse_quote_spanned!(minus.span=> ::lenslet::Single(#operand).neg #nothing)
        })
    }

    fn method_call(&self, call: &mut ExprMethodCall) -> Option<Expr> {
        let on_itself = is_self(&call.receiver) && self.siblings.has(&call.method);
        if on_itself || is_forward(&call.method) {
            call.method = twin::name(&call.method);
            return None;
        }
        let argument = match call.args.first() {
            Some(argument) if call.args.len() == 1 => argument,
            _ => return None,
        };
        let several = SEVERAL_TYPES.iter().any(|name| call.method == name);
        several.then(|| pair(&call.receiver, argument, &call.method, call.paren_token.span.join()))
    }

    /// `Self::features(…)`, `Conv2d::forward(…)`, `Var::view(x, …)`.
    fn call(&self, call: &mut ExprCall) -> Option<Expr> {
        let Expr::Path(ExprPath { path, qself: None, .. }) = &mut *call.func else { return None };
        let [.., owner, function] = &mut *path.segments.iter_mut().collect::<Vec<_>>() else { return None };
        let on_itself = owner.ident == "Self" || self.siblings.itself.as_ref() == Some(&owner.ident);
        if on_itself && self.siblings.has(&function.ident) || is_forward(&function.ident) {
            function.ident = twin::name(&function.ident);
            return None;
        }
        let several = owner.ident == "ShapeVar" && SEVERAL_TYPES.iter().any(|name| function.ident == name);
        let [value, argument] = &*call.args.iter().collect::<Vec<_>>() else { return None };
        several.then(|| pair(value, argument, &function.ident, call.paren_token.span.join()))
    }

    /// What a macro comes to in the twin; `None` leaves it as it is.
    fn macro_call(&mut self, call: &mut Macro) -> Option<Expr> {
        let name = call.path.segments.last().expect("a path has a segment").ident.clone();
        let span = name.span();
        let is = |names: &[&str]| names.iter().any(|known| name == known);
        if is(&PRINTING) {
            return Some(parse_quote_spanned!(span=> ()));
        }
        if is(&["unreachable", "todo", "unimplemented", "panic"]) {
            // The message may quote values, which a `const fn` cannot.
            let text = LitStr::new(&call.tokens.to_string(), span);
            return Some(parse_quote_spanned!(span=> ::core::panic!("{}", #text)));
        }
        if is(&HARMLESS) {
            return None;
        }
        if name == "matches" {
            self.matches(call);
            return None;
        }
        let arguments = call.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated).ok();
        let arguments = arguments.map(|mut arguments| {
            arguments.iter_mut().for_each(|e| self.visit_expr_mut(e));
            arguments.into_iter().collect::<Vec<_>>()
        });
        match (name.to_string().as_str(), arguments.as_deref()) {
            // The message is left out, for the same reason.
            ("assert" | "debug_assert", Some([condition, ..])) => {
                Some(parse_quote_spanned!(span=> ::core::assert!(#condition)))
            }
            ("assert_eq" | "debug_assert_eq", Some([a, b, ..])) => {
                Some(parse_quote_spanned!(span=> ::core::assert!(#a == #b)))
            }
            ("assert_ne" | "debug_assert_ne", Some([a, b, ..])) => {
                Some(parse_quote_spanned!(span=> ::core::assert!(#a != #b)))
            }
            ("dbg", Some([e])) => Some(parse_quote_spanned!(span=> (#e))),
            ("dbg", Some(all)) => Some(parse_quote_spanned!(span=> (#(#all),*))),
            _ => {
                self.refuse(span, &format!("look into the macro `{name}!`"));
                None
            }
        }
    }

    /// `matches!(e, pattern)`: `e` is rewritten.
    fn matches(&mut self, call: &mut Macro) {
        let parsed = call.parse_body_with(|input: syn::parse::ParseStream<'_>| {
            Ok((input.parse::<Expr>()?, input.parse::<TokenStream>()?))
        });
        if let Ok((mut e, rest)) = parsed {
            self.visit_expr_mut(&mut e);
            call.tokens = quote_spanned!(e.span()=> #e #rest);
        }
    }
}

/// `::lenslet::Pair(a, b).method()`. The whole has the user's span from the start of `a` to `end`, so that the compiler
/// underlines the user's text.
fn pair(a: &Expr, b: &Expr, method: &Ident, end: Span) -> Expr {
    let nothing = nothing(end);
    parse_quote_spanned!(a.span()=> ::lenslet::Pair(#a, #b).#method #nothing)
}

/// `()`.
fn nothing(span: Span) -> TokenTree {
    let mut group = Group::new(proc_macro2::Delimiter::Parenthesis, TokenStream::new());
    group.set_span(span);
    group.into()
}

fn last_span(e: &Expr) -> Span {
    e.to_token_stream().into_iter().last().map_or_else(|| e.span(), |token| token.span())
}

/// The name in `Pair` for an operator, and whether it assigns.
fn arithmetic(op: &BinOp) -> Option<(&'static str, bool)> {
    Some(match op {
        BinOp::Add(_) => ("add", false),
        BinOp::Sub(_) => ("sub", false),
        BinOp::Mul(_) => ("mul", false),
        BinOp::Div(_) => ("div", false),
        BinOp::AddAssign(_) => ("add", true),
        BinOp::SubAssign(_) => ("sub", true),
        BinOp::MulAssign(_) => ("mul", true),
        BinOp::DivAssign(_) => ("div", true),
        _ => return None,
    })
}

/// PyTorch's names of forward passes: `forward`, `forward_features`, `forward_head`.
fn is_forward(name: &Ident) -> bool {
    let name = name.to_string();
    name == "forward" || name.starts_with("forward_") && !name.ends_with("_sizes")
}

/// `self`, also as `(&self)`.
fn is_self(e: &Expr) -> bool {
    match e {
        Expr::Path(path) => path.path.is_ident("self"),
        Expr::Paren(inner) => is_self(&inner.expr),
        Expr::Reference(inner) => is_self(&inner.expr),
        Expr::Unary(ExprUnary { op: UnOp::Deref(_), expr, .. }) => is_self(expr),
        _ => false,
    }
}

/// Whether a statement only prints.
fn prints(statement: &Stmt) -> bool {
    let Stmt::Macro(call) = statement else { return false };
    let name = &call.mac.path.segments.last().expect("a path has a segment").ident;
    PRINTING.iter().any(|known| name == known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::tests::twins_of;

    /// The body of a forward pass, and that of its twin.
    fn check(body: &str, expected: &str) {
        let twin = twins_of(&format!(
            "fn forward(&self, x: Var, n: usize, y: Var) -> Var {{ {body} }} fn features(&self, x: Var) {{}}"
        ));
        let head = "const fn forward_sizes(&self, x: ::lenslet::ShapeVar, n: usize, y: ::lenslet::ShapeVar) -> ::lenslet::ShapeVar";
        let tail = "const fn features_sizes(&self, x: ::lenslet::ShapeVar) {}";
        let expected: TokenStream =
            format!("{head} {{ {expected} }} {tail}").parse().expect("the expectation is made of tokens");
        assert_eq!(twin, expected.to_string(), "the twin of {body}");
    }

    fn check_refused(body: &str, cannot: &str) {
        let message = twins_of(&format!("fn forward(&self, x: Var) -> Var {{ {body} }}"));
        assert!(message.contains(&format!("proved by the compiler, which cannot {cannot};")), "{body}: {message}");
    }

    #[test]
    fn forward_passes_call_those_of_their_parts() {
        check("self.conv.forward(x).relu()", "self.conv.forward_sizes(x).relu()");
        check("self.body.forward_features(x)", "self.body.forward_features_sizes(x)");
        check("Conv2d::forward(&self.conv, x)", "Conv2d::forward_sizes(&self.conv, x)");
    }

    #[test]
    fn methods_of_the_block_call_each_others_twins() {
        check("self.features(x)", "self.features_sizes(x)");
        check(
            "Self::features(self, x); Cnn::features(self, x)",
            "Self::features_sizes(self, x); Cnn::features_sizes(self, x)",
        );
        // The same name on something else, and a name without a twin.
        check("self.body.features(x); self.side(n)", "self.body.features(x); self.side(n)");
    }

    #[test]
    fn the_type_is_replaced_in_paths_and_declarations() {
        check(
            "let z: Var = Var::concat(&[x, y], 0); z",
            "let z: ::lenslet::ShapeVar = ::lenslet::ShapeVar::concat(&[x, y], 0); z",
        );
        check("lenslet::Var::constant(1.0)", "::lenslet::ShapeVar::constant(1.0)");
    }

    #[test]
    fn operators_choose_by_type() {
        check("x + y", "::lenslet::Pair(x, y).add()");
        check("x * 2.0 - y / x", "::lenslet::Pair(::lenslet::Pair(x, 2.0).mul(), ::lenslet::Pair(y, x).div()).sub()");
        check("-x", "::lenslet::Single(x).neg()");
        check("x += y; x *= 0.5", "x = ::lenslet::Pair(x, y).add(); x = ::lenslet::Pair(x, 0.5).mul()");
        check("16 * self.side", "::lenslet::Pair(16, self.side).mul()");
        check("x.f(y + x)", "x.f(::lenslet::Pair(y, x).add())");
    }

    #[test]
    fn numbers_stay_numbers() {
        for text in [
            "16 * 5 * 5",
            "-1",
            "n * 2 + x.dim(1)",
            "let k = 3; k / 2",
            "let (a, b) = (1, -2); a * b",
            "let a = [64, 128]; a[0] * 2",
            "Self::WIDTH * N / 2",
            "self.side as usize * 2",
            "let k: usize = self.k; k - 1",
            "let k = if n > 2 { 1 } else { 2 }; k + k",
            "let mut k = 0; while k < 3 { k += 1; }",
            "n % 2; n << 1; n == 2; !true",
        ] {
            check(text, text);
        }
    }

    #[test]
    fn what_hides_a_number_is_none() {
        check("let k = 3; { let k = self.f(); k * k }", "let k = 3; { let k = self.f(); ::lenslet::Pair(k, k).mul() }");
        check(
            "let k = 3; if let Some(k) = y { k + k }",
            "let k = 3; if let Some(k) = y { ::lenslet::Pair(k, k).add() }",
        );
        check("let n = x; { n + n }", "let n = x; { ::lenslet::Pair(n, n).add() }");
        check("match y { n => n + n }", "match y { n => ::lenslet::Pair(n, n).add() }");
        check("let n = n + 1; n + 1", "let n = n + 1; n + 1");
    }

    #[test]
    fn methods_with_arguments_of_several_types_choose_by_type() {
        check("x.view(16 * 5 * 5)", "::lenslet::Pair(x, 16 * 5 * 5).view()");
        check("x.mean([1, 2]).max(-1)", "::lenslet::Pair(::lenslet::Pair(x, [1, 2]).mean(), -1).max()");
        check("Var::view(x, [16, 25])", "::lenslet::Pair(x, [16, 25]).view()");
        check("x.dim(1).max(2)", "::lenslet::Pair(x.dim(1), 2).max()");
        check("x.max(); x.sum(1, 2); x.softmax(-1)", "x.max(); x.sum(1, 2); x.softmax(-1)");
    }

    #[test]
    fn choices_pass_through() {
        check(
            "match &self.short { Some(s) => s.forward(x) + y, None => x }",
            "match &self.short { Some(s) => ::lenslet::Pair(s.forward_sizes(x), y).add(), None => x }",
        );
        check(
            "let Some(s) = &self.short else { return -x }; if n > 1 { [x, -y] } else { (s.forward(x), y) }",
            "let Some(s) = &self.short else { return ::lenslet::Single(x).neg() };
             if n > 1 { [x, ::lenslet::Single(y).neg()] } else { (s.forward_sizes(x), y) }",
        );
    }

    #[test]
    fn functions_inside_keep_their_names() {
        check(
            "fn twice(x: Var) -> Var { x + x } use lenslet::Var; fn side(n: usize) -> usize { n } twice(x)",
            "const fn twice(x: ::lenslet::ShapeVar) -> ::lenslet::ShapeVar { ::lenslet::Pair(x, x).add() }
             use lenslet::Var; fn side(n: usize) -> usize { n } twice(x)",
        );
    }

    #[test]
    fn printing_is_left_out() {
        check("println!(\"{:?}\", x.shape()); log::debug!(\"x\"); x", "x");
        check("if n == 1 { eprintln!() } else { print!(\"\"); }", "if n == 1 { () } else { }");
        check("match n { 1 => println!(), _ => {} }", "match n { 1 => (), _ => {} }");
        check("dbg!(self.conv.forward(x))", "(self.conv.forward_sizes(x))");
        check("x.watch(&format!(\"block{n}\"))", "x.watch(\"\")");
    }

    #[test]
    fn assertions_lose_their_messages_only() {
        check("assert!(x.dim(0) == n, \"{n}\");", "::core::assert!(x.dim(0) == n);");
        check("assert_eq!(x.f(y + x), 3);", "::core::assert!(x.f(::lenslet::Pair(y, x).add()) == 3);");
        check("debug_assert_ne!(n, 3, \"three\");", "::core::assert!(n != 3);");
        check("panic!(\"no {n}\")", "::core::panic!(\"{}\", \"\\\"no {n}\\\"\")");
        check("if matches!(-x, Some(_)) { }", "if matches!(::lenslet::Single(x).neg(), Some(_)) { }");
    }

    #[test]
    fn refusals() {
        check_refused("self.blocks.iter().fold(x, |x, b| b.forward(x))", "run a closure");
        check_refused("self.short.map(move |b| b.forward(x))", "run a closure");
        check_refused("x.view(self.side()?)", "leave with `?`");
        check_refused("async { x }", "wait in an async block");
        check_refused("f().await", "wait with `await`");
        check_refused("vec![x]; x", "look into the macro `vec!`");
        check_refused("for b in self.blocks.chunks(2) { } x", "loop over anything but ranges and arrays");
        let both = twins_of("fn forward(&self, x: Var) -> Var { f(|| 1); g()? } async fn g(x: Var) {}");
        assert_eq!(both.lines().count(), 3, "every refusal is reported: {both}");
    }

    #[test]
    fn a_block_gets_advice_of_its_own() {
        let block = parse_quote!(impl Block { fn forward(&self, x: Var) -> Var { f(|| x) } });
        let message = twin::twins(&block, Kind::Block).expect_err("a closure is refused").to_string();
        assert!(message.contains("a `#[block]` is proved") && message.contains("leave out `#[block]`"), "{message}");
    }
}
