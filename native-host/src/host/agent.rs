//! An agent that was launched.

use std::sync::{Arc, Weak};

use capfs::account::{Account, AccountUsage};
use tokio::task::JoinHandle;

use super::AgentId;
use super::fiber::Ending;
use super::stdio::{AgentOutput, AgentStdin};
use crate::grants::{Lack, Revocable, absolute};
use crate::run::Report;
use crate::wait::Cancelled;

/// An agent that was launched. Dropping it ends the agent.
pub struct Agent {
    pub(super) id: AgentId,
    pub(super) stdin: Option<AgentStdin>,
    pub(super) stdout: Option<AgentOutput>,
    pub(super) stderr: Option<AgentOutput>,
    pub(super) degraded: Vec<Lack>,
    /// Gone with what it belongs to.
    pub(super) revocable: Weak<Vec<(String, Revocable)>>,
    pub(super) account: Account,
    pub(super) ending: Arc<Ending>,
    pub(super) task: JoinHandle<Report>,
    pub(super) report: Option<Report>,
}

impl Agent {
    /// Who it is.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// Takes the end of its standard input, where that is a pipe.
    pub fn stdin(&mut self) -> Option<AgentStdin> {
        self.stdin.take()
    }

    /// Takes the end of its standard output, where that is a pipe.
    pub fn stdout(&mut self) -> Option<AgentOutput> {
        self.stdout.take()
    }

    /// Takes the end of its standard error, where that is a pipe.
    pub fn stderr(&mut self) -> Option<AgentOutput> {
        self.stderr.take()
    }

    /// What it has to do without, of what its manifest asked for.
    pub fn degraded(&self) -> &[Lack] {
        &self.degraded
    }

    /// What it makes its host hold at this moment, by kind, and the most that it was.
    pub fn usage(&self) -> AccountUsage {
        self.account.usage()
    }

    /// Takes away what it was granted at a path while it runs, for good: whatever it or a child of it does there is `ENODEV`, on open files, too.
    /// Capabilities can be taken away, and of folders and devices those that a manifest asked for. Whether there was anything.
    pub fn revoke(&self, at: &str) -> bool {
        let (Ok(at), Some(all)) = (absolute(at), self.revocable.upgrade()) else {
            return false;
        };
        let there = |path: &str| absolute(path).is_ok_and(|path| path == at);
        let there: Vec<_> = all.iter().filter(|(path, _)| there(path)).collect();
        there.iter().for_each(|(_, handle)| handle.revoke());
        !there.is_empty()
    }

    /// Ends it, whether it computes or waits: at its next tick or wake-up, without a word to it. Who needs to know when waits for it.
    pub fn kill(&self) {
        self.ending.end(Cancelled::Killed);
    }

    /// Waits for its end, and closes its standard input first, where that was not [taken](Agent::stdin): an agent that reads until there is
    /// nothing more would never end. It can be given up and called again.
    pub async fn wait(&mut self) -> Report {
        self.stdin = None;
        if let Some(report) = &self.report {
            return report.clone();
        }
        let report = match (&mut self.task).await {
            Ok(report) => report,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is gone, and the agent with it.
                Err(_) => Report::cancelled(Cancelled::Killed, self.account.usage()),
            },
        };
        self.report.insert(report).clone()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}
