//! What a module's own definitions may use.

use wasmtime::ResourceLimiter;

/// Elements in one table: a compiler of 30 MB has 100,000, and each costs the host 8 bytes.
pub const TABLE_MAX: usize = 10_000_000;

/// Tables, and memories, of one module: real programs have one of each.
const DEFINITIONS_MAX: usize = 100;

/// Bounds a store's memory and tables, and remembers what was refused.
#[derive(Debug, Default)]
pub struct Limits {
    memory_max: Option<usize>,
    refused: bool,
}

impl Limits {
    /// `memory_max` is in bytes; without it, the limit is what 32 bits can address.
    pub fn new(memory_max: Option<usize>) -> Limits {
        Limits {
            memory_max,
            refused: false,
        }
    }

    /// Whether the last growth of the memory was refused for want of more. A program that traps then
    /// has most likely given up for this reason.
    pub fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let over = |max| desired > max;
        self.refused = self.memory_max.is_some_and(over) || maximum.is_some_and(over);
        Ok(!self.refused)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_MAX)
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        DEFINITIONS_MAX
    }

    fn memories(&self) -> usize {
        DEFINITIONS_MAX
    }
}
