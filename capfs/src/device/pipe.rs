//! Pipes: what one end writes the other end reads (pipe(7)).
//!
//! A pipe is a bounded ring of bytes between readers and writers. Reading an empty pipe waits, until
//! the last writer is gone: then it is at its end. Writing to a full pipe waits, until the last reader
//! is gone: then it fails with `EPIPE`. A write of up to [`PIPE_BUF`] bytes goes in whole or not
//! at all, so that several writers' lines don't mix; a longer one goes in as far as there is room and
//! returns how far.
//!
//! [`pipe`] makes two open ends. [`pipe_nodes`] makes two nodes, to be mounted, that each can be opened
//! any number of times, as a FIFO can (fifo(7)): while an end was never opened the other end
//! waits for it, and once its last opener is gone the pipe has ended, until it is opened again.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Device;
use super::lock::lock;
use super::null::set_device_stat;
use super::ring::Ring;
use super::sync::{Mutex, MutexGuard};
use super::waiters::{Waiters, Woken};
use crate::account::Account;
use crate::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Node, NodeRef, Op, OpenFile, OpenHow, Qid,
    Readiness, SetStat, Stat, WriteAt, Written,
};

/// Bytes that a write puts into a pipe whole: `PIPE_BUF` of Linux. A pipe of a smaller capacity has that
/// instead.
pub const PIPE_BUF: usize = 4096;

/// Bytes that a pipe holds by default, as on Linux. It bounds what a writer makes the host keep for
/// a reader that never comes.
pub const PIPE_CAPACITY: usize = 64 << 10;

/// Makes a pipe for `capacity` bytes (at least 1), of a host's own, and returns its ends, open.
pub fn pipe(capacity: usize) -> (PipeReader, PipeWriter) {
    charged_pipe(capacity, &Account::unlimited())
}

/// Makes a pipe as [`pipe`] does. Its capacity is charged to an account once something is in it; where there is no room for
/// it, a write is `ENOMEM`.
pub fn charged_pipe(capacity: usize, account: &Account) -> (PipeReader, PipeWriter) {
    let channel = Channel::new(capacity, 0, account);
    (PipeReader::open(channel.clone()), PipeWriter::open(channel))
}

/// Makes a pipe for `capacity` bytes (at least 1) and returns its reading and its writing end as nodes of a device. It is charged
/// as that of [`charged_pipe`].
pub fn pipe_nodes(capacity: usize, device: &Device) -> (NodeRef, NodeRef) {
    let channel = Channel::new(capacity, 1, device.account());
    (
        Arc::new(PipeEnd {
            qid: device.qid(FileKind::Unknown),
            side: Side::Read,
            channel: channel.clone(),
        }),
        Arc::new(PipeEnd {
            qid: device.qid(FileKind::Unknown),
            side: Side::Write,
            channel,
        }),
    )
}

/// What stat tells of a stream, or of any file without contents and times of its own.
pub fn stream_stat(qid: Qid) -> Stat {
    Stat {
        qid,
        nlink: 1,
        size: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// What the ends of a pipe share.
struct Channel {
    state: Mutex<State>,
}

struct State {
    ring: Ring,
    readers: Openers,
    writers: Openers,
}

/// Those who have one side of a pipe open, and those who wait on that side.
#[derive(Default)]
struct Openers {
    /// Open files.
    open: usize,
    /// Nodes that can still be opened.
    nodes: usize,
    /// How often it was opened: each opening has a number among those who wait.
    openings: u64,
    waiters: Waiters,
}

impl Openers {
    /// Nobody has the side open, and either there was somebody or there can't be.
    fn gone(&self) -> bool {
        self.open == 0 && (self.openings > 0 || self.nodes == 0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Read,
    Write,
}

impl State {
    fn side(&mut self, side: Side) -> &mut Openers {
        match side {
            Side::Read => &mut self.readers,
            Side::Write => &mut self.writers,
        }
    }

    fn wake_all(&mut self) -> (Woken, Woken) {
        (self.readers.waiters.take(), self.writers.waiters.take())
    }
}

impl Channel {
    fn new(capacity: usize, nodes: usize, account: &Account) -> Arc<Channel> {
        let openers = || Openers {
            nodes,
            ..Openers::default()
        };
        Arc::new(Channel {
            state: Mutex::new(State {
                ring: Ring::new(capacity, account),
                readers: openers(),
                writers: openers(),
            }),
        })
    }

    /// Opens a side, and returns the number of the opening.
    fn open(&self, side: Side) -> u64 {
        let mut state = lock(&self.state);
        let openers = state.side(side);
        openers.open += 1;
        openers.openings += 1;
        openers.openings
    }

    fn close(&self, side: Side, id: u64) {
        let mut state = lock(&self.state);
        let openers = state.side(side);
        openers.open -= 1;
        openers.waiters.forget(id);
        self.after_close(side, state);
    }

    fn close_node(&self, side: Side) {
        let mut state = lock(&self.state);
        state.side(side).nodes -= 1;
        self.after_close(side, state);
    }

    fn after_close(&self, side: Side, mut state: MutexGuard<'_, State>) {
        if !state.side(side).gone() {
            return;
        }
        if side == Side::Read {
            // Nobody will see these any more.
            state.ring.clear();
        }
        let (readers, writers) = state.wake_all();
        drop(state);
        readers.wake();
        writers.wake();
    }
}

/// The reading end of a pipe, open. Dropping it closes it.
pub struct PipeReader {
    channel: Arc<Channel>,
    id: u64,
    qid: Qid,
}

impl PipeReader {
    fn open(channel: Arc<Channel>) -> Self {
        PipeReader {
            id: channel.open(Side::Read),
            channel,
            qid: Qid::unnumbered(FileKind::Unknown),
        }
    }

    /// Reads without taking.
    pub(super) fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll_with(context, sink, |ring, sink| ring.peek(sink))
    }

    fn poll_with(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
        get: impl FnOnce(&mut Ring, &mut dyn GuestSink) -> usize,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut state = lock(&self.channel.state);
        if state.ring.len() == 0 {
            if state.writers.gone() {
                return Poll::Ready(Ok(0));
            }
            let crowded = state.readers.waiters.register(self.id, context);
            drop(state);
            crowded.wake();
            return Poll::Pending;
        }
        let before = state.ring.len();
        let count = get(&mut state.ring, sink);
        let woken = match state.ring.len() < before {
            true => state.writers.waiters.take(),
            false => Woken::default(),
        };
        drop(state);
        woken.wake();
        Poll::Ready(Ok(count))
    }
}

impl OpenFile for PipeReader {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll_with(context, sink, |ring, sink| ring.drain(sink))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut state = lock(&self.channel.state);
        let readiness = Readiness {
            bytes: state.ring.len() as u64,
            hangup: state.writers.gone(),
        };
        if readiness.bytes == 0 && !readiness.hangup {
            let crowded = state.readers.waiters.register(self.id, context);
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
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.channel.close(Side::Read, self.id);
    }
}

/// The writing end of a pipe, open. Dropping it closes it.
pub struct PipeWriter {
    channel: Arc<Channel>,
    id: u64,
    qid: Qid,
}

impl PipeWriter {
    fn open(channel: Arc<Channel>) -> Self {
        PipeWriter {
            id: channel.open(Side::Write),
            channel,
            qid: Qid::unnumbered(FileKind::Unknown),
        }
    }
}

impl OpenFile for PipeWriter {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Badf))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let offered = source.remaining();
        if offered == 0 {
            return Poll::Ready(Ok(Written { bytes: 0, end: 0 }));
        }
        let mut state = lock(&self.channel.state);
        if state.readers.gone() {
            return Poll::Ready(Err(Errno::Pipe));
        }
        let whole = PIPE_BUF.min(state.ring.capacity());
        let needed = if offered <= whole { offered } else { 1 };
        if state.ring.room() < needed {
            let crowded = state.writers.waiters.register(self.id, context);
            drop(state);
            crowded.wake();
            return Poll::Pending;
        }
        let bytes = state.ring.fill(source)?;
        let woken = state.readers.waiters.take();
        drop(state);
        woken.wake();
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    /// A pipe is ready for writing when it has room for a write of [`PIPE_BUF`] bytes.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut state = lock(&self.channel.state);
        let room = state.ring.room();
        let readiness = Readiness {
            bytes: room as u64,
            hangup: state.readers.gone(),
        };
        if room < PIPE_BUF.min(state.ring.capacity()) && !readiness.hangup {
            let crowded = state.writers.waiters.register(self.id, context);
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
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.channel.close(Side::Write, self.id);
    }
}

/// One end of a pipe, as a node.
struct PipeEnd {
    qid: Qid,
    side: Side,
    channel: Arc<Channel>,
}

impl Node for PipeEnd {
    fn qid(&self) -> Qid {
        self.qid
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stream_stat(self.qid))
    }

    /// # Errors
    /// - [`Errno::Acces`]: asks for the direction that this end doesn't have
    fn open(&self, how: OpenHow) -> Op<Box<dyn OpenFile>> {
        match self.side {
            Side::Read if how.write => Op::err(Errno::Acces),
            Side::Write if how.read => Op::err(Errno::Acces),
            Side::Read => {
                let mut reader = PipeReader::open(self.channel.clone());
                reader.qid = self.qid;
                Op::ok(Box::new(reader))
            }
            Side::Write => {
                let mut writer = PipeWriter::open(self.channel.clone());
                writer.qid = self.qid;
                Op::ok(Box::new(writer))
            }
        }
    }

    fn set_stat(&self, change: SetStat) -> Op<()> {
        set_device_stat(change)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        self.channel.close_node(self.side);
    }
}

#[cfg(test)]
mod tests;
