//! The way of a system call through the kernel: the raw exports, the agent's memory, and the process between them.
//!
//! It is a crate of its own because it is built otherwise than the rest of the kernel: the calls of `capfs-runtime` are generic over
//! the agent's memory and so are compiled here, for speed; what stands around them is compiled for size
//! (the profile `kernel` in the workspace's `Cargo.toml`).

// The kernel exists as WebAssembly alone: for any other target this crate is empty.
#![cfg(target_family = "wasm")]

mod exports;
mod guest;

use std::cell::RefCell;
use std::task::Waker;

use capfs_runtime::Process;

pub use guest::{Guest, memory_size};

/// What a call that must wait may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// For anything: the host suspends the agent or blocks its worker.
    Anything,
    /// For time only. Any other wait fails with `EDEADLK`, as nothing could end it.
    ClockOnly,
}

/// The agent's process and what its calls need.
pub struct Running {
    /// Whose calls these are.
    pub process: Process,
    /// The agent's memory; none until the agent has been instantiated.
    pub guest: Option<Guest>,
    /// What its calls may wait for.
    pub patience: Patience,
    /// Whom to wake when a call that waits can go on.
    pub waker: &'static Waker,
}

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// Puts a process, or none, in the place of the one that is there, which is returned; after a trap, what was to be put there.
pub fn replace(running: Option<Running>) -> Option<Running> {
    RUNNING.with(|place| match place.try_borrow_mut() {
        Ok(mut place) => std::mem::replace(&mut *place, running),
        Err(_) => running,
    })
}

/// Runs `action` on the process, if there is one. After a trap in a call, which leaves it borrowed, there is none.
#[inline]
pub fn with_running<R>(action: impl FnOnce(&mut Running) -> R) -> Option<R> {
    RUNNING.with(|running| running.try_borrow_mut().ok()?.as_mut().map(action))
}

/// Whether the process is at work: in the middle of a call, or in one that trapped.
pub fn is_entered() -> bool {
    RUNNING.with(|running| running.try_borrow().is_err())
}
