//! Devices that need no host.
//!
//! - [`memory`]: a file system in memory, with POSIX meaning
//! - [`pipe`]: pipes
//! - [`null`], [`zero`]: what is always empty, and what never ends

mod lock;
pub mod memory;
pub mod null;
pub mod pipe;
mod ring;
mod waiters;
pub mod zero;
