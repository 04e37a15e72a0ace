//! Connections as hyper's pool asks for them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use capfs::device::parts::lock;
use capfs_devices::origin::{Origin, default_port};
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::H2_STREAM_WINDOW;
use super::frames::Frames;
use crate::net::budget::{Budget, Flood, Turn};
use crate::net::{ConnectError, Connector, NetStream};

/// What is offered to servers under TLS.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Bytes that a server may send without giving anything for them: what it sends ahead of the agent (hyper's buffer), and headers, which
/// it gives when they are complete, have room in it; answers that are none (1xx), frames that say nothing, trailers use it up.
const UNASKED_BURST: i64 = 2 << 20;
const UNASKED_BURST_H2: i64 = 16 << 20;

/// Bytes that come to it over HTTP/2 with each request that is under way: what fills the window of its answer, in frames of 1 KiB or more.
/// What such an answer makes this host hold is charged with the request.
pub const ROOM_OF_REQUEST: usize = H2_STREAM_WINDOW as usize / 1024 * (1024 + FRAME);

/// Bytes of it that come back each second.
const UNASKED_PER_SECOND: i64 = 1 << 20;

/// What a frame of HTTP/2 costs of it beside its bytes: pings, settings, windows, empty data and the like are few bytes each, and
/// as much work as a small message.
const FRAME: usize = 512;

/// What may be around the bytes of a message that are given to an agent, in HTTP/1.1's framing, and in HTTP/2's with its padding.
const AROUND: usize = 16;
const AROUND_H2: usize = FRAME + 9 + 256;

/// Bytes that are sent for one that is given back: a server says how far it has come with what it is sent.
const SENT_FOR_ONE: usize = 4;

/// How long a server has to take what is left when a connection is closed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// The header that says how long a body is, and what it can't say to the client: two numbers stand there for bodies without a length.
const CONTENT_LENGTH: &[u8] = b"content-length";
const LENGTH_MAX: u64 = u64::MAX - 1;

/// Bytes of the beginning of an HTTP/1.1 answer that are kept, to tell what was wrong with it.
const BEGINNING: usize = 2 << 10;

/// Makes connections for the pool.
#[derive(Clone)]
pub struct Service {
    connector: Connector,
    /// Connections that there are.
    open: Arc<AtomicUsize>,
}

impl Service {
    /// Makes connections by this connector.
    pub fn new(connector: Connector) -> Service {
        Service {
            connector,
            open: Arc::default(),
        }
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl tower_service::Service<Uri> for Service {
    type Response = Pooled;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Pooled, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connector, open) = (self.connector.clone(), self.open.clone());
        let scheme = uri.scheme_str().unwrap_or_default().to_owned();
        let origin = Origin {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().or(default_port(&scheme)).unwrap_or(0),
            scheme,
        };
        Box::pin(async move {
            let stream = connector.connect(&origin, PROTOCOLS).await?;
            open.fetch_add(1, Ordering::Relaxed);
            let h2 = stream.speaks_h2();
            let watched = Watched {
                stream,
                line: Line::new(h2),
                frames: h2.then(Frames::default),
                turn: Turn::default(),
                asked: true,
                shutdown: None,
                open,
            };
            Ok(Pooled(TokioIo::new(watched)))
        })
    }
}

/// What is known of a connection beside its bytes.
#[derive(Clone, Debug)]
pub struct Line(Arc<LineState>);

#[derive(Debug)]
struct LineState {
    /// It has brought an answer. If it then breaks off, the server has tired of it.
    proven: AtomicBool,
    cut: AtomicBool,
    /// Who drives the connection.
    driver: Mutex<Option<Waker>>,
    unasked: Budget,
    h2: bool,
    /// What is given back beside the bytes of a message.
    around: usize,
    /// What it was broken off for: over HTTP/2 its requests learn no more than that it was.
    flood: OnceLock<Flood>,
    /// How the last answer of HTTP/1.1 begins, as far as it came at once.
    beginning: Mutex<Vec<u8>>,
}

impl Line {
    fn new(h2: bool) -> Line {
        let (burst, around, what) = match h2 {
            true => (UNASKED_BURST_H2, AROUND_H2, "bytes and frames of 512 bytes"),
            false => (UNASKED_BURST, AROUND, "bytes"),
        };
        Line(Arc::new(LineState {
            proven: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            driver: Mutex::default(),
            unasked: Budget::new(burst, UNASKED_PER_SECOND, what),
            h2,
            around,
            flood: OnceLock::new(),
            beginning: Mutex::default(),
        }))
    }

    /// A request goes by it, which isn't the only one if it is HTTP/2's: then what its answer may bring is no other's.
    pub fn room(&self) -> Option<Room> {
        self.0.h2.then(|| {
            self.0.unasked.widen(ROOM_OF_REQUEST as i64);
            Room(self.clone())
        })
    }

    /// An answer has come.
    pub fn prove(&self) {
        self.0.proven.store(true, Ordering::Relaxed);
    }

    /// Whether there was one.
    pub fn is_proven(&self) -> bool {
        self.0.proven.load(Ordering::Relaxed)
    }

    /// A part of a message, of so many bytes, was given to an agent, or given up by it.
    pub fn given(&self, bytes: usize) {
        self.0.unasked.give(bytes + self.0.around);
    }

    /// The flood that it was broken off for, if it was.
    pub fn flood(&self) -> Option<&Flood> {
        self.0.flood.get()
    }

    /// An answer of HTTP/1.1 begins.
    fn begins(&self, bytes: &[u8]) {
        let mut beginning = lock(&self.0.beginning);
        beginning.clear();
        beginning.extend_from_slice(&bytes[..bytes.len().min(BEGINNING)]);
    }

    /// Whether the last answer says that it is so long that its end can't be counted, which the client has no error of its own for.
    pub fn has_impossible_length(&self) -> bool {
        let beginning = lock(&self.0.beginning);
        let mut fields = beginning
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .take_while(|line| !line.is_empty());
        fields.any(|line| {
            let Some((name, value)) = line.split_at_checked(CONTENT_LENGTH.len()) else {
                return false;
            };
            let value = value.strip_prefix(b":").map(<[u8]>::trim_ascii);
            let digits = value.and_then(|value| str::from_utf8(value).ok());
            let mut members = digits.unwrap_or_default().split(',');
            let longest = |digits: &str| {
                digits
                    .trim()
                    .parse()
                    .is_ok_and(|length: u64| length >= LENGTH_MAX)
            };
            name.eq_ignore_ascii_case(CONTENT_LENGTH) && members.any(longest)
        })
    }

    /// So many bytes came, and of HTTP/2 so many frames.
    fn came(&self, bytes: usize, frames: usize) -> Result<(), Flood> {
        let taken = self.0.unasked.take(bytes + frames * FRAME);
        taken.inspect_err(|flood| {
            let _ = self.0.flood.set(flood.clone());
        })
    }

    /// So many bytes were sent.
    fn sent(&self, bytes: usize) {
        self.0.unasked.give(bytes / SENT_FOR_ONE);
    }

    /// Breaks the connection off, with all that goes through it.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        let driver = lock(&self.0.driver).take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// That it wasn't broken off.
    fn check(&self) -> io::Result<()> {
        match self.0.cut.load(Ordering::Acquire) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }

    /// Whoever waits is woken when it is broken off; `Err` if it was meanwhile.
    fn wait(&self, context: &Context<'_>) -> io::Result<()> {
        {
            let mut driver = lock(&self.0.driver);
            match &mut *driver {
                Some(waker) => waker.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
        }
        self.check()
    }
}

/// The room that one request has on its connection, for as long as this is there.
#[derive(Debug)]
pub struct Room(Line);

impl Room {
    /// Whether it is on this connection.
    pub fn is_on(&self, line: &Line) -> bool {
        Arc::ptr_eq(&self.0.0, &line.0)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.0.0.unasked.narrow(ROOM_OF_REQUEST as i64);
    }
}

/// A stream whose server is watched.
struct Watched {
    stream: NetStream,
    line: Line,
    /// Of HTTP/2.
    frames: Option<Frames>,
    turn: Turn,
    /// Something was sent since something came.
    asked: bool,
    /// When there was enough time for closing.
    shutdown: Option<Pin<Box<Sleep>>>,
    open: Arc<AtomicUsize>,
}

impl Watched {
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let (Some(_), Poll::Ready(Ok(count))) = (&self.frames, &written) {
            self.line.sent(*count);
        }
        written
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        watched.line.check()?;
        ready!(watched.turn.poll(context));
        let before = buffer.filled().len();
        let read = Pin::new(&mut watched.stream).poll_read(context, buffer);
        match read {
            Poll::Ready(Ok(())) => {
                let bytes = &buffer.filled()[before..];
                watched.turn.took(bytes.len());
                if std::mem::take(&mut watched.asked) && watched.frames.is_none() {
                    watched.line.begins(bytes);
                }
                let frames = watched.frames.as_mut();
                let frames = frames.map_or(0, |frames| frames.see(bytes));
                watched.line.came(bytes.len(), frames)?;
            }
            Poll::Pending => {
                watched.turn = Turn::default();
                watched.line.wait(context)?;
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        watched.line.check()?;
        let written = Pin::new(&mut watched.stream).poll_write(context, bytes);
        watched.wrote(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        watched.line.check()?;
        let written = Pin::new(&mut watched.stream).poll_write_vectored(context, parts);
        watched.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        watched.line.check()?;
        Pin::new(&mut watched.stream).poll_flush(context)
    }

    /// Under TLS what is left is sent first, which a server that takes nothing would put off for ever.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let watched = self.get_mut();
        watched.line.check()?;
        let closed = Pin::new(&mut watched.stream).poll_shutdown(context);
        if closed.is_ready() {
            return closed;
        }
        let patience = || Box::pin(tokio::time::sleep(SHUTDOWN_PATIENCE));
        let patience = watched.shutdown.get_or_insert_with(patience);
        let elapsed = patience.as_mut().poll(context);
        elapsed.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// A connection in the pool.
pub struct Pooled(TokioIo<Watched>);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        let watched = self.0.inner();
        let connected = Connected::new().extra(watched.line.clone());
        match watched.stream.speaks_h2() {
            true => connected.negotiated_h2(),
            false => connected,
        }
    }
}

impl Read for Pooled {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl Write for Pooled {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}
