//! The capabilities under `/cap`: the trees that agents see, the same on every host.
//!
//! A capability is a device with a policy. Its tree (names, commands, errors, limits) is decided here,
//! once; what it does outside is a small trait that a host implements: sending a request, opening a
//! socket. So a program that runs in a tab finds the same files natively, and one suite of guests decides what a
//! device means on both.
//!
//! - [`grant`]: the grammar in which capabilities are handed out, and what the words in it mean
//! - [`origin`]: which servers may be spoken to
//! - [`audit`]: what was done, a JSON object a line
//! - one module for each device: [`console`], [`crypto`], [`dom`], [`indexeddb`], [`random`], [`storage`] …
//!
//! # What this crate never contains
//! An engine, an executor, an operating system or a web type, as in capfs.
#![forbid(unsafe_code)]

mod answer;
pub mod audit;
pub mod console;
pub mod crypto;
pub mod dom;
mod exchange;
pub mod grant;
mod hex;
pub mod indexeddb;
pub mod origin;
pub mod random;
pub mod storage;
