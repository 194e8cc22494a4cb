//! Pickles with plain data and NumPy's uint8 arrays, as CIFAR-10's Python batches are; protocols 1 to 5.
//!
//! *Invariant:* a pickle is a program that may name any function of Python; this reader runs none. The few names that
//! stand for an array are recognised, any other is an error. Objects live in one list and refer to each other by index,
//! so shared and cyclic objects cost nothing, bytes borrow from the file, and the list is bounded.
use crate::error::{Fault, Kind, Place};
use std::borrow::Cow;
use std::collections::HashMap;

/// Far more than a batch of 10,000 pictures holds.
const MAX_OBJECTS: usize = 1_000_000;

type Id = usize;

#[derive(Debug)]
enum Object<'a> {
    /// None, and numbers that are too long to be a label.
    Nothing,
    Int(i64),
    /// Text too: Python 2 made no difference.
    Bytes(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Callable(Callable),
    /// The element type uint8, the only one that is allowed.
    Uint8,
    /// An array, which NumPy makes empty and fills with BUILD.
    Array {
        shape: Vec<usize>,
        data: Id,
    },
}

/// The names that may appear; calling them makes one of the objects above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callable {
    Reconstruct,
    FromBuffer,
    Ndarray,
    Dtype,
    Encode,
}

impl Callable {
    fn named(module: &[u8], name: &[u8]) -> Option<Self> {
        Some(match (module, name) {
            (b"numpy.core.multiarray" | b"numpy._core.multiarray", b"_reconstruct") => Self::Reconstruct,
            (b"numpy.core.numeric" | b"numpy._core.numeric", b"_frombuffer") => Self::FromBuffer,
            (b"numpy", b"ndarray") => Self::Ndarray,
            (b"numpy", b"dtype") => Self::Dtype,
            // How Python 3 writes bytes in protocol 2: as text in Latin-1.
            (b"_codecs", b"encode") => Self::Encode,
            _ => return None,
        })
    }
}

/// What a pickle holds.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    objects: Vec<Object<'a>>,
    root: Id,
}

/// One of its objects.
#[derive(Clone, Copy)]
pub(crate) struct View<'p> {
    objects: &'p [Object<'p>],
    id: Id,
}

impl Pickle<'_> {
    pub(crate) fn root(&self) -> View<'_> {
        View { objects: &self.objects, id: self.root }
    }
}

impl<'p> View<'p> {
    fn at(self, id: Id) -> Self {
        Self { id, ..self }
    }

    /// The value of a key of a dictionary; of the last one, if it comes several times.
    pub(crate) fn get(self, key: &str) -> Option<Self> {
        let Object::Dict(pairs) = &self.objects[self.id] else { return None };
        let found = pairs.iter().rev().find(|(name, _)| self.at(*name).bytes() == Some(key.as_bytes()));
        found.map(|&(_, value)| self.at(value))
    }

    pub(crate) fn list(self) -> Option<impl ExactSizeIterator<Item = Self>> {
        let Object::List(items) = &self.objects[self.id] else { return None };
        Some(items.iter().map(move |&id| self.at(id)))
    }

    pub(crate) fn int(self) -> Option<i64> {
        if let Object::Int(value) = self.objects[self.id] { Some(value) } else { None }
    }

    pub(crate) fn bytes(self) -> Option<&'p [u8]> {
        if let Object::Bytes(bytes) = &self.objects[self.id] { Some(bytes) } else { None }
    }

    /// The shape and the bytes of a uint8 array.
    pub(crate) fn array(self) -> Option<(&'p [usize], &'p [u8])> {
        let Object::Array { shape, data } = &self.objects[self.id] else { return None };
        Some((shape, self.at(*data).bytes()?))
    }
}

/// Reads a pickle up to its STOP.
pub(crate) fn read(bytes: &[u8]) -> Result<Pickle<'_>, Fault> {
    let mut machine =
        Machine { bytes, at: 0, objects: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let start = machine.at;
        if machine.step().map_err(|fault| fault.at(Place::Byte(start)))? {
            let root = machine.pop().map_err(|fault| fault.at(Place::Byte(start)))?;
            return Ok(Pickle { objects: machine.objects, root });
        }
    }
}

/// The stack machine that a pickle is a program for.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

impl<'a> Machine<'a> {
    /// Runs one instruction; whether it was the last. Letters are those of Python's `pickletools`.
    fn step(&mut self) -> Result<bool, Fault> {
        match self.number::<1>()? as u8 {
            b'.' => return Ok(true),
            // PROTO, FRAME: what they announce is of no account here.
            0x80 => drop(self.take(1)?),
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' => self.push(Object::Nothing)?,
            // Booleans: NumPy's flag for Fortran's order.
            0x88 => self.push(Object::Int(1))?,
            0x89 => self.push(Object::Int(0))?,
            b'J' => self.int::<4>()?,
            b'K' => self.int::<1>()?,
            b'M' => self.int::<2>()?,
            0x8A => {
                let length = self.number::<1>()?;
                let digits = self.take(length)?;
                self.push(long(digits))?;
            }
            b'U' | b'C' | 0x8C => self.text::<1>()?,
            b'T' | b'B' | b'X' => self.text::<4>()?,
            0x8D | 0x8E | 0x96 => self.text::<8>()?,
            b']' => self.push(Object::List(Vec::new()))?,
            b')' => self.push(Object::Tuple(Vec::new()))?,
            b'}' => self.push(Object::Dict(Vec::new()))?,
            b'l' => self.collect(Object::List)?,
            b't' => self.collect(Object::Tuple)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => self.memoize::<1>()?,
            b'r' => self.memoize::<4>()?,
            0x94 => drop(self.memo.insert(self.memo.len() as u32, self.top()?)),
            b'h' => self.recall::<1>()?,
            b'j' => self.recall::<4>()?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let names =
                    (self.view(module).bytes().map(<[u8]>::to_vec), self.view(name).bytes().map(<[u8]>::to_vec));
                let (Some(module), Some(name)) = names else { return Err(unexpected("two names", "other objects")) };
                self.global(&module, &name)?;
            }
            b'R' => self.call()?,
            b'b' => self.build()?,
            other => {
                let fix = "write the batch again with pickle.dump(batch, file, protocol=2)";
                let found = format!("the instruction {other:#04x}");
                return Err(Fault::new(Kind::Unsupported, "a pickle of plain data and uint8 arrays", found, fix));
            }
        }
        Ok(false)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let left = &self.bytes[self.at..];
        let taken =
            left.get(..count).ok_or_else(|| unexpected(&format!("{count} more bytes"), left.len().to_string()))?;
        self.at += count;
        Ok(taken)
    }

    /// An unsigned number of N bytes.
    fn number<const N: usize>(&mut self) -> Result<usize, Fault> {
        let value = self.take(N)?.iter().rev().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        Ok(usize::try_from(value).unwrap_or(usize::MAX))
    }

    fn line(&mut self) -> Result<&'a [u8], Fault> {
        let end = self.bytes[self.at..].iter().position(|&byte| byte == b'\n');
        let line = self.take(end.ok_or_else(|| unexpected("a name that ends with its line", "none"))?)?;
        self.at += 1;
        Ok(line)
    }

    fn push(&mut self, object: Object<'a>) -> Result<(), Fault> {
        if self.objects.len() == MAX_OBJECTS {
            let fix = "give a batch of CIFAR-10 as it comes from the archive";
            return Err(Fault::new(Kind::Unsupported, format!("at most {MAX_OBJECTS} objects"), "more", fix));
        }
        self.stack.push(self.objects.len());
        self.objects.push(object);
        Ok(())
    }

    /// Four bytes carry a sign, fewer do not.
    fn int<const N: usize>(&mut self) -> Result<(), Fault> {
        let value = self.number::<N>()?;
        self.push(Object::Int(if N == 4 { (value as u32 as i32).into() } else { value as i64 }))
    }

    fn text<const N: usize>(&mut self) -> Result<(), Fault> {
        let length = self.number::<N>()?;
        let bytes = self.take(length)?;
        self.push(Object::Bytes(bytes.into()))
    }

    fn top(&self) -> Result<Id, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack[floor..].last().copied().ok_or_else(|| unexpected("an object on the stack", "none"))
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or_else(|| unexpected("a mark on the stack", "none"))?;
        Ok(self.stack.split_off(mark))
    }

    fn collect(&mut self, kind: fn(Vec<Id>) -> Object<'a>) -> Result<(), Fault> {
        let items = self.pop_to_mark()?;
        self.push(kind(items))
    }

    fn tuple(&mut self, length: usize) -> Result<(), Fault> {
        let mut items = (0..length).map(|_| self.pop()).collect::<Result<Vec<_>, _>>()?;
        items.reverse();
        self.push(Object::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), Fault> {
        let list = self.top()?;
        let Object::List(list) = &mut self.objects[list] else { return Err(unexpected("a list", "another object")) };
        list.extend(items);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let dict = self.top()?;
        let (pairs, []) = items.as_chunks::<2>() else { return Err(unexpected("keys with values", "a key without")) };
        let Object::Dict(dict) = &mut self.objects[dict] else {
            return Err(unexpected("a dictionary", "another object"));
        };
        dict.extend(pairs.iter().map(|&[key, value]| (key, value)));
        Ok(())
    }

    fn memoize<const N: usize>(&mut self) -> Result<(), Fault> {
        let slot = self.number::<N>()? as u32;
        self.memo.insert(slot, self.top()?);
        Ok(())
    }

    fn recall<const N: usize>(&mut self) -> Result<(), Fault> {
        let slot = self.number::<N>()? as u32;
        let found = self.memo.get(&slot).copied();
        self.stack
            .push(found.ok_or_else(|| unexpected("an object that was stored", format!("the empty slot {slot}")))?);
        Ok(())
    }

    fn view(&self, id: Id) -> View<'_> {
        View { objects: &self.objects, id }
    }

    /// The allow-list.
    fn global(&mut self, module: &[u8], name: &[u8]) -> Result<(), Fault> {
        let callable = Callable::named(module, name).ok_or_else(|| {
            let name = format!("`{}.{}`", String::from_utf8_lossy(module), String::from_utf8_lossy(name));
            let fix = "do not use this file unless you trust its author: loading it in Python would run that";
            Fault::new(Kind::Unsupported, "a pickle of plain data and uint8 arrays", name, fix)
        })?;
        self.push(Object::Callable(callable))
    }

    /// REDUCE: a callable and its arguments become an object.
    fn call(&mut self) -> Result<(), Fault> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let Object::Callable(callable) = self.objects[callable] else {
            return Err(unexpected("a callable", "another object"));
        };
        let Object::Tuple(arguments) = &self.objects[arguments] else {
            return Err(unexpected("a tuple of arguments", "another object"));
        };
        let made = match (callable, arguments.as_slice()) {
            // The shape that it is made with holds no bytes, so it is no array until BUILD has filled it.
            (Callable::Reconstruct, [_, shape, _]) => Object::Array { shape: Vec::new(), data: *shape },
            (Callable::FromBuffer, [data, dtype, shape, order]) => self.array(*shape, *dtype, *order, *data)?,
            (Callable::Dtype, [code, ..]) => match self.view(*code).bytes() {
                Some(b"u1" | b"|u1" | b"B" | b"uint8") => Object::Uint8,
                _ => return Err(unexpected("the element type uint8", "another type")),
            },
            (Callable::Encode, [text, _]) => self.encode(*text)?,
            _ => return Err(unexpected("a call that makes an array", format!("{callable:?} with other arguments"))),
        };
        self.push(made)
    }

    /// Text to its bytes in Latin-1.
    fn encode(&self, text: Id) -> Result<Object<'a>, Fault> {
        let text = self.view(text).bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let bytes = text.and_then(|text| text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<_>>>());
        Ok(Object::Bytes(bytes.ok_or_else(|| unexpected("text in Latin-1", "other characters"))?.into()))
    }

    /// BUILD: fills the array on the stack from (version, shape, element type, whether columns come first, bytes).
    fn build(&mut self) -> Result<(), Fault> {
        let (state, target) = (self.pop()?, self.top()?);
        let state = match (&self.objects[target], &self.objects[state]) {
            // Byte order and the like, of which a byte has none.
            (Object::Uint8, _) => return Ok(()),
            (Object::Array { .. }, Object::Tuple(state)) => state.as_slice(),
            _ => return Err(unexpected("an array and its state", "other objects")),
        };
        let &[_, shape, dtype, order, data] = state else {
            return Err(unexpected("an array's state of five parts", format!("{}", state.len())));
        };
        self.objects[target] = self.array(shape, dtype, order, data)?;
        Ok(())
    }

    fn array(&self, shape: Id, dtype: Id, order: Id, data: Id) -> Result<Object<'a>, Fault> {
        let Object::Tuple(sides) = &self.objects[shape] else {
            return Err(unexpected("a shape", "another object"));
        };
        let side = |&side: &Id| self.view(side).int().and_then(|side| usize::try_from(side).ok());
        let shape = sides.iter().map(side).collect::<Option<Vec<_>>>();
        let shape = shape.ok_or_else(|| unexpected("a shape of whole numbers", "other objects"))?;
        let rows_first = matches!(self.view(order).int(), Some(0)) || self.view(order).bytes() == Some(b"C");
        if !matches!(self.objects[dtype], Object::Uint8) || !rows_first {
            return Err(unexpected("a uint8 array, rows first", "another array"));
        }
        Ok(Object::Array { shape, data })
    }
}

/// A number of up to eight bytes with a sign; longer ones are no labels.
fn long(digits: &[u8]) -> Object<'static> {
    if digits.len() > 8 {
        return Object::Nothing;
    }
    let negative = digits.last().is_some_and(|&byte| byte >= 0x80);
    let mut bytes = [if negative { 0xFF } else { 0 }; 8];
    bytes[..digits.len()].copy_from_slice(digits);
    Object::Int(i64::from_le_bytes(bytes))
}

fn unexpected(expected: &str, found: impl Into<String>) -> Fault {
    Fault::damaged(format!("a pickle with {expected}"), found)
}
