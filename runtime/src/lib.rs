//! WASI preview 1 over a capfs namespace: one implementation, for every host.
//!
//! A [`Process`] is a guest program as the file layer sees it: its descriptors, its arguments, the
//! namespace that it was handed. Each WASI call is a method of it, generic over [`GuestMemory`].
//!
//! # Sans-IO
//! Nothing in here waits. A call that can't be answered yet returns `Pending`, with its state kept in the
//! process; the host waits until the waker of the context is woken or [`Process::deadline`] has come, and
//! calls again with the same arguments. How it waits is the host's: a parked thread, a suspended
//! WebAssembly stack, `Atomics.wait`.
//!
//! # Hostile guests
//! Every number that a guest passes is checked before it is used, results are stored only after their
//! addresses have been checked, and nothing in here can panic on guest input.
#![forbid(unsafe_code)]
#![expect(
    clippy::too_many_arguments,
    reason = "calls have the parameters that the witx gives them"
)]

pub mod abi;
pub mod life;
mod memory;
mod process;

pub use memory::GuestMemory;
pub use process::{
    ClockGrant, ConfigError, DESCRIPTOR, ExitStatus, FROZEN_MAX, FileLimit, Frozen, FrozenError,
    Host, IOVECS_MAX, NoRandom, Preopen, Process, ProcessConfig, RandomSource, SUBSCRIPTIONS_MAX,
    TRANSFER_MAX, Thawed, Usage,
};
