//! Devices on the operating system.

pub mod console;
pub mod dir;
pub(crate) mod errors;
mod reactor;
pub mod socket;
pub mod stdio;
mod transfer;
