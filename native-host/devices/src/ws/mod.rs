//! WebSockets natively: tungstenite over connections of our own.

mod driver;
mod frames;
mod handshake;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use capfs::{BoxedFuture, Errno, GuestSink};
use capfs_devices::address::Addresses;
use capfs_devices::ws::host::{Connect, Connected, Failure, Host, Payload};
use capfs_devices::ws::{RECEIVE_WINDOW, SEND_WINDOW, host};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::net::budget::flood_in;
use crate::net::{Connector, Net, Network, errno_of};
use driver::Link;
use frames::{Framed, is_length};
use handshake::Opened;

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
            let Opened {
                stream,
                read,
                protocol,
            } = handshake::open(stream, &wanted).await?;
            let (stream, right) = Framed::new(stream, &read);
            let config = Some(config(wanted.max_message));
            let stream = WebSocketStream::from_partially_read(
                stream,
                read.slice(..right).into(),
                Role::Client,
                config,
            )
            .await;
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

/// What an agent learns of an error.
fn failure(error: &Error) -> Failure {
    let errno = match error {
        Error::Io(error) if flood_in(error).is_some() || is_length(error) => Errno::Proto,
        Error::Io(error) => errno_of(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::Protocol(ProtocolError::HandshakeIncomplete) => Errno::Connreset,
        Error::Capacity(_) => Errno::Msgsize,
        _ => Errno::Proto,
    };
    Failure::new(errno, error.to_string())
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
