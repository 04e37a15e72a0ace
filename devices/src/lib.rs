//! The capabilities under `/cap`: the trees that agents see, the same on every host.
//!
//! A capability is a device with a policy. Its tree (names, commands, errors, limits) is decided here,
//! once; what it does outside is a small trait that a host implements: sending a request, opening a
//! socket. So a program that runs in a tab finds the same files natively, and one suite of guests decides what a
//! device means on both.
//!
//! - [`grant`]: the grammar in which capabilities are handed out, and what the words in it mean
//! - [`description`], [`registry`]: what there is to say of each device, and all of them, written from it
//! - [`terms`], [`units`]: whether a grant can be understood
//! - [`host_header`]: headers that a host adds, and where it has them from
//! - [`origin`]: which servers may be spoken to
//! - [`address`]: where their names may lead, for hosts that see addresses
//! - [`url`], [`outside`]: addresses on the web, and what else every host of a network has
//! - [`capability`]: what an agent has, and how it hands on less of it
//! - [`identity`]: who an agent is
//! - [`audit`]: what was done, a JSON object a line
//! - [`foreign`]: text that isn't the host's, made harmless
//! - one module for each device, at the end: a folder with its `device.json`
//!
//! # What this crate never contains
//! An engine, an executor, an operating system or a web type, as in capfs.
#![forbid(unsafe_code)]

pub mod address;
mod answer;
pub mod audit;
mod cancel;
pub mod capability;
pub mod description;
pub mod ends;
mod exchange;
pub mod foreign;
pub mod grant;
mod hex;
pub mod host_header;
pub mod identity;
mod layers;
mod made;
pub mod message;
pub mod origin;
pub mod outside;
#[rustfmt::skip]
pub mod registry;
pub mod terms;
pub mod units;
pub mod url;

// Devices, as scripts/devices.mjs finds them.
pub mod console;
pub mod counter;
pub mod crypto;
pub mod dom;
pub mod fetch;
pub mod indexeddb;
pub mod random;
pub mod storage;
pub mod task;
pub mod ws;
// The end of the devices.
