//! What a macro can know of the values in a text: which of them are surely plain numbers.
//!
//! A macro sees no types, but literals, casts, constants and declared types tell much, and locals made of these alone tell
//! as much again. "Other" is always a safe answer: the compiler then chooses by type. The one thing it cannot choose
//! from is `Pair(k, 2)` with a `k` whose type is still open, as in `let k = 3`; that is what this page is for.

use std::collections::HashMap;

use syn::{
    BinOp, Block, Expr, ExprBinary, ExprLit, ExprPath, ExprUnary, Ident, Lit, Pat, PatIdent, Path, Stmt, Type, UnOp,
};

/// What is known of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Number,
    /// An array or slice, by its items.
    Array(Box<Value>),
    Tuple(Vec<Value>),
    Reference(Box<Value>),
    Other,
}

impl Value {
    /// The items of an array.
    pub(crate) fn items(self) -> Value {
        match self {
            Value::Array(item) => *item,
            Value::Number | Value::Tuple(_) | Value::Reference(_) | Value::Other => Value::Other,
        }
    }

    pub(crate) fn referenced(self) -> Value {
        Value::Reference(Box::new(self))
    }

    pub(crate) fn dereferenced(self) -> Value {
        match self {
            Value::Reference(inner) => *inner,
            value => value,
        }
    }

    /// What a declared type says.
    pub(crate) fn declared(ty: &Type) -> Value {
        const NUMBERS: [&str; 14] =
            ["usize", "isize", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "f32", "f64"];
        match ty {
            Type::Reference(reference) => Value::declared(&reference.elem).referenced(),
            Type::Array(array) => Value::Array(Box::new(Value::declared(&array.elem))),
            Type::Slice(slice) => Value::Array(Box::new(Value::declared(&slice.elem))),
            Type::Tuple(tuple) => Value::Tuple(tuple.elems.iter().map(Value::declared).collect()),
            Type::Path(path) if NUMBERS.iter().any(|name| path.path.is_ident(name)) => Value::Number,
            _ => Value::Other,
        }
    }
}

/// The locals that are in sight, innermost scope last.
pub(crate) struct Scopes(Vec<HashMap<String, Value>>);

impl Scopes {
    pub(crate) fn new() -> Self {
        Self(vec![HashMap::new()])
    }

    pub(crate) fn enter(&mut self) {
        self.0.push(HashMap::new());
    }

    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }

    pub(crate) fn bind(&mut self, name: &Ident, value: Value) {
        self.0.last_mut().expect("a function is a scope").insert(name.to_string(), value);
    }

    /// Binds the names of a pattern to the parts of a value. Names that are not reached stay as they were bound before.
    pub(crate) fn learn(&mut self, pattern: &Pat, value: Value) {
        match (pattern, value) {
            (Pat::Ident(PatIdent { ident, subpat: None, .. }), value) => self.bind(ident, value),
            (Pat::Type(typed), _) => self.learn(&typed.pat, Value::declared(&typed.ty)),
            (Pat::Paren(inner), value) => self.learn(&inner.pat, value),
            (Pat::Reference(inner), value) => self.learn(&inner.pat, value.dereferenced()),
            (Pat::Tuple(tuple), Value::Tuple(values)) => {
                for (pattern, value) in tuple.elems.iter().zip(values) {
                    self.learn(pattern, value);
                }
            }
            _ => {}
        }
    }

    /// Whether `e` is surely a number.
    pub(crate) fn is_number(&self, e: &Expr) -> bool {
        self.value(e) == Value::Number
    }

    /// What is known of `e`.
    pub(crate) fn value(&self, e: &Expr) -> Value {
        match e {
            Expr::Lit(ExprLit { lit: Lit::Int(_) | Lit::Float(_), .. }) => Value::Number,
            Expr::Paren(inner) => self.value(&inner.expr),
            Expr::Group(inner) => self.value(&inner.expr),
            Expr::Reference(inner) => self.value(&inner.expr).referenced(),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => self.value(expr),
            Expr::Unary(ExprUnary { op: UnOp::Deref(_), expr, .. }) => self.value(expr).dereferenced(),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Cast(cast) => Value::declared(&cast.ty),
            Expr::Path(ExprPath { path, .. }) => self.path(path),
            Expr::MethodCall(call) => {
                let of_sizes = ["dim", "len", "rank"].iter().any(|name| call.method == name);
                if of_sizes || self.is_number(&call.receiver) { Value::Number } else { Value::Other }
            }
            Expr::Array(array) => Value::Array(Box::new(array.elems.first().map_or(Value::Other, |e| self.value(e)))),
            Expr::Repeat(repeat) => Value::Array(Box::new(self.value(&repeat.expr))),
            Expr::Index(index) => self.value(&index.expr).dereferenced().items(),
            Expr::Tuple(tuple) => Value::Tuple(tuple.elems.iter().map(|e| self.value(e)).collect()),
            Expr::If(choice) => self.last(&choice.then_branch),
            Expr::Block(block) => self.last(&block.block),
            Expr::Match(choice) => choice.arms.first().map_or(Value::Other, |arm| self.value(&arm.body)),
            _ => Value::Other,
        }
    }

    fn binary(&self, e: &ExprBinary) -> Value {
        let both = self.is_number(&e.left) && self.is_number(&e.right);
        let gives_number = matches!(
            e.op,
            BinOp::Add(_)
                | BinOp::Sub(_)
                | BinOp::Mul(_)
                | BinOp::Div(_)
                | BinOp::Rem(_)
                | BinOp::Shl(_)
                | BinOp::Shr(_)
        );
        if both && gives_number { Value::Number } else { Value::Other }
    }

    fn path(&self, path: &Path) -> Value {
        if let Some(name) = path.get_ident().map(Ident::to_string)
            && let Some(value) = self.0.iter().rev().find_map(|scope| scope.get(&name))
        {
            return value.clone();
        }
        // A constant or a generic number: `WIDTH`, `Self::WIDTH`, `N`.
        let name = path.segments.last().expect("a path has a segment").ident.to_string();
        if name.contains(char::is_lowercase) { Value::Other } else { Value::Number }
    }

    /// The value of a block; names bound inside of it are not seen.
    fn last(&self, block: &Block) -> Value {
        match block.stmts.as_slice() {
            [Stmt::Expr(e, None)] => self.value(e),
            _ => Value::Other,
        }
    }
}
