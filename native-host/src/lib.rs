//! The native host of capfs: agents under wasmtime.
//!
//! - [`engine`]: the engine, modules and the cache of compiled code
//! - [`compile`]: compiling, in a process of its own
//! - [`behind`]: optimised code that is made behind a program that runs
//! - [`linker`]: the table of WASI calls as imports
//! - [`run`]: one run of an agent, from its module to its outcome
//! - [`host`]: many agents on few threads, for programs that embed this host
//! - [`inspect`]: what a module is made of and what it will need
//! - [`device`]: devices on the operating system
//! - [`state`]: the folder where what an agent keeps lasts, and whose it is
//! - [`storage`]: folders of agents' own, behind the capability `opfs`
//! - [`volumes`]: checking copies of what browsers store
//! - [`secrets`]: headers whose values are in files and variables
//! - [`say`]: what the host tells people
//! - [`manifest`]: what an agent requires and can do without, in a file
//! - [`grants`]: what the command line and manifests grant, as mounts of a namespace
//! - [`reserved`]: what no agent reaches through a folder that it was granted
//! - [`tasks`]: child agents
//! - [`audit`]: the audit's file
//! - [`listen`]: sockets that are handed to a program

// They panic where nothing can be written; [`say`] does not.
#![deny(clippy::print_stderr, clippy::print_stdout)]

mod archives;
pub mod audit;
pub mod behind;
pub mod cache;
pub mod capabilities;
pub mod clock;
pub mod compile;
pub mod device;
pub mod engine;
pub mod grants;
pub mod host;
pub mod inspect;
mod instance;
pub mod limits;
pub mod linker;
pub mod listen;
pub mod manifest;
pub mod read;
pub mod reserved;
pub mod run;
pub mod say;
mod sealed;
pub mod secrets;
pub mod state;
pub mod storage;
pub mod tasks;
pub mod volumes;
pub mod wait;
