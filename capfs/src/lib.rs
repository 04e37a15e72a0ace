//! The file layer of capfs: everything that an agent may touch is a file in a [`Namespace`].
//!
//! A *device* is a file server in Plan 9's sense: it hands out a tree of [`Node`]s when it is
//! attached, and an [`OpenFile`] when a node is opened. A *namespace* says which device answers
//! for which path: devices are mounted, parts of the tree are bound elsewhere, and directories
//! are united. What is not mounted does not exist.
//!
//! # Control plane by `Op`, data plane by poll
//! What names files (walk, stat, open, create, remove, rename, readdir) answers with an [`Op`]: at
//! once, or with a future that owns its arguments. What moves bytes (`poll_read`, `poll_write`,
//! `poll_ready`) is poll-shaped, because it borrows guest memory for the length of one poll only.
//! A memory file therefore needs no executor, and nothing is boxed per call.
//!
//! # What this crate never contains
//! An engine, an executor, a clock, an operating system or a web type: hosts inject those
//! (see [`clock::Clock`]). It builds for `wasm32-unknown-unknown` and natively from the same lines,
//! and `unsafe` is forbidden.
#![forbid(unsafe_code)]

pub mod account;
mod checkpoint;
pub mod clock;
pub mod device;
mod directory_file;
mod durable;
pub mod encoding;
mod errno;
mod forward;
mod guest;
mod harmful;
mod limits;
mod maybe_send;
mod name;
mod namespace;
mod node;
mod number_hash;
mod op;
mod rights;
mod stat;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use directory_file::{DirectoryFile, OpenDirectory};
pub use durable::{Durable, Handle, SavedFile};
pub use errno::Errno;
pub use guest::{GuestSink, GuestSource};
pub use harmful::is_harmful;
pub use limits::*;
pub use maybe_send::{BoxedFuture, MaybeSend, MaybeSync};
pub use name::Name;
pub use namespace::{
    BindFlags, BindOrder, BuildError, DeviceId, Mounted, Namespace, NamespaceList,
    NamespaceTextError, OpenAt, Operation, Place, Resolved, SavedPlace,
};
pub use node::{
    DirEntry, Directory, EditDirectory, Entries, Interest, Listener, Node, NodeRef, OpenFile,
    OpenHow, Opened, Readiness, Socket, WriteAt, Written,
};
pub use op::Op;
pub use rights::Rights;
pub use stat::{FileKind, FileSystemStat, Qid, SetStat, SetTime, Stat};
