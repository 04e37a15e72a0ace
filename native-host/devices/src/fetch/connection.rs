//! Connections as hyper's pool asks for them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
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

use crate::net::budget::{Budget, Turn};
use crate::net::{ConnectError, Connector, NetStream};

/// What is offered to servers under TLS.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Bytes that a server may send without giving anything for them: what it sends ahead of the agent (hyper's buffer, over HTTP/2 the
/// windows), and headers, which it gives when they are complete, have room in it; answers that are none (1xx), frames that say nothing,
/// trailers use it up.
const UNASKED_BURST: i64 = 2 << 20;
const UNASKED_BURST_H2: i64 = 16 << 20;

/// Bytes of it that come back each second.
const UNASKED_PER_SECOND: i64 = 1 << 20;

/// How long a server has to take what is left when a connection is closed.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

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
            let burst = match stream.speaks_h2() {
                true => UNASKED_BURST_H2,
                false => UNASKED_BURST,
            };
            let watched = Watched {
                stream,
                line: Line::new(burst),
                turn: Turn::default(),
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
}

impl Line {
    fn new(burst: i64) -> Line {
        Line(Arc::new(LineState {
            proven: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            driver: Mutex::default(),
            unasked: Budget::new(burst, UNASKED_PER_SECOND, "bytes"),
        }))
    }

    /// An answer has come.
    pub fn prove(&self) {
        self.0.proven.store(true, Ordering::Relaxed);
    }

    /// Whether there was one.
    pub fn is_proven(&self) -> bool {
        self.0.proven.load(Ordering::Relaxed)
    }

    /// So many bytes of what came were given to an agent, or given up by it.
    pub fn given(&self, bytes: usize) {
        self.0.unasked.give(bytes);
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

/// A stream whose server is watched.
struct Watched {
    stream: NetStream,
    line: Line,
    turn: Turn,
    /// When there was enough time for closing.
    shutdown: Option<Pin<Box<Sleep>>>,
    open: Arc<AtomicUsize>,
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
                let count = buffer.filled().len() - before;
                watched.turn.took(count);
                watched.line.0.unasked.take(count)?;
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
        Pin::new(&mut watched.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let watched = self.get_mut();
        watched.line.check()?;
        Pin::new(&mut watched.stream).poll_write_vectored(context, parts)
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
