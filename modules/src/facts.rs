//! What a module is.

use wasmparser::MemoryType;

use crate::edit::Layout;

/// What hosts must know of a module that can run as an agent.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The functions of WASI's modules that are answered with `ENOSYS`.
    pub unanswered: Vec<Unanswered>,
    /// Its start function, which runs before `_start`.
    pub start: Option<u32>,
    /// Its memories.
    pub memories: Vec<MemoryType>,
    /// The index of the memory that it exports as `memory`.
    pub memory: u32,
    /// How many tables it has.
    pub tables: u32,
    /// Where in the file the parts are that a host may have to change.
    pub(crate) layout: Layout,
}

/// A function that is answered with `ENOSYS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// The module that it is imported from.
    pub module: String,
    /// Its name.
    pub name: String,
}

impl Facts {
    /// Bytes that its memories have from the start, all of them together.
    pub fn memory_minimum(&self) -> u64 {
        self.memories.iter().fold(0, |sum, memory| {
            sum.saturating_add(memory.initial.saturating_mul(memory.page_size().into()))
        })
    }
}
