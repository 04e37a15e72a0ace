//! Keys by the Web Crypto API, kept in the origin's IndexedDB.
//!
//! Secrets are keys that can't be extracted, kept as such: script on the page can use them, and can't read them. BIP 340,
//! which the API lacks, is computed in the kernel; such a secret is kept encrypted under a key that can't be extracted.

mod key;
mod store;
mod subtle;

use std::rc::Rc;
use std::sync::Arc;

use capfs_devices::crypto::{Algorithm, Answer, Key, KeyStore, Material, Stored, Usages};

use key::WebKey;
use store::Shelf;

/// The keys of the program with one name.
pub struct WebKeys(Rc<Shelf>);

impl WebKeys {
    /// The keys of `owner`, a name without `/`.
    pub fn new(owner: &str) -> WebKeys {
        WebKeys(Rc::new(Shelf::new(owner)))
    }
}

impl KeyStore for WebKeys {
    fn generate(&self, algorithm: Algorithm) -> Answer<Arc<dyn Key>> {
        Box::pin(async move { Ok(Arc::new(WebKey::generate(algorithm).await?) as Arc<dyn Key>) })
    }

    fn import(&self, algorithm: Algorithm, material: Material) -> Answer<Arc<dyn Key>> {
        Box::pin(async move {
            let key = WebKey::import(algorithm, material).await?;
            Ok(Arc::new(key) as Arc<dyn Key>)
        })
    }

    /// Node has no IndexedDB.
    fn persists(&self) -> bool {
        super::database::exists()
    }

    fn names(&self) -> Answer<Vec<String>> {
        let shelf = self.0.clone();
        Box::pin(async move { shelf.names().await })
    }

    fn load(&self, name: &str) -> Answer<Option<Stored>> {
        let (shelf, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move { shelf.load(&name).await })
    }

    fn save(&self, name: &str, key: &Arc<dyn Key>, usages: Usages, replace: bool) -> Answer<()> {
        let (shelf, name, key) = (self.0.clone(), name.to_owned(), key.clone());
        Box::pin(async move { shelf.save(&name, &*key, usages, replace).await })
    }

    fn remove(&self, name: &str) -> Answer<()> {
        let (shelf, name) = (self.0.clone(), name.to_owned());
        Box::pin(async move { shelf.remove(&name).await })
    }
}
