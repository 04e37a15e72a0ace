//! The server: trees, as one client sees them.
//!
//! A request is a future that owns its arguments. It is polled when it arrives, so what has its answer in memory is answered on the
//! spot; what waits is polled again when its own waker was woken. `Flush` drops it, and whatever it was about to make.

mod fids;
mod perform;
mod session;
mod woken;

use capfs::{MaybeSend, MaybeSync, NodeRef, Op};

#[cfg(test)]
pub(crate) use fids::FIDS_MAX;
pub use session::Session;

/// What a client may attach to.
pub trait Trees: MaybeSend + MaybeSync {
    /// The root of the tree with this number, or for 0 of the server's own, from `path` on.
    ///
    /// # Errors
    /// - [`Errno::Noent`](capfs::Errno::Noent): there is none
    fn attach(&self, tree: u32, path: &str) -> Op<NodeRef>;

    /// Takes a tree away that was made for this client: nothing goes on behind it. None is what 0 stands for.
    fn revoke(&self, tree: u32);
}
