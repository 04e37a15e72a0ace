//! Client and server over transports in memory.

mod bounds;
mod exact;
mod hostile;
mod suites;
mod walks;
mod wire;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use capfs::device::memory::{MemoryFs, MemoryLimits};
use capfs::device::parts::lock;
use capfs::testkit::ManualClock;
use capfs::{Errno, FileKind, NodeRef, Op};

use crate::wire::{Frame, Sizes, WireError, first_frame};
use crate::{Connection, Ended, Session, Transport, Trees};

pub(super) const SIZES: Sizes = Sizes::for_writes_of(16 << 20);

/// An empty tree.
pub(super) fn memory() -> NodeRef {
    MemoryFs::new(Arc::new(ManualClock::new(1)), MemoryLimits::default()).root()
}

/// The server's trees; those that were revoked are noted.
#[derive(Clone, Default)]
pub(super) struct Roots {
    all: Vec<NodeRef>,
    revoked: Arc<Mutex<Vec<u32>>>,
}

impl Trees for Roots {
    fn attach(&self, tree: u32, _path: &str) -> Op<NodeRef> {
        let tree = self.all.get(tree as usize).cloned();
        tree.ok_or(Errno::Noent).into()
    }

    fn revoke(&self, tree: u32) {
        lock(&self.revoked).push(tree);
    }
}

/// Messages that were sent and are delivered when the test says so.
#[derive(Clone, Default)]
pub(super) struct Queue {
    waiting: Arc<Mutex<VecDeque<Vec<u8>>>>,
    sent: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
}

impl Queue {
    fn next(&self) -> Option<Vec<u8>> {
        lock(&self.waiting).pop_front()
    }

    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// How many messages were sent.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Transport for Queue {
    fn send(&self, message: Vec<u8>) -> Result<(), Ended> {
        if self.ended.load(Ordering::SeqCst) {
            return Err(Ended);
        }
        self.sent.fetch_add(1, Ordering::SeqCst);
        lock(&self.waiting).push_back(message);
        Ok(())
    }

    fn waiting(&self) -> usize {
        lock(&self.waiting).iter().map(Vec::len).sum()
    }
}

/// That somebody was woken.
#[derive(Default)]
pub(super) struct Noted(AtomicBool);

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Both sides, and what is between them.
pub(super) struct Pair {
    pub client: Arc<Connection>,
    pub server: Session,
    pub up: Queue,
    pub down: Queue,
    pub roots: Roots,
    woken: Arc<Noted>,
}

impl Pair {
    pub fn of(root: NodeRef) -> Pair {
        let roots = Roots {
            all: vec![root],
            ..Roots::default()
        };
        let (up, down, woken) = (Queue::default(), Queue::default(), Arc::<Noted>::default());
        Pair {
            client: Connection::new(Box::new(up.clone()), SIZES, None),
            server: Session::new(
                Box::new(roots.clone()),
                Box::new(down.clone()),
                SIZES,
                Waker::from(woken.clone()),
            ),
            up,
            down,
            roots,
            woken,
        }
    }

    pub fn root(&self) -> NodeRef {
        let root = self.client.attach(0, FileKind::Directory, "");
        root.expect("a connection that is new has numbers")
    }

    /// Delivers what the client has sent.
    pub fn up(&self) {
        while let Some(message) = self.up.next() {
            assert_eq!(self.server.receive(message), Ok(()));
        }
        while self.woken.0.swap(false, Ordering::SeqCst) {
            self.server.advance();
        }
    }

    /// Delivers what the server has sent.
    pub fn down(&self) {
        while let Some(message) = self.down.next() {
            assert_eq!(self.client.receive(&message), Ok(()));
        }
    }

    /// Delivers everything.
    pub fn settle(&self) {
        while !lock(&self.up.waiting).is_empty()
            || !lock(&self.down.waiting).is_empty()
            || self.woken.0.load(Ordering::SeqCst)
        {
            self.up();
            self.down();
        }
    }

    /// Polls once, and delivers everything.
    pub fn poll<T>(&self, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let polled = poll(&mut Context::from_waker(Waker::noop()));
        self.settle();
        polled
    }

    /// The outcome of something that needs nobody else.
    pub fn now<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        for _ in 0..1000 {
            if let Poll::Ready(value) = self.poll(&mut poll) {
                return value;
            }
        }
        panic!("there is no answer");
    }

    pub fn end<T>(&self, op: Op<T>) -> Result<T, Errno> {
        match op {
            Op::Ready(result) => result,
            Op::Later(mut future) => self.now(|context| future.as_mut().poll(context)),
        }
    }
}

/// The frames of a message.
pub(super) fn frames(mut message: &[u8]) -> Result<Vec<Frame<'_>>, WireError> {
    let mut frames = Vec::new();
    while !message.is_empty() {
        let (frame, rest) = message.split_at(first_frame(message, SIZES)?);
        frames.push(Frame::read(frame, SIZES)?);
        message = rest;
    }
    Ok(frames)
}
