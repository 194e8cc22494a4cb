//! The shape-only twin of [`Var`](crate::Var).
//!
//! A forward pass is written once, over `Var`; `#[network(input = …)]` compiles the same text a second time over
//! [`ShapeVar`], whose methods are `const fn`, and the compiler evaluates it. Both sides ask the same rules: a rule is a
//! `const fn` from `ShapeVar`s to `Result<ShapeVar, SizeError>`, `Var` keeps the error for later, the twin panics with
//! its words, which is a compile error at the user's line. So the twin carries all that an error speaks of: the sizes
//! and the last steps that led to them.

use crate::window::Arithmetic;
use crate::{Message, Shape, SizeError};

/// Sizes of a value, and how they came about.
#[derive(Clone, Copy, Debug)]
pub struct ShapeVar {
    shape: Shape,
    trail: Trail,
}

/// One step of the trail: what changed the sizes.
#[derive(Clone, Copy, Debug)]
pub struct TrailStep {
    /// The op, `conv2d`.
    pub op: &'static str,
    /// The sizes behind it.
    pub shape: Shape,
    /// The sums for height and width, where the op slides a window.
    pub arithmetic: Option<[Arithmetic; 2]>,
}

/// The last steps that changed the sizes, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Trail {
    steps: [Option<TrailStep>; Self::ROOM],
    /// Steps that no longer fit.
    forgotten: usize,
}

impl Trail {
    const ROOM: usize = 6;

    const fn begin(shape: Shape) -> Self {
        let mut steps = [None; Self::ROOM];
        steps[0] = Some(TrailStep { op: "input", shape, arithmetic: None });
        Self { steps, forgotten: 0 }
    }

    const fn then(mut self, step: TrailStep) -> Self {
        let mut i = 0;
        while i < Self::ROOM {
            if self.steps[i].is_none() {
                self.steps[i] = Some(step);
                return self;
            }
            i += 1;
        }
        i = 1;
        while i < Self::ROOM {
            self.steps[i - 1] = self.steps[i];
            i += 1;
        }
        self.steps[Self::ROOM - 1] = Some(step);
        self.forgotten += 1;
        self
    }

    /// The steps that are kept, oldest first.
    pub fn steps(&self) -> impl Iterator<Item = &TrailStep> {
        self.steps.iter().flatten()
    }

    /// A line per step: op, sizes, arithmetic.
    pub(crate) const fn write(&self, mut message: Message) -> Message {
        if self.forgotten > 0 {
            message = message.text("\n    … ").number(self.forgotten).text(" steps before these");
        }
        let mut i = 0;
        while i < Self::ROOM {
            let Some(step) = &self.steps[i] else { return message };
            let start = message.len();
            message = message.text("\n    ").text(step.op).text(" ").pad_to(start, 18).shape(&step.shape);
            if let Some([height, width]) = &step.arithmetic {
                message = height.write(message.pad_to(start, 29).text(" "));
                if height.output != width.output {
                    message = width.write(message.text(", "));
                }
            }
            i += 1;
        }
        message
    }
}

impl ShapeVar {
    /// A value that begins a trail: an input.
    pub const fn new(shape: Shape) -> Self {
        Self { shape, trail: Trail::begin(shape) }
    }

    /// A C×H×W input image.
    pub const fn image(sizes: [usize; 3]) -> Self {
        Self::new(Shape::image(sizes[0], sizes[1], sizes[2]))
    }

    /// The sizes.
    pub const fn shape(self) -> Shape {
        self.shape
    }

    /// Size of one axis; 0 is the first behind the batch.
    ///
    /// # Panics
    /// If there is no such axis.
    #[track_caller]
    pub const fn dim(self, axis: usize) -> usize {
        self.shape.dim(axis)
    }

    /// Does nothing; the twin of [`Var::watch`](crate::Var::watch).
    pub const fn watch(self, _name: &str) -> Self {
        self
    }

    /// How the sizes came about.
    pub const fn trail(&self) -> &Trail {
        &self.trail
    }

    /// The same history, other sizes, not worth a step of their own.
    pub const fn with_shape(self, shape: Shape) -> Self {
        Self { shape, trail: self.trail }
    }

    /// A step that changes the sizes.
    pub const fn step(self, op: &'static str, shape: Shape) -> Self {
        Self { shape, trail: self.trail.then(TrailStep { op, shape, arithmetic: None }) }
    }

    /// A step of a sliding window.
    pub const fn window_step(self, op: &'static str, shape: Shape, arithmetic: [Arithmetic; 2]) -> Self {
        Self { shape, trail: self.trail.then(TrailStep { op, shape, arithmetic: Some(arithmetic) }) }
    }

    /// The sizes that a rule found, or a panic in its words: at compile time an error at the caller's line.
    #[track_caller]
    pub const fn proved(result: Result<Self, SizeError>) -> Self {
        match result {
            Ok(sizes) => sizes,
            Err(error) => panic!("{}", error.message().as_str()),
        }
    }
}

/// Two operands of an infix operator or of a method with arguments of several types, in the twin.
///
/// Traits are not `const` on stable Rust, but inherent methods are: the macro turns `a + b` into `Pair(a, b).add()`, and
/// the types of `a` and `b` choose the `impl`. So `x + y` on sizes is checked, and `16 * side` stays a number.
#[derive(Clone, Copy, Debug)]
pub struct Pair<A, B>(pub A, pub B);

/// The operand of a unary operator, in the twin; see [`Pair`].
#[derive(Clone, Copy, Debug)]
pub struct Single<A>(pub A);

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Pair<$number, $number> {
            /// `a + b`.
            pub const fn add(self) -> $number { self.0 + self.1 }
            /// `a - b`.
            pub const fn sub(self) -> $number { self.0 - self.1 }
            /// `a * b`.
            pub const fn mul(self) -> $number { self.0 * self.1 }
            /// `a / b`.
            pub const fn div(self) -> $number { self.0 / self.1 }
            /// `a.max(b)`.
            pub const fn max(self) -> $number { if self.0 < self.1 { self.1 } else { self.0 } }
            /// `a.min(b)`.
            pub const fn min(self) -> $number { if self.1 < self.0 { self.1 } else { self.0 } }
        })*
    };
}

numbers!(usize, u8, u16, u32, u64, u128, isize, i8, i16, i32, i64, i128, f32, f64);

macro_rules! signed {
    ($($number:ty),*) => {
        $(impl Single<$number> {
            /// `-a`.
            pub const fn neg(self) -> $number { -self.0 }
        })*
    };
}

signed!(isize, i8, i16, i32, i64, i128, f32, f64);
