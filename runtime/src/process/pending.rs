//! The call under way: which one it is, what it has done so far, and how it is given up.
//!
//! At most one call is under way. It is known by its name and its arguments, so that no other call can take
//! its state for its own: whatever is under way when another call begins was given up, and is cancelled.

use std::task::{Context, Poll};

use capfs::account::Buffer;
use capfs::device::null::Null;
use capfs::device::parts::Unread;
use capfs::{BoxedFuture, DirEntry, Errno, MaybeSend, Op, OpenFile, Place, Stat};

use super::Process;
use super::fds::Descriptor;
use super::poll::Moments;

/// Parameters of the call that has most of them, `path_open`.
const ARGUMENTS_MAX: usize = 9;

/// Which call, with which arguments.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    name: &'static str,
    arguments: [u64; ARGUMENTS_MAX],
}

impl Call {
    pub(super) fn new<const N: usize>(name: &'static str, given: [u64; N]) -> Call {
        const { assert!(N <= ARGUMENTS_MAX) };
        let mut arguments = [0; ARGUMENTS_MAX];
        arguments[..N].copy_from_slice(&given);
        Call { name, arguments }
    }
}

/// What tells which call this is, should it be needed: only calls that wait do. It holds the arguments, and whoever needs it asks it on the
/// spot: passed on by reference, arguments would have to be in memory for every call.
macro_rules! call {
    ($name:ident($($argument:expr),* $(,)?)) => {
        move || $crate::process::pending::Call::new(stringify!($name), [$($argument as u64),*])
    };
}
pub(super) use call;

/// The call under way.
pub(super) struct UnderWay {
    call: Call,
    state: Pending,
}

/// The state of a call that waits.
pub(super) enum Pending {
    /// A control operation of a device.
    Control(BoxedFuture<Result<Outcome, Errno>>),
    /// A write whose bytes were taken: the sync that it owes.
    Synced(BoxedFuture<Result<(), Errno>>),
    /// A read, a write or an accept of the open file with this number, which keeps the rest of the state.
    Transfer(u32),
    /// `fd_readdir`, in the middle of a buffer.
    List {
        /// The batch that is waited for.
        entries: Option<BoxedFuture<Result<Vec<DirEntry>, Errno>>>,
        /// Bytes of the buffer that are filled.
        used: u32,
        /// The device's cookie behind the last entry in it.
        after: u64,
    },
    /// `poll_oneoff`: the moments of its clock subscriptions.
    Poll(Moments),
    /// `sock_recv` with `WAITALL`: the descriptor, and the bytes received so far.
    Received(u32, Buffer),
    /// `random_get`: bytes filled so far.
    Filled(u32),
}

/// What a control operation that ends later yields to the call that awaits it.
pub(super) enum Outcome {
    Done,
    Stat((u64, Stat)),
    Opened((Place, Box<dyn OpenFile>)),
    Text(String),
}

/// What a control operation may yield. It is an [`Outcome`] only while the call waits: what ends at once, as most do, is
/// handed on as it is.
pub(super) trait Yielded: MaybeSend + Sized + 'static {
    fn keep(self) -> Outcome;
    /// `None` for what another operation yields.
    fn take(kept: Outcome) -> Option<Self>;
}

macro_rules! yielded {
    ($($yielded:ty: $outcome:ident;)*) => {$(
        impl Yielded for $yielded {
            fn keep(self) -> Outcome {
                Outcome::$outcome(self)
            }

            fn take(kept: Outcome) -> Option<Self> {
                match kept {
                    Outcome::$outcome(yielded) => Some(yielded),
                    _ => None,
                }
            }
        }
    )*};
}

yielded! {
    (u64, Stat): Stat;
    (Place, Box<dyn OpenFile>): Opened;
    String: Text;
}

impl Yielded for () {
    fn keep(self) -> Outcome {
        Outcome::Done
    }

    fn take(kept: Outcome) -> Option<Self> {
        matches!(kept, Outcome::Done).then_some(())
    }
}

/// Closes what a descriptor was: goes on until what closing begins is done.
pub(super) fn closing(mut descriptor: Box<Descriptor>) -> Op<()> {
    match descriptor.file.finish() {
        Op::Ready(result) => Op::Ready(result),
        Op::Later(finishing) => Op::later(async move {
            let finished = finishing.await;
            drop(descriptor);
            finished
        }),
    }
}

/// Gives bytes back that were read from a descriptor, and that the guest never had.
fn give_back(descriptor: &mut Descriptor, bytes: Buffer) {
    match &descriptor.unread {
        Some(unread) => unread.put_back(bytes),
        None => {
            // Nobody sees the file in between.
            let file = std::mem::replace(&mut descriptor.file, Box::new(Null));
            let (unread, file) = Unread::before(file, bytes);
            (descriptor.unread, descriptor.file) = (Some(unread), file);
        }
    }
}

impl Process {
    /// Takes the state of a call, if it is the one that is under way. One that is another was given up.
    #[inline(always)]
    pub(super) fn resume(&mut self, call: impl FnOnce() -> Call) -> Option<Pending> {
        match self.pending {
            None => None,
            Some(_) => self.resumed(&call()),
        }
    }

    #[cold]
    fn resumed(&mut self, call: &Call) -> Option<Pending> {
        if self
            .pending
            .as_ref()
            .is_some_and(|under_way| under_way.call == *call)
        {
            self.deadline = None;
            // It counts itself again.
            self.usage.calls -= 1;
            return self.pending.take().map(|under_way| under_way.state);
        }
        self.cancel();
        None
    }

    /// Keeps the state of a call that waits.
    #[cold]
    pub(super) fn suspend<T>(&mut self, call: Call, state: Pending) -> Poll<T> {
        self.pending = Some(UnderWay { call, state });
        Poll::Pending
    }

    /// Lets the host look at its clock, and at whether the process is to end, before a long call goes on.
    #[cold]
    pub(super) fn pause<T>(&mut self, call: Call, state: Pending) -> Poll<T> {
        // It has come already.
        self.deadline = Some(0);
        self.suspend(call, state)
    }

    /// Gives up the call that returned `Pending`: nothing of it is left, and no later call is taken for it. What it
    /// asked of a device is cancelled; bytes that a read would have brought stay for the next read, and a write that
    /// has not returned has written nothing, as far as the device can tell. Does nothing where no call waits.
    ///
    /// To be called by a host that won't make the call again: it answers with an errno instead, or ends the program. Where
    /// `true` is returned the call has happened all the same, and what it yields is in the guest's memory: the answer is success.
    /// This is a write with `SYNC` whose bytes were taken and whose sync is waited for: they are as durable as without.
    pub fn cancel(&mut self) -> bool {
        self.deadline = None;
        let Some(UnderWay { state, .. }) = self.pending.take() else {
            return false;
        };
        let (fd, received) = match state {
            Pending::Transfer(fd) => (fd, None),
            Pending::Received(fd, received) => (fd, Some(received)),
            Pending::Synced(_) => return true,
            _ => return false,
        };
        let Ok(descriptor) = self.fds.get(fd) else {
            return false;
        };
        descriptor.file.cancel();
        if let Some(received) = received.filter(|received| !received.is_empty()) {
            give_back(descriptor, received);
        }
        false
    }

    /// Closes every descriptor of a program that has ended by its own will, and goes on until what closing them
    /// begins is done, such as a command without a newline in a ctl file. Errors have nobody to go to.
    ///
    /// A program that was ended from outside finishes nothing: there, dropping the process is enough.
    pub fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.cancel();
        for descriptor in self.fds.take_all() {
            if let Op::Later(closing) = closing(descriptor) {
                self.closing.push(closing);
            }
        }
        self.closing
            .retain_mut(|closing| closing.as_mut().poll(context).is_pending());
        match self.closing.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }

    /// Counts a call that is refused before its control operation, which counts the others.
    #[inline]
    pub(super) fn counted<T>(&mut self, checked: Result<T, Errno>) -> Result<T, Errno> {
        if checked.is_err() {
            self.usage.calls += 1;
        }
        checked
    }

    /// Runs a control operation, or goes on with the one under way.
    #[inline]
    pub(super) fn control<T: Yielded>(
        &mut self,
        context: &mut Context<'_>,
        call: impl Fn() -> Call,
        start: impl FnOnce(&mut Self) -> Result<Op<T>, Errno>,
    ) -> Poll<Result<T, Errno>> {
        let resumed = self.resume(&call);
        self.usage.calls += 1;
        let future = match resumed {
            Some(Pending::Control(future)) => future,
            _ => match start(self)? {
                Op::Ready(result) => return Poll::Ready(result),
                Op::Later(future) => Box::pin(async move { future.await.map(T::keep) }),
            },
        };
        self.control_later(context, call(), future)
    }

    /// Polls the control operation of a call.
    #[cold]
    fn control_later<T: Yielded>(
        &mut self,
        context: &mut Context<'_>,
        call: Call,
        mut future: BoxedFuture<Result<Outcome, Errno>>,
    ) -> Poll<Result<T, Errno>> {
        match future.as_mut().poll(context) {
            Poll::Pending => self.suspend(call, Pending::Control(future)),
            Poll::Ready(outcome) => {
                // A call is taken for no other, so this is what it yields.
                Poll::Ready(outcome.and_then(|outcome| T::take(outcome).ok_or(Errno::Io)))
            }
        }
    }
}
