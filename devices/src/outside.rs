//! What devices that speak over a network ask of every host: time, tasks, URLs.

use std::sync::Arc;

use capfs::{BoxedFuture, Errno, MaybeSend, MaybeSync};

use crate::url::Url;

/// What went wrong: an errno for the call, and a sentence for the file `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the call fails with.
    pub errno: Errno,
    /// What happened, for a reader.
    pub text: String,
    /// What only the audit may know, such as an address inside of the host's own network.
    pub hidden: Option<String>,
}

impl Failure {
    /// A failure with a sentence.
    pub fn new(errno: Errno, text: impl Into<String>) -> Failure {
        Failure {
            errno,
            text: text.into(),
            hidden: None,
        }
    }

    /// The failure, with what the agent isn't told.
    pub fn hiding(self, hidden: impl Into<String>) -> Failure {
        Failure {
            hidden: Some(hidden.into()),
            ..self
        }
    }
}

/// What counts as long as it is kept. A host keeps it with whatever is left of a request or a connection, on its way out as well,
/// and lets go of it with the last of that: so what an agent is through with still counts as its own.
#[derive(Clone)]
pub struct Hold(#[expect(dead_code, reason = "it counts while it is here")] Arc<dyn Kept>);

trait Kept: MaybeSend + MaybeSync {}

impl<T: MaybeSend + MaybeSync> Kept for T {}

impl Hold {
    /// Keeps something.
    pub fn new(kept: impl MaybeSend + MaybeSync + 'static) -> Hold {
        Hold(Arc::new(kept))
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
