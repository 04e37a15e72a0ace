//! How the fields of messages are read and written, and what their types are called in TypeScript.
//!
//! A message is read to its end even where a field is wrong: the [`Reader`] keeps the first problem, and what was read is thrown away. So no field needs
//! code of its own for leaving, which would be most of all code here.

use std::cell::RefCell;
use std::ptr;

use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

/// What a field of a message may hold.
pub trait Field: Sized {
    /// Its type in TypeScript, which [`SUFFIX`](Field::SUFFIX) follows.
    const TYPE: &'static str;
    const SUFFIX: &'static str = "";
    /// Whether the field may be left out.
    const OPTIONAL: bool = false;

    /// Reads it; anything, where the reader is told of a problem.
    fn read(value: &JsValue, reader: &mut Reader) -> Self;

    fn write(self) -> JsValue;

    /// Sets a field of this name to it.
    fn put(self, fields: &Fields, name: &'static str) {
        fields.put(name, &self.write());
    }
}

#[wasm_bindgen]
extern "C" {
    /// An object with named fields. By `object[name]`, not by `Reflect`, which takes V8 several times as long.
    #[wasm_bindgen(js_name = Object)]
    pub type Fields;

    #[wasm_bindgen(constructor, js_class = "Object")]
    pub fn new() -> Fields;

    #[wasm_bindgen(method, structural, indexing_getter, catch)]
    fn value(this: &Fields, name: &JsValue) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set_value(this: &Fields, name: &JsValue, value: &JsValue);

    #[wasm_bindgen(method, structural, indexing_setter)]
    fn set_number(this: &Fields, name: &JsValue, value: f64);
}

impl Fields {
    /// Sets a field of an object that was made here, which can't fail, and calls nothing.
    fn put(&self, name: &'static str, value: &JsValue) {
        self.set_value(of_name(name), value);
    }
}

thread_local! {
    /// The names of fields that were used, as JavaScript has them: to make a string of one anew takes longer than all the rest.
    static NAMES: RefCell<Vec<(&'static str, &'static JsValue)>> = const { RefCell::new(Vec::new()) };
}

/// The name of a field, which is kept for good: there are as many as are declared.
fn of_name(name: &'static str) -> &'static JsValue {
    NAMES.with_borrow_mut(|names| {
        let known = names.iter().find(|(known, _)| ptr::eq(*known, name));
        known.map(|(_, made)| *made).unwrap_or_else(|| {
            let made = Box::leak(Box::new(name.into()));
            names.push((name, made));
            made
        })
    })
}

/// Reads messages, and keeps the first problem that there is with one.
#[derive(Default)]
pub struct Reader {
    /// The field that is being read: the name of its message, and its own.
    at: (&'static str, &'static str),
    problem: Option<JsValue>,
}

impl Reader {
    /// Reads a field of a message.
    pub fn field<T: Field>(
        &mut self,
        object: &JsValue,
        message: &'static str,
        name: &'static str,
    ) -> T {
        T::read(&self.get(object, message, name), self)
    }

    /// The value of a field; undefined where the object has none, or is no object.
    #[inline(never)]
    fn get(&mut self, object: &JsValue, message: &'static str, name: &'static str) -> JsValue {
        self.at = (message, name);
        let fields = object.unchecked_ref::<Fields>();
        fields.value(of_name(name)).unwrap_or(JsValue::UNDEFINED)
    }

    /// Is told of a value that is not of the type of its field.
    #[cold]
    #[inline(never)]
    pub fn wrong(&mut self, kind: &str, suffix: &str) {
        let (message, name) = self.at;
        let at = if message.is_empty() { "it" } else { message };
        let dot = if name.is_empty() { "" } else { "." };
        self.problem.get_or_insert_with(|| {
            JsValue::from_str(&[at, dot, name, " must be ", kind, suffix].concat())
        });
    }

    /// What was read, unless there was a problem.
    pub fn end<T>(self, read: T) -> Result<T, JsValue> {
        match self.problem {
            None => Ok(read),
            Some(problem) => Err(problem),
        }
    }
}

impl Field for f64 {
    const TYPE: &'static str = "number";

    fn read(value: &JsValue, reader: &mut Reader) -> f64 {
        value.as_f64().unwrap_or_else(|| {
            reader.wrong(Self::TYPE, Self::SUFFIX);
            0.0
        })
    }

    fn write(self) -> JsValue {
        self.into()
    }

    fn put(self, fields: &Fields, name: &'static str) {
        fields.set_number(of_name(name), self);
    }
}

impl Field for u32 {
    const TYPE: &'static str = "number";

    fn read(value: &JsValue, reader: &mut Reader) -> u32 {
        let number = value.as_f64();
        // What is not whole, or too large, is another number as one of 32 bits.
        let whole = number.filter(|number| f64::from(*number as u32) == *number);
        whole.map(|number| number as u32).unwrap_or_else(|| {
            reader.wrong("a whole number of 32 bits", "");
            0
        })
    }

    fn write(self) -> JsValue {
        self.into()
    }

    fn put(self, fields: &Fields, name: &'static str) {
        f64::from(self).put(fields, name);
    }
}

impl Field for bool {
    const TYPE: &'static str = "boolean";

    fn read(value: &JsValue, reader: &mut Reader) -> bool {
        value.as_bool().unwrap_or_else(|| {
            reader.wrong(Self::TYPE, Self::SUFFIX);
            false
        })
    }

    fn write(self) -> JsValue {
        self.into()
    }
}

impl Field for String {
    const TYPE: &'static str = "string";

    fn read(value: &JsValue, reader: &mut Reader) -> String {
        value.as_string().unwrap_or_else(|| {
            reader.wrong(Self::TYPE, Self::SUFFIX);
            String::new()
        })
    }

    fn write(self) -> JsValue {
        self.into()
    }
}

impl<T: Field> Field for Vec<T> {
    const TYPE: &'static str = T::TYPE;
    const SUFFIX: &'static str = "[]";

    fn read(value: &JsValue, reader: &mut Reader) -> Vec<T> {
        let Some(list) = value.dyn_ref::<Array>() else {
            reader.wrong(Self::TYPE, Self::SUFFIX);
            return Vec::new();
        };
        list.iter().map(|each| T::read(&each, reader)).collect()
    }

    fn write(self) -> JsValue {
        self.into_iter().map(T::write).collect::<Array>().into()
    }
}

impl<T: Field> Field for Option<T> {
    const TYPE: &'static str = T::TYPE;
    const SUFFIX: &'static str = T::SUFFIX;
    const OPTIONAL: bool = true;

    fn read(value: &JsValue, reader: &mut Reader) -> Option<T> {
        (!value.is_undefined()).then(|| T::read(value, reader))
    }

    fn write(self) -> JsValue {
        self.map_or(JsValue::UNDEFINED, T::write)
    }
}

/// Functions of JavaScript that messages carry, each with its type in TypeScript.
macro_rules! functions {
    ($($(#[doc = $doc:literal])* $name:ident: $type:literal;)*) => {$(
        $(#[doc = $doc])*
        pub struct $name(pub Function);

        impl Field for $name {
            const TYPE: &'static str = $type;

            fn read(value: &JsValue, reader: &mut Reader) -> Self {
                $name(function(value, reader))
            }

            fn write(self) -> JsValue {
                self.0.into()
            }
        }
    )*};
}

fn function(value: &JsValue, reader: &mut Reader) -> Function {
    if !value.is_function() {
        reader.wrong("a function", "");
    }
    value.unchecked_ref::<Function>().clone()
}

functions! {
    /// Is told a line of the audit.
    TellAudit: "((line: string) => void)";
    /// Sends a request to another kernel.
    Post: "((bytes: Uint8Array) => void)";
    /// Takes what the agent prints on a stream.
    Print: "((stream: number, bytes: Uint8Array) => void)";
    /// Is told whether each key is to be handed over at once.
    RawMode: "((on: boolean) => void)";
}

/// The bytes of all parts together.
pub const fn length(parts: &[&str]) -> usize {
    let (mut sum, mut at) = (0, 0);
    while at < parts.len() {
        sum += parts[at].len();
        at += 1;
    }
    sum
}

/// All parts, one behind the other.
pub const fn joined<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let mut all = [0; LENGTH];
    let (mut at, mut end) = (0, 0);
    while at < parts.len() {
        let part = parts[at].as_bytes();
        let mut byte = 0;
        while byte < part.len() {
            all[end] = part[byte];
            (end, byte) = (end + 1, byte + 1);
        }
        at += 1;
    }
    all
}
