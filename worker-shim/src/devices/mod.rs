//! The capabilities of `capfs-devices` on the web platform: what each does outside of its tree.
//!
//! There are two kernels. The one that every page loads has what needs nothing of the page; the other one has the
//! module `web` as well, for a page that grants what is in it, and is more than twice as large.

pub mod console;
mod random;
#[cfg(feature = "capabilities")]
pub mod web;

#[cfg(not(feature = "capabilities"))]
mod web {
    use capfs::account::Account;
    use capfs_devices::capability::Capability;
    use capfs_devices::grant::{Grant, GrantError};
    use wasm_bindgen::JsValue;

    /// Knows no terms.
    pub fn check(_grant: &Grant) -> Result<(), GrantError> {
        Ok(())
    }

    /// Says that the other kernel is needed.
    pub async fn capability(
        grant: &Grant,
        _identity: &str,
        _account: &Account,
    ) -> Result<Capability, JsValue> {
        Err(JsValue::from_str(&format!(
            "`{}` needs Capfs.create({{ capabilities: true }})",
            grant.device.name()
        )))
    }
}

use std::sync::Arc;

use capfs::account::Account;
use capfs_devices::capability::Capability;
use capfs_devices::console::Console;
use capfs_devices::description::Parts;
use capfs_devices::grant::{DeviceKind, Grant, GrantError};
use capfs_devices::registry;
use wasm_bindgen::JsValue;

use crate::machine::with_machine;

/// That the terms of a grant can be understood here. A page asks the other kernel for no device that it does not have, so
/// that it need not know their terms.
///
/// # Errors
/// See [`GrantError`].
pub fn check(grant: &Grant) -> Result<(), GrantError> {
    registry::check_small(grant).unwrap_or_else(|| web::check(grant))
}

/// Makes the capability that a grant names, on its terms, for an agent of this identity and account.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or what this engine or this kernel lacks.
pub async fn capability(
    grant: &Grant,
    identity: &str,
    account: &Account,
) -> Result<Capability, JsValue> {
    let invalid = |error: GrantError| JsValue::from_str(&error.to_string());
    if let Some(built) = registry::build_small(grant, &parts(account)) {
        return built.map_err(invalid);
    }
    match grant.device {
        DeviceKind::Console => {
            let streams = with_machine(|machine| machine.streams.clone()).flatten();
            let streams = streams.ok_or_else(|| JsValue::from_str("there is no agent here"))?;
            let terminal = Arc::new(console::PageTerminal(streams));
            let console = Console::new(terminal, grant, account).map_err(invalid)?;
            Ok(Capability::console(console))
        }
        _ => web::capability(grant, identity, account).await,
    }
}

/// What this host has for every device.
fn parts(account: &Account) -> Parts {
    Parts {
        entropy: Arc::new(random::WebEntropy),
        account: account.clone(),
    }
}
