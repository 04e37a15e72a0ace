//! How a connection becomes a WebSocket ([RFC 6455, section 4](https://www.rfc-editor.org/rfc/rfc6455#section-4)): asked for by hyper,
//! and looked at as browsers do. Servers and what stands before them write `Connection: keep-alive, Upgrade`, which the protocol's own code
//! doesn't take, and answer with extensions that nobody offered, which it does.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use capfs::Errno;
use capfs_devices::fetch::{RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX};
use capfs_devices::message::encoded;
use capfs_devices::ws::host::{Connect, Failure};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::upgrade::Parts;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::net::budget::{Budget, Turn};
use crate::net::{NetStream, failure};

/// Bytes that a server may send until the handshake is over: answers that are none (1xx), its headers, and what comes at once behind them.
const HANDSHAKE_MAX: usize = 4 * RESPONSE_HEADERS_MAX;

const ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const EXTENSIONS: HeaderName = HeaderName::from_static("sec-websocket-extensions");
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const PROTOCOL: HeaderName = HeaderName::from_static("sec-websocket-protocol");
const VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");

/// A connection that is a WebSocket.
pub struct Opened {
    pub stream: NetStream,
    /// What has been read of its frames already.
    pub read: Bytes,
    /// The sub-protocol that the server has chosen.
    pub protocol: String,
}

fn refused(text: impl Into<String>) -> Failure {
    Failure::new(Errno::Proto, text)
}

/// Asks a server for a WebSocket.
///
/// # Errors
/// - `EPROTO`: it answers something else, or what isn't HTTP, or more than [`HANDSHAKE_MAX`] bytes
/// - what the connection says
pub async fn open(stream: NetStream, wanted: &Connect) -> Result<Opened, Failure> {
    let key = generate_key();
    let request = request(wanted, &key)?;
    let mut builder = http1::Builder::new();
    // Names are the same in any writing (RFC 9110, section 5.1). Servers that know one alone know what most clients write.
    let builder = builder
        .title_case_headers(true)
        .max_headers(RESPONSE_FIELDS_MAX)
        .max_buf_size(RESPONSE_HEADERS_MAX);
    let shaken = builder.handshake(TokioIo::new(Shaking::new(stream))).await;
    let (mut sender, connection) = shaken.map_err(|error| failure(&error))?;
    let mut driver = Some(pin!(connection.with_upgrades()));
    let mut asked = pin!(async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| failure(&error))?;
        let protocol = check(&answer, &key, &wanted.protocols)?;
        let upgraded = hyper::upgrade::on(answer).await;
        let upgraded = upgraded.map_err(|error| failure(&error))?;
        Ok::<_, Failure>((protocol, upgraded))
    });
    let mut broken = None;
    let opened = poll_fn(|context| {
        if let Some(driving) = &mut driver
            && let Poll::Ready(ended) = driving.as_mut().poll(context)
        {
            // What came of it is told to whoever asked, unless it came before the question was taken.
            driver = None;
            broken = ended.err();
        }
        asked.as_mut().poll(context)
    })
    .await;
    let (protocol, upgraded) = match (opened, broken) {
        (Err(told), Some(error)) if told.errno == Errno::Connreset => return Err(failure(&error)),
        (opened, _) => opened?,
    };
    let parts = upgraded.downcast::<TokioIo<Shaking>>();
    let Parts { io, read_buf, .. } = parts.map_err(|_| refused("the connection is another"))?;
    Ok(Opened {
        stream: io.into_inner().stream,
        read: read_buf,
        protocol,
    })
}

/// A stream in its handshake, of which a server gets neither more than its turn nor more than it may send.
struct Shaking {
    stream: NetStream,
    left: Budget,
    turn: Turn,
}

impl Shaking {
    fn new(stream: NetStream) -> Shaking {
        Shaking {
            stream,
            left: Budget::new(HANDSHAKE_MAX as i64, 0, "bytes of a handshake"),
            turn: Turn::default(),
        }
    }
}

impl AsyncRead for Shaking {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let shaking = self.get_mut();
        ready!(shaking.turn.poll(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut shaking.stream).poll_read(context, buffer);
        if read.is_pending() {
            shaking.turn = Turn::default();
        }
        ready!(read)?;
        let bytes = buffer.filled().len() - before;
        shaking.turn.took(bytes);
        shaking.left.take(bytes)?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shaking {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

fn request(wanted: &Connect, key: &str) -> Result<Request<String>, Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Errno::Inval, error.to_string());
    let uri = Uri::try_from(&*wanted.url.href).map_err(|error| invalid(&error))?;
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::new(String::new());
    *request.uri_mut() = Uri::try_from(path).map_err(|error| invalid(&error))?;
    let headers = request.headers_mut();
    let own = [
        (HOST, authority.to_owned()),
        (CONNECTION, "Upgrade".to_owned()),
        (UPGRADE, "websocket".to_owned()),
        (VERSION, "13".to_owned()),
        (KEY, key.to_owned()),
    ];
    for (name, value) in own {
        let value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        headers.insert(name, value);
    }
    if !wanted.protocols.is_empty() {
        let value = HeaderValue::try_from(wanted.protocols.join(", "));
        headers.insert(PROTOCOL, value.map_err(|error| invalid(&error))?);
    }
    for (name, value) in &wanted.headers {
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        let value = encoded(value).ok_or_else(|| invalid(&"a header is no bytes"))?;
        let value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        headers.append(name, value);
    }
    Ok(request)
}

/// Whether one of the values of a header, each of which may be a list, is this word.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let mut words = headers.get_all(name).iter();
    words.any(|line| {
        let mut words = line.as_bytes().split(|byte| *byte == b',');
        words.any(|word| word.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

/// The value of a header that is there once, or not at all.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Failure> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line.map(|line| line.as_bytes().trim_ascii())),
        (_, Some(_)) => Err(refused(format!("the server sends `{name}` twice"))),
    }
}

/// That an answer is the one to a handshake with this key; the sub-protocol that it has chosen.
fn check<B>(answer: &Response<B>, key: &str, offered: &[String]) -> Result<String, Failure> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refused(format!("the server answers {}", answer.status())));
    }
    let headers = answer.headers();
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(refused("the server's answer doesn't lead to a WebSocket"));
    }
    if single(headers, &ACCEPT)? != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(refused("the server's answer is to another handshake"));
    }
    if headers.contains_key(&EXTENSIONS) {
        return Err(refused(
            "the server speaks an extension that was not offered",
        ));
    }
    let chosen = single(headers, &PROTOCOL)?.map(|chosen| String::from_utf8_lossy(chosen));
    match chosen {
        Some(chosen) if offered.iter().any(|offered| *offered == chosen) => Ok(chosen.into_owned()),
        Some(_) => Err(refused(
            "the server speaks a sub-protocol that was not offered",
        )),
        None => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// The answer of RFC 6455, section 1.3.
    const RIGHT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn checked(lines: &[(&str, &str)]) -> Result<String, String> {
        let mut answer = Response::builder().status(101);
        for (name, value) in lines {
            answer = answer.header(*name, *value);
        }
        let answer = answer.body(()).unwrap();
        check(&answer, ASKED, &["chat".to_owned()]).map_err(|failure| failure.text)
    }

    #[test]
    fn answers_are_taken_as_browsers_take_them() {
        let accept = ("sec-websocket-accept", RIGHT);
        let upgrade = ("upgrade", "WebSocket");
        for lines in [
            &[("connection", "Upgrade"), upgrade, accept][..],
            &[("connection", "keep-alive, Upgrade"), upgrade, accept],
            &[
                ("connection", "keep-alive"),
                ("connection", "upgrade"),
                upgrade,
                accept,
            ],
            &[
                ("connection", ",UPGRADE ,"),
                ("upgrade", "x, websocket"),
                accept,
            ],
        ] {
            assert_eq!(checked(lines), Ok(String::new()), "{lines:?}");
        }
        let connection = ("connection", "Upgrade");
        let chat = ("sec-websocket-protocol", "chat");
        assert_eq!(
            checked(&[connection, upgrade, accept, chat]),
            Ok("chat".to_owned())
        );
        for lines in [
            &[("connection", "upgraded"), upgrade, accept][..],
            &[connection, ("upgrade", "h2c"), accept],
            &[upgrade, accept],
            &[connection, upgrade],
            &[connection, upgrade, accept, accept],
            &[
                connection,
                upgrade,
                ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="),
            ],
            &[
                connection,
                upgrade,
                accept,
                ("sec-websocket-extensions", "x-foo"),
            ],
            &[
                connection,
                upgrade,
                accept,
                ("sec-websocket-protocol", "other"),
            ],
            &[connection, upgrade, accept, chat, chat],
        ] {
            assert!(checked(lines).is_err(), "{lines:?}");
        }
    }
}
