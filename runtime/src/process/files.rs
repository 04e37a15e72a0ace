//! Bytes of descriptors: read, write, seek, sync.

use std::task::{Context, Poll, ready};

use capfs::{BoxedFuture, Errno, Op, WriteAt};

use super::Process;
use super::fds::{Descriptor, FdFlags, Rights};
use super::iovecs::Iovecs;
use super::pending::{Call, Pending, call, closing};
use crate::GuestMemory;

/// `whence` of preview 1.
const WHENCE: [Whence; 3] = [Whence::Set, Whence::Current, Whence::End];
/// `whence` of the snapshot before.
const UNSTABLE_WHENCE: [Whence; 3] = [Whence::Current, Whence::End, Whence::Set];

#[derive(Clone, Copy)]
enum Whence {
    Set,
    Current,
    End,
}

/// Directories have no bytes, whatever the rights of their descriptors are.
fn not_a_directory(descriptor: &Descriptor) -> Result<(), Errno> {
    match descriptor.place {
        Some(_) => Err(Errno::Isdir),
        None => Ok(()),
    }
}

/// Whether the answer is `EAGAIN` where it would come later. That of a file with offsets always comes without anybody
/// else's doing, so `NONBLOCK` means nothing to it (open(2), `O_NONBLOCK`).
#[cold]
fn does_not_wait(descriptor: &Descriptor) -> bool {
    descriptor.flags.contains(FdFlags::NONBLOCK) && !descriptor.file.seekable()
}

/// Where a read or a write begins: at `offset`, or at the descriptor's own. Checks that it may.
#[inline(always)]
fn transfers(descriptor: &Descriptor, rights: Rights, offset: Option<u64>) -> Result<u64, Errno> {
    let Some(offset) = offset else {
        not_a_directory(descriptor)?;
        descriptor.demand(rights)?;
        return Ok(descriptor.offset);
    };
    if !descriptor.file.seekable() && descriptor.place.is_none() {
        return Err(Errno::Spipe);
    }
    not_a_directory(descriptor)?;
    descriptor.demand(rights | Rights::FD_SEEK)?;
    checked_offset(offset)
}

impl Process {
    /// `fd_read`: reads at the descriptor's offset.
    #[inline]
    pub fn fd_read<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        nread: u32,
    ) -> Poll<Result<(), Errno>> {
        self.read(context, memory, fd, (iovs, iovs_len), None, nread)
    }

    /// `fd_pread`: reads at `offset` and leaves the descriptor's offset as it is.
    pub fn fd_pread<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        nread: u32,
    ) -> Poll<Result<(), Errno>> {
        self.read(context, memory, fd, (iovs, iovs_len), Some(offset), nread)
    }

    /// Reads at `offset`, or at the descriptor's own, which then moves on.
    // Always inlined: the most frequent calls must not pay for the choice.
    #[inline(always)]
    fn read<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        (iovs, iovs_len): (u32, u32),
        offset: Option<u64>,
        nread: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_read(
            fd,
            iovs,
            iovs_len,
            offset.map_or(u64::MAX, |at| at),
            nread
        ));
        self.resume(call);
        self.usage.calls += 1;
        memory.check(nread, 4)?;
        let descriptor = self.fds.get(fd)?;
        let from = transfers(descriptor, Rights::FD_READ, offset)?;
        let mut iovecs = Iovecs::new(iovs_len);
        iovecs.load(memory, iovs)?;
        let mut sink = iovecs.cursor(memory, 0);
        let count = match descriptor.file.poll_read(context, from, &mut sink) {
            Poll::Ready(read) => read?,
            Poll::Pending if does_not_wait(descriptor) => {
                return Poll::Ready(Err(Errno::Again));
            }
            Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
        };
        if offset.is_none() {
            descriptor.offset = from.saturating_add(count as u64);
        }
        self.usage.bytes_read += count as u64;
        Poll::Ready(memory.write_u32(nread, count as u32))
    }

    /// `fd_write`: writes at the descriptor's offset, or at the end with `APPEND`.
    #[inline]
    pub fn fd_write<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        nwritten: u32,
    ) -> Poll<Result<(), Errno>> {
        self.write(context, memory, fd, (iovs, iovs_len), None, nwritten)
    }

    /// `fd_pwrite`: writes at `offset` and leaves the descriptor's offset as it is. With `APPEND` it
    /// writes at the end all the same, as Linux does (pwrite(2), BUGS).
    pub fn fd_pwrite<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        offset: u64,
        nwritten: u32,
    ) -> Poll<Result<(), Errno>> {
        self.write(
            context,
            memory,
            fd,
            (iovs, iovs_len),
            Some(offset),
            nwritten,
        )
    }

    /// Writes at `offset`, or at the descriptor's own, which then moves on; with `APPEND` at the end.
    #[inline(always)]
    fn write<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        (iovs, iovs_len): (u32, u32),
        offset: Option<u64>,
        nwritten: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_write(
            fd,
            iovs,
            iovs_len,
            offset.map_or(u64::MAX, |at| at),
            nwritten
        ));
        let resumed = self.resume(call);
        self.usage.calls += 1;
        if let Some(Pending::Synced(sync)) = resumed {
            return self.sync_written(context, call(), sync);
        }
        memory.check(nwritten, 4)?;
        let descriptor = self.fds.get(fd)?;
        let from = transfers(descriptor, Rights::FD_WRITE, offset)?;
        let mut iovecs = Iovecs::new(iovs_len);
        iovecs.load(memory, iovs)?;
        let at = match descriptor.flags.contains(FdFlags::APPEND) {
            true => WriteAt::End,
            false => WriteAt::Offset(from),
        };
        let mut source = iovecs.cursor(memory, 0);
        let written = match descriptor.file.poll_write(context, at, &mut source) {
            Poll::Ready(written) => written?,
            Poll::Pending if does_not_wait(descriptor) => {
                return Poll::Ready(Err(Errno::Again));
            }
            Poll::Pending => return self.suspend(call(), Pending::Transfer(fd)),
        };
        if offset.is_none() && descriptor.file.seekable() {
            descriptor.offset = written.end;
        }
        self.usage.bytes_written += written.bytes as u64;
        let syncs = descriptor.flags & (FdFlags::SYNC | FdFlags::DSYNC);
        memory.write_u32(nwritten, written.bytes as u32)?;
        match syncs.is_empty() {
            true => Poll::Ready(Ok(())),
            false => self.sync_after_write(context, call(), fd),
        }
    }

    /// The sync that a descriptor with `SYNC` or `DSYNC` owes after a write. The bytes have been taken by now, whatever becomes of it.
    #[cold]
    fn sync_after_write(
        &mut self,
        context: &mut Context<'_>,
        call: Call,
        fd: u32,
    ) -> Poll<Result<(), Errno>> {
        let descriptor = self.fds.get(fd)?;
        let data_only = !descriptor.flags.contains(FdFlags::SYNC);
        match descriptor.file.sync(data_only) {
            Op::Ready(result) => Poll::Ready(result),
            Op::Later(sync) => self.sync_written(context, call, sync),
        }
    }

    #[cold]
    fn sync_written(
        &mut self,
        context: &mut Context<'_>,
        call: Call,
        mut sync: BoxedFuture<Result<(), Errno>>,
    ) -> Poll<Result<(), Errno>> {
        match sync.as_mut().poll(context) {
            Poll::Pending => self.suspend(call, Pending::Synced(sync)),
            synced => synced,
        }
    }

    /// `fd_seek`: moves the descriptor's offset.
    pub fn fd_seek<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        offset: i64,
        whence: u32,
        newoffset: u32,
    ) -> Poll<Result<(), Errno>> {
        self.seek(
            context,
            memory,
            fd,
            offset,
            whence_of(WHENCE, whence),
            newoffset,
        )
    }

    /// `fd_seek` of `wasi_unstable`, whose `whence` are in another order.
    pub fn unstable_fd_seek<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        offset: i64,
        whence: u32,
        newoffset: u32,
    ) -> Poll<Result<(), Errno>> {
        self.seek(
            context,
            memory,
            fd,
            offset,
            whence_of(UNSTABLE_WHENCE, whence),
            newoffset,
        )
    }

    fn seek<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        offset: i64,
        whence: Result<Whence, Errno>,
        newoffset: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let whence = whence?;
        memory.check(newoffset, 8)?;
        let descriptor = self.fds.get(fd)?;
        if descriptor.place.is_some() {
            // A directory has no offset; its right to seek was never given either.
            return Poll::Ready(Err(match descriptor.base.contains(Rights::FD_SEEK) {
                true => Errno::Isdir,
                false => Errno::Badf,
            }));
        }
        if !descriptor.file.seekable() {
            return Poll::Ready(Err(Errno::Spipe));
        }
        match (whence, offset) {
            (Whence::Current, 0) => descriptor.demand_telling()?,
            _ => descriptor.demand(Rights::FD_SEEK)?,
        }
        let start = match whence {
            Whence::Set => 0,
            Whence::Current => descriptor.offset,
            Whence::End => {
                let call = call!(fd_seek(fd, offset, newoffset));
                // The operation counts itself.
                self.usage.calls -= 1;
                let (_, stat) = ready!(self.control(context, call, |process| {
                    let descriptor = process.fds.get(fd)?;
                    Ok(descriptor.file.stat().map(|stat| (0, stat)))
                }))?;
                stat.size
            }
        };
        let target = start.checked_add_signed(offset).ok_or(Errno::Inval)?;
        self.fds.get(fd)?.offset = checked_offset(target)?;
        Poll::Ready(memory.write_u64(newoffset, target))
    }

    /// `fd_tell`: the descriptor's offset.
    pub fn fd_tell<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        offset: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let descriptor = self.fds.get(fd)?;
        if descriptor.place.is_none() && !descriptor.file.seekable() {
            return Poll::Ready(Err(Errno::Spipe));
        }
        if descriptor.place.is_some() {
            return Poll::Ready(Err(Errno::Badf));
        }
        descriptor.demand_telling()?;
        Poll::Ready(memory.write_u64(offset, descriptor.offset))
    }

    /// `fd_sync`: makes what was written durable.
    pub fn fd_sync<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
    ) -> Poll<Result<(), Errno>> {
        self.sync(context, fd, Rights::FD_SYNC, false)
    }

    /// `fd_datasync`: makes what was written durable, as far as reading it back needs.
    pub fn fd_datasync<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
    ) -> Poll<Result<(), Errno>> {
        self.sync(context, fd, Rights::FD_DATASYNC, true)
    }

    fn sync(
        &mut self,
        context: &mut Context<'_>,
        fd: u32,
        rights: Rights,
        data_only: bool,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_sync(fd, data_only));
        self.control(context, call, |process| {
            let descriptor = process.fds.get(fd)?;
            descriptor.demand(rights)?;
            Ok(descriptor.file.sync(data_only))
        })
    }

    /// `fd_allocate`: makes sure that a range can be written without running out of room.
    pub fn fd_allocate<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        offset: u64,
        len: u64,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_allocate(fd, offset, len));
        self.control(context, call, |process| {
            let descriptor = process.fds.get(fd)?;
            if descriptor.place.is_some() {
                return Err(Errno::Badf);
            }
            descriptor.demand(Rights::FD_ALLOCATE)?;
            if len == 0 {
                return Err(Errno::Inval);
            }
            checked_offset(offset.checked_add(len).ok_or(Errno::Fbig)?).map_err(|_| Errno::Fbig)?;
            Ok(descriptor.file.allocate(offset, len))
        })
    }

    /// `fd_advise`: checks its arguments; advice changes nothing that a guest can see.
    pub fn fd_advise<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        offset: u64,
        len: u64,
        advice: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        const ADVICE_MAX: u32 = 5;
        let descriptor = self.fds.get(fd)?;
        if descriptor.place.is_some() {
            return Poll::Ready(Err(Errno::Badf));
        }
        if !descriptor.file.seekable() {
            return Poll::Ready(Err(Errno::Spipe));
        }
        descriptor.demand(Rights::FD_ADVISE)?;
        if advice > ADVICE_MAX {
            return Poll::Ready(Err(Errno::Inval));
        }
        checked_offset(offset)?;
        checked_offset(offset.checked_add(len).ok_or(Errno::Inval)?)?;
        Poll::Ready(Ok(()))
    }

    /// `fd_close`: closes a descriptor. Its number is free at once; the call returns when what closing begins is done,
    /// with its error.
    pub fn fd_close<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
    ) -> Poll<Result<(), Errno>> {
        self.control(context, call!(fd_close(fd)), |process| {
            match process.fds.remove(fd) {
                Err(Errno::Stale) if process.fds.forget(fd) => Ok(Op::ok(())),
                removed => Ok(closing(removed?)),
            }
        })
    }

    /// `fd_renumber`: moves a descriptor to the number of another open one, which is closed as by `fd_close`.
    pub fn fd_renumber<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        to: u32,
    ) -> Poll<Result<(), Errno>> {
        self.control(context, call!(fd_renumber(fd, to)), |process| {
            let replaced = process.fds.renumber(fd, to)?;
            Ok(replaced.map_or(Op::ok(()), closing))
        })
    }
}

fn whence_of(order: [Whence; 3], number: u32) -> Result<Whence, Errno> {
    order.get(number as usize).copied().ok_or(Errno::Inval)
}

/// Offsets are signed in POSIX: the upper half is out of range.
fn checked_offset(offset: u64) -> Result<u64, Errno> {
    match i64::try_from(offset) {
        Ok(_) => Ok(offset),
        Err(_) => Err(Errno::Inval),
    }
}
