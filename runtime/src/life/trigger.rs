//! What makes an agent run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Wall-clock time: nanoseconds since the Unix epoch, as [`capfs::clock::Clock::realtime`] has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// So many nanoseconds later; the last time there is, beyond that.
    pub fn after(self, nanos: u64) -> Time {
        Time(self.0.saturating_add(nanos))
    }
}

/// Bytes of a name: of a trigger's id, of a source, of an alarm.
pub const NAME_MAX: usize = 256;

/// A text that names something in an agent's life: 1 to [`NAME_MAX`] bytes, without control characters, so that it can
/// stand in a line of a log and in a file's contents.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// What is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has so many bytes.
    #[error("a name has 1 to {NAME_MAX} bytes, not {0}")]
    Length(usize),
    /// It has control characters.
    #[error("a name has no control characters")]
    Control,
}

impl Name {
    /// A text that is a name.
    ///
    /// # Errors
    /// [`NameError`]
    pub fn new(text: &str) -> Result<Name, NameError> {
        if text.is_empty() || text.len() > NAME_MAX {
            return Err(NameError::Length(text.len()));
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::Control);
        }
        Ok(Name(text.into()))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why an agent is told to begin, by a trigger of the kind [`Kind::Initialize`] that comes before all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beginning {
    /// It has been registered, and has never run.
    Registered,
    /// There is no heap of the last tick that was committed: it begins anew on its state.
    HeapLost,
    /// It is a copy of another agent, or the same one brought in a second time: what it holds as random is another's too.
    Copied,
    /// Its module is another.
    Upgraded,
    /// Its module is the former one again.
    Reverted,
}

/// What kind of thing a trigger is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody's message: another agent's, a client's.
    Message,
    /// An alarm of the agent's own; how many of its times this one stands for, from 1.
    Alarm {
        /// More than one where some were missed and are told together.
        firings: u32,
    },
    /// What its host listened for.
    Event,
    /// A person's command.
    Manual,
    /// Before all others.
    Initialize(Beginning),
}

/// One thing to do, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The sender's: the same id is the same trigger, however often it comes.
    pub id: Name,
    /// What it is.
    pub kind: Kind,
    /// Whose order it keeps: triggers of one source are handled in the order in which they came.
    pub source: Name,
    /// The source's own count, where it has one: each is greater than the one before. It makes out a trigger that comes again
    /// after its id has been forgotten.
    pub seq: Option<u64>,
    /// When it came to be, by its source.
    pub created_at: Time,
    /// What it says; the agent's standard input.
    pub payload: Arc<[u8]>,
}

impl Trigger {
    /// Bytes that it counts as in an inbox.
    pub fn size(&self) -> usize {
        size_of::<Trigger>()
            + self.id.as_str().len()
            + self.source.as_str().len()
            + self.payload.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded_lines() {
        assert_eq!(Name::new(""), Err(NameError::Length(0)));
        assert_eq!(Name::new(&"x".repeat(257)), Err(NameError::Length(257)));
        assert_eq!(Name::new("a\nb"), Err(NameError::Control));
        assert_eq!(Name::new(&"ü".repeat(128)).unwrap().as_str().len(), 256);
    }
}
