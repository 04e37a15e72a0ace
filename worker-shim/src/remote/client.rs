//! The connections of this kernel to its peers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use capfs::{Errno, FileKind, NodeRef};
use capfs_remote::Connection;
use js_sys::Function;

use super::{Post, SIZES};
use crate::wake;

thread_local! {
    /// Those to peers that are there, by the peers' numbers. A peer that is gone has none, and its number may be another's then.
    static CONNECTIONS: RefCell<HashMap<u32, Arc<Connection>>> = RefCell::default();
}

fn known(peer: u32) -> Option<Arc<Connection>> {
    CONNECTIONS.with_borrow(|all| all.get(&peer).cloned())
}

/// A device that is a tree of `peer`, see [`Connection::attach`]. `post` sends requests, to a peer that wasn't known.
///
/// # Errors
/// As [`Connection::attach`].
pub fn attach(
    peer: u32,
    tree: u32,
    kind: FileKind,
    path: &str,
    post: Function,
) -> Result<NodeRef, Errno> {
    let connection = CONNECTIONS.with_borrow_mut(|connections| {
        // The kernel looks at what it waits for after every message.
        let made = || Connection::new(Box::new(Post(post)), SIZES, Some(wake::waker().clone()));
        connections.entry(peer).or_insert_with(made).clone()
    });
    connection.attach(tree, kind, path)
}

/// Asks a peer to take away a tree that was made for this kernel.
pub fn revoke(peer: u32, tree: u32) {
    if let Some(connection) = known(peer) {
        connection.revoke(tree);
    }
}

/// Takes a message of a peer.
pub fn answer(peer: u32, bytes: &[u8]) {
    if let Some(connection) = known(peer) {
        // What can't be understood ends it, and whatever waits is told so.
        let _ = connection.receive(bytes);
    }
}

/// A peer is gone: whatever waits for it fails with `EIO`, and so does what is asked of its trees from now on. The connection stays for as
/// long as anything uses it, but nobody finds it any more.
pub fn lost(peer: u32) {
    let gone = CONNECTIONS.with_borrow_mut(|all| all.remove(&peer));
    if let Some(connection) = gone {
        connection.end();
    }
}
