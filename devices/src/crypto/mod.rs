//! `/cap/crypto`: keys that never leave, digests, random bytes (factotum(4)).
//!
//! ```text
//! policy                      what was granted
//! random                      bytes without end
//! uuid                        a new one each time (RFC 9562, version 4)
//! hash/{sha256,sha384,sha512} write, then read: the digest, in hexadecimal digits
//! key/clone, key/new          begin a conversation about a key
//! key/N/ctl                   generate, import, usage, name, delete; parameters
//! key/N/{type,usages,pub,name,error}
//! key/N/{sign,verify,encrypt,decrypt,derive}
//!                             write, then read, on one descriptor
//! key/by-name/S/…             the same for a key that is kept
//! ```
//! No file holds a secret: what an agent imports it had before, and what is generated here stays here. What the
//! commands and files take and give, byte for byte, is in `docs/capabilities.md`.
//!
//! Every rule (who may do what, forms, lengths, parameters) is decided in this module. A host makes keys, keeps
//! them, and computes: [`KeyStore`], [`Key`]. The digests and BIP 340 are computed here, for every host.

pub mod ed25519;
mod hash;
mod host;
mod key;
mod material;
mod names;
mod policy;
mod schnorr;
mod slot;

use std::sync::Arc;

use capfs::account::Account;
use capfs::device::Device;
use capfs::device::conversations::{Conversations, Dialogue};
use capfs::{NodeRef, Op};

pub use host::{
    Algorithm, Answer, Failure, Key, KeyStore, Material, Request, SECRET_MAX, Stored, Usage, Usages,
};
pub use key::DERIVE_MAX;
pub use names::NAME_MAX;
pub use policy::{KEYS, Policy};
pub use schnorr::{SchnorrPublic, SchnorrSecret};

use crate::grant::{Grant, GrantError};
use crate::hex;
use crate::random::{self, Entropy};
use key::Conversation;
use names::{ByName, Names};
use slot::{Shared, Slot};

/// Bytes of the longest message that is signed, checked, encrypted or decrypted: the hosts' libraries take one
/// whole. Digests have no limit.
pub const MESSAGE_MAX: usize = 4 << 20;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant).map(drop)
}

/// Makes the device.
pub fn device(
    store: Arc<dyn KeyStore>,
    entropy: Arc<dyn Entropy>,
    policy: Policy,
    account: &Account,
) -> NodeRef {
    let text = policy.text(store.persists());
    let max = policy.keys();
    let device = Device::new(account);
    let shared = Arc::new(Shared {
        store,
        entropy: entropy.clone(),
        policy,
        device: device.clone(),
    });
    let names = Names::new(shared.clone());
    let known = Arc::downgrade(&names);
    let conversations = Conversations::new(max, &device, move |_: u64| {
        let conversation = Conversation::new(&shared, known.clone(), Slot::empty());
        Ok(conversation as Arc<dyn Dialogue>)
    });
    let by_name = device.directory().dynamic(ByName(names));
    let keys = conversations.serve(device.directory().dir("by-name", by_name));
    let random = random::node(&device, entropy.clone());
    device
        .directory()
        .text("policy", move || text.clone())
        .node("random", random)
        .text("uuid", move || uuid(&*entropy))
        .dir("hash", hash::directory(&device))
        .dir("key", keys)
        .build()
}

/// A random UUID ([RFC 9562, section 5.4](https://www.rfc-editor.org/rfc/rfc9562#section-5.4)).
fn uuid(entropy: &dyn Entropy) -> Op<String> {
    let mut bytes = [0; 16];
    if let Err(errno) = entropy.fill(&mut bytes) {
        return Op::err(errno);
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|part| hex::encode(&bytes[part]));
    Op::ok(parts.join("-"))
}
