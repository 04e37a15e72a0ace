//! Who is to be woken.

use std::task::{Context, Waker};

/// The wakers of one event. Each open file that may wait has an id, and at most one waker here, so
/// that a guest that polls for ever adds nothing.
#[derive(Default)]
pub struct Waiters {
    wakers: Vec<(u64, Waker)>,
}

impl Waiters {
    /// Registers the waker of the file `id` in place of the one that it had.
    pub fn register(&mut self, id: u64, context: &Context<'_>) {
        match self.wakers.iter_mut().find(|(other, _)| *other == id) {
            Some((_, waker)) => waker.clone_from(context.waker()),
            None => self.wakers.push((id, context.waker().clone())),
        }
    }

    /// Forgets the file `id`: it was closed.
    pub fn forget(&mut self, id: u64) {
        self.wakers.retain(|(other, _)| *other != id);
    }

    /// Takes everybody out, to be woken once no lock is held.
    pub fn take(&mut self) -> Woken {
        Woken(std::mem::take(&mut self.wakers))
    }
}

/// Wakers to be woken without a lock: a waker may run the file's owner on the spot.
#[must_use = "somebody waits for this"]
#[derive(Default)]
pub struct Woken(Vec<(u64, Waker)>);

impl Woken {
    /// Wakes them.
    pub fn wake(self) {
        for (_, waker) in self.0 {
            waker.wake();
        }
    }
}
