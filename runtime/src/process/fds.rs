//! The descriptor table, rights and flags.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use capfs::account::{Account, Charge, Holding};
use capfs::device::parts::Unread;
use capfs::{Errno, FileKind, Namespace, OpenFile, Place, Rights as MountRights};

bitflags::bitflags! {
    /// What a descriptor may be used for (`rights` in the witx).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Rights: u64 {
        const FD_DATASYNC = 1;
        const FD_READ = 1 << 1;
        const FD_SEEK = 1 << 2;
        const FD_FDSTAT_SET_FLAGS = 1 << 3;
        const FD_SYNC = 1 << 4;
        const FD_TELL = 1 << 5;
        const FD_WRITE = 1 << 6;
        const FD_ADVISE = 1 << 7;
        const FD_ALLOCATE = 1 << 8;
        const PATH_CREATE_DIRECTORY = 1 << 9;
        const PATH_CREATE_FILE = 1 << 10;
        const PATH_LINK_SOURCE = 1 << 11;
        const PATH_LINK_TARGET = 1 << 12;
        const PATH_OPEN = 1 << 13;
        const FD_READDIR = 1 << 14;
        const PATH_READLINK = 1 << 15;
        const PATH_RENAME_SOURCE = 1 << 16;
        const PATH_RENAME_TARGET = 1 << 17;
        const PATH_FILESTAT_GET = 1 << 18;
        const PATH_FILESTAT_SET_SIZE = 1 << 19;
        const PATH_FILESTAT_SET_TIMES = 1 << 20;
        const FD_FILESTAT_GET = 1 << 21;
        const FD_FILESTAT_SET_SIZE = 1 << 22;
        const FD_FILESTAT_SET_TIMES = 1 << 23;
        const PATH_SYMLINK = 1 << 24;
        const PATH_REMOVE_DIRECTORY = 1 << 25;
        const PATH_UNLINK_FILE = 1 << 26;
        const POLL_FD_READWRITE = 1 << 27;
        const SOCK_SHUTDOWN = 1 << 28;
        const SOCK_ACCEPT = 1 << 29;
    }
}

impl Rights {
    /// What makes sense for a directory.
    pub(super) const DIRECTORY: Rights = Rights::FD_FDSTAT_SET_FLAGS
        .union(Rights::FD_SYNC)
        .union(Rights::FD_DATASYNC)
        .union(Rights::FD_ADVISE)
        .union(Rights::PATH_CREATE_DIRECTORY)
        .union(Rights::PATH_CREATE_FILE)
        .union(Rights::PATH_LINK_SOURCE)
        .union(Rights::PATH_LINK_TARGET)
        .union(Rights::PATH_OPEN)
        .union(Rights::FD_READDIR)
        .union(Rights::PATH_READLINK)
        .union(Rights::PATH_RENAME_SOURCE)
        .union(Rights::PATH_RENAME_TARGET)
        .union(Rights::PATH_FILESTAT_GET)
        .union(Rights::PATH_FILESTAT_SET_SIZE)
        .union(Rights::PATH_FILESTAT_SET_TIMES)
        .union(Rights::FD_FILESTAT_GET)
        .union(Rights::FD_FILESTAT_SET_TIMES)
        .union(Rights::PATH_SYMLINK)
        .union(Rights::PATH_REMOVE_DIRECTORY)
        .union(Rights::PATH_UNLINK_FILE)
        .union(Rights::POLL_FD_READWRITE);

    /// What makes sense for a file that can be seeked.
    pub(super) const FILE: Rights = Rights::STREAM
        .union(Rights::FD_SEEK)
        .union(Rights::FD_TELL)
        .union(Rights::FD_ADVISE)
        .union(Rights::FD_ALLOCATE)
        .union(Rights::FD_FILESTAT_SET_SIZE)
        .union(Rights::FD_FILESTAT_SET_TIMES);

    /// What makes sense for a stream.
    pub(super) const STREAM: Rights = Rights::FD_DATASYNC
        .union(Rights::FD_READ)
        .union(Rights::FD_FDSTAT_SET_FLAGS)
        .union(Rights::FD_SYNC)
        .union(Rights::FD_WRITE)
        .union(Rights::FD_FILESTAT_GET)
        .union(Rights::POLL_FD_READWRITE)
        .union(Rights::SOCK_SHUTDOWN)
        .union(Rights::SOCK_ACCEPT);

    /// What only a file that is open to be written can do.
    pub(super) const WRITING: Rights = Rights::FD_WRITE
        .union(Rights::FD_ALLOCATE)
        .union(Rights::FD_FILESTAT_SET_SIZE);

    /// What changes something: of a mount that may not be written it is not reported.
    pub(super) const CHANGING: Rights = Rights::WRITING
        .union(Rights::FD_FILESTAT_SET_TIMES)
        .union(Rights::PATH_CREATE_DIRECTORY)
        .union(Rights::PATH_CREATE_FILE)
        .union(Rights::PATH_LINK_TARGET)
        .union(Rights::PATH_RENAME_SOURCE)
        .union(Rights::PATH_RENAME_TARGET)
        .union(Rights::PATH_FILESTAT_SET_SIZE)
        .union(Rights::PATH_FILESTAT_SET_TIMES)
        .union(Rights::PATH_SYMLINK)
        .union(Rights::PATH_REMOVE_DIRECTORY)
        .union(Rights::PATH_UNLINK_FILE);

    /// What C libraries ask for beside `FD_WRITE` where a program opens a file to write, and not otherwise.
    pub(super) const BESIDE_WRITE: Rights = Rights::FD_DATASYNC
        .union(Rights::FD_ALLOCATE)
        .union(Rights::FD_FILESTAT_SET_SIZE);

    /// Standard input and output. C libraries take a character device without `FD_SEEK` and `FD_TELL`
    /// for a terminal (`isatty`), so those are given by what the file can do, in [`Descriptor::new`].
    pub(super) const STDIO: Rights = Rights::FILE;
}

bitflags::bitflags! {
    /// How a descriptor behaves (`fdflags` in the witx).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct FdFlags: u16 {
        const APPEND = 1;
        const DSYNC = 1 << 1;
        const NONBLOCK = 1 << 2;
        const RSYNC = 1 << 3;
        const SYNC = 1 << 4;
    }
}

impl FdFlags {
    /// # Errors
    /// - [`Errno::Inval`]: unknown bits
    pub(super) fn parse(bits: u32) -> Result<Self, Errno> {
        u16::try_from(bits)
            .ok()
            .and_then(FdFlags::from_bits)
            .ok_or(Errno::Inval)
    }
}

/// An open file of the process.
pub(super) struct Descriptor {
    pub(super) file: Box<dyn OpenFile>,
    pub(super) kind: FileKind,
    /// Where paths start, if this is a directory.
    pub(super) place: Option<Place>,
    /// The name under which the guest was handed this directory.
    pub(super) preopen: Option<String>,
    pub(super) device: u64,
    /// Its number, where the process gives it one; 0 where its device does.
    pub(super) number: u64,
    /// What the mount that the file was reached through allows.
    pub(super) mount: MountRights,
    /// The number of that mount; 0 of what was not reached through one.
    pub(super) mount_number: u32,
    pub(super) offset: u64,
    /// How bytes are given back to it, once some were.
    pub(super) unread: Option<Unread>,
    pub(super) flags: FdFlags,
    pub(super) base: Rights,
    pub(super) inheriting: Rights,
}

impl Descriptor {
    /// Rights that make no sense for the file are left out of `base`.
    pub(super) fn new(
        file: Box<dyn OpenFile>,
        kind: FileKind,
        base: Rights,
        inheriting: Rights,
    ) -> Box<Self> {
        let sensible = match kind {
            FileKind::Directory => Rights::DIRECTORY,
            _ if file.seekable() => Rights::FILE,
            _ => Rights::STREAM,
        };
        Box::new(Descriptor {
            file,
            kind,
            place: None,
            preopen: None,
            device: 0,
            number: 0,
            mount: MountRights::RW,
            mount_number: 0,
            offset: 0,
            unread: None,
            flags: FdFlags::empty(),
            base: base & sensible,
            inheriting,
        })
    }

    /// That the file was reached through a place: its device, and what the mount allows.
    pub(super) fn at(mut self: Box<Self>, place: Place) -> Box<Self> {
        self.device = place.device();
        self.mount = place.rights();
        self.mount_number = place.mount_number();
        if self.kind == FileKind::Directory {
            self.place = Some(place);
        }
        self
    }

    /// The rights that `fd_fdstat_get` tells, its own and those that it hands on: what can't be done for the mount is left out, though the
    /// descriptor has it (a call is refused for the mount, with `EROFS`). C libraries answer `access` by what is handed on.
    ///
    /// [`Rights::BESIDE_WRITE`] is handed on as it is: C libraries ask for no more than is told, and by that one can tell what
    /// they would have asked for.
    pub(super) fn told(&self, namespace: &Namespace) -> (Rights, Rights) {
        let read_only = match &self.place {
            Some(place) => namespace.is_read_only(place),
            None => !self.mount.contains(MountRights::WRITE),
        };
        if !read_only {
            return (self.base, self.inheriting);
        }
        (
            self.base - Rights::CHANGING,
            self.inheriting - (Rights::CHANGING - Rights::BESIDE_WRITE),
        )
    }

    /// Fails with `ENOTCAPABLE` unless the descriptor has all of `rights`.
    pub(super) fn demand(&self, rights: Rights) -> Result<(), Errno> {
        match self.base.contains(rights) {
            true => Ok(()),
            false => Err(Errno::Notcapable),
        }
    }

    /// Fails with `ENOTCAPABLE` unless the descriptor may say where it is, which the right to seek
    /// implies (`rights` in the witx).
    pub(super) fn demand_telling(&self) -> Result<(), Errno> {
        match self.base.intersects(Rights::FD_SEEK | Rights::FD_TELL) {
            true => Ok(()),
            false => Err(Errno::Notcapable),
        }
    }
}

/// How many descriptors may be open at once. Processes with clones of one limit have so many together.
#[derive(Clone, Debug)]
pub struct FileLimit {
    max: u32,
    open: Arc<AtomicU32>,
}

impl From<u32> for FileLimit {
    fn from(max: u32) -> FileLimit {
        FileLimit {
            max,
            open: Arc::default(),
        }
    }
}

impl FileLimit {
    /// How many more there may be.
    fn left(&self) -> u32 {
        self.max.saturating_sub(self.open.load(Ordering::Relaxed))
    }

    /// Counts one more, if there may be one.
    fn take(&self) -> Result<(), Errno> {
        let more = |open: u32| (open < self.max).then_some(open + 1);
        let taken = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.map(|_| ()).map_err(|_| Errno::Mfile)
    }

    fn give_back(&self, count: u32) {
        self.open.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Bytes that an account is charged for an open descriptor, beside what is gathered in it: 1 KiB. It is what one in a
/// directory behind a gate takes on a 64-bit host, the operating system's part included.
pub const DESCRIPTOR: u64 = 1 << 10;

/// Descriptors by number; the lowest free number is given out first, as POSIX has it.
pub(super) struct DescriptorTable {
    slots: Vec<Option<Box<Descriptor>>>,
    free: BinaryHeap<Reverse<u32>>,
    limit: FileLimit,
    charge: Charge,
    peak: u32,
    /// Numbers of descriptors whose files were not found again when the process was thawed, in their order. They are open: every call but
    /// closing answers `ESTALE`.
    stale: Vec<u32>,
}

impl Drop for DescriptorTable {
    fn drop(&mut self) {
        self.limit.give_back(self.open());
    }
}

/// What is answered for a number that has no open file. It is out of the way of every call.
#[cold]
#[inline(never)]
fn missing(stale: &[u32], fd: u32) -> Errno {
    match stale.binary_search(&fd) {
        Ok(_) => Errno::Stale,
        Err(_) => Errno::Badf,
    }
}

impl DescriptorTable {
    pub(super) fn new(limit: FileLimit, account: &Account) -> Self {
        DescriptorTable {
            slots: Vec::new(),
            free: BinaryHeap::new(),
            limit,
            charge: account.nothing(Holding::Descriptors),
            peak: 0,
            stale: Vec::new(),
        }
    }

    pub(super) fn peak(&self) -> u32 {
        self.peak
    }

    fn open(&self) -> u32 {
        (self.slots.len() - self.free.len()) as u32
    }

    /// # Errors
    /// As [`DescriptorTable::insert`].
    pub(super) fn room(&self) -> Result<(), Errno> {
        let one_more = (u64::from(self.open()) + 1) * DESCRIPTOR;
        match self.limit.left() {
            0 => Err(Errno::Mfile),
            _ => self.charge.check(one_more),
        }
    }

    /// # Errors
    /// - [`Errno::Mfile`]: as many are open as may be
    /// - [`Errno::Nomem`]: the account has no room for it
    pub(super) fn insert(&mut self, descriptor: Box<Descriptor>) -> Result<u32, Errno> {
        // No table has more slots than a limit has descriptors, so every number fits.
        self.limit.take()?;
        let open = u64::from(self.open()) + 1;
        if let Err(errno) = self.charge.cover(open * DESCRIPTOR) {
            self.limit.give_back(1);
            return Err(errno);
        }
        let slot = Some(descriptor);
        let fd = match self.free.pop() {
            Some(Reverse(fd)) => {
                self.slots[fd as usize] = slot;
                fd
            }
            None => {
                let fd = self.slots.len() as u32;
                self.slots.push(slot);
                fd
            }
        };
        self.peak = self.peak.max(self.open());
        Ok(fd)
    }

    /// # Errors
    /// - [`Errno::Badf`]: not open
    /// - [`Errno::Stale`]: its file was not found again
    pub(super) fn get(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        match self.slots.get_mut(fd as usize) {
            Some(Some(descriptor)) => Ok(descriptor),
            _ => Err(missing(&self.stale, fd)),
        }
    }

    /// Whether a number is that of a descriptor whose file was not found again.
    pub(super) fn is_stale(&self, fd: u32) -> bool {
        self.stale.binary_search(&fd).is_ok()
    }

    /// Everything that is open, in the order of the numbers, stale ones left out.
    pub(super) fn all(&self) -> impl Iterator<Item = (u32, &Descriptor)> {
        let slots = self.slots.iter().zip(0..);
        slots.filter_map(|(slot, fd)| Some((fd, slot.as_deref()?)))
    }

    /// The numbers of stale descriptors.
    pub(super) fn stale(&self) -> impl Iterator<Item = u32> {
        self.stale.iter().copied()
    }

    /// Opens a descriptor with this number, higher than any so far; a stale one where there is none to open. The numbers in between
    /// are free.
    ///
    /// # Errors
    /// As [`DescriptorTable::insert`]; [`Errno::Mfile`] also for a number that no table of this limit has.
    pub(super) fn insert_at(
        &mut self,
        fd: u32,
        descriptor: Option<Box<Descriptor>>,
    ) -> Result<(), Errno> {
        if fd >= self.limit.max {
            return Err(Errno::Mfile);
        }
        self.limit.take()?;
        let open = u64::from(self.open()) + 1;
        if let Err(errno) = self.charge.cover(open * DESCRIPTOR) {
            self.limit.give_back(1);
            return Err(errno);
        }
        for free in self.slots.len() as u32..fd {
            self.slots.push(None);
            self.free.push(Reverse(free));
        }
        if descriptor.is_none() {
            self.stale.push(fd);
        }
        self.slots.push(descriptor);
        self.peak = self.peak.max(self.open());
        Ok(())
    }

    /// Says how many were open at once before.
    pub(super) fn set_peak(&mut self, peak: u32) {
        self.peak = self.peak.max(peak);
    }

    /// # Errors
    /// - [`Errno::Badf`]: not open
    pub(super) fn remove(&mut self, fd: u32) -> Result<Box<Descriptor>, Errno> {
        let slot = self.slots.get_mut(fd as usize).ok_or(Errno::Badf)?;
        let descriptor = slot.take().ok_or_else(|| missing(&self.stale, fd))?;
        self.free(fd);
        Ok(descriptor)
    }

    /// Closes a stale descriptor; whether it was one.
    pub(super) fn forget(&mut self, fd: u32) -> bool {
        let stale = self.stale.binary_search(&fd);
        if let Ok(at) = stale {
            self.stale.remove(at);
            self.free(fd);
        }
        stale.is_ok()
    }

    fn free(&mut self, fd: u32) {
        self.free.push(Reverse(fd));
        self.limit.give_back(1);
        // Less is never refused.
        let _ = self.charge.cover(u64::from(self.open()) * DESCRIPTOR);
    }

    /// Moves `from` to the number `to`; returns what was there, to be closed.
    ///
    /// # Errors
    /// - [`Errno::Badf`]: either is not open
    pub(super) fn renumber(
        &mut self,
        from: u32,
        to: u32,
    ) -> Result<Option<Box<Descriptor>>, Errno> {
        self.get(from)?;
        if self.is_stale(to) {
            let descriptor = self.remove(from)?;
            self.stale.retain(|stale| *stale != to);
            self.slots[to as usize] = Some(descriptor);
            return Ok(None);
        }
        self.get(to)?;
        if from == to {
            return Ok(None);
        }
        let descriptor = self.remove(from)?;
        Ok(self.slots[to as usize].replace(descriptor))
    }

    /// Takes out everything that is open, in the order of the numbers.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Box<Descriptor>> + use<> {
        self.limit.give_back(self.open());
        self.free.clear();
        self.stale.clear();
        std::mem::take(&mut self.slots).into_iter().flatten()
    }

    /// The directory that paths given with `fd` start from.
    ///
    /// # Errors
    /// - [`Errno::Badf`]: not open
    /// - [`Errno::Notdir`]: not a directory
    /// - [`Errno::Notcapable`]: without `rights`
    /// - [`Errno::Stale`]: it was not found again
    pub(super) fn directory(
        &self,
        fd: u32,
        rights: Rights,
    ) -> Result<(&Descriptor, &Place), Errno> {
        let Some(Some(descriptor)) = self.slots.get(fd as usize) else {
            return Err(missing(&self.stale, fd));
        };
        let place = descriptor.place.as_ref().ok_or(Errno::Notdir)?;
        descriptor.demand(rights)?;
        Ok((descriptor, place))
    }
}
