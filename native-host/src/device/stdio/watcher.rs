//! A thread that waits until a stream can be read or written, and reads nothing itself.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Waker;

use capfs::Interest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

/// Waits for one stream. The thread is started when it is needed first, and ends with the watcher.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    /// Closing it ends a wait that is under way.
    _cancel: io::PipeWriter,
}

struct Shared {
    wanted: Mutex<Wanted>,
    changed: Condvar,
}

#[derive(Default)]
struct Wanted {
    wait: Option<(Interest, Waker)>,
    closed: bool,
}

impl Watcher {
    pub(super) fn start(fd: OwnedFd) -> io::Result<Watcher> {
        let (cancelled, cancel) = io::pipe()?;
        let shared = Arc::new(Shared {
            wanted: Mutex::new(Wanted::default()),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        std::thread::Builder::new()
            .name("capfs-stream".to_owned())
            .stack_size(64 << 10)
            .spawn(move || theirs.serve(&fd, &cancelled))?;
        Ok(Watcher {
            shared,
            _cancel: cancel,
        })
    }

    /// Wakes `waker` once the stream is ready. Asking again replaces what was asked before.
    pub(super) fn wake_when_ready(&self, interest: Interest, waker: Waker) {
        let mut wanted = self.shared.lock();
        wanted.wait = Some((interest, waker));
        self.shared.changed.notify_one();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, fd: &OwnedFd, cancelled: &io::PipeReader) {
        loop {
            let interest = {
                let mut wanted = self.lock();
                loop {
                    match &wanted.wait {
                        _ if wanted.closed => return,
                        Some((interest, _)) => break *interest,
                        None => {
                            wanted = self
                                .changed
                                .wait(wanted)
                                .unwrap_or_else(PoisonError::into_inner);
                        }
                    }
                }
            };
            let mut fds = [
                PollFd::new(fd, events(interest)),
                PollFd::new(cancelled, PollFlags::IN),
            ];
            // An error makes the reader look for itself.
            let _ = retry_on_intr(|| poll(&mut fds, None));
            if !fds[1].revents().is_empty() {
                return;
            }
            if let Some((_, waker)) = self.lock().wait.take() {
                waker.wake();
            }
        }
    }
}

/// Whether the stream is ready now: `Some(hangup)` if it is.
pub(super) fn ready(fd: BorrowedFd<'_>, interest: Interest) -> io::Result<Option<bool>> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&fd, events(interest))];
    match retry_on_intr(|| poll(&mut fds, Some(&now)))? {
        0 => Ok(None),
        _ => Ok(Some(
            fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
        )),
    }
}

fn events(interest: Interest) -> PollFlags {
    match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    }
}
