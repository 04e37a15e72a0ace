//! The host's standard streams.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};

use super::dir::errno;

/// Bytes that are read or written at a time.
const CHUNK: usize = 64 * 1024;

/// What a C library makes of a stream: a terminal is a character device that can't be seeked.
fn stat_of(fd: BorrowedFd<'_>, path: u64) -> Stat {
    let kind = match rustix::termios::isatty(fd) {
        true => FileKind::CharacterDevice,
        false => FileKind::Unknown,
    };
    Stat {
        qid: Qid { path, kind },
        nlink: 1,
        size: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// Standard output or error, written without a buffer of the host's.
pub struct Output {
    file: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Out(std::io::Stdout),
    Err(std::io::Stderr),
}

impl Output {
    /// The host's standard output.
    pub fn stdout() -> Self {
        Output {
            file: Stream::Out(std::io::stdout()),
            buffer: Vec::new(),
        }
    }

    /// The host's standard error.
    pub fn stderr() -> Self {
        Output {
            file: Stream::Err(std::io::stderr()),
            buffer: Vec::new(),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match &self.file {
            Stream::Out(file) => file.as_fd(),
            Stream::Err(file) => file.as_fd(),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        use rustix::event::{PollFd, PollFlags, poll};
        loop {
            match rustix::io::write(self.fd(), bytes) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::INTR) => {}
                // Somebody has made the host's stream non-blocking; the guest has not asked for it.
                Err(rustix::io::Errno::AGAIN) => {
                    let fd = self.fd();
                    let _ = poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None);
                }
                Err(error) => return Err(errno(error.into())),
            }
        }
    }
}

impl OpenFile for Output {
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
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let mut bytes = 0;
        while source.remaining() > 0 {
            let len = source.remaining().min(CHUNK);
            if self.buffer.len() < len {
                self.buffer.resize(len, 0);
            }
            source.take(&mut self.buffer[..len]);
            let mut done = 0;
            while done < len {
                match self.write(&self.buffer[done..len]) {
                    Ok(count) => done += count,
                    Err(errno) if bytes + done == 0 => return Poll::Ready(Err(errno)),
                    Err(_) => {
                        return Poll::Ready(Ok(Written {
                            bytes: bytes + done,
                            end: 0,
                        }));
                    }
                }
            }
            bytes += len;
        }
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stat_of(self.fd(), 1))
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }
}

/// Standard input. A thread reads it, started by the first read and reading only while somebody
/// waits, so nothing is taken that the agent did not ask for.
pub struct Input {
    shared: Arc<Shared>,
    started: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    bytes: VecDeque<u8>,
    wanted: bool,
    /// The end (`None`) or what reading ended with.
    ended: Option<Option<Errno>>,
    waker: Option<Waker>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pump(&self) {
        let mut chunk = vec![0; CHUNK];
        loop {
            let mut state = self.lock();
            while !state.wanted {
                state = self
                    .wanted
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            let read = rustix::io::read(std::io::stdin(), &mut chunk[..]);
            let mut state = self.lock();
            match read {
                Err(rustix::io::Errno::INTR) => continue,
                Ok(0) => state.ended = Some(None),
                Ok(count) => state.bytes.extend(&chunk[..count]),
                Err(error) => state.ended = Some(Some(errno(error.into()))),
            }
            state.wanted = false;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
            if state.ended.is_some() {
                return;
            }
        }
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}

impl Input {
    /// The host's standard input.
    pub fn new() -> Self {
        Input {
            shared: Arc::default(),
            started: false,
        }
    }

    /// Whether there is something to read; asks for it otherwise.
    fn poll_bytes(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, Errno>> {
        if !self.started {
            let shared = self.shared.clone();
            let pump = move || shared.pump();
            if std::thread::Builder::new()
                .name("stdin".to_owned())
                .spawn(pump)
                .is_err()
            {
                return Poll::Ready(Err(Errno::Again));
            }
            self.started = true;
        }
        let mut state = self.shared.lock();
        match (state.bytes.len(), state.ended) {
            (0, Some(None)) => Poll::Ready(Ok(0)),
            (0, Some(Some(errno))) => Poll::Ready(Err(errno)),
            (0, None) => {
                state.wanted = true;
                state.waker = Some(context.waker().clone());
                self.shared.wanted.notify_one();
                Poll::Pending
            }
            (len, _) => Poll::Ready(Ok(len as u64)),
        }
    }
}

impl OpenFile for Input {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        std::task::ready!(self.poll_bytes(context))?;
        let mut state = self.shared.lock();
        let (front, back) = state.bytes.as_slices();
        let mut count = sink.put(front);
        count += sink.put(back);
        state.bytes.drain(..count);
        Poll::Ready(Ok(count))
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
        match interest {
            Interest::Write => Poll::Ready(Err(Errno::Badf)),
            Interest::Read => self.poll_bytes(context).map_ok(|bytes| Readiness {
                bytes,
                hangup: bytes == 0,
            }),
        }
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stat_of(std::io::stdin().as_fd(), 0))
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }
}
