//! A capability as an agent has it, of which others can be made that let less be done.
//!
//! What an agent hands to a child by `grant` (see [`task`](crate::task)) is made of its own: the same device on further terms, each
//! of which must let an operation through. What is counted (requests under way, a rate, connections) is counted for both; what
//! the child holds by it is charged to the child's account, which is a part of the agent's.

use std::sync::Arc;

use capfs::account::Account;
use capfs::{MaybeSend, MaybeSync, NodeRef};

use crate::audit::{CallObserver, CallObservers};
use crate::console::Console;
use crate::crypto::{self, KeyStore};
use crate::ends::Ends;
use crate::fetch::Fetch;
use crate::grant::{Grant, GrantError, Term};
use crate::host_header::HeaderSource;
use crate::indexeddb::{self, Space};
use crate::random::Entropy;
use crate::ws::Ws;

/// Makes less of a capability.
pub trait Narrow: MaybeSend + MaybeSync + 'static {
    /// The capability on further terms, for the agent of an account.
    ///
    /// # Errors
    /// What is wrong with the grant.
    fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Capability, GrantError>;
}

impl<F> Narrow for F
where
    F: Fn(&Grant, &Account) -> Result<Capability, GrantError> + MaybeSend + MaybeSync + 'static,
{
    fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Capability, GrantError> {
        self(grant, account)
    }
}

/// A capability.
#[derive(Clone)]
pub struct Capability {
    root: NodeRef,
    narrow: Arc<dyn Narrow>,
    /// Who is told of the servers that it asks.
    observers: CallObservers,
    /// What it has under way.
    ends: Ends,
}

impl Capability {
    /// A tree, and how less of it is made.
    pub fn new(root: NodeRef, narrow: impl Narrow) -> Capability {
        Capability {
            root,
            narrow: Arc::new(narrow),
            observers: CallObservers::default(),
            ends: Ends::default(),
        }
    }

    /// Gives up what it has under way, requests and connections, and what was made of it for children has. For when it is taken away: a
    /// gate in front of it lets nothing more be done.
    pub fn end(&self) {
        self.ends.end();
    }

    /// Tells an observer of every server that is asked by it, and by what is made of it.
    pub fn observe_calls(&self, observer: Arc<dyn CallObserver>) {
        self.observers.set(observer);
    }

    /// Requests.
    pub fn fetch(fetch: Arc<Fetch>) -> Capability {
        let (root, observers) = (fetch.root(), fetch.observers.clone());
        let ends = fetch.ends.clone();
        let narrow = move |grant: &Grant, account: &Account| {
            Ok(Capability::fetch(fetch.narrowed(grant, account)?))
        };
        Capability {
            observers,
            ends,
            ..Capability::new(root, narrow)
        }
    }

    /// Connections.
    pub fn ws(ws: Arc<Ws>) -> Capability {
        let (root, observers) = (ws.root(), ws.observers.clone());
        let ends = ws.ends.clone();
        let narrow = move |grant: &Grant, account: &Account| {
            Ok(Capability::ws(ws.narrowed(grant, account)?))
        };
        Capability {
            observers,
            ends,
            ..Capability::new(root, narrow)
        }
    }

    /// A console.
    pub fn console(console: Console) -> Capability {
        let root = console.root();
        Capability::new(root, move |grant: &Grant, account: &Account| {
            Ok(Capability::console(console.narrowed(grant, account)?))
        })
    }

    /// Keys.
    pub fn crypto(
        store: Arc<dyn KeyStore>,
        entropy: Arc<dyn Entropy>,
        policy: crypto::Policy,
        account: &Account,
    ) -> Capability {
        let root = crypto::device(store.clone(), entropy.clone(), policy.clone(), account);
        Capability::new(root, move |grant: &Grant, account: &Account| {
            let (store, entropy) = (store.clone(), entropy.clone());
            let policy = policy.narrowed(grant)?;
            Ok(Capability::crypto(store, entropy, policy, account))
        })
    }

    /// Databases.
    pub fn indexeddb(
        space: Arc<dyn Space>,
        policy: indexeddb::Policy,
        account: &Account,
    ) -> Capability {
        let root = indexeddb::device(space.clone(), policy.clone(), account);
        Capability::new(root, move |grant: &Grant, account: &Account| {
            let policy = policy.narrowed(grant)?;
            Ok(Capability::indexeddb(space.clone(), policy, account))
        })
    }

    /// The tree.
    pub fn root(&self) -> &NodeRef {
        &self.root
    }

    /// The capability on further terms, for a child of the agent that has it. `account` is the child's.
    ///
    /// # Errors
    /// What is wrong with the grant; [`GrantError::Value`] for terms that say more than what is let through: a header
    /// that the host adds can be one that agents may not set, and a name says whose things they are.
    pub fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Capability, GrantError> {
        let more = |term: &&Term| match term.key.as_str() {
            "header" | "name" => true,
            key => HeaderSource::KEYS.contains(&key),
        };
        match grant.public_terms().iter().find(more) {
            Some(term) => Err(term.expected("only the host can grant this")),
            None => self.narrow.narrowed(grant, account),
        }
    }
}
