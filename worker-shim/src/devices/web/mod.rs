//! The capabilities that need the web platform: requests, sockets, keys, databases, parts of the page, child agents.

mod crypto;
mod database;
pub mod dom;
mod fetch;
mod indexeddb;
mod network;
mod outside;
pub mod task;
mod timer;
mod url;
mod ws;

use std::sync::Arc;

use capfs::Errno;
use capfs::account::Account;
use capfs_devices::capability::Capability;
use capfs_devices::fetch::Fetch;
use capfs_devices::grant::{DeviceKind, Grant, GrantError};
use capfs_devices::ws::Ws;
use capfs_devices::{
    crypto as crypto_device, indexeddb as indexeddb_device, registry, storage, terms,
};
use js_sys::Reflect;
use outside::Web;
use wasm_bindgen::JsValue;

use super::random::WebEntropy;

/// That the terms of a grant can be understood, and kept to in a browser.
///
/// # Errors
/// See [`GrantError`].
pub fn check(grant: &Grant) -> Result<(), GrantError> {
    match grant.device {
        DeviceKind::Ws => Ws::new(Arc::new(Web), grant, &Account::unlimited()).map(drop),
        _ => terms::check(grant),
    }
}

/// Makes the capability that a grant names, on its terms, for an agent of this identity and account.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or what this engine lacks.
pub async fn capability(
    grant: &Grant,
    identity: &str,
    account: &Account,
) -> Result<Capability, JsValue> {
    let invalid = |error: GrantError| JsValue::from_str(&error.to_string());
    if let Some(built) = registry::build(grant, &super::parts(account)) {
        return built.map_err(invalid);
    }
    match grant.device {
        DeviceKind::Fetch => {
            let fetch = Fetch::new(Arc::new(Web), grant, account).map_err(invalid)?;
            Ok(Capability::fetch(fetch))
        }
        DeviceKind::Ws if !has("WebSocket") => {
            Err(JsValue::from_str("this engine has no WebSocket"))
        }
        DeviceKind::Ws => {
            let ws = Ws::new(Arc::new(Web), grant, account).map_err(invalid)?;
            Ok(Capability::ws(ws))
        }
        DeviceKind::Crypto => {
            let policy = crypto_device::Policy::from_grant(grant).map_err(invalid)?;
            let own = storage::own_name(identity);
            let keys = crypto::WebKeys::new(policy.name().unwrap_or(&own));
            let entropy = Arc::new(WebEntropy);
            let keys = Arc::new(keys);
            Ok(Capability::crypto(keys, entropy, policy, account))
        }
        DeviceKind::IndexedDb => {
            let policy = indexeddb_device::Policy::from_grant(grant).map_err(invalid)?;
            if !database::exists() {
                return Err(JsValue::from_str("this engine has no IndexedDB"));
            }
            let own = storage::own_name(identity);
            let space = indexeddb::WebSpace::new(policy.name().unwrap_or(&own));
            let space = Arc::new(space);
            Ok(Capability::indexeddb(space, policy, account))
        }
        kind => Err(JsValue::from_str(&format!(
            "this host has no device `{}`",
            kind.name()
        ))),
    }
}

/// What an error of the page's script says: the errno that its `code` names, and its message.
fn refused(error: &JsValue) -> (Errno, String) {
    let property = |name: &str| Reflect::get(error, &name.into()).ok()?.as_string();
    let name = property("code").unwrap_or_default();
    let errno = Errno::ALL.iter().find(|errno| errno.name() == name);
    let text = property("message").unwrap_or_else(|| format!("{error:?}"));
    (errno.copied().unwrap_or(Errno::Io), text)
}

/// Whether the engine has a global of this name.
fn has(name: &str) -> bool {
    Reflect::has(&js_sys::global(), &name.into()).unwrap_or(false)
}
