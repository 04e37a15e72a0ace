//! The host's standard streams.
//!
//! Bytes go straight between the guest and the stream by one system call, so the order of what is
//! written to standard output and standard error is the guest's, and nothing is read that the guest
//! did not ask for. Reading never blocks the guest's thread: whether there is something to read is
//! asked first, and if there is not, the reactor waits for it, so that time-outs, `poll_oneoff` and
//! Ctrl-C work meanwhile.
//!
//! Writing is done inline and may block when nobody empties the pipe.
//!
//! A file that a stream was redirected to or from is one to the guest: it has a size, and offsets. Its position is the host's, which other
//! streams and programs may share (`> log 2>&1`), and moves on with each read and write; it is set only where the guest goes somewhere else,
//! so that what others write meanwhile is not written over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness, SetStat, Stat,
    WriteAt, Written,
};
use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::errors::errno;
use super::reactor::{self, Watch};
use super::transfer;

/// One of the process's standard streams, or any other stream of the host.
pub struct HostStream {
    file: File,
    kind: FileKind,
    way: Interest,
    watch: Option<Watch>,
    /// Where the guest is in a file; `None` where offsets mean nothing.
    at: Option<u64>,
    /// The host's file is written at its end, wherever its position is.
    appends: bool,
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
        let mut stream = HostStream {
            file: File::from(fd),
            kind,
            way,
            watch: None,
            at: None,
            appends: false,
        };
        if kind == FileKind::RegularFile {
            stream.appends = rustix::fs::fcntl_getfl(&stream.file)?.contains(OFlags::APPEND);
            stream.at = Some(rustix::fs::seek(&stream.file, SeekFrom::Current(0))?);
        }
        Ok(stream)
    }

    /// The same without offsets, for one that is opened again and again: each goes on where the one before has been.
    pub fn sequential(self) -> HostStream {
        HostStream { at: None, ..self }
    }

    /// Goes to an offset of a file, if the guest isn't there.
    fn go(&mut self, offset: u64) -> Result<(), Errno> {
        match self.at {
            None => Ok(()),
            Some(at) if at == offset => Ok(()),
            Some(_) => {
                self.at = Some(seek(&self.file, SeekFrom::Start(offset))?);
                Ok(())
            }
        }
    }

    /// Writes once, at the position, or at the end, found and extended in one step.
    fn write(&self, bytes: &[u8], to_the_end: bool) -> io::Result<usize> {
        if to_the_end {
            // `-1` is the position, which moves to the end (pwritev2(2)).
            let slices = [io::IoSlice::new(bytes)];
            let flags = ReadWriteFlags::APPEND;
            return Ok(rustix::io::pwritev2(&self.file, &slices, u64::MAX, flags)?);
        }
        Ok(rustix::io::write(&self.file, bytes)?)
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

/// Sets the position of a file, and tells it.
fn seek(file: &File, to: SeekFrom) -> Result<u64, Errno> {
    rustix::fs::seek(file, to).map_err(|error| errno(error.into()))
}

impl OpenFile for HostStream {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 && self.way == Interest::Read {
            return Poll::Ready(Ok(0));
        }
        if let Err(errno) = ready!(self.poll(context, Interest::Read)) {
            return Poll::Ready(Err(errno));
        }
        self.go(offset)?;
        let file = &self.file;
        let count = transfer::read(sink, |slice| Ok(rustix::io::read(file, slice)?))?;
        self.at = self.at.map(|at| at + count as u64);
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if self.way != Interest::Write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let appends = match at {
            WriteAt::End => self.at.is_some(),
            WriteAt::Offset(_) if self.appends => true,
            WriteAt::Offset(offset) => {
                self.go(offset)?;
                false
            }
        };
        let written = transfer::write(source, |bytes| self.write(bytes, appends && !self.appends));
        match written {
            // Somebody else has made the stream non-blocking for all who share it.
            Err(Errno::Again) => {
                reactor::wait(&mut self.watch, self.file.as_fd(), Interest::Write, context)
            }
            // A stream may be a socket, and its other end closed with bytes unread: to the guest that
            // is the same as a pipe that nobody reads.
            Err(Errno::Connreset) => Poll::Ready(Err(Errno::Pipe)),
            Err(errno) => Poll::Ready(Err(errno)),
            Ok(bytes) => {
                self.at = match self.at {
                    Some(_) if appends => Some(seek(&self.file, SeekFrom::Current(0))?),
                    at => at.map(|at| at + bytes as u64),
                };
                let end = self.position();
                Poll::Ready(Ok(Written { bytes, end }))
            }
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
        self.at.is_some()
    }

    fn position(&self) -> u64 {
        self.at.unwrap_or(0)
    }

    fn stat(&self) -> Op<Stat> {
        let size = match self.kind {
            FileKind::RegularFile => self.file.metadata().map(|metadata| metadata.len()),
            _ => Ok(0),
        };
        // Nothing else of the host's own file is told: it was not granted by name.
        let stat = size.map(|size| Stat {
            qid: Qid::unnumbered(self.kind),
            nlink: 1,
            size,
            atime: 0,
            mtime: 0,
            ctime: 0,
        });
        stat.map_err(errno).into()
    }

    /// The size of a file that is written is the guest's to change; its times are the host's.
    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        match change {
            SetStat {
                size: Some(size),
                atime: None,
                mtime: None,
            } if self.at.is_some() && self.way == Interest::Write => {
                self.file.set_len(size).map_err(errno).into()
            }
            _ => Op::err(Errno::Inval),
        }
    }

    /// What is no file keeps nothing that could be lost, as everywhere else.
    fn sync(&mut self, data_only: bool) -> Op<()> {
        match (self.kind, data_only) {
            (FileKind::RegularFile, false) => self.file.sync_all().map_err(errno).into(),
            (FileKind::RegularFile, true) => self.file.sync_data().map_err(errno).into(),
            _ => Op::ok(()),
        }
    }
}
