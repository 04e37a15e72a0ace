//! What a module's own definitions may use.

use capfs::account::{Account, Charge, Holding};
use wasmtime::ResourceLimiter;

/// Bytes that an agent and its children may make this host hold, unless told: 4 GiB, what 32 bits can address.
pub const MEMORY_MAX: u64 = 4 << 30;

/// Descriptors open at once, unless told.
pub const FILES_MAX: u32 = 65_536;

/// Elements in one table: a compiler of 30 MB has 100,000.
pub const TABLE_MAX: usize = 10_000_000;

/// Bytes that an element of a table takes, whatever it refers to.
const ELEMENT: u64 = 8;

/// Tables, and memories, of one module: real programs have one of each.
const DEFINITIONS_MAX: usize = 100;

/// Bounds a store's memories and tables by an account, and remembers what was refused.
#[derive(Debug)]
pub struct Limits {
    memories: Grown,
    tables: Grown,
    refused: bool,
    instances: usize,
}

/// What definitions of a kind have grown to.
#[derive(Debug)]
struct Grown {
    charge: Charge,
    /// Bytes that were charged last.
    last: u64,
}

impl Grown {
    fn new(account: &Account, holding: Holding) -> Grown {
        Grown {
            charge: account.nothing(holding),
            last: 0,
        }
    }

    /// Whether there is room for so many bytes more, which are taken.
    fn grow(&mut self, more: u64) -> bool {
        let grown = self.charge.grow(more).is_ok();
        self.last = if grown { more } else { 0 };
        grown
    }

    /// What was taken last could not be had.
    fn failed(&mut self) {
        self.charge.shrink(std::mem::take(&mut self.last));
    }
}

impl Limits {
    /// Memories and tables are charged to an account.
    pub fn new(account: &Account) -> Limits {
        Limits {
            memories: Grown::new(account, Holding::Memory),
            tables: Grown::new(account, Holding::Tables),
            refused: false,
            instances: 1,
        }
    }

    /// The same for a store in which a module of the host's own is instantiated, too.
    pub(crate) fn with_adapter(self) -> Limits {
        Limits {
            instances: self.instances + 1,
            ..self
        }
    }

    /// Whether the last growth of a memory was refused for want of more. A program that traps then
    /// has most likely given up for this reason.
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// Bytes of all memories. They never shrink.
    pub fn memory(&self) -> u64 {
        self.memories.charge.bytes()
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        self.refused = maximum.is_some_and(|max| desired > max) || !self.memories.grow(more);
        Ok(!self.refused)
    }

    /// The operating system has none left.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memories.failed();
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current) as u64;
        let fits = desired <= TABLE_MAX && maximum.is_none_or(|max| desired <= max);
        Ok(fits && self.tables.grow(more * ELEMENT))
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.failed();
        Ok(())
    }

    fn instances(&self) -> usize {
        self.instances
    }

    fn tables(&self) -> usize {
        DEFINITIONS_MAX
    }

    fn memories(&self) -> usize {
        DEFINITIONS_MAX
    }
}
