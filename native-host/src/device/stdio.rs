//! The host's standard streams.
//!
//! Bytes go straight between the guest and the stream by one system call, so the order of what is
//! written to standard output and standard error is the guest's, and nothing is read that the guest
//! did not ask for. Reading never blocks the guest's thread: whether there is something to read is
//! asked first, and if there is not, the reactor waits for it, so that time-outs, `poll_oneoff` and
//! Ctrl-C work meanwhile.
//!
//! Writing is done inline and may block when nobody empties the pipe.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};
use rustix::fs::FileType;

use super::errors::errno;
use super::reactor::{self, Watch};
use super::transfer;

/// One of the process's standard streams, or any other stream of the host.
pub struct HostStream {
    file: File,
    kind: FileKind,
    way: Interest,
    watch: Option<Watch>,
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
            watch: None,
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
            let bytes = match interest {
                Interest::Read => rustix::io::ioctl_fionread(&self.file).unwrap_or(1),
                Interest::Write => 1,
            };
            let hangup = false;
            return Poll::Ready(Ok(Readiness { bytes, hangup }));
        }
        let state = match reactor::ready(self.file.as_fd(), interest) {
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
        reactor::wait(&mut self.watch, self.file.as_fd(), interest, context)
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
        let file = &self.file;
        Poll::Ready(transfer::read(sink, |slice| {
            Ok(rustix::io::read(file, slice)?)
        }))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if self.way != Interest::Write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let file = &self.file;
        let written = transfer::write(source, |bytes| Ok(rustix::io::write(file, bytes)?));
        match written {
            // Somebody else has made the stream non-blocking for all who share it.
            Err(Errno::Again) => {
                reactor::wait(&mut self.watch, file.as_fd(), Interest::Write, context)
            }
            // A stream may be a socket, and its other end closed with bytes unread: to the guest that
            // is the same as a pipe that nobody reads.
            Err(Errno::Connreset) => Poll::Ready(Err(Errno::Pipe)),
            written => Poll::Ready(written.map(|bytes| Written { bytes, end: 0 })),
        }
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
            qid: Qid::unnumbered(self.kind),
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
