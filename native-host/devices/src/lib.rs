//! The capabilities of `capfs-devices` on an operating system: what each does outside of its tree.
//!
//! A crate of its own, so that devices are built and tested without an engine.
#![forbid(unsafe_code)]

mod crypto;
mod indexeddb;
mod random;

use std::path::PathBuf;
use std::sync::Arc;

use capfs::NodeRef;
use capfs_devices::console::{Console, Terminal};
use capfs_devices::grant::{DeviceKind, Grant};
use capfs_devices::{
    crypto as crypto_device, indexeddb as indexeddb_device, random as random_device,
};
use zeroize::Zeroizing;

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
}

impl Host {
    /// Where things are kept under a name, or without one the agent's own.
    fn folder(&self, name: Option<&str>) -> Option<PathBuf> {
        let state = self.state.as_ref()?;
        Some(match name {
            Some(name) => state.join("named").join(name),
            None => state.clone(),
        })
    }

    /// Makes the device that a grant names, on its terms.
    ///
    /// # Errors
    /// A message that says what is wrong with the grant, or what this host lacks.
    pub fn device(&self, grant: &Grant) -> Result<NodeRef, String> {
        match grant.device {
            DeviceKind::Random => {
                grant.no_terms().map_err(|error| error.to_string())?;
                Ok(random_device::device(Arc::new(random::SystemEntropy)))
            }
            DeviceKind::Crypto => {
                let policy = crypto_device::Policy::from_grant(grant);
                let policy = policy.map_err(|error| error.to_string())?;
                let folder = self.folder(policy.name());
                let keys = crypto::Keys::new(folder, self.passphrase.clone());
                let entropy = Arc::new(random::SystemEntropy);
                Ok(crypto_device::device(Arc::new(keys), entropy, policy))
            }
            DeviceKind::Console => {
                let terminal = self.terminal.clone();
                let terminal = terminal.ok_or("this host has no console")?;
                let console = Console::new(terminal, grant).map_err(|error| error.to_string())?;
                Ok(console.root())
            }
            DeviceKind::IndexedDb => {
                let policy = indexeddb_device::Policy::from_grant(grant);
                let policy = policy.map_err(|error| error.to_string())?;
                let folder = self.folder(policy.name());
                let folder = folder.ok_or("databases need a folder to be kept in (--state)")?;
                let space = indexeddb::SqliteSpace::new(folder);
                Ok(indexeddb_device::device(Arc::new(space), policy))
            }
            kind => Err(format!("this host has no device `{}`", kind.name())),
        }
    }
}
