//! Calls with paths.
//!
//! A path starts at a directory's descriptor, which must have the right that the call needs; what a
//! path may reach, and what may be done there, is the namespace's to say.

use std::task::{Context, Poll, ready};

use capfs::{Errno, Namespace, Op, OpenAt, OpenHow, PATH_MAX, Place, SYMLINK_TARGET_MAX};

use super::Process;
use super::fds::{Descriptor, FdFlags, Rights};
use super::layout::Snapshot;
use super::pending::{Call, call};
use super::status::times;
use crate::GuestMemory;

/// Reads a path into `buffer`.
///
/// # Errors
/// - [`Errno::Nametoolong`]: over [`PATH_MAX`] bytes
/// - [`Errno::Fault`]: not in the guest's memory
/// - [`Errno::Ilseq`]: not UTF-8
/// - [`Errno::Inval`]: a NUL inside
fn load_path<'a, M: GuestMemory + ?Sized>(
    memory: &mut M,
    buffer: &'a mut Vec<u8>,
    addr: u32,
    len: u32,
) -> Result<&'a str, Errno> {
    memory.check(addr, len)?;
    if len as usize > PATH_MAX {
        return Err(Errno::Nametoolong);
    }
    buffer.resize(len as usize, 0);
    memory.read(addr, buffer)?;
    let path = std::str::from_utf8(buffer).map_err(|_| Errno::Ilseq)?;
    match path.contains('\0') {
        true => Err(Errno::Inval),
        false => Ok(path),
    }
}

/// `lookupflags`: whether a symbolic link at the end is followed.
fn follows(flags: u32) -> Result<bool, Errno> {
    match flags {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::Inval),
    }
}

/// What `path_open` asks for, checked.
struct OpenRequest {
    at: OpenAt,
    flags: FdFlags,
    /// Rights asked for. They say how the file is opened, and bind nothing else
    /// (docs/decisions/0008-rights.md).
    base: Rights,
    inheriting: Rights,
    /// What the directory must allow.
    demanded: Rights,
}

impl OpenRequest {
    fn parse(
        dirflags: u32,
        oflags: u32,
        base: u64,
        inheriting: u64,
        fdflags: u32,
    ) -> Result<Self, Errno> {
        const CREAT: u32 = 1;
        const DIRECTORY: u32 = 1 << 1;
        const EXCL: u32 = 1 << 2;
        const TRUNC: u32 = 1 << 3;
        if oflags & !(CREAT | DIRECTORY | EXCL | TRUNC) != 0
            || oflags & DIRECTORY != 0 && oflags & (CREAT | EXCL | TRUNC) != 0
        {
            return Err(Errno::Inval);
        }
        // C libraries ask for all 64 bits, of which the unknown ones mean nothing.
        let base = Rights::from_bits_truncate(base);
        let truncate = oflags & TRUNC != 0;
        let mut demanded = Rights::PATH_OPEN;
        demanded.set(Rights::PATH_CREATE_FILE, oflags & CREAT != 0);
        demanded.set(Rights::PATH_FILESTAT_SET_SIZE, truncate);
        Ok(OpenRequest {
            at: OpenAt {
                follow: follows(dirflags)?,
                create: oflags & CREAT != 0,
                exclusive: oflags & EXCL != 0,
                directory: oflags & DIRECTORY != 0,
                how: OpenHow {
                    read: base.intersects(Rights::FD_READ | Rights::FD_READDIR),
                    // Programs ask for the right to change the size of files that they only read.
                    write: base.contains(Rights::FD_WRITE),
                    truncate,
                },
            },
            flags: FdFlags::parse(fdflags)?,
            base,
            inheriting: Rights::from_bits_truncate(inheriting),
            demanded,
        })
    }

    /// Whether a C library asks to write, who doesn't say so as it was told that nobody may here: it asks for what it was told and no more,
    /// and would open a file to read that a program wants to write.
    #[inline]
    fn would_write(&self, directory: &Descriptor, namespace: &Namespace) -> bool {
        let asked = self.base & (Rights::BESIDE_WRITE | Rights::FD_WRITE);
        asked == Rights::BESIDE_WRITE && self.would_have_written(directory, namespace)
    }

    #[cold]
    fn would_have_written(&self, directory: &Descriptor, namespace: &Namespace) -> bool {
        let (_, told) = directory.told(namespace);
        self.inheriting == told && !told.contains(Rights::FD_WRITE)
    }

    /// What the descriptor may be used for, as far as its directory hands it on: everything but what the file wasn't
    /// opened for.
    fn granted(&self) -> Rights {
        let mut rights = Rights::all();
        rights.set(Rights::FD_READ, self.base.contains(Rights::FD_READ));
        rights.set(Rights::WRITING, self.at.how.write);
        rights
    }
}

impl Process {
    /// `path_open`: opens, and makes if asked to, a file.
    pub fn path_open<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        dirflags: u32,
        path: u32,
        path_len: u32,
        oflags: u32,
        rights_base: u64,
        rights_inheriting: u64,
        fdflags: u32,
        opened_fd: u32,
    ) -> Poll<Result<(), Errno>> {
        let request = memory.check(opened_fd, 4).and_then(|()| {
            OpenRequest::parse(dirflags, oflags, rights_base, rights_inheriting, fdflags)
        });
        let request = self.counted(request)?;
        let call = call!(path_open(
            fd,
            dirflags,
            path,
            path_len,
            oflags,
            rights_base,
            rights_inheriting,
            fdflags,
            opened_fd,
        ));
        let opened = self.control(context, call, |process| {
            let path = load_path(memory, &mut process.path, path, path_len)?;
            let (directory, place) = process.fds.directory(fd, request.demanded)?;
            if !directory
                .inheriting
                .contains(request.base | request.inheriting)
            {
                return Err(Errno::Notcapable);
            }
            let mut at = request.at;
            at.how.write |= request.would_write(directory, &process.namespace);
            // Before anything is made or truncated.
            process.fds.room()?;
            Ok(process.namespace.open(place, path, at))
        });
        let (place, mut file) = ready!(opened)?;
        if request.flags.contains(FdFlags::NONBLOCK) {
            file.set_nonblocking(true);
        }
        let inherited = self.fds.get(fd)?.inheriting;
        let base = request.granted() & inherited;
        let mut descriptor = Descriptor::new(file, place.kind(), base, inherited).at(place);
        descriptor.flags = request.flags;
        let opened = self.fds.insert(descriptor)?;
        Poll::Ready(memory.write_u32(opened_fd, opened))
    }

    /// `path_filestat_get`: what is known about a file.
    pub fn path_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.path_filestat(
            context,
            memory,
            (fd, flags, path, path_len),
            buf,
            Snapshot::Preview1,
        )
    }

    /// `path_filestat_get` of `wasi_unstable`, whose structure is another.
    pub fn unstable_path_filestat_get<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        buf: u32,
    ) -> Poll<Result<(), Errno>> {
        self.path_filestat(
            context,
            memory,
            (fd, flags, path, path_len),
            buf,
            Snapshot::Unstable,
        )
    }

    fn path_filestat<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        (fd, flags, path, path_len): (u32, u32, u32, u32),
        buf: u32,
        snapshot: Snapshot,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(path_filestat_get(fd, flags, path, path_len, buf));
        self.stat(context, memory, (buf, snapshot), call, |process, memory| {
            let path = load_path(memory, &mut process.path, path, path_len)?;
            let (_, place) = process.fds.directory(fd, Rights::PATH_FILESTAT_GET)?;
            Ok(process.namespace.stat(place, path, follows(flags)?))
        })
    }

    /// `path_filestat_set_times`: sets access and modification times.
    pub fn path_filestat_set_times<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        flags: u32,
        path: u32,
        path_len: u32,
        atim: u64,
        mtim: u64,
        fst_flags: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(path_filestat_set_times(
            fd, flags, path, path_len, atim, mtim, fst_flags
        ));
        self.control(context, call, |process| {
            let path = load_path(memory, &mut process.path, path, path_len)?;
            let (_, place) = process.fds.directory(fd, Rights::PATH_FILESTAT_SET_TIMES)?;
            let change = times(atim, mtim, fst_flags)?;
            Ok(process
                .namespace
                .set_stat(place, path, follows(flags)?, change))
        })
    }

    /// Does something to one path that yields nothing.
    fn at_path<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        (fd, path, path_len): (u32, u32, u32),
        rights: Rights,
        call: impl Fn() -> Call,
        operate: impl FnOnce(&Namespace, &Place, &str) -> Op<()>,
    ) -> Poll<Result<(), Errno>> {
        self.control(context, call, |process| {
            let path = load_path(memory, &mut process.path, path, path_len)?;
            let (_, place) = process.fds.directory(fd, rights)?;
            Ok(operate(&process.namespace, place, path))
        })
    }

    /// `path_create_directory`: makes a directory.
    pub fn path_create_directory<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let at = (fd, path, path_len);
        self.at_path(
            context,
            memory,
            at,
            Rights::PATH_CREATE_DIRECTORY,
            call!(path_create_directory(fd, path, path_len)),
            Namespace::make_directory,
        )
    }

    /// `path_remove_directory`: takes away an empty directory.
    pub fn path_remove_directory<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let at = (fd, path, path_len);
        self.at_path(
            context,
            memory,
            at,
            Rights::PATH_REMOVE_DIRECTORY,
            call!(path_remove_directory(fd, path, path_len)),
            Namespace::remove_directory,
        )
    }

    /// `path_unlink_file`: takes away the name of anything but a directory.
    pub fn path_unlink_file<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        path: u32,
        path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let at = (fd, path, path_len);
        self.at_path(
            context,
            memory,
            at,
            Rights::PATH_UNLINK_FILE,
            call!(path_unlink_file(fd, path, path_len)),
            Namespace::unlink,
        )
    }

    /// `path_symlink`: makes a symbolic link. A target that is absolute is refused, as it could only
    /// lead out of the directory.
    pub fn path_symlink<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        old_path: u32,
        old_path_len: u32,
        fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(path_symlink(
            old_path,
            old_path_len,
            fd,
            new_path,
            new_path_len
        ));
        self.control(context, call, |process| {
            let target = load_path(memory, &mut process.path, old_path, old_path_len)?;
            let path = load_path(memory, &mut process.other_path, new_path, new_path_len)?;
            let (_, place) = process.fds.directory(fd, Rights::PATH_SYMLINK)?;
            if target.starts_with('/') {
                return Err(Errno::Notcapable);
            }
            if target.len() > SYMLINK_TARGET_MAX {
                return Err(Errno::Nametoolong);
            }
            Ok(process.namespace.make_symlink(target, place, path))
        })
    }

    /// `path_readlink`: the target of a symbolic link, cut off where the buffer ends.
    pub fn path_readlink<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        path: u32,
        path_len: u32,
        buf: u32,
        buf_len: u32,
        bufused: u32,
    ) -> Poll<Result<(), Errno>> {
        let room = memory.check(bufused, 4);
        self.counted(room.and_then(|()| memory.check(buf, buf_len)))?;
        let call = call!(path_readlink(fd, path, path_len, buf, buf_len, bufused));
        let target = ready!(self.control(context, call, |process| {
            let path = load_path(memory, &mut process.path, path, path_len)?;
            let (_, place) = process.fds.directory(fd, Rights::PATH_READLINK)?;
            Ok(process.namespace.read_link(place, path))
        }))?;
        let len = target.len().min(buf_len as usize);
        memory.write(buf, &target.as_bytes()[..len])?;
        Poll::Ready(memory.write_u32(bufused, len as u32))
    }

    /// `path_link`: gives a file another name.
    pub fn path_link<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        old_fd: u32,
        old_flags: u32,
        old_path: u32,
        old_path_len: u32,
        new_fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(path_link(
            old_fd,
            old_flags,
            old_path,
            old_path_len,
            new_fd,
            new_path,
            new_path_len
        ));
        self.control(context, call, |process| {
            let old = load_path(memory, &mut process.path, old_path, old_path_len)?;
            let new = load_path(memory, &mut process.other_path, new_path, new_path_len)?;
            let (_, old_place) = process.fds.directory(old_fd, Rights::PATH_LINK_SOURCE)?;
            let (_, new_place) = process.fds.directory(new_fd, Rights::PATH_LINK_TARGET)?;
            let follow = follows(old_flags)?;
            Ok(process
                .namespace
                .link(old_place, old, follow, new_place, new))
        })
    }

    /// `path_rename`: moves a file, replacing what is there.
    pub fn path_rename<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        old_path: u32,
        old_path_len: u32,
        new_fd: u32,
        new_path: u32,
        new_path_len: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(path_rename(
            fd,
            old_path,
            old_path_len,
            new_fd,
            new_path,
            new_path_len
        ));
        self.control(context, call, |process| {
            let old = load_path(memory, &mut process.path, old_path, old_path_len)?;
            let new = load_path(memory, &mut process.other_path, new_path, new_path_len)?;
            let (_, old_place) = process.fds.directory(fd, Rights::PATH_RENAME_SOURCE)?;
            let (_, new_place) = process.fds.directory(new_fd, Rights::PATH_RENAME_TARGET)?;
            Ok(process.namespace.rename(old_place, old, new_place, new))
        })
    }
}
