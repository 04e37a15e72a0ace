//! `key/by-name`: the keys that are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use capfs::device::parts::lock;
use capfs::device::synthetic::DynamicNames;
use capfs::{DirEntry, Errno, NodeRef, Op};

use super::host::Failure;
use super::key::Conversation;
use super::slot::{Shared, Slot};

/// Bytes of the longest name.
pub const NAME_MAX: usize = 64;

/// Whether a key may have this name. Names are files on some hosts, and not every file system tells upper from
/// lower case.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-')
    };
    (1..=NAME_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

struct Named {
    /// What the listing goes by: a name that comes back is a new one.
    number: u64,
    slot: Arc<Slot>,
    directory: NodeRef,
}

#[derive(Default)]
struct State {
    last: u64,
    all: BTreeMap<String, Named>,
}

/// The keys that are kept. Each has a directory as a conversation has.
pub(super) struct Names {
    shared: Arc<Shared>,
    /// Conversations ask for it back, and its directories are conversations.
    own: Weak<Names>,
    state: Mutex<State>,
}

impl Names {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Names> {
        Arc::new_cyclic(|own| Names {
            shared,
            own: own.clone(),
            state: Mutex::default(),
        })
    }

    fn insert(&self, state: &mut State, name: &str, slot: Arc<Slot>) {
        state.last += 1;
        let conversation = Conversation::new(&self.shared, self.own.clone(), slot.clone());
        let directory = Conversation::named_directory(conversation);
        let named = Named {
            number: state.last,
            slot,
            directory,
        };
        state.all.insert(name.to_owned(), named);
    }

    /// Makes a key that is kept now known by its name.
    pub(super) fn keep(&self, name: &str, slot: &Arc<Slot>) {
        let mut state = lock(&self.state);
        self.insert(&mut state, name, slot.clone());
    }

    /// Forgets a name, whoever has its key.
    pub(super) fn forget(&self, name: &str) {
        let named = lock(&self.state).all.remove(name);
        if let Some(named) = named {
            named.slot.take();
        }
    }

    /// How many keys are kept.
    pub(super) async fn count(&self) -> Result<usize, Failure> {
        self.refresh().await?;
        Ok(lock(&self.state).all.len())
    }

    /// Asks the host which keys there are: another agent's run may have made some, or deleted them.
    async fn refresh(&self) -> Result<(), Failure> {
        if !self.shared.store.persists() || !self.shared.policy.may_persist() {
            return Ok(());
        }
        let names = self.shared.store.names().await?;
        let mut state = lock(&self.state);
        state.all.retain(|name, _| names.contains(name));
        for name in names.iter().filter(|name| is_name(name)) {
            if !state.all.contains_key(name) {
                self.insert(&mut state, name, Slot::stored(name));
            }
        }
        Ok(())
    }
}

/// The directory's names.
pub(super) struct ByName(pub(super) Arc<Names>);

impl DynamicNames for ByName {
    fn find(&self, name: &str) -> Op<NodeRef> {
        if !is_name(name) {
            return Op::err(Errno::Noent);
        }
        let (names, name) = (self.0.clone(), name.to_owned());
        Op::run(async move {
            names.refresh().await.map_err(|failure| failure.errno)?;
            let state = lock(&names.state);
            let named = state.all.get(&name).ok_or(Errno::Noent)?;
            Ok(named.directory.clone())
        })
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let names = self.0.clone();
        Op::run(async move {
            names.refresh().await.map_err(|failure| failure.errno)?;
            let state = lock(&names.state);
            let behind = state.all.iter().filter(|(_, named)| named.number > cookie);
            let mut entries: Vec<_> = behind
                .map(|(name, named)| DirEntry {
                    name: name.clone(),
                    qid: named.directory.qid(),
                    cookie: named.number,
                })
                .collect();
            entries.sort_unstable_by_key(|entry| entry.cookie);
            entries.truncate(max);
            Ok(entries)
        })
    }
}
