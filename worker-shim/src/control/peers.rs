//! What kernels ask of each other: requests of clients of this one, and the answers to its own.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use super::{machine, named};
use crate::remote::{client, server};
use crate::web;

/// Takes a client in, whose requests are taken and for whom devices can be made from now on, until [`remote_forget`]. `held` bounds the bytes that
/// all that is made for it makes this kernel hold; with 0 they are charged to this kernel's agent.
///
/// # Errors
/// `EEXIST`: it is there already
#[wasm_bindgen]
pub fn remote_admit(client: u32, held: f64) -> Result<(), JsValue> {
    server::admit(client, held as u64).map_err(named)
}

/// Takes a request of a client that was admitted, another's connection is ended by `ESTALE`; `reply(bytes)` is called with answers, at
/// once or from a later [`advance`](super::requests::advance), to this request and to earlier ones.
#[wasm_bindgen]
pub fn remote_serve(client: u32, request: Vec<u8>, reply: Function) -> Result<(), JsValue> {
    web::look();
    machine(|_| Ok(()))?;
    server::serve(client, request, reply);
    Ok(())
}

/// Closes what a client has open here.
#[wasm_bindgen]
pub fn remote_forget(client: u32) {
    server::forget(client);
}

/// Takes a peer's answer to a request of a remote device.
#[wasm_bindgen]
pub fn remote_answer(peer: u32, bytes: &[u8]) {
    client::answer(peer, bytes);
}

/// Says that a peer is gone: whatever is asked of its trees fails with `EIO`. A tree that is attached later is another peer's of this number.
#[wasm_bindgen]
pub fn remote_lost(peer: u32) {
    client::lost(peer);
}
