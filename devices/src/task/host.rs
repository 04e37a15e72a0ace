//! What a host does for tasks: it starts and ends them.

use std::sync::Arc;

use capfs::{BindOrder, Errno, MaybeSend, MaybeSync, Op, OpenFile};

use super::Task;
use crate::grant::Grant;

/// Why something was not done: what the parent gets, and the text for `error`.
pub struct Refusal {
    /// What the call fails with.
    pub errno: Errno,
    /// A sentence.
    pub text: String,
}

/// A part of the parent's namespace that a task sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Where the parent has it.
    pub from: String,
    /// Where the task has it.
    pub to: String,
    /// Whether it can be changed, as far as the parent can.
    pub writable: bool,
    /// Where it goes among what is there already.
    pub order: BindOrder,
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "bind {} {}", self.from, self.to)?;
        if !self.writable {
            f.write_str(" ro")?;
        }
        match self.order {
            BindOrder::Replace => Ok(()),
            BindOrder::Before => f.write_str(" before"),
            BindOrder::After => f.write_str(" after"),
        }
    }
}

/// Everything that a task is started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The program: a path of the parent's, or what else its host takes.
    pub program: String,
    /// Arguments behind the program's name.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// The directory that it knows as `.`, if any.
    pub dir: Option<String>,
    /// Its files.
    pub binds: Vec<Bind>,
    /// Its capabilities.
    pub grants: Vec<Grant>,
}

/// How a task has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its code, as a shell knows it.
    pub code: u32,
    /// One word: `exit`, `trap`, `killed` …
    pub reason: String,
}

/// Starts and ends children for one parent.
pub trait Spawner: MaybeSend + MaybeSync + 'static {
    /// Whether a grant may be handed to a child at all; it must give at most what the parent has.
    ///
    /// # Errors
    /// What writing the command fails with; the refusal's text is told by [`Task::refused`].
    fn check(&self, task: Arc<Task>, grant: &Grant) -> Op<()>;

    /// Starts a child; `task` is told of its end. Ends when the child runs.
    ///
    /// # Errors
    /// What writing `start` fails with; the refusal's text is told by [`Task::refused`].
    fn start(&self, task: Arc<Task>, plan: Plan, stdio: [Box<dyn OpenFile>; 3]) -> Op<()>;

    /// Ends a child, whatever it does.
    fn kill(&self, number: u64);

    /// Takes what was bound or granted at a path away from a child that runs.
    ///
    /// # Errors
    /// - `EINVAL`: there is nothing of the kind
    fn revoke(&self, number: u64, at: &str) -> Op<()>;
}
