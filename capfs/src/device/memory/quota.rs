//! Counting what a file system uses.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{MemoryLimits, MemoryUsage};
use crate::Errno;

/// What is used, and what may be.
///
/// The counters guard no other memory, so relaxed ordering is enough.
pub(super) struct Quota {
    limits: MemoryLimits,
    bytes: AtomicU64,
    inodes: AtomicU64,
    names: AtomicU64,
}

impl Quota {
    pub(super) fn new(limits: MemoryLimits) -> Self {
        Quota {
            limits,
            bytes: AtomicU64::new(0),
            inodes: AtomicU64::new(0),
            names: AtomicU64::new(0),
        }
    }

    pub(super) fn limits(&self) -> MemoryLimits {
        self.limits
    }

    pub(super) fn usage(&self) -> MemoryUsage {
        MemoryUsage {
            bytes: self.bytes.load(Ordering::Relaxed),
            nodes: self.inodes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn charge_bytes(&self, count: u64) -> Result<(), Errno> {
        charge(&self.bytes, count, self.limits.bytes)
    }

    pub(super) fn release_bytes(&self, count: u64) {
        self.bytes.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn charge_inode(&self) -> Result<(), Errno> {
        charge(&self.inodes, 1, self.limits.nodes)
    }

    pub(super) fn release_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn charge_name(&self) -> Result<(), Errno> {
        charge(&self.names, 1, self.limits.nodes)
    }

    pub(super) fn release_name(&self) {
        self.names.fetch_sub(1, Ordering::Relaxed);
    }
}

fn charge(counter: &AtomicU64, count: u64, limit: u64) -> Result<(), Errno> {
    counter
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(count).filter(|total| *total <= limit)
        })
        .map(|_| ())
        .map_err(|_| Errno::Nospc)
}
