//! The life of an agent that sleeps and wakes: a pure state machine, `(state, event, now) -> (state, effects)`.
//!
//! A [`Life`] knows one agent. Its host tells it what happens ([`Event`]), and does what it answers ([`Effect`]): commits
//! changes to a store, starts the agent, enters it, wakes it at a time, sends what it wrote. Nothing in here waits, reads a
//! clock or draws a number, so that every history can be played again, and a test can end it between any two effects.
//!
//! # What is promised, and how
//! - **Nothing is told before it is kept.** What an event changes is committed first; answers, and messages to others, are
//!   effects of that commit's success. One commit of an agent is under way at a time, and what comes meanwhile is the next.
//! - **A commit that may have been made isn't taken for one that was, nor for one that wasn't.** Whatever goes wrong with a
//!   store, the machine forgets all that it thought, drops the activation, takes hold of the agent anew by
//!   [`Effect::Acquire`], which raises its epoch so that nothing of before can be committed any more, and goes on from what
//!   the store has. A host that comes up after a crash begins in the same way.
//! - **One tick at a time, once each.** A trigger's acknowledgement is in the commit of its tick. Who sends it again gets
//!   what came of it. A source's triggers are handled in the order in which they came; one that is tried again later holds
//!   back those behind it, and nobody else's.
//! - **Bounds** are in [`Policy`]. What is beyond them is refused or kept as a dead letter, and nothing vanishes.
//!
//! ```text
//!            Acquired            Activated            Ticked             Committed
//!  Unknown ───────────▶ Dormant ───────────▶ Ready ──▶ Ticking ──▶ Committing ──▶ Ready
//!     ▲                    ▲  Activate          │ Sleep                │
//!     │                    └──────── Sleeping ◀─┘                      │
//!     └──────────────── a commit fails, or nobody knows ◀──────────────┘
//! ```

mod alarm;
mod control;
mod events;
mod inbox;
mod machine;
mod next;
mod outbox;
mod policy;
mod record;
mod tick;
mod trigger;

#[cfg(test)]
mod model_tests;

pub use alarm::{ALARM_NAME_MAX, Alarm, AlarmError, Missed, PERIOD_MIN, Schedule};
pub use control::Control;
pub use events::{
    AcquireError, Answer, CommitError, Effect, Event, Refusal, Start, StartError, Status, Until,
    Waiter,
};
pub use machine::Life;
pub use outbox::Delivery;
pub use policy::{Heap, Overflow, Policy};
pub use record::{Change, DeadLetter, Digest, Header, Message, Outcome, Queued, Record};
pub use tick::{AlarmChange, Outgoing, Report, Ticked};
pub use trigger::{Beginning, Kind, NAME_MAX, Name, NameError, Time, Trigger};
