//! What a run must not leave behind, whichever way it ends: an audit that says that it began and not how it ended, and a state folder that
//! belongs to a program which never began.
//!
//! Most ends are returns. Those by a signal and by the end of the time that a program has to begin in come from other threads, while the main one sits in a call
//! that may never return (a pipe that nobody writes to, say), so what is to be settled is where all of them reach it.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capfs_host::audit::AuditFile;
use capfs_host::run::codes;
use capfs_host::say;
use capfs_host::state::{State, StateError};

use crate::ends::{Beginning, GRACE};

/// What has to be settled before this process ends.
#[derive(Clone, Default)]
pub struct Closing(Arc<Unsettled>);

#[derive(Default)]
struct Unsettled {
    /// The folder of a program that has not begun.
    state: Mutex<Option<State>>,
    /// The audit of a run that has not ended.
    audit: Mutex<Option<AuditedRun>>,
}

/// An audit in which it stands that a program starts.
pub struct AuditedRun {
    /// The audit.
    pub file: Arc<AuditFile>,
    /// The program's name there.
    pub agent: String,
}

/// Settles as a refusal what is unsettled when a run returns, or panics.
pub struct Refused<'a>(pub &'a Closing);

impl Drop for Refused<'_> {
    fn drop(&mut self) {
        drop(lock(&self.0.0.state).take());
        self.0.ended(codes::HOST, "refused");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Closing {
    /// Takes a state folder for a program that may never begin.
    ///
    /// # Errors
    /// See [`State::claim`].
    pub fn claim(
        &self,
        claim: impl FnOnce() -> Result<State, StateError>,
    ) -> Result<(), StateError> {
        // Under the lock: who ends the process finds all of it, or nothing.
        let mut state = lock(&self.0.state);
        *state = Some(claim()?);
        Ok(())
    }

    /// Says in an audit that a program starts.
    ///
    /// # Errors
    /// It can't be said.
    pub fn begin(
        &self,
        begin: impl FnOnce() -> io::Result<AuditedRun>,
    ) -> io::Result<Arc<AuditFile>> {
        let mut audit = lock(&self.0.audit);
        let begun = begin()?;
        let file = begun.file.clone();
        *audit = Some(begun);
        Ok(file)
    }

    /// The program begins: the state folder is its own, and is given back when this is dropped.
    pub fn begun(&self) -> Option<State> {
        let mut state = lock(&self.0.state).take();
        state.iter_mut().for_each(State::keep);
        state
    }

    /// Says in the audit how the run has ended, once.
    pub fn ended(&self, code: u8, reason: &str) {
        // It is not held while something is written that may have nowhere to go.
        let audit = lock(&self.0.audit).take();
        if let Some(AuditedRun { file, agent }) = audit {
            file.end(&agent, code, reason);
        }
    }

    /// Ends this process from any thread, with everything settled that can be within [`GRACE`]; `told` says what there is to say, behind the
    /// audit.
    pub fn exit(&self, code: u8, reason: &str, told: impl FnOnce()) -> ! {
        // Where there is no thread for it, an audit that nobody reads keeps this process.
        let _late = Beginning::within(GRACE, code, || {});
        // Neither is given back: no other thread takes or tells anything until the process has ended.
        let mut state = lock(&self.0.state);
        drop(state.take());
        let mut audit = lock(&self.0.audit);
        if let Some(AuditedRun { file, agent }) = audit.take() {
            file.end(&agent, code, reason);
        }
        told();
        say::end_status();
        process::exit(code.into())
    }
}
