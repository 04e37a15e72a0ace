//! Types of blocks that a module gets.

use std::collections::HashMap;

use wasm_encoder::Encode;
use wasm_encoder::reencode::Reencode;
use wasmparser::{BlockType, RefType, ValType};

use super::{Error, Module, SAME, leb};

/// Bytes of types that a module gets, at most: real ones get some hundred.
const NEW_MAX: usize = 4 << 20;

/// Types of functions, behind those of the module.
pub(super) struct NewTypes {
    first: usize,
    count: u32,
    bytes: Vec<u8>,
    known: HashMap<Vec<u8>, u32>,
    landings: HashMap<(Option<u32>, Landing), u32>,
}

/// What stands on the stack where an exception arrives.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Landing {
    /// The tag whose values come first.
    pub(super) tag: Option<u32>,
    /// Whether a reference to the exception follows.
    pub(super) exception: bool,
}

impl NewTypes {
    pub(super) fn new(first: usize) -> NewTypes {
        NewTypes {
            first,
            count: 0,
            bytes: Vec::new(),
            known: HashMap::new(),
            landings: HashMap::new(),
        }
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the type of a block that takes what a `try` of type `of` takes, and leaves what arrives.
    pub(super) fn landing(
        &mut self,
        module: &Module,
        to: &mut Vec<u8>,
        of: BlockType,
        landing: Landing,
    ) -> Result<(), Error> {
        const EMPTY: u8 = 0x40;
        let taken = match of {
            BlockType::FuncType(index) => Some(index),
            BlockType::Empty | BlockType::Type(_) => None,
        };
        let params = match taken {
            Some(index) => module.function_type(index)?.params(),
            None => &[],
        };
        let payload = match landing.tag {
            Some(tag) => module.tag_type(tag)?.params(),
            None => &[],
        };
        let exception = landing.exception.then_some(ValType::Ref(RefType::EXNREF));
        let mut left = payload.iter().copied().chain(exception);
        match (params, left.next(), left.next()) {
            ([], None, _) => to.push(EMPTY),
            ([], Some(only), None) => write_type(to, only)?,
            _ => {
                let index = match self.landings.get(&(taken, landing)) {
                    Some(index) => *index,
                    None => {
                        let index =
                            self.function(params, payload.iter().copied().chain(exception))?;
                        self.landings.insert((taken, landing), index);
                        index
                    }
                };
                wasm_encoder::BlockType::FunctionType(index).encode(to);
            }
        }
        Ok(())
    }

    fn function(
        &mut self,
        params: &[ValType],
        results: impl Iterator<Item = ValType> + Clone,
    ) -> Result<u32, Error> {
        const FUNCTION: u8 = 0x60;
        let mut bytes = vec![FUNCTION];
        leb(&mut bytes, params.len() as u64);
        for ty in params {
            write_type(&mut bytes, *ty)?;
        }
        leb(&mut bytes, results.clone().count() as u64);
        for ty in results {
            write_type(&mut bytes, ty)?;
        }
        if let Some(index) = self.known.get(&bytes) {
            return Ok(*index);
        }
        if self.bytes.len() + bytes.len() > NEW_MAX {
            return Err(Error::TooLarge("types of blocks"));
        }
        let index = u32::try_from(self.first)
            .ok()
            .and_then(|first| first.checked_add(self.count));
        let index = index.ok_or(Error::TooLarge("types of blocks"))?;
        self.count += 1;
        self.bytes.extend_from_slice(&bytes);
        self.known.insert(bytes, index);
        Ok(index)
    }
}

/// Writes a type of a value.
pub(super) fn write_type(to: &mut Vec<u8>, ty: ValType) -> Result<(), Error> {
    let mut same = SAME;
    same.val_type(ty)?.encode(to);
    Ok(())
}
