//! What hosts answer devices: a value or a failure, now or later.

use capfs::{BoxedFuture, Errno};

/// Why something could not be done: an errno, and the sentence for the `error` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the agent's call fails with.
    pub errno: Errno,
    /// What the agent can read about it. It says nothing about a secret.
    pub text: String,
}

impl Failure {
    /// A failure with this errno and text.
    pub fn new(errno: Errno, text: impl Into<String>) -> Failure {
        Failure {
            errno,
            text: text.into(),
        }
    }
}

/// What a host answers, now or later. Dropping it gives the operation up.
pub type Answer<T> = BoxedFuture<Result<T, Failure>>;
