//! Devices that need no host.
//!
//! - [`memory`]: a file system in memory, with POSIX meaning
//! - [`archive`]: the files of a tar, read-only
//! - [`synthetic`]: trees of text, ctl and stream files, of which control devices are made
//! - [`pipe`]: what one end writes the other reads
//! - [`socket`]: connected stream sockets and listeners, within the host
//! - [`ns`]: what an agent's namespace is made of, as a text
//! - [`null`], [`zero`]: what is always empty, and what never ends
//! - [`conversations`]: `clone` and numbered directories, as ip(3) has them
//! - [`gate`]: any device, counted, observed and revocable
//! - [`Device`]: what the files of one device have in common
//! - [`parts`]: what devices elsewhere are made of

pub mod archive;
pub mod conversations;
pub mod gate;
mod identity;
mod lock;
#[cfg(all(loom, test))]
mod loom_tests;
pub mod memory;
pub mod ns;
pub mod null;
pub mod parts;
pub mod pipe;
mod ring;
pub mod socket;
mod sync;
pub mod synthetic;
mod unread;
mod waiters;
pub mod zero;

pub use identity::Device;
