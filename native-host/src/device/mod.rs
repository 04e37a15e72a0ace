//! Devices on the operating system.

pub mod console;
pub mod dir;
mod errors;
mod reactor;
pub mod socket;
pub mod stdio;
mod transfer;
