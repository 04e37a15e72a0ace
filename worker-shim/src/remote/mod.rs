//! The page's tree inside an agent's namespace.
//!
//! The tree lives in the page's kernel (the *home*); an agent's kernel mounts a device whose
//! operations are messages to it, so that every agent and the page see the same files at all times:
//! nothing is cached. As in 9P the client chooses the numbers of nodes and open files (fids), so that a
//! request may name what an earlier one, not yet answered, makes. Messages arrive in order.
//!
//! - `wire`: the requests and how they are laid out
//! - `client`: the device in an agent's kernel
//! - `server`: the home's side

pub mod client;
pub mod server;
mod wire;
