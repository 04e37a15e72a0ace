//! Trees of another kernel inside an agent's namespace.
//!
//! What goes between kernels is `capfs-remote`'s. Here is what ties it to JavaScript: messages are posted by functions, and peers and
//! clients are known by the numbers that JavaScript gives them.
//!
//! - `client`: the connections of this kernel to its peers
//! - `server`: the clients of this kernel, and the trees that were made for each

use capfs_devices::ws;
use capfs_remote::wire::Sizes;
use capfs_remote::{Ended, Transport};
use js_sys::{Function, Uint8Array};
use wasm_bindgen::JsValue;

pub mod client;
pub mod server;

/// What goes between kernels at most. A write to a socket that keeps messages apart must not be cut: what is longer than any message may
/// be arrives as such.
const SIZES: Sizes = Sizes::for_writes_of(ws::MESSAGE_MAX + 1);

/// Messages that a function of JavaScript takes.
struct Post(Function);

impl Transport for Post {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        let array = Uint8Array::from(message.as_slice());
        match self.0.call1(&JsValue::NULL, &array) {
            Ok(_) => Ok(()),
            Err(_) => Err(Ended),
        }
    }

    /// A port doesn't say what the other side has taken. That side is the package's own kernel as well, and asks for no more than it may.
    fn waiting(&self) -> usize {
        0
    }
}
