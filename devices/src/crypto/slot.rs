//! The place of one key: empty, kept by the host and not read yet, or here.

use std::sync::{Arc, Mutex};

use capfs::Errno;
use capfs::device::Device;
use capfs::device::parts::lock;

use super::host::{Failure, Key, KeyStore, Usages};
use super::policy::Policy;

/// What all keys of a device share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn KeyStore>,
    pub(super) entropy: Arc<dyn crate::random::Entropy>,
    pub(super) policy: Policy,
    pub(super) device: Device,
}

/// A key that is here.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) key: Arc<dyn Key>,
    pub(super) usages: Usages,
    pub(super) name: Option<String>,
}

enum State {
    Empty,
    Stored(String),
    Here(Held),
}

/// One key, shared by its conversation and its name.
pub(super) struct Slot(Mutex<State>);

impl Slot {
    pub(super) fn empty() -> Arc<Slot> {
        Arc::new(Slot(Mutex::new(State::Empty)))
    }

    /// The place of a key that is kept under a name.
    pub(super) fn stored(name: &str) -> Arc<Slot> {
        Arc::new(Slot(Mutex::new(State::Stored(name.to_owned()))))
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(*lock(&self.0), State::Empty)
    }

    /// Puts a new key into it.
    pub(super) fn fill(&self, key: Arc<dyn Key>, usages: Usages) -> Result<(), Failure> {
        let mut state = lock(&self.0);
        // Two commands at once: the first wins.
        if !matches!(*state, State::Empty) {
            return Err(has_a_key());
        }
        *state = State::Here(Held {
            key,
            usages,
            name: None,
        });
        Ok(())
    }

    /// Changes the key that is here, if it is.
    pub(super) fn change(&self, change: impl FnOnce(&mut Held)) {
        if let State::Here(held) = &mut *lock(&self.0) {
            change(held);
        }
    }

    /// Empties it; the name that the key had.
    pub(super) fn take(&self) -> Option<Option<String>> {
        match std::mem::replace(&mut *lock(&self.0), State::Empty) {
            State::Empty => None,
            State::Stored(name) => Some(Some(name)),
            State::Here(held) => Some(held.name),
        }
    }

    /// The name under which the key is kept.
    pub(super) fn name(&self) -> Option<String> {
        match &*lock(&self.0) {
            State::Empty => None,
            State::Stored(name) => Some(name.clone()),
            State::Here(held) => held.name.clone(),
        }
    }

    /// The key, read from where it is kept if it has not been.
    pub(super) async fn held(&self, shared: &Shared) -> Result<Option<Held>, Failure> {
        let name = match &*lock(&self.0) {
            State::Empty => return Ok(None),
            State::Here(held) => return Ok(Some(held.clone())),
            State::Stored(name) => name.clone(),
        };
        let stored = shared.store.load(&name).await?;
        let stored = stored.ok_or_else(|| Failure::new(Errno::Noent, "the key was deleted"))?;
        let algorithm = stored.key.algorithm();
        if !shared.policy.allows(algorithm) {
            let text = format!("`{}` is not granted", algorithm.name());
            return Err(Failure::new(Errno::Acces, text));
        }
        let held = Held {
            key: stored.key,
            usages: stored.usages,
            name: Some(name),
        };
        let mut state = lock(&self.0);
        match &*state {
            // Deleted meanwhile.
            State::Empty => Ok(None),
            State::Here(held) => Ok(Some(held.clone())),
            State::Stored(_) => {
                *state = State::Here(held.clone());
                Ok(Some(held))
            }
        }
    }
}

pub(super) fn has_a_key() -> Failure {
    Failure::new(Errno::Exist, "there is a key here already")
}
