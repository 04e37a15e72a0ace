//! Names of files.

use crate::{Errno, NAME_MAX};

/// One checked component of a path: not empty, not `.` or `..`, no `/`, no NUL, at most
/// [`NAME_MAX`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// Checks a name.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: longer than [`NAME_MAX`] bytes
    /// - [`Errno::Inval`]: empty, `.`, `..`, or containing `/` or NUL
    #[inline]
    pub fn new(text: &'a str) -> Result<Self, Errno> {
        if text.len() > NAME_MAX {
            return Err(Errno::Nametoolong);
        }
        if matches!(text, "" | "." | "..") || text.bytes().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Errno::Inval);
        }
        Ok(Name(text))
    }

    /// The name as text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}
