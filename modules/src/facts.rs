//! What a module is.

use wasmparser::MemoryType;

use crate::edit::Layout;
use crate::weight::Weight;

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
    /// What its definitions weigh.
    pub(crate) weight: Weight,
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
    /// Bytes that an engine keeps of its definitions while it is loaded and an instance of it runs, at most, beside its code,
    /// its memories and its tables.
    pub fn weight(&self) -> u64 {
        self.weight.bytes()
    }

    /// Bytes that its memories have from the start, all of them together.
    pub fn memory_minimum(&self) -> u64 {
        self.memories.iter().fold(0, |sum, memory| {
            sum.saturating_add(memory.initial.saturating_mul(memory.page_size().into()))
        })
    }
}
