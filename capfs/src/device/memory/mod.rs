//! Files in memory, with POSIX meaning.
//!
//! # Design
//! A file is an *inode*: its identity, its times, and its body, which is contents, names
//! or a link's target. A name in a directory, a [`NodeRef`] and an open file each hold the
//! inode by an `Arc`, so that a file without a name lives until it is closed, and everything that it
//! used is given back when the last of them goes.
//!
//! *Contents* are pages of 64 KiB. Growing a file never moves a page that is
//! full, a write takes bytes from the guest straight into its page and a read gives them straight
//! from it. A page that was never written is a hole. The first page grows by doubling, so
//! that a small file is small.
//!
//! *Names* are a hash map for walking and an ordered map of cookies for listing. A guest
//! chooses the names, so the hash must not be one whose collisions it can compute: it is the standard
//! library's keyed SipHash. On `wasm32-unknown-unknown` there is no randomness
//! to key it with, but there a kernel serves one agent, in a worker of its own, and all that the agent
//! can slow down is itself.
//!
//! *Locks*: each inode has one, and the file system has one for the tree. Whatever changes names takes
//! the tree's lock first and then one inode at a time. Walking, reading and writing take
//! one inode's lock and nothing else. So no two inodes are ever locked together, and the order is the
//! same everywhere.

#[cfg(feature = "durable")]
mod checkpoint;
#[cfg(all(test, feature = "durable"))]
mod checkpoint_tests;
mod content;
mod image;
#[cfg(test)]
mod image_tests;
mod inode;
mod names;
mod node;
mod open;
mod quota;
#[cfg_attr(not(feature = "durable"), path = "no_undo.rs")]
mod undo;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::NodeRef;
use crate::account::Account;
use crate::clock::Clock;
pub use image::ImageError;
use inode::{Inode, Volume};

/// Bytes in the longest file: 16 GiB, a few times what the memory of a host holds. It bounds the table
/// of pages that one write at a far offset makes; beyond it the guest gets `EFBIG`.
pub const MEMORY_FILE_MAX: u64 = 16 << 30;

/// Directories in each other into which a directory can be moved: deeper down, `rename` is `ENAMETOOLONG`. That a directory
/// isn't moved into itself is found by walking up from its new place while nothing else can change the tree; this bounds
/// the walk to about a millisecond. No path is half as deep (see [`PATH_MAX`](crate::PATH_MAX)).
pub const MEMORY_DEPTH_MAX: usize = 1 << 14;

/// What a memory file system may use. Over it, the guest gets `ENOSPC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Bytes of memory for contents: pages as they are allocated, 24 bytes for every entry of a
    /// file's table of pages, and the targets of symbolic links. Holes cost nothing but their entries. And what an open
    /// [`Checkpoint`](crate::Checkpoint) keeps: pages as they were, 64 bytes for each, 256 for each file that was changed, and for each name
    /// 256 and its length.
    pub bytes: u64,
    /// Files, directories and symbolic links; and as many names, so that hard links are bounded
    /// too. Each costs the host a few hundred bytes, and as many as its name is long.
    pub nodes: u64,
}

impl Default for MemoryLimits {
    /// 1 GiB and 262,144 nodes.
    fn default() -> Self {
        MemoryLimits {
            bytes: 1 << 30,
            nodes: 1 << 18,
        }
    }
}

/// What a memory file system uses, in the units of [`MemoryLimits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUsage {
    /// Bytes of memory for contents.
    pub bytes: u64,
    /// Files, directories and symbolic links, without the root; open files that have lost
    /// their name are among them.
    pub nodes: u64,
}

/// A file system in memory.
///
/// A clone is the same file system. It lives as long as a clone, a node or an open file of it does.
///
/// ```
/// use std::sync::Arc;
/// use capfs::clock::Clock;
/// use capfs::device::memory::{MemoryFs, MemoryLimits};
///
/// struct Stopped;
/// impl Clock for Stopped {
///     fn realtime(&self) -> u64 { 0 }
///     fn monotonic(&self) -> u64 { 0 }
/// }
///
/// let files = MemoryFs::new(Arc::new(Stopped), MemoryLimits::default());
/// assert!(files.root().directory().is_some());
/// assert_eq!(files.usage().nodes, 0);
/// ```
#[derive(Clone)]
pub struct MemoryFs {
    root: Arc<Inode>,
}

impl MemoryFs {
    /// Makes an empty file system that takes its time stamps from `clock`, of a host's own.
    pub fn new(clock: Arc<dyn Clock>, limits: MemoryLimits) -> Self {
        MemoryFs::charged(clock, limits, &Account::unlimited())
    }

    /// Makes an empty file system that is charged to an account, beside its own limits: its contents as they count for
    /// these, 256 bytes for each node, and 256 and its length for each name. What the account has no room for is `ENOSPC`.
    pub fn charged(clock: Arc<dyn Clock>, limits: MemoryLimits, account: &Account) -> Self {
        MemoryFs {
            root: Inode::root(Arc::new(Volume::new(clock, limits, account))),
        }
    }

    /// The root directory.
    pub fn root(&self) -> NodeRef {
        self.root.clone()
    }

    /// What the file system may use.
    pub fn limits(&self) -> MemoryLimits {
        self.root.volume.quota.limits()
    }

    /// What the file system uses now.
    pub fn usage(&self) -> MemoryUsage {
        self.root.volume.quota.usage()
    }
}
