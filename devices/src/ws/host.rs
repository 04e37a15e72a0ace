//! What a host does for `/cap/ws`: it opens sockets.

use std::sync::Arc;

use capfs::account::Charge;
use capfs::{BoxedFuture, GuestSink, MaybeSend, MaybeSync};

use crate::address::Addresses;
pub use crate::outside::{Failure, Hold, Outside};
use crate::url::Url;

/// What `/cap/ws` asks of its host.
pub trait Host: Outside {
    /// Makes what opens the sockets of one device; it asks `addresses` before it connects, where it can tell.
    fn connector(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Connector>;

    /// Whether headers can be added to the handshake.
    fn adds_headers(&self) -> bool;

    /// Bytes that it keeps of what was received and not read, before the message that goes beyond them: there it stops receiving, or
    /// closes the connection. Each connection is charged for them.
    fn receives(&self) -> usize;
}

/// Opens sockets.
pub trait Connector: MaybeSend + MaybeSync + 'static {
    /// Connects; the future ends when the handshake has. Dropping it gives up.
    ///
    /// # Errors
    /// - `EACCES`: the address may not be connected to
    /// - `ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`, `ETIMEDOUT`, `EIO`: what the network says
    /// - `EPROTO`: the server speaks no WebSocket, or no TLS, as it should
    fn connect(&self, request: Connect) -> BoxedFuture<Result<Connected, Failure>>;
}

/// What to connect to.
pub struct Connect {
    /// The server.
    pub url: Url,
    /// Sub-protocols, the preferred one first.
    pub protocols: Vec<String>,
    /// Headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// Bytes of a message, in either direction, at most.
    pub max_message: usize,
    /// Who is told of what happens.
    pub events: Arc<dyn Events>,
    /// For what the connection may have under way: it is dropped when nothing of it is left, whatever the agent has let go of.
    pub charge: Charge,
    /// Kept until nothing is left of the connection: while it ends, it still counts.
    pub hold: Hold,
}

/// Who is told that there may be a message, room, or an end.
pub trait Events: MaybeSend + MaybeSync + 'static {
    /// Something has changed. Called without a lock of the socket's.
    fn changed(&self);
}

/// A socket whose handshake has succeeded.
pub struct Connected {
    /// The sub-protocol that the server has chosen; empty if none.
    pub protocol: String,
    /// This side's address, as `host!port`; empty where it isn't known.
    pub local: String,
    /// The other side's address, as `host!port`.
    pub remote: String,
    /// The socket.
    pub socket: Arc<dyn Socket>,
}

/// An open socket. No call waits; [`Events::changed`] says when it is worth to call again. Dropping it breaks the
/// connection off, or, if it was being closed, leaves it [`LINGER`](super::LINGER) to end as it should.
pub trait Socket: MaybeSend + MaybeSync + 'static {
    /// Takes the next message, if one is there.
    fn receive(&self) -> Option<Message>;

    /// Bytes of the next message, if one is there.
    fn waiting(&self) -> Option<usize>;

    /// Whether a message can be sent now.
    fn has_room(&self) -> bool;

    /// Sends a message; there must be [room](Socket::has_room). A text is UTF-8.
    ///
    /// # Errors
    /// `EPIPE`: the socket is closed
    fn send(&self, kind: Kind, message: Vec<u8>) -> Result<(), Failure>;

    /// Begins to close, behind what was sent: messages that were received can still be taken. A connection that hasn't ended
    /// [`LINGER`](super::LINGER) later is broken off.
    fn close(&self, code: u16, reason: &str);

    /// Whether it is open, and how it ended.
    fn status(&self) -> Status;
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

/// A message that was received.
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Box<dyn Payload>,
}

/// The bytes of a message, wherever they are.
pub trait Payload: MaybeSend {
    /// How many there are.
    fn length(&self) -> usize;

    /// Puts bytes from `at` on into `sink`, as many as fit, and returns how many.
    fn put(&self, at: usize, sink: &mut dyn GuestSink) -> usize;
}

/// Where a socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Messages go both ways.
    Open,
    /// The closing handshake is under way: nothing more can be sent.
    Closing,
    /// Both sides have said that they close: with this code, 1005 where none was given, and this reason.
    Closed {
        /// The code.
        code: u16,
        /// The reason.
        reason: String,
    },
    /// It was broken off.
    Failed(Failure),
}
