//! What is known about descriptors: flags, rights, stat.

use std::task::{Context, Poll, ready};

use capfs::{Errno, FileKind, Op, SetStat, SetTime, Stat};

use super::Process;
use super::fds::{FdFlags, Rights};
use super::layout::{Snapshot, store_fdstat};
use super::pending::{Call, call};
use crate::GuestMemory;

/// `fstflags`: which times to set, and to what.
///
/// # Errors
/// - [`Errno::Inval`]: unknown bits, or a time both given and now
pub(super) fn times(atim: u64, mtim: u64, fst_flags: u32) -> Result<SetStat, Errno> {
    const ATIM: u32 = 1;
    const ATIM_NOW: u32 = 1 << 1;
    const MTIM: u32 = 1 << 2;
    const MTIM_NOW: u32 = 1 << 3;
    if fst_flags & !(ATIM | ATIM_NOW | MTIM | MTIM_NOW) != 0 {
        return Err(Errno::Inval);
    }
    let time = |given, now, value| match (fst_flags & given != 0, fst_flags & now != 0) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(Some(SetTime::To(value))),
        (false, true) => Ok(Some(SetTime::Now)),
        (false, false) => Ok(None),
    };
    Ok(SetStat {
        size: None,
        atime: time(ATIM, ATIM_NOW, atim)?,
        mtime: time(MTIM, MTIM_NOW, mtim)?,
    })
}

impl Process {
    /// `fd_fdstat_get`: kind, flags and rights of a descriptor.
    pub fn fd_fdstat_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        stat: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let found = self.fds.get(fd)?;
        let (base, inheriting) = found.told(&self.namespace);
        Poll::Ready(store_fdstat(
            memory,
            stat,
            found.kind,
            found.flags,
            base,
            inheriting,
        ))
    }

    /// `fd_fdstat_set_flags`: how the descriptor behaves from now on.
    pub fn fd_fdstat_set_flags<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        flags: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let descriptor = self.fds.get(fd)?;
        descriptor.demand(Rights::FD_FDSTAT_SET_FLAGS)?;
        let flags = FdFlags::parse(flags)?;
        if (flags ^ descriptor.flags).contains(FdFlags::NONBLOCK) {
            descriptor
                .file
                .set_nonblocking(flags.contains(FdFlags::NONBLOCK));
        }
        descriptor.flags = flags;
        Poll::Ready(Ok(()))
    }

    /// `fd_fdstat_set_rights`: takes rights away.
    ///
    /// # Errors
    /// - [`Errno::Notcapable`]: a right that the descriptor does not have
    pub fn fd_fdstat_set_rights<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        rights_base: u64,
        rights_inheriting: u64,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let descriptor = self.fds.get(fd)?;
        let kept = |bits, had: Rights| match Rights::from_bits(bits) {
            Some(rights) if had.contains(rights) => Ok(rights),
            _ => Err(Errno::Notcapable),
        };
        let base = kept(rights_base, descriptor.base)?;
        let inheriting = kept(rights_inheriting, descriptor.inheriting)?;
        (descriptor.base, descriptor.inheriting) = (base, inheriting);
        Poll::Ready(Ok(()))
    }

    /// `fd_filestat_get`: what is known about the file.
    pub fn fd_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.filestat(context, memory, fd, buf, Snapshot::Preview1)
    }

    /// `fd_filestat_get` of `wasi_unstable`, whose structure is another.
    pub fn unstable_fd_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.filestat(context, memory, fd, buf, Snapshot::Unstable)
    }

    fn filestat<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        buf: u32,
        snapshot: Snapshot,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_filestat_get(fd, buf));
        self.stat(context, memory, (buf, snapshot), call, |process, _| {
            let descriptor = process.fds.get(fd)?;
            descriptor.demand(Rights::FD_FILESTAT_GET)?;
            let (device, number) = (descriptor.device, descriptor.number);
            let stat = descriptor.file.stat();
            Ok(stat.map(move |mut stat| {
                if number > 0 {
                    stat.qid.path = number;
                }
                (device, stat)
            }))
        })
    }

    /// Runs an operation that yields a device's number and a stat, or goes on with the one under way,
    /// and stores both.
    pub(super) fn stat<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        (buf, snapshot): (u32, Snapshot),
        call: impl Fn() -> Call,
        start: impl FnOnce(&mut Self, &mut M) -> Result<Op<(u64, Stat)>, Errno>,
    ) -> Poll<Result<(), Errno>> {
        self.counted(memory.check(buf, snapshot.filestat_size()))?;
        let found = self.control(context, call, |process| start(process, memory));
        let (device, stat) = ready!(found)?;
        let stat = self.granted_stat(stat);
        Poll::Ready(snapshot.store_filestat(memory, buf, device, &stat))
    }

    /// `fd_filestat_set_size`: truncates or extends with zeroes.
    pub fn fd_filestat_set_size<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        size: u64,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_filestat_set_size(fd, size));
        self.control(context, call, |process| {
            let descriptor = process.fds.get(fd)?;
            if descriptor.kind == FileKind::Directory {
                return Err(Errno::Badf);
            }
            descriptor.demand(Rights::FD_FILESTAT_SET_SIZE)?;
            i64::try_from(size).map_err(|_| Errno::Inval)?;
            let change = SetStat {
                size: Some(size),
                ..SetStat::default()
            };
            Ok(descriptor.file.set_stat(change))
        })
    }

    /// `fd_filestat_set_times`: sets access and modification times.
    pub fn fd_filestat_set_times<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        _memory: &mut M,
        fd: u32,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_filestat_set_times(fd, atim, mtim, fst_flags));
        self.control(context, call, |process| {
            let descriptor = process.fds.get(fd)?;
            descriptor.demand(Rights::FD_FILESTAT_SET_TIMES)?;
            let change = times(atim, mtim, fst_flags)?;
            // A descriptor may be open for reading alone, but the mount must allow a change.
            if !descriptor.mount.contains(capfs::Rights::WRITE) {
                return Err(Errno::Rofs);
            }
            Ok(descriptor.file.set_stat(change))
        })
    }

    /// `fd_prestat_get`: that a descriptor is a preopened directory, and the length of its name.
    pub fn fd_prestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let name = self.fds.get(fd)?.preopen.as_ref().ok_or(Errno::Badf)?;
        memory.check(buf, 8)?;
        memory.write_u32(buf, 0)?;
        Poll::Ready(memory.write_u32(buf + 4, name.len() as u32))
    }

    /// `fd_prestat_dir_name`: the name of a preopened directory.
    pub fn fd_prestat_dir_name<M: GuestMemory + ?Sized>(
        &mut self,
        _context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        self.usage.calls += 1;
        let name = self.fds.get(fd)?.preopen.as_ref().ok_or(Errno::Badf)?;
        if (path_len as usize) < name.len() {
            return Poll::Ready(Err(Errno::Nametoolong));
        }
        Poll::Ready(memory.write(path, name.as_bytes()))
    }
}
