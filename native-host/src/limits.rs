//! What a module's own definitions may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::ResourceLimiter;

/// Elements in one table: a compiler of 30 MB has 100,000, and each costs the host 8 bytes.
pub const TABLE_MAX: usize = 10_000_000;

/// Tables, and memories, of one module: real programs have one of each.
const DEFINITIONS_MAX: usize = 100;

/// Bytes of memory that agents may have. Clones are one budget: children take from their parent's.
#[derive(Clone, Debug, Default)]
pub struct MemoryBudget {
    max: Option<usize>,
    used: Arc<AtomicUsize>,
}

impl MemoryBudget {
    /// So many bytes; without a number, what 32 bits can address for each agent.
    pub fn new(max: Option<usize>) -> MemoryBudget {
        MemoryBudget {
            max,
            used: Arc::default(),
        }
    }

    /// Bytes that are left; `None` is no limit.
    pub fn left(&self) -> Option<usize> {
        let used = self.used.load(Ordering::Relaxed);
        self.max.map(|max| max.saturating_sub(used))
    }

    /// Takes so many bytes, if they are there.
    fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| {
            let used = used.checked_add(bytes)?;
            self.max.is_none_or(|max| used <= max).then_some(used)
        };
        let (order, relaxed) = (Ordering::Relaxed, Ordering::Relaxed);
        self.used.fetch_update(order, relaxed, more).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Bounds a store's memory and tables, and remembers what was refused.
#[derive(Debug, Default)]
pub struct Limits {
    budget: MemoryBudget,
    /// Bytes taken from the budget, and how many of them were the last.
    held: usize,
    last: usize,
    refused: bool,
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.budget.give_back(self.held);
    }
}

impl Limits {
    /// Memory is taken from a budget.
    pub fn new(budget: MemoryBudget) -> Limits {
        Limits {
            budget,
            ..Limits::default()
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
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        self.refused = maximum.is_some_and(|max| desired > max) || !self.budget.take(more);
        self.last = if self.refused { 0 } else { more };
        self.held += self.last;
        Ok(!self.refused)
    }

    /// The operating system has none left.
    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.budget.give_back(self.last);
        self.held -= self.last;
        self.last = 0;
        self.refused = true;
        Ok(())
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
