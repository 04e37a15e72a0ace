//! Files and directories of the host that are open.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, UNIX_EPOCH};

use cap_std::fs::Dir;
use capfs::clock::NANOS_PER_SEC;
use capfs::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Op, OpenFile, Qid, SetStat, SetTime, Stat,
    WriteAt, Written,
};
use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::errors::errno;
use super::op;

/// Bytes that move between the guest and the host at a time: large enough that the system call's own
/// price vanishes, small enough to stay in the processor's cache.
const CHUNK: usize = 64 * 1024;

/// An open regular file.
pub(super) struct HostFile {
    file: File,
    /// Grows to what reads and writes need, at most [`CHUNK`].
    buffer: Vec<u8>,
}

impl HostFile {
    pub(super) fn new(file: File) -> Self {
        HostFile {
            file,
            buffer: Vec::new(),
        }
    }

    fn chunk(&mut self, wanted: usize) -> usize {
        let len = wanted.min(CHUNK);
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        len
    }

    fn write_at(&self, at: WriteAt, bytes: &[u8]) -> Result<(usize, u64), Errno> {
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

fn retry<T>(mut call: impl FnMut() -> std::io::Result<T>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(errno),
        }
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
            let len = self.chunk(sink.remaining());
            let read = retry(|| self.file.read_at(&mut self.buffer[..len], at));
            let count = match read {
                Err(errno) if total == 0 => return Poll::Ready(Err(errno)),
                Err(_) | Ok(0) => break,
                Ok(count) => count,
            };
            total += sink.put(&self.buffer[..count]);
            if count < len {
                break;
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
            let len = self.chunk(source.remaining());
            source.take(&mut self.buffer[..len]);
            let mut done = 0;
            while done < len {
                let at = match at {
                    WriteAt::Offset(_) => WriteAt::Offset(written.end),
                    WriteAt::End => WriteAt::End,
                };
                match self.write_at(at, &self.buffer[done..len]) {
                    Err(errno) if written.bytes == 0 => return Poll::Ready(Err(errno)),
                    Err(_) | Ok((0, _)) => return Poll::Ready(Ok(written)),
                    Ok((count, end)) => {
                        done += count;
                        written = Written {
                            bytes: written.bytes + count,
                            end,
                        };
                    }
                }
            }
        }
        Poll::Ready(Ok(written))
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        let file = cap_std::fs::File::from_std(match self.file.try_clone() {
            Ok(file) => file,
            Err(error) => return Op::err(errno(error)),
        });
        op(file.metadata().map(|metadata| super::stat(&metadata)))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        Op::Ready(set_stat(&self.file, change))
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        if !in_range(offset, usize::try_from(length).unwrap_or(usize::MAX)) {
            return Op::err(Errno::Fbig);
        }
        let allocate = || {
            match rustix::fs::fallocate(
                &self.file,
                rustix::fs::FallocateFlags::empty(),
                offset,
                length,
            ) {
                // Some file systems can't; then at least the size is right, and writes say when
                // there is no room.
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    let size = self.file.metadata()?.len();
                    self.file.set_len(size.max(offset + length))
                }
                result => Ok(result?),
            }
        };
        op(allocate())
    }

    fn sync(&mut self, data_only: bool) -> Op<()> {
        op(if data_only {
            self.file.sync_data()
        } else {
            self.file.sync_all()
        })
    }
}

fn set_stat(file: &File, change: SetStat) -> Result<(), Errno> {
    if let Some(size) = change.size {
        if i64::try_from(size).is_err() {
            return Err(Errno::Fbig);
        }
        file.set_len(size).map_err(errno)?;
    }
    let time = |time: SetTime| match time {
        SetTime::Now => std::time::SystemTime::now(),
        SetTime::To(nanos) => UNIX_EPOCH + Duration::from_nanos(nanos),
    };
    let mut times = std::fs::FileTimes::new();
    if let Some(atime) = change.atime {
        times = times.set_accessed(time(atime));
    }
    if let Some(mtime) = change.mtime {
        times = times.set_modified(time(mtime));
    }
    if change.atime.is_some() || change.mtime.is_some() {
        file.set_times(times).map_err(errno)?;
    }
    Ok(())
}

/// Changes the times of a directory.
pub(super) fn set_directory_stat(dir: &Dir, change: SetStat) -> Result<(), Errno> {
    if change.size.is_some() {
        return Err(Errno::Isdir);
    }
    // By name: a handle that was opened to walk through (O_PATH) has no times to set.
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
    let times = Timestamps {
        last_access: time(change.atime),
        last_modification: time(change.mtime),
    };
    rustix::fs::utimensat(dir, ".", &times, AtFlags::empty()).map_err(|error| errno(error.into()))
}

fn as_file(dir: &Dir) -> Result<File, Errno> {
    Ok(dir.try_clone().map_err(errno)?.into_std_file())
}

/// An open directory. Its names are read when a listing starts, and kept until it starts again, so
/// cookies survive changes.
pub(super) struct HostDirectory {
    dir: Arc<Dir>,
    names: Option<Vec<(String, Qid)>>,
}

impl HostDirectory {
    pub(super) fn new(dir: Arc<Dir>) -> Self {
        HostDirectory { dir, names: None }
    }

    fn read_names(&self) -> Result<Vec<(String, Qid)>, Errno> {
        let mut names = Vec::new();
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
            names.push((name, super::qid(&metadata)));
        }
        Ok(names)
    }
}

impl Entries for HostDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        if cookie == 0 || self.names.is_none() {
            self.names = match self.read_names() {
                Ok(names) => Some(names),
                Err(errno) => return Op::err(errno),
            };
        }
        let names = self.names.as_deref().unwrap_or_default();
        let start = usize::try_from(cookie).unwrap_or(usize::MAX);
        let entries = names.iter().zip(1..).skip(start).take(max);
        Op::ok(
            entries
                .map(|((name, qid), cookie)| DirEntry {
                    name: name.clone(),
                    qid: *qid,
                    cookie,
                })
                .collect(),
        )
    }
}

impl OpenFile for HostDirectory {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Isdir))
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        op(self
            .dir
            .dir_metadata()
            .map(|metadata| super::stat(&metadata)))
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        Op::Ready(set_directory_stat(&self.dir, change))
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        match as_file(&self.dir) {
            Ok(file) => op(file.sync_all()),
            Err(errno) => Op::err(errno),
        }
    }

    fn entries(&mut self) -> Option<&mut dyn Entries> {
        Some(self)
    }
}
