//! The host's standard streams.
//!
//! Bytes go straight between the guest and the stream by one system call, so the order of what is
//! written to standard output and standard error is the guest's, and nothing is read that the guest
//! did not ask for. Reading never blocks the guest's thread: whether there is something to read is
//! asked first, and if there is not, the reactor waits for it, so that time-outs, `poll_oneoff` and
//! Ctrl-C work meanwhile.
//!
//! Writing is done inline and may block when nobody empties the pipe; where agents share threads, on the [pool](blocking) instead, as is syncing.
//!
//! A file that a stream was redirected to or from is one to the guest: it has a size, and offsets. Its position is the host's, which other
//! streams and programs may share (`> log 2>&1`), and moves on with each read and write; it is set only where the guest goes somewhere else,
//! so that what others write meanwhile is not written over.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use capfs::{
    BoxedFuture, Errno, FileKind, GuestSink, GuestSource, Interest, Op, OpenFile, Qid, Readiness,
    SetStat, Stat, WriteAt, Written,
};
use capfs_native_devices::blocking::{self, Pool};
use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::errors::errno;
use super::reactor::{self, Watch};
use super::transfer;

/// One of the process's standard streams, or any other stream of the host.
pub struct HostStream {
    file: Arc<File>,
    kind: FileKind,
    way: Interest,
    watch: Option<Watch>,
    /// Where the guest is in a file; `None` where offsets mean nothing.
    at: Option<u64>,
    /// The host's file is written at its end, wherever its position is.
    appends: bool,
    /// What is written beside the agent's task.
    writing: Option<BoxedFuture<Result<usize, Errno>>>,
}

/// Bytes that are written at a time beside the agent's task. They are a part of what an agent is charged from the start.
const BESIDE: usize = 32 << 10;

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
            file: Arc::new(File::from(fd)),
            kind,
            way,
            watch: None,
            at: None,
            appends: false,
            writing: None,
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

    /// Writes once on the pool, and as long as that is not done returns `Pending`: the call is made again with the same bytes.
    fn write_beside(
        &mut self,
        context: &mut Context<'_>,
        pool: Pool,
        source: &mut dyn GuestSource,
        to_the_end: bool,
    ) -> Poll<Result<usize, Errno>> {
        let writing = self.writing.get_or_insert_with(|| {
            let mut bytes = vec![0; source.remaining().min(BESIDE)];
            let count = source.take(&mut bytes);
            bytes.truncate(count);
            let file = self.file.clone();
            Box::pin(async move {
                let write = move || transfer::retry(|| write(&file, &bytes, to_the_end));
                pool.run(write).await.map_err(|_| Errno::Io)?
            })
        });
        let written = ready!(writing.as_mut().poll(context));
        self.writing = None;
        Poll::Ready(written)
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

/// Writes once, at the position, or at the end, found and extended in one step.
fn write(file: &File, bytes: &[u8], to_the_end: bool) -> io::Result<usize> {
    if to_the_end {
        // `-1` is the position, which moves to the end (pwritev2(2)).
        let slices = [io::IoSlice::new(bytes)];
        let flags = ReadWriteFlags::APPEND;
        return Ok(rustix::io::pwritev2(file, &slices, u64::MAX, flags)?);
    }
    Ok(rustix::io::write(file, bytes)?)
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
        let to_the_end = appends && !self.appends;
        let written = match blocking::pool() {
            Some(pool) => ready!(self.write_beside(context, pool, source, to_the_end)),
            None => transfer::write(source, |bytes| write(&self.file, bytes, to_the_end)),
        };
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
        if self.kind != FileKind::RegularFile {
            return Op::ok(());
        }
        let file = self.file.clone();
        let sync = move || match data_only {
            true => file.sync_data().map_err(errno),
            false => file.sync_all().map_err(errno),
        };
        match blocking::pool() {
            Some(pool) => Op::later(async move { pool.run(sync).await.map_err(|_| Errno::Io)? }),
            None => sync().into(),
        }
    }

    fn cancel(&mut self) {
        // What has begun is written all the same.
        self.writing = None;
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn where_agents_share_threads_a_write_that_blocks_is_done_beside_them() {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.build().unwrap();
        let pool = Pool::new(runtime.handle().clone(), 1);
        let (mut reader, writer) = UnixStream::pair().unwrap();
        // More than the system keeps for who reads.
        let bytes = vec![b'x'; 4 << 20];
        let length = bytes.len();
        let mut stream = HostStream::new(OwnedFd::from(writer), Interest::Write).unwrap();
        let scoped = pool.scope(async move {
            let (mut done, mut waited) = (0, false);
            let writes = async {
                while done < length {
                    let written = poll_fn(|context| {
                        let polled = stream.poll_write(context, WriteAt::End, &mut &bytes[done..]);
                        waited |= polled.is_pending();
                        polled
                    });
                    done += written.await.unwrap().bytes;
                }
                drop(stream);
            };
            let reads = async {
                let read = move || {
                    let mut read = Vec::new();
                    reader.read_to_end(&mut read).map(|_| read)
                };
                tokio::task::spawn_blocking(read).await.unwrap().unwrap()
            };
            let (read, ()) = tokio::join!(reads, writes);
            assert!(waited);
            read
        });
        let read = runtime.block_on(scoped);
        assert_eq!(read.len(), length);
    }
}
