//! Keys by RustCrypto, kept in sealed files.

mod key;
mod vault;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use capfs::Errno;
use capfs_devices::crypto::{Algorithm, Answer, Failure, Key, KeyStore, Material, Stored, Usages};
use zeroize::Zeroizing;

use crate::blocking;
use key::SoftKey;
use vault::Vault;

/// The keys of one agent.
pub struct Keys {
    vault: Option<Arc<Vault>>,
}

impl Keys {
    /// Keys that are kept in the folder `keys` of this state folder, if there is one, sealed by a key beside them or by a
    /// passphrase.
    pub fn new(state: Option<PathBuf>, passphrase: Option<Zeroizing<String>>) -> Keys {
        let vault = state.map(|state| Arc::new(Vault::new(folder(&state), passphrase)));
        Keys { vault }
    }

    /// Does what waits for a disk, or derives the key of a passphrase.
    fn with_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, Failure> + Send + 'static,
    ) -> Answer<T> {
        let Some(vault) = self.vault.clone() else {
            return answer(Err(Failure::new(Errno::Notsup, "this host keeps no keys")));
        };
        match blocking::pool() {
            None => answer(work(&vault)),
            Some(pool) => Box::pin(async move {
                let answer = pool.run(move || work(&vault)).await;
                answer.map_err(|stopped| Failure::new(Errno::Io, stopped.to_string()))?
            }),
        }
    }
}

/// The folder of the keys of a state folder.
fn folder(state: &Path) -> PathBuf {
    state.join("keys")
}

/// Removes what a run that was killed was writing among the keys of a state folder, which the caller has locked.
pub fn remove_unfinished(state: &Path) {
    vault::remove_unfinished(&folder(state));
}

fn answer<T: Send + 'static>(outcome: Result<T, Failure>) -> Answer<T> {
    Box::pin(std::future::ready(outcome))
}

impl KeyStore for Keys {
    fn generate(&self, algorithm: Algorithm) -> Answer<Arc<dyn Key>> {
        let key = SoftKey::generate(algorithm);
        answer(key.map(|key| Arc::new(key) as Arc<dyn Key>))
    }

    fn import(&self, algorithm: Algorithm, material: Material) -> Answer<Arc<dyn Key>> {
        let key = SoftKey::import(algorithm, material);
        answer(key.map(|key| Arc::new(key) as Arc<dyn Key>))
    }

    fn persists(&self) -> bool {
        self.vault.is_some()
    }

    fn names(&self) -> Answer<Vec<String>> {
        self.with_vault(Vault::names)
    }

    fn load(&self, name: &str) -> Answer<Option<Stored>> {
        let name = name.to_owned();
        self.with_vault(move |vault| vault.load(&name))
    }

    fn save(&self, name: &str, key: &Arc<dyn Key>, usages: Usages, replace: bool) -> Answer<()> {
        let (name, key) = (name.to_owned(), key.clone());
        self.with_vault(move |vault| {
            let key = key.as_any().downcast_ref::<SoftKey>();
            let key = key.ok_or_else(|| Failure::new(Errno::Inval, "another store's key"))?;
            vault.save(&name, key, usages, replace)
        })
    }

    fn remove(&self, name: &str) -> Answer<()> {
        let name = name.to_owned();
        self.with_vault(move |vault| vault.remove(&name))
    }
}
