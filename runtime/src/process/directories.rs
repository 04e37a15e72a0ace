//! Listing directories.

use std::task::{Context, Poll};

use capfs::{BoxedFuture, DirEntry, Errno, FileKind, Op, Qid};

use super::Process;
use super::fds::Rights;
use super::layout::{DIRENT_SIZE, dirent};
use super::pending::{Pending, call};
use crate::GuestMemory;

/// Entries that are asked of a device at a time.
const BATCH: usize = 128;

/// Batches between two looks at the host's clock: what is listed in a millisecond or two.
const BATCHES: usize = 64;

/// Guest cookies of `.` and `..`; those of a device's entries are shifted by this many.
const DOTS: u64 = 2;

impl Process {
    /// `fd_readdir`: fills a buffer with entries behind `cookie`. An entry that does not fit is cut
    /// off; a buffer that is not filled says that the listing is at its end.
    pub fn fd_readdir<M: GuestMemory + ?Sized>(
        &mut self,
        context: &mut Context<'_>,
        memory: &mut M,
        fd: u32,
        buf: u32,
        buf_len: u32,
        cookie: u64,
        bufused: u32,
    ) -> Poll<Result<(), Errno>> {
        let call = call!(fd_readdir(fd, buf, buf_len, cookie, bufused));
        let resumed = self.resume(call);
        self.usage.calls += 1;
        memory.check(bufused, 4)?;
        memory.check(buf, buf_len)?;
        let descriptor = self.fds.get(fd)?;
        if descriptor.kind != FileKind::Directory {
            return Poll::Ready(Err(Errno::Notdir));
        }
        descriptor.demand(Rights::FD_READDIR)?;
        let mut page = Page {
            memory,
            buf,
            len: buf_len,
            used: 0,
        };
        let mut after = cookie;
        let mut waiting = None;
        if let Some(Pending::List {
            entries,
            used,
            after: listed,
        }) = resumed
        {
            (waiting, page.used, after) = (entries, used, listed);
        } else {
            let qid = descriptor.place.as_ref().map(|place| place.node().qid());
            let qid = qid.unwrap_or(Qid::new(0, FileKind::Directory));
            for (name, behind) in [(".", 1), ("..", DOTS)] {
                if after < behind && !page.is_full() {
                    page.put(&DirEntry {
                        name: name.to_owned(),
                        qid,
                        cookie: behind,
                    })?;
                    after = behind;
                }
            }
        }
        let mut batches = 0;
        while !page.is_full() {
            let listed = match waiting.take() {
                Some(mut entries) => match BoxedFuture::as_mut(&mut entries).poll(context) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => {
                        let (entries, used) = (Some(entries), page.used);
                        return self.suspend(
                            call(),
                            Pending::List {
                                entries,
                                used,
                                after,
                            },
                        );
                    }
                },
                None if batches == BATCHES => {
                    let (entries, used) = (None, page.used);
                    return self.pause(
                        call(),
                        Pending::List {
                            entries,
                            used,
                            after,
                        },
                    );
                }
                None => {
                    batches += 1;
                    let entries = descriptor.file.entries().ok_or(Errno::Notdir)?;
                    let room = (page.room() / DIRENT_SIZE + 1).min(BATCH);
                    match entries.list(after.saturating_sub(DOTS), room) {
                        Op::Ready(result) => result?,
                        Op::Later(entries) => {
                            waiting = Some(entries);
                            continue;
                        }
                    }
                }
            };
            if listed.is_empty() {
                break;
            }
            for mut entry in listed {
                if page.is_full() {
                    break;
                }
                entry.cookie = entry.cookie.saturating_add(DOTS);
                after = entry.cookie;
                page.put(&entry)?;
            }
        }
        let used = page.used;
        Poll::Ready(memory.write_u32(bufused, used))
    }
}

/// The guest's buffer.
struct Page<'a, M: ?Sized> {
    memory: &'a mut M,
    buf: u32,
    len: u32,
    used: u32,
}

impl<M: GuestMemory + ?Sized> Page<'_, M> {
    fn is_full(&self) -> bool {
        self.used >= self.len
    }

    fn room(&self) -> usize {
        (self.len - self.used) as usize
    }

    fn put(&mut self, entry: &DirEntry) -> Result<(), Errno> {
        self.put_bytes(&dirent(entry))?;
        self.put_bytes(entry.name.as_bytes())
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        let len = bytes.len().min(self.room());
        if len == 0 {
            // The end of the buffer may be the end of a memory of 4 GiB.
            return Ok(());
        }
        self.memory.write(self.buf + self.used, &bytes[..len])?;
        self.used += len as u32;
        Ok(())
    }
}
