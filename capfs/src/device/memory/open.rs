//! Open files and directories.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::inode::{Body, Inode};
use crate::{
    DirEntry, Entries, Errno, GuestSink, GuestSource, Op, OpenDirectory, OpenFile, OpenHow,
    SetStat, Stat, WriteAt, Written,
};
#[cfg(feature = "durable")]
use crate::{Node, SavedFile};

/// An open regular file.
pub(super) struct MemoryFile {
    inode: Arc<Inode>,
    how: OpenHow,
}

impl MemoryFile {
    pub(super) fn new(inode: Arc<Inode>, how: OpenHow) -> Self {
        MemoryFile { inode, how }
    }
}

impl OpenFile for MemoryFile {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        if !self.how.read {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut state = self.inode.state();
        let Body::File(content) = &state.body else {
            return Poll::Ready(Err(Errno::Isdir));
        };
        let count = content.read(offset, sink);
        self.inode.touch_access(&mut state);
        Poll::Ready(Ok(count))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        if !self.how.write {
            return Poll::Ready(Err(Errno::Badf));
        }
        let mut state = self.inode.state();
        if let Err(errno) = self.inode.keep(&mut state) {
            return Poll::Ready(Err(errno));
        }
        let Body::File(content) = &mut state.body else {
            return Poll::Ready(Err(Errno::Isdir));
        };
        let offset = match at {
            WriteAt::Offset(offset) => offset,
            WriteAt::End => content.size(),
        };
        Poll::Ready(
            match content.write(&self.inode.volume.quota, offset, source) {
                Ok(bytes) => {
                    if bytes > 0 {
                        state.touch(&self.inode.volume);
                    }
                    Ok(Written {
                        bytes,
                        end: offset + bytes as u64,
                    })
                }
                Err(errno) => Err(errno),
            },
        )
    }

    fn seekable(&self) -> bool {
        true
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(self.inode.stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.inode.set_stat(change).into()
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Op<()> {
        let mut state = self.inode.state();
        if let Err(errno) = self.inode.keep(&mut state) {
            return Op::err(errno);
        }
        let Body::File(content) = &mut state.body else {
            return Op::err(Errno::Isdir);
        };
        let result = content.allocate(&self.inode.volume.quota, offset, length);
        if result.is_ok() {
            state.touch(&self.inode.volume);
        }
        result.into()
    }

    #[cfg(feature = "durable")]
    fn save(&self) -> Result<SavedFile, Errno> {
        Node::save(&*self.inode).map(SavedFile::of)
    }
}

/// An open directory.
pub(super) struct MemoryDirectory {
    inode: Arc<Inode>,
}

impl MemoryDirectory {
    pub(super) fn new(inode: Arc<Inode>) -> Self {
        MemoryDirectory { inode }
    }
}

impl OpenDirectory for MemoryDirectory {
    fn stat(&self) -> Op<Stat> {
        Op::ok(self.inode.stat())
    }

    fn set_stat(&mut self, change: SetStat) -> Op<()> {
        self.inode.set_stat(change).into()
    }
}

impl Entries for MemoryDirectory {
    fn list(&mut self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let mut state = self.inode.state();
        self.inode.touch_access(&mut state);
        state.names().map(|names| names.list(cookie, max)).into()
    }
}
