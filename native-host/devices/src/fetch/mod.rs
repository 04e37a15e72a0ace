//! HTTP natively: hyper over connections of our own.

mod body;
mod connection;
mod decode;
mod frames;
mod request;

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use capfs::account::Account;
use capfs::device::parts::lock;
use capfs::{BoxedFuture, Errno};
use capfs_devices::address::Addresses;
use capfs_devices::fetch::host::{Abilities, Client, Failure, Host, Request, Response};
use capfs_devices::fetch::{
    CONVERSATIONS_MAX, LINGER, RECEIVE_WINDOW, RESPONSE_FIELDS_MAX, RESPONSE_HEADERS_MAX,
};
use capfs_devices::message::decoded;
use hyper::http::Extensions;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::rt::TokioTimer;
use tokio::runtime::Handle;

use crate::net::{self, Connector, Net, Network};
use body::{Body, Incoming};
use connection::{Line, Room, Service};
use request::{Outgoing, Sent};

/// How long a connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// Connections that are kept for one origin.
const IDLE_PER_ORIGIN: usize = 8;

/// Bytes that a server may send ahead of the agent, over HTTP/2: of one response, and of all of a connection. Each request is charged
/// for those of its own response, so all that there can be have room together: one that nobody reads keeps no other from being answered.
const H2_STREAM_WINDOW: u32 = RECEIVE_WINDOW as u32;
const H2_CONNECTION_WINDOW: u32 = (CONVERSATIONS_MAX * RECEIVE_WINDOW) as u32;

/// Bytes of headers over HTTP/2, where each counts for 32 more (RFC 9113, section 6.5.2). It is more than is taken, so that the error can
/// say what is.
const H2_HEADERS_MAX: u32 = 2 * (RESPONSE_HEADERS_MAX + 32 * RESPONSE_FIELDS_MAX) as u32;

/// Connections of one device that are kept at all. With one more, those that nobody uses are closed.
const KEPT_MAX: usize = 64;

impl Host for Net {
    fn client(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn Client> {
        let service = Service::new(Connector::new(self.0.clone(), addresses));
        Arc::new(NativeClient {
            network: self.0.clone(),
            service,
            pool: Mutex::default(),
        })
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            sees_redirects: true,
            streams_requests: true,
        }
    }
}

type Pool = legacy::Client<Service, Outgoing>;

/// The connections of one device.
struct NativeClient {
    network: Network,
    service: Service,
    pool: Mutex<Option<Pool>>,
}

impl NativeClient {
    /// The pool. Requests that are under way keep the one that they began with, and so their connections.
    fn pool(&self, handle: &Handle) -> Pool {
        let mut pool = lock(&self.pool);
        if self.service.open() > KEPT_MAX {
            *pool = None;
        }
        let made = || {
            legacy::Client::builder(Spawner(handle.clone()))
                .pool_timer(TokioTimer::new())
                .timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_PER_ORIGIN)
                .http1_max_headers(RESPONSE_FIELDS_MAX)
                // As browsers do (RFC 9112, section 5.2).
                .http1_allow_obsolete_multiline_headers_in_responses(true)
                .http2_initial_stream_window_size(H2_STREAM_WINDOW)
                .http2_initial_connection_window_size(H2_CONNECTION_WINDOW)
                .http2_max_header_list_size(H2_HEADERS_MAX)
                .build(self.service.clone())
        };
        pool.get_or_insert_with(made).clone()
    }
}

/// Runs hyper's tasks, whichever thread they are begun by.
#[derive(Clone)]
struct Spawner(Handle);

impl<F> hyper::rt::Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

impl Client for NativeClient {
    /// The request is sent by whoever polls it, so that nobody else has to be woken for it.
    fn send(&self, request: Request) -> BoxedFuture<Result<Response, Failure>> {
        let head = request.method == "HEAD";
        let sending = self.network.handle().map_err(|error| {
            let text = error.to_string();
            Failure::new(Errno::Nfile, text)
        });
        let sending = sending.and_then(|handle| {
            let account = request.account.clone();
            let (request, upload) = request::build(request)?;
            let pool = self.pool(handle);
            let answering = ask(pool, handle.clone(), request, upload, (head, account));
            Ok(Entered::new(handle.clone(), Box::pin(answering)))
        });
        match sending {
            Ok(sending) => Box::pin(sending),
            Err(failure) => Box::pin(std::future::ready(Err(failure))),
        }
    }
}

/// Sends a request, and once more if nothing has been said on a connection that was kept and that the server has left
/// meanwhile (RFC 9112, section 9.3.1), where doing it twice is as good as once.
async fn ask(
    client: Pool,
    handle: Handle,
    mut request: hyper::Request<Outgoing>,
    upload: Option<Weak<Sent>>,
    (head, account): (bool, Account),
) -> Result<Response, Failure> {
    let again = request::again(&request);
    let used = capture_connection(&mut request);
    let lingering = upload.map(|upload| {
        Box::new(Lingering {
            upload,
            handle,
            used: used.clone(),
        })
    });
    let mut room = None;
    let answered = match send(&client, request, &used, &mut room).await {
        Ok(answered) => answered,
        Err(error) => {
            let line = line_of(&used);
            match again {
                Some(mut again) if broke_off(&error, line.as_ref()) => {
                    room = None;
                    let used = capture_connection(&mut again);
                    let answered = send(&client, again, &used, &mut room).await;
                    answered.map_err(|error| failure(&error, line_of(&used).as_ref()))?
                }
                _ => return Err(failure(&error, line.as_ref())),
            }
        }
    };
    let (mut parts, body) = answered.into_parts();
    // Nobody offered one (RFC 9110, section 7.8).
    if parts.status == hyper::StatusCode::SWITCHING_PROTOCOLS {
        let text = "the server switches to a protocol that it was not asked for";
        return Err(Failure::new(Errno::Proto, text));
    }
    let line = parts.extensions.remove::<Line>();
    if let Some(line) = &line {
        line.prove();
        // The pool may have taken another one in the end.
        if !room.as_ref().is_some_and(|room: &Room| room.is_on(line)) {
            room = line.room();
        }
    }
    let headers: Vec<(String, String)> = parts
        .headers
        .iter()
        // Around a value there may be white space (RFC 9110, section 5.5), which over HTTP/2 the client leaves.
        .map(|(name, value)| (name.as_str(), decoded(value.as_bytes().trim_ascii())))
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let length = |(name, value): &(String, String)| name.len() + value.len();
    if let Some(line) = &line {
        line.given(headers.iter().map(length).sum());
    }
    // They end with their headers (RFC 9112, section 6.3), also where a server sends more over HTTP/2; what is behind those of a 205 is
    // none (RFC 9110, section 15.3.6; Fetch, null body status).
    let bodiless = head || matches!(parts.status.as_u16(), 204 | 205 | 304);
    let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
    Ok(Response {
        url: None,
        redirected: false,
        status: parts.status.as_u16(),
        reason: reason.unwrap_or_default(),
        body: Box::new(Body::new(
            Incoming::new(body, parts.version, line, room, lingering),
            &headers,
            bodiless,
            &account,
        )),
        headers,
    })
}

/// Sends a request, which has room on its connection from the moment that it has one: its answer may come before anybody looks.
async fn send(
    client: &Pool,
    request: hyper::Request<Outgoing>,
    used: &CaptureConnection,
    room: &mut Option<Room>,
) -> Result<hyper::Response<hyper::body::Incoming>, legacy::Error> {
    let mut answering = pin!(client.request(request));
    poll_fn(|context| {
        let answered = answering.as_mut().poll(context);
        if answered.is_pending() && room.is_none() {
            *room = line_of(used).and_then(|line| line.room());
        }
        answered
    })
    .await
}

/// A body that may still be on its way when nobody waits for the answer any more: then its connection has [`LINGER`] to send it.
struct Lingering {
    upload: Weak<Sent>,
    handle: Handle,
    used: CaptureConnection,
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if self.upload.strong_count() == 0 {
            return;
        }
        let upload = std::mem::take(&mut self.upload);
        if let Some(line) = line_of(&self.used) {
            self.handle.spawn(async move {
                tokio::time::sleep(Duration::from_millis(LINGER)).await;
                if upload.strong_count() > 0 {
                    line.cut();
                }
            });
        }
    }
}

/// Whether a connection that was kept ended before it said anything about a request.
fn broke_off(error: &legacy::Error, line: Option<&Line>) -> bool {
    let kept = line.is_some_and(Line::is_proven);
    kept && !error.is_connect() && !gave_up(error) && failure(error, line).errno == Errno::Connreset
}

/// Whether the server has given up this one request of several by one connection, which it may have begun to do.
fn gave_up(error: &legacy::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.is_reset() && error.reason() != Some(h2::Reason::REFUSED_STREAM);
        }
        cause = error.source();
    }
    false
}

/// The connection that a request went by.
fn line_of(used: &CaptureConnection) -> Option<Line> {
    let metadata = used.connection_metadata();
    let mut known = Extensions::new();
    metadata.as_ref()?.get_extras(&mut known);
    known.remove()
}

/// A future of the runtime's that is polled, and dropped, by another thread.
struct Entered<T> {
    handle: Handle,
    /// `None` once it was dropped.
    future: Option<BoxedFuture<T>>,
}

impl<T> Entered<T> {
    fn new(handle: Handle, future: BoxedFuture<T>) -> Entered<T> {
        Entered {
            handle,
            future: Some(future),
        }
    }
}

impl<T> Future for Entered<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let Entered { handle, future } = self.get_mut();
        let _entered = handle.enter();
        match future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Entered<T> {
    fn drop(&mut self) {
        let _entered = self.handle.enter();
        self.future = None;
    }
}

/// What an agent learns of an error of a request by this connection.
fn failure(error: &(dyn Error + 'static), line: Option<&Line>) -> Failure {
    if let Some(flood) = line.and_then(Line::flood) {
        return Failure::new(Errno::Proto, flood.to_string());
    }
    // The client has one error for it and for headers that are too long.
    if net::is_too_large(error) && line.is_some_and(Line::has_impossible_length) {
        let text = "the answer has a content-length that none can have";
        return Failure::new(Errno::Proto, text);
    }
    net::failure(error)
}
