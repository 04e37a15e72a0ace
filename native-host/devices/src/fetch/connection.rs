//! Connections as hyper's pool asks for them.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use capfs_devices::origin::{Origin, default_port};
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;

use crate::net::{ConnectError, Connector, NetStream};

/// What is offered to servers under TLS.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Makes connections for the pool.
#[derive(Clone)]
pub struct Service(pub Connector);

impl tower_service::Service<Uri> for Service {
    type Response = Pooled;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Pooled, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.0.clone();
        let scheme = uri.scheme_str().unwrap_or_default().to_owned();
        let origin = Origin {
            host: uri.host().unwrap_or_default().to_owned(),
            port: uri.port_u16().or(default_port(&scheme)).unwrap_or(0),
            scheme,
        };
        Box::pin(async move {
            let stream = connector.connect(&origin, PROTOCOLS).await?;
            Ok(Pooled(TokioIo::new(stream), Proven::default()))
        })
    }
}

/// Whether a connection has brought an answer. If it then breaks off, the server has tired of it.
#[derive(Clone, Default)]
pub struct Proven(Arc<AtomicBool>);

impl Proven {
    /// An answer has come.
    pub fn prove(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether there was one.
    pub fn is_proven(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection in the pool.
pub struct Pooled(TokioIo<NetStream>, Proven);

impl Connection for Pooled {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.1.clone());
        match self.0.inner().speaks_h2() {
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
