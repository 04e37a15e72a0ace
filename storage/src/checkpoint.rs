//! The open checkpoint of a volume, as its host has it.

use std::sync::Arc;

use capfs::{Checkpoint, Errno, Op};

use crate::state::State;
use crate::volume::Shared;

/// A checkpoint of a volume that is open since this session.
pub(crate) struct StorageCheckpoint {
    shared: Arc<Shared>,
    session: u64,
    decided: bool,
}

impl StorageCheckpoint {
    /// Has the one that was just opened.
    pub fn opened(shared: Arc<Shared>) -> Box<dyn Checkpoint> {
        Box::new(StorageCheckpoint {
            session: shared.session(),
            shared,
            decided: false,
        })
    }

    fn within(&self, action: impl FnOnce(&mut State) -> Result<(), Errno>) -> Result<(), Errno> {
        self.shared.within(self.session, action)
    }
}

impl Checkpoint for StorageCheckpoint {
    fn prepare(&mut self, id: u64) -> Op<()> {
        self.within(|state| state.prepare(id)).into()
    }

    fn commit(mut self: Box<Self>) -> Op<()> {
        self.decided = true;
        self.within(State::commit_checkpoint).into()
    }

    fn discard(mut self: Box<Self>) -> Op<()> {
        self.decided = true;
        match self.within(State::discard_checkpoint) {
            // It was closed meanwhile, which discards.
            Err(Errno::Stale) => Op::ok(()),
            result => result.into(),
        }
    }
}

impl Drop for StorageCheckpoint {
    fn drop(&mut self) {
        if !self.decided {
            // What is closed has nothing to be abandoned any more.
            let _ = self.within(|state| {
                state.abandon_checkpoint();
                Ok(())
            });
        }
    }
}
