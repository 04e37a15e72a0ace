//! The host's standard streams.
//!
//! Bytes go straight between the guest and the stream by one system call, so the order of what is
//! written to standard output and standard error is the guest's, and nothing is read that the guest
//! did not ask for. Reading never blocks the guest's thread: whether there is something to read is
//! asked first, and if there is not, a [`Watcher`] waits for it, so that time-outs, `poll_oneoff` and
//! Ctrl-C work meanwhile.
//!
//! Writing is done inline and may block when nobody empties the pipe.

mod watcher;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};
use rustix::fs::FileType;

use super::dir::errno;
use watcher::Watcher;

/// Bytes gathered from scattered guest memory for one system call.
const GATHER: usize = 64 << 10;

/// One of the process's standard streams, or any other stream of the host.
pub struct HostStream {
    file: File,
    kind: FileKind,
    way: Interest,
    watcher: Option<Watcher>,
    scratch: Vec<u8>,
}

impl HostStream {
    /// Standard input, output and error.
    ///
    /// # Errors
    /// When a descriptor can't be duplicated.
    pub fn standard() -> io::Result<[HostStream; 3]> {
        Ok([
            HostStream::new(io::stdin().as_fd().try_clone_to_owned()?, Interest::Read)?,
            HostStream::new(io::stdout().as_fd().try_clone_to_owned()?, Interest::Write)?,
            HostStream::new(io::stderr().as_fd().try_clone_to_owned()?, Interest::Write)?,
        ])
    }

    /// Any pipe, terminal, connected socket or file, to be read or to be written: a terminal could do both.
    ///
    /// # Errors
    /// When the descriptor can't be looked at.
    pub fn new(fd: OwnedFd, way: Interest) -> io::Result<HostStream> {
        let mode = rustix::fs::fstat(&fd)?.st_mode;
        // A guest takes a character device for a terminal, so only a terminal is one.
        let kind = match FileType::from_raw_mode(mode) {
            FileType::RegularFile => FileKind::RegularFile,
            FileType::Socket => FileKind::SocketStream,
            FileType::CharacterDevice if io::IsTerminal::is_terminal(&fd) => {
                FileKind::CharacterDevice
            }
            _ => FileKind::Unknown,
        };
        Ok(HostStream {
            file: File::from(fd),
            kind,
            way,
            watcher: None,
            scratch: Vec::new(),
        })
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest != self.way {
            return Poll::Ready(Err(Errno::Badf));
        }
        // Files are always ready, and epoll-like interfaces don't take them.
        if self.kind == FileKind::RegularFile {
            return Poll::Ready(Ok(Readiness {
                bytes: 1,
                hangup: false,
            }));
        }
        let state = match watcher::ready(self.file.as_fd(), interest) {
            Ok(state) => state,
            Err(error) => return Poll::Ready(Err(errno(error))),
        };
        if let Some(hangup) = state {
            let bytes = match interest {
                Interest::Read => rustix::io::ioctl_fionread(&self.file).unwrap_or(1),
                Interest::Write => 1,
            };
            return Poll::Ready(Ok(Readiness { bytes, hangup }));
        }
        let watcher = match &mut self.watcher {
            Some(watcher) => watcher,
            None => {
                let fd = match self.file.as_fd().try_clone_to_owned() {
                    Ok(fd) => fd,
                    Err(error) => return Poll::Ready(Err(errno(error))),
                };
                match Watcher::start(fd) {
                    Ok(watcher) => self.watcher.insert(watcher),
                    Err(error) => return Poll::Ready(Err(errno(error))),
                }
            }
        };
        watcher.wake_when_ready(interest, context.waker().clone());
        Poll::Pending
    }

    fn read(&mut self, sink: &mut dyn GuestSink) -> Result<usize, Errno> {
        let file = &self.file;
        let in_place = sink.in_place(&mut |slice| {
            rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *slice))
                .map_err(|error| errno(error.into()))
        });
        if let Some(result) = in_place {
            return result;
        }
        self.scratch.resize(sink.remaining().min(GATHER), 0);
        let scratch = &mut self.scratch[..];
        let count = rustix::io::retry_on_intr(|| rustix::io::read(file, &mut *scratch))
            .map_err(|error| errno(error.into()))?;
        Ok(sink.put(&scratch[..count]))
    }
}

impl OpenFile for HostStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 && self.way == Interest::Read {
            return Poll::Ready(Ok(0));
        }
        if let Err(errno) = ready!(self.poll(context, Interest::Read)) {
            return Poll::Ready(Err(errno));
        }
        Poll::Ready(self.read(sink))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if self.way != Interest::Write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let total = source.remaining();
        let file = &self.file;
        let write = |bytes: &[u8]| {
            rustix::io::retry_on_intr(|| rustix::io::write(file, bytes))
                .map_err(|error| errno(error.into()))
        };
        // Scattered bytes are gathered, so that lines of two agents don't mix.
        let mut whole = false;
        let in_place = source.in_place(&mut |bytes| {
            whole = bytes.len() == total;
            match whole {
                true => write(bytes),
                false => Ok(0),
            }
        });
        let written = match in_place {
            Some(result) if whole => result,
            _ => {
                self.scratch.resize(total.min(GATHER), 0);
                let gathered = source.take(&mut self.scratch);
                write(&self.scratch[..gathered])
            }
        };
        Poll::Ready(written.map(|bytes| Written { bytes, end: 0 }))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        self.poll(context, interest)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        // Nothing of the host's own file is told: it was not granted by name.
        Op::ok(Stat {
            qid: Qid {
                path: 0,
                kind: self.kind,
            },
            nlink: 1,
            size: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
        })
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        match self.kind {
            FileKind::RegularFile => self.file.sync_all().map_err(errno).into(),
            _ => Op::err(Errno::Inval),
        }
    }
}
