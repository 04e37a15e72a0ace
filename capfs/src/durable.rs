//! Files that are found again: in another run, in another process, on another host.
//!
//! A process that is frozen keeps of each open file what its device says of it ([`OpenFile::save`](crate::OpenFile::save)). What is told stays
//! true for as long as the device's files are kept: whoever has the device, or one made of its image elsewhere, finds the
//! file again by it ([`Durable`]) and opens it as it was ([`Node::reopen`](crate::Node::reopen)). A device that can't do that says
//! [`Errno::Nodev`], and the descriptor is stale once it is thawed.

use std::collections::HashSet;

use crate::{Errno, HANDLE_MAX, NodeRef, Op, SAVED_STATE_MAX};

/// By what a device finds one of its files again. What its bytes mean is the device's own matter; there are at most [`HANDLE_MAX`].
///
/// It is no secret and no capability: a device resolves it within the tree that it is asked in, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle(Vec<u8>);

impl Handle {
    /// A handle of these bytes.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: there are more than [`HANDLE_MAX`]
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Handle, Errno> {
        let bytes = bytes.into();
        match bytes.len() <= HANDLE_MAX {
            true => Ok(Handle(bytes)),
            false => Err(Errno::Nametoolong),
        }
    }

    /// That of a file which its device knows by a number.
    pub fn number(number: u64) -> Handle {
        Handle(number.to_le_bytes().to_vec())
    }

    /// The number that [`Handle::number`] was given.
    ///
    /// # Errors
    /// - [`Errno::Stale`]: it is no such handle
    pub fn as_number(&self) -> Result<u64, Errno> {
        let bytes = self.0.as_slice().try_into();
        bytes.map(u64::from_le_bytes).map_err(|_| Errno::Stale)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// An open file, as it is opened again by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedFile {
    node: Handle,
    state: Vec<u8>,
}

impl SavedFile {
    /// A file that has no more to it than its node: opening that again is as good.
    pub fn of(node: Handle) -> SavedFile {
        SavedFile {
            node,
            state: Vec::new(),
        }
    }

    /// A file with state of its own, such as the text that it has shown since it was opened.
    ///
    /// # Errors
    /// - [`Errno::Nodev`]: it is more than [`SAVED_STATE_MAX`] bytes, which are not kept
    pub fn with_state(node: Handle, state: Vec<u8>) -> Result<SavedFile, Errno> {
        match state.len() <= SAVED_STATE_MAX {
            true => Ok(SavedFile { node, state }),
            false => Err(Errno::Nodev),
        }
    }

    /// The node that it was opened by.
    pub fn node(&self) -> &Handle {
        &self.node
    }

    /// What [`Node::reopen`](crate::Node::reopen) is to be told.
    pub fn state(&self) -> &[u8] {
        &self.state
    }
}

/// A tree whose files are found again by their handles.
pub trait Durable {
    /// Finds files: those that are this node or lie below it, and no others, whatever the handles say. They are answered for in the order of the
    /// handles, all at once, as a device may have to look through its tree for them.
    ///
    /// At the nodes with the numbers `covered` (`path` of their [`Qid`](crate::Qid)s) something else is mounted. Neither those nor what is
    /// only to be reached through them is found, as no walk arrives there; this node itself is, with whatever number.
    ///
    /// # Errors
    /// Of each: [`Errno::Stale`]: there is no such file (any more), or not here.
    fn resolve(
        &self,
        handles: &[Handle],
        covered: &HashSet<u64>,
    ) -> Op<Vec<Result<NodeRef, Errno>>>;
}
