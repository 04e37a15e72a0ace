//! Files and directories of the host that are open.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use cap_std::fs::{Dir, Metadata};
use capfs::account::{Charge, Holding};
use capfs::clock::NANOS_PER_SEC;
use capfs::device::parts::lock;
use capfs::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Op, OpenDirectory, OpenFile, Qid, SavedFile,
    SetStat, SetTime, Stat, WriteAt, Written,
};
use capfs_native_devices::blocking;
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use super::super::errors::errno;
use super::super::transfer::{retry, with_scratch};
use super::ledger::{Counted, Ledger, Taken};
use super::numbers::Seen;
use super::{Known, Tree, durable, op};

/// A file that was just opened, and that it counts as open where contents are counted.
pub(super) struct Held {
    // In front, and so dropped first: as soon as the file is closed, its number can be another's.
    pub(super) counted: Option<Counted>,
    pub(super) file: File,
}

impl Held {
    /// Where contents are not counted.
    pub(super) fn uncounted(file: File) -> Held {
        Held {
            counted: None,
            file,
        }
    }
}

/// An open regular file.
pub(super) struct HostFile {
    /// The file system of its directory, until it is checked before anything is done with it.
    unchecked: Option<u64>,
    known: Known,
    // In front of the file, as in `Held`.
    ledger: Option<Counted>,
    file: File,
}

impl HostFile {
    /// A file that is known to be a regular one which the guest may have.
    pub(super) fn new(held: Held, known: Known) -> Self {
        HostFile {
            unchecked: None,
            known,
            ledger: held.counted,
            file: held.file,
        }
    }

    /// A file whose name stood for such a one when it was walked to, and may stand for something else by now. That is found
    /// when something is done with it: opening and closing alone need no call of the system for it.
    pub(super) fn unchecked(held: Held, known: Known, device: u64) -> Self {
        HostFile {
            unchecked: Some(device),
            ..HostFile::new(held, known)
        }
    }

    #[inline]
    fn check(&mut self) -> Result<(), Errno> {
        match self.unchecked {
            None => Ok(()),
            Some(device) => {
                self.known.check(device, &self.file)?;
                self.unchecked = None;
                Ok(())
            }
        }
    }

    /// Takes bytes from here and there and writes them together; `written` says how far it is. Whether to go on.
    ///
    /// # Errors
    /// What writing fails with, where nothing has been written.
    fn write_gathered(
        &self,
        at: WriteAt,
        source: &mut dyn GuestSource,
        written: &mut Written,
    ) -> Result<bool, Errno> {
        with_scratch(source.remaining(), |scratch| {
            let length = source.take(scratch);
            let mut done = 0;
            while done < length {
                let at = match at {
                    WriteAt::Offset(_) => WriteAt::Offset(written.end),
                    WriteAt::End => WriteAt::End,
                };
                match self.write_at(at, &scratch[done..length]) {
                    Err(errno) if written.bytes == 0 => return Err(errno),
                    Err(_) | Ok((0, _)) => return Ok(false),
                    Ok((count, end)) => {
                        done += count;
                        *written = Written {
                            bytes: written.bytes + count,
                            end,
                        };
                    }
                }
            }
            Ok(length > 0)
        })
    }

    /// Writes at most as much as the folder has room for.
    fn write_at(&self, at: WriteAt, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        let Some(ledger) = &self.ledger else {
            return self.write_uncounted(at, bytes);
        };
        let offset = match at {
            WriteAt::Offset(offset) => Some(offset),
            WriteAt::End => None,
        };
        ledger.change(
            || taken(&self.file),
            |taken, room| taken.fit(offset, bytes.len() as u64, room),
            |length| self.write_uncounted(at, &bytes[..length as usize]),
        )
    }

    fn write_uncounted(&self, at: WriteAt, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        let WriteAt::Offset(offset) = at else {
            return self.append(bytes);
        };
        let count = retry(|| self.file.write_at(bytes, offset))?;
        Ok((count, offset + count as u64))
    }

    /// Finds the end and writes there in one step, though the descriptor was not opened to append
    /// (`RWF_APPEND`, pwritev2(2)).
    fn append(&self, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        use rustix::io::ReadWriteFlags;
        let count = retry(|| {
            let slices = [std::io::IoSlice::new(bytes)];
            let flags = ReadWriteFlags::APPEND;
            Ok(rustix::io::pwritev2(&self.file, &slices, 0, flags)?)
        })?;
        Ok((count, self.file.metadata().map_err(errno)?.len()))
    }
}

/// Offsets from 2^63 on can't be in a file.
fn in_range(offset: u64, len: usize) -> bool {
    offset
        .checked_add(len as u64)
        .is_some_and(|end| i64::try_from(end).is_ok())
}

impl OpenFile for HostFile {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if let Err(errno) = self.check() {
            return Poll::Ready(Err(errno));
        }
        let mut total = 0;
        while sink.remaining() > 0 {
            let at = offset.saturating_add(total as u64);
            if !in_range(at, sink.remaining()) {
                break;
            }
            let mut room = 0;
            let file = &self.file;
            let in_place = sink.in_place(&mut |slice| {
                room = slice.len();
                retry(|| file.read_at(slice, at))
            });
            match in_place {
                Some(Err(errno)) if total == 0 => return Poll::Ready(Err(errno)),
                Some(Err(_)) => break,
                Some(Ok(count)) => {
                    total += count;
                    if count < room {
                        break;
                    }
                    continue;
                }
                None => {}
            }
            let read = with_scratch(sink.remaining(), |scratch| {
                let count = retry(|| file.read_at(scratch, at))?;
                Ok((sink.put(&scratch[..count]), count == scratch.len()))
            });
            match read {
                Err(errno) if total == 0 => return Poll::Ready(Err(errno)),
                Err(_) => break,
                Ok((count, full)) => {
                    total += count;
                    if !full {
                        break;
                    }
                }
            }
        }
        Poll::Ready(Ok(total))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if let Err(errno) = self.check() {
            return Poll::Ready(Err(errno));
        }
        let start = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => 0,
        };
        if !in_range(start, source.remaining()) {
            return Poll::Ready(Err(Errno::Fbig));
        }
        let mut written = Written {
            bytes: 0,
            end: start,
        };
        if source.remaining() == 0 && at == WriteAt::End {
            written.end = self.file.metadata().map_err(errno)?.len();
        }
        // All in one piece is written from where it is; pieces are gathered, for one call of the
        // operating system is dearer than a copy, and what is appended stays together.
        let total = source.remaining();
        let mut whole = false;
        let in_place = source.in_place(&mut |bytes| {
            whole = bytes.len() == total && total > 0;
            if !whole {
                return Ok(0);
            }
            let (count, end) = self.write_at(at, bytes)?;
            written = Written { bytes: count, end };
            Ok(count)
        });
        if let (true, Some(result)) = (whole, in_place) {
            return Poll::Ready(result.map(|_| written));
        }
        while source.remaining() > 0 {
            match self.write_gathered(at, source, &mut written) {
                Ok(true) => {}
                Ok(false) => break,
                Err(errno) => return Poll::Ready(Err(errno)),
            }
        }
        Poll::Ready(Ok(written))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        let stat = || {
            let metadata = Metadata::from_file(&self.file).map_err(errno)?;
            if let Some(device) = self.unchecked {
                self.known.check_as(device, &self.file, &metadata)?;
            }
            self.known.stat(&metadata)
        };
        Op::Ready(stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        if let Err(errno) = self.check() {
            return Op::err(errno);
        }
        let ledger = self.known.tree.ledger.clone();
        let set = move |file: &File| counted(ledger.as_deref(), file, || set_stat(file, change));
        let is_long = change.size.is_some_and(|size| {
            takes_long(|| Ok(self.file.metadata()?.len().saturating_sub(size)))
        });
        match is_long {
            true => beside(&self.file, File::try_clone, set),
            false => Op::Ready(set(&self.file)),
        }
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        if let Err(errno) = self.check() {
            return Op::err(errno);
        }
        if !in_range(offset, usize::try_from(length).unwrap_or(usize::MAX)) {
            return Op::err(Errno::Fbig);
        }
        let ledger = self.known.tree.ledger.clone();
        let set = move |file: &File| allocate(ledger.as_deref(), file, offset, length);
        match length >= LONG {
            true => beside(&self.file, File::try_clone, set),
            false => Op::Ready(set(&self.file)),
        }
    }

    fn save(&self) -> Result<SavedFile, Errno> {
        let Known { tree, qid, .. } = &self.known;
        durable::handle(tree, qid.path, &self.file, None).map(SavedFile::of)
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        if let Err(errno) = self.check() {
            return Op::err(errno);
        }
        let sync = move |file: &File| match data_only {
            true => file.sync_data(),
            false => file.sync_all(),
        };
        beside(&self.file, File::try_clone, move |file| {
            sync(file).map_err(errno)
        })
    }
}

/// What a file takes.
fn taken(file: &File) -> Result<Taken, Errno> {
    Taken::of_open(file).map_err(errno)
}

/// Does a change of a file that needs no room, and counts what it takes then.
pub(super) fn counted<T>(
    ledger: Option<&Ledger>,
    file: &File,
    change: impl FnOnce() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match ledger {
        Some(ledger) => ledger.change(|| taken(file), |_, _| Some(0), |_| change()),
        None => change(),
    }
}

/// Sets room aside for a part of a file.
fn allocate(ledger: Option<&Ledger>, file: &File, offset: u64, length: u64) -> Result<(), Errno> {
    let allocate = || {
        let none = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(file, none, offset, length) {
            // Some file systems can't; then at least the size is right, and writes say when
            // there is no room.
            Err(rustix::io::Errno::OPNOTSUPP) => {
                let size = file.metadata()?.len();
                file.set_len(size.max(offset + length))
            }
            result => Ok(result?),
        }
    };
    let allocate = || allocate().map_err(errno);
    let Some(ledger) = ledger else {
        return allocate();
    };
    ledger.change(
        || taken(file),
        |taken, room| {
            let fits = taken.fit(Some(offset), length, room);
            fits.filter(|fits| *fits == length)
        },
        |_| allocate(),
    )
}

fn set_stat(file: &File, change: SetStat) -> Result<(), Errno> {
    if let Some(size) = change.size {
        if i64::try_from(size).is_err() {
            return Err(Errno::Fbig);
        }
        file.set_len(size).map_err(errno)?;
    }
    if change.atime.is_some() || change.mtime.is_some() {
        rustix::fs::futimens(file, &timestamps(change)).map_err(|error| errno(error.into()))?;
    }
    Ok(())
}

/// *Now* is left to the system: who may write a file may set that, and its owner alone any other time
/// (utimensat(2)).
fn timestamps(change: SetStat) -> Timestamps {
    let time = |time: Option<SetTime>| match time {
        None => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
        Some(SetTime::Now) => Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_NOW,
        },
        Some(SetTime::To(nanos)) => Timespec {
            tv_sec: (nanos / NANOS_PER_SEC) as _,
            tv_nsec: (nanos % NANOS_PER_SEC) as _,
        },
    };
    Timestamps {
        last_access: time(change.atime),
        last_modification: time(change.mtime),
    }
}

/// Changes the times of a directory.
pub(super) fn set_directory_stat(dir: &Dir, change: SetStat) -> Result<(), Errno> {
    if change.size.is_some() {
        return Err(Errno::Isdir);
    }
    // By name: a handle that was opened to walk through (O_PATH) has no times to set.
    rustix::fs::utimensat(dir, ".", &timestamps(change), AtFlags::empty())
        .map_err(|error| errno(error.into()))
}

/// An open directory. Its names are read when a listing starts, and kept until it starts again; then a
/// name that is still there keeps its cookie, and new ones come behind. So cookies survive changes.
pub(super) struct HostDirectory {
    dir: Arc<Dir>,
    qid: Qid,
    listing: Arc<Mutex<Listing>>,
}

/// What was listed of a directory.
struct Listing {
    dir: Arc<Dir>,
    tree: Arc<Tree>,
    /// In ascending order of cookies; `None` before the first listing.
    entries: Option<Vec<DirEntry>>,
    /// The last cookie that was given out.
    last_cookie: u64,
    /// For the entries.
    charge: Charge,
}

/// Bytes that a file system takes long to find room for, or to give back: some take 0.3 s for each GiB.
const LONG: u64 = 16 << 20;

/// Bytes that an account is charged for a name of a listing that is kept, beside the name itself: the entry, and what the
/// allocator adds to a name.
const ENTRY: usize = size_of::<DirEntry>() + 16;

/// How often a name is kept while a listing is read: as it came, by what it is found again, and as it is listed.
const READING: usize = 3;

impl HostDirectory {
    pub(super) fn new(dir: Arc<Dir>, qid: Qid, tree: Arc<Tree>) -> Self {
        let listing = Listing {
            dir: dir.clone(),
            entries: None,
            last_cookie: 0,
            charge: tree.account.nothing(Holding::Descriptors),
            tree,
        };
        HostDirectory {
            dir,
            qid,
            listing: Arc::new(Mutex::new(listing)),
        }
    }
}

impl Listing {
    /// What comes behind a cookie; with none, the directory is read again.
    fn list(&mut self, cookie: u64, max: usize) -> Result<Vec<DirEntry>, Errno> {
        if self.is_read_for(cookie) {
            self.refresh()?;
        }
        let entries = self.entries.as_deref().unwrap_or_default();
        let start = entries.partition_point(|entry| entry.cookie <= cookie);
        Ok(entries[start..].iter().take(max).cloned().collect())
    }

    fn is_read_for(&self, cookie: u64) -> bool {
        cookie == 0 || self.entries.is_none()
    }

    /// Reads the directory again.
    ///
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for its names; what was listed before stays
    /// - whatever reading it ends with
    fn refresh(&mut self) -> Result<(), Errno> {
        let (names, mut reading) = self.read_names()?;
        let mut entries = self.entries.take().unwrap_or_default();
        let mut found: HashMap<&str, Qid> = HashMap::with_capacity(names.len());
        found.extend(names.iter().map(|(name, qid)| (name.as_str(), *qid)));
        entries.retain_mut(|entry| match found.remove(entry.name.as_str()) {
            Some(qid) => {
                entry.qid = qid;
                true
            }
            None => false,
        });
        for (name, _) in &names {
            // What is left was not there before.
            if let Some(qid) = found.remove(name.as_str()) {
                self.last_cookie += 1;
                entries.push(DirEntry {
                    name: name.clone(),
                    qid,
                    cookie: self.last_cookie,
                });
            }
        }
        drop(found);
        drop(names);
        entries.shrink_to_fit();
        let sizes = entries.iter().map(|entry| ENTRY + entry.name.len());
        // Less than it took to read them, so it is not refused.
        reading.resize(sizes.sum::<usize>() as u64)?;
        self.charge = reading;
        self.entries = Some(entries);
        Ok(())
    }

    /// The names, and a charge for them and for what is made of them.
    fn read_names(&self) -> Result<(Vec<(String, Qid)>, Charge), Errno> {
        let mut names = Vec::new();
        let mut reading = self.tree.account.nothing(Holding::Descriptors);
        let mut size = 0;
        for entry in self.dir.entries().map_err(errno)? {
            let entry = entry.map_err(errno)?;
            // A name that is not text can't be told to a guest, or opened by it.
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // Gone since it was listed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            size += READING * (ENTRY + name.len());
            reading.cover(size as u64)?;
            names.push((name, Seen::new(&metadata)));
        }
        Ok((self.tree.numbers.list(names)?, reading))
    }
}

impl Entries for HostDirectory {
    /// # Errors
    /// - [`Errno::Nomem`]: the account has no room for all of the directory's names
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let Some(pool) = blocking::pool() else {
            return Op::Ready(lock(&self.listing).list(cookie, max));
        };
        // It is locked where one that was given up is still read.
        if let Ok(mut listing) = self.listing.try_lock()
            && !listing.is_read_for(cookie)
        {
            return Op::Ready(listing.list(cookie, max));
        }
        // A folder may have millions of names, each of which is looked at.
        let listing = self.listing.clone();
        Op::later(async move {
            let listed = pool.run(move || lock(&listing).list(cookie, max)).await;
            listed.map_err(|_| Errno::Io)?
        })
    }
}

impl OpenDirectory for HostDirectory {
    fn stat(&self) -> Op<Stat> {
        op(self
            .dir
            .dir_metadata()
            .map(|metadata| super::stat(&metadata, self.qid)))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        Op::Ready(set_directory_stat(&self.dir, change))
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        // By a handle of its own: one that was opened to walk through (O_PATH) has nothing to sync.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let sync = move |dir: &Arc<Dir>| {
            let own = rustix::fs::openat(&**dir, ".", flags, Mode::empty());
            let synced = own.and_then(rustix::fs::fsync);
            synced.map_err(|error| errno(error.into()))
        };
        beside(&self.dir, |dir| Ok(dir.clone()), sync)
    }
}

/// Whether what is done with a file of this size is for [`beside`]. Where nobody waits for this thread, it is not asked.
pub(super) fn takes_long(size: impl FnOnce() -> std::io::Result<u64>) -> bool {
    blocking::pool().is_some() && size().is_ok_and(|size| size >= LONG)
}

/// Does what waits for a disk or takes long, with a handle of its own where that is done beside the agent's task.
pub(super) fn beside<H: Send + 'static>(
    handle: &H,
    own: impl FnOnce(&H) -> std::io::Result<H>,
    work: impl FnOnce(&H) -> Result<(), Errno> + Send + 'static,
) -> Op<()> {
    let Some(pool) = blocking::pool() else {
        return Op::Ready(work(handle));
    };
    match own(handle) {
        Ok(own) => Op::later(async move {
            let done = pool.run(move || work(&own)).await;
            done.map_err(|_| Errno::Io)?
        }),
        Err(error) => op(Err(error)),
    }
}
