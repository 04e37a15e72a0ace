//! WebSockets natively: tungstenite over connections of our own.

mod driver;
mod frames;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use capfs::{BoxedFuture, Errno, GuestSink};
use capfs_devices::address::Addresses;
use capfs_devices::message::encoded;
use capfs_devices::ws::host::{Connect, Connected, Failure, Host, Payload};
use capfs_devices::ws::{RECEIVE_WINDOW, SEND_WINDOW, host};
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::http::header::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::http::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::net::budget::flood_in;
use crate::net::{Connector, Net, Network, errno_of};
use driver::Link;
use frames::Framed;

/// What is spoken under TLS: the handshake is HTTP/1.1's.
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Bytes that are read from the system at once.
const READ_BUFFER: usize = 64 << 10;

impl Host for Net {
    fn connector(&self, addresses: Arc<dyn Addresses>) -> Arc<dyn host::Connector> {
        Arc::new(NativeConnector {
            network: self.0.clone(),
            connector: Connector::new(self.0.clone(), addresses),
        })
    }

    fn adds_headers(&self) -> bool {
        true
    }

    fn receives(&self) -> usize {
        RECEIVE_WINDOW
    }
}

struct NativeConnector {
    network: Network,
    connector: Connector,
}

impl host::Connector for NativeConnector {
    fn connect(&self, wanted: Connect) -> BoxedFuture<Result<Connected, Failure>> {
        let (network, connector) = (self.network.clone(), self.connector.clone());
        // Polled within the runtime: the device spawns it there.
        Box::pin(async move {
            let request = request(&wanted)?;
            let stream = connector.connect(&wanted.url.origin, PROTOCOLS).await;
            let stream = stream.map_err(|error| error.failure())?;
            let address = |address: std::io::Result<SocketAddr>| {
                address.map_or_else(
                    |_| String::new(),
                    |address| format!("{}!{}", address.ip(), address.port()),
                )
            };
            let local = address(stream.tcp().local_addr());
            let remote = address(stream.tcp().peer_addr());
            let config = config(wanted.max_message);
            let stream = Framed::new(stream);
            let opened = client_async_with_config(request, stream, Some(config)).await;
            let (stream, response) = opened.map_err(|error| failure(&error))?;
            let protocol = protocol(&response);
            let (link, driver) = Link::new(stream, wanted.events, wanted.charge, wanted.hold);
            network.spawn(Box::pin(driver.run()));
            Ok(Connected {
                protocol,
                local,
                remote,
                socket: Arc::new(link),
            })
        })
    }
}

fn config(max_message: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER.min(RECEIVE_WINDOW))
        // Messages are gathered here and written when there is none left to be sent.
        .write_buffer_size(SEND_WINDOW / 8)
        .max_write_buffer_size(SEND_WINDOW + max_message + 64)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message))
}

fn request(wanted: &Connect) -> Result<Request<()>, Failure> {
    let invalid = |error: &dyn std::fmt::Display| Failure::new(Errno::Inval, error.to_string());
    let request = wanted.url.href.as_str().into_client_request();
    let mut request = request.map_err(|error| invalid(&error))?;
    let mut headers = wanted.headers.clone();
    if !wanted.protocols.is_empty() {
        let protocols = wanted.protocols.join(", ");
        headers.push(("sec-websocket-protocol".to_owned(), protocols));
    }
    for (name, value) in headers {
        let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        let value = encoded(&value).ok_or_else(|| invalid(&"a header is no bytes"))?;
        let value = HeaderValue::try_from(value).map_err(|error| invalid(&error))?;
        request.headers_mut().append(name, value);
    }
    Ok(request)
}

fn protocol<T>(response: &Response<T>) -> String {
    let chosen = response.headers().get("sec-websocket-protocol");
    let chosen = chosen.and_then(|chosen| chosen.to_str().ok());
    chosen.unwrap_or_default().to_owned()
}

/// What an agent learns of an error.
fn failure(error: &Error) -> Failure {
    let errno = match error {
        Error::Io(error) if flood_in(error).is_some() => Errno::Proto,
        Error::Io(error) => errno_of(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::Protocol(ProtocolError::HandshakeIncomplete) => Errno::Connreset,
        Error::Capacity(_) => Errno::Msgsize,
        _ => Errno::Proto,
    };
    let text = match error {
        Error::Http(response) => format!("the server answers {}", response.status()),
        error => error.to_string(),
    };
    Failure::new(errno, text)
}

/// The bytes of a message, where they were received.
struct Received(Bytes);

impl Payload for Received {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn put(&self, at: usize, sink: &mut dyn GuestSink) -> usize {
        sink.put(&self.0[at..])
    }
}
