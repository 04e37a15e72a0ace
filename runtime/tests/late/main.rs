//! The tests of `calls`, over files that are answered for later, that wake for nothing and list short, by calls that are given up and made
//! anew.

#[path = "../calls/descriptors.rs"]
mod descriptors;
#[path = "../calls/directories.rs"]
mod directories;
#[path = "../calls/files.rs"]
mod files;
#[path = "../guest/mod.rs"]
mod guest;
#[path = "../calls/paths.rs"]
mod paths;
#[path = "../calls/rights.rs"]
mod rights;
#[path = "../calls/startup.rs"]
mod startup;
#[path = "../calls/streams.rs"]
mod streams;
#[path = "../calls/unstable.rs"]
mod unstable;

/// Whether the files are answered for later.
const LATE: bool = true;

/// `whence`.
const START: u32 = 0;
const CURRENT: u32 = 1;
const END: u32 = 2;

/// `filetype`.
const DIRECTORY_KIND: u8 = 3;
const FILE_KIND: u8 = 4;
const SYMLINK_KIND: u8 = 7;
