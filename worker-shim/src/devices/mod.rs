//! The capabilities of `capfs-devices` on the web platform: what each does outside of its tree.

pub mod console;
pub mod dom;
mod fetch;
mod outside;
mod random;
mod timer;
mod url;
mod ws;

use std::sync::Arc;

use capfs::NodeRef;
use capfs_devices::console::Console;
use capfs_devices::fetch::Fetch;
use capfs_devices::grant::{DeviceKind, Grant, GrantError};
use capfs_devices::random as random_device;
use capfs_devices::ws::Ws;
use js_sys::Reflect;
use outside::Web;
use wasm_bindgen::JsValue;

use crate::machine::with_machine;

/// Makes the device that a grant names, on its terms.
///
/// # Errors
/// A sentence that says what is wrong with the grant, or what this engine lacks.
pub async fn device(grant: &Grant) -> Result<NodeRef, JsValue> {
    let invalid = |error: GrantError| JsValue::from_str(&error.to_string());
    match grant.device {
        DeviceKind::Fetch => {
            let fetch = Fetch::new(Arc::new(Web), grant).map_err(invalid)?;
            Ok(fetch.root())
        }
        DeviceKind::Ws if !has("WebSocket") => {
            Err(JsValue::from_str("this engine has no WebSocket"))
        }
        DeviceKind::Ws => Ok(Ws::new(Arc::new(Web), grant).map_err(invalid)?.root()),
        DeviceKind::Random => {
            grant.no_terms().map_err(invalid)?;
            Ok(random_device::device(Arc::new(random::WebEntropy)))
        }
        DeviceKind::Console => {
            let streams = with_machine(|machine| machine.streams.clone()).flatten();
            let streams = streams.ok_or_else(|| JsValue::from_str("there is no agent here"))?;
            let terminal = Arc::new(console::PageTerminal(streams));
            let console = Console::new(terminal, grant)
                .map_err(|error| JsValue::from_str(&error.to_string()))?;
            Ok(console.root())
        }
        kind => Err(JsValue::from_str(&format!(
            "this host has no device `{}`",
            kind.name()
        ))),
    }
}

/// Whether the engine has a global of this name.
fn has(name: &str) -> bool {
    Reflect::has(&js_sys::global(), &name.into()).unwrap_or(false)
}
