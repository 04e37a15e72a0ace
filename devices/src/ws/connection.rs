//! The numbered directories: a connection each.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use capfs::account::{Charge, Holding};
use capfs::device::conversations::{Dialogue, LastError};
use capfs::device::parts::{Waiters, lock};
use capfs::device::synthetic::SyntheticBuilder;
use capfs::{BoxedFuture, Errno, GuestSink, GuestSource, Op, OpenFile, Readiness, Written};

use super::data::OpenData;
use super::host::{Connect, Connected, Events, Failure, Hold, Kind, Message, Socket, Status};
use super::policy::Permit;
use super::{PROTOCOLS_MAX, REASON_MAX, Ws};
use crate::audit::Asking;
use crate::cancel::{Cancel, within};
use crate::ends::End;
use crate::foreign::Foreign;
use crate::message::is_token;
use crate::url::{URL_MAX, Url};

/// The status of a handshake that succeeded
/// ([RFC 6455, section 4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1)).
const SWITCHED: u16 = 101;

/// A connection, or what is to become one.
pub struct Connection {
    ws: Arc<Ws>,
    pub error: LastError,
    state: Mutex<State>,
    /// Whoever waits, for a message, for room, for the handshake.
    waiters: Arc<Wakeful>,
    next_waiter: AtomicU64,
}

struct State {
    phase: Phase,
    url: String,
    sends: Kind,
    /// The kind of the message that was read last.
    read: Option<Kind>,
    /// The message that is being read, and how much of it was.
    reading: Option<(Message, usize)>,
    /// What was read last is an empty message, which reads as the end does.
    empty: bool,
}

enum Phase {
    Idle,
    Connecting(Arc<Cancel>),
    Connected(
        Connected,
        #[expect(dead_code, reason = "dropping it says that it is over")] Permit,
    ),
    /// The handshake failed: nobody has been told yet.
    Failed(Errno),
    /// The conversation has ended.
    Over,
}

#[derive(Default)]
struct Wakeful(Mutex<Waiters>);

impl Wakeful {
    fn register(&self, waiter: u64, context: &Context<'_>) {
        let crowded = lock(&self.0).register(waiter, context);
        crowded.wake();
    }
}

impl Events for Wakeful {
    fn changed(&self) {
        let woken = lock(&self.0).take();
        woken.wake();
    }
}

impl Connection {
    pub fn new(ws: Arc<Ws>) -> Arc<Connection> {
        let ends = ws.ends.clone();
        let connection = Arc::new(Connection {
            ws,
            error: LastError::default(),
            state: Mutex::new(State {
                phase: Phase::Idle,
                url: String::new(),
                sends: Kind::Text,
                read: None,
                reading: None,
                empty: false,
            }),
            waiters: Arc::default(),
            next_waiter: AtomicU64::new(0),
        });
        ends.add(&connection);
        connection
    }

    pub fn waiter(&self) -> u64 {
        self.next_waiter.fetch_add(1, Ordering::Relaxed)
    }

    pub fn forget(&self, waiter: u64) {
        lock(&self.waiters.0).forget(waiter);
    }

    /// The address that it is connected to, or that was asked for last.
    pub fn url(&self) -> Option<String> {
        Some(lock(&self.state).url.clone()).filter(|url| !url.is_empty())
    }

    /// What is asked for, unless there is a connection.
    fn asked_for(&self, url: &str) {
        let mut state = lock(&self.state);
        if let Phase::Idle | Phase::Failed(_) = state.phase {
            url.clone_into(&mut state.url);
        }
    }

    fn explain(&self, failure: Failure) -> Errno {
        self.error.explain(failure.errno, failure.text)
    }

    /// The socket.
    ///
    /// # Errors
    /// - `ENOTCONN`: there is none
    fn socket(&self) -> Result<Arc<dyn Socket>, Errno> {
        match &lock(&self.state).phase {
            Phase::Connected(connected, _) => Ok(connected.socket.clone()),
            _ => Err(self.error.explain(Errno::Notconn, "not connected")),
        }
    }

    /// The command `connect`.
    fn connect(self: &Arc<Self>, words: &str) -> Op<()> {
        let begun = self.begin(words).map_err(|failure| self.explain(failure));
        if let Err(errno) = begun {
            return Op::err(errno);
        }
        let connection = self.clone();
        Op::run(async move {
            let waiting = Waiting {
                id: connection.waiter(),
                connection,
            };
            poll_fn(|context| waiting.connection.poll_connected(waiting.id, context)).await
        })
    }

    fn begin(self: &Arc<Self>, words: &str) -> Result<(), Failure> {
        let mut words = words.split_ascii_whitespace();
        let text = words.next().unwrap_or_default();
        if text.len() > URL_MAX {
            let text = format!("a URL may have {URL_MAX} bytes");
            return Err(Failure::new(Errno::Nametoolong, text));
        }
        let url = self.ws.host.parse(text, None);
        let url = url.ok_or_else(|| Failure::new(Errno::Inval, format!("no URL: {text}")))?;
        let protocols: Vec<String> = words.map(str::to_owned).collect();
        let alike = |(place, name): (usize, &String)| protocols[..place].contains(name);
        if protocols.len() > PROTOCOLS_MAX
            || !protocols.iter().all(|name| is_token(name))
            || protocols.iter().enumerate().any(alike)
        {
            let text = format!("expected up to {PROTOCOLS_MAX} sub-protocols, each once");
            return Err(Failure::new(Errno::Inval, text));
        }
        let policies = &self.ws.policies;
        self.asked_for(&url.href);
        policies.check(&url)?;
        let ended = {
            let mut state = lock(&self.state);
            match &state.phase {
                Phase::Idle | Phase::Failed(_) => {}
                Phase::Connected(connected, _) => {
                    if let Status::Open | Status::Closing = connected.socket.status() {
                        return Err(Failure::new(Errno::Isconn, "connected already"));
                    }
                }
                Phase::Connecting(_) => {
                    return Err(Failure::new(Errno::Already, "connecting already"));
                }
                Phase::Over => return Err(Failure::new(Errno::Canceled, "")),
            }
            std::mem::replace(&mut state.phase, Phase::Idle)
        };
        // A connection that has ended no longer counts. What gives its place back wakes others, which is not done under the lock.
        drop(ended);
        let account = self.ws.device.account();
        let charge = account.charge(Holding::Transfers, self.ws.under_way());
        let charge = charge
            .map_err(|errno| Failure::new(errno, "the agent may not hold a connection more"))?;
        let place = policies.begin()?;
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Idle) {
            drop(state);
            return Err(Failure::new(Errno::Already, "connecting already"));
        }
        let cancel = Cancel::new();
        state.phase = Phase::Connecting(cancel.clone());
        (state.read, state.reading, state.empty) = (None, None, false);
        state.url.clone_from(&url.href);
        self.error.clear();
        drop(state);
        let timeout = policies.least(|policy| policy.timeout);
        let (connection, run) = (self.clone(), cancel.clone());
        self.ws.host.spawn(cancel.unless(async move {
            let text = || format!("no connection within {timeout} ms");
            let connecting = connection.clone().open(url, protocols, place, charge);
            let outcome = within(&*connection.ws.host, timeout, connecting, text).await;
            connection.finish(&run, outcome);
        }));
        Ok(())
    }

    /// Opens a socket, once there is room for it.
    fn open(
        self: Arc<Self>,
        url: Url,
        protocols: Vec<String>,
        place: Option<(Permit, Hold)>,
        charge: Charge,
    ) -> BoxedFuture<Result<(Connected, Permit), Failure>> {
        Box::pin(async move {
            let policies = &self.ws.policies;
            let (permit, hold) = match place {
                Some(place) => place,
                None => policies.turn().await?,
            };
            let wants_protocol = !protocols.is_empty();
            let (host, began) = (&*self.ws.host, self.ws.host.now());
            let href = url.href.clone();
            let mut asking = Asking {
                observers: &self.ws.observers,
                host,
                operation: "connect",
                method: "GET",
                url: &href,
                began,
                deadline: began.saturating_add(policies.least(|policy| policy.timeout)),
                asked: false,
            };
            let wanted = Connect {
                headers: policies.headers(&url.origin),
                url,
                protocols,
                max_message: self.ws.max_message(),
                events: self.waiters.clone(),
                charge,
                hold,
            };
            let connected = match asking.begin() {
                Ok(()) => self.ws.connector.connect(wanted).await,
                Err(failure) => Err(failure),
            };
            asking.ended(connected.as_ref().map(|_| SWITCHED));
            let connected = connected?;
            // By the standard such a connection fails; Firefox keeps it.
            match wants_protocol && connected.protocol.is_empty() {
                true => {
                    let text = "the server speaks none of the sub-protocols";
                    Err(Failure::new(Errno::Proto, text))
                }
                false => Ok((connected, permit)),
            }
        })
    }

    fn finish(&self, run: &Arc<Cancel>, outcome: Result<(Connected, Permit), Failure>) {
        {
            let mut state = lock(&self.state);
            let current = matches!(&state.phase, Phase::Connecting(own) if Arc::ptr_eq(own, run));
            if !current {
                return;
            }
            state.phase = match outcome {
                Ok((connected, permit)) => Phase::Connected(connected, permit),
                Err(failure) => Phase::Failed(self.explain(failure)),
            };
        }
        self.waiters.changed();
    }

    fn poll_connected(&self, waiter: u64, context: &Context<'_>) -> Poll<Result<(), Errno>> {
        // Registered before anything is looked at: what changes from now on wakes.
        self.waiters.register(waiter, context);
        let mut state = lock(&self.state);
        match &state.phase {
            Phase::Connecting(_) => Poll::Pending,
            Phase::Connected(..) => Poll::Ready(Ok(())),
            Phase::Failed(errno) => {
                let errno = *errno;
                state.phase = Phase::Idle;
                Poll::Ready(Err(errno))
            }
            Phase::Idle | Phase::Over => Poll::Ready(Err(Errno::Canceled)),
        }
    }

    /// The command `hangup`.
    fn hangup(&self, words: &str) -> Result<(), Errno> {
        let (code, reason) = words.split_once(' ').unwrap_or((words, ""));
        let code = match code {
            "" => Some(1000),
            code => code
                .parse::<u16>()
                .ok()
                .filter(|code| *code == 1000 || (3000..5000).contains(code)),
        };
        // What browsers let a page say.
        let expected = "expected `hangup [CODE [REASON]]` with 1000, or 3000 to 4999";
        let code = code.ok_or_else(|| self.error.explain(Errno::Inval, expected))?;
        if reason.len() > REASON_MAX {
            let text = format!("a reason may have {REASON_MAX} bytes");
            return Err(self.error.explain(Errno::Inval, text));
        }
        let connecting = matches!(lock(&self.state).phase, Phase::Connecting(_));
        if connecting {
            self.stop(Phase::Idle);
            return Ok(());
        }
        self.socket()?.close(code, reason.trim());
        Ok(())
    }

    /// Gives up whatever there is.
    fn stop(&self, next: Phase) {
        let phase = {
            let mut state = lock(&self.state);
            state.reading = None;
            std::mem::replace(&mut state.phase, next)
        };
        match phase {
            Phase::Connecting(cancel) => cancel.set(),
            Phase::Connected(connected, _) => connected.socket.close(1000, ""),
            _ => {}
        }
        self.waiters.changed();
    }

    /// Reads from the message that comes next.
    pub fn poll_read(
        &self,
        context: &Context<'_>,
        waiter: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        let socket = self.socket()?;
        if let Some(count) = self.read_now(&*socket, sink) {
            return Poll::Ready(Ok(count));
        }
        // Whoever is woken by this may come back on the spot: no lock is held.
        self.waiters.register(waiter, context);
        // The end first: what came before it is there by then.
        let status = socket.status();
        match (self.read_now(&*socket, sink), status) {
            (Some(count), _) => Poll::Ready(Ok(count)),
            (None, Status::Open | Status::Closing) => Poll::Pending,
            (None, Status::Closed { .. }) => {
                lock(&self.state).empty = false;
                Poll::Ready(Ok(0))
            }
            (None, Status::Failed(failure)) => Poll::Ready(Err(self.explain(failure))),
        }
    }

    /// Reads from the message that is being read, or else the next one; `None` if neither is there.
    fn read_now(&self, socket: &dyn Socket, sink: &mut dyn GuestSink) -> Option<usize> {
        let mut state = lock(&self.state);
        let (message, at) = match state.reading.take() {
            Some(part) => part,
            None => {
                let message = socket.receive()?;
                state.read = Some(message.kind);
                (message, 0)
            }
        };
        let count = message.payload.put(at, sink);
        state.empty = message.payload.length() == 0;
        if at + count < message.payload.length() {
            state.reading = Some((message, at + count));
        }
        Some(count)
    }

    /// Sends a message.
    pub fn poll_write(
        &self,
        context: &Context<'_>,
        waiter: u64,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let socket = self.socket()?;
        let most = self.ws.max_message();
        let length = source.remaining();
        if length > most {
            let text = format!("a message may have {most} bytes");
            return Poll::Ready(Err(self.error.explain(Errno::Msgsize, text)));
        }
        if !socket.has_room() {
            self.waiters.register(waiter, context);
            if !socket.has_room() && socket.status() == Status::Open {
                return Poll::Pending;
            }
        }
        let mut message = vec![0; length];
        let bytes = source.take(&mut message);
        message.truncate(bytes);
        let kind = lock(&self.state).sends;
        if kind == Kind::Text && str::from_utf8(&message).is_err() {
            let text = "a text must be UTF-8: write `binary` to ctl for bytes";
            return Poll::Ready(Err(self.error.explain(Errno::Ilseq, text)));
        }
        let sent = socket.send(kind, message);
        Poll::Ready(
            sent.map(|()| Written { bytes, end: 0 })
                .map_err(|failure| self.explain(failure)),
        )
    }

    pub fn poll_readable(
        &self,
        context: &Context<'_>,
        waiter: u64,
    ) -> Poll<Result<Readiness, Errno>> {
        let socket = self.socket()?;
        self.waiters.register(waiter, context);
        if let Some((message, at)) = &lock(&self.state).reading {
            let bytes = (message.payload.length() - at) as u64;
            let hangup = false;
            return Poll::Ready(Ok(Readiness { bytes, hangup }));
        }
        let status = socket.status();
        match (socket.waiting(), status) {
            (None, Status::Open | Status::Closing) => Poll::Pending,
            (bytes, status) => Poll::Ready(Ok(Readiness {
                bytes: bytes.unwrap_or(0) as u64,
                hangup: bytes.is_none() && status != Status::Open,
            })),
        }
    }

    pub fn poll_writable(
        &self,
        context: &Context<'_>,
        waiter: u64,
    ) -> Poll<Result<Readiness, Errno>> {
        let socket = self.socket()?;
        self.waiters.register(waiter, context);
        let open = socket.status() == Status::Open;
        match open && !socket.has_room() {
            true => Poll::Pending,
            false => Poll::Ready(Ok(Readiness {
                bytes: if open {
                    self.ws.max_message() as u64
                } else {
                    0
                },
                hangup: !open,
            })),
        }
    }

    /// As the reader sees it: an end that it hasn't come to is none yet.
    fn status(&self) -> String {
        let state = lock(&self.state);
        match &state.phase {
            Phase::Idle | Phase::Failed(_) | Phase::Over => "Closed".to_owned(),
            Phase::Connecting(_) => "Connect".to_owned(),
            Phase::Connected(connected, _) => {
                let socket = &connected.socket;
                // The end first: what came before it is there by then.
                let status = socket.status();
                let unread = state.empty || state.reading.is_some() || socket.waiting().is_some();
                let hangup = |code: u16, reason: &str| {
                    // A reason is the server's own, and this file has one line.
                    let line = format!("Hangup {code} {}", Foreign(reason));
                    line.trim_end().to_owned()
                };
                match status {
                    Status::Open => "Established".to_owned(),
                    Status::Closing => "Closing".to_owned(),
                    Status::Closed { .. } | Status::Failed(_) if unread => "Established".to_owned(),
                    Status::Closed { code, reason } => hangup(code, &reason),
                    // The code of a connection that was broken off (RFC 6455, section 7.1.5).
                    Status::Failed(failure) => hangup(1006, &failure.text),
                }
            }
        }
    }

    /// Something about the connection, while there is one.
    fn about(&self, what: impl FnOnce(&Connected) -> String) -> String {
        match &lock(&self.state).phase {
            Phase::Connected(connected, _) => what(connected),
            _ => String::new(),
        }
    }
}

impl End for Connection {
    fn end(&self) {
        self.stop(Phase::Over);
    }
}

/// A connection that somebody waits for.
struct Waiting {
    connection: Arc<Connection>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.connection.forget(self.id);
        // Given up before its end.
        let connecting = matches!(lock(&self.connection.state).phase, Phase::Connecting(_));
        if connecting {
            self.connection.stop(Phase::Idle);
        }
    }
}

/// A connection as a conversation.
pub struct Conversation(pub Arc<Connection>);

impl Dialogue for Conversation {
    fn command(&self, line: &str) -> Op<()> {
        let connection = &self.0;
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let sends = |kind| {
            lock(&connection.state).sends = kind;
            Op::ok(())
        };
        match command {
            "connect" => connection.connect(rest),
            "hangup" => connection.hangup(rest.trim()).into(),
            "text" if rest.is_empty() => sends(Kind::Text),
            "binary" if rest.is_empty() => sends(Kind::Binary),
            _ => Op::err(connection.error.explain(Errno::Inval, "no such command")),
        }
    }

    fn files(self: Arc<Self>) -> SyntheticBuilder {
        let own = || self.0.clone();
        let text = |what: fn(&Connection) -> String| {
            let connection = own();
            move || what(&connection)
        };
        let (reads, writes) = (own(), own());
        let device = &self.0.ws.device;
        device
            .directory()
            .stream(
                "data",
                move || -> Op<Box<dyn OpenFile>> { Op::ok(Box::new(OpenData::new(reads.clone()))) },
                move || -> Op<Box<dyn OpenFile>> {
                    Op::ok(Box::new(OpenData::new(writes.clone())))
                },
            )
            .text(
                "type",
                text(|connection| match lock(&connection.state).read {
                    None => String::new(),
                    Some(Kind::Text) => "text".to_owned(),
                    Some(Kind::Binary) => "binary".to_owned(),
                }),
            )
            .text("status", text(Connection::status))
            .text(
                "protocol",
                text(|connection| connection.about(|connected| connected.protocol.clone())),
            )
            .text(
                "local",
                text(|connection| connection.about(|connected| connected.local.clone())),
            )
            .text(
                "remote",
                text(|connection| connection.about(|connected| connected.remote.clone())),
            )
            .text("error", text(|connection| connection.error.text()))
    }

    fn subject(&self) -> Option<String> {
        self.0.url()
    }

    fn end(&self) {
        self.0.end();
    }
}
