//! Trees that a program serves: directories, text files, ctl files and streams, of which control
//! devices are made (webfs(4), ip(3)).
//!
//! - a *text file* is a snapshot of what a closure says when the file is opened, and ends with a
//!   newline, so that short reads agree with each other
//! - a *ctl file* takes one command per line, wherever it is written to. The write that carries a bad
//!   command fails with the command's errno; commands before it have been done. A last line
//!   without a newline is done by sync, or when the file is closed, where nobody learns of its failure
//! - a *value file* is a text that can be replaced: whatever is written into an opening of it is its new text
//! - a *stream* is whatever open file its source hands out
//!
//! `O_TRUNC`, `O_CREAT` and `O_APPEND` change nothing about ctl files and streams, so that `echo x >ctl` works.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use capfs::Errno;
//! use capfs::device::Device;
//!
//! let count = Arc::new(AtomicU64::new(0));
//! let (shown, changed) = (count.clone(), count.clone());
//! let device = Device::unlimited();
//! let root = device.directory()
//!     .text("policy", || "counts to 2^64".to_owned())
//!     .text("count", move || shown.load(Ordering::Relaxed).to_string())
//!     .ctl("ctl", move |line: &str| {
//!         let (command, argument) = line.split_once(' ').ok_or(Errno::Inval)?;
//!         let argument = argument.parse().map_err(|_| Errno::Inval)?;
//!         match command {
//!             "add" => changed.fetch_add(argument, Ordering::Relaxed),
//!             "set" => changed.swap(argument, Ordering::Relaxed),
//!             _ => return Err(Errno::Inval),
//!         };
//!         Ok(())
//!     })
//!     .dir("help", device.directory().text("ctl", || "add N\nset N".to_owned()))
//!     .build();
//! assert!(root.directory().is_some());
//! ```

mod ctl;
mod directory;
mod stream;
mod text;
mod value;

#[cfg(test)]
mod tests;

pub(super) use ctl::OpenCtl;
pub use ctl::{CTL_LINE_MAX, CTL_WRITE_MAX, Command};
pub use directory::{DynamicNames, SyntheticBuilder, SyntheticDir};
pub use stream::{StreamSource, stream_node};
pub(super) use text::{Contents, OpenText};
pub use text::{TextSource, open_text, text_file};
pub use value::{VALUE_MAX, ValueSink};
