//! One connection: its stream, what was queued for it, and what came by it.
//!
//! A task runs for it whether the agent calls or not, so that pings are answered and a close is noticed. What an agent sends is handed
//! to the system by the agent's own thread where the stream takes it, so that no other thread has to be woken for it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use capfs::Errno;
use capfs::account::Charge;
use capfs::device::parts::lock;
use capfs_devices::ws::host::{Events, Failure, Hold, Kind, Message, Socket, Status};
use capfs_devices::ws::inbox::Inbox;
use capfs_devices::ws::{LINGER, LINGER_MAX, RECEIVE_WINDOW, SEND_WINDOW};
use futures_util::{Sink, Stream};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Bytes};

use super::frames::{Framed, is_length};
use super::{Received, failure};
use crate::net::budget::flood_in;

/// The code of a close frame that has none (RFC 6455, section 7.1.5).
const NO_CODE: u16 = 1005;

/// The codes that no close frame may have (RFC 6455, section 7.4.1).
const NEVER_SENT: [u16; 3] = [NO_CODE, 1006, 1015];

/// The agent's end.
pub struct Link(Arc<Connection>);

/// What both ends share. Whoever locks both locks the machine first.
struct Connection {
    machine: Mutex<Machine>,
    shared: Mutex<Shared>,
    events: Arc<dyn Events>,
}

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

/// The stream and what it is driven by.
struct Machine {
    /// `None` once the connection is over.
    stream: Option<WebSocketStream<Framed>>,
    /// The task's, for whatever the stream waits for.
    driver: Option<Waker>,
    /// What went wrong while the agent was sending, for the task to tell.
    failed: Option<Error>,
    /// When a connection that is being closed has had its time.
    patience: Option<Pin<Box<Sleep>>>,
    /// Bytes that came since, and that nobody wanted.
    discarded: usize,
}

/// How a connection has ended.
struct End {
    status: Status,
    /// Nothing more is to be sent.
    cut: bool,
}

/// What the agent is to be told of.
#[derive(Default)]
struct Changes {
    came: bool,
    room: bool,
}

impl Link {
    /// The agent's end of a stream, and what must run for it. `hold` is kept until the connection is over, and the charge, which is for
    /// all that the two have under way, until both are gone.
    pub fn new(
        stream: WebSocketStream<Framed>,
        events: Arc<dyn Events>,
        charge: Charge,
        hold: Hold,
    ) -> (Link, Driver) {
        let connection = Arc::new(Connection {
            machine: Mutex::new(Machine {
                stream: Some(stream),
                driver: None,
                failed: None,
                patience: None,
                discarded: 0,
            }),
            shared: Mutex::new(Shared {
                inbox: Inbox::new(RECEIVE_WINDOW),
                outbox: VecDeque::new(),
                outgoing: 0,
                close: None,
                status: Status::Open,
                abandoned: false,
                driver: None,
                _charge: charge,
            }),
            events,
        });
        let driver = Driver {
            connection: connection.clone(),
            hold,
        };
        (Link(connection), driver)
    }

    /// Changes something that the driver must look at.
    fn change<R>(&self, change: impl FnOnce(&mut Shared) -> (R, bool)) -> R {
        let (result, driver) = {
            let mut shared = lock(&self.0.shared);
            let (result, wakes) = change(&mut shared);
            (result, if wakes { shared.driver.take() } else { None })
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// Sends what was queued, if the stream takes it now; else the driver does.
    fn send_now(&self) {
        let mut changes = Changes::default();
        let wakes = match self.0.machine.try_lock() {
            Ok(mut machine) => !machine.send_now(&self.0.shared, &mut changes),
            // The driver may be past what was queued just now.
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => true,
        };
        if wakes {
            self.change(|_| ((), true));
        }
        if changes.room {
            self.0.events.changed();
        }
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
        lock(&self.0.shared).inbox.waiting()
    }

    fn has_room(&self) -> bool {
        lock(&self.0.shared).outgoing < SEND_WINDOW
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
        {
            let mut shared = lock(&self.0.shared);
            if shared.status != Status::Open {
                return Err(Failure::new(Errno::Pipe, "closed"));
            }
            shared.outgoing += length;
            shared.outbox.push_back(message);
        }
        self.send_now();
        Ok(())
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
        lock(&self.0.shared).status.clone()
    }
}

/// The task of a connection.
pub struct Driver {
    connection: Arc<Connection>,
    hold: Hold,
}

impl Driver {
    /// Runs until the connection has ended.
    pub async fn run(self) {
        let Driver { connection, hold } = self;
        let end = poll_fn(|context| connection.poll(context)).await;
        let (stream, patience) = {
            let mut machine = lock(&connection.machine);
            (machine.stream.take(), machine.patience.take())
        };
        let Some(mut stream) = stream else { return };
        let mut patience = patience.unwrap_or_else(linger);
        // What the protocol still wants to say, such as the answer to a close.
        let mut closing = poll_fn(|context| Pin::new(&mut stream).poll_close(context));
        let closed = poll_fn(|context| Poll::Ready(Pin::new(&mut closing).poll(context))).await;
        if closed.is_ready() || end.cut {
            // Whoever hears of the end may connect again at once.
            drop((stream, hold));
            connection.over(end.status);
            return;
        }
        connection.over(end.status);
        // Who doesn't take it doesn't matter.
        poll_fn(|context| {
            let over = Pin::new(&mut closing).poll(context).is_ready();
            match over || patience.as_mut().poll(context).is_ready() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        drop((stream, hold));
    }
}

fn linger() -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(Duration::from_millis(LINGER)))
}

impl Connection {
    fn poll(&self, context: &mut Context<'_>) -> Poll<End> {
        let mut changes = Changes::default();
        let ended = {
            let mut machine = lock(&self.machine);
            match &mut machine.driver {
                Some(driver) => driver.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            machine.poll(&self.shared, &mut changes, context)
        };
        if changes.came || changes.room {
            self.events.changed();
        }
        ended
    }

    /// The connection is over, and the agent is told.
    fn over(&self, status: Status) {
        {
            let mut shared = lock(&self.shared);
            shared.status = status;
            shared.outbox.clear();
            shared.outgoing = 0;
        }
        self.events.changed();
    }
}

impl Machine {
    /// Hands on what was queued, for an agent; whether that was all that there was to do.
    fn send_now(&mut self, shared: &Mutex<Shared>, changes: &mut Changes) -> bool {
        // Before its first turn the task has everything before it anyway.
        let Some(driver) = self.driver.take() else {
            return true;
        };
        let sent = self.poll_outgoing(shared, changes, &mut Context::from_waker(&driver));
        self.driver = Some(driver);
        if let Err(error) = sent {
            self.failed = Some(error);
        }
        self.failed.is_none()
    }

    /// Ends with how the connection did.
    fn poll(
        &mut self,
        shared: &Mutex<Shared>,
        changes: &mut Changes,
        context: &mut Context<'_>,
    ) -> Poll<End> {
        {
            // First of all, so that what changes from now on is noticed.
            let mut shared = lock(shared);
            shared.driver = Some(context.waker().clone());
            if shared.status != Status::Open {
                self.patience.get_or_insert_with(linger);
            } else if shared.abandoned {
                return Poll::Ready(End {
                    status: Status::Failed(Failure::new(Errno::Canceled, "")),
                    cut: true,
                });
            }
        }
        let sent = match self.failed.take() {
            Some(error) => Err(error),
            None => self.poll_outgoing(shared, changes, context),
        };
        if let Err(error) = sent {
            // The other side may have said why.
            return match self.poll_incoming(shared, changes, context) {
                Poll::Ready(end) if matches!(end.status, Status::Closed { .. }) => Poll::Ready(end),
                _ => Poll::Ready(failed(&error)),
            };
        }
        if let Poll::Ready(end) = self.poll_incoming(shared, changes, context) {
            return Poll::Ready(end);
        }
        // Receiving may have left something to say.
        if let Some(stream) = &mut self.stream
            && let Poll::Ready(Err(error)) = Pin::new(stream).poll_flush(context)
        {
            return Poll::Ready(failed(&error));
        }
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(context).is_ready()
        {
            let text = "the other side does not let the connection be closed";
            return Poll::Ready(End {
                status: Status::Failed(Failure::new(Errno::Timedout, text)),
                cut: true,
            });
        }
        Poll::Pending
    }

    /// Hands what was queued to the stream, as far as it takes it.
    fn poll_outgoing(
        &mut self,
        shared: &Mutex<Shared>,
        changes: &mut Changes,
        context: &mut Context<'_>,
    ) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let mut stream = Pin::new(stream);
        loop {
            match stream.as_mut().poll_ready(context) {
                Poll::Pending => break,
                Poll::Ready(ready) => ready?,
            }
            let next = {
                let mut shared = lock(shared);
                match shared.outbox.pop_front() {
                    Some(message) => {
                        let full = shared.outgoing >= SEND_WINDOW;
                        shared.outgoing -= message.len();
                        changes.room |= full && shared.outgoing < SEND_WINDOW;
                        Some(message)
                    }
                    None => shared
                        .close
                        .take()
                        .map(|frame| tungstenite::Message::Close(Some(frame))),
                }
            };
            let Some(message) = next else { break };
            stream.as_mut().start_send(message)?;
        }
        match stream.poll_flush(context) {
            Poll::Ready(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Receives while there is room.
    fn poll_incoming(
        &mut self,
        shared: &Mutex<Shared>,
        changes: &mut Changes,
        context: &mut Context<'_>,
    ) -> Poll<End> {
        let Some(stream) = &mut self.stream else {
            return Poll::Pending;
        };
        loop {
            {
                let shared = lock(shared);
                // Whoever closes wants no more, and is waiting for the answer.
                if shared.inbox.is_full() && shared.status == Status::Open {
                    return Poll::Pending;
                }
            }
            let message = match Pin::new(&mut *stream).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => {
                    return Poll::Ready(self.ended(&Error::ConnectionClosed));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.ended(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            let (kind, bytes) = match message {
                tungstenite::Message::Text(text) => (Kind::Text, Bytes::from(text)),
                tungstenite::Message::Binary(bytes) => (Kind::Binary, bytes),
                tungstenite::Message::Close(_) => return Poll::Ready(closed(stream.get_ref())),
                // Pings are answered by the protocol's own code.
                _ => continue,
            };
            let mut shared = lock(shared);
            // Nobody reads any more.
            if !shared.abandoned && !shared.inbox.is_full() {
                changes.came = true;
                shared.inbox.push(Message {
                    kind,
                    payload: Box::new(Received(bytes)),
                });
                continue;
            }
            self.discarded += bytes.len();
            if self.discarded > LINGER_MAX {
                let text = "the other side goes on sending on a connection that is being closed";
                return Poll::Ready(End {
                    status: Status::Failed(Failure::new(Errno::Connreset, text)),
                    cut: true,
                });
            }
        }
    }

    /// How it ended, by an error of the stream's.
    fn ended(&mut self, error: &Error) -> End {
        let code = match error {
            Error::Capacity(_) => Some(CloseCode::Size),
            Error::Utf8(_) => Some(CloseCode::Invalid),
            Error::Protocol(_) => Some(CloseCode::Protocol),
            Error::Io(error) if is_length(error) => Some(CloseCode::Protocol),
            Error::Io(error) if flood_in(error).is_some() => Some(CloseCode::Policy),
            _ => None,
        };
        if let (Some(code), Some(stream)) = (code, &mut self.stream) {
            // The other side is told, if it still listens.
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::default(),
            };
            let close = tungstenite::Message::Close(Some(frame));
            let _ = Pin::new(stream).start_send(close);
        }
        failed(error)
    }
}

fn failed(error: &Error) -> End {
    End {
        status: Status::Failed(failure(error)),
        // Whoever floods isn't waited for.
        cut: matches!(error, Error::Io(error) if flood_in(error).is_some()),
    }
}

/// How the server has closed, in its own words: the protocol's code puts others in the place of codes that it doesn't know.
fn closed(stream: &Framed) -> End {
    let (code, reason) = stream.close().unwrap_or((NO_CODE, String::new()));
    let named = stream.close().is_some();
    let status = match named && NEVER_SENT.contains(&code) {
        true => {
            let text = format!("the server closes with {code}, which no close may have");
            Status::Failed(Failure::new(Errno::Proto, text))
        }
        false => Status::Closed { code, reason },
    };
    End { status, cut: false }
}
