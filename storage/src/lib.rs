//! A file system in three files of a host that gives little: a browser's private file system, or anything
//! else that reads and writes at offsets and can flush.
//!
//! # Design
//! A host's file costs milliseconds to open and tens of microseconds to write to, whatever is written. So
//! nothing of an agent is a file of its host. All contents are *blocks* of one data file; names, attributes and where
//! the blocks are is the *index*, which is in memory as a whole while the volume is open. Creating, opening,
//! renaming, linking and removing touch memory alone, however many files are open, and nothing ever waits
//! for a file of the host to be opened.
//!
//! - **Writing** goes to a page cache. What is dirty is written out in pieces of up to 1 MiB, to free blocks
//!   that are chosen only then, so that small writes to many files are one write to the host.
//! - **A commit** writes out what is dirty, flushes the data file, adds one transaction to the index's journal, and
//!   flushes that. `fd_sync` is a commit; so is one second of changes, and the end of the agent.
//! - **Blocks are never overwritten** that the last commit refers to (copy on write). So a volume that stops
//!   at any moment, by a tab that is closed or a machine that loses power, is what it was at its last
//!   commit, names and contents alike.
//! - **Every block has a checksum** in the index, which is compared whenever the block is read: what the host has spoilt is `EIO`, never
//!   contents.
//! - **Room** is asked of the host before a write is taken, so that a full disk is `ENOSPC` from the write and
//!   not a loss later.
//!
//! The layers, from the host up: [`BlockFile`]; `journal`, the index's format and what a crash may leave of it;
//! `space`, `extents` and `cache`, which know no files; `state`, `content` and `commit`, one open volume;
//! `load`, which checks an index before anything trusts it; [`check`](fn@check), for a volume that nobody has open; `volume`, `node` and `open`, which are capfs's traits.
//!
//! # What this crate never contains
//! A web type or an operating system. It is tested natively, against a host that loses what was not
//! flushed in any order, at every single write.
#![forbid(unsafe_code)]

mod block_file;
mod cache;
mod check;
#[cfg(feature = "durable")]
mod checkpoint;
mod checksum;
mod commit;
mod content;
mod error;
mod extents;
mod inode;
mod journal;
mod limits;
mod load;
mod node;
mod numbers;
mod open;
mod read_back;
mod record;
mod space;
mod state;
#[cfg_attr(not(feature = "durable"), path = "no_undo.rs")]
mod undo;
mod volume;

#[cfg(test)]
mod tests;

pub use block_file::{BlockFile, BlockFiles, Opener};
pub use check::{CheckReport, SpoiltBlocks, check};
pub use error::StorageError;
pub use limits::{
    BLOCK, CACHE_MAX, CACHE_MIN, COMMIT_EVERY, STORAGE_FILE_MAX, STORAGE_NODES_MAX,
    STORAGE_TEXT_MAX,
};
pub use read_back::ReadBack;
pub use volume::{StorageOptions, StorageUsage, Volume};
