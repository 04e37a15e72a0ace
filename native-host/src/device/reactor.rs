//! Waits until descriptors of the host can be read or written, and reads nothing itself.
//!
//! One thread serves the whole process, however many descriptors are waited for. It is started by the
//! first wait: a program that never waits costs none.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use capfs::{Errno, Interest};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use super::errors::errno;

/// Events that are taken from the system at a time; more come with the next call.
const EVENTS: usize = 64;

/// A descriptor that can be waited for. Dropping it ends the wait.
pub(super) struct Watch {
    reactor: &'static Reactor,
    key: u64,
}

impl Watch {
    /// Prepares waiting for `fd`, of which it keeps a duplicate.
    ///
    /// # Errors
    /// When there is no descriptor or no thread left, or when `fd` can't be waited for: a regular file, say.
    fn new(fd: BorrowedFd<'_>) -> io::Result<Watch> {
        let reactor = Reactor::get()?;
        let fd = fd.try_clone_to_owned()?;
        let mut watched = reactor.watched();
        let key = watched.next;
        watched.next += 1;
        epoll::add(
            &reactor.epoll,
            &fd,
            EventData::new_u64(key),
            flags(false, false),
        )?;
        watched.entries.insert(
            key,
            Entry {
                fd,
                reader: None,
                writer: None,
            },
        );
        Ok(Watch { reactor, key })
    }

    /// Wakes the context once the descriptor is ready. Asking again replaces what was asked before with the
    /// same interest.
    ///
    /// # Errors
    /// What the system says.
    fn wake_when_ready(&self, interest: Interest, context: &Context<'_>) -> io::Result<()> {
        let mut watched = self.reactor.watched();
        let Some(entry) = watched.entries.get_mut(&self.key) else {
            return Ok(());
        };
        let waker = Some(context.waker().clone());
        match interest {
            Interest::Read => entry.reader = waker,
            Interest::Write => entry.writer = waker,
        }
        entry.arm(&self.reactor.epoll, self.key)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.reactor.watched();
        if let Some(entry) = watched.entries.remove(&self.key) {
            let _ = epoll::delete(&self.reactor.epoll, &entry.fd);
        }
    }
}

struct Reactor {
    epoll: OwnedFd,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    next: u64,
    entries: HashMap<u64, Entry>,
}

struct Entry {
    fd: OwnedFd,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Entry {
    /// Has the next event reported that somebody waits for.
    fn arm(&self, epoll: &OwnedFd, key: u64) -> io::Result<()> {
        let flags = flags(self.reader.is_some(), self.writer.is_some());
        Ok(epoll::modify(
            epoll,
            &self.fd,
            EventData::new_u64(key),
            flags,
        )?)
    }
}

/// What to report, once.
fn flags(read: bool, write: bool) -> EventFlags {
    let mut flags = EventFlags::ONESHOT;
    flags.set(EventFlags::IN | EventFlags::RDHUP, read);
    flags.set(EventFlags::OUT, write);
    flags
}

impl Reactor {
    /// The process's reactor, started when it is first asked for.
    fn get() -> io::Result<&'static Reactor> {
        static REACTOR: Mutex<Option<&Reactor>> = Mutex::new(None);
        let mut slot = REACTOR.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reactor) = *slot {
            return Ok(reactor);
        }
        let reactor: &'static Reactor = Box::leak(Box::new(Reactor {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            watched: Mutex::default(),
        }));
        std::thread::Builder::new()
            .name("capfs-reactor".to_owned())
            .stack_size(64 << 10)
            .spawn(|| reactor.serve())?;
        *slot = Some(reactor);
        Ok(reactor)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            // It fails for a broken descriptor of our own alone.
            if retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), None))
                .is_err()
            {
                return;
            }
            for event in &events {
                let event: &epoll::Event = event;
                self.wake(event.data.u64(), event.flags);
            }
        }
    }

    fn wake(&self, key: u64, flags: EventFlags) {
        let mut watched = self.watched();
        // Closed since.
        let Some(entry) = watched.entries.get_mut(&key) else {
            return;
        };
        let over = flags.intersects(EventFlags::HUP | EventFlags::ERR);
        let readable = over || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
        let writable = over || flags.contains(EventFlags::OUT);
        let woken = [
            entry.reader.take_if(|_| readable),
            entry.writer.take_if(|_| writable),
        ];
        // A failure would leave somebody asleep: they are woken instead, and see it for themselves.
        let left = if entry.reader.is_some() || entry.writer.is_some() {
            match entry.arm(&self.epoll, key) {
                Ok(()) => [None, None],
                Err(_) => [entry.reader.take(), entry.writer.take()],
            }
        } else {
            [None, None]
        };
        drop(watched);
        woken
            .into_iter()
            .chain(left)
            .flatten()
            .for_each(Waker::wake);
    }
}

/// Waits for a descriptor with a watch that is made when it is needed first.
pub(super) fn wait<T>(
    watch: &mut Option<Watch>,
    fd: BorrowedFd<'_>,
    interest: Interest,
    context: &Context<'_>,
) -> Poll<Result<T, Errno>> {
    let watch = match watch {
        Some(watch) => watch,
        None => match Watch::new(fd) {
            Ok(made) => watch.insert(made),
            Err(error) => return Poll::Ready(Err(errno(error))),
        },
    };
    match watch.wake_when_ready(interest, context) {
        Ok(()) => Poll::Pending,
        Err(error) => Poll::Ready(Err(errno(error))),
    }
}

/// Whether a descriptor is ready now: `Some(hangup)` if it is.
pub(super) fn ready(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Option<bool>> {
    const OVER: PollFlags = PollFlags::HUP.union(PollFlags::ERR).union(PollFlags::RDHUP);
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let events = match interest {
        Interest::Read => PollFlags::IN | PollFlags::RDHUP,
        Interest::Write => PollFlags::OUT,
    };
    let mut fds = [PollFd::new(&fd, events)];
    match retry_on_intr(|| poll(&mut fds, Some(&now)))? {
        0 => Ok(None),
        _ => Ok(Some(fds[0].revents().intersects(OVER))),
    }
}
