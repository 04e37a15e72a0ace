//! One connection's task: it owns the stream, sends what was queued, and receives while there is room.
//!
//! It runs whether the agent calls or not, so that pings are answered and a close is noticed.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capfs::Errno;
use capfs::account::Charge;
use capfs::device::parts::lock;
use capfs_devices::ws::host::{Events, Failure, Kind, Message, Socket, Status};
use capfs_devices::ws::inbox::Inbox;
use capfs_devices::ws::{RECEIVE_WINDOW, SEND_WINDOW};
use futures_util::{Sink, Stream};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes};

use super::{Received, failure};
use crate::net::NetStream;

/// How long the other side has to answer a close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The code of a close frame that has none (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;

/// The agent's end.
pub struct Link(Arc<Mutex<Shared>>);

struct Shared {
    inbox: Inbox,
    outbox: VecDeque<tungstenite::Message>,
    /// Bytes in the outbox.
    outgoing: usize,
    /// To be sent behind the outbox.
    close: Option<CloseFrame>,
    status: Status,
    /// The agent has let go of its end.
    abandoned: bool,
    driver: Option<Waker>,
    /// It goes with the last of the two ends.
    _charge: Charge,
}

impl Link {
    /// The agent's end of a stream, and what must run for it.
    /// The charge is for all that the two have under way.
    pub fn new(
        stream: WebSocketStream<NetStream>,
        events: Arc<dyn Events>,
        charge: Charge,
    ) -> (Link, Driver) {
        let shared = Arc::new(Mutex::new(Shared {
            inbox: Inbox::new(RECEIVE_WINDOW),
            outbox: VecDeque::new(),
            outgoing: 0,
            close: None,
            status: Status::Open,
            abandoned: false,
            driver: None,
            _charge: charge,
        }));
        let driver = Driver {
            stream,
            shared: shared.clone(),
            events,
            patience: None,
            paused: false,
        };
        (Link(shared), driver)
    }

    /// Changes something that the driver must look at.
    fn change<R>(&self, change: impl FnOnce(&mut Shared) -> (R, bool)) -> R {
        let (result, driver) = {
            let mut shared = lock(&self.0);
            let (result, wakes) = change(&mut shared);
            (result, if wakes { shared.driver.take() } else { None })
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.change(|shared| {
            shared.abandoned = true;
            ((), true)
        });
    }
}

impl Socket for Link {
    fn receive(&self) -> Option<Message> {
        self.change(|shared| {
            let full = shared.inbox.is_full();
            let message = shared.inbox.pop();
            (message, full && !shared.inbox.is_full())
        })
    }

    fn waiting(&self) -> Option<usize> {
        lock(&self.0).inbox.waiting()
    }

    fn has_room(&self) -> bool {
        lock(&self.0).outgoing < SEND_WINDOW
    }

    fn send(&self, kind: Kind, message: Vec<u8>) -> Result<(), Failure> {
        let length = message.len();
        let message = match kind {
            Kind::Binary => tungstenite::Message::Binary(Bytes::from(message)),
            Kind::Text => {
                let text = Utf8Bytes::try_from(message);
                let text = text.map_err(|error| Failure::new(Errno::Ilseq, error.to_string()))?;
                tungstenite::Message::Text(text)
            }
        };
        self.change(|shared| match shared.status {
            Status::Open => {
                shared.outgoing += length;
                shared.outbox.push_back(message);
                (Ok(()), true)
            }
            _ => (Err(Failure::new(Errno::Pipe, "closed")), false),
        })
    }

    fn close(&self, code: u16, reason: &str) {
        self.change(|shared| {
            if shared.status == Status::Open {
                shared.status = Status::Closing;
                shared.close = Some(CloseFrame {
                    code: code.into(),
                    reason: reason.into(),
                });
            }
            ((), true)
        });
    }

    fn status(&self) -> Status {
        lock(&self.0).status.clone()
    }
}

/// The task of a connection.
pub struct Driver {
    stream: WebSocketStream<NetStream>,
    shared: Arc<Mutex<Shared>>,
    events: Arc<dyn Events>,
    /// When the other side has had its time to answer a close.
    patience: Option<Pin<Box<Sleep>>>,
    /// Nothing is received until the agent has read.
    paused: bool,
}

impl Driver {
    /// Runs until the connection has ended.
    pub async fn run(mut self) {
        let status = poll_fn(|context| self.poll(context)).await;
        {
            let mut shared = lock(&self.shared);
            shared.status = status;
            shared.outbox.clear();
            shared.outgoing = 0;
        }
        self.events.changed();
        // What the protocol still wants to say, such as the answer to a close; who doesn't take it doesn't matter.
        let flushing = poll_fn(|context| Pin::new(&mut self.stream).poll_close(context));
        let _ = tokio::time::timeout(CLOSE_PATIENCE, flushing).await;
    }

    /// Ends with how the connection did.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        // First of all, so that what changes from now on is noticed.
        lock(&self.shared).driver = Some(context.waker().clone());
        if let Err(error) = self.poll_outgoing(context) {
            // The other side may have said why.
            return self.poll_incoming(context).map(|status| match status {
                Status::Closed { .. } => status,
                _ => Status::Failed(failure(&error)),
            });
        }
        if let Poll::Ready(status) = self.poll_incoming(context) {
            return Poll::Ready(status);
        }
        // Receiving may have left something to say.
        if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(context) {
            return Poll::Ready(Status::Failed(failure(&error)));
        }
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(context).is_ready()
        {
            let text = "the other side does not answer the close";
            return Poll::Ready(Status::Failed(Failure::new(Errno::Timedout, text)));
        }
        Poll::Pending
    }

    /// Hands what was queued to the stream, as far as it takes it.
    fn poll_outgoing(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let mut room = false;
        loop {
            match Pin::new(&mut self.stream).poll_ready(context) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            let next = {
                let mut shared = lock(&self.shared);
                match shared.outbox.pop_front() {
                    Some(message) => {
                        let full = shared.outgoing >= SEND_WINDOW;
                        shared.outgoing -= message.len();
                        room |= full && shared.outgoing < SEND_WINDOW;
                        Some(message)
                    }
                    None => shared.close.take().map(|frame| {
                        self.patience = Some(Box::pin(tokio::time::sleep(CLOSE_PATIENCE)));
                        tungstenite::Message::Close(Some(frame))
                    }),
                }
            };
            let Some(message) = next else { break };
            Pin::new(&mut self.stream).start_send(message)?;
        }
        if room {
            self.events.changed();
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Receives while there is room.
    fn poll_incoming(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let mut came = false;
        let status = loop {
            {
                let shared = lock(&self.shared);
                if shared.abandoned && shared.status == Status::Open {
                    break Poll::Ready(Status::Failed(Failure::new(Errno::Canceled, "")));
                }
                // Whoever closes wants no more, and is waiting for the answer.
                let closing = shared.status != Status::Open;
                self.paused = shared.inbox.is_full() && !closing;
            }
            if self.paused {
                break Poll::Pending;
            }
            let message = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(None) => break Poll::Ready(self.ended(&Error::ConnectionClosed)),
                Poll::Ready(Some(Err(error))) => break Poll::Ready(self.ended(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            let (kind, bytes) = match message {
                tungstenite::Message::Text(text) => (Kind::Text, Bytes::from(text)),
                tungstenite::Message::Binary(bytes) => (Kind::Binary, bytes),
                tungstenite::Message::Close(frame) => {
                    let said = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    let (code, reason) = said.unwrap_or((NO_CODE, String::new()));
                    break Poll::Ready(Status::Closed { code, reason });
                }
                // Pings are answered by the protocol's own code.
                _ => continue,
            };
            let mut shared = lock(&self.shared);
            // Nobody reads any more.
            if !shared.abandoned && !shared.inbox.is_full() {
                came = true;
                shared.inbox.push(Message {
                    kind,
                    payload: Box::new(Received(bytes)),
                });
            }
        };
        if came {
            self.events.changed();
        }
        status
    }

    /// How it ended, by an error of the stream's.
    fn ended(&mut self, error: &Error) -> Status {
        let code = match error {
            Error::Capacity(_) => Some(CloseCode::Size),
            Error::Utf8(_) => Some(CloseCode::Invalid),
            Error::Protocol(_) => Some(CloseCode::Protocol),
            _ => None,
        };
        if let Some(code) = code {
            // The other side is told, if it still listens.
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::default(),
            };
            let close = tungstenite::Message::Close(Some(frame));
            let _ = Pin::new(&mut self.stream).start_send(close);
        }
        Status::Failed(failure(error))
    }
}
