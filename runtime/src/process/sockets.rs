//! Sockets that were handed to the process: preview 1 can accept, receive, send and shut down, but
//! not make any.

use std::task::{Context, Poll};

use capfs::account::{Buffer, Holding};
use capfs::{Errno, GuestSink, OpenFile, WriteAt};

use super::Process;
use super::fds::{Descriptor, FdFlags, Rights};
use super::iovecs::Iovecs;
use super::pending::{Pending, call};
use crate::GuestMemory;

/// Bytes that are received at a time where all of them are waited for.
const PIECE: usize = 64 << 10;

/// What has been received of what is waited for.
enum Gathered {
    /// All of it, or as much as comes.
    Enough(Buffer),
    Waits(Buffer),
}

/// Receives until there are `wanted` bytes, or no more come. They are gathered here and not in the guest's memory: whoever gives
/// the call up gives them back.
fn gather(
    file: &mut dyn OpenFile,
    context: &mut Context<'_>,
    mut gathered: Buffer,
    wanted: usize,
    nonblocking: bool,
) -> Result<Gathered, Errno> {
    while gathered.len() < wanted {
        let before = gathered.len();
        let received = match gathered.resize(wanted.min(before + PIECE)) {
            Ok(bytes) => file.poll_read(context, 0, &mut &mut bytes[before..]),
            Err(errno) => Poll::Ready(Err(errno)),
        };
        let count = match received {
            Poll::Ready(Ok(count)) => count,
            _ => 0,
        };
        // Less is never refused.
        gathered.resize(before + count)?;
        match received {
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(_)) => {}
            // What has been received is not lost to an error that comes later.
            Poll::Ready(Err(_)) if before > 0 => break,
            Poll::Ready(Err(errno)) => return Err(errno),
            Poll::Pending if nonblocking && before > 0 => break,
            Poll::Pending if nonblocking => return Err(Errno::Again),
            Poll::Pending => return Ok(Gathered::Waits(gathered)),
        }
    }
    Ok(Gathered::Enough(gathered))
}

impl Process {
    /// `sock_accept`: the next connection of a listener.
    ///
    /// # Errors
    /// - [`Errno::Notsock`]: not a socket
    /// - [`Errno::Inval`]: a socket that does not listen, or unknown flags
    pub fn sock_accept<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        flags: u32,
        connection: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(sock_accept(fd, flags, connection));
        self.resume(call);
        self.usage.calls += 1;
        memory.check(connection, 4)?;
        let flags = FdFlags::parse(flags)?;
        self.fds.room()?;
        let descriptor = self.fds.get(fd)?;
        let nonblocking = descriptor.flags.contains(FdFlags::NONBLOCK);
        let base = descriptor.base;
        if descriptor.file.socket().is_some() {
            return Poll::Ready(Err(Errno::Inval));
        }
        let listener = descriptor.file.listener().ok_or(Errno::Notsock)?;
        // Before a connection is taken.
        if !base.contains(Rights::SOCK_ACCEPT) {
            return Poll::Ready(Err(Errno::Notcapable));
        }
        let accepted = match listener.poll_accept(context) {
            Poll::Ready(accepted) => accepted?,
            Poll::Pending if nonblocking => return Poll::Ready(Err(Errno::Again)),
            Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
        };
        let kind = accepted.node.qid().kind;
        let mut file = accepted.file;
        if flags.contains(FdFlags::NONBLOCK) {
            file.set_nonblocking(true);
        }
        let mut accepted = Descriptor::new(file, kind, Rights::all(), Rights::empty());
        accepted.flags = flags;
        accepted.number = self.next_number();
        let accepted = self.fds.insert(accepted)?;
        Poll::Ready(memory.write_u32(connection, accepted))
    }

    /// `sock_recv`: receives. `PEEK` (1) leaves the bytes where they are, `WAITALL` (2) waits until the
    /// buffers are full or the other side has ended.
    pub fn sock_recv<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        ri_data: u32,
        ri_data_len: u32,
        ri_flags: u32,
        ro_datalen: u32,
        ro_flags: u32,
    ) -> Poll<Result<(), Errno>> {
        const PEEK: u32 = 1;
        const WAITALL: u32 = 1 << 1;
        let call = call!(sock_recv(
            fd,
            ri_data,
            ri_data_len,
            ri_flags,
            ro_datalen,
            ro_flags
        ));
        let gathered = match self.resume(call) {
            Some(Pending::Received(_, gathered)) => gathered,
            _ => Buffer::new(&self.account, Holding::Descriptors),
        };
        self.usage.calls += 1;
        memory.check(ro_datalen, 4)?;
        memory.check(ro_flags, 2)?;
        let descriptor = self.fds.get(fd)?;
        let nonblocking = descriptor.flags.contains(FdFlags::NONBLOCK);
        let base = descriptor.base;
        let socket = descriptor.file.socket().ok_or(Errno::Notsock)?;
        if !base.contains(Rights::FD_READ) {
            return Poll::Ready(Err(Errno::Notcapable));
        }
        if ri_flags & !(PEEK | WAITALL) != 0 {
            return Poll::Ready(Err(Errno::Inval));
        }
        let mut iovecs = Iovecs::new(ri_data_len);
        iovecs.load(memory, ri_data)?;
        let received = if ri_flags & PEEK != 0 {
            match socket.poll_peek(context, &mut iovecs.cursor(memory, 0)) {
                Poll::Ready(peeked) => peeked? as u32,
                Poll::Pending if nonblocking => return Poll::Ready(Err(Errno::Again)),
                Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
            }
        } else {
            let received = match ri_flags & WAITALL {
                0 => {
                    let mut sink = iovecs.cursor(memory, 0);
                    match descriptor.file.poll_read(context, 0, &mut sink) {
                        Poll::Ready(received) => received? as u32,
                        Poll::Pending if nonblocking => return Poll::Ready(Err(Errno::Again)),
                        Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
                    }
                }
                _ => {
                    let room = iovecs.total() as usize;
                    let file = &mut *descriptor.file;
                    let gathered = match gather(file, context, gathered, room, nonblocking)? {
                        Gathered::Enough(gathered) => gathered,
                        Gathered::Waits(gathered) => {
                            return self.suspend(call(), Pending::Received(fd, gathered));
                        }
                    };
                    iovecs.cursor(memory, 0).put(gathered.bytes()) as u32
                }
            };
            self.usage.bytes_read += u64::from(received);
            received
        };
        memory.write(ro_flags, &[0, 0])?;
        Poll::Ready(memory.write_u32(ro_datalen, received))
    }

    /// `sock_send`: sends.
    pub fn sock_send<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        si_data: u32,
        si_data_len: u32,
        si_flags: u32,
        so_datalen: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(sock_send(fd, si_data, si_data_len, si_flags, so_datalen));
        self.resume(call);
        self.usage.calls += 1;
        memory.check(so_datalen, 4)?;
        let descriptor = self.fds.get(fd)?;
        if descriptor.file.socket().is_none() {
            return Poll::Ready(Err(Errno::Notsock));
        }
        descriptor.demand(Rights::FD_WRITE)?;
        if si_flags != 0 {
            return Poll::Ready(Err(Errno::Inval));
        }
        let mut iovecs = Iovecs::new(si_data_len);
        iovecs.load(memory, si_data)?;
        let mut source = iovecs.cursor(memory, 0);
        let at = WriteAt::Offset(0);
        let written = match descriptor.file.poll_write(context, at, &mut source) {
            Poll::Ready(written) => written?,
            Poll::Pending if descriptor.flags.contains(FdFlags::NONBLOCK) => {
                return Poll::Ready(Err(Errno::Again));
            }
            Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
        };
        self.usage.bytes_written += written.bytes as u64;
        Poll::Ready(memory.write_u32(so_datalen, written.bytes as u32))
    }

    /// `sock_shutdown`: ends one or both directions.
    pub fn sock_shutdown<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        how: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        const READ: u32 = 1;
        const WRITE: u32 = 1 << 1;
        let descriptor = self.fds.get(fd)?;
        let base = descriptor.base;
        let socket = descriptor.file.socket().ok_or(Errno::Notsock)?;
        if !base.contains(Rights::SOCK_SHUTDOWN) {
            return Poll::Ready(Err(Errno::Notcapable));
        }
        if how == 0 || how & !(READ | WRITE) != 0 {
            return Poll::Ready(Err(Errno::Inval));
        }
        Poll::Ready(socket.shutdown(how & READ != 0, how & WRITE != 0))
    }
}
