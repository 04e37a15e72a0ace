//! Trees of another kernel inside an agent's namespace.
//!
//! A tree lives where its device can work: the page's own files and what needs the page's document in the
//! page's kernel (the *home*), what needs an event loop in the kernel of a device worker where the agent's own
//! worker blocks. An agent's kernel mounts a device whose operations are messages to it, so that every agent
//! and the page see the same at all times: nothing is cached.
//!
//! As in 9P the client chooses the numbers of nodes and open files (fids), so that a request may name what
//! an earlier one, not yet answered, makes. Messages arrive in order; answers may come in any. A request that
//! waits is given up by `Flush` (flush(5)).
//!
//! - `wire`: the requests and how they are laid out
//! - `connection`: requests and answers on the client's side
//! - `numbers`: what a client numbers
//! - `client`: the device in an agent's kernel
//! - `taken`: a write that has returned before it ended
//! - `server`: the other side

pub mod client;
pub mod connection;
mod file;
mod numbers;
mod perform;
pub mod server;
mod taken;
mod wire;
