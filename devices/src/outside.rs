//! What devices that speak over a network ask of every host: time, tasks, URLs.

use capfs::{BoxedFuture, Errno, MaybeSend, MaybeSync};

use crate::url::Url;

/// What went wrong: an errno for the call, and a sentence for the file `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the call fails with.
    pub errno: Errno,
    /// What happened, for a reader.
    pub text: String,
}

impl Failure {
    /// A failure with a sentence.
    pub fn new(errno: Errno, text: impl Into<String>) -> Failure {
        Failure {
            errno,
            text: text.into(),
        }
    }
}

/// A host's time, tasks and URLs.
pub trait Outside: MaybeSend + MaybeSync + 'static {
    /// Parses a URL, relative to `base` where there is one; `None` where it is none.
    fn parse(&self, text: &str, base: Option<&Url>) -> Option<Url>;

    /// Runs a future to its end, whoever waits for it.
    fn spawn(&self, future: BoxedFuture<()>);

    /// Ends after so many milliseconds.
    fn sleep(&self, millis: u64) -> BoxedFuture<()>;

    /// Milliseconds since an arbitrary start.
    fn now(&self) -> u64;
}
