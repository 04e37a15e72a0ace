//! What carries messages from one side to the other.

use capfs::{MaybeSend, MaybeSync};
use thiserror::Error;

/// The other side can't be reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the connection has ended")]
pub struct Ended;

/// One direction of a connection: what is sent arrives once, whole, and in order.
///
/// What arrives is pushed in by whoever owns the transport: [`Connection::receive`](crate::Connection::receive) takes it on the client's
/// side, [`Session::receive`](crate::Session::receive) on the server's; and so is that nothing comes any more, by `end` of both.
pub trait Transport: MaybeSend + MaybeSync {
    /// Sends a message. Never waits: what can't go out yet is kept by the transport, which may also deliver it on the spot.
    ///
    /// # Errors
    /// [`Ended`], also if it has ended without anybody having said so before
    fn send(&self, message: Vec<u8>) -> Result<(), Ended>;

    /// Bytes that were sent and that the other side hasn't taken yet, as far as this side can know. While they are many a [`Session`](crate::Session) does
    /// nothing that its client asks for; whoever owns the transport calls [`Session::advance`](crate::Session::advance) when they have become fewer.
    ///
    /// A transport that can't know says 0. Then it is the client that bounds what may wait for it, by
    /// [`ANSWERS_MAX`](crate::wire::ANSWERS_MAX), and must be trusted with that.
    fn waiting(&self) -> usize;
}
