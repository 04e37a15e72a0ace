//! The kernel: capfs and its WASI runtime as WebAssembly, for a Web Worker or a worker of Node.
//!
//! One instance of this module serves one agent. It has two faces. The *raw exports* ([`capfs_worker_calls`]) are the
//! system calls: the adapter, which is WebAssembly too, calls them with the agent's own arguments, and
//! they reach the agent's memory through functions in this module's table ([`capfs_worker_calls::Guest`]), so that a call
//! which need not wait never touches JavaScript. The *control interface* ([`control`]) is what the
//! worker's JavaScript calls between system calls: mounts, standard streams, files for the page. What crosses there is declared in [`protocol`].
//!
//! Nothing of the kernel is on the stack while an agent waits: a raw call answers *would block* and is
//! made again when something has happened.
//!
//! The design, with figures, is in `docs/syscall-path.md`.

// The kernel exists as WebAssembly alone: for any other target this crate is empty, but for tests of what needs no engine.

#[cfg(target_family = "wasm")]
mod allocator;
#[cfg(target_family = "wasm")]
mod control;
#[cfg(target_family = "wasm")]
mod devices;
#[cfg(target_family = "wasm")]
mod files;
#[cfg(target_family = "wasm")]
mod grants;
#[cfg(target_family = "wasm")]
mod machine;
#[cfg(target_family = "wasm")]
mod narrow;
#[cfg(target_family = "wasm")]
mod opfs;
#[cfg(target_family = "wasm")]
mod protocol;
#[cfg(target_family = "wasm")]
mod remote;
#[cfg(target_family = "wasm")]
mod stdio;
#[cfg(target_family = "wasm")]
mod wake;
#[cfg(target_family = "wasm")]
mod web;
