//! x
pub mod abi;
mod memory;
pub use memory::GuestMemory;
