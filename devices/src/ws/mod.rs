//! `/cap/ws`: WebSocket connections as files, after ip(3).
//!
//! ```text
//! clone new     a conversation (see `capfs::device::conversations`)
//! policy        what is granted
//! N/ctl         `connect URL [SUBPROTOCOL…]` waits for the handshake; `text`, `binary`: what writes send (text at first);
//!               `hangup [CODE [REASON]]`; `close`
//! N/data        one write is one message; a read never crosses a message, and the rest stays for the next read
//! N/type        `text` or `binary`: the message that was read last
//! N/status      `Closed`, `Connect`, `Established`, `Closing` behind `hangup`, `Hangup CODE REASON` once all was read
//! N/protocol    the sub-protocol that the server has chosen
//! N/local N/remote   addresses, as `host!port`; a browser tells no local one
//! N/error       what went wrong last
//! ```
//!
//! # Messages
//! A write takes the whole message or fails. An empty message reads as 0 bytes, like the end; `status` tells them apart: it is `Hangup` only when all that came was read, the
//! end behind an empty message included.
//! Messages that came before the end can be read after it. A clean close, with whatever code, is the end of the file; a
//! connection that is broken off is `ECONNRESET`.
//!
//! # Who waits for whom
//! A writer waits while [`SEND_WINDOW`] bytes are on their way. What is received and not read is bounded by
//! [`RECEIVE_WINDOW`]: natively the server waits then; a browser can't make it wait, so there the connection is closed
//! with 1009 at [`RECEIVE_MAX`], and reading ends in `ENOBUFS`.
//!
//! # How it ends
//! What was written before `hangup`, or before the conversation ended, is still sent, and the server has its time to answer. That takes
//! [`LINGER`] at most, and until then the connection counts: `connect` waits for it where no other is granted.
//!
//! # Errors
//! - `EACCES`: an origin or an address that is not granted
//! - `EINVAL`, `ENAMETOOLONG`: a command that is none, a URL that is too long
//! - `ENOMEM`: more than the agent may make its host hold
//! - `EMFILE`: as many conversations, or connections, as there may be
//! - `EMSGSIZE`: a message over the limit; one that was received closes the connection with 1009
//! - `EISCONN`, `EALREADY`, `ENOTCONN`, `EPIPE`, `ECANCELED`: as for sockets
//! - `EILSEQ`: a text that isn't UTF-8
//! - `ETIMEDOUT`, `ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`, `EPROTO`, `EIO`: what the network says

mod connection;
mod data;
pub mod host;
pub mod inbox;
mod policy;

use std::sync::Arc;

use capfs::NodeRef;
use capfs::account::Account;
use capfs::device::Device;
use capfs::device::conversations::{Conversations, Dialogue};

use crate::audit::CallObservers;
use crate::ends::Ends;
use crate::grant::{Grant, GrantError};
use crate::layers::Terms as _;
use connection::{Connection, Conversation};
use host::{Connector, Host};
use policy::{Policies, Policy};

/// What can be spoken.
const SCHEMES: &[&str] = &["ws", "wss"];

/// Conversations of one agent at once.
pub const CONVERSATIONS_MAX: usize = 256;

/// Bytes of a message that can be granted: a message is kept as a whole, here and on its way between workers.
pub const MESSAGE_MAX: usize = 16 << 20;

/// Sub-protocols that one connection may offer.
pub const PROTOCOLS_MAX: usize = 16;

/// Bytes of the reason of a close ([RFC 6455, section 5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5)).
pub const REASON_MAX: usize = 123;

/// Bytes that were written and are not with the system yet: over it, writers wait.
pub const SEND_WINDOW: usize = 1 << 20;

/// Bytes that were received and not read: over it, a host that can stops receiving.
pub const RECEIVE_WINDOW: usize = 1 << 20;

/// Bytes that were received and not read: over it, a host that can't stop receiving closes the connection.
pub const RECEIVE_MAX: usize = 16 << 20;

/// Milliseconds that a connection has to send what is left, and to be closed by both sides, from when it was to be closed.
pub const LINGER: u64 = 5_000;

/// Bytes that are received and thrown away while a connection is being closed: over it, it is broken off.
pub const LINGER_MAX: usize = 4 << 20;

/// That the terms of a grant can be understood.
///
/// # Errors
/// See [`GrantError`].
pub(crate) fn check(grant: &Grant) -> Result<(), GrantError> {
    Policy::from_grant(grant, true).map(drop)
}

/// The device of one agent.
pub struct Ws {
    host: Arc<dyn Host>,
    connector: Arc<dyn Connector>,
    policies: Policies,
    device: Device,
    /// Who is told of each connection.
    pub(crate) observers: CallObservers,
    /// Its connections.
    pub(crate) ends: Ends,
}

impl Ws {
    /// Makes the device on the terms of a grant, for the agent of an account.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn new(
        host: Arc<dyn Host>,
        grant: &Grant,
        account: &Account,
    ) -> Result<Arc<Ws>, GrantError> {
        let policy = Policy::from_grant(grant, host.adds_headers())?;
        policy.reach().resolved()?;
        let policies = Policies::new(policy);
        let observers = CallObservers::default();
        let ends = Ends::default();
        Ok(Ws::with(host, policies, account, observers, ends))
    }

    /// Makes a device that keeps this one's terms and those of `grant`, for a child of the agent, which has this account.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn narrowed(&self, grant: &Grant, account: &Account) -> Result<Arc<Ws>, GrantError> {
        let policy = Policy::from_grant(grant, self.host.adds_headers())?;
        let policies = self.policies.and(policy);
        let observers = self.observers.narrowed();
        let host = self.host.clone();
        let ends = self.ends.narrowed();
        Ok(Ws::with(host, policies, account, observers, ends))
    }

    fn with(
        host: Arc<dyn Host>,
        policies: Policies,
        account: &Account,
        observers: CallObservers,
        ends: Ends,
    ) -> Arc<Ws> {
        Arc::new(Ws {
            connector: host.connector(Arc::new(policies.clone())),
            host,
            policies,
            device: Device::new(account),
            observers,
            ends,
        })
    }

    /// Bytes that a connection is charged: what it may have under way in both directions.
    fn under_way(&self) -> u64 {
        let message = self.policies.least(|policy| policy.max_message);
        // What is sent waits here, and for the system behind the host's own code; a message may go beyond each window. What is received
        // waits here as well, behind the message that is being read and before the one that comes in.
        (2 * SEND_WINDOW + self.host.receives()) as u64 + 4 * message
    }

    fn max_message(&self) -> usize {
        let most = self.policies.least(|policy| policy.max_message);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// The root of the device's tree.
    pub fn root(self: &Arc<Self>) -> NodeRef {
        let begun = self.clone();
        let conversations = Conversations::new(CONVERSATIONS_MAX, &self.device, move |_: u64| {
            let connection = Connection::new(begun.clone());
            Ok(Arc::new(Conversation(connection)) as Arc<dyn Dialogue>)
        });
        let shown = self.clone();
        let tree = self.device.directory();
        let tree = tree.text("policy", move || shown.policies.text());
        conversations.serve(tree).build()
    }
}
