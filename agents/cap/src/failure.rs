//! What went wrong, where, and what the device says about it.

use std::fmt;
use std::io::Error;

use crate::errno;

/// An outcome that may be a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What went wrong: the file or thing concerned, the error, and the text of the device's `error` file where it has one.
#[derive(Debug)]
pub struct Failure {
    /// The file or thing concerned.
    pub what: String,
    /// The error.
    pub error: Error,
    /// What the device says about it.
    pub detail: Option<String>,
}

impl Failure {
    /// A failure of the program's own, in its own words.
    pub fn new(what: impl Into<String>, words: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            error: Error::other(words.into()),
            detail: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, errno::describe(&self.error))?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

/// Says which file or thing an error is about.
pub trait Said<T> {
    /// The outcome, with the thing's name in its failure.
    fn said(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> Said<T> for std::io::Result<T> {
    fn said(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Failure {
            what: what.to_string(),
            error,
            detail: None,
        })
    }
}
