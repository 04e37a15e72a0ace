//! Requests, from the device's form to hyper's.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use capfs::Errno;
use capfs_devices::fetch::host::{Content, Failure, Hold, Request, RequestBody, Upload};
use capfs_devices::message::encoded;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue, USER_AGENT};

/// What servers are told of this client, unless the agent or the grant says something else.
const AGENT: &str = concat!("capfs/", env!("CARGO_PKG_VERSION"));

/// Kept by every part of a body that is on its way out. Nothing of it is left in this program when this is gone.
pub struct Sent {
    #[expect(dead_code, reason = "the request counts while it is here")]
    hold: Hold,
}

/// Makes a request of hyper's, and what tells whether its body, if it has one, was sent.
pub fn build(request: Request) -> Result<(hyper::Request<Outgoing>, Option<Weak<Sent>>), Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Errno::Inval, error.to_string());
    let (href, _) = request
        .url
        .href
        .split_once('#')
        .unwrap_or((&request.url.href, ""));
    let sent = match request.body {
        RequestBody::None => None,
        _ => Some(Arc::new(Sent { hold: request.hold })),
    };
    let upload = sent.as_ref().map(Arc::downgrade);
    let body = Outgoing::new(request.body, sent);
    let length = body.size_hint().exact();
    let mut made = hyper::Request::builder()
        .method(request.method.as_str())
        .uri(href)
        .body(body)
        .map_err(|error| invalid(&error))?;
    let headers = made.headers_mut();
    for (name, value) in request.headers {
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        let value = encoded(&value).ok_or_else(|| invalid(&"a header is no bytes"))?;
        let value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        headers.append(name, value);
    }
    headers.insert(
        ACCEPT_ENCODING,
        HeaderValue::from_static("gzip, deflate, br"),
    );
    let defaults = [
        (ACCEPT, HeaderValue::from_static("*/*")),
        (USER_AGENT, HeaderValue::from_static(AGENT)),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    // A method that has a body says so even where there is none (RFC 9110, section 8.6).
    if length == Some(0) && matches!(&*request.method, "POST" | "PUT" | "PATCH") {
        made.headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    Ok((made, upload))
}

/// The same request, where it may be sent again if nothing was answered: it changes nothing and has no body.
pub fn again(request: &hyper::Request<Outgoing>) -> Option<hyper::Request<Outgoing>> {
    let safe = request.method().is_safe() && request.body().is_end_stream();
    safe.then(|| {
        let mut again = hyper::Request::new(Outgoing::Whole(Bytes::new()));
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        again
    })
}

/// The body of a request.
pub enum Outgoing {
    /// All of it, until it is taken.
    Whole(Bytes),
    /// What is being written.
    Stream(Arc<dyn Upload>, Arc<Sent>),
}

impl Outgoing {
    fn new(body: RequestBody, sent: Option<Arc<Sent>>) -> Outgoing {
        match (body, sent) {
            (RequestBody::Whole(bytes), Some(sent)) => {
                Outgoing::Whole(Bytes::from_owner(Part { bytes, sent }))
            }
            (RequestBody::Stream(upload), Some(sent)) => Outgoing::Stream(upload, sent),
            _ => Outgoing::Whole(Bytes::new()),
        }
    }
}

/// Bytes of a body, wherever they are kept on their way.
struct Part<T> {
    bytes: T,
    #[expect(dead_code, reason = "the request counts while it is here")]
    sent: Arc<Sent>,
}

impl AsRef<[u8]> for Part<Content> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

/// A redirect may ask for them again.
impl AsRef<[u8]> for Part<Arc<Content>> {
    fn as_ref(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Outgoing::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Outgoing::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Outgoing::Stream(upload, sent) => upload.poll_chunk(context).map(|chunk| {
                chunk.map(|chunk| match chunk {
                    Ok(bytes) => {
                        let sent = sent.clone();
                        Ok(Frame::data(Bytes::from_owner(Part { bytes, sent })))
                    }
                    Err(errno) => Err(io::Error::other(errno)),
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Outgoing::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Outgoing::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Outgoing::Stream(..) => SizeHint::default(),
        }
    }
}
