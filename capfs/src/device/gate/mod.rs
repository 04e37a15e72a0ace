//! A gate in front of a device: counts what is done with it, tells an observer, and can be shut.
//!
//! Hosts put one in front of every capability that they grant. Once it is revoked every operation fails
//! with [`REVOKED`], on files that were open as on new ones, and whoever waits is woken to learn it
//! (revoke(2) of the BSDs).

mod file;
mod node;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::lock::lock;
use super::sync::Mutex;
use super::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use super::waiters::Waiters;
use crate::account::{Account, Charge, Holding};
use crate::clock::Clock;
use crate::{BoxedFuture, Errno, MaybeSend, MaybeSync, NodeRef, Op, PATH_MAX};

/// What every operation fails with after a capability was revoked: the device is gone.
pub const REVOKED: Errno = Errno::Nodev;

/// Bytes of a file's path within a device that somebody is told of: beyond is [`Errno::Nametoolong`]. A call walks [`PATH_MAX`] at once, but
/// from a directory that is open it goes on, and what is told must have an end.
pub const WATCHED_PATH_MAX: usize = 4 * PATH_MAX;

/// What is done with a file of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// A file was opened.
    Open,
    /// Bytes were read.
    Read,
    /// Bytes were written: commands, too.
    Write,
    /// What is known about a file was asked or changed.
    Stat,
    /// A directory was listed.
    List,
    /// A name was made.
    Create,
    /// A name was taken away.
    Remove,
    /// A name was moved.
    Rename,
    /// Contents were made durable.
    Sync,
    /// A connection was accepted.
    Accept,
}

impl OperationKind {
    /// One word for it.
    pub const fn name(self) -> &'static str {
        match self {
            OperationKind::Open => "open",
            OperationKind::Read => "read",
            OperationKind::Write => "write",
            OperationKind::Stat => "stat",
            OperationKind::List => "list",
            OperationKind::Create => "create",
            OperationKind::Remove => "remove",
            OperationKind::Rename => "rename",
            OperationKind::Sync => "sync",
            OperationKind::Accept => "accept",
        }
    }
}

/// An operation that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// What was done.
    pub kind: OperationKind,
    /// The file's path within the device; empty for its root.
    pub path: &'a str,
    /// What the file stands for, where it stands for something outside (see
    /// [`OpenFile::subject`](crate::OpenFile::subject)).
    pub subject: Option<&'a str>,
    /// Bytes that were moved, or entries that were listed.
    pub amount: u64,
    /// How it ended.
    pub outcome: Result<(), Errno>,
    /// Nanoseconds from its begin, waiting included.
    pub duration: u64,
}

/// Who is told of every operation, when it has ended.
pub trait Observer: MaybeSend + MaybeSync + 'static {
    /// Takes note. It must neither wait nor use the device.
    fn observe(&self, operation: &Operation<'_>);

    /// Whether note can be taken of one more operation; asked before each is begun, and before its outcome is given.
    ///
    /// # Errors
    /// What the operation fails with instead: what can't be told is not done. It is counted, and nobody is told of it who could take note of
    /// nothing.
    fn ready(&self) -> Result<(), Errno> {
        Ok(())
    }
}

/// What went through a gate so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateUsage {
    /// Operations that have ended.
    pub operations: u64,
    /// Those that failed.
    pub errors: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes written.
    pub bytes_written: u64,
}

/// The handle of a gate.
#[derive(Clone)]
pub struct Gate(Arc<Shared>);

struct Shared {
    revoked: AtomicBool,
    waiters: Mutex<Waiters>,
    next_file: AtomicU64,
    operations: AtomicU64,
    errors: AtomicU64,
    bytes_read: AtomicU64,
    bytes_written: AtomicU64,
    watch: Option<Watch>,
}

/// Bytes of a file's path that an open descriptor or a node pays for anyway; a longer one is charged to an account.
const PATH_FREE: usize = 512;

/// Who is told of what is done behind a gate.
pub struct Watch {
    /// Is told.
    pub observer: Arc<dyn Observer>,
    /// Times what it is told.
    pub clock: Arc<dyn Clock>,
    /// Whose operations they are: the paths that are told are kept for as long as a file is open, and charged to it where they are long.
    pub account: Account,
}

impl Gate {
    /// Puts a gate in front of `root`; `watch` is told of every operation.
    pub fn new(root: NodeRef, watch: Option<Watch>) -> (Gate, NodeRef) {
        let gate = Gate(Arc::new(Shared {
            revoked: AtomicBool::new(false),
            waiters: Mutex::default(),
            next_file: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            bytes_read: AtomicU64::new(0),
            bytes_written: AtomicU64::new(0),
            watch,
        }));
        let node = node::gated(root, gate.0.clone());
        (gate, node)
    }

    /// Puts the gate in front of another device, too: it is counted, watched and taken away with the first.
    pub fn guard(&self, root: NodeRef) -> NodeRef {
        node::gated(root, self.0.clone())
    }

    /// Takes the capability away, for good.
    pub fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Release);
        let woken = lock(&self.0.waiters).take();
        woken.wake();
    }

    /// Whether it was taken away.
    pub fn is_revoked(&self) -> bool {
        self.0.revoked.load(Ordering::Acquire)
    }

    /// What went through so far.
    pub fn usage(&self) -> GateUsage {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GateUsage {
            operations: count(&self.0.operations),
            errors: count(&self.0.errors),
            bytes_read: count(&self.0.bytes_read),
            bytes_written: count(&self.0.bytes_written),
        }
    }
}

/// The name of a file within the device, as far as somebody wants to know it.
#[derive(Clone)]
struct Path(Option<Arc<Told>>);

/// A path that is told.
struct Told {
    text: Box<str>,
    /// For its bytes, where it is long.
    _charge: Option<Charge>,
}

impl Path {
    /// That of a device, whose files' paths are told or not.
    fn root(told: bool) -> Path {
        let root = || {
            Arc::new(Told {
                text: Box::default(),
                _charge: None,
            })
        };
        Path(told.then(root))
    }

    fn as_str(&self) -> &str {
        self.0.as_ref().map_or("", |told| &told.text)
    }
}

impl Shared {
    /// The path of a name in a directory.
    ///
    /// # Errors
    /// - [`Errno::Nametoolong`]: over [`WATCHED_PATH_MAX`]
    /// - [`Errno::Nomem`]: over the limit of the account
    fn child(&self, path: &Path, name: &str) -> Result<Path, Errno> {
        let (Some(watch), Some(_)) = (&self.watch, &path.0) else {
            return Ok(Path(None));
        };
        let before = path.as_str();
        let length = before.len() + name.len() + 1;
        if length > WATCHED_PATH_MAX {
            return Err(Errno::Nametoolong);
        }
        let charged = || watch.account.charge(Holding::Descriptors, length as u64);
        let charge = (length > PATH_FREE).then(charged).transpose()?;
        let text = match before {
            "" => name.into(),
            before => format!("{before}/{name}").into(),
        };
        Ok(Path(Some(Arc::new(Told {
            text,
            _charge: charge,
        }))))
    }

    /// # Errors
    /// [`REVOKED`], or why nobody can be told.
    fn pass(&self) -> Result<(), Errno> {
        match (self.revoked.load(Ordering::Acquire), &self.watch) {
            (true, _) => Err(REVOKED),
            (false, Some(watch)) => watch.observer.ready(),
            (false, None) => Ok(()),
        }
    }

    /// Whether note can be taken of an operation that is to begin; one that is refused for this is counted here.
    ///
    /// # Errors
    /// Why nobody can be told.
    fn tellable(&self) -> Result<(), Errno> {
        let (false, Some(watch)) = (self.revoked.load(Ordering::Acquire), &self.watch) else {
            return Ok(());
        };
        watch.observer.ready().inspect_err(|_| {
            self.operations.fetch_add(1, Ordering::Relaxed);
            self.errors.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The time, where somebody wants to know how long things take.
    fn now(&self) -> u64 {
        self.watch
            .as_ref()
            .map_or(0, |watch| watch.clock.monotonic())
    }

    /// Whoever waits behind the gate is to be woken when it is shut.
    fn wait(&self, file: u64, context: &Context<'_>) {
        let crowded = lock(&self.waiters).register(file, context);
        crowded.wake();
    }

    fn ended(
        &self,
        kind: OperationKind,
        (path, subject): (&Path, Option<&str>),
        began: u64,
        outcome: Result<u64, Errno>,
    ) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let amount = outcome.unwrap_or(0);
        match (kind, outcome) {
            (_, Err(_)) => self.errors.fetch_add(1, Ordering::Relaxed),
            (OperationKind::Read, _) => self.bytes_read.fetch_add(amount, Ordering::Relaxed),
            (OperationKind::Write, _) => self.bytes_written.fetch_add(amount, Ordering::Relaxed),
            _ => 0,
        };
        if let Some(watch) = &self.watch {
            watch.observer.observe(&Operation {
                kind,
                path: path.as_str(),
                subject,
                amount,
                outcome: outcome.map(|_| ()),
                duration: watch.clock.monotonic().saturating_sub(began),
            });
        }
    }

    /// Goes on with an operation that waits, but not beyond the moment when the gate is shut: it is cancelled then.
    async fn until_shut<T>(
        self: Arc<Self>,
        mut operation: BoxedFuture<Result<T, Errno>>,
    ) -> Result<T, Errno> {
        let id = self.next_file.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting { gate: self, id };
        poll_fn(|context| {
            let polled = operation.as_mut().poll(context);
            if polled.is_pending() {
                waiting.gate.wait(waiting.id, context);
                // It may have been shut just before that.
                if let Err(errno) = waiting.gate.pass() {
                    return Poll::Ready(Err(errno));
                }
            }
            polled
        })
        .await
    }

    /// Lets an operation through that is not counted.
    fn past<T: MaybeSend + 'static>(self: &Arc<Self>, start: impl FnOnce() -> Op<T>) -> Op<T> {
        let op = match self.pass() {
            Ok(()) => start(),
            Err(errno) => Op::err(errno),
        };
        match op {
            Op::Later(future) => {
                let gate = self.clone();
                let ended = self.clone().until_shut(future);
                // What was under way when the gate was shut has not happened for the guest.
                Op::later(async move {
                    let result = ended.await;
                    gate.pass().and(result)
                })
            }
            ended => ended,
        }
    }

    /// Lets a control operation through, and notes its end.
    fn through<T: MaybeSend + 'static>(
        self: &Arc<Self>,
        kind: OperationKind,
        path: &Path,
        subject: Option<String>,
        start: impl FnOnce() -> Op<T>,
        amount: impl FnOnce(&T) -> u64 + MaybeSend + 'static,
    ) -> Op<T> {
        if let Err(errno) = self.tellable() {
            return Op::err(errno);
        }
        let began = self.now();
        let op = self.past(start);
        let (gate, path) = (self.clone(), path.clone());
        op.then_result(move |result| {
            let result = gate.pass().and(result);
            let outcome = result.as_ref().map(amount).map_err(|errno| *errno);
            gate.ended(kind, (&path, subject.as_deref()), began, outcome);
            result.into()
        })
    }
}

/// An operation that is to be woken when the gate is shut, as long as it waits.
struct Waiting {
    gate: Arc<Shared>,
    id: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.gate.waiters).forget(self.id);
    }
}

#[cfg(test)]
mod tests;
