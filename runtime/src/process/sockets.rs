//! Sockets that were handed to the process: preview 1 can accept, receive, send and shut down, but
//! not make any.

use std::task::{Context, Poll};

use capfs::{Errno, WriteAt};

use super::Process;
use super::fds::{Descriptor, FdFlags, Rights};
use super::iovecs::Iovecs;
use super::pending::{Pending, call};
use crate::GuestMemory;

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
            Poll::Pending => return self.suspend(call, Pending::Transfer(fd)),
        };
        let kind = accepted.node.qid().kind;
        let mut file = accepted.file;
        if flags.contains(FdFlags::NONBLOCK) {
            file.set_nonblocking(true);
        }
        let mut accepted = Descriptor::new(file, kind, Rights::all(), Rights::empty());
        accepted.flags = flags;
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
        let mut received = match self.resume(call) {
            Some(Pending::Received(_, count)) => count,
            _ => 0,
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
        let iovecs = Iovecs::load(memory, ri_data, ri_data_len)?;
        if ri_flags & PEEK != 0 {
            received = match socket.poll_peek(context, &mut iovecs.cursor(memory, 0)) {
                Poll::Ready(peeked) => peeked? as u32,
                Poll::Pending if nonblocking => return Poll::Ready(Err(Errno::Again)),
                Poll::Pending => return self.suspend(call, Pending::Transfer(fd)),
            };
        } else {
            loop {
                let mut sink = iovecs.cursor(memory, received);
                let count = match descriptor.file.poll_read(context, 0, &mut sink) {
                    Poll::Ready(Ok(count)) => count as u32,
                    // What has been received is not lost to an error that comes later.
                    Poll::Ready(Err(_)) if received > 0 => break,
                    Poll::Ready(Err(errno)) => return Poll::Ready(Err(errno)),
                    Poll::Pending if nonblocking && received == 0 => {
                        return Poll::Ready(Err(Errno::Again));
                    }
                    Poll::Pending if nonblocking => break,
                    Poll::Pending => return self.suspend(call, Pending::Received(fd, received)),
                };
                received += count;
                if count == 0 || ri_flags & WAITALL == 0 || received >= iovecs.total() {
                    break;
                }
            }
            self.usage.bytes_read += u64::from(received);
        }
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
        let iovecs = Iovecs::load(memory, si_data, si_data_len)?;
        let mut source = iovecs.cursor(memory, 0);
        let at = WriteAt::Offset(0);
        let written = match descriptor.file.poll_write(context, at, &mut source) {
            Poll::Ready(written) => written?,
            Poll::Pending if descriptor.flags.contains(FdFlags::NONBLOCK) => {
                return Poll::Ready(Err(Errno::Again));
            }
            Poll::Pending => return self.suspend(call, Pending::Transfer(fd)),
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
