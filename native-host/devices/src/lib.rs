//! The capabilities of `capfs-devices` on an operating system: what each does outside of its tree.
//!
//! A crate of its own, so that devices are built and tested without an engine.
#![forbid(unsafe_code)]

pub mod blocking;
mod crypto;
mod fetch;
mod indexeddb;
pub mod net;
mod random;
pub mod signals;
mod ws;

pub use crypto::remove_unfinished as remove_unfinished_keys;

use std::path::PathBuf;
use std::sync::Arc;

use capfs::NodeRef;
use capfs::account::Account;
use capfs_devices::capability::Capability;
use capfs_devices::console::{Console, Terminal};
use capfs_devices::description::{Need, Parts};
use capfs_devices::fetch::Fetch;
use capfs_devices::grant::{DeviceKind, Grant, GrantError};
use capfs_devices::ws::Ws;
use capfs_devices::{crypto as crypto_device, indexeddb as indexeddb_device, registry};
use zeroize::Zeroizing;

use net::{Net, Network};

/// What this machine has for an agent.
#[derive(Default)]
pub struct Host {
    /// The agent's own folder, where its keys and databases are kept. It is made when something is. Without one
    /// nothing can be kept.
    pub state: Option<PathBuf>,
    /// What seals the agent's keys, instead of a key in a file beside them.
    pub passphrase: Option<Zeroizing<String>>,
    /// The console, if there is one.
    pub terminal: Option<Arc<dyn Terminal>>,
    /// The network; several agents can share one.
    pub network: Network,
    /// What the agent's devices hold is charged to this; without one, to nobody.
    pub account: Account,
}

/// How much of what a grant asks for a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All of it.
    Whole,
    /// Some; the text says what is missing.
    Part(&'static str),
    /// Nothing; the text says why.
    Nothing(&'static str),
}

impl Host {
    /// How much this machine has of what a grant asks for, whose terms can be understood. Nothing is made or opened.
    pub fn support(&self, grant: &Grant) -> Support {
        let state = self.state.is_some();
        match grant.device.need() {
            Need::Page(why) => return Support::Nothing(why),
            Need::State(why) if !state => return Support::Nothing(why),
            Need::Terminal(why) if self.terminal.is_none() => return Support::Nothing(why),
            _ => {}
        }
        if grant.device != DeviceKind::Crypto || state {
            return Support::Whole;
        }
        let persist = grant.terms.iter().rfind(|term| term.key == "persist");
        match persist.map(|term| term.yes()) {
            None => Support::Part("keys can't be kept without a folder: --state DIR"),
            Some(Ok(true)) => Support::Nothing("keys that are kept need a folder: --state DIR"),
            Some(_) => Support::Whole,
        }
    }

    /// Where things are kept under a name, or without one the agent's own.
    fn folder(&self, name: Option<&str>) -> Option<PathBuf> {
        let state = self.state.as_ref()?;
        Some(match name {
            Some(name) => state.join("named").join(name),
            None => state.clone(),
        })
    }

    /// The network, for a device that is put together elsewhere.
    ///
    /// # Errors
    /// The system gives no threads for it.
    pub fn net(&self) -> Result<Arc<Net>, String> {
        self.network.start().map_err(|error| error.to_string())?;
        Ok(Arc::new(Net(self.network.clone())))
    }

    /// The tree of [`Host::capability`].
    ///
    /// # Errors
    /// A message that says what is wrong with the grant, or what this host lacks.
    pub fn device(&self, grant: &Grant) -> Result<NodeRef, String> {
        Ok(self.capability(grant)?.root().clone())
    }

    /// Makes the capability that a grant names, on its terms.
    ///
    /// # Errors
    /// A message that says what is wrong with the grant, or what this host lacks.
    pub fn capability(&self, grant: &Grant) -> Result<Capability, String> {
        let invalid = |error: GrantError| error.to_string();
        let parts = Parts {
            entropy: Arc::new(random::SystemEntropy),
            account: self.account.clone(),
        };
        if let Some(built) = registry::build(grant, &parts) {
            return built.map_err(invalid);
        }
        match grant.device {
            DeviceKind::Fetch => {
                let fetch = Fetch::new(self.net()?, grant, &self.account).map_err(invalid)?;
                Ok(Capability::fetch(fetch))
            }
            DeviceKind::Ws => {
                let ws = Ws::new(self.net()?, grant, &self.account).map_err(invalid)?;
                Ok(Capability::ws(ws))
            }
            DeviceKind::Crypto => {
                let policy = crypto_device::Policy::from_grant(grant).map_err(invalid)?;
                let folder = self.folder(policy.name());
                let keys = crypto::Keys::new(folder, self.passphrase.clone());
                let entropy = Arc::new(random::SystemEntropy);
                let (keys, account) = (Arc::new(keys), &self.account);
                Ok(Capability::crypto(keys, entropy, policy, account))
            }
            DeviceKind::Console => {
                let terminal = self.terminal.clone();
                let terminal = terminal.ok_or("this host has no console")?;
                let console = Console::new(terminal, grant, &self.account).map_err(invalid)?;
                Ok(Capability::console(console))
            }
            DeviceKind::IndexedDb => {
                let policy = indexeddb_device::Policy::from_grant(grant);
                let policy = policy.map_err(invalid)?;
                let folder = self.folder(policy.name());
                let folder = folder.ok_or("databases need a folder to be kept in (--state)")?;
                let space = indexeddb::SqliteSpace::new(folder);
                let space = Arc::new(space);
                Ok(Capability::indexeddb(space, policy, &self.account))
            }
            kind => Err(format!("this host has no device `{}`", kind.name())),
        }
    }
}
