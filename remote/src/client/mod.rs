//! The client: a device whose nodes and open files are fids of a connection.

mod connection;
mod file;
mod node;
mod numbers;
mod taken;

pub use connection::Connection;
