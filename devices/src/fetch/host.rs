//! What a host does for `/cap/fetch`: it sends requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use capfs::account::{Account, Charge};
use capfs::{BoxedFuture, Errno, GuestSink, MaybeSend, MaybeSync};

use crate::address::Addresses;
pub use crate::outside::{Failure, Hold, Outside};
use crate::url::Url;

/// What `/cap/fetch` asks of its host.
pub trait Host: Outside {
    /// Makes what sends the requests of one device; it asks `addresses` before it connects, where it can tell.
    fn client(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Client>;

    /// What this host can do.
    fn abilities(&self) -> Abilities;
}

/// Where hosts differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Redirects can be seen. Otherwise [`Redirect::Follow`] and [`Redirect::Refuse`] are all that can be asked for.
    pub sees_redirects: bool,
    /// A request's body can be sent while it is being written.
    pub streams_requests: bool,
}

/// Sends requests.
pub trait Client: MaybeSend + MaybeSync + 'static {
    /// Sends a request; the future ends when the headers of the response are in. Dropping it gives the request up.
    ///
    /// # Errors
    /// - `EACCES`: the address may not be connected to
    /// - `ECONNREFUSED`, `ECONNRESET`, `EHOSTUNREACH`, `ETIMEDOUT`, `EIO`: what the network says
    /// - `ENOMEM`: the account has no room for what the answer needs
    /// - `EPROTO`: no HTTP, or no TLS, as it should be
    /// - `EMSGSIZE`: headers of more than [`RESPONSE_HEADERS_MAX`](super::RESPONSE_HEADERS_MAX) bytes, or
    ///   [`RESPONSE_FIELDS_MAX`](super::RESPONSE_FIELDS_MAX) of them, where the host counts them
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>>;
}

/// What to do with a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// Nothing: it is a response.
    Show,
    /// To follow it.
    Follow,
    /// To fail.
    Refuse,
}

/// A request, checked.
pub struct Request {
    /// Where to.
    pub url: Url,
    /// A token, in upper case where it is one of the standard's.
    pub method: String,
    /// Names and values, which have been checked.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: RequestBody,
    /// What to do with a redirect.
    pub redirect: Redirect,
    /// Kept with whatever is left of the body on its way out: as long as that is so, the request counts.
    pub hold: Hold,
    /// What the host holds for the answer beyond [`RECEIVE_WINDOW`](super::RECEIVE_WINDOW) and
    /// [`DECODING`](super::DECODING) is charged to this before it is allocated.
    pub account: Account,
}

/// The body of a request.
#[derive(Clone)]
pub enum RequestBody {
    /// There is none.
    None,
    /// All of it.
    Whole(Arc<Content>),
    /// It is still being written; only where the host [streams requests](Abilities::streams_requests).
    Stream(Arc<dyn Upload>),
}

/// Bytes of the body of a request, all of them or the next. They are charged until they go.
pub struct Content {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl From<(Vec<u8>, Charge)> for Content {
    fn from((bytes, charge): (Vec<u8>, Charge)) -> Content {
        Content {
            bytes,
            _charge: charge,
        }
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that is being written.
pub trait Upload: MaybeSend + MaybeSync + 'static {
    /// The next bytes, to be kept as [`Content`] until they are sent: so long they are charged. `None` at the end.
    ///
    /// # Errors
    /// The request is to be given up: there will be no end.
    fn poll_chunk(&self, context: &mut Context<'_>) -> Poll<Option<Result<Content, Errno>>>;
}

/// The headers of a response, and its body to come.
pub struct Response {
    /// Whose response it is, after redirects that the host followed; `None` where it follows none.
    pub url: Option<String>,
    /// The host has followed redirects, at least one, without showing them.
    pub redirected: bool,
    /// 100 to 599; 0 for a redirect that the host can't show.
    pub status: u16,
    /// The words behind the status, if the server sent any.
    pub reason: String,
    /// Names in lower case, in the server's order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn ResponseBody>,
}

/// A body that is being received. Dropping it gives up the rest.
pub trait ResponseBody: MaybeSend {
    /// Gives the next bytes, decompressed; 0 is the end.
    ///
    /// # Errors
    /// - `ECONNRESET`, `EIO`: it ended before its end
    /// - `EPROTO`: it can't be decompressed
    /// - `ENOMEM`: the account has no room for what it is decompressed in
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Failure>>;

    /// Waits for bytes and tells how many there are, at least; 0 is the end.
    ///
    /// # Errors
    /// As [`ResponseBody::poll_read`].
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Failure>>;
}
