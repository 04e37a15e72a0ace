//! HTTP natively: hyper over connections of our own.

mod body;
mod connection;
mod decode;
mod request;

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use capfs::{BoxedFuture, Errno};
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::{Abilities, Client, Failure, Host, Request, Response};
use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinHandle;

use crate::net::{ConnectError, Connector, Net, Network, errno_of};
use body::Body;
use connection::{Proven, Service};
use request::Outgoing;

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// Connections that are kept for one origin.
const IDLE_PER_ORIGIN: usize = 8;

/// Bytes that a server may send ahead of the agent, over HTTP/2: of one response, and of all of a connection.
const H2_STREAM_WINDOW: u32 = 2 << 20;
const H2_CONNECTION_WINDOW: u32 = 8 << 20;

impl Host for Net {
    fn client(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Client> {
        let service = Service(Connector::new(self.0.clone(), addresses));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_ORIGIN)
            .http2_initial_stream_window_size(H2_STREAM_WINDOW)
            .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
            .build(service);
        Arc::new(NativeClient {
            network: self.0.clone(),
            client,
        })
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            sees_redirects: true,
            streams_requests: true,
        }
    }
}

/// The connections of one device.
struct NativeClient {
    network: Network,
    client: legacy::Client<Service, Outgoing>,
}

impl Client for NativeClient {
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>> {
        let head = request.method == "HEAD";
        let sending = request::build(request).and_then(|request| {
            let handle = self.network.handle().map_err(|error| {
                let text = error.to_string();
                Failure::new(Errno::Nfile, text)
            })?;
            Ok(Aborting(handle.spawn(ask(self.client.clone(), request))))
        });
        Box::pin(async move {
            let mut sending = sending?;
            let answered = (&mut sending.0).await;
            let answered = answered.map_err(|error| Failure::new(Errno::Io, error.to_string()))?;
            let (parts, body) = answered.map_err(|error| failure(&error))?.into_parts();
            let headers = parts.headers.iter();
            let headers: Vec<_> = headers
                .map(|(name, value)| {
                    // As browsers do: a byte is a character.
                    let value = value.as_bytes().iter().map(|byte| char::from(*byte));
                    (name.as_str().to_owned(), value.collect())
                })
                .collect();
            let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>();
            let reason =
                reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
            Ok(Response {
                url: None,
                status: parts.status.as_u16(),
                reason: reason.unwrap_or_default(),
                body: Box::new(Body::new(body, &headers, head)),
                headers,
            })
        })
    }
}

/// Sends a request, and once more if nothing has been said on a connection that was kept and that the server has left
/// meanwhile (RFC 9112, section 9.3.1), where doing it twice is as good as once.
async fn ask(
    client: legacy::Client<Service, Outgoing>,
    mut request: hyper::Request<Outgoing>,
) -> Result<hyper::Response<hyper::body::Incoming>, legacy::Error> {
    let again = request::again(&request);
    let used = capture_connection(&mut request);
    let answered = client.request(request).await;
    let answered = match (answered, again) {
        (Err(error), Some(again)) if broke_off(&error) && was_kept(&used) => {
            client.request(again).await
        }
        (answered, _) => answered,
    };
    if let Ok(answer) = &answered
        && let Some(proven) = answer.extensions().get::<Proven>()
    {
        proven.prove();
    }
    answered
}

/// Whether a connection ended before it said anything.
fn broke_off(error: &legacy::Error) -> bool {
    !error.is_connect() && failure(error).errno == Errno::Connreset
}

fn was_kept(used: &CaptureConnection) -> bool {
    let Some(connection) = &*used.connection_metadata() else {
        return false;
    };
    let mut known = Extensions::new();
    connection.get_extras(&mut known);
    known.get::<Proven>().is_some_and(Proven::is_proven)
}

/// A task that is given up when nobody waits for it.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an agent learns of an error, from the first of its causes that says more than "it failed".
fn failure(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            return error.failure();
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && let Some(errno) = errno_of_http(error)
        {
            return Failure::new(errno, error.to_string());
        }
        if let Some(error) = error.downcast_ref::<io::Error>()
            && error.kind() != io::ErrorKind::Other
        {
            return Failure::new(errno_of(error), error.to_string());
        }
        cause = error.source();
    }
    Failure::new(Errno::Io, error.to_string())
}

fn errno_of_http(error: &hyper::Error) -> Option<Errno> {
    if error.is_parse() {
        Some(Errno::Proto)
    } else if error.is_incomplete_message() || error.is_closed() {
        Some(Errno::Connreset)
    } else if error.is_timeout() {
        Some(Errno::Timedout)
    } else if error.is_canceled() {
        Some(Errno::Canceled)
    } else {
        None
    }
}
