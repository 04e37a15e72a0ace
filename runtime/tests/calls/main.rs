//! What each call does and with which errno it fails, over a file system in memory; a module for each family of calls.

mod descriptors;
mod directories;
mod files;
mod given_up;
#[path = "../guest/mod.rs"]
mod guest;
mod paths;
mod rights;
mod startup;
mod streams;
mod unstable;

/// Whether the files are answered for later: not here, but in `late`.
const LATE: bool = false;

/// `whence`.
const START: u32 = 0;
const CURRENT: u32 = 1;
const END: u32 = 2;

/// `filetype`.
const DIRECTORY_KIND: u8 = 3;
const FILE_KIND: u8 = 4;
const SYMLINK_KIND: u8 = 7;
