//! Stream sockets within the host (unix(7)): connected pairs, and listeners.
//!
//! A connection is two pipes. What one side writes the other reads; either side can end either
//! direction, and the end of one direction leaves the other open. A [`listener`] comes with a
//! [`Connector`], by which the host, or another agent, makes connections to whoever was handed
//! the listener.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::lock::lock;
use super::null::set_device_stat;
use super::pipe::{PipeReader, PipeWriter, pipe, stream_stat};
use super::sync::Mutex;
use super::sync::atomic::{AtomicUsize, Ordering};
use super::waiters::Waiters;
use crate::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Listener, Node, Op, OpenFile, OpenHow,
    Opened, Qid, Readiness, SetStat, Socket, Stat, WriteAt, Written,
};

/// Makes two sockets that are connected to each other. Each direction holds `capacity` bytes (at
/// least 1).
pub fn socket_pair(capacity: usize) -> (StreamSocket, StreamSocket) {
    let (left_reads, right_writes) = pipe(capacity);
    let (right_reads, left_writes) = pipe(capacity);
    (
        StreamSocket::new(left_reads, left_writes),
        StreamSocket::new(right_reads, right_writes),
    )
}

/// Makes a listening socket and the handle by which to connect to it.
///
/// Up to `backlog` connections (at least 1) wait to be accepted: what a connector makes the host
/// keep for a listener that accepts nothing. Each direction of a connection holds `capacity` bytes.
pub fn listener(backlog: usize, capacity: usize) -> (SocketListener, Connector) {
    let queue = Arc::new(Queue {
        backlog: backlog.max(1),
        capacity,
        connectors: AtomicUsize::new(1),
        state: Mutex::new(QueueState {
            waiting: VecDeque::new(),
            listening: true,
            acceptors: Waiters::default(),
        }),
    });
    let listener = SocketListener {
        qid: Qid::unnumbered(FileKind::SocketStream),
        queue: queue.clone(),
    };
    (listener, Connector { queue })
}

/// A connected stream socket. Dropping it ends both directions.
pub struct StreamSocket {
    qid: Qid,
    reader: Option<PipeReader>,
    writer: Option<PipeWriter>,
}

impl StreamSocket {
    fn new(reader: PipeReader, writer: PipeWriter) -> Self {
        StreamSocket {
            qid: Qid::unnumbered(FileKind::SocketStream),
            reader: Some(reader),
            writer: Some(writer),
        }
    }
}

impl OpenFile for StreamSocket {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        match &mut self.reader {
            Some(reader) => reader.poll_read(context, offset, sink),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        match &mut self.writer {
            Some(writer) => writer.poll_write(context, at, source),
            None => Poll::Ready(Err(Errno::Pipe)),
        }
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        const ENDED: Readiness = Readiness {
            bytes: 0,
            hangup: true,
        };
        match interest {
            Interest::Read => match &mut self.reader {
                Some(reader) => reader.poll_ready(context, interest),
                None => Poll::Ready(Ok(ENDED)),
            },
            Interest::Write => match &mut self.writer {
                Some(writer) => writer.poll_ready(context, interest),
                None => Poll::Ready(Ok(ENDED)),
            },
        }
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        Some(self)
    }
}

impl Socket for StreamSocket {
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        match &mut self.reader {
            Some(reader) => reader.poll_peek(context, sink),
            None => Poll::Ready(Ok(0)),
        }
    }

    /// Ends one or both directions; ending one that has ended changes nothing. What had
    /// come in and wasn't read is lost with the reading direction.
    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno> {
        if read {
            self.reader = None;
        }
        if write {
            self.writer = None;
        }
        Ok(())
    }
}

/// A socket that has no name, as a node: it can be looked at, and not opened again. It is what a
/// [`Listener`] hands out beside the connection.
pub struct SocketNode {
    qid: Qid,
}

impl SocketNode {
    /// The node of the socket with this identity.
    pub fn new(qid: Qid) -> Self {
        SocketNode { qid }
    }
}

impl Node for SocketNode {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Nxio`]: always, as open(2) answers for a socket
    fn open(&self, _how: OpenHow) -> Op<Box<dyn OpenFile>> {
        Op::err(Errno::Nxio)
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What a listener and its connectors share.
struct Queue {
    backlog: usize,
    capacity: usize,
    connectors: AtomicUsize,
    state: Mutex<QueueState>,
}

struct QueueState {
    waiting: VecDeque<StreamSocket>,
    listening: bool,
    acceptors: Waiters,
}

impl Queue {
    /// Nobody can connect any more.
    fn deserted(&self) -> bool {
        self.connectors.load(Ordering::Acquire) == 0
    }
}

/// Who accepts, among those who wait: there is one.
const LISTENER: u64 = 0;

/// A listening socket. Dropping it refuses whoever waits and whoever comes.
pub struct SocketListener {
    qid: Qid,
    queue: Arc<Queue>,
}

impl OpenFile for SocketListener {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Notconn))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Notconn))
    }

    /// Ready for reading when there is a connection to accept; `bytes` counts them.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Write {
            return Poll::Ready(Err(Errno::Notconn));
        }
        let mut state = lock(&self.queue.state);
        let readiness = Readiness {
            bytes: state.waiting.len() as u64,
            hangup: self.queue.deserted(),
        };
        if readiness.bytes == 0 && !readiness.hangup {
            let crowded = state.acceptors.register(LISTENER, context);
            drop(state);
            crowded.wake();
            return Poll::Pending;
        }
        Poll::Ready(Ok(readiness))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn listener(&mut self) -> Option<&mut dyn Listener> {
        Some(self)
    }
}

impl Listener for SocketListener {
    /// # Errors
    /// - [`Errno::Connaborted`]: every connector is gone, so no connection will come
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Errno>> {
        let mut state = lock(&self.queue.state);
        if let Some(socket) = state.waiting.pop_front() {
            return Poll::Ready(Ok(Opened {
                node: Arc::new(SocketNode::new(socket.qid)),
                file: Box::new(socket),
            }));
        }
        if self.queue.deserted() {
            return Poll::Ready(Err(Errno::Connaborted));
        }
        let crowded = state.acceptors.register(LISTENER, context);
        drop(state);
        crowded.wake();
        Poll::Pending
    }
}

impl Drop for SocketListener {
    fn drop(&mut self) {
        let refused = {
            let mut state = lock(&self.queue.state);
            state.listening = false;
            std::mem::take(&mut state.waiting)
        };
        // Closing wakes the other sides, so it happens without the lock.
        drop(refused);
    }
}

/// Makes connections to a [`SocketListener`]. A clone connects to the same listener.
pub struct Connector {
    queue: Arc<Queue>,
}

impl Connector {
    /// Connects, without waiting for the connection to be accepted.
    ///
    /// # Errors
    /// - [`Errno::Connrefused`]: the listener is closed
    /// - [`Errno::Again`]: as many connections wait as the listener lets
    pub fn connect(&self) -> Result<StreamSocket, Errno> {
        let mut state = lock(&self.queue.state);
        if !state.listening {
            return Err(Errno::Connrefused);
        }
        if state.waiting.len() >= self.queue.backlog {
            return Err(Errno::Again);
        }
        let (near, far) = socket_pair(self.queue.capacity);
        state.waiting.push_back(far);
        let woken = state.acceptors.take();
        drop(state);
        woken.wake();
        Ok(near)
    }
}

impl Clone for Connector {
    fn clone(&self) -> Self {
        self.queue.connectors.fetch_add(1, Ordering::Relaxed);
        Connector {
            queue: self.queue.clone(),
        }
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        if self.queue.connectors.fetch_sub(1, Ordering::AcqRel) == 1 {
            let woken = lock(&self.queue.state).acceptors.take();
            woken.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn read(file: &mut dyn OpenFile, room: usize) -> Poll<Result<Vec<u8>, Errno>> {
        let mut bytes = vec![0; room];
        let mut context = Context::from_waker(Waker::noop());
        let poll = file.poll_read(&mut context, 0, &mut &mut bytes[..]);
        poll.map_ok(|count| bytes[..count].to_vec())
    }

    fn write(file: &mut dyn OpenFile, mut bytes: &[u8]) -> Poll<Result<usize, Errno>> {
        let mut context = Context::from_waker(Waker::noop());
        let poll = file.poll_write(&mut context, WriteAt::End, &mut bytes);
        poll.map_ok(|written| written.bytes)
    }

    #[test]
    fn both_directions_are_apart() {
        let (mut left, mut right) = socket_pair(64);
        assert_eq!(write(&mut left, b"ping"), Poll::Ready(Ok(4)));
        assert!(read(&mut left, 4).is_pending());
        let mut context = Context::from_waker(Waker::noop());
        let mut peeked = [0; 2];
        let peek = right.poll_peek(&mut context, &mut &mut peeked[..]);
        assert_eq!((peek, &peeked), (Poll::Ready(Ok(2)), b"pi"));
        assert_eq!(read(&mut right, 9), Poll::Ready(Ok(b"ping".to_vec())));

        left.shutdown(false, true).unwrap();
        assert_eq!(read(&mut right, 9), Poll::Ready(Ok(vec![])));
        assert_eq!(write(&mut left, b"x"), Poll::Ready(Err(Errno::Pipe)));
        assert_eq!(write(&mut right, b"pong"), Poll::Ready(Ok(4)));
        assert_eq!(read(&mut left, 9), Poll::Ready(Ok(b"pong".to_vec())));

        left.shutdown(true, false).unwrap();
        assert_eq!(read(&mut left, 9), Poll::Ready(Ok(vec![])));
        assert_eq!(write(&mut right, b"x"), Poll::Ready(Err(Errno::Pipe)));
    }

    #[test]
    fn a_listener_hands_out_connections_in_order() {
        let (mut listener, connector) = listener(2, 64);
        let mut context = Context::from_waker(Waker::noop());
        assert!(listener.poll_accept(&mut context).is_pending());
        let mut first = connector.connect().unwrap();
        let _second = connector.clone().connect().unwrap();
        assert_eq!(connector.connect().err(), Some(Errno::Again));
        let ready = listener.poll_ready(&mut context, Interest::Read);
        let expected = Readiness {
            bytes: 2,
            hangup: false,
        };
        assert_eq!(ready, Poll::Ready(Ok(expected)));

        let Poll::Ready(Ok(mut accepted)) = listener.poll_accept(&mut context) else {
            panic!("two connections wait");
        };
        assert_eq!(accepted.node.qid().kind, FileKind::SocketStream);
        assert_eq!(write(&mut first, b"hi"), Poll::Ready(Ok(2)));
        assert_eq!(
            read(&mut *accepted.file, 9),
            Poll::Ready(Ok(b"hi".to_vec()))
        );
        let Op::Ready(result) = accepted.node.open(OpenHow::default()) else {
            panic!("sockets answer at once");
        };
        assert_eq!(result.err(), Some(Errno::Nxio));
    }

    #[test]
    fn a_listener_that_closes_ends_the_connections_that_wait() {
        let (listener, connector) = listener(2, 64);
        let mut waiting = connector.connect().unwrap();
        drop(listener);
        assert_eq!(read(&mut waiting, 1), Poll::Ready(Ok(vec![])));
        assert_eq!(write(&mut waiting, b"x"), Poll::Ready(Err(Errno::Pipe)));
        assert_eq!(connector.connect().err(), Some(Errno::Connrefused));
    }

    #[test]
    fn accepting_ends_when_nobody_can_connect() {
        let (mut listener, connector) = listener(2, 64);
        let socket = connector.connect().unwrap();
        drop(connector);
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(
            listener.poll_accept(&mut context),
            Poll::Ready(Ok(_))
        ));
        let end = listener.poll_accept(&mut context);
        assert!(matches!(end, Poll::Ready(Err(Errno::Connaborted))));
        drop(socket);
    }
}
