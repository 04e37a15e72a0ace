//! Open files behind a gate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::{OperationKind, Path, Shared};
use crate::device::lock::lock;
use crate::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Interest, Listener, Op, OpenFile, Opened,
    Readiness, SavedFile, SetStat, Socket, Stat, WriteAt, Written,
};

/// An open file behind a gate.
pub(super) struct GatedFile {
    inner: Box<dyn OpenFile>,
    gate: Arc<Shared>,
    path: Path,
    id: u64,
    /// When the read and the write under way began.
    read_began: Option<u64>,
    write_began: Option<u64>,
    /// Whether the gate would wake somebody.
    waits: bool,
}

impl GatedFile {
    pub(super) fn new(inner: Box<dyn OpenFile>, gate: Arc<Shared>, path: Path) -> Self {
        GatedFile {
            inner,
            id: gate.next_file.fetch_add(1, Ordering::Relaxed),
            gate,
            path,
            read_began: None,
            write_began: None,
            waits: false,
        }
    }

    /// What is asked of the gate before each poll of the file. What was under way is given up where it may not pass: what is
    /// refused is not done, and what follows is not taken for it.
    fn pass(&mut self) -> Result<(), Errno> {
        self.gate.pass().inspect_err(|_| self.cancel())
    }

    /// What is done after a poll of the file: whoever waits is to be woken by the gate, too.
    fn settle<T>(
        &mut self,
        context: &Context<'_>,
        kind: OperationKind,
        began: u64,
        mut outcome: Poll<Result<T, Errno>>,
        amount: impl FnOnce(&T) -> u64,
    ) -> Poll<Result<T, Errno>> {
        if outcome.is_pending() {
            self.gate.wait(self.id, context);
            self.waits = true;
            // It may have been shut before the waker was there.
            if let Err(errno) = self.pass() {
                outcome = Poll::Ready(Err(errno));
            }
        }
        match &outcome {
            Poll::Pending => {}
            // A call that found nothing and asks again later has not happened.
            Poll::Ready(Err(Errno::Again)) => {}
            Poll::Ready(result) => {
                let result = result.as_ref().map(amount).map_err(|errno| *errno);
                // A device is asked what the file stands for only if somebody wants to know.
                let subject = match self.gate.watch {
                    Some(_) => self.inner.subject(),
                    None => None,
                };
                self.gate
                    .ended(kind, (&self.path, subject.as_deref()), began, result);
            }
        }
        outcome
    }
}

impl Drop for GatedFile {
    fn drop(&mut self) {
        if self.waits {
            lock(&self.gate.waiters).forget(self.id);
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl OpenFile for GatedFile {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        let began = match self.read_began.take() {
            Some(began) => began,
            None => {
                self.gate.tellable()?;
                self.gate.now()
            }
        };
        let outcome = match self.pass() {
            Ok(()) => self.inner.poll_read(context, offset, sink),
            Err(errno) => Poll::Ready(Err(errno)),
        };
        if outcome.is_pending() {
            self.read_began = Some(began);
        }
        self.settle(context, OperationKind::Read, began, outcome, |bytes| {
            *bytes as u64
        })
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let began = match self.write_began.take() {
            Some(began) => began,
            None => {
                self.gate.tellable()?;
                self.gate.now()
            }
        };
        let outcome = match self.pass() {
            Ok(()) => self.inner.poll_write(context, at, source),
            Err(errno) => Poll::Ready(Err(errno)),
        };
        if outcome.is_pending() {
            self.write_began = Some(began);
        }
        self.settle(context, OperationKind::Write, began, outcome, |written| {
            written.bytes as u64
        })
    }

    /// Waiting is not counted: it is part of what it waits for.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        self.pass()?;
        let outcome = self.inner.poll_ready(context, interest);
        if outcome.is_pending() {
            self.gate.wait(self.id, context);
            self.waits = true;
            self.pass()?;
        }
        outcome
    }

    fn seekable(&self) -> bool {
        self.inner.seekable()
    }

    fn position(&self) -> u64 {
        self.inner.position()
    }

    fn stat(&self) -> Op<Stat> {
        let start = || self.inner.stat();
        self.gate
            .through(OperationKind::Stat, &self.path, None, start, |_| 0)
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        let start = || self.inner.set_stat(change);
        self.gate
            .through(OperationKind::Stat, &self.path, None, start, |()| 0)
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let start = || self.inner.allocate(offset, length);
        self.gate
            .through(OperationKind::Write, &self.path, None, start, |()| 0)
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        let start = || self.inner.sync(data_only);
        self.gate
            .through(OperationKind::Sync, &self.path, None, start, |()| 0)
    }

    fn set_nonblocking(&mut self, nonblocking: bool) {
        self.inner.set_nonblocking(nonblocking);
    }

    /// What was given up has not happened.
    fn cancel(&mut self) {
        self.read_began = None;
        self.write_began = None;
        self.inner.cancel();
    }

    fn finish(&mut self) -> Op<()> {
        if let Err(errno) = self.pass() {
            // What was written and not done yet is lost, and whoever wrote it is told; of other files nothing is.
            return match self.inner.unfinished() {
                true => Op::err(errno),
                false => Op::ok(()),
            };
        }
        // Most files have nothing to finish, and closing alone is no operation.
        match self.inner.finish() {
            Op::Later(finishing) => {
                let start = || Op::Later(finishing);
                self.gate
                    .through(OperationKind::Sync, &self.path, None, start, |()| 0)
            }
            finished => finished,
        }
    }

    fn unfinished(&self) -> bool {
        self.inner.unfinished()
    }

    fn subject(&self) -> Option<String> {
        self.inner.subject()
    }

    /// A call that has begun is told of when it ends, which it would not.
    fn save(&self) -> Result<SavedFile, Errno> {
        self.inner.save()
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        self.inner.entries()?;
        Some(self)
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        self.inner.socket()?;
        Some(self)
    }

    fn listener(&mut self) -> Option<&mut dyn Listener> {
        self.inner.listener()?;
        Some(self)
    }
}

impl Entries for GatedFile {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let start = || match self.inner.entries() {
            Some(entries) => entries.list(cookie, max),
            None => Op::err(Errno::Notdir),
        };
        self.gate
            .through(OperationKind::List, &self.path, None, start, |entries| {
                entries.len() as u64
            })
    }
}

impl Socket for GatedFile {
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.pass()?;
        let outcome = match self.inner.socket() {
            Some(socket) => socket.poll_peek(context, sink),
            None => Poll::Ready(Err(Errno::Notsock)),
        };
        let began = self.gate.now();
        self.settle(context, OperationKind::Read, began, outcome, |_| 0)
    }

    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno> {
        self.pass()?;
        self.inner
            .socket()
            .ok_or(Errno::Notsock)?
            .shutdown(read, write)
    }
}

impl Listener for GatedFile {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Errno>> {
        self.pass()?;
        let outcome = match self.inner.listener() {
            Some(listener) => listener.poll_accept(context),
            None => Poll::Ready(Err(Errno::Notsock)),
        };
        let (gate, path) = (self.gate.clone(), self.path.clone());
        let began = self.gate.now();
        self.settle(context, OperationKind::Accept, began, outcome, |_| 0)
            .map(|result| {
                result.map(|Opened { node, file }| Opened {
                    node,
                    file: Box::new(GatedFile::new(file, gate, path)),
                })
            })
    }
}
