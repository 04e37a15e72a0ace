//! The older exception instructions, as the present ones.
//!
//! The proposal had `try`, `catch`, `catch_all`, `rethrow` and `delegate` first; the standard has `try_table`, `throw_ref` and
//! references to exceptions instead. Browsers and Node run both; compilers make the older ones unless told otherwise.
//!
//! ```text
//! try (bt)                  block $outer (bt)
//!   body                      block $c2 (params -> exnref)
//! catch $tag                    block $c1 (params -> payload)
//!   handler                       try_table (bt) (catch $tag $c1) (catch_all_ref $c2)
//! catch_all                         body
//!   … rethrow                     end
//! end                             br $outer
//!                               end
//!                               handler
//!                               br $outer
//!                             end
//!                             local.set $exception
//!                             … local.get $exception, throw_ref
//!                           end
//! ```
//!
//! An exception is taken as a reference only where a handler throws it on. A `try` that *delegates* past others needs a
//! place to deliver to: the body of its target is wrapped in one more block, whose result is thrown on from there.
//! Everything else of a module stays as it is, byte for byte: locals and types are added behind those that are there, so no
//! index changes.

mod body;
mod scan;
mod types;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use wasm_encoder::reencode::{self, RoundtripReencoder};
use wasmparser::{
    BinaryReader, CodeSectionReader, CompositeInnerType, FuncType, FunctionSectionReader,
    ImportSectionReader, TagSectionReader, TypeRef, TypeSectionReader,
};

use crate::edit::leb;
use body::Rewriter;
use types::NewTypes;

/// The version of the translation: code that was compiled from what another version made is not used.
pub const TRANSLATION: u32 = 1;

/// Custom sections with offsets into functions, which are wrong once these have changed.
const OFFSETS: &str = "metadata.code.";

const CUSTOM: u8 = 0;
const TYPE: u8 = 1;
const IMPORT: u8 = 2;
const FUNCTION: u8 = 3;
const CODE: u8 = 10;
const TAG: u8 = 13;

/// Why a module could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It is not valid.
    Malformed(String),
    /// It needs more than a module may have.
    TooLarge(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Malformed(reason) => f.write_str(reason),
            Error::TooLarge(what) => write!(f, "its exception handlers need too many {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<wasmparser::Error> for Error {
    fn from(error: wasmparser::Error) -> Error {
        Error::Malformed(error.to_string())
    }
}

impl From<reencode::Error> for Error {
    fn from(error: reencode::Error) -> Error {
        Error::Malformed(error.to_string())
    }
}

fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}

/// Rewrites the functions of a module that have the older exception instructions; a module without any is handed
/// back as it is.
///
/// What is valid stays valid; of what is not valid this says something only where it must understand it.
///
/// # Errors
/// - [`Error::Malformed`]: it can't be read
/// - [`Error::TooLarge`]: its handlers need more locals or types than a module may have
pub fn translate(wasm: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    let module = Module::read(wasm)?;
    let Some(code) = &module.code else {
        return Ok(Cow::Borrowed(wasm));
    };
    let Some((types, functions)) = module.rewrite(wasm, code)? else {
        return Ok(Cow::Borrowed(wasm));
    };
    let mut translated = Vec::with_capacity(wasm.len() + wasm.len() / 16);
    translated.extend_from_slice(&wasm[..HEADER]);
    for section in &module.sections {
        match section.id {
            TYPE => module.write_types(&mut translated, &types, &wasm[section.contents.clone()])?,
            CODE => write_section(&mut translated, CODE, &functions)?,
            CUSTOM if has_offsets(&wasm[section.contents.clone()]) => {}
            _ => translated.extend_from_slice(&wasm[section.whole.clone()]),
        }
    }
    Ok(Cow::Owned(translated))
}

/// Bytes of a module's header.
const HEADER: usize = 8;

/// A section, as places in the file.
struct Section {
    id: u8,
    whole: Range<usize>,
    contents: Range<usize>,
}

/// What must be known to translate a function.
#[derive(Default)]
struct Module {
    sections: Vec<Section>,
    types: Vec<Option<FuncType>>,
    /// The type of each tag.
    tags: Vec<u32>,
    /// The type of each function with a body.
    functions: Vec<u32>,
    code: Option<Range<usize>>,
}

impl Module {
    fn read(wasm: &[u8]) -> Result<Module, Error> {
        let mut module = Module::default();
        if wasm.len() < HEADER || !wasm.starts_with(b"\0asm\x01\0\0\0") {
            return Err(malformed("it is not a module"));
        }
        let mut reader = BinaryReader::new(&wasm[HEADER..], HEADER as u64);
        while !reader.eof() {
            let head = reader.original_position() as usize;
            let id = reader.read_u8()?;
            let size = reader.read_var_u32()? as usize;
            let start = reader.original_position() as usize;
            let bytes = reader.read_bytes(size)?;
            let contents = BinaryReader::new(bytes, start as u64);
            let range = start..start + size;
            module.add(id, contents, &range)?;
            module.sections.push(Section {
                id,
                whole: head..range.end,
                contents: range,
            });
        }
        Ok(module)
    }

    fn add(
        &mut self,
        id: u8,
        contents: BinaryReader<'_>,
        range: &Range<usize>,
    ) -> Result<(), Error> {
        match id {
            TYPE => {
                if !self.types.is_empty() {
                    return Err(malformed("it has two sections of types"));
                }
                for group in TypeSectionReader::new(contents)? {
                    for ty in group?.into_types() {
                        self.types.push(match ty.composite_type.inner {
                            CompositeInnerType::Func(ty) => Some(ty),
                            _ => None,
                        });
                    }
                }
            }
            IMPORT => {
                for import in ImportSectionReader::new(contents)?.into_imports() {
                    if let TypeRef::Tag(tag) = import?.ty {
                        self.tags.push(tag.func_type_idx);
                    }
                }
            }
            FUNCTION => {
                for ty in FunctionSectionReader::new(contents)? {
                    self.functions.push(ty?);
                }
            }
            TAG => {
                for tag in TagSectionReader::new(contents)? {
                    self.tags.push(tag?.func_type_idx);
                }
            }
            CODE if self.code.replace(range.clone()).is_some() => {
                return Err(malformed("it has two sections of code"));
            }
            _ => {}
        }
        Ok(())
    }

    fn function_type(&self, index: u32) -> Result<&FuncType, Error> {
        match self.types.get(index as usize) {
            Some(Some(ty)) => Ok(ty),
            _ => Err(malformed(
                "it names a type of a function that it does not have",
            )),
        }
    }

    /// The types that a tag's exceptions carry.
    fn tag_type(&self, tag: u32) -> Result<&FuncType, Error> {
        let ty = self.tags.get(tag as usize);
        self.function_type(*ty.ok_or_else(|| malformed("it names a tag that it does not have"))?)
    }

    /// The types that have come to it, and the code; `None` where nothing had to be changed.
    fn rewrite(
        &self,
        wasm: &[u8],
        code: &Range<usize>,
    ) -> Result<Option<(NewTypes, Vec<u8>)>, Error> {
        let reader = BinaryReader::new(&wasm[code.clone()], code.start as u64);
        let section = CodeSectionReader::new(reader)?;
        let mut new = NewTypes::new(self.types.len());
        let mut functions = Vec::new();
        leb(&mut functions, u64::from(section.count()));
        let mut changed = false;
        for (index, body) in section.into_iter().enumerate() {
            let body = body?;
            match scan::scan(&body)? {
                None => {
                    leb(&mut functions, body.as_bytes().len() as u64);
                    functions.extend_from_slice(body.as_bytes());
                }
                Some(plan) => {
                    changed = true;
                    let ty = self.functions.get(index);
                    let ty = ty.ok_or_else(|| malformed("it has a function without a type"))?;
                    let params = self.function_type(*ty)?.params().len();
                    let rewritten = Rewriter::new(self, &mut new, &plan).function(&body, params)?;
                    leb(&mut functions, rewritten.len() as u64);
                    functions.extend(rewritten);
                }
            }
        }
        Ok(changed.then_some((new, functions)))
    }

    fn write_types(&self, to: &mut Vec<u8>, new: &NewTypes, section: &[u8]) -> Result<(), Error> {
        let mut reader = BinaryReader::new(section, 0);
        // Groups of types that refer to each other count as one.
        let count = reader.read_var_u32()?;
        let old = &section[reader.original_position() as usize..];
        let mut contents = Vec::with_capacity(section.len() + new.bytes().len() + 5);
        leb(&mut contents, u64::from(count) + u64::from(new.count()));
        contents.extend_from_slice(old);
        contents.extend_from_slice(new.bytes());
        write_section(to, TYPE, &contents)
    }
}

/// Whether a custom section has offsets into functions.
fn has_offsets(section: &[u8]) -> bool {
    let name = BinaryReader::new(section, 0).read_string();
    name.is_ok_and(|name| name.starts_with(OFFSETS))
}

fn write_section(to: &mut Vec<u8>, id: u8, contents: &[u8]) -> Result<(), Error> {
    let size = u32::try_from(contents.len()).map_err(|_| Error::TooLarge("bytes of code"))?;
    to.push(id);
    leb(to, size.into());
    to.extend_from_slice(contents);
    Ok(())
}

/// Keeps every index as it is.
const SAME: RoundtripReencoder = RoundtripReencoder;
