//! What devices are made of: wakers, locks, and the answers of files without contents.

pub use super::lock::lock;
pub use super::null::set_device_stat;
pub use super::pipe::stream_stat;
pub use super::synthetic::open_text;
pub use super::unread::Unread;
pub use super::waiters::{Waiters, Woken};
pub use crate::number_hash::NumberHasher;
