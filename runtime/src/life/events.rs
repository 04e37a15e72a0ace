//! What a host and the machine tell each other.

use std::sync::Arc;

use super::control::Control;
use super::outbox::Delivery;
use super::record::{Change, Message, Outcome, Record};
use super::tick::Ticked;
use super::trigger::{Name, Time, Trigger};

/// Somebody who waits for an answer; the host's number.
pub type Waiter = u64;

/// What a sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The trigger is kept.
    Taken,
    /// It has been handled, or given up.
    Handled,
}

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The trigger is kept: it will be handled, or given up.
    Taken,
    /// What came of it.
    Handled(Outcome),
    /// A [`Control`] has been carried out.
    Done,
    /// It was not taken.
    Refused(Refusal),
}

/// Why a sender's trigger, or a command, was not taken. It is not kept, and may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Of triggers, of bytes of them, or of those who wait.
    #[error("the inbox is full")]
    Full,
    /// Its payload is.
    #[error("a trigger has {0} bytes at most")]
    TooLarge(usize),
    /// What came after it has been taken, so it can't be any more. It may have been, longer ago than is remembered.
    #[error("a trigger of this source with the number {0} has been taken before it")]
    OutOfOrder(u64),
    /// See [`Control::Leave`].
    #[error("the agent has moved to another host")]
    Moved,
    /// See [`Control::Remove`]; or there never was one.
    #[error("the agent is removed")]
    Removed,
    /// Another host has taken hold of it: it is to be asked.
    #[error("the agent lives on another host now")]
    Elsewhere,
    /// Nothing of it is kept, for this reason.
    #[error("it could not be kept: {0}")]
    Store(Arc<str>),
    /// A dead letter that isn't there.
    #[error("there is no such thing")]
    Unknown,
    /// The command is none for now.
    #[error("{0}")]
    Not(&'static str),
}

/// Why nobody could take hold of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcquireError {
    /// Another host has it.
    Held,
    /// The store has no agent of this name.
    Unknown,
    /// The store can't be asked now.
    Unavailable,
}

/// What a commit that wasn't acknowledged came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// Another host has taken hold of the agent: nothing was written.
    Fenced,
    /// Nothing was written.
    Failed(Arc<str>),
    /// Nobody knows: the connection broke, the process was ended.
    Unknown,
}

/// What an activation is to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The heap of this tick, which is the last one that was committed.
    Heap {
        /// It is in the store as that of this tick.
        tick: u64,
    },
    /// As its module is.
    New,
}

/// Why an activation did not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The heap can't be used: it is damaged, or of another module.
    Heap,
    /// It can't be started: why.
    Failed(Arc<str>),
}

/// What has happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// What came of [`Effect::Acquire`].
    Acquired(Result<Box<Record>, AcquireError>),
    /// Somebody sends a trigger.
    Send {
        /// What is sent.
        trigger: Trigger,
        /// Who wants to be told what.
        waiter: Option<(Waiter, Until)>,
    },
    /// Nobody waits for an answer any more.
    Gone(Waiter),
    /// An operator's command.
    Control {
        /// What is to be done.
        control: Control,
        /// Who wants to be told when it has been.
        waiter: Option<Waiter>,
    },
    /// What came of [`Effect::Activate`].
    Activated(Result<(), StartError>),
    /// What came of [`Effect::Tick`].
    Ticked(Ticked),
    /// What came of [`Effect::Commit`].
    Committed(Result<(), CommitError>),
    /// What came of [`Effect::Dispatch`].
    Dispatched(Name, Delivery),
    /// The time of [`Effect::Timer`] has come, or any other: it does no harm.
    Time,
}

/// What a host is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Read the agent's record and raise its epoch, in one transaction ([`Record::acquire`]). Nothing of an earlier epoch can be
    /// committed afterwards.
    Acquire,
    /// Make these changes in one transaction, if the epoch is still this one.
    Commit(Vec<Change>),
    /// Start the agent.
    Activate(Start),
    /// Enter the agent for a trigger. What it then does is kept aside until [`Change::Tick`], or dropped with the activation.
    Tick {
        /// What for.
        trigger: Trigger,
        /// How many ticks have failed at it.
        attempt: u32,
    },
    /// Drop the activation and whatever it did since the last commit. What it says after this is told to nobody.
    Drop,
    /// Call again at this time at the latest; never, without one. The last one that was said counts.
    Timer(Option<Time>),
    /// Tell somebody who waits; nobody is told twice.
    Answer(Waiter, Answer),
    /// Bring a message to its receiver, as a trigger of its id whose source is this agent.
    Dispatch(Message),
    /// What an agent is doing has changed, for who watches it.
    Status(Status),
}

/// What an agent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its record is being read.
    Creating,
    /// It is awake, or waking.
    Active,
    /// It sleeps.
    Dormant,
    /// Nothing runs until somebody resumes it.
    Failed,
    /// It is removed, has moved, or another host has it.
    Terminated,
}
