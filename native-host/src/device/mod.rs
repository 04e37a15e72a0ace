//! Devices on the operating system.

pub mod dir;
pub mod stdio;
